"""Make the parts of a run from its recipe, refusing in one sentence what cannot work."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from frcrn.audio import MissingPackage
from frcrn.models.base import Enhancer
from frcrn.training.grow import grow
from frcrn.training.muon import Muon
from frcrn.training.recipe import Recipe, Train, build_model

logger = logging.getLogger("frcrn.training")

VALID_SEED = 1_000_003
"""Validation examples are the same for every seed of training, so that runs can be compared."""


SETTINGS = ("mask_bound", "level_dbfs")
"""What a network's weights were trained with beside its shape: another value makes other sound of the same weights."""


def choose_model(recipe: Recipe, given: Enhancer | None) -> Enhancer:
    """Return the network to train, with the weights that it starts from and the settings that these came with."""
    source = recipe.train.init_from
    if given is None and not recipe.model and source is None:
        raise ValueError("recipe.model: expected a network here, or weights in train.init_from, found neither")
    if source is None:
        return given if given is not None else build_model(recipe.model)
    from frcrn.models.checkpoint import load

    start = load(source)
    if given is None and not recipe.model:
        return start.requires_grad_(True).train()
    model = given if given is not None else build_model(recipe.model)
    partial, grown = recipe.train.init_partial, recipe.train.init_grown
    named = model.config.to_dict() if given is not None else recipe.model
    take_settings(model, start.config.to_dict(), named)
    if grown:
        grow(model, start.state_dict())
        return model
    if not partial:
        refuse_another(model, start, source)
    adopt(model, start, source, partial=partial)
    return model


def take_settings(model: Enhancer, start: Mapping[str, Any], named: Mapping[str, Any]) -> None:
    """Give a network the settings in the configuration that its weights came with, but for those that are `named`."""
    values = {key: start[key] for key in SETTINGS if key in start and key not in named and hasattr(model.config, key)}
    model.config = replace(model.config, **values)
    model.level_dbfs = values.get("level_dbfs", model.level_dbfs)


def refuse_another(model: Enhancer, start: Enhancer, source: str) -> None:
    """Refuse a recipe whose network is not the one that the weights belong to, naming the first key that differs."""
    mine, theirs = model.config.to_dict(), start.config.to_dict()
    # as JSON has them: tuples and lists are alike
    for key in sorted(mine.keys() | theirs.keys()):
        if json.dumps(mine.get(key)) != json.dumps(theirs.get(key)):
            raise ValueError(
                f"recipe.model.{key}: expected {theirs.get(key)!r}, as the weights of {source} were trained with, found"
                f" {mine.get(key)!r}; leave recipe.model out to train their own network, or set train.init_partial to"
                " change it and take the weights that fit"
            )


def adopt(model: nn.Module, start: nn.Module, source: str, *, partial: bool) -> None:
    """Copy weights; with `partial`, those whose name and shape fit, else all of them or none."""
    weights, own = start.state_dict(), model.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    if not partial and not len(fitting) == len(own) == len(weights):
        odd = sorted((own.keys() ^ weights.keys()) or (own.keys() - fitting.keys()))[0]
        raise ValueError(
            f"{source}: its weights do not fit recipe.model ({odd} differs); leave recipe.model out to train"
            " their own network, or set train.init_partial to take what fits"
        )
    logger.info("%s: took %d of %d tensors", source, len(fitting), len(own))
    model.load_state_dict({**own, **fitting})


def build_data(recipe: Recipe, section: str, rate: int, given: Any) -> Any:
    """Return the training ("data") or validation ("valid") set; no validation set is None."""
    table = getattr(recipe, section)
    if given is None and not table:
        if section == "valid":
            return None
        raise ValueError("recipe.data: expected a training set, found none")
    data = given
    if data is None:
        from frcrn.data import build

        seed = recipe.train.seed if section == "data" else VALID_SEED
        data = build(table, sample_rate=rate, seed=seed, where=f"recipe.{section}")
    check_data(data, f"recipe.{section}")
    return data


def check_data(data: Any, where: str) -> None:
    """Refuse an empty set, and one whose first example is not a pair of waves [T]."""
    if len(data) == 0:
        raise ValueError(f"{where}: the set is empty")
    example = data[0, 0]
    if not isinstance(example, dict) or not {"noisy", "clean"} <= example.keys():
        raise ValueError(f"{where}: expected examples with noisy and clean, found {type(example).__name__}")
    shapes = [tuple(torch.as_tensor(example[key]).shape) for key in ("noisy", "clean")]
    if len(shapes[0]) != 1 or shapes[0] != shapes[1] or shapes[0][0] == 0:
        raise ValueError(
            f"{where}: expected noisy and clean as waves of one length, found shapes {shapes[0]} and {shapes[1]}"
        )


def warn_of_shared(train: Any, valid: Any) -> None:
    """Say so where training hears what validation is made of, where both know their recordings."""
    if not (hasattr(train, "recordings") and hasattr(valid, "recordings")):
        return
    shared = sorted(train.recordings() & valid.recordings())
    if shared:
        logger.warning(
            "%d recordings are in both recipe.data and recipe.valid, such as %s, so that the scores will be too good; "
            "give both the same valid_share, speaker and exclude",
            len(shared),
            shared[0],
        )
    elif not getattr(train, "speakers_known", True):
        logger.info(
            "nothing tells who speaks in which recording, so that voices may be in both recipe.data and recipe.valid; "
            "see `speaker` in docs/training.md"
        )


def check_packages(recipe: Recipe) -> None:
    """Refuse a recipe that needs packages which are not installed."""
    wanted = {"pesq": "eval", "pystoi": "eval"} if recipe.evaluation.clips else {}
    wanted |= {"tensorboard": "train"} if recipe.train.tensorboard else {}
    for package, extra in wanted.items():
        if find_spec(package) is None:
            raise MissingPackage(f'this recipe needs {package}: pip install "frcrn[{extra}]"')


def check_plan(recipe: Recipe, rate: int, *, has_valid: bool) -> None:
    """Refuse settings that need a validation set, or a rate at which PESQ is defined."""
    needs = {
        "train.schedule": recipe.train.schedule == "plateau",
        "train.patience": recipe.train.patience is not None,
    }
    for place, asked in needs.items():
        if asked and not has_valid:
            raise ValueError(f"recipe.{place}: needs a validation set in recipe.valid, found none")
    if recipe.evaluation.clips and rate != 16000:
        raise ValueError(
            f"recipe.evaluation.clips: expected 0 at {rate} Hz, as wide-band PESQ is defined at 16000 Hz only"
        )


def build_optimizer(model: nn.Module, plan: Train) -> torch.optim.Optimizer:
    """Return the optimizer; weight decay acts on matrices and kernels, not on biases, scales and slopes."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if plan.optimizer == "muon":
        return Muon(weights, plan.lr, (plan.betas[0], plan.betas[1]), plan.weight_decay, plan.taps_lr)
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if plan.optimizer == "adamw" else torch.optim.Adam
    return kind(
        [group for group in groups if group["params"]], lr=plan.lr, betas=(plan.betas[0], plan.betas[1]), fused=True
    )
