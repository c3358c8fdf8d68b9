"""What a run scores and saves: its averaged weights, with batch norms and level that fit them."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

from torch import Tensor

from frcrn.models.base import Enhancer
from frcrn.training import checkpoints
from frcrn.training.batches import BatchOrder, batches
from frcrn.training.distributed import Processes
from frcrn.training.ema import Average, settle
from frcrn.training.logs import Tracker
from frcrn.training.losses.objective import Losses
from frcrn.training.recipe import Recipe
from frcrn.training.schedule import Progress
from frcrn.training.validation import Sample, Totals, validate
from frcrn.training.weights import clean_speech, set_level

logger = logging.getLogger("frcrn.training")

SETTLING = 20
"""Batches over which the batch norms of an average are fitted to it."""


class Scoring:
    """The half of a trainer that looks at weights and changes none of them."""

    recipe: Recipe
    folder: Path
    model: Enhancer
    average: Average[Enhancer]
    losses: Losses
    train_data: Any
    valid_data: Any
    processes: Processes
    progress: Progress
    tracker: Tracker | None
    passes: int | None = 1
    """Runs of the network over an example; None is what the model asks for, as in an evaluation."""
    fitted: tuple[int, Enhancer] | None = None
    clean: list[Tensor] | None = None
    warned = False

    def settled(self) -> Enhancer:
        """Return the averaged network, its batch norms fitted to its weights; the same in every process."""
        if self.fitted is None or self.fitted[0] != self.progress.step:
            self.fitted = self.progress.step, self.fit(copy.deepcopy(self.average.model), self.progress.examples)
        return self.fitted[1]

    def fit(self, average: Enhancer, examples: int) -> Enhancer:
        """Fit an average's batch norms over the last of the `examples` seen, and its level, in place; return it."""
        plan = self.recipe.train
        if examples == 0 or self.train_data is None:
            return average
        if plan.ema_decay > 0:
            size = plan.batch_size * self.processes.count
            last = BatchOrder(len(self.train_data), size, seed=plan.seed, start=max(0, examples - SETTLING * size))
            loaded = batches(self.train_data, last, 0)
            settle(average, (next(loaded)["noisy"].to(self.processes.device) for _ in range(SETTLING)))
        if plan.set_level:
            set_level(average.eval(), self.clean_waves())
        return average

    def clean_waves(self) -> list[Tensor]:
        """Return the clean speech on which the level is set, from the validation set where there is one."""
        if self.clean is None:
            self.clean = list(clean_speech(self.train_data if self.valid_data is None else self.valid_data))
        return self.clean

    def evaluate(self, checkpoint: str | Path | None = None, *, samples: bool = False) -> dict[str, Any]:
        """Score the averaged weights, or a checkpoint ("last", "best", or a path) on the validation set."""
        if self.valid_data is None:
            raise ValueError("recipe.valid: evaluation needs a validation set, found none")
        share_of = {"part": self.processes.rank, "parts": self.processes.count}
        plan = self.recipe.evaluation

        def score() -> tuple[Totals, list[Sample]]:
            model = self.settled() if checkpoint is None else self.weights_of(checkpoint)
            return validate(model, self.valid_data, self.losses, plan, passes=self.passes, **share_of)

        totals, kept = self.processes.alike(score, "score its part")
        if samples and self.tracker is not None:
            for number, sample in enumerate(kept):
                self.tracker.samples(self.progress.step, sample._asdict(), self.model.sample_rate, f"example_{number}")
        everyone = Totals()
        for each in self.processes.all(totals):
            everyone.merge(each)
        self.warn_of_left_out(everyone.left_out)
        return everyone.means()

    def warn_of_left_out(self, reasons: list[str]) -> None:
        """Say once how many validation examples count for nothing, and name one."""
        if reasons and not self.warned and self.processes.first:
            self.warned = True
            logger.warning("validation examples left out: %d, such as %s", len(reasons), min(reasons))

    def weights_of(self, checkpoint: str | Path) -> Enhancer:
        """Return a copy of the network with the averaged weights of a checkpoint, or the model that a path names."""
        from frcrn.models.checkpoint import load

        if checkpoint == "best":
            return load(self.folder / "output").to(self.processes.device)
        if checkpoint != "last" and Path(checkpoint).suffix != checkpoints.SUFFIX:
            return load(checkpoint).to(self.processes.device)
        kept = self.folder / "checkpoints"
        saved = checkpoints.newest(kept) if checkpoint == "last" else checkpoints.load(Path(checkpoint))
        if saved is None:
            raise ValueError(f"{self.folder}: expected a checkpoint, found none that is whole")
        model = copy.deepcopy(self.average.model)
        model.load_state_dict(saved["average"])
        return self.fit(model, saved["progress"]["examples"])
