"""Train a recipe, in one stage or several, each a run in a folder of its own; any of it can be resumed."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from frcrn.files import refuse_links, refuse_others, write_json
from frcrn.models.base import Enhancer
from frcrn.models.checkpoint import load, save_directory
from frcrn.texts import from_json, text_of
from frcrn.training.build import build_data, choose_model
from frcrn.training.logs import RECIPE, in_words
from frcrn.training.losses.objective import build_losses
from frcrn.training.outcome import Result
from frcrn.training.recipe import Recipe, Train, build_model, differences, parse
from frcrn.training.schedule import seconds_left
from frcrn.training.stages import ONCE, RecipeStage, shares_of, stages_of
from frcrn.training.trainer import Trainer
from frcrn.training.weights import mean, set_level

logger = logging.getLogger("frcrn.training")

DONE = "done.json"
"""In a stage's folder once the weights that it leaves are there."""


class State(NamedTuple):
    """How far a recipe is."""

    stage: str
    share: float
    """Of the whole recipe, 0 to 1."""
    seconds_left: float | None
    """Of the whole recipe, at the pace so far; None while that is not known."""


Watcher = Callable[[State], None]


def train(
    recipe: Recipe | Mapping[str, Any],
    *,
    work_dir: str | Path,
    resume: bool = False,
    max_minutes: float | None = None,
    watcher: Watcher | None = None,
    **parts: Any,
) -> Result:
    """Train a recipe to its end; `output/` in the folder holds what its last stage leaves.

    Args:
        recipe: the tables of a recipe, with or without `stages`.
        work_dir: the folder of the run; each stage has its own in it.
        resume: go on from the newest whole checkpoint in the folder, in the stage that it belongs to.
        max_minutes: end after this time; several stages share it in proportion.
        watcher: called after every step.
        parts: objects in place of parts of the recipe: `train_data`, `valid_data`.

    Example:
        result = train(tables("configs/own_data.json"), work_dir="runs/own", max_minutes=30)
    """
    values = recipe.to_dict() if isinstance(recipe, Recipe) else recipe
    stages, folder = stages_of(values, max_minutes=max_minutes), Path(work_dir).absolute()
    if len(stages) == 1 and not stages[0].name:
        return only(stages[0], folder, resume, watcher, parts)
    if not resume and folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: not empty; resume the run in it (--resume) or choose another folder")
    check(stages, parts)
    refuse_links(folder / "output", *(folder / stage.folder for stage in stages))
    refuse_others([folder / "output"], (folder / stages[0].folder / RECIPE).is_file, "a run of these stages")
    return Series(stages, folder, watcher, parts).train(resume)


def only(stage: RecipeStage, folder: Path, resume: bool, watcher: Watcher | None, parts: Mapping[str, Any]) -> Result:
    """Train a recipe without stages."""
    trainer = Trainer(started_as(folder, stage.recipe) if resume else stage.recipe, work_dir=folder, **parts)
    if watcher is not None:
        plan = trainer.recipe.train
        trainer.watcher = lambda step, done, shown: watcher(State("", done, seconds_left(plan, trainer.progress)))
    return trainer.train(resume=resume)


def started_as(folder: Path, recipe: Recipe) -> Recipe:
    """Return a recipe that starts from the weights which the run in a folder started from, where it names none."""
    before = recipe_in(folder)
    if before is None or recipe.train.init_from is not None:
        return recipe
    start = {key: getattr(before.train, key) for key in ONCE}
    return replace(recipe, train=replace(recipe.train, **start))


def recipe_in(folder: Path) -> Recipe | None:
    """Return the recipe that a run left in its folder, where it is readable."""
    try:
        return parse(from_json(text_of(folder / RECIPE)))
    except (OSError, ValueError):
        return None


def check(stages: Sequence[RecipeStage], parts: Mapping[str, Any]) -> None:
    """Refuse what a later stage cannot do before the first one has begun."""
    by_name = {stage.name: stage.recipe for stage in stages}
    network = choose_model(stages[0].recipe, None)
    built: list[Any] = []
    for place, stage in enumerate(stages):
        recipe, start = stage.recipe, by_name[stage.start] if stage.start else None
        try:
            if start is not None and recipe.model != start.model:
                if not (recipe.train.init_partial or recipe.train.init_grown):
                    raise ValueError("another network than its starting weights have: set train.init_partial in it")
                network = build_model(recipe.model)
            build_losses(recipe.loss, window=network.window, hop=network.hop, sample_rate=network.sample_rate)
            for section, given in (("data", "train_data"), ("valid", "valid_data")):
                if (section, getattr(recipe, section)) not in built:
                    build_data(recipe, section, network.sample_rate, parts.get(given))
                    built.append((section, getattr(recipe, section)))
        except ValueError as error:
            raise ValueError(f"recipe.stages[{place}] ({stage.name}): {error}") from None


class Series:
    """The stages of a recipe in one folder."""

    def __init__(
        self, stages: Sequence[RecipeStage], folder: Path, watcher: Watcher | None, parts: Mapping[str, Any]
    ) -> None:
        self.stages, self.folder, self.watcher, self.parts = stages, folder, watcher, parts

    def train(self, resume: bool) -> Result:
        """Train every stage that is not done yet."""
        result: Result | None = None
        trainer: Trainer | None = None
        for place, stage in enumerate(self.stages):
            done, output = self.folder / stage.folder / DONE, self.folder / "output"
            left = output.exists() or place + 1 < len(self.stages)
            if resume and done.exists() and left:
                self.warn_of_changes(stage)
                result = result_in(done)._replace(output=output)
                if trainer is not None:  # an earlier stage was trained again, and is now the output
                    logger.warning("%s: done before, from other weights; remove it to train it again", done.parent)
                    self.write(load(self.left_by(stage.name)), output, facts_of(stage, result), trainer)
                continue
            trainer = self.trainer(place, resume)
            result = trainer.train(resume=resume)
            if hasattr(signal, result.reason):
                return result
            result = self.leave(stage, trainer, result)
            if place + 1 < len(self.stages) and (asked := trainer.asked()):
                return result._replace(reason=asked)
        assert result is not None
        return result

    def trainer(self, place: int, resume: bool) -> Trainer:
        """Return the trainer of a stage, which starts from what an earlier one left."""
        stage = self.stages[place]
        own, recipe = self.folder / stage.folder, stage.recipe
        if stage.start is not None:
            source = str(self.left_by(stage.start))
            recipe = replace(recipe, train=replace(recipe.train, init_from=source))
        elif resume:
            recipe = started_as(own, recipe)
        trainer = Trainer(recipe, work_dir=own, **self.parts)
        logger.info("stage %d of %d: %s", place + 1, len(self.stages), stage.name)
        if (watcher := self.watcher) is not None:
            trainer.watcher = lambda step, done, shown: watcher(self.state(place, trainer, done))
        return trainer

    def left_by(self, name: str) -> Path:
        """Return the model directory that a stage leaves."""
        stage = next(stage for stage in self.stages if stage.name == name)
        return self.folder / stage.folder / ("mean" if stage.mean_with else "output")

    def leave(self, stage: RecipeStage, trainer: Trainer, result: Result) -> Result:
        """Write what a stage leaves, as its own and as the recipe's output, and note that it is done."""
        left, output = self.left_by(stage.name), self.folder / "output"
        facts = facts_of(stage, result)
        if stage.mean_with:
            self.write(self.mean_of(stage, trainer), left, facts, trainer)
            result = self.scored(trainer, left, result)
        self.write(load(left), output, facts, trainer)
        result = result._replace(output=output)
        if trainer.processes.first:
            known = {key: value for key, value in result._asdict().items() if key != "output"}
            write_json(self.folder / stage.folder / DONE, {"result": known})
        trainer.processes.wait()
        return result

    def mean_of(self, stage: RecipeStage, trainer: Trainer) -> Enhancer:
        """Return the mean of a stage's weights and those of earlier ones, at the level that the recipe asks for."""
        model = load(self.folder / stage.folder / "output")
        mean(model, [(load(self.left_by(name)), share) for name, share in stage.mean_with.items()])
        if stage.recipe.train.set_level:
            set_level(model, trainer.clean_waves())
        return model

    def scored(self, trainer: Trainer, left: Path, result: Result) -> Result:
        """Return a result with the score of the mean."""
        if trainer.valid_data is None:
            return result._replace(held="mean", score=None)
        scores = trainer.evaluate(left)
        logger.info("mean: %s", in_words({k: v for k, v in scores.items() if isinstance(v, (int, float))}, {}))
        return result._replace(held="mean", score=scores.get(trainer.recipe.evaluation.best))

    def write(self, model: Enhancer, folder: Path, facts: Mapping[str, Any], trainer: Trainer) -> None:
        """Write a model directory, in the first process only, and wait for it in all."""
        if trainer.processes.first:
            save_directory(model, folder, extra={"training": facts})
        trainer.processes.wait()

    def state(self, place: int, trainer: Trainer, done: float) -> State:
        """Return how far the recipe is, from how far a stage is."""
        shares, progress = amounts_of(self.stages), trainer.progress
        left, pace = seconds_left(trainer.recipe.train, progress), progress.elapsed / max(progress.step, 1)
        rest = sum(seconds_of(stage.recipe.train, pace) for stage in self.stages[place + 1 :])
        whole = sum(shares[:place]) + shares[place] * done
        return State(self.stages[place].name, whole / sum(shares), None if left is None else left + rest)

    def warn_of_changes(self, stage: RecipeStage) -> None:
        """Say which settings of a stage that is done were changed, and have no effect."""
        before = recipe_in(self.folder / stage.folder)
        if before is not None:
            for name in differences(before.to_dict(), stage.recipe.to_dict()):
                logger.warning("%s: %s differs from what it was trained with; the stage is done", stage.name, name)


def facts_of(stage: RecipeStage, result: Result) -> dict[str, Any]:
    """Return what a model directory says of the stage that left it."""
    mean_of = {"weights": "mean", "mean_with": dict(stage.mean_with)} if stage.mean_with else {"weights": result.held}
    return {"stage": stage.name, "step": result.step, **mean_of}


def result_in(done: Path) -> Result:
    """Return how a stage ended, as it was noted."""
    try:
        return Result(**{**from_json(text_of(done))["result"], "output": done.parent})
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{done}: expected how the stage ended; remove the file to train it again") from error


def amounts_of(stages: Sequence[RecipeStage]) -> list[float]:
    """Return how much of the work each stage is; where nothing says so, all are alike."""
    try:
        return shares_of(stages)
    except ValueError:
        return [1.0] * len(stages)


def seconds_of(plan: Train, pace: float) -> float:
    """Return how long a stage will take at so many seconds a step."""
    limits = [60 * plan.max_minutes] if plan.max_minutes else []
    return min(limits + ([plan.max_steps * pace] if plan.max_steps else []))
