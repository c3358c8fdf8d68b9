"""A run of several processes: what one of them does or meets is there for all."""

from __future__ import annotations

import copy
import os
import time
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from frcrn.training import keeping, train
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
