"""Fast transforms of whole segments, and the random frequency responses of microphones and places."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frcrn.data.speech_activity import Wave

Spectrum = NDArray[np.complex64]
Response = NDArray[np.float32]

GRID = 64
"""Points of a random response, evenly spaced in log frequency; the transform's bins interpolate between them."""
LOWEST_HZ = 30.0


@cache
def _transforms() -> tuple[Callable[..., Any], Callable[..., Any]]:
    # scipy's real transform stays in float32 throughout and is twice as fast as numpy's
    try:
        from scipy.fft import irfft, rfft
    except ImportError:
        from numpy.fft import irfft, rfft
    return rfft, irfft


def rfft(wave: Wave, size: int) -> Spectrum:
    """[T] -> spectrum [size / 2 + 1] of the zero-padded wave."""
    spectrum: Spectrum = _transforms()[0](wave, size).astype(np.complex64, copy=False)
    return spectrum


def irfft(spectrum: Spectrum, size: int, length: int) -> Wave:
    """[size / 2 + 1] -> the first `length` samples of the wave."""
    wave: Wave = _transforms()[1](spectrum, size)[:length].astype(np.float32, copy=False)
    return wave


@cache
def good_size(least: int) -> int:
    """Return the smallest even 2^a 3^b 5^c that is not under `least`: transforms of these sizes are fast."""
    odd = [3**b * 5**c for b in range(8) for c in range(8)]
    sizes: list[int] = [part << max(1, (-(-least // part) - 1).bit_length()) for part in odd]
    return min(sizes)


@cache
def _grid(rate: int) -> NDArray[np.float64]:
    return np.geomspace(LOWEST_HZ, rate / 2, GRID)


@cache
def _grid_places(size: int, rate: int) -> tuple[NDArray[np.intp], Response]:
    """Return each bin's left grid point and its distance from it, so that interpolation is two look-ups."""
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / rate), LOWEST_HZ)
    places = np.interp(np.log(hertz), np.log(_grid(rate)), np.arange(GRID))
    left = np.minimum(places.astype(np.intp), GRID - 2)
    return left, (places - left).astype(np.float32)


def on_bins(decibels: NDArray[np.float64], size: int, rate: int) -> Response:
    """Gains in dB on the grid [64] -> amplitude response on the bins of a transform [size / 2 + 1]."""
    gains = (10 ** (decibels / 20)).astype(np.float32)
    left, share = _grid_places(size, rate)
    response: Response = gains[left] + share * np.diff(gains)[left]
    return response


def filtered(wave: Wave, decibels: NDArray[np.float64], rate: int) -> Wave:
    """[T] -> [T] through the response given in dB on the grid."""
    size = good_size(len(wave) + rate // 50)
    return irfft(rfft(wave, size) * on_bins(decibels, size, rate), size, len(wave))


def tilt(rng: np.random.Generator, most_db: float, rate: int) -> NDArray[np.float64]:
    """Draw a spectral tilt [64] of up to `most_db` either way over four octaves around 1 kHz."""
    octaves = np.log2(_grid(rate) / 1000.0)
    gains: NDArray[np.float64] = rng.uniform(-most_db, most_db) * np.clip(octaves, -3, 3) / 4
    return gains


def colour(rng: np.random.Generator, most_db: float) -> NDArray[np.float64]:
    """Draw a smooth random response [64] within about `most_db` either way."""
    knots = rng.uniform(-most_db, most_db, 8)
    gains: NDArray[np.float64] = np.interp(np.linspace(0, 7, GRID), np.arange(8), knots)
    return gains


def band(low_hz: float, high_hz: float, rate: int) -> NDArray[np.float64]:
    """Return a pass band [64] with slopes of 24 dB an octave below and 60 above, down to -60 dB."""
    octaves_low = np.log2(low_hz / _grid(rate))
    octaves_high = np.log2(_grid(rate) / high_hz)
    return np.maximum(-24.0 * np.maximum(octaves_low, 0) - 60.0 * np.maximum(octaves_high, 0), -60.0)
