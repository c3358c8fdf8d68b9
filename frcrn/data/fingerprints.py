"""Recognise the same recording again, at another level or after a codec."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from frcrn.data.speech_activity import Wave

TIMES, BANDS = 32, 16
MOST_DIFFERENT = 0.2
"""Share of bits: copies by a codec differ in under 0.1 of them, different recordings in 0.4 to 0.6."""
LOWEST_HZ, HIGHEST_HZ = 150.0, 3400.0
EDGE = 0.02
SILENCE = 1e-9
FLOOR = 1e-9
LEAST_FILLED = 0.5
BLOCK = 512
"""Recordings that are compared with all others at once."""

Bits = NDArray[np.bool_]


def fingerprint(wave: Wave, rate: int) -> Bits | None:
    """[T] -> 465 bits: how the energy's tilt from band to band turns from moment to moment.

    None where too little is there to tell recordings apart: silence, a beep, a few milliseconds, rates of a few hertz.
    """
    sound = _middle(wave)
    if len(sound) < TIMES * 64 or rate <= 2 * LOWEST_HZ:
        return None
    rows = sound[: len(sound) // TIMES * TIMES].reshape(TIMES, -1)
    powers = np.abs(np.fft.rfft(rows * np.hanning(rows.shape[1]), axis=1)) ** 2
    edges = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, rate / 2), BANDS + 1) * rows.shape[1] / rate
    sums = np.add.reduceat(powers, edges[:-1].astype(int), axis=1)
    floor = FLOOR * sums.max()
    if np.mean(sums > floor) < LEAST_FILLED:
        return None
    levels = np.log10(sums + floor)
    bits: Bits = np.diff(np.diff(levels, axis=1), axis=0).ravel() > 0
    return bits


def _middle(wave: Wave) -> Wave:
    """Cut at fixed shares of the energy, so that neither padding nor level moves the cut."""
    energy = np.cumsum(np.square(wave, dtype=np.float64))
    if not len(wave) or energy[-1] < SILENCE * len(wave):
        return wave[:0]
    first, last = np.searchsorted(energy, [energy[-1] * EDGE, energy[-1] * (1 - EDGE)])
    return wave[first : last + 1]


def matches(some: list[Bits], others: list[Bits]) -> Iterator[tuple[int, int]]:
    """Yield the places (i, j) where some[i] and others[j] are the same recording, by i and then j."""
    if some and others:
        left, right = _signs(some), _signs(others)
        for start in range(0, len(left), BLOCK):
            yield from ((start + i, j) for i, j in _alike(left[start : start + BLOCK], right))


def repeats(every: list[Bits]) -> Iterator[tuple[int, int]]:
    """Yield the places (i, j), i before j, where every[i] and every[j] are the same recording, by i and then j."""
    signs = _signs(every)
    for start in range(0, len(every), BLOCK):
        pairs = _alike(signs[start : start + BLOCK], signs[start:])
        yield from ((start + i, start + j) for i, j in pairs if i < j)


def _signs(bits: list[Bits]) -> NDArray[np.float32]:
    """Of bits, +1 and -1 [N, 465]: a product of two of them counts what is the same, less what is different."""
    signs = np.array(bits, np.float32)
    signs *= 2
    signs -= 1
    return signs


def _alike(left: NDArray[np.float32], right: NDArray[np.float32]) -> list[tuple[int, int]]:
    rows, columns = np.nonzero(left @ right.T >= (1 - 2 * MOST_DIFFERENT) * left.shape[1])
    return list(zip(rows.tolist(), columns.tolist(), strict=True))
