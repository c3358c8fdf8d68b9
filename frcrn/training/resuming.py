"""What a run that is resumed takes from its folder, and what it may still say of the weights that lie there."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from frcrn.training import checkpoints, random_state
from frcrn.training.build import take_settings
from frcrn.training.keeping import Keeping
from frcrn.training.logs import numbers_in, refuse_foreign, refuse_robbed
from frcrn.training.recipe import differences
from frcrn.training.recordings import Changes, others
from frcrn.training.schedule import Progress, progress_of

logger = logging.getLogger("frcrn.training")


class Resuming(Keeping):
    """The part of a trainer that goes on from a checkpoint."""

    changes = Changes()
    unscored = False
    """Whether the checkpoint that is resumed lacks a scoring that was due, as one failed."""

    def claim_folder(self, resume: bool) -> dict[str, Any] | None:
        """Return the checkpoint to go on from; refuse a folder that holds another run."""
        kept = self.folder / "checkpoints"
        if not resume and self.folder.exists() and any(self.folder.iterdir()):
            raise ValueError(f"{self.folder}: not empty; resume the run in it (--resume) or choose another folder")
        saved = checkpoints.newest(kept) if resume else None
        if resume and saved is None and checkpoints.found(kept):
            raise ValueError(f"{kept}: none of the checkpoints is whole; remove the folder to start again")
        if resume and saved is None:
            refuse_foreign(self.folder)
            refuse_robbed(self.folder)
        if saved is None and self.progress != Progress():
            raise ValueError(f"{self.folder}: no checkpoint to go on from, and this trainer has trained; make another")
        self.processes.wait()
        return saved

    def refuse_other_criterion(self, before: Mapping[str, Any]) -> None:
        """Refuse to go on by another score than the one that the best weights so far were chosen by."""
        chosen = before["evaluation"]["best"]
        if self.progress.best is not None and chosen != self.recipe.evaluation.best:
            raise ValueError(
                f"recipe.evaluation.best: its weights were chosen by {chosen}, which cannot change on the way; "
                "start another run, with train.init_from these"
            )

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a checkpoint, exactly."""
        try:
            self.stepper.restore(saved)
            for network in (self.model, self.average.model):
                take_settings(network, saved.get("network", {}), self.recipe.model)
            self.fitted = None
            self.progress = progress_of(saved["progress"])
            self.refuse_other_criterion(saved["recipe"])
            changed = differences(saved["recipe"], self.recipe.to_dict())
            alike = len(saved["generators"]) == self.processes.count
            if alike:
                random_state.restore(saved["generators"][self.processes.rank])
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
            why = error if isinstance(error, ValueError) else f"its checkpoint is not one of this version ({error!r})"
            raise ValueError(f"{self.folder}: {why}") from None
        self.saved = step = self.progress.step
        due = self.valid_data is not None and step % self.recipe.evaluation.every == 0
        self.unscored = due and self.progress.evaluated != step
        self.changes = Changes(changed, others(saved.get("recordings"), self.recordings), processes=not alike)

    @property
    def other_valid(self) -> bool:
        """Whether the same weights score otherwise than in the run that is resumed."""
        return self.valid_data is not None and self.changes.of_scores(self.recipe.evaluation.best)

    def take_up_output(self) -> None:
        """Make `output/` and what is known of it agree: it may be another one than the checkpoint's; score what is due.

        Weights that are written only now may be fitted otherwise than those that were scored.
        """
        progress, wanted, (held, step) = self.progress, self.kept(), self.written()
        due = progress.step if wanted == "last" else progress.best_step
        other = (held, step) != (wanted, due)
        unknown = self.other_valid or (other and self.changes.of_fit())
        if self.other_valid:
            progress.stale = progress.stale_rate = 0
        if unknown:
            progress.evaluated, progress.score = -1, None
        if wanted == "last":
            other = False
        elif other and due == progress.step:  # cut off between the checkpoint and the output
            self.unscored = self.unscored or unknown  # then they are compared with what is in the output
            if not unknown:
                self.export(wanted)
                other = False
        elif held not in ("start", "best"):
            logger.warning("%s/output: the best weights so far are not there; those after them are", self.folder)
            progress.best, progress.evaluated = None, -1
        if other or self.other_valid:
            self.score_output()
        if self.unscored:
            self.score_saved()

    def score_output(self) -> None:
        """Score the weights in `output/`: other scores tell nothing of them, or nothing on a changed validation set."""
        progress, (held, step) = self.progress, self.written()
        if self.other_valid:
            progress.start = None
        if progress.best is None or held not in ("start", "best"):
            progress.best = None
            return
        which = "changed " * self.other_valid
        logger.info("step %d: scoring the weights in output/ on the %svalidation set", progress.step, which)
        scores = self.evaluate("best")
        value = self.value_of(scores)
        progress.best, progress.best_step = value if math.isfinite(value) else None, step
        if held == "start":
            progress.start = numbers_in(scores)
