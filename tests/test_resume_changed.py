"""A run resumed with something changed, or with a part of it gone, loses nothing and claims nothing that is not so."""

from __future__ import annotations

import json
import logging
import shutil
import tarfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from torch import Tensor

from frcrn.data import HFRows, build
from frcrn.data.identity import identity
from frcrn.training import Result, Trainer, checkpoints, train, trainer
from frcrn.training.recipe import differences
from frcrn.training.recordings import Changes
from tests.made_audio import save, speech
from tests.training_runs import Tones, last_state, recipe, records, same

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


class Cut(BaseException):
    """Stands for a power cut: nothing of the trainer runs after it."""


def cut_run(folder: Path, step: int, *, resume: bool = False, **plan: Any) -> tuple[Result, float]:
    """Run up to a step, or to the end; return what is said at the end, and what the weights in `output/` score."""

    def watch(now: int, *_: Any) -> None:
        if now == step:
            raise Cut

    values = recipe({"every": 2}, **{"max_steps": 9, "save_every": 3, **plan})
    run = Trainer(values, work_dir=folder, watcher=watch, **PARTS)
    result = run.train(resume=resume)
    return result, run.evaluate("best")["si_snr"]


def check_said(folder: Path, step: int, result: Result, score: float) -> None:
    """Check that the weights of a step are in `output/`, with their own score."""
    assert (held(folder)["step"], held(folder)["weights"]) == (step, "best")
    assert result.held == "best" and result.score == pytest.approx(score)


def test_a_shorter_run_after_a_kill_claims_no_other_weights_score(tmp_path: Path) -> None:
    with pytest.raises(Cut):
        cut_run(tmp_path, 5)
    check_said(tmp_path, 4, *cut_run(tmp_path, 0, resume=True, max_steps=3))


def test_weights_that_no_whole_checkpoint_knows_are_scored_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Cut):
        cut_run(tmp_path, 5)
    for path in (tmp_path / "checkpoints").glob("*4.ckpt"):
        path.write_bytes(b"")
    check_said(tmp_path, 4, *cut_run(tmp_path, 0, resume=True, max_steps=3))
    assert "scoring the weights in output/ on the validation set" in caplog.text
    assert last_state(tmp_path)["progress"]["best_step"] == 4


def test_killed_before_the_better_weights_are_in_the_output_they_are_written_after_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = Trainer.export

    def deadly(run: Trainer, held: Any) -> None:
        if run.progress.step == 4:
            raise Cut
        export(run, held)

    monkeypatch.setattr(Trainer, "export", deadly)
    with pytest.raises(Cut):
        cut_run(tmp_path, 0)
    monkeypatch.undo()
    assert held(tmp_path)["step"] == 2
    check_said(tmp_path, 4, *cut_run(tmp_path, 0, resume=True, max_steps=3))


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


class Known(Tones):
    """Tones that know which they are; other ones are twice as loud."""

    def __init__(self, length: int, name: str) -> None:
        super().__init__(length)
        self.name = name

    def identity(self) -> str:
        return self.name

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        loud = 2 if self.name == "others" else 1
        return {name: loud * wave for name, wave in super().__getitem__(key).items()}


def known(folder: Path, train_name: str, valid_name: str, **plan: Any) -> Trainer:
    sets = {"train_data": Known(10, train_name), "valid_data": Known(2, valid_name)}
    run = Trainer(recipe({"every": 4, "best": "loss"}, **plan), work_dir=folder, **sets)
    run.train(resume=plan["max_steps"] > 4)
    return run


def test_changed_recordings_are_said_and_scores_of_others_are_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    best = known(tmp_path / "run", "ours", "ours", max_steps=4).progress.best
    after = known(tmp_path / "run", "ours", "ours", max_steps=5, decay_from=1.0)
    assert "the recordings of" not in caplog.text
    assert last_state(tmp_path / "run")["recordings"] == {"data": "ours", "valid": "ours"}
    shutil.copytree(tmp_path / "run", tmp_path / "train")
    caplog.clear()
    known(tmp_path / "train", "others", "ours", max_steps=6)
    assert "the recordings of recipe.data are not those that the run began with" in caplog.text
    assert "recipe.valid" not in caplog.text and "scoring the weights" not in caplog.text
    caplog.clear()
    run = known(tmp_path / "run", "ours", "others", max_steps=6)
    assert "the recordings of recipe.valid are not those" in caplog.text and "recipe.data " not in caplog.text
    assert "scoring the weights in output/ on the changed validation set" in caplog.text
    assert best is not None and after.progress.best is not None
    assert run.progress.best == pytest.approx(-run.evaluate("best")["loss"])


def test_a_checkpoint_that_knows_no_recordings_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "recordings_of", lambda *_: None)
    known(tmp_path / "run", "ours", "ours", max_steps=4)
    monkeypatch.undo()
    assert known(tmp_path / "run", "ours", "others", max_steps=6).progress.step == 6


@pytest.mark.parametrize("kind", ["mixing", "files", "cached", "shards"])
def test_what_tells_recordings_apart_is_their_sound_and_not_their_place(tmp_path: Path, kind: str) -> None:
    def opened(root: Path) -> str:
        if kind == "mixing":
            table: dict[str, Any] = {"kind": "mixing", "speech": [f"{root}/clean"], "cache": f"{root}.cache"}
            table |= {"room_share": 0.0, "length": 3, "split": "all", "speech_range_db": 0.0}
        elif kind == "shards":
            with tarfile.open(root / "a.tar", "w") as tar:
                for number, part in product(range(3), ("noisy", "clean")):
                    tar.add(root / part / f"{number}.wav", f"{number}.{part}.wav")
            table = {"kind": "shards", "paths": [f"{root}/a.tar"]}
        else:
            table = {"kind": "dns", "folder": str(root)} | ({"cache": f"{root}.cache"} if kind == "cached" else {})
        return identity(build(table, sample_rate=16000, seed=0))

    for number, part in product(range(3), ("noisy", "clean")):
        save(tmp_path / "ours" / part / f"{number}.wav", speech(1.2, number))
    before = opened(tmp_path / "ours")
    moved = Path(shutil.copytree(tmp_path / "ours", tmp_path / "elsewhere", copy_function=shutil.copyfile))
    assert opened(moved) == before
    save(moved / "clean" / "1.wav", 0.5 * speech(1.2, 9))
    assert opened(moved) != before


def test_a_clip_of_many_that_differs_in_its_middle_alone_is_another(tmp_path: Path) -> None:
    def heard() -> str:
        return identity(build({"kind": "dns", "folder": str(tmp_path)}, sample_rate=16000, seed=0))

    lead = np.zeros(8000, np.float32)
    for number, part in product(range(150), ("noisy", "clean")):
        save(tmp_path / part / f"{number}.wav", np.concatenate([lead, 0.1 * np.ones(800, np.float32), lead]))
    before = heard()
    for number in range(1, 150, 2):
        save(tmp_path / "noisy" / f"{number}.wav", np.concatenate([lead, -0.1 * np.ones(800, np.float32), lead]))
    assert heard() != before


@pytest.mark.parametrize("kind", ["saved", "in memory", "paths"])
def test_rows_of_equal_lengths_are_told_apart_by_their_sound(tmp_path: Path, kind: str) -> None:
    datasets = pytest.importorskip("datasets")

    def heard(name: str, first: int) -> str:
        waves = [speech(0.5, first + number) for number in range(3)]
        rows = [{"noisy": wave, "clean": wave} for wave in waves]
        if kind == "in memory":
            return identity(HFRows(rows, seconds=0.5))
        if kind == "saved":
            datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / name))
            return identity(build({"kind": "hf", "path": str(tmp_path / name)}, sample_rate=16000, seed=0))
        paths = [save(tmp_path / name / f"{number}.wav", wave).name for number, wave in enumerate(waves)]
        table = tmp_path / name / "table.csv"
        table.write_text("noisy,clean\n" + "".join(f"{path},{path}\n" for path in paths))
        return identity(build({"kind": "hf", "path": str(table)}, sample_rate=16000, seed=0))

    assert heard("a", 0) == heard("b", 0) != heard("c", 5)


def test_recorded_rooms_are_recordings(tmp_path: Path) -> None:
    def heard(rooms: list[str], share: float = 0.5) -> str:
        table: dict[str, Any] = {"kind": "mixing", "speech": [f"{tmp_path}/speech"], "cache": f"{tmp_path}/cache"}
        table |= {"room_share": share, "rooms": rooms, "length": 3, "split": "all", "speech_range_db": 0.0}
        return identity(build(table, sample_rate=16000, seed=0))

    rng = np.random.default_rng(0)
    save(tmp_path / "speech" / "0.wav", speech(1.2, 0))
    for folder in ("a", "b"):
        save(tmp_path / folder / "room.wav", rng.normal(size=4000).astype(np.float32) / 9)
    shutil.copytree(tmp_path / "a", tmp_path / "moved")
    a, b, moved = ([f"{tmp_path}/{name}"] for name in ("a", "b", "moved"))
    assert heard(a) == heard(moved) != heard(b)
    assert heard(a, 0.0) == heard(b, 0.0)
    before = heard(a)
    save(tmp_path / "a" / "room.wav", rng.normal(size=4000).astype(np.float32) / 9)
    assert heard(a) != before


def test_only_another_place_of_a_blend_s_part_leaves_its_scores_as_they_are() -> None:
    def differ(*parts: dict[str, Any]) -> bool:
        before = [{"kind": "mixing", "speech": ["a"], "snr_db": [10, 12]}, {"kind": "dns", "folder": "b"}]
        changed = differences({"valid": {"parts": before}}, {"valid": {"parts": [*parts]}})
        return Changes(changed).of_scores("si_snr")

    mixing, dns = {"kind": "mixing", "speech": ["c"], "snr_db": [10, 12]}, {"kind": "dns", "folder": "d"}
    assert not differ(mixing, dns)
    assert differ({**mixing, "snr_db": [0, 5]}, dns) and differ(mixing) and differ(dns, mixing)


class Going(Tones):
    """Tones whose recordings are gone after some examples, with nothing left to know them by."""

    left = 20

    def identity(self) -> str:
        if self.left < 1:
            raise FileNotFoundError("gone")
        return "ours"

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        self.left -= 1
        self.identity()
        return super().__getitem__(key)


@pytest.mark.parametrize("valid", [Tones(2), None], ids=["valid", "no valid"])
def test_what_was_learnt_outlasts_recordings_that_go_before_the_first_checkpoint(
    tmp_path: Path, valid: Tones | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    values = recipe({"every": 100}, max_steps=100, save_every=100, workers=0, ema_decay=0.5)
    with pytest.raises(FileNotFoundError, match="gone"):
        train(values, work_dir=tmp_path / "run", train_data=Going(), valid_data=valid)
    state = last_state(tmp_path / "run")
    assert state["progress"]["step"] > 1 and state["recordings"]["data"] == "ours"
    assert "saved, before an error ends the run" in caplog.text
    assert "output/ could not be saved: gone" in caplog.text


def test_what_could_not_be_saved_before_an_error_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(checkpoints, "save", full)
    with pytest.raises(FileNotFoundError, match="gone"):
        train(recipe(max_steps=100, save_every=100, workers=0), work_dir=tmp_path / "run", train_data=Going())
    assert "what was learnt since step 0 could not be saved: no space left" in caplog.text


class Vanishing(Tones):
    """Tones that cannot be read from some moment on."""

    gone = False

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        if self.gone:
            raise FileNotFoundError("gone.wav: not there")
        return super().__getitem__(key)


@pytest.mark.parametrize("steps", [7, 8, 12])
def test_what_was_learnt_outlasts_a_scoring_that_fails(steps: int, tmp_path: Path) -> None:
    """And what was to be scored is scored by the resumed run, which ends as one that nothing disturbed."""
    valid, folder, whole = Vanishing(2), tmp_path / "run", tmp_path / "whole"

    def watch(step: int, *_: Any) -> None:
        valid.gone = step >= 6

    parts = {"train_data": Tones(), "valid_data": valid}
    values = recipe(max_steps=steps, save_every=100)
    train(values, work_dir=whole, **parts)
    with pytest.raises(FileNotFoundError):
        Trainer(values, work_dir=folder, watcher=watch, **parts).train()
    assert last_state(folder)["progress"]["step"] == min(steps, 8)
    valid.gone = False
    assert train(values, work_dir=folder, resume=True, **parts).step == steps
    assert records(folder, "eval") == records(whole, "eval")
    assert same(last_state(folder)["progress"], last_state(whole)["progress"])
    assert same(*(load_file(path / "output" / "model.safetensors") for path in (folder, whole)))


def test_a_last_scoring_that_is_noted_and_not_saved_is_noted_once(tmp_path: Path, monkeypatch: Any) -> None:
    parts = {"train_data": Tones(), "valid_data": Tones(2)}
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "value_of", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        patched.setattr(Trainer, "save_before_error", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            train(recipe({"every": 100}, max_steps=3), work_dir=tmp_path, **parts)
    lines = tmp_path / "log.jsonl"
    lines.write_text(lines.read_text() + '{"kind": "eval", "step": 3, "loss": 1.0}\n')
    train(recipe({"every": 100}, max_steps=3), work_dir=tmp_path, resume=True, **parts)
    assert [(found["step"], found["loss"] == 1.0) for found in records(tmp_path, "eval")] == [(3, False)]
