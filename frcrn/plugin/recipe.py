"""From the framework's configuration to a recipe of ours."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

from frcrn.config import require
from frcrn.plugin.configuration import METRIC_KEYS, Cosine, Plan
from frcrn.training import Evaluation, Recipe, Train

KEPT = 2  # checkpoints from which a run can go on, where the configuration names no number
CLIPS_WHILE_TRAINING = 8  # PESQ takes about a tenth of a second each


def recipe_of(plan: Plan, *, examples: int, has_valid: bool, seed: int, device: str, half: bool) -> Recipe:
    """Return the recipe for a training set of so many examples."""
    train, per_epoch = plan.train, steps_per_epoch(plan, examples)
    options, whole = train.optimizer.options, train.max_epochs * per_epoch
    values: dict[str, Any] = {
        "max_steps": whole,
        "batch_size": train.dataloader.batch_size_per_gpu,
        "workers": train.dataloader.workers_per_gpu,
        "accumulate": options.cumulative_iters,
        "optimizer": train.optimizer.type.lower(),
        "lr": train.optimizer.lr,
        "betas": train.optimizer.betas,
        "weight_decay": train.optimizer.weight_decay,
        "clip_norm": options.grad_clip.max_norm if options.grad_clip else None,
        "ema_decay": 0.0,
        "precision": "bf16" if half else "fp32",
        "seed": seed,
        "device": device,
        "log_every": min(train.logging.interval, whole),
        "save_every": train.checkpoint.period.steps(per_epoch),
        "keep": train.checkpoint.period.max_checkpoint_num or KEPT,
        "patience": train.early_stop.patience if train.early_stop else None,
        "tensorboard": train.tensorboard,
        **schedule_of(plan, has_valid),
    }
    evaluation = Evaluation(
        every=plan.evaluation.period.steps(per_epoch),
        examples=eval_examples(plan),
        clips=CLIPS_WHILE_TRAINING if can_score() else 0,
        best=METRIC_KEYS[chosen_key(plan)][0],
    )
    return Recipe(Train(**values), train.loss, evaluation=evaluation)


def schedule_of(plan: Plan, has_valid: bool) -> dict[str, Any]:
    """Return the settings of the learning rate's course."""
    schedule = plan.train.lr_scheduler
    if schedule is None:
        return {"decay_from": 1.0}
    if isinstance(schedule, Cosine):
        return {"decay_from": 0.0, "final_lr": schedule.eta_min / plan.train.optimizer.lr}
    better = METRIC_KEYS[chosen_key(plan)][1]
    require(has_valid, "train.lr_scheduler", "an eval_dataset, for ReduceLROnPlateau", None)
    require(schedule.mode == better, "train.lr_scheduler.mode", f"{better!r} for {chosen_key(plan)}", schedule.mode)
    return {"schedule": "plateau", "plateau_factor": schedule.factor, "plateau_patience": schedule.patience}


def steps_per_epoch(plan: Plan, examples: int) -> int:
    """Return how many optimizer steps an epoch has."""
    batches = plan.train.train_iters_per_epoch or math.ceil(examples / plan.train.dataloader.batch_size_per_gpu)
    return max(1, batches // plan.train.optimizer.options.cumulative_iters)


def eval_examples(plan: Plan) -> int | None:
    """Return how many examples an evaluation looks at, None for all."""
    batches = plan.evaluation.val_iters_per_epoch
    return None if batches is None else batches * plan.evaluation.dataloader.batch_size_per_gpu


def chosen_key(plan: Plan) -> str:
    """Return the one score that plateaus, stops and best weights go by; two different ones are refused."""
    train = plan.train
    asked = {
        "train.lr_scheduler_hook": train.lr_scheduler_hook,
        "train.checkpoint.best": train.checkpoint.best,
        "train.early_stop": train.early_stop,
    }
    keys = {place: section.metric_key for place, section in asked.items() if section is not None}
    if len({METRIC_KEYS[key] for key in keys.values()}) > 1:
        said = ", ".join(f"{key} in {place}" for place, key in keys.items())
        raise ValueError(f"metric_key: expected one score that decides for all, found {said}")
    return next(iter(keys.values()), "avg_loss")


def can_score() -> bool:
    """Tell whether the packages for PESQ and STOI are installed."""
    return all(find_spec(name) is not None for name in ("pesq", "pystoi"))
