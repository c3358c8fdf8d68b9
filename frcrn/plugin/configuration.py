"""What the framework's configuration says of training; a key that has no effect here is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from frcrn.config import build, require
from frcrn.plugin.model import RELEASED_LOSS
from frcrn.training.recipe import by_name

METRIC_KEYS: dict[str, tuple[Literal["loss", "si_snr", "pesq", "stoi"], str]] = {
    "avg_loss": ("loss", "min"),
    "total_loss": ("loss", "min"),
    "avg_sisnr": ("si_snr", "max"),
    "pesq": ("pesq", "max"),
    "stoi": ("stoi", "max"),
}
"""What the framework's configuration calls a score -> our name of it, and whether less or more of it is better."""
MetricKey = Literal["avg_loss", "total_loss", "avg_sisnr", "pesq", "stoi"]
ABOUT = {"framework", "task", "model", "pipeline", "allow_remote", "training"}
"""What a configuration says besides, of the model and of how it came about."""


@dataclass(frozen=True)
class Loader:
    """How examples are loaded."""

    batch_size_per_gpu: int = 12
    workers_per_gpu: int = 0


@dataclass(frozen=True)
class GradientClip:
    """The gradient's limit."""

    max_norm: float
    norm_type: Literal[2] = 2


@dataclass(frozen=True)
class OptimizerOptions:
    """What is done with gradients before a step."""

    grad_clip: GradientClip | None = None
    cumulative_iters: int = 1


@dataclass(frozen=True)
class Optimizer:
    """The optimizer; the defaults are torch's."""

    type: Literal["Adam", "AdamW"]
    lr: float = 0.001
    weight_decay: float = 0.0
    betas: tuple[float, ...] = (0.9, 0.999)
    options: OptimizerOptions = OptimizerOptions()


@dataclass(frozen=True)
class Plateau:
    """The learning rate falls when a score gets no better."""

    type: Literal["ReduceLROnPlateau"]
    mode: Literal["min", "max"] = "min"
    factor: float = 0.1
    patience: int = 10
    verbose: bool = False
    """The rate is in every record of the log."""


@dataclass(frozen=True)
class Cosine:
    """The learning rate falls along half a cosine, over all epochs."""

    type: Literal["CosineAnnealingLR"]
    T_max: int
    eta_min: float = 0.0


@dataclass(frozen=True)
class ScheduleHook:
    """Which score a plateau is one of."""

    metric_key: MetricKey
    type: Literal["PlateauLrSchedulerHook"] = "PlateauLrSchedulerHook"


@dataclass(frozen=True)
class Period:
    """Something done every so many epochs or steps."""

    interval: int = 1
    by_epoch: bool = True

    def __post_init__(self) -> None:
        require(self.interval >= 1, "interval", "1 or more", self.interval)

    def steps(self, per_epoch: int) -> int:
        """Return how many steps lie between two times."""
        return self.interval * per_epoch if self.by_epoch else self.interval


@dataclass(frozen=True)
class SavePeriod(Period):
    """When checkpoints are written, and how many are kept."""

    max_checkpoint_num: int | None = None
    """How many files `epoch_N.pth` stay; without a number all do, as the framework does."""

    @property
    def unit(self) -> str:
        """What the files are named after."""
        return "epoch" if self.by_epoch else "iter"


@dataclass(frozen=True)
class Best:
    """Which score chooses the output, and whether the trainer goes on with its weights."""

    metric_key: MetricKey
    rule: Literal["min", "max"] | None = None
    restore_best: bool = False

    def __post_init__(self) -> None:
        better = METRIC_KEYS[self.metric_key][1]
        require(self.rule in (None, better), "rule", f"{better!r} for {self.metric_key}", self.rule)


@dataclass(frozen=True)
class Checkpoint:
    """What is kept."""

    period: SavePeriod = SavePeriod()
    best: Best | None = None


@dataclass(frozen=True)
class Logging:
    """What is recorded, every so many steps."""

    interval: int = 10
    by_epoch: bool = True
    """Records carry the step either way."""


@dataclass(frozen=True)
class Stop:
    """When to give up."""

    metric_key: MetricKey
    rule: Literal["min", "max"] | None = None
    patience: int = 3


@dataclass(frozen=True)
class TrainSection:
    """`train` of the configuration; the defaults are the released recipe's, but for its schedule."""

    max_epochs: int = 200
    train_iters_per_epoch: int | None = None
    dataloader: Loader = Loader()
    optimizer: Optimizer = Optimizer("Adam", weight_decay=1e-5, options=OptimizerOptions(GradientClip(3.0)))
    lr_scheduler: Plateau | Cosine | None = None
    lr_scheduler_hook: ScheduleHook | None = None
    checkpoint: Checkpoint = Checkpoint()
    logging: Logging = Logging()
    early_stop: Stop | None = None
    tensorboard: bool = False
    loss: dict[str, Any] = field(default_factory=lambda: dict(RELEASED_LOSS))
    seed: int | None = None
    work_dir: str | None = None

    def __post_init__(self) -> None:
        for name in ("max_epochs", "train_iters_per_epoch"):
            require(getattr(self, name) is None or getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        if isinstance(self.lr_scheduler, Cosine):
            found = self.lr_scheduler.T_max
            require(found == self.max_epochs, "lr_scheduler.T_max", f"{self.max_epochs}, as max_epochs", found)


@dataclass(frozen=True)
class EvaluationSection:
    """`evaluation` of the configuration."""

    val_iters_per_epoch: int | None = None
    dataloader: Loader = Loader()
    metrics: tuple[Any, ...] = ()
    period: Period = Period()

    def __post_init__(self) -> None:
        found = self.val_iters_per_epoch
        require(found is None or found >= 1, "val_iters_per_epoch", "1 or more", found)


HOOKS: dict[str, tuple[str, ...]] = {
    "CheckpointHook": ("train", "checkpoint", "period"),
    "BestCkptSaverHook": ("train", "checkpoint", "best"),
    "TextLoggerHook": ("train", "logging"),
    "EarlyStopHook": ("train", "early_stop"),
    "PlateauLrSchedulerHook": ("train", "lr_scheduler_hook"),
    "EvaluationHook": ("evaluation", "period"),
}
"""A hook of the configuration's list -> the place where the same may be said as a section."""
GIVEN = ("IterTimerHook", "LrSchedulerHook", "OptimizerHook")
"""Hooks whose work is always done."""


@dataclass(frozen=True)
class Plan:
    """All that the configuration says of training and evaluation."""

    train: TrainSection = field(default_factory=TrainSection)
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)


def read_plan(configuration: Mapping[str, Any]) -> Plan:
    """Return what a configuration asks for; a key that has no effect here is an error that names it."""
    values = {key: plain(configuration.get(key) or {}) for key in ("train", "evaluation")}
    if other := sorted(key for key, value in configuration.items() if key not in ABOUT | values.keys() and value):
        raise ValueError(f"{other[0]}: has no effect on training here; accepted: train, evaluation")
    if "loss" in values["train"]:
        values["train"]["loss"] = by_name(values["train"]["loss"], "configuration.train.loss")
    for hook in values["train"].pop("hooks", ()):
        place_hook(dict(hook), values)
    return build(Plan, values, "configuration")


def place_hook(hook: dict[str, Any], values: dict[str, Any]) -> None:
    """Move one hook of the list to the section that says the same."""
    kind = hook.pop("type", None)
    if kind == "TensorboardHook" and not hook:
        values["train"]["tensorboard"] = True
    elif kind in HOOKS:
        *path, last = HOOKS[kind]
        section = values
        for name in path:
            section = section.setdefault(name, {})
        section[last] = {**hook, **(section.get(last) or {})}
    elif kind not in GIVEN or hook:
        known = ", ".join((*HOOKS, *GIVEN, "TensorboardHook"))
        found = f"{kind} with {', '.join(hook)}" if kind in (*GIVEN, "TensorboardHook") else repr(kind)
        raise ValueError(f"train.hooks: {found} has no effect here; accepted: {known}")


def plain(value: Any) -> Any:
    """Return the framework's dictionaries as plain ones, for checking and for JSON."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
