"""Ratios of what was kept to what was lost, example by example; on silence they stay finite."""

from __future__ import annotations

import torch
from torch import Tensor

from frcrn.evaluation.metrics.ratios import projection
from frcrn.training.losses.spectra import TINY_POWER

SILENCE = 1e-6
"""Mean power of what counts as silence: -60 dBFS."""
PAUSE = 1e-4
"""Power of a frame beside the loudest one's, below which nothing is said in it: -40 dB."""
FRAME = 400
"""Samples of a frame in which a pause is looked for: 25 ms at 16 kHz."""


def audible(clean: Tensor) -> Tensor:
    """[B, T] -> [B]: 1 where the target has sound, 0 where it is silent."""
    return (clean.square().mean(dim=1) > SILENCE).to(clean.dtype)


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


def whole_power(wave: Tensor) -> Tensor:
    """[B, T] -> [B, 1]: mean power."""
    return wave.square().mean(dim=1, keepdim=True)


def frame_power(wave: Tensor) -> Tensor:
    """[B, T] -> [B, N]: mean power of each whole frame; of all, where there is not one."""
    size = min(FRAME, wave.shape[1])
    return wave.square().unfold(1, size, size).mean(dim=2)


def pausing(power: Tensor) -> Tensor:
    """[B, N] -> [B, N]: where nothing is said."""
    return (power <= SILENCE) | (power < PAUSE * power.amax(dim=1, keepdim=True))
