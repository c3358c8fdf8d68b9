"""The training loop, for any registered network."""

from __future__ import annotations

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from frcrn.export.fixed.training import train_rounded
from frcrn.files import held, refuse_links, sweep
from frcrn.models.base import Enhancer
from frcrn.training import random_state
from frcrn.training.batches import Batch, BatchOrder, Spoiled, batches
from frcrn.training.build import (
    build_data,
    check_packages,
    check_plan,
    choose_model,
    warn_of_shared,
)
from frcrn.training.distributed import Processes
from frcrn.training.ema import Average
from frcrn.training.graphed import build_stepper, check_graph
from frcrn.training.logs import Tracker, files_of, write_recipe
from frcrn.training.losses.objective import build_losses
from frcrn.training.outcome import Result, result_of
from frcrn.training.recipe import Recipe, parse
from frcrn.training.recordings import recordings_of
from frcrn.training.resuming import Resuming
from frcrn.training.schedule import Progress, learning_rate, seconds_left, share
from frcrn.training.signals import StopRequest

logger = logging.getLogger("frcrn.training")

PATIENCE = 8.0
"""Seconds to wait for the helpers of a run that was killed."""

Watcher = Callable[[int, float, Mapping[str, float]], None]
"""Called after every step with the step, the share of the budget that is used, and the last logged values."""


class Trainer(Resuming):
    """One training run in a folder; each part of the recipe can be replaced by an object.

    Args:
        recipe: what `read` returned, or its tables.
        work_dir: the folder of the run: its log, checkpoints, and `output/` with the model.
        model: a network in place of the recipe's.
        train_data: examples in place of the recipe's: `len`, and `data[epoch, index]` with noisy and clean waves [T].
        valid_data: the same for validation.
        watcher: called after each step.

    Example:
        >>> Trainer(read("configs/tiny_smoke.json"), work_dir="runs/smoke").train()
    """

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
        self.folder, self.watcher = Path(work_dir).absolute(), watcher
        check_packages(self.recipe)
        self.processes = Processes(self.recipe.train.device)
        check_graph(self.recipe.train, self.processes)
        random_state.seed_everything(self.recipe.train.seed)
        self.model = choose_model(self.recipe, model)
        if self.recipe.train.whole_numbers:
            train_rounded(self.model)
        sizes = {"window": self.model.window, "hop": self.model.hop, "sample_rate": self.model.sample_rate}
        self.losses = build_losses(self.recipe.loss, **sizes)
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
        self.spoiled = Spoiled()
        self.tracker: Tracker | None = None
        self.recordings: dict[str, str] = {}
        """What tells the recordings of both sets from others, as they were when the run began."""

    def train(self, resume: bool = False) -> Result:
        """Run until the budget is used, nothing improves any more, or a signal asks to stop; return how it ended.

        Args:
            resume: go on from the newest whole checkpoint in the folder.

        Example:
            >>> result = trainer.train(resume=True)
        """
        with contextlib.ExitStack() as stack:
            if self.processes.first:
                self.folder.mkdir(parents=True, exist_ok=True)
                refuse_links(*files_of(self.folder))
                stack.enter_context(held(self.folder, PATIENCE))
                sweep(files_of(self.folder))
            return self.train_alone(self.claim_folder(resume))

    def train_alone(self, saved: dict[str, Any] | None) -> Result:
        """Train in a folder that nobody else writes to, from a checkpoint on or from the start."""
        plan = self.recipe.train
        self.stepper = build_stepper(self.model.train(), self.average, self.losses, plan, self.processes)
        random_state.seed_everything(plan.seed + 7919 * (1 + self.processes.rank))
        self.recordings = recordings_of(self.train_data, self.valid_data)  # first: they may go on the way
        if saved is not None:
            self.restore(saved)
        with contextlib.ExitStack() as stack:
            if self.processes.first:
                known = -1 if saved is None else self.progress.step
                write_recipe(self.folder, self.recipe)  # first: it marks the others as ours
                self.tracker = stack.enter_context(Tracker(self.folder, step=known, tensorboard=plan.tensorboard))
                warn_of_shared(self.train_data, self.valid_data)
            self.stop = stack.enter_context(StopRequest())
            self.started = time.monotonic() - self.progress.elapsed
            if saved is None:
                self.score_start()
            else:
                self.changes.warn()
                self.take_up_output()
            logger.info("step %d: training on %d examples", self.progress.step, len(self.train_data))
            reason = self.run()
            self.finish(reason)
            logger.info("step %d: stopped, %s", self.progress.step, reason)
        output, has_valid = self.folder / "output", self.valid_data is not None
        return result_of(self.recipe, self.progress, reason, output, has_valid=has_valid)

    def run(self) -> str:
        """Take steps until there is a reason to stop, and return it."""
        plan, progress = self.recipe.train, self.progress
        place = {"start": progress.examples, "part": self.processes.rank, "parts": self.processes.count}
        in_order = getattr(self.train_data, "in_order", False)
        stream = BatchOrder(len(self.train_data), plan.batch_size, seed=plan.seed, in_order=in_order, **place)
        loaded = batches(self.train_data, stream, plan.workers)
        self.lap = (progress.elapsed, progress.audio)
        while (reason := self.reason_to_stop()) is None:
            parts = self.next_batches(loaded)
            if parts is None:
                continue
            rate = learning_rate(plan, progress)
            progress.step += 1
            finite = self.stepper.step(parts, rate, progress.step)
            self.count(parts, finite)
            self.after_step()
        return reason

    def next_batches(self, loaded: Iterator[Batch]) -> list[Batch] | None:
        """Return the batches of a step, or None where a signal came first; what was learnt outlasts their failure."""

        def get() -> list[Batch]:
            found = [next(loaded) for _ in range(self.recipe.train.accumulate)]
            self.spoiled.count(found)
            return found

        # several stop at the same step; and what loads in this process is not cut off within
        cut = self.processes.count == 1 and self.recipe.train.workers
        return self.or_save(lambda: self.stop.wait_for(get) if cut else get(), "load its batch")

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
        row = 0 if finite else progress.skipped_in_a_row + 1
        progress.learn((not finite, row), self.recipe.train.nonfinite_limit)

    def after_step(self) -> None:
        """Log, evaluate and save where they are due."""
        plan, step = self.recipe.train, self.progress.step
        if step % plan.log_every == 0:
            self.log()
        if self.valid_data is not None and step % self.recipe.evaluation.every == 0:
            self.score_average()
        if step % plan.save_every == 0 and self.saved != step:
            self.save()
        self.or_save(self.tell, "end its step")

    def tell(self) -> None:
        """Tell the watcher, in the first process, that a step is done."""
        if self.watcher is not None and self.processes.first:
            self.watcher(self.progress.step, share(self.recipe.train, self.progress), self.shown)

    def log(self) -> None:
        """Record the means since the last record."""
        self.spoiled.warn(self.processes)
        self.progress.learn(self.stepper.left_out(), self.recipe.train.nonfinite_limit)
        progress, seconds = self.progress, time.monotonic() - self.started
        self.shown = self.stepper.means() | {
            "lr": self.stepper.lr,
            "epoch": progress.examples / len(self.train_data),
            "hours": progress.audio / 3600,
            "skipped": progress.skipped,
            "seconds": seconds,
            "seconds_left": seconds_left(self.recipe.train, progress) or 0.0,
            "audio_per_second": (progress.audio - self.lap[1]) / max(seconds - self.lap[0], 1e-9),
        }
        self.lap = (seconds, progress.audio)
        if self.tracker is not None:
            self.tracker.record("train", progress.step, self.shown)

    def finish(self, reason: str) -> None:
        """Evaluate the last step, unless a signal asked to be quick, and save it."""
        self.spoiled.warn(self.processes)
        asked = hasattr(signal, reason)  # in all processes alike, wherever the signal came
        if not asked and self.valid_data is not None and self.progress.evaluated != self.progress.step:
            if self.saved != self.progress.step:
                self.write(self.state())  # first: a scoring can take long, and fail
            logger.info("step %d: the last one; scoring its weights", self.progress.step)
            self.score_saved()
        last = "last", self.progress.step
        if self.saved != self.progress.step or (self.kept() == "last" and self.written() != last):
            self.save(f"as {reason} asked" if asked else "")
        self.processes.wait()

    def asked(self) -> str | None:
        """Return the signal that asked any of the processes to stop, also one that came as a run was ending."""
        number = int(self.processes.agree(0.0, float(self.stop.number or 0))[1])
        return signal.Signals(number).name if number else None
