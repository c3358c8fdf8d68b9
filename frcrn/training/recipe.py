"""What a training run is made of: a JSON table, checked key by key before anything starts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from frcrn.config import build, require
from frcrn.models.base import MODELS, Enhancer
from frcrn.texts import from_json, text_of

MOST_WORKERS = 512
MOST_TOGETHER = 1 << 16
"""Examples in a batch, and batches in a step."""


@dataclass(frozen=True)
class Train:
    """How the loop runs; batch_size is per process."""

    max_steps: int | None = None
    max_minutes: float | None = None
    batch_size: int = 8
    accumulate: int = 1
    optimizer: Literal["adamw", "adam", "muon"] = "adamw"
    lr: float = 1e-3
    taps_lr: float = 1.0
    """How many times the learning rate the taps of memories have, with muon; new ones that begin at zero want more."""
    betas: tuple[float, ...] = (0.9, 0.999)
    weight_decay: float = 0.01
    warmup_steps: int = 0
    schedule: Literal["cosine", "plateau"] = "cosine"
    decay_from: float = 0.0
    final_lr: float = 0.0
    plateau_factor: float = 0.98
    plateau_patience: int = 2
    clip_norm: float | None = 3.0
    ema_decay: float = 0.998
    precision: Literal["fp32", "bf16"] = "fp32"
    graph: bool = False
    """Record a step on a CUDA device once and start it by one call; with muon and without accumulation."""
    seed: int = 0
    workers: int = 0
    device: str = "auto"
    log_every: int = 20
    save_every: int = 500
    keep: int = 2
    patience: int | None = None
    nonfinite_limit: int = 20
    tensorboard: bool = False
    init_from: str | None = None
    init_partial: bool = False
    """Change the network of the starting weights as `model` says, and take those that fit."""
    init_grown: bool = False
    """Make the network of the starting weights as much larger as `model` says; it first does what the smaller did."""
    set_level: bool = False
    """Set the mask's bound of what is scored and saved, so that clean speech keeps its level."""
    whole_numbers: bool = False
    """Round weights and activations of an NNSE as `frcrn export --format c-int8` will; the weights stay floats."""
    keep_last: bool = False
    """Let `output/` hold the last weights, however they score."""

    def __post_init__(self) -> None:
        budget = self.max_steps is not None or self.max_minutes is not None
        require(budget, "max_steps", "a number here or in train.max_minutes", None)
        counts = ("batch_size", "accumulate", "log_every", "save_every", "keep", "nonfinite_limit", "plateau_patience")
        for name in counts:
            require(getattr(self, name) >= 1, name, "1 or more", getattr(self, name))
        for name in ("workers", "warmup_steps", "weight_decay", "seed"):
            require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        require(self.seed < 1 << 40, "seed", "a number below 2^40", self.seed)
        require(self.workers <= MOST_WORKERS, "workers", f"at most {MOST_WORKERS} processes", self.workers)
        for name in ("batch_size", "accumulate"):
            require(getattr(self, name) <= MOST_TOGETHER, name, f"at most {MOST_TOGETHER}", getattr(self, name))
        for name in ("max_steps", "max_minutes", "clip_norm", "patience", "lr", "taps_lr"):
            value = getattr(self, name)
            require(value is None or value > 0, name, "more than 0", value)
        graphed = self.optimizer == "muon" and self.accumulate == 1
        require(graphed or not self.graph, "graph", "false unless optimizer is muon and accumulate is 1", self.graph)
        for name in ("decay_from", "final_lr", "plateau_factor"):
            require(0 <= getattr(self, name) <= 1, name, "0 to 1", getattr(self, name))
        require(0 <= self.ema_decay < 1, "ema_decay", "0 or more, below 1", self.ema_decay)
        require(len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas), "betas", "two, 0 to 1", self.betas)


@dataclass(frozen=True)
class Evaluation:
    """What is measured on the validation set while training; PESQ and STOI on the first `clips` examples only."""

    every: int = 1000
    examples: int | None = None
    clips: int = 0
    best: Literal["si_snr", "loss", "pesq", "stoi"] = "si_snr"

    def __post_init__(self) -> None:
        require(self.every >= 1, "every", "1 or more", self.every)
        require(self.examples is None or self.examples >= 1, "examples", "1 or more", self.examples)
        require(self.clips >= 0, "clips", "0 or more", self.clips)
        by_clips = self.best in ("pesq", "stoi")
        require(not by_clips or self.clips > 0, "clips", f"1 or more, for best = {self.best}", self.clips)


@dataclass(frozen=True)
class Recipe:
    """One training run; without a model table it trains the network of `train.init_from`, or one given in Python."""

    train: Train
    loss: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    valid: dict[str, Any] = field(default_factory=dict)
    evaluation: Evaluation = field(default_factory=Evaluation)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON and `parse` take."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def parse(values: Any) -> Recipe:
    """Return the recipe that a table (or a recipe) describes."""
    if isinstance(values, Recipe):
        return values
    if isinstance(values, Mapping) and "stages" in values:
        raise ValueError("recipe.stages: a Trainer runs one stage; frcrn.training.train runs them all")
    if isinstance(values, Mapping) and "loss" in values:
        values = {**values, "loss": by_name(values["loss"], "recipe.loss")}
    return build(Recipe, values, "recipe")


def by_name(losses: Any, where: str) -> Any:
    """Return a table of losses without those that are null; a list is refused with the table that says the same."""
    if isinstance(losses, Mapping):
        return {name: options for name, options in losses.items() if options is not None}
    if not isinstance(losses, (list, tuple)) or not all(isinstance(entry, Mapping) for entry in losses):
        return losses
    table = {
        str(entry.get("name", "si_snr")): {key: value for key, value in entry.items() if key != "name"}
        for entry in losses
    }
    shown = json.dumps(table or {"si_snr": {"weight": 1.0}}, default=str)
    raise ValueError(f"{where}: expected a table by name, found a list; write it as {shown}")


def read(path: str | Path, changes: Iterable[str] = ()) -> Recipe:
    """Return the recipe in a JSON file.

    Args:
        path: the file.
        changes: settings to replace, such as "train.max_steps=100".

    Example:
        >>> recipe = read("configs/own_data.json", ["train.max_minutes=30"])
    """
    return parse(tables(path, changes))


def tables(path: str | Path, changes: Iterable[str] = ()) -> dict[str, Any]:
    """Read a recipe's tables, stages and all, and carry out changes such as "stages.2.train.lr=0.001"."""
    try:
        values = from_json(text_of(Path(path)))
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a recipe in JSON, found no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: expected a recipe in JSON, found {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a table of settings, found {type(values).__name__}")
    for change in changes:
        apply(values, change)
    return values


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return a table with the keys of `new` changed; tables within are changed alike, lists replaced as a whole."""
    both = old | new
    for key in old.keys() & new.keys():
        if isinstance(old[key], dict) and isinstance(new[key], dict):
            both[key] = merged(old[key], new[key])
    return both


def apply(values: dict[str, Any], change: str) -> None:
    """Carry out one change such as "train.lr=0.001" or "loss.si_snr.weight=2" in place."""
    place, equals, text = change.partition("=")
    if not equals or not place:
        raise ValueError(f"{change!r}: expected SECTION.KEY=VALUE, such as train.max_steps=100")
    *path, last = place.split(".")
    target: Any = values
    for name in path:
        target = target.setdefault(name, {}) if isinstance(target, dict) else target[position(target, name, place)]
    if not isinstance(target, (dict, list)):
        raise ValueError(f"{place}: {'.'.join(path)} is a single value, not a table")
    if isinstance(target, dict):
        target[last] = value_of(text)
    else:
        target[position(target, last, place)] = value_of(text)


def position(items: Any, name: str, place: str) -> int:
    """Return the index into a list that one part of a change names: its number from 0 on, or an item's name."""
    if isinstance(items, list):
        names = [item.get("name") if isinstance(item, dict) else None for item in items]
        if name in names:
            return names.index(name)
    if not isinstance(items, list) or not name.isdigit() or int(name) >= len(items):
        raise ValueError(f"{place}: nothing there to change at {name!r}")
    return int(name)


def value_of(text: str) -> Any:
    """Read a value as JSON, else as text."""
    try:
        return from_json(text)
    except json.JSONDecodeError:
        return text


FREE = {
    f"recipe.train.{key}"
    for key in ("keep", "save_every", "workers", "tensorboard", "patience", "init_from", "keep_last", "graph")
}


def differences(old: Any, new: Any, place: str = "recipe") -> list[str]:
    """Return the settings that changed, but for those that only say how long to run and what to report."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [name for key in keys for name in differences(old.get(key), new.get(key), f"{place}.{key}")]
    if are_tables(old) and are_tables(new) and len(old) == len(new):
        both = enumerate(zip(old, new, strict=True))
        return [name for number, (was, now) in both for name in differences(was, now, f"{place}[{number}]")]
    return [] if old == new or place in FREE else [place]


def are_tables(values: Any) -> bool:
    """Tell whether this is a list of tables."""
    return isinstance(values, list) and all(isinstance(item, dict) for item in values)


def build_model(values: Mapping[str, Any]) -> Enhancer:
    """Return a fresh network: `name` in the table of models, `preset`, and any keys of its configuration."""
    changes = dict(values)
    name, preset = changes.pop("name", "frcrn"), changes.pop("preset", None)
    if name not in MODELS:
        raise ValueError(f"recipe.model.name: expected one of {', '.join(MODELS)}, found {name!r}")
    network, config = MODELS[name]
    presets = [key for key, value in vars(config).items() if isinstance(value, classmethod) and key != "from_dict"]
    if preset not in (None, "official", *presets):
        raise ValueError(f"recipe.model.preset: expected one of official, {', '.join(presets)}, found {preset!r}")
    base = config() if preset in (None, "official") else getattr(config, preset)()
    try:
        return network(config.from_dict({**base.to_dict(), **changes}))
    except ValueError as error:
        raise ValueError(f"recipe.{error}" if str(error).startswith("model") else f"recipe.model: {error}") from None
