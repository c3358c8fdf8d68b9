"""The framework's trainer in several processes: hooks run in each, and what one of them asks or meets holds for all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.plugin_parts import tiny_directory
from tests.training_runs import last_state, together

pytestmark = pytest.mark.slow


class Enough:
    """Stops the run at the third step, in one process."""

    def __init__(self, rank: int) -> None:
        self.here = os.environ["RANK"] == str(rank)

    def after_train_iter(self, trainer: Any) -> None:
        trainer.stop_training = self.here and trainer.iter == 2


def stopped(folder: Path, rank: int) -> None:
    from tests.test_plugin_trainer import trainer

    made = trainer(folder / "model", folder / "run", launcher="pytorch", max_epochs=9, callbacks=Enough(rank))
    result = made.train()
    assert (result.step, result.reason) == (3, "a callback asked for it")
    assert (made.iter, made.epoch) == (3, 1)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_hook_of_one_process_ends_the_run_in_all(tmp_path: Path, rank: int) -> None:
    tiny_directory(tmp_path / "model")
    assert together(stopped, tmp_path, rank) == [0, 0]
    assert last_state(tmp_path / "run")["progress"]["step"] == 3


class Scoring:
    """Evaluates after the third step, in one process."""

    def __init__(self, rank: int) -> None:
        self.here = os.environ["RANK"] == str(rank)

    def after_train_iter(self, trainer: Any) -> None:
        if self.here and trainer.iter == 2:
            trainer.evaluate()


def scored(folder: Path, rank: int) -> None:
    from tests.test_plugin_trainer import trainer

    made = trainer(folder / "model", folder / "run", launcher="pytorch", max_epochs=9, callbacks=Scoring(rank))
    here = os.environ["RANK"] == str(rank)
    expected = "evaluate: a hook cannot call it" if here else "another process of this run could not end its step"
    with pytest.raises((ValueError, OSError), match=expected):
        made.train()


@pytest.mark.parametrize("rank", [0, 1])
def test_an_evaluation_that_a_hook_of_one_process_asks_for_is_refused_in_all(tmp_path: Path, rank: int) -> None:
    tiny_directory(tmp_path / "model")
    assert together(scored, tmp_path, rank) == [0, 0]
    assert last_state(tmp_path / "run")["progress"]["step"] == 3
