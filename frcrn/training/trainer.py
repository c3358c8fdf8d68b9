"""The training loop, for any registered network."""

from __future__ import annotations

import contextlib
import copy
import logging
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from frcrn.models.base import Enhancer
from frcrn.training import checkpoints, random_state
from frcrn.training.batches import Batch, Stream, batches
from frcrn.training.build import build_data, check_packages, check_plan, choose_model
from frcrn.training.distributed import Processes
from frcrn.training.ema import Average, settle
from frcrn.training.logs import Tracker, write_recipe
from frcrn.training.losses.objective import build_losses
from frcrn.training.recipe import Recipe, differences, parse
from frcrn.training.schedule import Progress, learning_rate, note_score, share
from frcrn.training.signals import StopRequest
from frcrn.training.step import Stepper
from frcrn.training.validation import Totals, validate

logger = logging.getLogger("frcrn.training")

Watcher = Callable[[int, float, Mapping[str, float]], None]
"""Called after every step with the step, the share of the budget that is used, and the last logged values."""


SETTLING = 20
"""Batches over which the batch norms of an average are fitted to it."""


class Result(NamedTuple):
    """How a run ended: at which step, why, the best score on the validation set, where the model lies."""

    step: int
    reason: str
    best: float | None
    output: Path


class Trainer:
    """One training run in a folder; every part of the recipe can be replaced by an object."""

    def __init__(
        self,
        recipe: Recipe | Mapping[str, Any],
        *,
        work_dir: str | Path,
        model: Enhancer | None = None,
        train_data: Any = None,
        valid_data: Any = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.recipe = parse(recipe)
        self.folder, self.watcher = Path(work_dir), watcher
        check_packages(self.recipe)
        self.processes = Processes(self.recipe.train.device)
        random_state.seed_everything(self.recipe.train.seed)
        self.model = choose_model(self.recipe, model)
        network = self.model
        self.losses = build_losses(
            self.recipe.loss, window=network.window, hop=network.hop, sample_rate=network.sample_rate
        )
        self.train_data = build_data(self.recipe, "data", self.model.sample_rate, train_data)
        self.valid_data = build_data(self.recipe, "valid", self.model.sample_rate, valid_data)
        check_plan(self.recipe, self.model.sample_rate, has_valid=self.valid_data is not None)
        self.model.to(self.processes.device)
        if (layout := getattr(self.model, "memory_format", None)) is not None:
            self.model.to(memory_format=layout)  # type: ignore[call-overload]
        self.average = Average(self.model, self.recipe.train.ema_decay)
        self.progress = Progress()
        self.shown: dict[str, float] = {}
        self.saved: int | None = None
        self.fitted: tuple[int, Enhancer] | None = None
        self.tracker: Tracker | None = None

    def train(self, resume: bool = False) -> Result:
        """Run until the budget is used, nothing improves any more, or a signal asks to stop."""
        plan = self.recipe.train
        saved = self.claim_folder(resume)
        self.stepper = Stepper(self.model.train(), self.average, self.losses, plan, self.processes)
        random_state.seed_everything(plan.seed + 7919 * (1 + self.processes.rank))
        if saved is not None:
            self.restore(saved)
        with contextlib.ExitStack() as stack:
            if self.processes.first:
                tracker = Tracker(self.folder, step=self.progress.step, tensorboard=plan.tensorboard)
                self.tracker = stack.enter_context(tracker)
                write_recipe(self.folder, self.recipe)
            self.stop = stack.enter_context(StopRequest())
            logger.info("step %d: training on %d examples", self.progress.step, len(self.train_data))
            reason = self.run()
            self.finish()
            logger.info("step %d: stopped, %s", self.progress.step, reason)
        best = self.progress.best
        sign = -1 if self.recipe.evaluation.best == "loss" else 1
        return Result(self.progress.step, reason, None if best is None else sign * best, self.folder / "output")

    def run(self) -> str:
        """Take steps until there is a reason to stop, and return it."""
        plan, progress = self.recipe.train, self.progress
        place = {"start": progress.examples, "part": self.processes.rank, "parts": self.processes.count}
        stream = Stream(len(self.train_data), plan.batch_size, seed=plan.seed, **place)
        loaded = batches(self.train_data, stream, plan.workers)
        self.started = time.monotonic() - progress.elapsed
        self.lap = (progress.elapsed, progress.audio)
        while (reason := self.reason_to_stop()) is None:
            parts = [next(loaded) for _ in range(plan.accumulate)]
            rate = learning_rate(plan, progress)
            progress.step += 1
            finite = self.stepper.step(parts, rate, progress.step)
            self.count(parts, finite)
            self.after_step()
        return reason

    def reason_to_stop(self) -> str | None:
        """Return why the run is over, the same in every process, or None."""
        elapsed, number = self.processes.agree(time.monotonic() - self.started, float(self.stop.number or 0))
        self.progress.elapsed = elapsed
        self.stop.number = int(number) or None
        if self.stop.number:
            return signal.Signals(self.stop.number).name
        if share(self.recipe.train, self.progress) >= 1:
            return "the budget is used"
        patience = self.recipe.train.patience
        if patience is not None and self.progress.stale >= patience:
            return f"no better after {patience} evaluations"
        return None

    def count(self, parts: list[Batch], finite: bool) -> None:
        """Note what a step has seen; give up after many steps in a row without a finite gradient."""
        progress, everyone = self.progress, self.processes.count
        progress.examples += everyone * sum(len(batch["noisy"]) for batch in parts)
        progress.audio += everyone * sum(batch["noisy"].numel() for batch in parts) / self.model.sample_rate
        progress.skipped += not finite
        progress.skipped_in_a_row = 0 if finite else progress.skipped_in_a_row + 1
        if progress.skipped_in_a_row >= self.recipe.train.nonfinite_limit:
            raise ValueError(
                f"step {progress.step}: the gradient was not finite {progress.skipped_in_a_row} times in a row;"
                " lower train.lr or train.clip_norm, or check the data"
            )

    def after_step(self) -> None:
        """Log, evaluate and save where they are due."""
        plan, step = self.recipe.train, self.progress.step
        if step % plan.log_every == 0:
            self.log()
        if self.valid_data is not None and step % self.recipe.evaluation.every == 0:
            self.judge()
        if step % plan.save_every == 0:
            self.save()
        if self.watcher is not None and self.processes.first:
            self.watcher(step, share(plan, self.progress), self.shown)

    def log(self) -> None:
        """Record the means since the last record."""
        progress, seconds = self.progress, time.monotonic() - self.started
        self.shown = self.stepper.means() | {
            "lr": self.stepper.optimizer.param_groups[0]["lr"],
            "epoch": progress.examples / len(self.train_data),
            "hours": progress.audio / 3600,
            "skipped": progress.skipped,
            "seconds": seconds,
            "audio_per_second": (progress.audio - self.lap[1]) / max(seconds - self.lap[0], 1e-9),
        }
        self.lap = (seconds, progress.audio)
        if self.tracker is not None:
            self.tracker.record("train", progress.step, self.shown)

    def judge(self) -> None:
        """Evaluate the averaged weights; the best ones become the output."""
        scores = self.evaluate(samples=True)
        best = self.recipe.evaluation.best
        if best not in scores:
            raise ValueError(f"recipe.evaluation.best: no validation example has a value for {best}")
        if self.tracker is not None:
            self.tracker.record("eval", self.progress.step, scores)
        if note_score(self.recipe.train, self.progress, -scores[best] if best == "loss" else scores[best]):
            self.export()

    def settled(self) -> Enhancer:
        """Return the averaged network, its batch norms fitted to its weights; the same in every process."""
        if self.fitted is None or self.fitted[0] != self.progress.step:
            self.fitted = self.progress.step, self.fit(copy.deepcopy(self.average.model), self.progress.examples)
        return self.fitted[1]

    def fit(self, average: Enhancer, heard: int) -> Enhancer:
        """Fit the batch norms of an average over the last of the `heard` examples, in place; return it."""
        plan = self.recipe.train
        if plan.ema_decay == 0 or heard == 0 or self.train_data is None:
            return average
        size = plan.batch_size * self.processes.count
        last = Stream(len(self.train_data), size, seed=plan.seed, start=max(0, heard - SETTLING * size))
        loaded = batches(self.train_data, last, 0)
        settle(average, (next(loaded)["noisy"].to(self.processes.device) for _ in range(SETTLING)))
        return average

    def evaluate(self, checkpoint: str | Path | None = None, *, samples: bool = False) -> dict[str, Any]:
        """Score the averaged weights, or a checkpoint ("last", "best", or a path) on the validation set."""
        if self.valid_data is None:
            raise ValueError("recipe.valid: evaluation needs a validation set, found none")
        model = self.settled() if checkpoint is None else self.weights_of(checkpoint)
        share_of = {"part": self.processes.rank, "parts": self.processes.count}
        totals, heard = validate(model, self.valid_data, self.losses, self.recipe.evaluation, **share_of)
        if samples and self.tracker is not None:
            for number, sample in enumerate(heard):
                self.tracker.samples(self.progress.step, sample._asdict(), self.model.sample_rate, f"example_{number}")
        everyone = Totals()
        for each in self.processes.all(totals):
            everyone.merge(each)
        return everyone.means()

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

    def finish(self) -> None:
        """Evaluate the last step, unless a signal asks to be quick, and save it."""
        judged = self.stop.number is None and self.valid_data is not None
        judged = judged and self.progress.evaluated != self.progress.step
        if judged:
            logger.info("step %d: the last one; scoring its weights", self.progress.step)
            self.judge()
        if judged or self.saved != self.progress.step:
            self.save()

    def save(self) -> None:
        """Write a checkpoint; without a validation set the output follows the newest weights."""
        self.progress.elapsed = time.monotonic() - self.started
        self.saved = self.progress.step
        state = {
            **self.stepper.state(),
            "progress": asdict(self.progress),
            "generators": self.processes.all(random_state.capture()),
            "recipe": self.recipe.to_dict(),
            **self.besides(),
        }
        if not self.processes.first:
            return
        if self.valid_data is None or not (self.folder / "output").exists():
            self.export()
        checkpoints.save(self.folder / "checkpoints", self.progress.step, state, self.recipe.train.keep)

    def besides(self) -> dict[str, Any]:
        """Return what else a checkpoint holds, for other readers of it."""
        return {}

    def export(self) -> None:
        """Make `output/` a complete model directory with the averaged weights."""
        from frcrn.models.checkpoint import save_directory

        if self.processes.first:
            seen = {"step": self.progress.step, "hours": round(self.progress.audio / 3600, 4)}
            save_directory(self.settled(), self.folder / "output", extra={"training": seen})

    def claim_folder(self, resume: bool) -> dict[str, Any] | None:
        """Return the checkpoint to go on from; refuse a folder that holds another run."""
        kept = self.folder / "checkpoints"
        if not resume and self.folder.exists() and any(self.folder.iterdir()):
            raise ValueError(f"{self.folder}: not empty; resume the run in it (--resume) or choose another folder")
        saved = checkpoints.newest(kept) if resume else None
        if resume and saved is None and checkpoints.found(kept):
            raise ValueError(f"{kept}: none of the checkpoints is whole; remove the folder to start again")
        self.processes.wait()
        return saved

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a checkpoint, exactly."""
        try:
            self.stepper.restore(saved)
        except ValueError as error:
            raise ValueError(f"{self.folder}: {error}") from None
        self.progress = Progress(**saved["progress"])
        self.saved = self.progress.step
        for name in differences(saved["recipe"], self.recipe.to_dict()):
            logger.warning("%s differs from the run that is resumed; what follows is not what it would have been", name)
        if len(saved["generators"]) == self.processes.count:
            random_state.restore(saved["generators"][self.processes.rank])
