"""Clips of any length as examples of one length."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from frcrn.data.identity import digest
from frcrn.data.speech_activity import Wave


class Rows(Protocol):
    """Pairs of clips: `lengths` [n] in samples, and any part of each."""

    lengths: NDArray[np.int64]

    def identity(self) -> str:
        """Return a text that changes with the clips."""

    def pair(self, row: int, start: int, stop: int) -> tuple[Wave, Wave]:
        """Return noisy and clean samples start to stop, fewer where the clip is shorter than announced."""


def common_length(noisy: int, clean: int, name: str) -> int:
    """Return the length of a pair at one rate, where other rates may have rounded it; another sound is refused."""
    if abs(noisy - clean) > 1:
        raise ValueError(f"{name}: the noisy wave has {noisy} samples, the clean one {clean}; expected as many")
    return min(noisy, clean)


class Segments(Dataset[dict[str, Tensor]]):
    """Every clip in whole segments; `dataset[epoch, index]` -> dict(noisy [T], clean [T]), a function of the seed too.

    What a clip has beyond its whole segments is left out before the first and after the last, shared at random anew in
    each epoch; a clip under one segment is one segment, filled with zeros.
    """

    def __init__(self, rows: Rows, samples: int, seed: int) -> None:
        """Cut `rows` into segments of `samples`."""
        self.rows, self.samples, self.seed = rows, samples, seed
        self._counts = np.maximum(rows.lengths // samples, 1)
        self._ends = np.cumsum(self._counts)

    def __len__(self) -> int:
        """Return the segments in an epoch."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, key: tuple[int, int] | int) -> dict[str, Tensor]:
        """Cut segment (epoch, index); a bare index is of epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(f"example {index}: expected 0 to {len(self) - 1}")
        row = int(np.searchsorted(self._ends, index, side="right"))
        number = index - int(self._ends[row] - self._counts[row])
        start = self._shift(epoch, row) + number * self.samples
        noisy, clean = self.rows.pair(row, start, start + self.samples)
        return {"noisy": self._filled(noisy), "clean": self._filled(clean)}

    def _shift(self, epoch: int, row: int) -> int:
        spare = int(self.rows.lengths[row] - self._counts[row] * self.samples)
        if spare <= 0:
            return 0
        return int(np.random.default_rng(np.random.SeedSequence((self.seed, epoch, row))).integers(spare + 1))

    def identity(self) -> str:
        """Return that of the same clips, uncut."""
        return self.whole().identity()

    def whole(self) -> Recordings:
        """Return the same clips, uncut."""
        return Recordings(self.rows)

    def _filled(self, wave: Wave) -> Tensor:
        wave = wave[: self.samples]
        return torch.from_numpy(np.pad(wave, (0, self.samples - len(wave))))


class Recordings(Dataset[dict[str, Tensor]]):
    """Every clip as one example, whole; all epochs are the same."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def identity(self) -> str:
        """Return a hash of the clips' lengths and of what the rows know of them."""
        return digest([self.rows.lengths.tolist(), self.rows.identity()])

    def __len__(self) -> int:
        """Return the clips."""
        return len(self.rows.lengths)

    def __getitem__(self, key: tuple[int, int] | int) -> dict[str, Tensor]:
        """Return clip (epoch, index)."""
        index = key[1] if isinstance(key, tuple) else key
        if not 0 <= index < len(self):
            raise IndexError(f"example {index}: expected 0 to {len(self) - 1}")
        noisy, clean = self.rows.pair(index, 0, int(self.rows.lengths[index]))
        return {"noisy": torch.from_numpy(np.array(noisy)), "clean": torch.from_numpy(np.array(clean))}
