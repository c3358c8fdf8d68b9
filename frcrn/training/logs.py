"""What a run leaves to read: JSON lines, a text log, and TensorBoard where it is asked for."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from frcrn.audio import MissingPackage
from frcrn.files import refuse_others, write_json, write_text
from frcrn.texts import read_json
from frcrn.training.losses.spectra import power, spectrum
from frcrn.training.recipe import Recipe
from frcrn.visible import OneLine

logger = logging.getLogger("frcrn.training")

RECIPE = "recipe.json"


class Tracker:
    """Writes the records of one run; use it as a context manager."""

    def __init__(self, folder: Path, *, step: int, tensorboard: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.board = open_board(folder / "tensorboard", step) if tensorboard else None
        self.handler = logging.FileHandler(folder / "train.log", encoding="utf-8")
        self.handler.setFormatter(OneLine("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        self.path, self.step = folder / "log.jsonl", step
        forget_after(self.path, step)
        self.lines = open(self.path, "a", encoding="utf-8")  # noqa: SIM115

    def __enter__(self) -> Tracker:
        self.level = logger.level
        logger.addHandler(self.handler)
        logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *error: object) -> None:
        logger.setLevel(self.level)
        logger.removeHandler(self.handler)
        self.handler.close()
        self.lines.close()
        if self.board is not None:
            self.board.close()

    def record(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Enter one record, kind "train" or "eval"; the scores of the start in it are shown beside the others.

        Scores of the step that is resumed take the place of earlier ones.
        """
        if (kind, step) == ("eval", self.step):
            self.lines.close()
            forget_after(self.path, step, scored=False)
            self.lines = open(self.path, "a", encoding="utf-8")  # noqa: SIM115
        self.lines.write(json.dumps(finite({"kind": kind, "step": step, **values}), allow_nan=False) + "\n")
        self.lines.flush()
        numbers = numbers_in(values)
        logger.info("%s step %d: %s", kind, step, in_words(numbers, values.get("start") or {}))
        if self.board is not None:
            for key, value in numbers.items():
                self.board.add_scalar(f"{kind}/{key}", value, step)

    def samples(self, step: int, waves: Mapping[str, Tensor], rate: int, group: str) -> None:
        """Enter waves [T] to listen to, and their spectrograms to look at."""
        if self.board is None:
            return
        for name, wave in waves.items():
            self.board.add_audio(f"{group}/{name}", wave.clamp(-1, 1).unsqueeze(0), step, sample_rate=rate)
            self.board.add_image(f"{group}/{name}", picture(wave), step)


def numbers_in(values: Mapping[str, Any]) -> dict[str, float]:
    """Return those of some values that are numbers."""
    return {name: float(value) for name, value in values.items() if isinstance(value, (int, float))}


def finite(value: Any) -> Any:
    """Return values with null in place of numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def files_of(folder: Path) -> list[Path]:
    """Return what a run writes in its folder, by the names that are there or will be."""
    names = (RECIPE, "train.log", "log.jsonl", "tensorboard", "checkpoints", "output")
    within = [path for name in ("checkpoints", "output") for path in sorted((folder / name).glob("*"))]
    return [*(folder / name for name in names), *within]


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder in which files of our names are not from a run, whose recipe is written first."""
    refuse_others(files_of(folder), lambda: "train" in read_json(folder / RECIPE), "a run")


def refuse_robbed(folder: Path) -> None:
    """Refuse to begin again where a run came further than its first checkpoint and has none: its output would go."""
    try:
        first = int(read_json(folder / RECIPE)["train"]["save_every"])
        steps = [step_of(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, LookupError, TypeError):
        return
    if any(first < step < float("inf") for step in steps):
        raise ValueError(
            f"{folder}: the run here has lost its checkpoints, and beginning again would replace its output; "
            "choose another folder, or remove this one"
        )


def in_words(numbers: Mapping[str, float], start: Mapping[str, float]) -> str:
    """Write numbers with their names, and what they were at the start where that is known."""
    beside = {key: f" (start {value:.5g})" for key, value in start.items()}
    return ", ".join(f"{key} {value:.5g}{beside.get(key, '')}" for key, value in numbers.items())


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Leave the whole recipe beside what it made, defaults included."""
    write_json(folder / RECIPE, recipe.to_dict())


def picture(wave: Tensor) -> Tensor:
    """[T] -> [1, F, N], 0 to 1: log power from -80 dB up to the loudest, low frequencies at the bottom."""
    level = 10 * power(spectrum(wave.unsqueeze(0), 512, 256)).log10()
    return ((level - level.max()) / 80 + 1).clamp(0, 1).flip(1)


def open_board(folder: Path, step: int) -> Any:
    """Return a TensorBoard writer that overwrites what a lost run wrote after `step`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingPackage('train.tensorboard needs tensorboard: pip install "frcrn[train]"') from None
    return SummaryWriter(str(folder), purge_step=step + 1)


def forget_after(path: Path, step: int, *, scored: bool = True) -> None:
    """Drop the records after a step, and a last line cut short, so that a resumed run reads as one run.

    Where the step is to be scored yet, or again, so is a record of its scores.
    """
    if not path.exists():
        return
    kept = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if step_of(line) + (not scored and '"kind": "eval"' in line) <= step
    ]
    write_text(path, "".join(line + "\n" for line in kept))


def step_of(line: str) -> float:
    """Return the step of a record; a line cut short counts as after every step."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
