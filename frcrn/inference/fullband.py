"""Two bands of one sound: the low one for a network at its own rate, the high one weighed beside it.

The high band is what is left of the sound when the low one, brought back to the sound's rate, is taken away from it. So
nothing is lost between them: with the low band untouched and the high one at gain one, the sound itself comes back.
"""

from __future__ import annotations

import logging

import numpy as np

from frcrn.audio import MissingPackage
from frcrn.audio.fifo import Fifo
from frcrn.audio.filters import ShortResampler
from frcrn.audio.reading import Samples
from frcrn.export.native import library
from frcrn.export.native.band import NativeBand
from frcrn.inference.highband import STEP, HighBand, TopOctave

_log = logging.getLogger(__name__)

BANDS = ("full", "speech")
"""Whether what lies above the network's band is kept and cleaned, or left out."""


def checked_band(name: str) -> str:
    """Return the name of a band, or refuse it."""
    if name not in BANDS:
        raise ValueError(f"band {name!r}: choose {' or '.join(BANDS)}")
    return name


def full_band(rate: int, low_rate: int, channels: int) -> FullBand | NativeBand:
    """Return what splits and joins both bands: the program in C where it is there, else the same in numpy."""
    if library.is_there():
        try:
            return NativeBand(rate, low_rate, channels)
        except (OSError, ValueError, MissingPackage) as error:
            _log.warning("the full band runs in numpy, which takes longer: %s", error)
    return FullBand(rate, low_rate, channels)


class FullBand:
    """Splits a sound that comes in pieces, and joins what a network made of its low band with its high band."""

    def __init__(self, rate: int, low_rate: int, channels: int) -> None:
        self._rates, self._channels = (rate, low_rate), channels
        self.reset()

    def reset(self) -> None:
        """Begin another sound."""
        (rate, low_rate), channels = self._rates, self._channels
        self._down = ShortResampler(rate, low_rate, channels)
        self._up, self._up_clean = (ShortResampler(low_rate, rate, channels) for _ in range(2))
        self._sound, self._low = Fifo(channels), Fifo(channels)
        self._clean, self._high = Fifo(channels), Fifo(channels)
        self._top, self._band = TopOctave(channels), HighBand(rate, low_rate, channels)
        self._left = 0

    def split(self, sound: Samples, last: bool = False) -> Samples:
        """[C, n] -> the low band that is ready, [C, m]; with `last` all of it, as long as the sound."""
        self._sound.append(sound)
        self._left += sound.shape[1]
        low = self._down.push(sound, last)
        low_again = self._up.push(low, last)
        self._low.append(low)
        whole = self._sound.take(low_again.shape[1])
        self._band.push(whole - low_again[:, : whole.shape[1]])
        return low

    def low_length(self, length: int) -> int:
        """Count the samples of the low band of a sound of this length."""
        rate, low_rate = self._rates
        return -(-length * low_rate // rate)

    def join(self, clean: Samples, last: bool = False) -> Samples:
        """Take the clean form [C, m] of the low band, in time with it; return what is ready of both, [C, n]."""
        self._clean.append(self._up_clean.push(clean, last))
        low = self._low.take(clean.shape[1])
        if last:  # silence after the end, so that the last frames are whole
            low, clean = (np.pad(wave, ((0, 0), (0, 3 * STEP))) for wave in (low, clean))
            self._band.push(np.zeros((self._channels, 3 * self._band.step), np.float32))
        self._high.append(self._band.weigh(self._top.push(low, clean)))
        count = min(len(self._clean), len(self._high), self._left if last else len(self._clean))
        self._left -= count
        return self._clean.take(count) + self._high.take(count)
