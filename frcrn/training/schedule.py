"""How far a run is, and the learning rate that belongs to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from frcrn.config import shown
from frcrn.training.recipe import Train


@dataclass
class Progress:
    """Where a run stands: all that a checkpoint must remember besides tensors; times and audio in seconds."""

    step: int = 0
    examples: int = 0
    audio: float = 0.0
    elapsed: float = 0.0
    start: dict[str, float] | None = None
    """What the weights scored that the run starts from."""
    score: float | None = None
    """Of the last evaluation by `evaluation.best`; like `best`, higher is better."""
    best: float | None = None
    best_step: int = 0
    evaluated: int = 0
    stale: int = 0
    stale_rate: int = 0
    rate_scale: float = 1.0
    skipped: int = 0
    skipped_in_a_row: int = 0

    def learn(self, left_out: tuple[int, int] | None, limit: int) -> None:
        """Note how many steps had no finite gradient, and in a row by now, if known; give up after many in a row."""
        if left_out is None:
            return
        steps, self.skipped_in_a_row = left_out
        self.skipped += steps
        if self.skipped_in_a_row >= limit:
            raise ValueError(
                f"step {self.step}: the gradient was not finite {self.skipped_in_a_row} times in a row;"
                " lower train.lr or train.clip_norm, or check the data"
            )


def progress_of(values: Mapping[str, Any]) -> Progress:
    """Return the progress in a checkpoint, or refuse what cannot be one."""
    progress = Progress(**values)
    for name, value in values.items():
        known = isinstance(value, dict) if name == "start" else isinstance(value, (int, float))
        if not (known or value is None) or (name in ("step", "examples") and not 0 <= value < 2**53):
            raise ValueError(f"progress.{name}: expected a number of 0 or more, found {shown(value)}")
    return progress


def share(train: Train, progress: Progress) -> float:
    """Return how much of the budget is used, 0 to 1: of the steps or of the minutes, whichever is further."""
    of_steps = progress.step / train.max_steps if train.max_steps else 0.0
    of_time = progress.elapsed / (60 * train.max_minutes) if train.max_minutes else 0.0
    return min(1.0, max(of_steps, of_time))


def seconds_left(train: Train, progress: Progress) -> float | None:
    """Return how long the rest of the budget takes at the pace so far, resumed or not; None before the first step."""
    done = share(train, progress)
    return progress.elapsed * (1 - done) / done if done > 0 else None


def learning_rate(train: Train, progress: Progress) -> float:
    """Return the rate of the next step: warm-up, then flat until `decay_from`, then half a cosine down."""
    warm = min(1.0, (progress.step + 1) / train.warmup_steps) if train.warmup_steps else 1.0
    if train.schedule == "plateau":
        return train.lr * warm * progress.rate_scale
    done = share(train, progress)
    fall = (done - train.decay_from) / (1 - train.decay_from) if done > train.decay_from else 0.0
    height = train.final_lr + (1 - train.final_lr) * 0.5 * (1 + math.cos(math.pi * fall))
    return train.lr * warm * height


def note_score(train: Train, progress: Progress, score: float, *, eligible: bool = True) -> bool:
    """Enter an evaluation (higher is better) and tell whether it is the best so far, of those that are eligible."""
    progress.evaluated, progress.score = progress.step, score
    if eligible and math.isfinite(score) and (progress.best is None or score > progress.best):
        progress.best, progress.best_step, progress.stale, progress.stale_rate = score, progress.step, 0, 0
        return True
    progress.stale += 1
    progress.stale_rate += 1
    if train.schedule == "plateau" and progress.stale_rate > train.plateau_patience:
        progress.rate_scale *= train.plateau_factor
        progress.stale_rate = 0
    return False
