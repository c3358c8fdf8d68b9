"""The trainer `frcrn-ans-16k`: the framework's calls on our training loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelscope.trainers.base import BaseTrainer
from modelscope.utils.constant import DEFAULT_MODEL_REVISION, ModelFile
from modelscope.utils.logger import get_logger

from frcrn.config import require
from frcrn.models import Enhancer
from frcrn.models.checkpoint import BUNDLED, WEIGHT_FILES, build
from frcrn.plugin.configuration import plain, read_plan
from frcrn.plugin.datasets import as_rows
from frcrn.plugin.metric import measurable, report
from frcrn.plugin.model import FRCRNModel, existing, open_network
from frcrn.plugin.recipe import can_score, recipe_of, steps_per_epoch
from frcrn.plugin.training_run import Run, resumable, sections_of
from frcrn.training import Result
from frcrn.training.build import adopt

DEFAULT_SEED = 42
LAUNCHERS = (None, "pytorch")


class FRCRNTrainer(BaseTrainer):  # type: ignore[misc]
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
    ) -> None:
        """Read the configuration, the network and the data; nothing is written yet.

        A dataset is a Hugging Face or ModelScope dataset or a list of rows with `noisy` and `clean`, a folder in DNS
        form, or one of `frcrn.data`. `use_fp16` computes in bf16. Several processes are those of `torchrun`.
        """
        folder = self.local_directory(model, model_revision) if isinstance(model, (str, os.PathLike)) else None
        super().__init__(os.fspath(cfg_file or configuration_of(model, folder)))
        if cfg_modify_fn is not None:
            self.cfg = cfg_modify_fn(self.cfg)
        self.cfg.merge_from_dict(dict(cfg_options or {}))
        values = plain(self.cfg._cfg_dict)
        override(values, "train", max_epochs=max_epochs, train_iters_per_epoch=train_iters_per_epoch)
        override(values, "evaluation", val_iters_per_epoch=val_iters_per_epoch)
        self.plan, self.sections = read_plan(values), sections_of(values)
        require(launcher in LAUNCHERS, "launcher", "None or 'pytorch' (started by torchrun)", launcher)
        self.logger, self.callbacks = get_logger(), as_list(callbacks)
        self.seed = next(value for value in (seed, self.plan.train.seed, DEFAULT_SEED) if value is not None)
        self.device, self.use_fp16 = device_name(device), use_fp16
        self.model_dir = str(folder) if folder else None
        self.work_dir = os.fspath(work_dir or self.plan.train.work_dir or "./work_dir")
        self.model = network_of(model, folder, values.get("model", {})).requires_grad_(True)
        rate = self.model.sample_rate
        self.train_dataset = as_rows(train_dataset, "train_dataset", rate, self.seed)
        self.eval_dataset = as_rows(eval_dataset, "eval_dataset", rate, self.seed)
        self.metric_values: dict[str, Any] | None = None
        self.iter = self.epoch = 0
        self.stop_training = False
        self.run: Run | None = None
        self.invoke("after_init")

    def train(self, checkpoint_path: str | os.PathLike[str] | None = None, load_all_state: bool = True) -> Result:
        """Train until the last epoch.

        `checkpoint_path` is a checkpoint or a run's folder to go on from, exactly; without `load_all_state` only its
        weights (or those of any model) are taken.
        """
        start = resumable(checkpoint_path) if checkpoint_path is not None and load_all_state else None
        self.run = run = self.prepare(training=True)
        run.start = start
        if checkpoint_path is not None and start is None:
            for network in (run.model, run.average.model):
                adopt(network, run.weights_of(Path(checkpoint_path)), str(checkpoint_path), partial=False)
        self.note_step(start["progress"]["step"] if start else 0)
        self.stop_training = False
        self.begin()
        run.model.train()
        result = run.train(resume=start is not None)
        best = self.plan.train.checkpoint.best
        if best is not None and best.restore_best and self.eval_dataset is not None:
            for network in (run.model, run.average.model):
                adopt(network, run.weights_of("best"), "best", partial=False)
        self.invoke("after_run")
        return result

    def evaluate(self, checkpoint_path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Return the scores of the network as it is, or of a checkpoint, a model directory, "best" or "last"."""
        require(self.eval_dataset is not None, "eval_dataset", "a set to evaluate on", None)
        measurable()
        run = self.prepare(training=False)
        self.invoke("before_val")
        self.metric_values = report(run.evaluate(None if checkpoint_path is None else named(checkpoint_path)))
        self.invoke("after_val")
        return self.metric_values

    def prepare(self, *, training: bool) -> Run:
        """Return a run of our loop; one that only evaluates measures PESQ and STOI of all examples."""
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
        if not training:
            clips = len(self.eval_dataset) if can_score() else 0
            recipe = replace(recipe, evaluation=replace(recipe.evaluation, clips=clips))
        return Run(self, recipe, train_data=train, valid_data=self.eval_dataset)

    def begin(self) -> None:
        """Tell callbacks that the first step comes."""
        for stage in ("before_run", "before_train_epoch", "before_train_iter"):
            self.invoke(stage)

    def after_step(self, step: int, share: float, shown: Mapping[str, float]) -> None:
        """Tell callbacks that a step is done, and what comes next."""
        before = self.epoch
        self.log_buffer.output.update(shown)
        self.note_step(step)
        self.invoke("after_train_iter")
        if self.epoch != before:
            self.invoke("after_train_epoch")
        if share < 1:
            if self.epoch != before:
                self.invoke("before_train_epoch")
            self.invoke("before_train_iter")

    def note_step(self, step: int) -> None:
        """Count steps and epochs."""
        self.iter, self.epoch = step, step // self.iters_per_epoch

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

    def invoke(self, stage: str) -> None:
        """Call each callback that has something to do at a stage."""
        for callback in self.callbacks:
            if (method := getattr(callback, stage, None)) is not None:
                method(self)

    @staticmethod
    def local_directory(model: str | os.PathLike[str], revision: str | None) -> Path:
        """Return the directory of a model, from the hub where there is none of that name here."""
        if Path(model).exists() or os.fspath(model).count("/") != 1:
            return existing(model)
        from modelscope.hub.snapshot_download import snapshot_download

        return Path(snapshot_download(os.fspath(model), revision=revision))


def configuration_of(model: Any, folder: Path | None) -> Path:
    """Return the configuration file that belongs to a model."""
    place = folder or getattr(model, "model_dir", None)
    if place is None:
        raise ValueError("cfg_file: expected a configuration for a model that has no directory, found none")
    return Path(place) / str(ModelFile.CONFIGURATION)


def network_of(model: Any, folder: Path | None, arguments: Mapping[str, Any]) -> Enhancer:
    """Return the network to train: with the weights of the directory, or fresh where it has none."""
    if isinstance(model, (FRCRNModel, Enhancer)):
        return model.model if isinstance(model, FRCRNModel) else model
    assert folder is not None
    if BUNDLED in arguments or any((folder / name).is_file() for name in WEIGHT_FILES):
        return open_network(folder, arguments)
    get_logger().info(f"{folder}: no weights here, training from scratch")
    return build(arguments)


def override(values: dict[str, Any], section: str, **given: int | None) -> None:
    """Put the arguments that were given in place of a configuration's own values."""
    values[section] = {
        **(values.get(section) or {}),
        **{key: value for key, value in given.items() if value is not None},
    }


def named(checkpoint: str | os.PathLike[str]) -> str:
    """Return a checkpoint's path, or its name "best" or "last"."""
    return os.fspath(checkpoint)


def device_name(device: str | None) -> str:
    """The framework's name of a device -> ours."""
    kind, _, number = (device or "gpu").partition(":")
    name = {"gpu": "cuda", "cuda": "cuda", "cpu": "cpu"}.get(kind)
    require(name is not None, "device", "cpu, gpu, cuda or gpu:N", device)
    return f"{name}:{number}" if number else "auto" if name == "cuda" else str(name)


def as_list(callbacks: Any) -> list[Any]:
    """Return callbacks as a list."""
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [] if callbacks is None else [callbacks]
