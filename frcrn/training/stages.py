"""A recipe of several stages: what each of them trains, and from which weights.

Each stage takes the recipe's tables with the changes of all stages up to it, so that it only says what is new.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from frcrn.config import build, require
from frcrn.training.recipe import Recipe, by_name, merged, parse

SECTIONS = ("model", "data", "valid", "loss", "train", "evaluation")
ONCE = ("init_from", "init_partial", "init_grown")
"""Settings of `train` that hold for the stage that gives them, and for none after it."""


@dataclass(frozen=True)
class Changes:
    """One entry of a recipe's `stages`."""

    name: str
    from_stage: str | None = None
    """The stage whose weights this one starts from; none is the one before."""
    mean_with: dict[str, float] = field(default_factory=dict)
    """Earlier stages, and their shares in the weights that this one leaves; the rest is its own."""
    minutes: float | None = None
    """About how long it takes: by this a time limit is shared over the stages."""
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    valid: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", self.name)
        require(plain is not None, "name", "letters, digits, - and _", self.name)
        shares = self.mean_with.values()
        sound = all(type(share) in (int, float) and share > 0 for share in shares) and sum(shares, 0.0) < 1
        require(sound, "mean_with", "shares above 0 that leave some of 1 for the stage itself", self.mean_with)
        require(self.minutes is None or self.minutes > 0, "minutes", "more than 0", self.minutes)


@dataclass(frozen=True)
class RecipeStage:
    """One run of a recipe; a recipe without stages is one without a name."""

    name: str
    folder: str
    """Its folder within the recipe's."""
    recipe: Recipe
    start: str | None = None
    """The stage whose weights it starts from."""
    mean_with: Mapping[str, float] = field(default_factory=dict)
    minutes: float | None = None


def stages_of(values: Mapping[str, Any], *, max_minutes: float | None = None) -> tuple[RecipeStage, ...]:
    """Return the runs that a recipe's tables ask for, in order, all of them checked; a time limit is shared out."""
    if "stages" not in values:
        if max_minutes is not None:
            values = merged(dict(values), {"train": {"max_minutes": max_minutes}})
        return (RecipeStage("", "", parse(values)),)
    entries = values["stages"]
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"recipe.stages: expected a list of stages, found {entries!r}")
    common: dict[str, Any] = {key: value for key, value in values.items() if key != "stages"}
    stages: list[RecipeStage] = []
    for number, entry in enumerate(entries):
        where = f"recipe.stages[{number}]"
        changes, common = changed(common, entry, where)
        stages.append(stage_of(changes, common, stages, where))
        common = common | {"train": without_start(common.get("train"))}
    shares = shares_of(stages) if max_minutes is not None else []
    return tuple(
        stage if max_minutes is None else limited(stage, max_minutes * shares[place])
        for place, stage in enumerate(stages)
    )


def changed(common: Mapping[str, Any], entry: Any, where: str) -> tuple[Changes, dict[str, Any]]:
    """Return one entry of the list, and the recipe's tables after it."""
    if isinstance(entry, Mapping) and isinstance(entry.get("loss"), list):
        by_name(entry["loss"], f"{where}.loss")  # refused with the table that says the same
    changes = build(Changes, entry, where)
    given = {key: getattr(changes, key) for key in SECTIONS if getattr(changes, key)}
    return changes, merged(dict(common), given)


def without_start(train: Any) -> Any:
    """Return a table `train` less what holds for one stage only."""
    return {key: value for key, value in train.items() if key not in ONCE} if isinstance(train, Mapping) else train


def stage_of(changes: Changes, tables: Mapping[str, Any], before: list[RecipeStage], where: str) -> RecipeStage:
    """Return a stage after checking the names of those that it builds on."""
    known = [stage.name for stage in before]
    if changes.name in known:
        raise ValueError(f"{where}.name: two stages go by the name {changes.name!r}")
    wanted = [("mean_with", name) for name in changes.mean_with]
    wanted += [("from_stage", changes.from_stage)] if changes.from_stage else []
    for key, name in wanted:
        if name not in known:
            raise ValueError(f"{where}.{key}: expected the name of a stage before this one, found {name!r}")
    try:
        recipe = parse(tables)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    start = changes.from_stage or (known[-1] if known else None)
    folder = f"{len(before) + 1:02}_{changes.name}"
    return RecipeStage(changes.name, folder, recipe, start, changes.mean_with, changes.minutes)


def limited(stage: RecipeStage, minutes: float) -> RecipeStage:
    """Return a stage that ends after so many minutes."""
    require(minutes > 0, "recipe.train.max_minutes", "more than 0", minutes)
    return replace(stage, recipe=replace(stage.recipe, train=replace(stage.recipe.train, max_minutes=minutes)))


def shares_of(stages: Iterable[RecipeStage]) -> list[float]:
    """Return each stage's share of the time: by its minutes, or where none has any, by its steps."""
    known = list(stages)
    minutes = [stage.minutes or stage.recipe.train.max_minutes for stage in known]
    amounts = minutes if any(minutes) else [stage.recipe.train.max_steps for stage in known]
    for place, amount in enumerate(amounts):
        if amount is None:
            raise ValueError(
                f"recipe.stages[{place}].minutes: expected about how many minutes this stage takes, by which"
                " --max-minutes is shared, found none"
            )
    whole = sum(amount or 0.0 for amount in amounts)
    return [(amount or 0.0) / whole for amount in amounts]
