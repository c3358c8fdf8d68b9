"""A run of several processes: what one of them does or meets is there for all."""

from __future__ import annotations

import copy
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from frcrn.training import Trainer, keeping, train
from frcrn.training.batches import BatchOrder
from tests.training_runs import Tones, last_state, recipe, together

pytestmark = pytest.mark.slow


def in_stages(folder: Path) -> None:
    """Train in two stages, with an output that takes its time."""
    write = keeping.save_directory

    def slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.5)
        return write(*arguments, **options)

    keeping.save_directory = slowly
    values = copy.deepcopy({**recipe(max_steps=2, save_every=100), "stages": [{"name": "one"}, {"name": "two"}]})
    train(values, work_dir=folder, train_data=Tones())


def test_what_a_stage_leaves_is_there_for_every_process(tmp_path: Path) -> None:
    assert together(in_stages, tmp_path / "run") == [0, 0]


class Going(Tones):
    """Tones that one of the processes cannot read any more after some."""

    left = 10

    def __init__(self, missing: int) -> None:
        super().__init__()
        self.missing = missing

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        self.left -= self.missing == int(os.environ["RANK"])
        if self.left < 0:
            raise FileNotFoundError("gone.wav: not there")
        return super().__getitem__(key)


def with_missing(folder: Path, missing: int) -> None:
    try:
        train(recipe(max_steps=50, save_every=100), work_dir=folder, train_data=Going(missing))
    except OSError as error:
        folder.with_name(f"error{os.environ['RANK']}").write_text(str(error))


@pytest.mark.parametrize("missing", [0, 1])
def test_what_was_learnt_outlasts_recordings_that_one_process_misses(tmp_path: Path, missing: int) -> None:
    assert together(with_missing, tmp_path / "run", missing) == [0, 0]
    assert last_state(tmp_path / "run")["progress"]["step"] == 3
    said = [(tmp_path / f"error{rank}").read_text() for rank in (0, 1)]
    assert said[missing] == "gone.wav: not there"
    assert said[1 - missing] == "another process of this run could not load its batch, and says why"


class Spoiled(Tones):
    """Tones of which the first has a sample that is no number."""

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        example = super().__getitem__(key)
        example["noisy"][7] = math.nan if key[1] == 0 else 0
        return example


def with_spoiled(folder: Path) -> None:
    train(recipe(max_steps=5, log_every=5, seed=4), work_dir=folder, train_data=Spoiled())


def test_examples_that_are_no_sound_are_counted_over_all_processes(tmp_path: Path) -> None:
    assert together(with_spoiled, tmp_path / "run") == [0, 0]
    order = BatchOrder(10, 6, seed=4)
    found = sum(order.example(place)[1] == 0 for place in range(30))
    said = f"recipe.data: {found} of 30 examples have samples that are no finite numbers"
    assert (tmp_path / "run" / "train.log").read_text().count(said) == 1


@pytest.mark.parametrize("first", [True, False])
def test_only_the_first_process_prints_warnings(first: bool) -> None:
    code = (
        "import logging; from frcrn.cli.train import reporting\n"
        f"with reporting({first}):\n"
        "    for name in ('frcrn.data', 'frcrn.training'): logging.getLogger(name).warning('odd')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["odd", "odd"] * first


def with_missing_validation(folder: Path, missing: int) -> None:
    try:
        train(recipe(max_steps=9, save_every=100), work_dir=folder, train_data=Tones(), valid_data=Going(missing))
    except OSError as error:
        folder.with_name(f"error{os.environ['RANK']}").write_text(str(error))


@pytest.mark.parametrize("missing", [0, 1])
def test_what_was_learnt_outlasts_a_scoring_that_fails_in_one_process(tmp_path: Path, missing: int) -> None:
    assert together(with_missing_validation, tmp_path / "run", missing) == [0, 0]
    assert last_state(tmp_path / "run")["progress"]["step"] in (4, 8)
    said = [(tmp_path / f"error{rank}").read_text() for rank in (0, 1)]
    assert said[missing] == "gone.wav: not there"
    assert said[1 - missing] == "another process of this run could not score its part, and says why"


def asked_late(folder: Path, rank: int) -> None:
    """Train in stages, and let one process hear a signal when the run has its reason to end already."""
    finish = Trainer.finish

    def late(self: Trainer, reason: str) -> None:
        self.stop.number = signal.SIGTERM if os.environ["RANK"] == str(rank) else None
        finish(self, reason)

    Trainer.finish = late  # type: ignore[method-assign]
    values = {**recipe(max_steps=3, save_every=100), "stages": [{"name": "one"}, {"name": "two"}]}
    result = train(copy.deepcopy(values), work_dir=folder, train_data=Tones(), valid_data=Tones(4))
    assert (result.step, result.reason) == (3, "SIGTERM")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_that_one_process_hears_at_the_end_parts_them_not(tmp_path: Path, rank: int) -> None:
    assert together(asked_late, tmp_path / "run", rank) == [0, 0]
    assert [path.parent.name for path in (tmp_path / "run").glob("*/done.json")] == ["01_one"]
