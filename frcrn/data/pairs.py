"""Noisy and clean clips in a fixed order, read when asked for, and the matching of two folders."""

from __future__ import annotations

import logging
import os
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

from frcrn.audio import Samples, find, read
from frcrn.audio.resampling import mono
from frcrn.data.hf import HfConfig, cell_wave, open_rows

Location = str | os.PathLike[str]

SAVED = ("dataset_info.json", "dataset_dict.json", "state.json")

TABLES = (".csv", ".tsv", ".parquet", ".json", ".jsonl")

FILE_ID = re.compile(r"fileid_(\d+)")
NAMED_AT_MOST = 5
log = logging.getLogger(__name__)


class Pair(NamedTuple):
    """One clip: noisy [T] and clean [T] at one rate."""

    name: str
    noisy: Samples
    clean: Samples


class Pairs(Sequence[Pair]):
    """Clips in a fixed order, read when asked for."""

    source: str
    unmatched: tuple[str, ...] = ()
    """Files without a partner, which are not scored."""

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """What the clips are called."""

    @abstractmethod
    def read(self, index: int) -> Pair:
        """Read one clip."""

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | Sequence[Pair]:
        if isinstance(index, slice):
            return [self.read(place) for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.read(index % len(self))

    def __iter__(self) -> Iterator[Pair]:
        return (self.read(index) for index in range(len(self)))


class FolderPairs(Pairs):
    """Two folders whose files match by name, or by DNS file id."""

    def __init__(self, noisy: Path, clean: Path, rate: int) -> None:
        self.rate = rate
        self.source = noisy.parent.name if noisy.parent == clean.parent else f"{noisy.name} and {clean.name}"
        self.files, self.unmatched = match(noisy, clean)
        if not self.files:
            raise ValueError(
                f"{noisy}: no file matches one in {clean} by name or by fileid_N; found {_some(self.unmatched)}"
            )
        if self.unmatched:
            log.warning("%d files have no partner and are not scored: %s", len(self.unmatched), _some(self.unmatched))

    def __len__(self) -> int:
        return len(self.files)

    @property
    def names(self) -> list[str]:
        """What the clips are called."""
        return [name for name, _, _ in self.files]

    def read(self, index: int) -> Pair:
        """Read one clip."""
        name, noisy, clean = self.files[index]
        return Pair(name, mono(read(noisy), self.rate), mono(read(clean), self.rate))


def match(noisy: Path, clean: Path) -> tuple[list[tuple[str, Path, Path]], tuple[str, ...]]:
    """Return (name, noisy file, clean file) in the order of names, and the files without a partner."""
    left, right = by_name(noisy), by_name(clean)
    if not left.keys() & right.keys():
        left, right = _by_id(left.values(), noisy), _by_id(right.values(), clean)
    shared = sorted(left.keys() & right.keys())
    alone = [left[key] for key in sorted(left.keys() - right.keys())]
    alone += [right[key] for key in sorted(right.keys() - left.keys())]
    named = [(_relative(left[key], noisy), left[key], right[key]) for key in shared]
    return named, tuple(str(path) for path in alone)


def by_name(folder: Path) -> dict[str, Path]:
    """Return the sounds in a folder by their names without extension, which no two may share."""
    files: dict[str, Path] = {}
    for path in find([folder]):
        other = files.setdefault(_relative(path, folder), path)
        if other is not path:
            raise ValueError(f"{path} and {other.name} have the same name; keep one of them")
    return files


def _by_id(paths: Iterable[Path], folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in paths:
        found = FILE_ID.findall(path.stem)
        key = str(int(found[-1])) if found else _relative(path, folder)
        if key in files:
            raise ValueError(f"{path} and {files[key].name} have the same file id {key}; keep one of them")
        files[key] = path
    return files


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(Path(name).name for name in names[:NAMED_AT_MOST])
    more = len(names) - NAMED_AT_MOST
    return (shown or "no audio files") + (f" and {more} more" if more > 0 else "")


class HfPairs(Pairs):
    """The rows of a Hugging Face set; a clip is called by its column `name`, or by its number."""

    def __init__(self, dataset: Any, rate: int, source: str, folder: Path) -> None:
        self.dataset, self.rate, self.source, self.folder = dataset, rate, source, folder

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def names(self) -> list[str]:
        """What the clips are called."""
        given = self.dataset["name"] if "name" in self.dataset.column_names else [None] * len(self)
        return [str(name or f"{index:06d}") for index, name in enumerate(given)]

    def read(self, index: int) -> Pair:
        """Read one clip."""
        row = self.dataset[index]
        name = str(row.get("name") or f"{index:06d}")
        return Pair(name, *(cell_wave(row[column], self.rate, self.folder) for column in ("noisy", "clean")))


def open_pairs(noisy: Location, clean: Location | None = None, *, rate: int = 16000, split: str | None = None) -> Pairs:
    """Open clips with their clean form, which are read when they are asked for.

    Args:
        noisy: a folder that holds `noisy` and `clean`, a saved Hugging Face set, or a folder of noisy files.
        clean: the folder of clean files, where `noisy` is one of noisy files.
        rate: the rate to resample to.
        split: which part of a Hugging Face set.

    Example:
        >>> name, noisy, clean = open_pairs("pairs")[0]
    """
    first = Path(noisy)
    if clean is None and _is_set(first):
        dataset, folder = open_rows(HfConfig(str(first), split=split))
        return HfPairs(dataset, rate, first.name, folder)
    for path in (first, *([Path(clean)] if clean else [])):
        if not path.is_dir():
            found = "a file" if path.exists() else "nothing"
            raise ValueError(f"{path}: expected a folder of noisy and clean clips, found {found}")
    if clean:
        return FolderPairs(first, Path(clean), rate)
    if (first / "noisy").is_dir() and (first / "clean").is_dir():
        return FolderPairs(first / "noisy", first / "clean", rate)
    raise ValueError(f"{first}: expected the folders noisy and clean, or a Hugging Face set saved there; found neither")


def _is_set(path: Path) -> bool:
    return path.suffix.lower() in TABLES if path.is_file() else any((path / name).is_file() for name in SAVED)
