"""A corpus from one place to another: planned, done by a cluster, noted in a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from frcrn.files import sweep
from frcrn.inference.folder import mark_of
from frcrn.inference.one_file import Settings
from frcrn.scale.cluster import connected, results
from frcrn.scale.places import Place
from frcrn.scale.planning import Piece, holds_many, plan, units
from frcrn.scale.records import Known, Records, records_of
from frcrn.scale.work import Row, is_done, orders_of, refused

UNITS_AN_ACTOR = 24
"""More are finer, and cost more: a unit that is lost is done again, and the last ones decide when all is done."""
FILES_A_UNIT = (64, 8, 1)
"""What is missing after all units are done, since a process or a machine died, is done again in smaller ones."""


@dataclass
class Corpus:
    """What there is to do between two places, and with which settings."""

    source: str
    destination: str
    settings: Settings = field(default_factory=Settings)
    force: bool = False

    def __post_init__(self) -> None:
        """List everything; the runtime is chosen here, so that all nodes take the same one."""
        self.pieces = plan(self.source, self.destination)
        self.identity = self.settings.identity()
        self.settings = replace(self.settings, runtime=self.identity["runtime"])
        self.mark = mark_of(self.identity)
        self.goal = Place(self.destination)
        self.records = records_of(self.goal)

    def rows(self, address: str | None = None, actors: int | None = None) -> Generator[Row, None, None]:
        """Do it on a cluster; yield what became of each piece, and note it in the manifest as it comes."""
        with self.records as records:
            yield from (refused(piece, piece.problem) for piece in self.pieces if piece.problem)
            pieces = {piece.name: piece for piece in self.pieces if not piece.problem}
            known: dict[str, Known | None] = {} if self.force else {name: records.known(name) for name in pieces}
            before = self._before(pieces, known)
            yield from (Row(pieces[name].source, name, status="done before") for name in before)
            left = {name: piece for name, piece in pieces.items() if name not in before}
            if left:
                records.describe(self.identity, self.mark)
                yield from self._foreign(left, records)
            if left:
                yield from self._on_cluster(left, known, records, address, actors)

    def _foreign(self, left: dict[str, Piece], records: Records) -> Iterator[Row]:
        """Take out what would replace files that no run made."""
        for piece in list(left.values()):
            if not records.plan(piece.name, force=self.force):
                del left[piece.name]
                there = "is there already, and not from an earlier run; --force replaces it"
                yield Row(piece.source, piece.name, status="failed", error=f"{(self.goal / piece.name).url}: {there}")

    def _before(self, pieces: dict[str, Piece], known: dict[str, Known | None]) -> set[str]:
        """The names of what an earlier run did; from disk to disk, the worker compares hashes in place of that."""
        if not any(known.values()):
            return set()
        sizes = {found.name: found.size for found in self.goal.files()}
        return {name for name, piece in pieces.items() if is_done(piece, known.get(name), self.mark, sizes)}

    def _on_cluster(
        self,
        left: dict[str, Piece],
        known: dict[str, Known | None],
        records: Records,
        address: str | None,
        actors: int | None,
    ) -> Iterator[Row]:
        missing = dict(left)
        with connected(address, actors) as ray:
            count = actors or max(1, int(ray.cluster_resources().get("CPU", 1)))
            for most in FILES_A_UNIT:
                shared = [orders_of(unit, known) for unit in self._units(list(missing.values()), count, most)]
                for row in results(ray, shared, self.settings, self.mark, self.destination, actors):
                    if row.name in missing:  # else of a unit that was done twice
                        yield self._noted(row, records, missing)
        if self.goal.local:  # nobody writes any more
            sweep(Path(self.goal.path, name) for name in left)
        for piece in missing.values():
            error = f"{piece.source}: the process that enhanced it ended again and again"
            yield Row(piece.source, piece.name, status="failed", error=error)

    def _noted(self, row: Row, records: Records, missing: dict[str, Piece]) -> Row:
        if row.member is None:
            del missing[row.name]
        if row.record is not None:
            records.add(row.name, Known(row.record, row.size))
        return row

    def _units(self, pieces: Sequence[Piece], actors: int, most: int) -> Iterator[Sequence[Piece]]:
        """Units of files alike in bytes, with so many files at most; a shard or a table is one of its own."""
        yield from ([piece] for piece in pieces if holds_many(piece.name))
        files = [piece for piece in pieces if not holds_many(piece.name)]
        for unit in units(files, UNITS_AN_ACTOR * actors):
            yield from (unit[start : start + most] for start in range(0, len(unit), most))


def enhance_corpus(
    source: str,
    destination: str,
    *,
    address: str | None = None,
    actors: int | None = None,
    force: bool = False,
    progress: Callable[[Row], None] | None = None,
    **settings: Any,
) -> Counter[str]:
    """Enhance folders, object stores, manifests, tar shards and tables of rows on Ray; return how many of each status.

    Args:
        source: a path or URL: a folder, a pattern, a manifest (.jsonl, .csv, .parquet) or files of rows.
        destination: the folder to write, a path or URL; it gets the same names and formats.
        address: of a Ray cluster; None is this machine, or the cluster that Ray is connected to.
        actors: the most processes; None is one a core of the cluster.
        force: redo what is done, and replace files of the same names that no run made.
        progress: called with what became of each piece.
        **settings: as for `enhance_file`.

    Example:
        >>> counts = enhance_corpus("s3://speech/raw", "s3://speech/clean", address="auto")
    """
    counts: Counter[str] = Counter()
    for row in Corpus(source, destination, Settings(**settings), force).rows(address, actors):
        counts[row.status] += 1
        if progress:
            progress(row)
    return counts
