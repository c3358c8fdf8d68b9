"""Whatever is changed between runs, and wherever they are killed: what is told, logged and kept belongs together."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frcrn.training import Result, Trainer
from frcrn.training.logs import Tracker
from tests.marks import slow
from tests.training_runs import MODEL, Tones, last_state, recipe, records

QUICK, ALL = 3, 80
PLACES: list[tuple[Any, str]] = [
    *((Trainer, name) for name in ("write", "export", "evaluate", "count")),
    (Tracker, "record"),
]


class Killed(BaseException):
    """A run that ends as by `kill -9`, but for what the process itself would still hold."""


def killed_at(patch: pytest.MonkeyPatch, moment: int) -> None:
    """Let a run end before or after one of the calls that change what others see, counted over all."""
    moments = iter(range(moment + 1))

    def with_moments(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(moments, None) == moment:
                raise Killed
            result = real(*arguments, **options)
            if next(moments, None) == moment:
                raise Killed
            return result

        return call

    for home, name in PLACES:
        patch.setattr(home, name, with_moments(getattr(home, name)))


def drawn(rng: random.Random) -> dict[str, Any]:
    """Draw what may be changed between two runs in one folder."""
    choices: dict[str, tuple[Any, ...]] = {
        "max_steps": (8, 12),
        "batch_size": (1, 2),
        "ema_decay": (0.0, 0.5),
        "seed": (0, 3),
        "lr": (1e-3, 0.1),
        "set_level": (False, False, True),
        "keep_last": (False, False, True),
    }
    plan = {name: rng.choice(values) for name, values in choices.items()}
    values = recipe({"every": 4, "best": "loss", "examples": rng.choice([None, 1])}, **plan)
    return values | ({"model": {**MODEL, "mask_bound": 0.5}} if rng.random() < 0.2 else {})


def run_in(folder: Path, values: dict[str, Any], *, scored: bool = True) -> Trainer:
    return Trainer(values, work_dir=folder, train_data=Tones(), valid_data=Tones(2) if scored else None)


def check(folder: Path, told: Result, measured: float, *, scored: bool) -> None:
    """Compare what a finished run tells with what it left."""
    about = json.loads((folder / "output" / "configuration.json").read_text())["training"]
    assert about["weights"] == told.held
    assert told.score == pytest.approx(measured, rel=1e-4) or (told.score is None and not scored)
    assert told.step == last_state(folder)["progress"]["step"]
    evaluated = [line["step"] for line in records(folder, "eval")]
    assert evaluated == sorted(set(evaluated))


@pytest.mark.parametrize("seed", [seed if seed < QUICK else slow(seed) for seed in range(ALL)])
def test_what_is_told_logged_and_kept_belongs_together(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    folder, values, scored = tmp_path / "run", drawn(rng), rng.random() < 0.85
    by, reached = values, 0
    for _ in range(rng.randint(2, 5)):
        if rng.random() < 0.5:
            values, scored = drawn(rng), rng.random() < 0.85
        if rng.random() < 0.1:
            shutil.rmtree(folder / "output", ignore_errors=True)
        try:
            with pytest.MonkeyPatch.context() as patch:
                if rng.random() < 0.6:
                    killed_at(patch, rng.randint(0, 70))
                told = run_in(folder, values, scored=scored).train(resume=True)
        except Killed:
            continue
        assert told.step >= reached
        reached, by = told.step, values if scored else by  # without a validation set, a score is that of before
        measured = run_in(folder, by | {"model": values["model"]}).evaluate("best")["loss"]
        check(folder, told, measured, scored=scored)
