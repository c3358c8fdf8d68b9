"""The training loop, for any registered network."""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from frcrn.losses import build_losses
from frcrn.models.base import Enhancer
from frcrn.training import checkpoints, randomness
from frcrn.training.average import Average
from frcrn.training.parts import build_data, build_optimizer, choose_model
from frcrn.training.processes import Processes
from frcrn.training.randomness import seed_everything
from frcrn.training.recipe import Recipe, differences, parse
from frcrn.training.schedule import Progress, learning_rate, note_score, share
from frcrn.training.stopping import StopRequest
from frcrn.training.stream import Batch, Stream, batches
from frcrn.training.tracking import Tracker
from frcrn.training.validation import Totals, validate

logger = logging.getLogger("frcrn.training")

Watcher = Callable[[int, float, Mapping[str, float]], None]
"""Called after every step with the step, the share of the budget that is used, and the last logged values."""


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
        self.processes = Processes(self.recipe.train.device)
        seed_everything(self.recipe.train.seed)
        self.model = choose_model(self.recipe, model)
        self.losses = build_losses(self.recipe.loss, window=self.model.window, hop=self.model.hop)
        self.train_data = build_data(self.recipe, "data", self.model.sample_rate, train_data)
        self.valid_data = build_data(self.recipe, "valid", self.model.sample_rate, valid_data)
        self.model.to(self.processes.device)
        if (layout := getattr(self.model, "memory_format", None)) is not None:
            self.model.to(memory_format=layout)  # type: ignore[call-overload]
        self.average = Average(self.model, self.recipe.train.ema_decay)
        self.progress = Progress()
        self.shown: dict[str, float] = {}
        self.saved: int | None = None
        self.tracker: Tracker | None = None

    def train(self, resume: bool = False) -> Result:
        """Run until the budget is used, nothing improves any more, or a signal asks to stop; save on every way out."""
        plan = self.recipe.train
        saved = self.claim_folder(resume)
        self.optimizer = build_optimizer(self.model, plan)
        self.network = self.processes.wrap(self.model)
        self.sums: dict[str, Tensor] = {}
        seed_everything(plan.seed + 7919 * (1 + self.processes.rank))
        if saved is not None:
            self.restore(saved)
        with contextlib.ExitStack() as stack:
            if self.processes.first:
                self.tracker = stack.enter_context(
                    Tracker(self.folder, step=self.progress.step, tensorboard=plan.tensorboard)
                )
            self.stop = stack.enter_context(StopRequest())
            logger.info("step %d: training on %d examples", self.progress.step, len(self.train_data))
            reason = self.run()
            self.finish()
            logger.info("step %d: stopped, %s", self.progress.step, reason)
        return Result(self.progress.step, reason, self.progress.best, self.folder / "output")

    def run(self) -> str:
        """Take steps until there is a reason to stop, and return it."""
        plan, processes = self.recipe.train, self.processes
        stream = Stream(
            len(self.train_data),
            plan.batch_size,
            seed=plan.seed,
            start=self.progress.examples,
            part=processes.rank,
            parts=processes.count,
        )
        loaded = batches(self.train_data, stream, plan.workers)
        self.started = time.monotonic() - self.progress.elapsed
        self.lap = (self.progress.elapsed, self.progress.examples)
        while (reason := self.reason_to_stop()) is None:
            self.step([next(loaded) for _ in range(plan.accumulate)])
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

    def step(self, parts: list[Batch]) -> None:
        """Take one optimizer step over some batches; a step whose gradient is not finite is left out."""
        rate = learning_rate(self.recipe.train, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        values: dict[str, Tensor] = {}
        for number, batch in enumerate(parts, start=1):
            with self.processes.together(self.network, number == len(parts)):
                for name, value in self.accumulate(batch, len(parts)).items():
                    values[name] = values.get(name, 0.0) + value
        limit = self.recipe.train.clip_norm or math.inf
        values["grad_norm"] = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self.progress.step += 1
        self.progress.examples += len(parts) * self.recipe.train.batch_size * self.processes.count
        if torch.isfinite(values["grad_norm"]):
            self.optimizer.step()
            self.average.update(self.progress.step)
            self.note(values)
        else:
            self.skip()
        self.optimizer.zero_grad(set_to_none=True)

    def accumulate(self, batch: Batch, parts: int) -> dict[str, Tensor]:
        """Add the gradients of one batch out of `parts`, and return its share of the losses."""
        device, bf16 = self.processes.device, self.recipe.train.precision == "bf16"
        noisy, clean = (batch[key].to(device, non_blocking=True) for key in ("noisy", "clean"))
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            estimate = self.network(noisy)
        value = self.losses(estimate, noisy, clean)
        (value.total / parts).backward()  # type: ignore[no-untyped-call]
        named = {f"loss_{name}": part / parts for name, part in value.parts.items()}
        return {"loss": value.total.detach() / parts, **named}

    def note(self, values: Mapping[str, Tensor]) -> None:
        """Add to what the next record says, without waiting for the device."""
        self.progress.skipped_in_a_row = 0
        self.progress.logged += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().double()

    def skip(self) -> None:
        """Leave a step out, and give up after many in a row."""
        self.progress.skipped += 1
        self.progress.skipped_in_a_row += 1
        self.average.mend(self.model)
        if self.progress.skipped_in_a_row >= self.recipe.train.nonfinite_limit:
            raise ValueError(
                f"step {self.progress.step}: the gradient was not finite {self.progress.skipped_in_a_row} times"
                " in a row; lower train.lr or train.clip_norm, or check the data"
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
        progress = self.progress
        record = {name: value / progress.logged for name, value in self.mean_sums().items()}
        record["lr"] = self.optimizer.param_groups[0]["lr"]
        record["skipped"] = progress.skipped
        seconds = time.monotonic() - self.started
        record["seconds"] = round(seconds, 3)
        record["examples_per_second"] = round((progress.examples - self.lap[1]) / max(seconds - self.lap[0], 1e-9), 3)
        self.lap, self.sums, progress.logged, self.shown = (seconds, progress.examples), {}, 0, record
        if self.tracker is not None:
            self.tracker.record("train", progress.step, record)

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

    def evaluate(self, checkpoint: str | Path | None = None, *, samples: bool = False) -> dict[str, Any]:
        """Score the averaged weights, or a checkpoint ("last", "best", or a path) on the validation set."""
        if self.valid_data is None:
            raise ValueError("recipe.valid: evaluation needs a validation set, found none")
        model = self.average.model if checkpoint is None else self.weights_of(checkpoint)
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
        from frcrn.checkpoint import load

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
        return model

    def finish(self) -> None:
        """Evaluate the last step, unless a signal asks to be quick, and save it."""
        judged = (
            self.stop.number is None and self.valid_data is not None and self.progress.evaluated != self.progress.step
        )
        if judged:
            self.judge()
        if judged or self.saved != self.progress.step:
            self.save()

    def mean_sums(self) -> dict[str, float]:
        """Return what is summed up for the next record, as the mean over the processes."""
        return self.processes.mean({name: float(value) for name, value in self.sums.items()})

    def save(self) -> None:
        """Write a checkpoint; without a validation set the output follows the newest weights."""
        generators, sums = self.processes.all(randomness.capture()), self.mean_sums()
        self.progress.elapsed = time.monotonic() - self.started
        self.saved = self.progress.step
        if not self.processes.first:
            return
        if self.valid_data is None or not (self.folder / "output").exists():
            self.export()
        state = {
            "progress": asdict(self.progress),
            "sums": sums,
            "generators": generators,
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "recipe": self.recipe.to_dict(),
        }
        checkpoints.save(self.folder / "checkpoints", self.progress.step, state, self.recipe.train.keep)

    def export(self) -> None:
        """Make `output/` a complete model directory with the averaged weights."""
        from frcrn.checkpoint import save_directory

        if self.processes.first:
            save_directory(self.average.model, self.folder / "output")

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
            self.model.load_state_dict(saved["model"])
            self.average.model.load_state_dict(saved["average"])
            self.optimizer.load_state_dict(saved["optimizer"])
        except (RuntimeError, ValueError):
            raise ValueError(f"{self.folder}: its checkpoint belongs to another network than recipe.model") from None
        self.progress = Progress(**saved["progress"])
        self.sums = {name: torch.tensor(value, dtype=torch.float64) for name, value in saved["sums"].items()}
        self.saved = self.progress.step
        for name in differences(saved["recipe"], self.recipe.to_dict()):
            logger.warning("%s differs from the run that is resumed; what follows is not what it would have been", name)
        if len(saved["generators"]) == self.processes.count:
            randomness.restore(saved["generators"][self.processes.rank])
