"""What losses share: which stages they look at, and how far apart two things are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from frcrn.config import require
from frcrn.models.base import Estimate, Stage
from frcrn.training.losses.spectra import TINY_POWER

Stages = Literal["last", "all"]
Norm = Literal["l1", "mse"]
Measure = Literal["mse", "l1", "ratio", "correlation"]
"""How two spectra are compared: bin by bin, or as the waves of an example."""
CEILING = 1e-3
"""What is lost beside what is wanted, below which a ratio no longer rises: 30 dB."""
SILENT = 1e-6
"""Power of an estimate beside the target's, below which it has no correlation: -60 dB."""


def chosen(estimate: Estimate, stages: Stages) -> tuple[Stage, ...]:
    """Return the stages that a loss looks at."""
    return estimate.stages if stages == "all" else estimate.stages[-1:]


def over_stages(estimate: Estimate, stages: Stages, error: Callable[[Stage], Tensor]) -> Tensor:
    """Return the sum of an error over the stages that a loss looks at."""
    return torch.stack([error(stage) for stage in chosen(estimate, stages)]).sum()


def distance(a: Tensor, b: Tensor, norm: Norm) -> Tensor:
    """Return the mean absolute or squared difference."""
    return (a - b).abs().mean() if norm == "l1" else (a - b).square().mean()


def loudness_gain(wave: Tensor) -> Tensor:
    """[B, T] -> [B, 1]: brings the wave to -20 dBFS; silence stays finite."""
    return 0.1 / (wave.square().mean(dim=1, keepdim=True).sqrt() + 1e-5)


def spectral_distance(found: Tensor, target: Tensor, measure: Measure, sounding: Tensor) -> Tensor:
    """[B, C, F, N], [B, C, F, N] of magnitudes (C = 1) or spectra (C = 2), [B] where ratios count -> a scalar."""
    lost = (found - target).square()
    if measure == "mse":
        return lost.sum(dim=1).mean()
    if measure == "l1":
        return (lost.sum(dim=1) + TINY_POWER**2).sqrt().mean()
    every = (1, 2, 3)
    kept = target.square().sum(dim=every)
    if measure == "ratio":
        decibels = 10 * ((kept + TINY_POWER) / (lost.sum(dim=every) + CEILING * kept + TINY_POWER)).log10()
        return -(decibels * sounding).mean()
    mine = found.square().sum(dim=every)
    alike = (found * target).sum(dim=every) * (kept * mine + TINY_POWER).rsqrt()
    # a silent estimate is like nothing, and its slope would be endless
    return ((1 - torch.where(mine > SILENT * kept, alike, 0.0)) * sounding).mean()


def check_transform(window: int, hop: int) -> None:
    """Refuse a window and hop that the STFT cannot do."""
    possible = hop > 0 and window % 2 == 0 and window % hop == 0 and window >= 2 * hop
    require(possible, "window", "an even multiple of the hop, at least 2 hops", (window, hop))
