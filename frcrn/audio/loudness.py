"""How loud a recording is, how loud a network wants it, and how to keep the result inside full scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from frcrn.audio import BLOCK, Samples

# A 16-bit step below full scale: what was not clipped does not look clipped afterwards.
CEILING = 1 - 2.0**-14


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
    """(wave, noisy) blocks [C, n] -> waves [C, n] that exceed `limit` [C] only where the noisy input did.

    Blocks are cut anew where the wave crosses zero, because a half-wave that is too loud is turned down as one.
    """
    wave = noisy = np.zeros((len(limit), 0), np.float32)
    for new_wave, new_noisy in pairs:
        wave, noisy = np.concatenate([wave, new_wave], axis=1), np.concatenate([noisy, new_noisy], axis=1)
        cut = min((_last_crossing(channel) for channel in wave), default=0)
        if wave.shape[1] - cut > BLOCK:
            cut = wave.shape[1]
        yield turned_down(wave[:, :cut], noisy[:, :cut], limit)
        wave, noisy = wave[:, cut:], noisy[:, cut:]
    yield turned_down(wave, noisy, limit)


def turned_down(wave: Samples, noisy: Samples, limit: NDArray[np.float64]) -> Samples:
    """[C, n] -> [C, n]: scale each half-wave so that it stays below the limit [C], or the input's magnitude."""
    roof = np.maximum(np.abs(noisy), limit[:, None])
    if not (np.abs(wave) > roof).any():
        return wave
    rows = zip(wave, roof, strict=True)
    gains = [_half_wave_gain(np.abs(channel) / top, _crossings(channel)) for channel, top in rows]
    return (wave * np.stack(gains)).astype(np.float32)


def _half_wave_gain(excess: NDArray[np.float64], crossings: NDArray[np.intp]) -> NDArray[np.float64]:
    """[n]: per half-wave, what brings its largest excess down to 1."""
    starts = np.concatenate([[0], crossings])
    worst = np.maximum.reduceat(excess, starts)
    return np.repeat(1 / np.maximum(worst, 1), np.diff(starts, append=len(excess)))


def _crossings(channel: Samples) -> NDArray[np.intp]:
    """The positions in [n] that begin a half-wave."""
    negative = np.signbit(channel)
    return np.flatnonzero(negative[1:] != negative[:-1]) + 1


def _last_crossing(channel: Samples) -> int:
    crossings = _crossings(channel)
    return int(crossings[-1]) if len(crossings) else 0
