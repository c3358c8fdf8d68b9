"""What a run keeps: checkpoints, and in `output/` its best averaged weights, or the newest where none compare."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from frcrn.models.checkpoint import arguments_of, save_directory
from frcrn.models.directories import CONFIGURATION
from frcrn.models.weight_files import METADATA
from frcrn.texts import read_json
from frcrn.training import checkpoints, random_state
from frcrn.training.distributed import Value
from frcrn.training.logs import numbers_in
from frcrn.training.outcome import Held, held_by, strays
from frcrn.training.schedule import note_score
from frcrn.training.scoring import Scoring
from frcrn.training.step import Stepper

logger = logging.getLogger("frcrn.training")


class Keeping(Scoring):
    """The part of a trainer that scores weights and writes checkpoints and `output/`."""

    stepper: Stepper
    recordings: dict[str, str]
    started: float
    saved: int | None

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

    def score_average(self) -> None:
        """Evaluate the averaged weights; the best ones become the output, where they are no worse than the start."""
        try:
            scores, start = self.evaluate(samples=True), self.progress.start
            value = self.value_of(scores)
        except Exception:
            self.save_before_error()
            raise
        if self.tracker is not None:
            self.tracker.record("eval", self.progress.step, scores | ({"start": start} if start else {}))
        if stray := strays(scores, start):
            logger.info("step %d: not kept, as the level of speech is too far from the start's", self.progress.step)
        better = note_score(self.recipe.train, self.progress, value, eligible=not stray)
        if better and not self.recipe.train.keep_last:
            self.write(self.state())  # first: a run that is killed before the output is there writes it from this
            self.export("best")

    def score_saved(self) -> None:
        """Score the weights of the newest checkpoint; it learns their score once `output/` holds what it is to hold."""
        self.score_average()
        if self.kept() == "last":
            self.export("last")
        self.write(self.state())

    def value_of(self, scores: Mapping[str, Any]) -> float:
        """Return what the best weights are chosen by; more is better."""
        best = self.recipe.evaluation.best
        if best not in scores:
            raise ValueError(f"recipe.evaluation.best: no validation example has a value for {best}")
        return -float(scores[best]) if best == "loss" else float(scores[best])

    def kept(self) -> Held:
        """Return which weights `output/` is to hold."""
        return held_by(self.recipe, self.progress, has_valid=self.valid_data is not None)

    def written(self) -> tuple[Any, int]:
        """Return which weights `output/` says that it holds, None where it is none, and of which step.

        It is as the first process sees it.
        """
        about = read_json(self.folder / "output" / CONFIGURATION).get("training")
        if not isinstance(about, dict) or type(about.get("step")) is not int:
            about = {"step": 0}
        return self.processes.all((about.get("weights"), about["step"]))[0]

    def export(self, held: Held) -> None:
        """Make `output/` a complete model directory with the averaged weights, and say in it which these are.

        Every process must call it; it is there for all.
        """
        try:
            if self.processes.first:
                seen = {"step": self.progress.step, "hours": round(self.progress.audio / 3600, 4), "weights": held}
                save_directory(self.settled(), self.folder / "output", extra={"training": seen})
        finally:
            self.processes.wait()

    def save(self, why: str = "") -> None:
        """Write a checkpoint; without a validation set the output follows the newest weights."""
        self.write(self.state())  # first: what is learnt may not wait for the output, which a resumed run writes
        if why:
            logger.info("step %d: saved, %s", self.progress.step, why)
        if self.kept() == "last":
            self.export("last")

    def or_save(self, act: Callable[[], Value], what: str) -> Value:
        """Return what `act` returns; where it fails in any process, what was learnt is saved before the run ends."""
        try:
            return self.processes.alike(act, what)
        except (Exception, SystemExit):
            self.save_before_error()
            raise

    def save_before_error(self) -> None:
        """Save what was learnt since the last checkpoint, if that is possible still, else say that it is not."""
        step = self.progress.step
        if self.saved == step or step == 0:
            return
        try:
            self.save("before an error ends the run")
        except Exception as error:
            what = "output/" if self.saved == step else f"what was learnt since step {self.saved or 0}"
            logger.warning("step %d: %s could not be saved: %s", step, what, error or repr(error))

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        self.progress.learn(self.stepper.left_out(), self.recipe.train.nonfinite_limit)
        self.progress.elapsed = time.monotonic() - self.started
        return {
            **self.stepper.state(),
            "progress": asdict(self.progress),
            "generators": self.processes.all(random_state.capture()),
            "recipe": self.recipe.to_dict(),
            "recordings": self.recordings,
            "network": self.model.config.to_dict(),
            METADATA: arguments_of(self.model),
            **self.besides(),
        }

    def write(self, state: dict[str, Any]) -> None:
        """Write a checkpoint, and nothing else."""
        if self.processes.first:
            checkpoints.save(self.folder / "checkpoints", self.progress.step, state, self.recipe.train.keep)
        self.saved = self.progress.step

    def besides(self) -> dict[str, Any]:
        """Return what else a checkpoint holds, for other readers of it."""
        return {}
