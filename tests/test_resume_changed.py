"""A run resumed with something changed, or with a part of it gone, loses nothing and claims nothing that is not so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from frcrn.training import Result, train
from tests.training_runs import Tones, recipe, same

PARTS = {"train_data": Tones(), "valid_data": Tones(2)}


def start(folder: Path, evaluation: dict[str, Any] | None = None, *, resume: bool = False, **plan: Any) -> Result:
    values = recipe(evaluation, **{"max_steps": 8, **plan})
    return train(values, work_dir=folder, resume=resume, **PARTS)


def staged(folder: Path, names: str, *, resume: bool = False) -> Result:
    values = {**recipe(max_steps=2), "stages": [{"name": name} for name in names]}
    return train(values, work_dir=folder, resume=resume, **PARTS)


def held(folder: Path) -> Any:
    return json.loads((folder / "output" / "configuration.json").read_text())["training"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    start(folder)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_best_weights_are_not_judged_by_another_score(run: Path) -> None:
    before = contents(run / "output")
    with pytest.raises(ValueError, match=r"evaluation.best: its weights were chosen by si_snr"):
        start(run, {"best": "loss"}, resume=True, max_steps=12)
    assert contents(run / "output") == before


def test_a_run_without_its_checkpoints_does_not_begin_again_over_its_output(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    before = contents(run)
    with pytest.raises(ValueError, match="has lost its checkpoints"):
        start(run, resume=True)
    assert contents(run) == before


def test_weights_that_are_gone_are_not_said_to_be_there(run: Path) -> None:
    shutil.rmtree(run / "output")
    assert start(run, resume=True).held == "best"
    assert held(run)["weights"] == "best" and held(run)["step"] == 8


@pytest.mark.parametrize(("first", "then", "kept"), [(False, True, "last"), (True, False, "best")])
def test_the_output_holds_what_is_said_when_nothing_is_left_to_train(
    first: bool, then: bool, kept: str, tmp_path: Path
) -> None:
    start(tmp_path / "run", keep_last=first)
    assert start(tmp_path / "run", resume=True, keep_last=then).held == kept
    assert held(tmp_path / "run")["weights"] == kept


def test_last_weights_that_were_not_scored_have_no_score(run: Path) -> None:
    values = recipe(max_steps=10)
    result = train(values, work_dir=run, resume=True, train_data=Tones())
    assert (result.held, result.score) == ("last", None)


def test_stages_do_not_write_over_the_output_of_another_run(run: Path, tmp_path: Path) -> None:
    staged(tmp_path / "stages", "ab")
    for folder, names in ((run, "ab"), (tmp_path / "stages", "b")):
        before = contents(folder)
        with pytest.raises(ValueError, match="not from a run of these stages"):
            staged(folder, names, resume=True)
        assert contents(folder) == before


def test_a_finished_recipe_whose_output_is_gone_writes_it_again(tmp_path: Path) -> None:
    staged(tmp_path / "run", "ab")
    weights = tmp_path / "run" / "output" / "model.safetensors"
    before = load_file(weights)
    shutil.rmtree(weights.parent)
    staged(tmp_path / "run", "ab", resume=True)
    assert same(load_file(weights), before)
