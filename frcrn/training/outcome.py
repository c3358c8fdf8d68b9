"""How a run ended, and which weights its `output/` holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from frcrn.training.recipe import Recipe
from frcrn.training.schedule import Progress

Held = Literal["start", "best", "last", "mean"]

LEVEL_DB = 0.5
"""How much further from the clean clip's the level of speech may be than with the starting weights."""


class Result(NamedTuple):
    """How a run ended: at which step, why, the best score on the validation set, where the model lies."""

    step: int
    reason: str
    best: float | None
    output: Path
    held: Held = "last"
    """Which weights `output` holds: the starting ones, those that scored best, the last ones, or a stage's mean."""
    score: float | None = None
    """Of the weights in `output`, by the recipe's `evaluation.best`."""
    start: float | None = None
    """Of the starting weights."""


def result_of(recipe: Recipe, progress: Progress, reason: str, output: Path, *, has_valid: bool) -> Result:
    """Return how a run ended."""
    metric = recipe.evaluation.best
    sign = -1 if metric == "loss" else 1
    held = held_by(recipe, progress, has_valid=has_valid)
    best = None if progress.best is None else sign * progress.best
    scored = progress.evaluated == progress.step
    last = sign * progress.score if scored and progress.score is not None else None
    start = None if progress.start is None else progress.start.get(metric)
    return Result(progress.step, reason, best, output, held, last if held == "last" else best, start)


def held_by(recipe: Recipe, progress: Progress, *, has_valid: bool) -> Held:
    """Return which weights `output/` holds."""
    if recipe.train.keep_last or not has_valid or progress.best is None:
        return "last"
    return "start" if progress.start is not None and progress.best_step == 0 else "best"


def strays(scores: Mapping[str, Any], start: Mapping[str, float] | None) -> bool:
    """Say whether speech came out further from its own level than with the starting weights, by more than LEVEL_DB."""
    if start is None or "speech_level" not in start or "speech_level" not in scores:
        return False
    return abs(float(scores["speech_level"])) > abs(start["speech_level"]) + LEVEL_DB


def sentence(result: Result, metric: str) -> str:
    """Say in one line where the model lies and which weights it holds, with their score by a metric."""
    what = {
        "start": "the starting weights, as no later ones scored better",
        "best": "the weights that scored best",
        "last": "the last weights",
        "mean": "the mean of the last stage's and earlier weights",
    }[result.held]
    known = "" if result.score is None else f", {metric} {result.score:.3f}"
    before = "" if result.start is None or result.held == "start" else f" (start {result.start:.3f})"
    return f"{result.output}: step {result.step}, {result.reason}; it holds {what}{known}{before}"
