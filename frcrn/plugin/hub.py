"""Teach the framework's factories about our directories: what is here needs no hub, and none of its own code."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelscope.models.base import base_model
from modelscope.pipelines import builder as pipelines
from modelscope.trainers import builder as trainers
from modelscope.utils import automodel_utils
from modelscope.utils.constant import DEFAULT_MODEL_REVISION

from frcrn.models.checkpoint import MODEL_TYPE, CheckpointError
from frcrn.plugin.kept import OFFLINE, downloaded, in_use, offline, use_kept
from frcrn.plugin.model import existing


def look_here_first() -> None:
    """Wrap the factories' look-ups: a directory that is here needs no network, a missing one is said to be missing."""
    wrap(automodel_utils, "_is_valid_hub_model_id", not_a_directory)
    for factory in (pipelines, trainers):
        wrap(factory, "is_official_hub_path", found_or_plain)
        wrap(factory, "read_config", without_remote_code)
    for module in (pipelines, base_model):
        wrap(module, "snapshot_download", downloaded)
    if hasattr(base_model, "_CONFIG_ONLY_MODELS"):
        base_model._CONFIG_ONLY_MODELS |= {MODEL_TYPE}


def wrap(module: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Put `wrapper(original, ...)` in place of a function, once; a version without that function needs none."""
    original = getattr(module, name, None)
    if original is not None and not hasattr(original, "frcrn_original"):
        wrapped = functools.wraps(original)(functools.partial(wrapper, original))
        wrapped.frcrn_original = original  # type: ignore[attr-defined]
        setattr(module, name, wrapped)


def not_a_directory(original: Callable[..., bool], model: Any) -> bool:
    """Say whether this may be a hub name; the framework takes a directory `owner/name` for one and asks who owns it."""
    return not (isinstance(model, str) and (offline() or os.path.exists(model))) and original(model)


def found_or_plain(original: Callable[..., bool], path: Any, revision: str | None = DEFAULT_MODEL_REVISION) -> bool:
    """Say whether this is a model directory or hub name; refuse in plain words what is neither."""
    missing = [name for name in ([path] if isinstance(path, str) else path) if not os.path.exists(name)]
    if missing and all((name, revision) in in_use for name in missing):
        return True
    for name in missing:
        if not could_be_on_hub(name):
            raise ValueError(f"{name}: no such model directory, and not the form owner/name that the hub uses")
    try:
        if missing and offline():
            raise ValueError(f"{OFFLINE} is set")
        return original(path, revision=revision)
    except ValueError as error:
        if not missing:
            raise
        for name in missing:
            if not use_kept(name, revision):
                raise ValueError(f"{name}: no such model directory here, and the hub gave none ({error})") from error
        return True


def without_remote_code(original: Callable[..., Any], path: Any, revision: str | None = DEFAULT_MODEL_REVISION) -> Any:
    """Read a configuration; a directory of ours needs no code or packages of its own, since the plugin is here."""
    kept = in_use.get((path, revision))
    configuration = original(path if kept is None else str(kept), revision=revision)
    part = {} if configuration is None else configuration.safe_get("pipeline", {})
    if not isinstance(part, Mapping):
        raise CheckpointError(f"{path}: expected an object under 'pipeline' of its configuration, found {part!r}")
    if part.get("type") == MODEL_TYPE:
        configuration.merge_from_dict({"allow_remote": False, "plugins": None})
    return configuration


def directory_of(model: str | os.PathLike[str], revision: str | None = DEFAULT_MODEL_REVISION) -> Path:
    """Return the directory of a model: the one of that name, or what the hub or an earlier download has."""
    name = os.fspath(model)
    if os.path.exists(name) or not could_be_on_hub(name):
        return existing(model)
    pipelines.is_official_hub_path(name, revision=revision)  # says in plain words what is wrong
    return Path(pipelines.snapshot_download(name, revision=revision))


def could_be_on_hub(name: str) -> bool:
    """Tell whether a string has the form owner/name."""
    owner, slash, model = name.partition("/")
    return bool(slash and owner.strip(".~ ") and model) and "/" not in model and "\\" not in name
