"""Which weights a run keeps: the best averaged ones where they can be compared, else the newest."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from frcrn.models.checkpoint import save_directory
from frcrn.models.directories import CONFIGURATION
from frcrn.texts import read_json
from frcrn.training.logs import numbers_in
from frcrn.training.outcome import Held, held_by, strays
from frcrn.training.schedule import note_score
from frcrn.training.scoring import Scoring

logger = logging.getLogger("frcrn.training")


class Keeping(Scoring):
    """The part of a trainer that scores weights and writes `output/`."""

    def score_start(self) -> None:
        """Score the weights that the run starts from; until others score better, they are the output."""
        progress = self.progress
        if self.recipe.train.init_from is None:
            return
        if self.valid_data is None:
            logger.info("step 0: without a validation set, later weights cannot be compared with the starting ones")
            return
        logger.info("step 0: scoring the starting weights")
        scores = self.evaluate()
        progress.start = numbers_in(scores)
        note_score(self.recipe.train, progress, self.value_of(scores))
        if self.tracker is not None:
            self.tracker.record("eval", 0, scores)
        self.export("start")

    def score_again(self) -> None:
        """Score the best weights so far on a validation set that was changed: other scores tell nothing there."""
        progress, held = self.progress, self.written()
        progress.stale = progress.stale_rate = 0
        progress.evaluated, progress.score, progress.start = -1, None, None
        if progress.best is None or held not in ("start", "best"):
            progress.best = None
            return
        logger.info("step %d: scoring the weights in output/ on the changed validation set", progress.step)
        scores = self.evaluate("best")
        value = self.value_of(scores)
        progress.best = value if math.isfinite(value) else None
        if held == "start":
            progress.start = numbers_in(scores)

    def score_average(self) -> None:
        """Evaluate the averaged weights; the best ones become the output, where they are no worse than the start."""
        scores, start = self.evaluate(samples=True), self.progress.start
        if self.tracker is not None:
            self.tracker.record("eval", self.progress.step, scores | ({"start": start} if start else {}))
        if stray := strays(scores, start):
            logger.info("step %d: not kept, as the level of speech is too far from the start's", self.progress.step)
        better = note_score(self.recipe.train, self.progress, self.value_of(scores), eligible=not stray)
        if better and not self.recipe.train.keep_last:
            self.export("best")

    def value_of(self, scores: Mapping[str, Any]) -> float:
        """Return what the best weights are chosen by; more is better."""
        best = self.recipe.evaluation.best
        if best not in scores:
            raise ValueError(f"recipe.evaluation.best: no validation example has a value for {best}")
        return -float(scores[best]) if best == "loss" else float(scores[best])

    def kept(self) -> Held:
        """Return which weights `output/` is to hold."""
        return held_by(self.recipe, self.progress, has_valid=self.valid_data is not None)

    def written(self) -> Any:
        """Return which weights `output/` says that it holds, None where it is none, as the first process sees it."""
        about = read_json(self.folder / "output" / CONFIGURATION).get("training")
        return self.processes.all(about.get("weights") if isinstance(about, dict) else None)[0]

    def export(self, held: Held) -> None:
        """Make `output/` a complete model directory with the averaged weights, and say in it which these are."""
        if self.processes.first:
            seen = {"step": self.progress.step, "hours": round(self.progress.audio / 3600, 4), "weights": held}
            save_directory(self.settled(), self.folder / "output", extra={"training": seen})
