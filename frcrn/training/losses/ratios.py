"""Ratios of what was kept to what was lost, example by example; on silence they stay finite."""

from __future__ import annotations

import torch
from torch import Tensor

from frcrn.evaluation.metrics.ratios import projection
from frcrn.training.losses.spectra import TINY_POWER

SILENCE_DBFS = -60.0


def audible(clean: Tensor) -> Tensor:
    """[B, T] -> [B]: 1 where the target has sound, 0 where it is silent."""
    return (clean.square().mean(dim=1) > 10 ** (SILENCE_DBFS / 10)).to(clean.dtype)


def scale_invariant_snr(estimate: Tensor, clean: Tensor, ceiling_db: float | None = None) -> Tensor:
    """[B, T], [B, T] -> [B] in dB; with a ceiling it flattens out there, and better examples stop pulling."""
    target = projection(estimate, clean, TINY_POWER)
    kept = target.square().sum(dim=1)
    lost = (estimate - target).square().sum(dim=1) + TINY_POWER
    if ceiling_db is not None:
        lost = lost + 10 ** (-ceiling_db / 10) * kept
    return 10 * torch.log10(kept / lost + TINY_POWER)


def snr(estimate: Tensor, clean: Tensor, ceiling_db: float) -> Tensor:
    """[B, T], [B, T] -> [B] in dB, of which a wrong level takes some; flattens out at the ceiling."""
    kept = clean.square().sum(dim=1)
    lost = (estimate - clean).square().sum(dim=1) + 10 ** (-ceiling_db / 10) * kept
    return 10 * torch.log10((kept + TINY_POWER) / (lost + TINY_POWER))
