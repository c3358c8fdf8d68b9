"""Measure a network on a validation set: its losses, and the scores that `frcrn evaluate` gives for the same passes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor

from frcrn.evaluation.metrics.scores import Scores, score
from frcrn.evaluation.statistics import over_suppressed
from frcrn.inference.enhance import enhance
from frcrn.models.base import Enhancer
from frcrn.training.losses.objective import Losses
from frcrn.training.recipe import Evaluation

BY_EXAMPLE = ("si_snr",)
BY_CLIP = ("pesq", "stoi")
BY_SPEECH = ("speech_level", "speech_lost")
"""Of examples with speech: its level against the clean one's in dB, and the share of its frames that are lost."""

LONGEST_SECONDS = 30
"""That the network sees at once for a loss, so that recordings of any length fit into memory."""


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
        self.left_out: list[str] = []
        """Those that have no loss either."""

    def add(self, name: str, value: float) -> None:
        """Enter one value."""
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = (total + value, count + 1)

    def leave_out(self, reason: str) -> None:
        """Note an example that has no loss."""
        self.failures.append(reason)
        self.left_out.append(reason)

    def merge(self, other: Totals) -> None:
        """Add what another process found."""
        for name, (total, count) in other.sums.items():
            mine, known = self.sums.get(name, (0.0, 0))
            self.sums[name] = (mine + total, known + count)
        self.failures += other.failures
        self.left_out += other.left_out

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
    model: Enhancer,
    data: Any,
    losses: Losses,
    plan: Evaluation,
    *,
    passes: int | None = 1,
    part: int = 0,
    parts: int = 1,
) -> tuple[Totals, list[Sample]]:
    """Return what a network in evaluation mode scores on its part of the set, and the first two examples."""
    totals, samples = Totals(), []
    with scoring(model.sample_rate, plan.clips) as scorer:
        for index in range(part, min(len(data), plan.examples or len(data)), parts):
            example = data[0, index]
            noisy, clean = (torch.as_tensor(example[key]).float().cpu() for key in ("noisy", "clean"))
            if not (torch.isfinite(noisy).all() and torch.isfinite(clean).all()):
                totals.leave_out(f"example {index}: it has samples that are no finite numbers")
                continue
            try:
                enhanced = enhance(model, noisy, passes=passes)
            except ValueError as error:
                totals.leave_out(f"example {index}: {error}")
                continue
            enter_losses(totals, losses, model, noisy, clean, index)
            pair = (clean.numpy(), torch.as_tensor(enhanced).numpy())
            scored = scorer is not None and index < plan.clips
            found = scorer.submit(*pair).result() if scored else score(*pair, model.sample_rate, BY_EXAMPLE)
            enter(totals, index, found, score(pair[0], noisy.numpy(), model.sample_rate, BY_EXAMPLE))
            enter_speech(totals, score(*pair, model.sample_rate, BY_SPEECH))
            if index < 2:
                samples.append(Sample(noisy, clean, torch.as_tensor(enhanced)))
    return totals, samples


def enter_losses(totals: Totals, losses: Losses, model: Enhancer, noisy: Tensor, clean: Tensor, index: int) -> None:
    """Enter the loss of one example, waves [T], and its parts; of a long one the mean over equal pieces."""
    device = next(model.parameters()).device
    pieces = max(1, math.ceil(len(noisy) / (LONGEST_SECONDS * model.sample_rate)))
    waves = (wave.unsqueeze(0).to(device).tensor_split(pieces, dim=1) for wave in (noisy, clean))
    values = [losses(model(noisy), noisy, clean) for noisy, clean in zip(*waves, strict=True)]
    means = {"loss": fmean(float(value.total) for value in values)}
    means |= {f"loss_{name}": fmean(float(value.parts[name]) for value in values) for name in values[0].parts}
    if not all(map(math.isfinite, means.values())):
        totals.leave_out(f"example {index}: its loss is no finite number")
        return
    for name, value in means.items():
        totals.add(name, value)


@contextlib.contextmanager
def scoring(rate: int, clips: int) -> Iterator[Any]:
    """Give a process that computes PESQ and STOI, so that a crash in their C code costs a clip and not the run."""
    if not clips:
        yield None
        return
    from frcrn.evaluation.metrics.pool import Scorers

    with Scorers((*BY_EXAMPLE, *BY_CLIP), rate=rate, workers=1) as scorers:
        yield scorers


def enter(totals: Totals, index: int, scores: Scores, noisy: Scores) -> None:
    """Enter the scores of one clip, those of its input beside them, or why it has none."""
    for name, value in scores.values.items():
        totals.add(name, value)
    for name, value in noisy.values.items():
        totals.add(f"{name}_noisy", value)
    totals.failures += [f"example {index}: {reason}" for reason in sorted(set(scores.failures.values()))]


def enter_speech(totals: Totals, scores: Scores) -> None:
    """Enter what became of the speech of one example, where it has any."""
    for name, value in scores.values.items():
        totals.add(name, value)
    if len(scores.values) == len(BY_SPEECH):
        totals.add("over_suppressed", float(over_suppressed(scores.values)))
