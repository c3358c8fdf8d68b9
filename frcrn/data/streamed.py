"""A dataset that is read from its beginning only, such as a Hugging Face one with `streaming=True`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from frcrn.data.hf import COLUMNS, cell_wave


class StreamedRows(Dataset[dict[str, Tensor]]):
    """`dataset[epoch, index]` -> dict(noisy [T], clean [T]): one segment a row, cut at a random place.

    Rows come in the order of the stream, which its own `shuffle` may mix anew in each epoch. It is a function of (seed,
    epoch, index), so a run is resumed exactly: what was read before is read again and passed over.
    """

    in_order = True
    """For the trainer: indices come one after the other, and are not shuffled."""

    def __init__(
        self,
        dataset: Any,
        length: int,
        *,
        sample_rate: int = 16000,
        seconds: float = 1.0,
        seed: int = 0,
        folder: str | Path = "",
    ) -> None:
        """Take the first `length` rows of `dataset` as an epoch; an example is `seconds` long."""
        if length < 1:
            raise ValueError(f"length: expected the rows of an epoch, 1 or more, found {length}")
        self.dataset, self.length, self.seed, self.folder = undecoded(dataset), length, seed, Path(folder)
        self.rate, self.samples = sample_rate, round(seconds * sample_rate)
        self._epoch, self._place = -1, 0
        self._rows: Iterator[Mapping[str, Any]] = iter(())

    def __len__(self) -> int:
        """Return the rows of an epoch."""
        return self.length

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """Return the example of (epoch, index), reading on to it, or from the beginning where it lies behind."""
        if get_worker_info() is not None:  # Hugging Face streams share their rows out among these processes
            raise ValueError("recipe.train.workers: expected 0 for a stream")
        epoch, index = key
        if epoch != self._epoch or index < self._place:
            self._begin(epoch)
        row: Mapping[str, Any] | None = None
        while self._place <= index:
            row = next(self._rows, None)
            if row is None:
                raise ValueError(f"length: expected at least {self.length} rows in the stream, found {self._place}")
            self._place += 1
        assert row is not None
        return self._cut(row, epoch, index)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open stream behind: a loading process opens its own."""
        return {**self.__dict__, "_epoch": -1, "_place": 0, "_rows": None}

    def _begin(self, epoch: int) -> None:
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)
        self._epoch, self._place, self._rows = epoch, 0, iter(self.dataset)

    def _cut(self, row: Mapping[str, Any], epoch: int, index: int) -> dict[str, Tensor]:
        noisy, clean = (cell_wave(row[column], self.rate, self.folder) for column in COLUMNS)
        spare = min(len(noisy), len(clean)) - self.samples
        random = np.random.default_rng(np.random.SeedSequence((self.seed, epoch, index)))
        start = int(random.integers(spare + 1)) if spare > 0 else 0
        pieces = {"noisy": noisy, "clean": clean}
        return {name: self._filled(wave[start : start + self.samples]) for name, wave in pieces.items()}

    def _filled(self, wave: Any) -> Tensor:
        return torch.from_numpy(np.pad(wave, (0, self.samples - len(wave))))


def undecoded(dataset: Any) -> Any:
    """Return the stream with audio as bytes or paths, to be decoded here."""
    features = getattr(dataset, "features", None) or {}
    for column in COLUMNS:
        if type(features.get(column)).__name__ == "Audio":
            from datasets import Audio

            dataset = dataset.cast_column(column, Audio(decode=False))
    return dataset
