"""Open whatever holds noisy and clean clips: DNS folders, two folders, or a Hugging Face set on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from frcrn.data.hf import HfConfig, cell_wave, open_rows
from frcrn.data.pairs import FolderPairs, Pair, Pairs

Location = str | os.PathLike[str]
SAVED = ("dataset_info.json", "dataset_dict.json", "state.json")
TABLES = (".csv", ".tsv", ".parquet", ".json", ".jsonl")


class HfPairs(Pairs):
    """The rows of a Hugging Face set; a clip is called by its column `name`, or by its number."""

    def __init__(self, dataset: Any, rate: int, source: str, folder: Path) -> None:
        self.dataset, self.rate, self.source, self.folder = dataset, rate, source, folder

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, index: int) -> Pair:
        """Read one clip."""
        row = self.dataset[index]
        name = str(row.get("name") or f"{index:06d}")
        return Pair(name, *(cell_wave(row[column], self.rate, self.folder) for column in ("noisy", "clean")))


def open_pairs(noisy: Location, clean: Location | None = None, *, rate: int = 16000, split: str | None = None) -> Pairs:
    """Open a folder that holds `noisy` and `clean`, a saved Hugging Face set, or a noisy and a clean folder."""
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
