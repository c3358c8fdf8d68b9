"""Measure a network on a validation set while it trains."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from frcrn.losses import Losses, audible
from frcrn.metrics import si_snr
from frcrn.models.base import Enhancer
from frcrn.training.recipe import Evaluation

BY_CLIP = ("pesq", "stoi")


class Sample(NamedTuple):
    """One validation example, each wave [T]."""

    noisy: Tensor
    clean: Tensor
    enhanced: Tensor


class Totals:
    """Sums and counts by name, which processes can add up."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[float, int]] = {}
        self.failures: list[str] = []

    def add(self, name: str, value: float) -> None:
        """Enter one value."""
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = (total + value, count + 1)

    def merge(self, other: Totals) -> None:
        """Add what another process found."""
        for name, (total, count) in other.sums.items():
            mine, known = self.sums.get(name, (0.0, 0))
            self.sums[name] = (mine + total, known + count)
        self.failures += other.failures

    def means(self) -> dict[str, Any]:
        """Return the mean of each measure, how many examples it is over, and the clips that failed."""
        found: dict[str, Any] = {name: total / count for name, (total, count) in sorted(self.sums.items())}
        found["examples"] = self.sums.get("loss", (0.0, 0))[1]
        for name in BY_CLIP:
            if name in self.sums:
                found[f"{name}_clips"] = self.sums[name][1]
        return found | ({"failed": sorted(self.failures)} if self.failures else {})


@torch.no_grad()
def validate(
    model: Enhancer, data: Any, losses: Losses, plan: Evaluation, *, part: int = 0, parts: int = 1
) -> tuple[Totals, list[Sample]]:
    """Return what a network in evaluation mode scores on its part of the set, and the first two examples."""
    device = next(model.parameters()).device
    totals, samples = Totals(), []
    with scoring(model.sample_rate, plan.clips) as scorer:
        for index in range(part, min(len(data), plan.examples or len(data)), parts):
            example = data[0, index]
            noisy, clean = (torch.as_tensor(example[key]).float().to(device) for key in ("noisy", "clean"))
            enhanced = measure(model, losses, noisy, clean, totals)
            if scorer is not None and index < plan.clips:
                pending = scorer.submit(clean.cpu().numpy(), enhanced.cpu().numpy())
                enter(totals, index, pending.result())
            if index < 2:
                samples.append(Sample(noisy.cpu(), clean.cpu(), enhanced.cpu()))
    return totals, samples


def measure(model: Enhancer, losses: Losses, noisy: Tensor, clean: Tensor, totals: Totals) -> Tensor:
    """[T], [T] -> enhanced [T], entering the loss and, where the target is not silent, SI-SNR before and after."""
    estimate = model(noisy.unsqueeze(0))
    value = losses(estimate, noisy.unsqueeze(0), clean.unsqueeze(0))
    enhanced: Tensor = estimate.wave[0].float()
    totals.add("loss", float(value.total))
    for name, part in value.parts.items():
        totals.add(f"loss_{name}", float(part))
    if audible(clean.unsqueeze(0)).item():
        totals.add("si_snr", float(si_snr(enhanced, clean)))
        totals.add("si_snr_noisy", float(si_snr(noisy, clean)))
    return enhanced


@contextlib.contextmanager
def scoring(rate: int, clips: int) -> Iterator[Any]:
    """Give a process that computes PESQ and STOI, so that a crash in their C code costs a clip and not the run."""
    if not clips:
        yield None
        return
    from frcrn.scorers import Scorers

    with Scorers(BY_CLIP, rate=rate, workers=1) as scorers:
        yield scorers


def enter(totals: Totals, index: int, scores: Any) -> None:
    """Enter the scores of one clip, or why it has none."""
    for name, value in scores.values.items():
        totals.add(name, value)
    totals.failures += [f"example {index}: {reason}" for reason in sorted(set(scores.failures.values()))]
