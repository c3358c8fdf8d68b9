"""What is done to trained weights: means of several networks, and the mask's bound that keeps clean speech's level."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from frcrn.models.base import Enhancer

LEVEL_CLIPS = 40
"""Clips of clean speech on which the level is measured."""


@torch.no_grad()
def kept_level(model: Enhancer, waves: Iterable[Tensor]) -> float | None:
    """Return the median ratio of output to input amplitude over waves [T] of clean speech; None without any."""
    device = next(model.parameters()).device
    ratios = []
    for clean in waves:
        batch = clean.unsqueeze(0).to(device)
        ratios.append(float(model(batch).wave.norm() / batch.norm()))
    return statistics.median(ratios) if ratios else None


def set_level(model: Enhancer, waves: Iterable[Tensor]) -> float | None:
    """Set the mask's bound so that clean speech [T] keeps its level, in place; return the level before, as a ratio.

    The mask is `bound * tanh(...)`, so the output's level is proportional to the bound, and no weight need change.
    """
    if not hasattr(model.config, "mask_bound"):
        raise ValueError("recipe.train.set_level: expected a network with a mask_bound, found one without")
    kept = kept_level(model, waves)
    if kept is not None and kept > 0:
        model.config = replace(model.config, mask_bound=round(model.config.mask_bound / kept, 4))
    return kept


def clean_speech(data: Any) -> Iterator[Tensor]:
    """Yield the first clean waves [T] of a set that are not silent."""
    found = 0
    for index in range(len(data)):
        clean = torch.as_tensor(data[0, index]["clean"]).float().cpu()
        if bool(clean.any()):
            yield clean
            found += 1
        if found == LEVEL_CLIPS:
            return


@torch.no_grad()
def mix_in(model: nn.Module, other: nn.Module, share: float) -> None:
    """Move all weights and statistics of a network this share of the way to those of another of its shape."""
    for mine, theirs in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(theirs.to(mine), share)


def mean(model: nn.Module, others: Iterable[tuple[nn.Module, float]]) -> None:
    """Make a network the weighted mean of itself and others, in place; its own share is what theirs leave of 1."""
    pairs = list(others)
    whole = 1.0 - sum(share for _, share in pairs)
    # m_k = m_(k-1) + s_k / (own + s_1 + ... + s_k) * (x_k - m_(k-1)) gives own, s_1, ..., s_n their shares
    for other, share in pairs:
        whole += share
        mix_in(model, other, share / whole)
