"""Signal-to-noise ratios, plain and scale-invariant; the same name takes numpy arrays and torch tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # the scoring processes need no torch
    from torch import Tensor

Wave = NDArray[np.floating]
LIMIT_DB = 100.0


def ratio_db(signal: float, noise: float) -> float:
    """Energies -> decibels, held within +-LIMIT_DB so that equal signals have a value."""
    if signal <= 0 or noise <= 0:
        return LIMIT_DB if signal > 0 else -LIMIT_DB if noise > 0 else 0.0
    return float(np.clip(10 * math.log10(signal / noise), -LIMIT_DB, LIMIT_DB))


def energy(wave: Wave) -> float:
    """[T] -> the sum of squares."""
    wide = wave.astype(np.float64, copy=False)
    return float(wide @ wide)


@overload
def si_snr(estimate: Wave, target: Wave) -> float: ...
@overload
def si_snr(estimate: Tensor, target: Tensor) -> Tensor: ...
def si_snr(estimate: Wave | Tensor, target: Wave | Tensor) -> float | Tensor:
    """Scale-invariant SNR in dB, means removed: numpy [T] -> float; tensors [..., T] -> [...], differentiable."""
    if isinstance(estimate, np.ndarray) and isinstance(target, np.ndarray):
        return si_sdr(estimate - np.mean(estimate, dtype=np.float64), target - np.mean(target, dtype=np.float64))
    estimate, target = cast("Tensor", estimate), cast("Tensor", target)
    estimate = estimate - estimate.mean(dim=-1, keepdim=True)
    target = target - target.mean(dim=-1, keepdim=True)
    return _projected_db(estimate, target)


@overload
def si_sdr(estimate: Wave, target: Wave) -> float: ...
@overload
def si_sdr(estimate: Tensor, target: Tensor) -> Tensor: ...
def si_sdr(estimate: Wave | Tensor, target: Wave | Tensor) -> float | Tensor:
    """Scale-invariant SDR (Le Roux 2019) in dB, means kept: numpy [T] -> float; tensors [..., T] -> [...]."""
    if not (isinstance(estimate, np.ndarray) and isinstance(target, np.ndarray)):
        return _projected_db(cast("Tensor", estimate), cast("Tensor", target))
    estimate, target = estimate.astype(np.float64), target.astype(np.float64)
    scale = float(estimate @ target) / max(energy(target), np.finfo(np.float64).tiny)
    return ratio_db(energy(scale * target), energy(estimate - scale * target))


def projection(estimate: Tensor, target: Tensor, tiny: float = 1e-20) -> Tensor:
    """[..., T], [..., T] -> [..., T]: the part of the estimate that is the target, scaled."""
    product = (estimate * target).sum(dim=-1, keepdim=True)
    return product / (target.square().sum(dim=-1, keepdim=True) + tiny) * target


def _projected_db(estimate: Tensor, target: Tensor) -> Tensor:
    tiny = 1e-20
    projected = projection(estimate, target, tiny)
    signal, noise = projected.square().sum(dim=-1) + tiny, (estimate - projected).square().sum(dim=-1) + tiny
    floor = 10 ** (-LIMIT_DB / 10)
    return 10 * (signal.clamp(min=noise.detach() * floor) / noise.clamp(min=signal.detach() * floor)).log10()


def snr(estimate: Wave, target: Wave) -> float:
    """[T] -> plain signal-to-noise ratio in dB: the target over everything that differs from it."""
    return ratio_db(energy(target), energy(estimate.astype(np.float64) - target))
