"""The full band in C: the same as `frcrn.inference.fullband.FullBand`, to a few units of the last place."""

from __future__ import annotations

import ctypes
import weakref
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frcrn.audio.fifo import Fifo
from frcrn.audio.reading import Samples
from frcrn.export.native.library import library


class Band:
    """What C keeps for a pair of rates; it serves any number of channels and threads."""

    def __init__(self, rate: int, low_rate: int) -> None:
        compiled = library()
        self.address = compiled.frcrn_band_open(rate, low_rate)
        if not self.address:
            raise ValueError(f"full band of {rate} Hz beside {low_rate} Hz: the program in C has no such band")
        weakref.finalize(self, compiled.frcrn_band_close, self.address)
        self.state_size: int = compiled.frcrn_band_state_size(self.address)
        self.scratch_size: int = compiled.frcrn_band_scratch_size(self.address)
        self.split, self.join = compiled.frcrn_band_split, compiled.frcrn_band_join


@lru_cache(maxsize=8)
def band(rate: int, low_rate: int) -> Band:
    """Return the tables for a pair of rates, made once."""
    return Band(rate, low_rate)


def addresses(rows: NDArray[Any]) -> list[int]:
    """Return where each row [C, n] begins; the samples of a row lie side by side."""
    first, step = rows.ctypes.data, rows.strides[0]
    return [first + step * row for row in range(len(rows))]


class NativeBand:
    """Splits a sound that comes in pieces, and joins what a network made of its low band with its high band."""

    def __init__(self, rate: int, low_rate: int, channels: int) -> None:
        self._rates, self._channels, self._band = (rate, low_rate), channels, band(rate, low_rate)
        self._scratch = np.empty(self._band.scratch_size, np.uint8)
        # what a call may give beyond what goes in: what is held back, and silence after the end
        self._low_room, self._room = 400, 1600 * rate // low_rate + 64
        self.reset()

    def reset(self) -> None:
        """Begin another sound."""
        self._state = np.zeros((self._channels, self._band.state_size), np.uint8)
        scratch = self._scratch.ctypes.data
        self._memory = [(self._band.address, state, scratch) for state in addresses(self._state)]
        self._low, self._high = Fifo(self._channels), Fifo(self._channels)
        self._left = 0

    def low_length(self, length: int) -> int:
        """Count the samples of the low band of a sound of this length."""
        rate, low_rate = self._rates
        return -(-length * low_rate // rate)

    def split(self, sound: Samples, last: bool = False) -> Samples:
        """[C, n] -> the low band that is ready, [C, m]; with `last` all of it, as long as the sound."""
        sound, count = np.ascontiguousarray(sound, np.float32), sound.shape[1]
        self._left += count
        low = np.empty((self._channels, self.low_length(count) + self._low_room), np.float32)
        high = np.empty((self._channels, count + self._room), np.float32)
        highs, lows, of_band = ctypes.c_int(), 0, self._band
        rows = zip(self._memory, addresses(sound), addresses(low), addresses(high), strict=True)
        for memory, sound_at, low_at, high_at in rows:
            lows = of_band.split(*memory, sound_at, count, last, low_at, high_at, ctypes.byref(highs))
        self._low.append(low[:, :lows])
        self._high.append(high[:, : highs.value])
        return low[:, :lows]

    def join(self, clean: Samples, last: bool = False) -> Samples:
        """Take the clean form [C, m] of the low band, in time with it; return what is ready of both, [C, n]."""
        clean, count = np.ascontiguousarray(clean, np.float32), clean.shape[1]
        low, high = np.ascontiguousarray(self._low.take(count)), self._high.peek()
        rate, low_rate = self._rates
        out = np.empty((self._channels, count * rate // low_rate + self._room), np.float32)
        highs, outs, of_band = ctypes.c_int(), 0, self._band
        rows = zip(self._memory, addresses(low), addresses(clean), addresses(high), addresses(out), strict=True)
        for memory, low_at, clean_at, high_at, out_at in rows:
            highs.value = high.shape[1]
            outs = of_band.join(*memory, low_at, clean_at, count, last, high_at, ctypes.byref(highs), out_at)
        self._high.take(highs.value)
        outs = min(outs, self._left)
        self._left -= outs
        return out[:, :outs]
