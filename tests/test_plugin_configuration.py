"""What a ModelScope configuration asks of training, and that what has no effect is never passed over in silence."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

pytest.importorskip("modelscope")

from frcrn.plugin.configuration import read_plan
from frcrn.plugin.recipe import recipe_of
from frcrn.training import Recipe
from tests.plugin_parts import OFFICIAL, ROOT


def recipe(train: dict[str, Any] | None = None, evaluation: dict[str, Any] | None = None, **given: Any) -> Recipe:
    plan = read_plan({"train": train or {}, "evaluation": evaluation or {}})
    return recipe_of(plan, **{"examples": 100, "has_valid": True, "seed": 1, "device": "cpu", "half": False, **given})


def test_the_released_configuration_is_the_released_recipe() -> None:
    values = copy.deepcopy(OFFICIAL)
    values["train"].pop("max_epochs")
    values["train"] |= {"train_iters_per_epoch": 2000, "dataloader": {"batch_size_per_gpu": 12, "workers_per_gpu": 0}}
    values["train"]["optimizer"]["lr"] = 0.001
    made = recipe_of(read_plan(values), examples=10, has_valid=True, seed=20, device="cpu", half=False)
    released = json.loads((ROOT / "configs" / "frcrn_16k.json").read_text())
    shared = ("max_steps", "batch_size", "optimizer", "lr", "weight_decay", "schedule", "plateau_factor", "clip_norm")
    for key in (*shared, "plateau_patience", "ema_decay", "save_every"):
        assert getattr(made.train, key) == released["train"][key], key
    assert made.loss == released["loss"]
    assert made.evaluation.best == released["evaluation"]["best"]
    assert made.evaluation.every == released["evaluation"]["every"]


def test_the_repositorys_own_configuration_can_be_trained() -> None:
    made = read_plan(json.loads((ROOT / "configuration.json").read_text()))
    assert made.train.max_epochs == 200


def test_epochs_become_steps() -> None:
    assert recipe({"max_epochs": 3, "train_iters_per_epoch": 7}).train.max_steps == 21
    by_data = recipe({"max_epochs": 3, "dataloader": {"batch_size_per_gpu": 8}}, examples=100)
    assert by_data.train.max_steps == 3 * 13
    gathered = {"type": "Adam", "options": {"cumulative_iters": 3}}
    made = recipe({"max_epochs": 2, "train_iters_per_epoch": 7, "optimizer": gathered})
    assert (made.train.max_steps, made.train.accumulate) == (4, 3)


def test_periods_are_epochs_or_steps() -> None:
    train = {"max_epochs": 9, "train_iters_per_epoch": 10}
    saved = {"period": {"interval": 2, "max_checkpoint_num": 5}}
    made = recipe(train | {"checkpoint": saved}, {"period": {"interval": 3}})
    assert (made.train.save_every, made.train.keep, made.evaluation.every) == (20, 5, 30)
    hooks = [
        {"type": "CheckpointHook", "interval": 4, "by_epoch": False},
        {"type": "EvaluationHook", "interval": 7, "by_epoch": False},
        {"type": "TextLoggerHook", "interval": 2},
        {"type": "EarlyStopHook", "metric_key": "avg_sisnr", "rule": "max", "patience": 6},
        {"type": "IterTimerHook"},
    ]
    made = recipe(train | {"hooks": hooks})
    assert (made.train.save_every, made.evaluation.every, made.train.log_every) == (4, 7, 2)
    assert (made.train.patience, made.evaluation.best) == (6, "si_snr")


def test_schedules() -> None:
    train = {"max_epochs": 5, "train_iters_per_epoch": 2, "optimizer": {"type": "AdamW", "lr": 0.01}}
    steady = recipe(train).train
    assert (steady.schedule, steady.decay_from, steady.optimizer) == ("cosine", 1.0, "adamw")
    cosine = recipe(train | {"lr_scheduler": {"type": "CosineAnnealingLR", "T_max": 5, "eta_min": 0.001}}).train
    assert (cosine.decay_from, cosine.final_lr) == (0.0, 0.1)
    falling = {"type": "ReduceLROnPlateau", "mode": "max", "factor": 0.5, "patience": 4}
    by_snr = {"type": "PlateauLrSchedulerHook", "metric_key": "avg_sisnr"}
    made = recipe(train | {"lr_scheduler": falling, "lr_scheduler_hook": by_snr})
    assert (made.train.schedule, made.train.plateau_factor, made.train.plateau_patience) == ("plateau", 0.5, 4)
    assert made.evaluation.best == "si_snr"


def test_gradients_are_limited_as_asked() -> None:
    assert recipe().train.clip_norm == 3.0
    assert recipe({"optimizer": {"type": "Adam"}}).train.clip_norm is None
    limited = {"type": "Adam", "options": {"grad_clip": {"max_norm": 0.5, "norm_type": 2}}}
    assert recipe({"optimizer": limited}).train.clip_norm == 0.5


def test_half_precision_is_bf16() -> None:
    assert recipe(half=True).train.precision == "bf16"


PLATEAU = {"type": "ReduceLROnPlateau"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": {"max_epoch": 3}}, "configuration.train: unknown key 'max_epoch'"),
        ({"train": {"max_epochs": 0}}, "max_epochs: expected 1 or more, found 0"),
        ({"train": {"max_epochs": "3"}}, "max_epochs: expected a whole number, found '3'"),
        ({"train": {"train_iters_per_epoch": 0}}, "train_iters_per_epoch: expected 1 or more"),
        ({"evaluation": {"val_iters_per_epoch": 0}}, "val_iters_per_epoch: expected 1 or more"),
        ({"train": {"dataloader": {"batch_size": 3}}}, "train.dataloader: unknown key 'batch_size'"),
        ({"train": {"optimizer": {"lr": 0.1}}}, "train.optimizer: missing key 'type'"),
        ({"train": {"optimizer": {"type": "SGD"}}}, "train.optimizer.type: expected 'Adam' or 'AdamW', found 'SGD'"),
        ({"train": {"optimizer": {"type": "Adam", "amsgrad": True}}}, "train.optimizer: unknown key 'amsgrad'"),
        ({"train": {"lr_scheduler": {"type": "StepLR"}}}, "lr_scheduler.type: expected one of ReduceLROnPlateau, Cos"),
        ({"train": {"lr_scheduler": {**PLATEAU, "cooldown": 1}}}, "lr_scheduler: unknown key 'cooldown'"),
        ({"train": {"lr_scheduler": {"type": "CosineAnnealingLR", "T_max": 3}}}, "T_max: expected 200, as max_epochs"),
        ({"train": {"lr_scheduler": {**PLATEAU, "mode": "max"}}}, "mode: expected 'min' for avg_loss, found 'max'"),
        ({"train": {"checkpoint": {"best": {"metric_key": "wer"}}}}, "best.metric_key: expected 'avg_loss' or"),
        ({"train": {"checkpoint": {"best": {"metric_key": "pesq", "rule": "min"}}}}, "rule: expected 'max' for pesq"),
        ({"train": {"checkpoint": {"period": {"push_to_hub": True}}}}, "period: unknown key 'push_to_hub'"),
        ({"train": {"hooks": [{"type": "SparsityHook"}]}}, "train.hooks: 'SparsityHook' has no effect here; accepted:"),
        ({"train": {"hooks": [{"type": "LrSchedulerHook", "warmup": 3}]}}, "LrSchedulerHook with warmup has no effect"),
        ({"train": {"hooks": [{"interval": 3}]}}, "train.hooks: None has no effect"),
        ({"evaluation": {"visualization": {}}}, "configuration.evaluation: unknown key 'visualization'"),
        ({"dataset": {"name": "x"}}, "dataset: has no effect on training here"),
        ({"trian": {"max_epochs": 3}}, "trian: has no effect on training here"),
        ({"preprocessor": {"type": "x"}}, "preprocessor: has no effect on training here"),
        (
            {
                "train": {
                    "checkpoint": {"best": {"metric_key": "pesq"}},
                    "hooks": [{"type": "EarlyStopHook", "metric_key": "stoi"}],
                }
            },
            "one score that decides for all, found pesq in train.checkpoint.best, stoi in train.early_stop",
        ),
    ],
)
def test_what_has_no_effect_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        recipe_of(read_plan(values), examples=9, has_valid=True, seed=1, device="cpu", half=False)
    assert "\n" not in str(error.value)


def test_a_plateau_needs_something_to_measure() -> None:
    with pytest.raises(ValueError, match="lr_scheduler: expected an eval_dataset"):
        recipe({"lr_scheduler": PLATEAU}, has_valid=False)


def test_the_callers_configuration_stays_as_it_is() -> None:
    before = copy.deepcopy(OFFICIAL)
    read_plan(OFFICIAL)
    assert before == OFFICIAL
