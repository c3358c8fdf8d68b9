"""Numpy arrays and torch tensors of any sample type as float32 at full scale 1, and back again."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from frcrn.audio.formats import AudioError
from frcrn.visible import visible

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import TypeIs

_log = logging.getLogger(__name__)
Wave = TypeVar("Wave", NDArray[Any], "Tensor")

# dtype -> (value of silence, value of full scale)
_INTEGERS = {"uint8": (128, 2.0**7), "int8": (0, 2.0**7), "int16": (0, 2.0**15), "int32": (0, 2.0**31)}
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def is_tensor(value: object) -> TypeIs[Tensor]:
    """Say whether a value is a torch tensor, without loading torch where nobody has: then nothing can be one."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_floats(wave: NDArray[Any] | Tensor) -> NDArray[np.float32]:
    """Return samples as a float32 array of the same shape, integers scaled to -1..1."""
    kind = _kind(wave)
    values = wave.detach().cpu() if is_tensor(wave) else wave
    if kind in _INTEGERS:
        silence, full = _INTEGERS[kind]
        return ((np.asarray(values).astype(np.float64) - silence) / full).astype(np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes Inf, which the caller refuses by position
        return np.asarray(values.float() if is_tensor(values) else values).astype(np.float32)


def samples_of(values: Any) -> NDArray[np.float32]:
    """Return the same of what may be a list, too."""
    return as_floats(values if is_tensor(values) or isinstance(values, np.ndarray) else np.asarray(values))


def like(wave: Wave, floats: NDArray[np.float32]) -> Wave:
    """Return float32 samples as the type, dtype and device of `wave`; integers are rounded and clipped."""
    kind = _kind(wave)
    values: NDArray[Any] = floats
    if kind in _INTEGERS:
        silence, full = _INTEGERS[kind]
        whole = np.clip(np.rint(floats.astype(np.float64) * full), -full, full - 1) + silence
        values = whole.astype(kind)
    if is_tensor(wave):
        import torch

        return torch.from_numpy(np.array(values)).to(device=wave.device, dtype=wave.dtype)
    return values.astype(wave.dtype)


def beyond(samples: NDArray[np.float32]) -> int:
    """Count the samples that whole numbers cannot hold, as they end at full scale."""
    return int(np.count_nonzero(np.abs(samples) > 1))


def say_clipped(name: str, count: int) -> None:
    """Say that so many samples were beyond full scale, where there are any."""
    if count:
        _log.warning("%s: clipped %d samples beyond full scale", visible(name), count)


def _kind(wave: NDArray[Any] | Tensor) -> str:
    """The dtype's name, where it is one that holds samples."""
    if not (isinstance(wave, np.ndarray) or is_tensor(wave)):
        raise AudioError(f"expected a numpy array or a torch tensor, found {type(wave).__name__}")
    if isinstance(wave, np.ma.MaskedArray) and (count := int(np.ma.getmaskarray(wave).sum())):
        raise AudioError(
            f"expected samples, found an array in which {count} are masked; its filled(0) has silence there"
        )
    if is_tensor(wave) and (wave.is_meta or str(wave.layout) != "torch.strided"):
        raise AudioError(
            "expected a tensor that holds its values one after another, found a sparse one or none of them"
        )
    kind = str(wave.dtype).removeprefix("torch.") if is_tensor(wave) else wave.dtype.name
    if kind not in _INTEGERS and kind not in _FLOATS:
        raise AudioError(f"wave of type {kind}: accepted are {', '.join((*_FLOATS, *_INTEGERS))}")
    return kind
