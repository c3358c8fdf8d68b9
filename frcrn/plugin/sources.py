"""Everything that the pipeline takes as sound, as one thing: samples, their rate, their format and a name."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from frcrn.audio import AudioError, AudioFormat, Samples, as_floats, checked_rate, finite, read
from frcrn.inference.enhance import MOST_CHANNELS
from frcrn.plugin.web import fetch, is_url, name_in

ACCEPTED = (
    "a path, an http address, the bytes of an audio file, a file object, a numpy array or torch tensor [time] or "
    "[channels, time], a pair (wave, rate), a row with array and sampling_rate (or bytes, or path), or a list, dataset "
    "or generator of these"
)


class Sound(NamedTuple):
    """Samples [C, T] at a rate, and how they were stored where they come from a container."""

    samples: Samples
    rate: int
    format: AudioFormat | None = None


def open_clip(source: Any, rate: int, *, repair: bool = False) -> Sound:
    """Return the sound of one input; a bare wave is at `rate`."""
    if isinstance(source, (np.ndarray, torch.Tensor)):
        return of_wave(source, rate, repair)
    if isinstance(source, tuple):
        return of_pair(source, repair)
    if isinstance(source, Mapping):
        return of_row(source, rate, repair)
    if isinstance(source, str) and is_url(source):
        file = io.BytesIO(fetch(source))
        file.name = source
        return Sound(*read(file, repair=repair))
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(source, "read"):
        return Sound(*read(source, repair=repair))
    raise AudioError(f"expected {ACCEPTED}, found {type(source).__name__}")


def name_of(source: Any) -> str:
    """Return the file name that an input came with, empty where it had none."""
    if isinstance(source, str) and is_url(source):
        return name_in(source)
    if isinstance(source, Mapping):
        source = source.get("path")
    return Path(source).name if isinstance(source, (str, os.PathLike)) else ""


def of_pair(pair: tuple[Any, ...], repair: bool) -> Sound:
    """(wave, rate) -> a clip."""
    if len(pair) != 2 or not isinstance(pair[0], (np.ndarray, torch.Tensor)) or not isinstance(pair[1], Real):
        kinds = ", ".join(type(part).__name__ for part in pair)
        raise AudioError(f"expected a pair (wave, rate), found a tuple of {kinds or 'nothing'}")
    return of_wave(pair[0], checked_rate(pair[1]), repair)  # type: ignore[arg-type]


def of_row(row: Mapping[str, Any], rate: int, repair: bool) -> Sound:
    """A cell of an audio column, decoded or not -> a clip."""
    if row.get("array") is not None:
        return of_wave(np.asanyarray(row["array"]), checked_rate(row.get("sampling_rate") or rate), repair)
    source = row["bytes"] if row.get("bytes") is not None else row.get("path")
    if source is None or isinstance(source, Mapping):
        names = ", ".join(map(str, row)) or "nothing"
        raise AudioError(f"expected a row with array and sampling_rate, bytes or path, found dict with {names}")
    return open_clip(source, rate, repair=repair)


def of_wave(wave: Any, rate: int, repair: bool) -> Sound:
    """[T] or [C, T] -> a clip."""
    samples = np.atleast_2d(as_floats(wave))
    if samples.ndim != 2 or not samples.size or len(samples) > max(MOST_CHANNELS, samples.shape[1]):
        raise AudioError(f"wave of shape {list(wave.shape)}: expected [time] or [channels, time], at least one sample")
    return Sound(finite(samples, "wave", rate, repair=repair), rate)
