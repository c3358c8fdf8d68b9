"""Divide and balance a corpus: new folders, whole or absent; `dry_run` only returns what would be in them."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from frcrn.audio import AudioError
from frcrn.data.cache import list_folders, warn_of_media
from frcrn.data.dns import open_folder
from frcrn.data.new_folder import new_folder, place, refuse_foreign, refuse_inputs, refuse_within, write_table
from frcrn.data.pairs import match
from frcrn.data.sampling import groups_of, held_out
from frcrn.files import native
from frcrn.texts import NAMES, cell

COLUMNS = ("file", "side", "source", "speaker", "seconds")
Progress = Callable[[int, int], None]


class Item(NamedTuple):
    """What moves together: one file, or the files of one clip of a DNS set."""

    files: tuple[Path, ...]
    source: str
    speaker: str
    seconds: float


class Share(NamedTuple):
    """One side of a division."""

    items: list[Item]

    @property
    def seconds(self) -> float:
        """Return the length of all of it."""
        return sum(item.seconds for item in self.items)


def items_of(folder: str | Path, speaker: str = "") -> list[Item]:
    """List a corpus; a folder in DNS form clip by clip."""
    root = Path(folder)
    if (root / "clean").is_dir() and ((root / "noisy").is_dir() or (root / "noise").is_dir()):
        return _dns_items(root, speaker)
    listing = list_folders([root])
    warn_of_media([root])
    speakers = groups_of([item.name for item in listing], [item.source for item in listing], speaker)
    return [
        Item((item.path,), item.source, group, _seconds(item.path))
        for item, group in zip(listing, speakers, strict=True)
    ]


def _dns_items(root: Path, speaker: str) -> list[Item]:
    pairs = open_folder(root).pairs
    by_key: dict[str, list[Path]] = defaultdict(list)
    if (root / "noise").is_dir() and (root / "noisy").is_dir():
        for _, noise, clean in match(root / "noise", root / "clean")[0]:
            by_key[str(clean)].append(noise)
    names = [item.clean.stem for item in pairs]
    speakers = groups_of(names, [root.name] * len(pairs), speaker)
    return [
        Item((item.clean, item.other, *by_key[str(item.clean)]), root.name, group, _seconds(item.clean))
        for item, group in zip(pairs, speakers, strict=True)
    ]


def _seconds(path: Path) -> float:
    try:
        return float(soundfile.info(native(path)).duration)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: cannot be read ({error}); `frcrn data check` lists all such files") from None


def split(
    folder: str | Path,
    out: str | Path,
    *,
    share: float = 0.8,
    speaker: str = "",
    seed: int = 0,
    link: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, Share]:
    """Write out/train and out/test: no speaker in both, and of each source about `share` of the seconds in train.

    Sources are the folders inside `folder`; the speaker is what the pattern `speaker` finds in `source/name`, else the
    directory within the source, else the file. A source of one speaker stays in train, unless all are.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: expected a number between 0 and 1, found {share}")
    items = items_of(folder, speaker)
    refuse_inputs(Path(out), (path for item in items for path in item.files))
    refuse_within(Path(out), [folder])
    seconds = [item.seconds for item in items]
    test = held_out([item.speaker for item in items], [item.source for item in items], seconds, 1 - share, seed)
    sides = {
        "train": Share([item for item, held in zip(items, test, strict=True) if not held]),
        "test": Share([item for item, held in zip(items, test, strict=True) if held]),
    }
    for side, part in sides.items():
        if not part.items:
            raise ValueError(f"{folder}: expected speakers enough for both sides, found none for {side}")
    if dry_run:
        refuse_foreign(Path(out), force)
    else:
        _write(Path(folder), Path(out), sides, link, force, progress)
    return sides


def balance(
    folder: str | Path,
    out: str | Path,
    *,
    hours: float | None = None,
    seed: int = 0,
    link: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, Share]:
    """Write into `out` an equal share of seconds of each folder inside `folder`, files drawn at random.

    The share is what the smallest folder has, or `hours` over the number of folders.
    """
    if (Path(folder) / "clean").is_dir() and (Path(folder) / "noisy").is_dir():
        raise ValueError(f"{folder}: expected one folder a language or source, found a set in DNS form")
    by_source: dict[str, list[Item]] = defaultdict(list)
    for item in items_of(folder):
        by_source[item.source].append(item)
    refuse_inputs(Path(out), (path for items in by_source.values() for item in items for path in item.files))
    refuse_within(Path(out), [folder])
    smallest = min(by_source, key=lambda source: Share(by_source[source]).seconds)
    least = Share(by_source[smallest]).seconds
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, found {seed}")
    if hours is not None and not hours > 0:
        raise ValueError(f"hours: expected more than 0, found {hours}")
    wanted = least if hours is None else hours * 3600 / len(by_source)
    if wanted > least + 1e-6:
        most = math.floor(least * len(by_source) / 0.36) / 1e4  # rounded up, it would be refused too
        raise ValueError(f"hours: expected at most {most}, {least / 3600:.4f} h in {smallest}, found {hours}")
    rng = np.random.default_rng(seed)
    parts = {source: Share(_drawn(items, wanted, rng)) for source, items in sorted(by_source.items())}
    together = Share([item for part in parts.values() for item in part.items])
    if dry_run:
        refuse_foreign(Path(out), force)
    else:
        _write(Path(folder), Path(out), {"": together}, link, force, progress)
    return parts


def _drawn(items: Sequence[Item], wanted: float, rng: np.random.Generator) -> list[Item]:
    """Draw files until the next one would lead further from the wanted seconds."""
    chosen, total = [], 0.0
    for number in rng.permutation(len(items)):
        seconds = items[number].seconds
        if total + seconds / 2 <= wanted:
            chosen.append(items[number])
            total += seconds
    return chosen


def _write(root: Path, out: Path, sides: dict[str, Share], link: bool, force: bool, progress: Progress | None) -> None:
    moves = [(side, item, path) for side, part in sides.items() for item in part.items for path in item.files]
    with new_folder(out, _plan(moves, link), force) as beside:
        rows = []
        for done, (side, item, path) in enumerate(moves, start=1):
            target = Path(side) / path.relative_to(root)
            place(path, beside / target, link)
            rows.append((*map(cell, (target.as_posix(), side, item.source, item.speaker)), f"{item.seconds:.3f}"))
            if progress:
                progress(done, len(moves))
        write_table(beside, COLUMNS, rows)


def _plan(moves: Sequence[tuple[str, Item, Path]], link: bool) -> str:
    """Return a hash of what goes where; it changes with any file's size or time of change."""
    digest = hashlib.sha256(f"{link}\n".encode())
    for side, _, path in moves:
        stat = path.stat()
        digest.update(f"{side}\t{path}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode(errors=NAMES))
    return digest.hexdigest()
