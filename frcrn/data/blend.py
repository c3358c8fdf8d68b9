"""Own data blended with a base set in an exact ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from frcrn.config import require
from frcrn.data.identity import digest, identity


@dataclass(frozen=True)
class BlendConfig:
    """Data tables and their weights; `length` examples an epoch, by default as many as all parts have together."""

    parts: tuple[dict[str, Any], ...]
    weights: tuple[float, ...]
    length: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(len(self.parts) > 0, "parts", "at least one", len(self.parts))
        require(len(self.weights) == len(self.parts), "weights", f"{len(self.parts)}, one a part", len(self.weights))
        require(min(self.weights) >= 0 < sum(self.weights), "weights", "0 or more, not all 0", self.weights)
        require(self.length is None or self.length > 0, "length", "1 or more", self.length)


class Blend(Dataset[dict[str, Tensor]]):
    """Parts in the ratio of their weights, evenly spread over the epoch; each part is passed through in its own epochs.

    A part that is smaller than its share of an epoch starts its next epoch; a larger one goes on where it was. The
    order within each pass is drawn from the seed.
    """

    def __init__(self, parts: Sequence[Any], weights: Sequence[float], seed: int, length: int | None = None) -> None:
        """Blend map-style datasets that take (epoch, index)."""
        self.parts, self.seed = list(parts), seed
        self.length = length or sum(len(part) for part in parts)
        for part, weight in zip(parts, weights, strict=True):
            if weight and not len(part):
                raise ValueError("parts: expected examples in every part with a weight, found an empty one")
        self._choice = evenly(np.array(weights, float), self.length)
        self._number = np.zeros(self.length, np.int64)
        for part in range(len(parts)):
            mine = self._choice == part
            self._number[mine] = np.arange(mine.sum())
        self._shares = np.bincount(self._choice, minlength=len(parts))

    def __len__(self) -> int:
        """Return the examples in an epoch."""
        return self.length

    def recordings(self) -> set[Path]:
        """Return the files that examples are made of, where a part knows them."""
        return {path for part in self.parts if hasattr(part, "recordings") for path in part.recordings()}

    def identity(self) -> str:
        """Return a hash of the parts' recordings."""
        return digest([self.length, *map(identity, self.parts)])

    def __getitem__(self, key: tuple[int, int] | int) -> dict[str, Tensor]:
        """Return example (epoch, index); a bare index is of epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < self.length:
            raise IndexError(f"example {index}: expected 0 to {self.length - 1}")
        part = int(self._choice[index])
        place = epoch * int(self._shares[part]) + int(self._number[index])
        own_epoch, own_index = divmod(place, len(self.parts[part]))
        order = shuffled(len(self.parts[part]), self.seed, own_epoch)
        example: dict[str, Tensor] = self.parts[part][own_epoch, int(order[own_index])]
        return example


def evenly(weights: NDArray[np.float64], length: int) -> NDArray[np.int64]:
    """Return which part each place [length] takes: counts in the exact ratio, each part evenly spread."""
    exact = weights / weights.sum() * length
    counts = exact.astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: length - counts.sum()]] += 1
    places = np.concatenate([(np.arange(count) + 0.5) / max(count, 1) for count in counts])
    parts: NDArray[np.int64] = np.repeat(np.arange(len(weights)), counts)[np.argsort(places, kind="stable")]
    return parts


@lru_cache(maxsize=8)
def shuffled(length: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order of one pass through `length` examples."""
    return np.random.default_rng(np.random.SeedSequence((seed, epoch, length))).permutation(length)
