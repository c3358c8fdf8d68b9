"""Tar shards as WebDataset has them: pairs KEY.noisy.EXT and KEY.clean.EXT, read where they lie in the tar."""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from frcrn.config import require
from frcrn.data.hf import COLUMNS, cell_length, cell_wave
from frcrn.data.identity import of_recordings
from frcrn.data.segments import Segments
from frcrn.data.speech_activity import Wave
from frcrn.data.tar import opened


@dataclass(frozen=True)
class ShardsConfig:
    """Tar files, named one by one or by patterns, cut into segments."""

    paths: tuple[str, ...]
    seconds: float = 1.0

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(len(self.paths) >= 1, "paths", "at least one tar file or pattern", len(self.paths))
        require(self.seconds > 0, "seconds", "more than 0", self.seconds)


class Extent(NamedTuple):
    """Where the bytes of a member lie."""

    shard: str
    start: int
    size: int

    def read(self) -> bytes:
        """Return the bytes."""
        with open(self.shard, "rb") as file:
            file.seek(self.start)
            return file.read(self.size)


MOST_FOLDERS = 10_000
"""Below a pattern with **, so that a recipe does not have a whole disk looked through."""

Pair = tuple[Extent, Extent]
NOWHERE = Path()


def open_shards(config: ShardsConfig, sample_rate: int, seed: int) -> Segments:
    """Open tar shards as segments; each is read through once for where its members lie and how long they are."""
    pairs = [pair for shard in found(config.paths) for pair in pairs_in(shard)]
    return Segments(ShardRows(pairs, sample_rate), round(config.seconds * sample_rate), seed)


def found(patterns: Sequence[str]) -> list[str]:
    """Return the tar files, sorted; a pattern without any is refused."""
    files: set[str] = set()
    for pattern in patterns:
        names = {str(Path(name)) for name in matches(pattern, iter(range(MOST_FOLDERS))) if not os.path.isdir(name)}
        if not names:
            raise ValueError(f"{pattern}: expected tar files, found none")
        files |= names
    return sorted(files)


def matches(pattern: str, left: Iterator[int]) -> Iterator[str]:
    """Yield what a pattern stands for; its ** leads to as many folders as are left, and no further."""
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from glob.iglob(pattern)
        return
    at = parts.index("**")
    for folder in glob.iglob(os.path.join(os.curdir, *parts[: at + 1], ""), recursive=True):
        if next(left, None) is None:
            raise ValueError(
                f"{pattern}: ** leads to more than {MOST_FOLDERS} folders; name the one with the tar files"
            )
        rest = parts[at + 1 :] or ("*",)
        yield from matches(os.path.join(glob.escape(folder), *rest), left)


def pairs_in(shard: str) -> Iterator[Pair]:
    """Yield the pairs of a shard in its order; other members are passed over."""
    samples: dict[str, dict[str, Extent]] = {}
    with opened(shard) as tar:
        for info in tar:
            key, column = parts_of(info.name)
            if info.isfile() and not info.issparse() and column in COLUMNS:
                samples.setdefault(key, {})[column] = Extent(shard, info.offset_data, info.size)
    for key, sample in samples.items():
        if len(sample) < len(COLUMNS):
            raise ValueError(f"{shard}: expected noisy and clean of {key}, found only {next(iter(sample))}")
        yield sample["noisy"], sample["clean"]
    if not samples:
        raise ValueError(f"{shard}: expected members such as 0001.noisy.flac and 0001.clean.flac, found none")


def parts_of(name: str) -> tuple[str, str]:
    """Split KEY.noisy.wav into its key and "noisy"."""
    folder, slash, last = name.rpartition("/")
    key, _, rest = last.partition(".")
    return folder + slash + key, rest.partition(".")[0]


class ShardRows:
    """Pairs in shards, for `Segments`."""

    def __init__(self, pairs: Sequence[Pair], rate: int) -> None:
        """Measure the pairs."""
        self.pairs, self.rate = pairs, rate
        lengths = [min(cell_length(each.read(), rate, NOWHERE) for each in pair) for pair in pairs]
        self.lengths = np.array(lengths, np.int64)

    def identity(self) -> str:
        """Return a hash of the members' sizes and of what some hold."""
        members = [member for pair in self.pairs for member in pair]
        return of_recordings((member.size for member in members), lambda number: io.BytesIO(members[number].read()))

    def pair(self, row: int, start: int, stop: int) -> tuple[Wave, Wave]:
        """Return noisy and clean samples start to stop."""
        noisy, clean = (cell_wave(each.read(), self.rate, NOWHERE) for each in self.pairs[row])
        stop = min(stop, len(noisy), len(clean))
        return noisy[start:stop], clean[start:stop]
