"""What the trainer is given, checked and in our words: configuration, network, device, and what has no use here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelscope.utils.constant import ModelFile
from modelscope.utils.logger import get_logger

from frcrn.config import require
from frcrn.models import Enhancer
from frcrn.models.checkpoint import build
from frcrn.models.directories import BUNDLED, WEIGHT_FILES
from frcrn.plugin.hooks import split
from frcrn.plugin.model import FRCRNModel, open_network

UNUSED = {
    "arg_parse_fn",
    "data_collator",
    "preprocessor",
    "optimizers",
    "samplers",
    "efficient_tuners",
    "remove_unused_data",
    "compile",
    "compile_options",
    "third_party",
}
"""Arguments of the framework's base trainer for which there is no use here; they may be given empty."""


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


def refuse_unused(others: Mapping[str, Any]) -> None:
    """Refuse arguments that nobody knows, and those of the base trainer that would have no effect."""
    for name, value in others.items():
        if name not in UNUSED:
            raise TypeError(f"unknown argument {name!r} of the trainer")
        if value not in (None, False, (None, None)):
            raise ValueError(f"{name}: has no effect on this trainer; leave it out")


def modified(configuration: Any, change: Callable[[Any], Any] | None) -> Any:
    """Return what a function makes of the configuration."""
    if change is None:
        return configuration
    result = change(configuration)
    require(result is not None, "cfg_modify_fn", "a function that returns the configuration", None)
    return result


def take_added_hooks(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Take the hooks that are not the framework's own out of a configuration."""
    section = values.get("train") or {}
    section["hooks"], added = split(section.get("hooks") or ())
    return added


def refuse_place_elsewhere(work_dir: Any) -> None:
    """Refuse a run's folder outside of the working folder, where a model directory names it, which may be anybody's."""
    if isinstance(work_dir, str) and (os.path.isabs(work_dir) or ".." in Path(work_dir).parts):
        raise ValueError(f"train.work_dir: a model's own configuration may not name {work_dir!r}; give work_dir=...")
