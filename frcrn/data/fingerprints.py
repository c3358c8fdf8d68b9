"""Recognise the same recording again, at another level or after a codec."""

from __future__ import annotations

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


def matches(some: list[Bits], others: list[Bits]) -> list[tuple[int, int]]:
    """Return the places (i, j) where some[i] and others[j] are the same recording."""
    if not some or not others:
        return []
    right = np.array(others, np.float32) * 2 - 1
    found = []
    for start in range(0, len(some), 512):
        left = np.array(some[start : start + 512], np.float32) * 2 - 1
        different = (1 - left @ right.T / left.shape[1]) / 2
        found += [(start + int(i), int(j)) for i, j in zip(*np.nonzero(different <= MOST_DIFFERENT), strict=True)]
    return found
