"""What lies above the network's band: weighed in frames of 5 ms and a few bands, every 2.5 ms.

Two witnesses say how much of a frame is speech. The network: which part of the energy in its top octave it let through.
And the high band itself: how far each of its bands stands above its own floor, the least of the last second and a half.
Both must agree for sound to pass; without speech, the high band falls further than the network's top octave.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from frcrn.audio.fifo import Fifo
from frcrn.audio.reading import Samples

Floats = NDArray[np.float32]

STEP = 40
"""Samples of the network's rate from one frame to the next: 2.5 ms at 16 kHz. A frame is twice as long."""
TOP = (0.25, 0.47)
"""The top octave of the network's band, in parts of its rate: 4 to 7.5 kHz at 16 kHz."""

SMOOTH_TOP = 4  # frames over which the energies in the top octave are averaged
SMOOTH_BAND = 8  # frames over which a band's power is averaged
STRETCH, STRETCHES = 100, 6  # the floor is the least of so many stretches of so many frames: 1.5 s
ABOVE = 1.5  # times the floor: what is softer is noise
POWER = 2  # of a band's own share: the higher, the less noise between weak sounds
DEEP = 0.06  # how much less of noise alone passes than of the top octave: 12 dB, as its harm is less up there
LENIENT = 3.0  # how much more of the high band may pass than of the top octave: 5 dB
RELEASE, LAGS = 0.75, 8  # how the gain falls from frame to frame (2.5 dB), and for how many frames
_NOTHING = 1e-18  # power that is silence


class TopOctave:
    """Which part of the energy in its top octave a network lets through, frame by frame."""

    def __init__(self, channels: int) -> None:
        self._noisy, self._clean = Energies(channels), Energies(channels)

    def push(self, noisy: Samples, clean: Samples) -> Floats:
        """[C, n], [C, n] in time with each other -> [C, as many frames as are complete], 0..1."""
        before, after = self._noisy.push(noisy), self._clean.push(clean)
        return np.minimum(1, (after + _NOTHING) / (before + _NOTHING))


class Energies:
    """The energy in the top octave: frame j covers samples STEP (j - 1) to STEP (j + 1), averaged over a few."""

    def __init__(self, channels: int) -> None:
        self._held = Fifo(channels)
        self._held.append(np.zeros((channels, STEP), np.float32))
        self._before = np.zeros((channels, SMOOTH_TOP - 1), np.float32)

    def push(self, samples: Samples) -> Floats:
        """[C, n] -> [C, as many frames as are complete]."""
        self._held.append(samples)
        spectrum = np.fft.rfft(frames(self._held, STEP) * window(STEP))[..., top()]
        energy = (np.square(spectrum.real) + np.square(spectrum.imag)).sum(axis=-1)
        energy = np.concatenate([self._before, energy], axis=1)
        self._before = energy[:, energy.shape[1] - (SMOOTH_TOP - 1) :]
        return averaged(energy, SMOOTH_TOP)


class HighBand:
    """The band above the network's, in and out with a frame's delay; needs the top octave's share for each frame."""

    def __init__(self, rate: int, low_rate: int, channels: int) -> None:
        self._rate, self._low_rate = rate, low_rate
        self.step = max(1, rate * STEP // low_rate)
        self._bands = bands(rate, low_rate, self.step)
        self._held = Fifo(channels)
        self._held.append(np.zeros((channels, self.step), np.float32))
        self._shares = Fifo(channels)
        self._first_share = 0
        self._frame = 0  # the next one
        self._begun = False
        self._tail = np.zeros((channels, self.step), np.float32)
        count = len(self._bands)
        self._power = np.zeros((channels, SMOOTH_BAND - 1, count), np.float32)
        self._floor, self._least = Floor(channels, count), Floor(channels, 1)
        self._gain = np.zeros((channels, LAGS, count), np.float32)

    def push(self, samples: Samples) -> None:
        """Take [C, n] of the high band."""
        self._held.append(samples)

    def weigh(self, shares: Floats) -> Samples:
        """Take [C, k] shares, return [C, n] of the weighed band: all that is ready."""
        self._shares.append(shares)
        count = self._ready()
        held = frames(self._held, self.step, most=count)
        spectrum = np.fft.rfft(held * window(self.step))
        gain = self._gains(self._powers(spectrum), self._shares_of(count))
        made = np.fft.irfft(spectrum * (gain @ self._bands), n=2 * self.step).astype(np.float32) * window(self.step)
        self._frame += count
        halves = np.concatenate([self._tail[:, None], made[..., self.step :]], axis=1)
        self._tail = halves[:, -1]
        done: Samples = (halves[:, :-1] + made[..., : self.step]).reshape(len(held), -1)
        early = self.step if count and not self._begun else 0  # what comes before the beginning
        self._begun = self._begun or count > 0
        return done[:, early:]

    def _ready(self) -> int:
        """Count the frames whose samples and whose share are there."""
        if not len(self._shares):
            return 0
        complete = len(self._held) // self.step - 1
        shares = self._first_share + len(self._shares)
        # the largest frame whose share is there
        last = -(-shares * self._rate * STEP // (self.step * self._low_rate)) - 1
        return max(0, min(complete, last + 1 - self._frame))

    def _shares_of(self, count: int) -> Floats:
        """[C, count]: for each frame the share of the network's frame whose middle is its own, or just before."""
        frame = np.arange(self._frame, self._frame + count)
        place = frame * self.step * self._low_rate // (self._rate * STEP) - self._first_share
        held = self._shares.peek()
        found: Floats = held[:, np.maximum(place, 0)] if count else held[:, :0]
        if count and (used := int(place[-1])) > 0:
            self._shares.take(used)
            self._first_share += used
        return found

    def _powers(self, spectrum: NDArray[Any]) -> Floats:
        """[C, K, F] -> [C, K, bands]: each band's mean power over a few frames."""
        power = (np.square(spectrum.real) + np.square(spectrum.imag)) @ self._bands.T
        power = np.concatenate([self._power, power], axis=1)
        self._power = power[:, power.shape[1] - (SMOOTH_BAND - 1) :]
        return averaged(power, SMOOTH_BAND)

    def _gains(self, power: Floats, share: Floats) -> Floats:
        """[C, K, bands], [C, K] -> [C, K, bands]: the factors for the amplitude."""
        early = max(0, SMOOTH_BAND + 1 - self._frame)  # frames that hold the silence before the beginning say nothing
        told = np.concatenate([np.full_like(power[:, :early], np.inf), power[:, early:]], axis=1)
        floor = np.minimum(self._floor.push(told), power)
        own = np.maximum(0, 1 - ABOVE * (floor + _NOTHING) / (power + _NOTHING)) ** POWER
        share = share[..., None]
        least = np.minimum(share, LENIENT * self._least.push(share))
        least = least * (DEEP + (1 - DEEP) * least)  # where the network lets all through, all passes here too
        allowed = np.minimum(1, LENIENT * share)
        gain = np.sqrt(np.maximum(allowed * own, least))
        kept: Floats = np.minimum(self._released(gain), np.sqrt(allowed))
        return kept

    def _released(self, gain: Floats) -> Floats:
        """[C, K, bands]: what rises rises at once, what falls falls in steps."""
        past = np.concatenate([self._gain, gain], axis=1)
        self._gain = past[:, past.shape[1] - LAGS :]
        for lag in range(1, LAGS + 1):
            gain = np.maximum(gain, RELEASE**lag * past[:, LAGS - lag : past.shape[1] - lag])
        return gain


class Floor:
    """The least power in each band over the last stretches of time, and in the present one so far."""

    def __init__(self, channels: int, count: int) -> None:
        self._past = np.full((STRETCHES, channels, count), np.inf, np.float32)
        self._now = np.full((channels, 1, count), np.inf, np.float32)
        self._place = 0

    def push(self, power: Floats) -> Floats:
        """[C, K, bands] -> the same shape."""
        floor, start = np.empty_like(power), 0
        while start < power.shape[1]:
            piece = power[:, start : start + STRETCH - self._place]
            least = np.minimum.accumulate(np.concatenate([self._now, piece], axis=1), axis=1)[:, 1:]
            floor[:, start : start + piece.shape[1]] = np.minimum(least, self._past.min(axis=0)[:, None])
            self._now = least[:, -1:]
            self._place += piece.shape[1]
            start += piece.shape[1]
            if self._place == STRETCH:
                self._past = np.concatenate([self._past[1:], self._now.transpose(1, 0, 2)])
                self._now, self._place = np.full_like(self._now, np.inf), 0
        return floor


def frames(held: Fifo, step: int, most: int | None = None) -> Floats:
    """[C, K, 2 step]: all whole frames that wait, each a step on; the samples before the next one go."""
    waiting = held.peek()
    count = max(0, waiting.shape[1] // step - 1)
    count = count if most is None else most
    if not count:
        return np.zeros((len(waiting), 0, 2 * step), np.float32)
    found = sliding_window_view(waiting, 2 * step, axis=1)[:, : count * step : step]
    held.take(count * step)
    return found


def averaged(values: Floats, count: int) -> Floats:
    """[C, K + count - 1, ...] -> [C, K, ...]: each the mean of itself and those just before."""
    kept = values.shape[1] - count + 1
    return sum(values[:, lag : lag + kept] for lag in range(count)) / np.float32(count)  # type: ignore[return-value]


@lru_cache(maxsize=32)
def window(step: int) -> Floats:
    """[2 step]: the square root of a Hann window, whose squares a step apart add up to one."""
    return np.sin(np.pi * np.arange(2 * step) / (2 * step)).astype(np.float32)


@lru_cache
def top() -> slice:
    """Return the bins of the top octave in a frame at the network's rate."""
    return slice(round(TOP[0] * 2 * STEP), round(TOP[1] * 2 * STEP) + 1)


@lru_cache(maxsize=32)
def bands(rate: int, low_rate: int, step: int) -> Floats:
    """[bands, F]: which part each bin has in each band; triangles, a third of an octave apart."""
    bins = np.arange(step + 1) * rate / (2 * step)
    first, last = 0.5 * low_rate * 2 ** (1 / 6), max(rate / 2, 0.5 * low_rate * 2 ** (1 / 6))
    count = 1 + round(3 * math.log2(last / first))
    place = np.clip(3 * np.log2(np.maximum(bins, 1) / first), 0, count - 1)
    parts: Floats = np.maximum(0, 1 - np.abs(place - np.arange(count)[:, None])).astype(np.float32)
    return parts
