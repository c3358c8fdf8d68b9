"""What one actor does: it opens the network once, and makes rows of results out of pieces."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from frcrn.inference.manifest import Record
from frcrn.inference.one_file import Outcome, Settings, Task, enhance_one
from frcrn.inference.paths import Job, led_out
from frcrn.scale.places import Place
from frcrn.scale.planning import SHARDS, Piece, holds_many, is_beside
from frcrn.scale.records import Known
from frcrn.scale.shards import Part, enhanced_shard
from frcrn.scale.sounds import called, enhanced_bytes, enhanced_copy
from frcrn.scale.tables import enhanced_table
from frcrn.texts import digest


class Order(NamedTuple):
    """A piece with the record that an earlier run left of it."""

    piece: Piece
    known: Record | None = None


class Row(NamedTuple):
    """What became of a piece or, with a `member`, of one recording in it."""

    source: str
    name: str
    member: str | None = None
    status: str = "enhanced"
    error: str | None = None
    seconds: float = 0.0
    record: Record | None = None
    size: int = 0
    problem: Exception | None = None


class Worker:
    """Enhance pieces into a destination, with one network for all of them."""

    def __init__(self, settings: Settings, mark: str, destination: str) -> None:
        self.settings, self.mark, self.goal = settings, mark, Place(destination)
        self.model = cache(settings.open)

    def rows(self, order: Order) -> Iterator[Row]:
        """Do one piece; whatever goes wrong with it is in its row."""
        piece = order.piece
        try:
            if problem := piece.problem or self._led_out(piece):
                raise ValueError(problem)
            if self._stays_here(piece):
                yield self._in_place(order)
            else:
                yield from self._through_a_copy(piece)
        except Exception as error:  # noqa: BLE001 - the other pieces go on
            yield refused(piece, str(error) or type(error).__name__)

    def _led_out(self, piece: Piece) -> str | None:
        return led_out(Path(self.goal.path), Path(self.goal.path, piece.name)) if self.goal.local else None

    def _stays_here(self, piece: Piece) -> bool:
        plain = not (holds_many(piece.name) or is_beside(piece.name))
        return plain and piece.start is piece.end is None and self.goal.local and Place(piece.source).local

    def _in_place(self, order: Order) -> Row:
        """From disk to disk, as folders are done."""
        piece = order.piece
        job = Job(Path(Place(piece.source).path), Path(self.goal.path, piece.name))
        outcome = enhance_one(Task(job, self.mark, order.known, True), self.settings, self.model, None)
        return self._row(piece, outcome, outcome.record)

    def _through_a_copy(self, piece: Piece) -> Iterator[Row]:
        """Fetch, enhance, store; the record speaks of the source as its store does."""
        with tempfile.TemporaryDirectory(prefix="frcrn-") as folder:
            noisy = Place(piece.source).fetch(Path(folder))
            clean = Path(folder, "clean", os.path.basename(piece.name))
            clean.parent.mkdir()
            with called(piece.source, noisy, clean):
                yield from self._made(piece, noisy, clean)

    def _made(self, piece: Piece, noisy: Path, clean: Path) -> Iterator[Row]:
        if is_beside(piece.name):
            shutil.copyfile(noisy, clean)
            yield self._stored(piece, clean, "copied", 0.0)
        elif holds_many(piece.name):
            yield from self._members(piece, noisy, clean)
        else:
            seconds = enhanced_copy(noisy, clean, (piece.start, piece.end), self.settings, self.model)
            yield self._stored(piece, clean, "enhanced", seconds)

    def _members(self, piece: Piece, noisy: Path, clean: Path) -> Iterator[Row]:
        """The rows of a shard or a table; one with failures gets no record, so that the next run tries again."""
        failed = False
        for part in self._parts(piece, noisy, clean):
            failed |= part.error is not None
            status = "failed" if part.error else "enhanced"
            error = None if part.error is None else f"{piece.source}: {part.error}"
            yield Row(piece.source, piece.name, part.member, status, error, part.seconds)
        stored = self._stored(piece, clean, "copied", 0.0)
        yield stored._replace(record=None) if failed else stored

    def _parts(self, piece: Piece, noisy: Path, clean: Path) -> Iterator[Part]:
        def enhance(content: bytes, name: str) -> tuple[bytes, float]:
            return enhanced_bytes(content, name, self.settings, self.model)

        if piece.name.lower().endswith(SHARDS):
            return enhanced_shard(noisy, clean, enhance)
        return enhanced_table(noisy, clean, enhance, piece.source.rpartition("/")[0])

    def _stored(self, piece: Piece, clean: Path, status: str, seconds: float) -> Row:
        (self.goal / piece.name).store(clean)
        record = Record(piece.stamp, self.mark, digest(clean))
        return Row(piece.source, piece.name, None, status, None, seconds, record, clean.stat().st_size)

    def _row(self, piece: Piece, outcome: Outcome, record: Record | None) -> Row:
        error = None if outcome.error is None else str(outcome.error)
        size = outcome.job.target.stat().st_size if outcome.job.target.is_file() else 0
        return Row(piece.source, piece.name, None, outcome.status, error, outcome.seconds or 0.0, record, size)


def refused(piece: Piece, problem: str) -> Row:
    """Return the row of a piece that is not made; its reason names the source."""
    error = problem if piece.source in problem else f"{piece.source}: {problem}"
    return Row(piece.source, piece.name, status="failed", error=error)


def is_done(piece: Piece, known: Known | None, mark: str, sizes: dict[str, int]) -> bool:
    """Say whether a record speaks of this source and these settings, and of an object that is there with its size.

    Of a source without a stamp none does.
    """
    return (
        known is not None
        and known.record.settings == mark
        and known.record.source == piece.stamp != ""
        and piece.name in sizes
        and known.size in (None, sizes[piece.name])
    )


def orders_of(pieces: Sequence[Piece], known: dict[str, Known | None]) -> list[Order]:
    """Join pieces with what is known of them."""
    return [Order(piece, each.record if (each := known.get(piece.name)) else None) for piece in pieces]
