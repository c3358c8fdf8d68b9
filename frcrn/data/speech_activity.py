"""Where a recording of speech holds speech, and how loud it is there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]
Frames = NDArray[np.bool_]

FRAME_SECONDS = 0.02
MARGIN_DB = 20.0
HANGOVER_FRAMES = 10
SILENCE_POWER = 1e-9
"""Power of a frame (-90 dBFS) under which nothing counts as sound."""


def frame_length(rate: int) -> int:
    """Return the samples of one activity frame, one at least."""
    return max(1, round(rate * FRAME_SECONDS))


def frame_powers(wave: Wave, rate: int) -> NDArray[np.float64]:
    """[T] -> mean square of each 20 ms frame [N]; a last part of a frame is dropped."""
    frame = frame_length(rate)
    rows = wave[: len(wave) // frame * frame].reshape(-1, frame)
    powers: NDArray[np.float64] = np.einsum("nt,nt->n", rows, rows).astype(np.float64) / frame
    return powers


def active_frames(powers: NDArray[np.float64]) -> Frames:
    """Powers [N] -> which frames are speech [N].

    The threshold lies a margin under the mean power of the frames above it (a fixed point, as in ITU-T P.56), and
    pauses of up to 200 ms count as speech.
    """
    threshold = SILENCE_POWER
    for _ in range(8):
        loud = powers > threshold
        if not loud.any():
            return loud
        threshold = max(SILENCE_POWER, float(powers[loud].mean()) * 10 ** (-MARGIN_DB / 10))
    return _close_gaps(powers > threshold)


def _close_gaps(active: Frames) -> Frames:
    where = np.flatnonzero(active)
    gaps = np.flatnonzero(np.diff(where) <= HANGOVER_FRAMES + 1)
    closed = active.copy()
    for gap in gaps:
        closed[where[gap] : where[gap + 1]] = True
    return closed


def active_power(wave: Wave, rate: int) -> float:
    """[T] -> mean square over the active frames; 0 where nothing is active."""
    powers = frame_powers(wave, rate)
    active = active_frames(powers)
    return float(powers[active].mean()) if active.any() else 0.0


def power(wave: Wave) -> float:
    """[T] -> mean square."""
    return float(np.dot(wave, wave)) / max(len(wave), 1)


def decibels(ratio: float) -> float:
    """Return a power ratio in dB; -inf for 0."""
    return 10.0 * float(np.log10(ratio)) if ratio > 0 else float("-inf")
