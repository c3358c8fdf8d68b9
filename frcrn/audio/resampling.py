"""Change the sample rate, to an exact length, at once or block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from frcrn.audio.formats import AudioError
from frcrn.audio.reading import Audio, Samples

_PIECE = 1 << 16
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
"""What is taken for a rate at all; a damaged header that says less or more would ask for hours of work or memory."""


def resampled_length(length: int, rate: int, new_rate: int) -> int:
    """Count the samples that cover the same time at another rate, halves rounded up."""
    return (2 * length * new_rate + rate) // (2 * rate)


def resample(samples: Samples, rate: int, new_rate: int) -> Samples:
    """[T] or [C, T] -> the same at the new rate, round(T * new_rate / rate) samples long."""
    checked_rate(rate)
    checked_rate(new_rate)
    if rate == new_rate:
        return samples
    wave = np.atleast_2d(samples)
    parts = list(resampled([wave], rate, new_rate, channels=len(wave)))
    wave = exactly(np.concatenate(parts, axis=1), resampled_length(wave.shape[1], rate, new_rate))
    return wave.reshape(*samples.shape[:-1], wave.shape[1])


def resampled(blocks: Iterable[Samples], rate: int, new_rate: int, *, channels: int) -> Iterator[Samples]:
    """Blocks [C, n] at one rate -> blocks [C, m] at the other, together as long as `resample` makes the whole."""
    if rate == new_rate:
        yield from blocks
        return
    resampler = _resampler(rate, new_rate, channels)
    for block in blocks:
        for start in range(0, block.shape[1], _PIECE):
            yield resampler.resample_chunk(block[:, start : start + _PIECE].T).T
    yield resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True).T


def silence_after(rate: int, new_rate: int) -> int:
    """Count the samples to put after the end, so that resampling there and back covers the last samples too."""
    return 0 if rate == new_rate else rate // new_rate + 2


def exactly(samples: Samples, length: int) -> Samples:
    """[C, T] -> [C, length]: cut, or filled with zeros at the end."""
    missing = length - samples.shape[1]
    return np.pad(samples, ((0, 0), (0, missing))) if missing > 0 else samples[:, :length]


def checked_rate(rate: int) -> int:
    """Return the rate where it is a whole number of samples a second within what recordings have."""
    whole = isinstance(rate, (int, float, np.integer, np.floating)) and rate == rate // 1
    if not (whole and LOWEST_RATE <= rate <= HIGHEST_RATE):
        accepted = f"{LOWEST_RATE} to {HIGHEST_RATE}"
        raise AudioError(f"sample rate {rate}: expected a positive whole number of samples a second, {accepted}")
    return int(rate)


def _resampler(rate: int, new_rate: int, channels: int) -> soxr.ResampleStream:
    try:
        return soxr.ResampleStream(rate, new_rate, channels, dtype="float32")
    except (RuntimeError, ValueError) as error:
        raise AudioError(f"cannot resample {channels} channels from {rate} to {new_rate} Hz: {error}") from error


def mono(audio: Audio, rate: int) -> Samples:
    """Average the channels and resample: -> [T] at `rate`."""
    samples = audio.samples.mean(axis=0, keepdims=True, dtype=np.float32)
    return np.asarray(resample(samples, audio.rate, rate)[0])
