"""The trainer `frcrn-ans-16k`: the framework's calls on our training loop."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelscope.trainers.base import BaseTrainer
from modelscope.utils.constant import DEFAULT_MODEL_REVISION
from modelscope.utils.logger import get_logger

from frcrn.config import require
from frcrn.files import path_text
from frcrn.models import Enhancer
from frcrn.plugin.arguments import (
    configuration_of,
    modified,
    network_of,
    override,
    refuse_place_elsewhere,
    refuse_unused,
    take_added_hooks,
)
from frcrn.plugin.configuration import plain, read_plan
from frcrn.plugin.datasets import as_rows, uncut
from frcrn.plugin.devices import for_training
from frcrn.plugin.hooks import EVALUATION, TRAIN, Hooked
from frcrn.plugin.hub import directory_of
from frcrn.plugin.metric import measurable, report
from frcrn.plugin.model import FRCRNModel
from frcrn.plugin.predictions import SavingFn, predict
from frcrn.plugin.recipe import can_score, recipe_of, steps_per_epoch
from frcrn.plugin.training_run import Run, network_in, resumable, sections_of
from frcrn.training import Result
from frcrn.training.build import adopt
from frcrn.training.distributed import Processes

DEFAULT_SEED = 42
LAUNCHERS = (None, "pytorch")


class FRCRNTrainer(Hooked, BaseTrainer):  # type: ignore[misc]
    """Trains and evaluates a model directory's network; `work_dir` gets the logs, the checkpoints and `output/`."""

    cfg: Any
    model: Enhancer
    work_dir: str

    def __init__(
        self,
        model: str | os.PathLike[str] | FRCRNModel | Enhancer,
        *,
        cfg_file: str | os.PathLike[str] | None = None,
        cfg_modify_fn: Callable[[Any], Any] | None = None,
        cfg_options: Mapping[str, Any] | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        work_dir: str | os.PathLike[str] | None = None,
        max_epochs: int | None = None,
        train_iters_per_epoch: int | None = None,
        val_iters_per_epoch: int | None = None,
        seed: int | None = None,
        device: str | None = None,
        launcher: str | None = None,
        use_fp16: bool = False,
        callbacks: Any = None,
        model_revision: str | None = DEFAULT_MODEL_REVISION,
        trust_remote_code: bool = False,
        **others: Any,
    ) -> None:
        """Read the configuration, the network and the data; nothing is written yet.

        A dataset is a Hugging Face or ModelScope dataset or a list of rows with `noisy` and `clean`, a folder in DNS
        form, or one of `frcrn.data`. `use_fp16` computes in bf16. Several processes are those of `torchrun`.
        `callbacks` are hooks of the framework, or objects with methods of the same names.
        """
        refuse_unused(others)
        folder = directory_of(model, model_revision) if isinstance(model, (str, os.PathLike)) else None
        BaseTrainer.__init__(self, os.fspath(cfg_file or configuration_of(model, folder)))
        if cfg_file is None and work_dir is None:
            refuse_place_elsewhere(self.cfg.safe_get("train.work_dir"))
        self.cfg = modified(self.cfg, cfg_modify_fn)
        self.cfg.merge_from_dict(dict(cfg_options or {}))
        values = plain(self.cfg._cfg_dict)
        added = take_added_hooks(values)
        override(values, "train", max_epochs=max_epochs, train_iters_per_epoch=train_iters_per_epoch)
        override(values, "evaluation", val_iters_per_epoch=val_iters_per_epoch)
        self.plan, self.sections = read_plan(values), sections_of(values)
        require(launcher in LAUNCHERS, "launcher", "None or 'pytorch' (started by torchrun)", launcher)
        self.logger = get_logger()
        self.seed = next(value for value in (seed, self.plan.train.seed, DEFAULT_SEED) if value is not None)
        self.device, self.use_fp16 = for_training(device), use_fp16
        self.model_dir = str(folder) if folder else None
        self.work_dir = os.path.abspath(path_text(work_dir or self.plan.train.work_dir or "./work_dir", "work_dir"))
        self.model = network_of(model, folder, values.get("model", {})).requires_grad_(True)
        rate = self.model.sample_rate
        self.train_dataset = as_rows(train_dataset, "train_dataset", rate, self.seed)
        self.eval_dataset = as_rows(eval_dataset, "eval_dataset", rate, self.seed)
        self.metric_values: dict[str, Any] | None = None
        self.run: Run | None = None
        self.running = False
        Hooked.__init__(self, callbacks)
        self.register_hook_from_cfg(added)
        self.invoke_hook("after_init")

    def train(
        self,
        checkpoint_path: str | os.PathLike[str] | None = None,
        load_all_state: bool = True,
        *,
        strict: bool = True,
    ) -> Result:
        """Train until the last epoch.

        `checkpoint_path` is a checkpoint or a run's folder to go on from, exactly; without `load_all_state` only its
        weights (or those of any model) are taken. Weights must fit in any case, `strict` or not.
        """
        require(checkpoint_path != "", "checkpoint_path", "a checkpoint or a folder", checkpoint_path)
        start = resumable(checkpoint_path) if checkpoint_path is not None and load_all_state else None
        self.run = run = self.prepare(training=True)
        if checkpoint_path is not None and start is not None:
            run.start, run.source = start, Path(checkpoint_path)
        elif checkpoint_path is not None:
            self.take_weights(run, checkpoint_path)
        self.begin(start["progress"]["step"] if start else 0)
        run.model.train()
        self.running = True
        try:
            result = run.train(resume=start is not None)
        finally:
            self.running = False
        best = self.plan.train.checkpoint.best
        if best is not None and best.restore_best and self.eval_dataset is not None:
            self.take_weights(run, "best")
        self.invoke_hook("after_run")
        return result

    @staticmethod
    def take_weights(run: Run, checkpoint: str | os.PathLike[str]) -> None:
        """Put the weights of a checkpoint, or of any model that fits, into a run's network."""
        weights = run.weights_of(path_text(checkpoint, "checkpoint_path"))
        for network in (run.model, run.average.model):
            adopt(network, weights, str(checkpoint), partial=False)

    def evaluate(
        self,
        checkpoint_path: str | os.PathLike[str] | None = None,
        saving_fn: SavingFn | None = None,
        *,
        strict: bool = True,
    ) -> dict[str, Any]:
        """Return the scores of the network as it is, or of a checkpoint, a model directory, "best" or "last".

        Recordings are scored whole, as `frcrn evaluate` does. `saving_fn(inputs, outputs)` is called with each batch,
        as `predict` does. A hook that calls this while training gets what training itself measures: one run of the
        network over each segment, PESQ and STOI of a few; where several processes train, it is refused.
        """
        require(self.eval_dataset is not None, "eval_dataset", "a set to evaluate on", None)
        measurable()
        run = self.run if self.running and self.run is not None else self.prepare(training=False)
        if self.running and run.processes.count > 1:
            raise ValueError("evaluate: a hook cannot call it while several processes train, but in after_run")
        checkpoint = None if checkpoint_path is None else path_text(checkpoint_path, "checkpoint_path")
        self.before_evaluation()
        self.metric_values = report(run.evaluate(checkpoint))
        self.after_evaluation()
        if saving_fn is not None:
            self.predict(uncut(self.eval_dataset), saving_fn, checkpoint_path)
        return self.metric_values

    def predict(
        self,
        predict_datasets: Any,
        saving_fn: SavingFn,
        checkpoint_path: str | os.PathLike[str] | None = None,
        strict: bool = True,
    ) -> None:
        """Run the network over rows, and call `saving_fn(inputs, outputs)` with each batch.

        Rows need `noisy` alone; what else they hold is passed on in `inputs`. `outputs` are the model's, `wav_l2`
        the clean waves. Rows are not cut, and those side by side of one length are a batch.
        """
        network, processes = self.model, Processes(self.device)
        if checkpoint_path is not None:
            network = network_in(path_text(checkpoint_path, "checkpoint_path"), self.model, Path(self.work_dir))
        size = self.plan.evaluation.dataloader.batch_size_per_gpu
        mine = {"part": processes.rank, "parts": processes.count}
        predict(network.to(processes.device), predict_datasets, saving_fn, size, **mine)

    def before_evaluation(self) -> None:
        """Finish the step, where it was taken, and call the hooks that precede an evaluation."""
        if self.run is not None and self.run.progress.step > self._iter:
            self.end_step()
        self._mode = EVALUATION
        self.invoke_hook("before_val")

    def after_evaluation(self) -> None:
        """Call the hooks that follow an evaluation."""
        self.invoke_hook("after_val")
        self._mode = TRAIN

    def prepare(self, *, training: bool) -> Run:
        """Return a run of our loop; one that only evaluates scores whole recordings, as `frcrn evaluate` does."""
        require(not training or self.train_dataset is not None, "train_dataset", "a set to train on", None)
        train = self.train_dataset if self.train_dataset is not None else self.eval_dataset
        recipe = recipe_of(
            self.plan,
            examples=len(train),
            has_valid=self.eval_dataset is not None,
            seed=self.seed,
            device=self.device,
            half=self.use_fp16,
        )
        if training:
            return Run(self, recipe, train_data=train, valid_data=self.eval_dataset)
        whole = uncut(self.eval_dataset)
        clips = len(whole) if can_score() else 0
        recipe = replace(recipe, evaluation=replace(recipe.evaluation, clips=clips))
        run = Run(self, recipe, train_data=train, valid_data=whole)
        run.passes = None
        return run

    def after_step(self, step: int, share: float, shown: Mapping[str, float]) -> None:
        """Tell hooks that a step is done, and what comes next."""
        self.log_buffer.output.update(shown)
        self.end_step()
        self.end_epoch(last=share >= 1)

    @property
    def iters_per_epoch(self) -> int:
        """Steps in an epoch."""
        return steps_per_epoch(self.plan, len(self.train_dataset))

    @property
    def max_epochs(self) -> int:
        """Epochs in all."""
        return self.plan.train.max_epochs

    @property
    def max_iters(self) -> int:
        """Steps in all."""
        return self.max_epochs * self.iters_per_epoch

    @property
    def evaluation_iters(self) -> int:
        """Batches of an evaluation."""
        size = self.plan.evaluation.dataloader.batch_size_per_gpu
        return self.plan.evaluation.val_iters_per_epoch or math.ceil(len(self.eval_dataset) / size)

    @property
    def optimizer(self) -> Any:
        """The optimizer of the run, once there is one."""
        return self.run.stepper.optimizer if self.run is not None else None
