"""How loud a recording is, how loud a network wants it, and how to keep the result inside full scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from frcrn.audio import Samples

# A 16-bit step below full scale: what was not clipped does not look clipped afterwards.
CEILING = 1 - 2.0**-14

REACH = 240
"""Samples before and after a peak along which it is turned down."""


class Loudness(NamedTuple):
    """A recording's samples per channel, their largest magnitude and their mean power, each [C]."""

    length: int
    peak: NDArray[np.float64]
    power: NDArray[np.float64]


def loudness(blocks: Iterable[Samples], channels: int) -> Loudness:
    """Measure blocks [C, n]."""
    length, peak, energy = 0, np.zeros(channels), np.zeros(channels)
    for block in blocks:
        if block.shape[1]:
            wide = block.astype(np.float64)
            length += block.shape[1]
            peak = np.maximum(peak, np.abs(wide).max(axis=1))
            energy += np.square(wide).sum(axis=1)
    return Loudness(length, peak, energy / max(1, length))


def active_power(blocks: Iterable[Samples], power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean power [C] of the samples that are above the mean `power` [C]: roughly, of the speech without its pauses."""
    energy, count = np.zeros(len(power)), np.zeros(len(power))
    for block in blocks:
        squares = np.square(block.astype(np.float64))
        above = squares > power[:, None]
        energy += np.where(above, squares, 0).sum(axis=1)
        count += above.sum(axis=1)
    return np.where(count > 0, energy / np.maximum(count, 1), power)


def gain_to(level_dbfs: float, power: NDArray[np.float64]) -> NDArray[np.float64]:
    """The factor [C] that brings a mean power [C] to a level; 1 for silence."""
    audible = power > 0
    return np.where(audible, 10 ** (level_dbfs / 20) / np.sqrt(np.where(audible, power, 1)), 1.0)


def bounded(pairs: Iterable[tuple[Samples, Samples]], limit: NDArray[np.float64]) -> Iterator[Samples]:
    """(wave, noisy) blocks [C, n] -> waves [C, n] that exceed `limit` [C] only where the noisy input is as loud.

    What is too loud is turned down beforehand and afterwards, along a smooth curve, so that nothing clicks.
    """
    wave = np.zeros((len(limit), 0), np.float32)
    gain = np.ones((len(limit), 2 * REACH))
    for new, noisy in pairs:
        wave = np.concatenate([wave, new], axis=1)
        gain = np.concatenate([gain, _needed(new, noisy, limit)], axis=1)
        ready = wave.shape[1] - 2 * REACH
        if ready > 0:
            yield _times(wave[:, :ready], gain[:, : ready + 4 * REACH])
            wave, gain = wave[:, ready:], gain[:, ready:]
    yield _times(wave, np.pad(gain, ((0, 0), (0, 2 * REACH)), constant_values=1.0))


def _needed(wave: Samples, noisy: Samples, limit: NDArray[np.float64]) -> NDArray[np.float64]:
    """[C, n]: the gain that each sample needs by itself; 1 where the input was as loud."""
    size, most = np.abs(wave.astype(np.float64)), limit[:, None]
    over = size > np.maximum(np.abs(noisy), most)
    return np.where(over, most / np.maximum(size, 1e-300), 1.0) if over.any() else np.ones(wave.shape)


def _times(wave: Samples, gain: NDArray[np.float64]) -> Samples:
    """[C, n], needed gains [C, n + 4 REACH] -> [C, n].

    The least gain within REACH on both sides, then a weighted mean as wide: never above what any sample needs.
    """
    if (gain == 1).all():
        return wave
    least = np.lib.stride_tricks.sliding_window_view(gain, 2 * REACH + 1, axis=1).min(axis=2)
    weights = np.hanning(2 * REACH + 3)[1:-1]
    smooth = np.stack([np.convolve(row, weights / weights.sum(), "valid") for row in least])
    turned: Samples = (wave * smooth).astype(np.float32)
    return turned
