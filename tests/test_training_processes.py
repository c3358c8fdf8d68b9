"""A run of several processes: what one of them does or meets is there for all."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import pytest

from frcrn.training import keeping, train
from tests.training_runs import Tones, recipe, together

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
