"""A run that was cut off and resumed is the run that never was, bit for bit."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from frcrn.training import Trainer, checkpoints
from tests.marks import slow
from tests.training_runs import Dropping, Tones, elsewhere, last_state, network, recipe, records, same, trainer

STEPS = 17
PLAN = {"max_steps": STEPS, "save_every": 3, "log_every": 2, "keep": 3}
EVALUATION = {"every": 4, "examples": 2}


class Cut(BaseException):
    """Stands for a power cut: nothing of the trainer runs after it."""


def start(folder: Path, watcher: Any = None, *, resume: bool = False, **train: Any) -> Any:
    values = recipe(EVALUATION, **{**PLAN, **train})
    run = trainer(folder, values, model=network(Dropping), valid_data=Tones(2), watcher=watcher)
    return run.train(resume=resume)


def cut_at(step: int) -> Callable[..., None]:
    def watch(now: int, *_: Any) -> None:
        if now == step:
            raise Cut

    return watch


def signal_at(step: int, number: int) -> Callable[..., None]:
    def watch(now: int, *_: Any) -> None:
        if now == step:
            os.kill(os.getpid(), number)

    return watch


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    start(folder)
    return folder


def check_equal(folder: Path, whole: Path) -> None:
    for kind in ("train", "eval"):
        assert records(folder, kind) == records(whole, kind)
    mine, reference = last_state(folder), last_state(whole)
    mine["recipe"], reference["recipe"] = None, None
    assert same(mine, reference)
    outputs = [load_file(path / "output" / "model.safetensors") for path in (folder, whole)]
    assert same(*outputs)


@pytest.mark.parametrize("steps", [slow((1,)), slow((4, 5)), slow((8, 13)), (16,), (2, 3, 10, 11)])
def test_cut_off_at_some_steps_and_resumed_it_is_the_same_run(tmp_path: Path, whole: Path, steps: tuple[int, ...]):
    folder = tmp_path / "run"
    for resume, step in enumerate(steps):
        with pytest.raises(Cut):
            start(folder, cut_at(step), resume=bool(resume))
    start(folder, resume=True)
    check_equal(folder, whole)


def test_killed_between_a_checkpoint_and_the_output_that_it_knows(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    export = Trainer.export
    folder, cut = tmp_path / "run", 0

    def deadly(run: Trainer, held: Any) -> None:
        if held == "best" and run.progress.step > cut:
            raise Cut
        export(run, held)

    monkeypatch.setattr(Trainer, "export", deadly)
    for resume in range(2 + STEPS // EVALUATION["every"]):
        with contextlib.suppress(Cut):
            start(folder, resume=bool(resume))
        cut = last_state(folder)["progress"]["step"]
    check_equal(folder, whole)


def test_the_reference_depends_on_dropout_order_and_average(tmp_path: Path, whole: Path):
    start(tmp_path / "run", seed=1)
    assert [r["loss"] for r in records(tmp_path / "run")] != [r["loss"] for r in records(whole)]
    state = last_state(whole)
    assert not same(state["average"], state["model"])


def killed_at(folder: str, step: int, resume: bool) -> None:
    start(Path(folder), signal_at(step, signal.SIGKILL), resume=resume)


def killed_in(folder: str, place: str, call: int) -> None:
    """Run until the `call`-th use of a function that writes, and die there."""
    module = checkpoints.os if place != "torch.save" else checkpoints.torch
    name = place.rpartition(".")[2]
    original, count = getattr(module, name), 0

    def deadly(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(module, name, deadly)
    start(Path(folder))


def test_kill_9_at_steps_and_resume(tmp_path: Path, whole: Path):
    folder = tmp_path / "run"
    for resume, step in enumerate((5, 14)):
        process = elsewhere(killed_at, str(folder), step, bool(resume))
        process.join()
        assert process.exitcode == -signal.SIGKILL
    start(folder, resume=True)
    check_equal(folder, whole)


# a save calls fsync once, an export replaces two or three files, a save one
@pytest.mark.parametrize(
    ("place", "call"), [("os.fsync", 3), slow("os.replace", 2), slow("os.replace", 9), ("torch.save", 2)]
)
def test_kill_9_while_a_checkpoint_is_written(tmp_path: Path, whole: Path, place: str, call: int):
    folder = tmp_path / "run"
    process = elsewhere(killed_in, str(folder), place, call)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    for path in checkpoints.found(folder / "checkpoints"):
        checkpoints.load(path)
    start(folder, resume=True)
    check_equal(folder, whole)


@pytest.mark.slow
def test_kill_9_at_random_moments(tmp_path: Path, whole: Path):
    folder = tmp_path / "run"
    for attempt, wait in enumerate((0.3, 0.9, 0.1, 1.7, 0.5)):
        process = elsewhere(start, folder) if attempt == 0 else elsewhere(resumed, folder)
        while process.is_alive() and not (folder / "log.jsonl").exists():
            time.sleep(0.05)
        time.sleep(wait)
        process.kill()
        process.join()
    start(folder, resume=True)
    check_equal(folder, whole)


def resumed(folder: Path) -> None:
    start(folder, resume=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_stops_and_resume_goes_on(tmp_path: Path, whole: Path, number: signal.Signals):
    folder = tmp_path / "run"
    before = signal.getsignal(number)
    result = start(folder, signal_at(7, number))
    assert (result.step, result.reason) == (7, number.name)
    assert signal.getsignal(number) is before
    assert checkpoints.found(folder / "checkpoints")[0].name == "step_000000007.ckpt"
    start(folder, resume=True)
    check_equal(folder, whole)


def test_a_signal_s_checkpoint_does_not_wait_for_the_output_which_a_resumed_run_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def killed(run: Trainer, held: Any) -> None:
        raise Cut

    values, folder = recipe(**PLAN), tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Cut):
        run = trainer(folder, values, watcher=signal_at(2, signal.SIGTERM))
        patch.setattr(Trainer, "export", killed)
        run.train()
    assert last_state(folder)["progress"]["step"] == 2
    assert "step 2: saved, as SIGTERM asked" in caplog.text
    assert trainer(folder, recipe(**{**PLAN, "max_steps": 2})).train(resume=True).held == "last"
    assert json.loads((folder / "output" / "configuration.json").read_text())["training"]["step"] == 2


def test_a_second_ctrl_c_interrupts_at_once(tmp_path: Path):
    def watch(step: int, *_: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "run", watch)


def test_workers_change_nothing(tmp_path: Path, whole: Path):
    folder = tmp_path / "run"
    with pytest.raises(Cut):
        start(folder, cut_at(5), workers=2)
    start(folder, resume=True, workers=1)
    check_equal(folder, whole)


@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "foreign"])
def test_a_damaged_checkpoint_is_named_and_skipped(
    tmp_path: Path, whole: Path, harm: str, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / "run"
    with pytest.raises(Cut):
        start(folder, cut_at(11))
    newest = checkpoints.found(folder / "checkpoints")[0]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    harmed = {
        "flip": bytes(content),
        "truncate": bytes(content[: len(content) // 2]),
        "empty": b"",
        "foreign": b"PK" * 99,
    }
    newest.write_bytes(harmed[harm])
    start(folder, resume=True)
    assert any(str(newest) in message and "skipped" in message for message in caplog.messages)
    check_equal(folder, whole)


@pytest.mark.parametrize("part", ["average", "model"])
def test_a_checkpoint_of_weights_that_are_no_numbers_is_skipped(
    tmp_path: Path, whole: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    state = checkpoints.newest(folder / "checkpoints")
    assert state is not None
    next(iter(state[part].values())).fill_(math.nan)
    newest = checkpoints.save(folder / "checkpoints", STEPS, state, keep=3)
    start(folder, resume=True)
    assert f"{newest}: its weights are not all finite numbers; skipped" in caplog.messages
    check_equal(folder, whole)


def test_with_nothing_but_damaged_checkpoints_it_does_not_start_again_silently(tmp_path: Path):
    folder = tmp_path / "run"
    with pytest.raises(Cut):
        start(folder, cut_at(4))
    for path in checkpoints.found(folder / "checkpoints"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of the checkpoints is whole"):
        start(folder, resume=True)


def test_a_log_line_cut_short_and_lines_after_the_checkpoint_are_dropped(tmp_path: Path, whole: Path):
    folder = tmp_path / "run"
    with pytest.raises(Cut):
        start(folder, cut_at(11))
    with open(folder / "log.jsonl", "a") as file:
        file.write('{"kind": "train", "st')
    start(folder, resume=True)
    check_equal(folder, whole)


def test_a_finished_run_resumed_with_more_steps_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = tmp_path / "run"
    start(folder, max_steps=4, schedule="plateau")
    assert start(folder, resume=True, max_steps=9, schedule="plateau").step == 9
    assert [r["step"] for r in records(folder)] == [2, 4, 6, 8]
    assert any("recipe.train.max_steps differs" in message for message in caplog.messages)
    start(tmp_path / "straight", max_steps=9, schedule="plateau")
    assert records(folder) == records(tmp_path / "straight")


def test_a_checkpoint_of_another_network_is_refused_in_one_sentence(tmp_path: Path):
    folder = tmp_path / "run"
    start(folder, max_steps=2)
    values = {**recipe(max_steps=4), "model": {"preset": "tiny"}}
    with pytest.raises(ValueError, match="another network") as caught:
        trainer(folder, values).train(resume=True)
    assert "\n" not in str(caught.value)


def test_copies_of_checkpoints_by_other_names_are_left_alone(tmp_path: Path) -> None:
    for name in ("step_000000003.ckpt", "step_000000003_good.ckpt", "step_best.ckpt", "step_000000012.ckpt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in checkpoints.found(tmp_path)] == ["step_000000012.ckpt", "step_000000003.ckpt"]
