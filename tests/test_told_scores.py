"""The score that is told is that of the weights in `output/`, whatever was changed, or went wrong, on the way."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frcrn.training import Result, Trainer
from frcrn.training.recordings import Changes
from tests.made_audio import noise, speech
from tests.training_runs import MODEL, Tones, last_state, recipe, records

PARTS = {"train_data": Tones(), "valid_data": Tones(2)}


def resumed(folder: Path, evaluation: dict[str, Any] | None = None, **plan: Any) -> tuple[Result, dict[str, Any]]:
    """Resume, or begin, a run; return what is told at its end, and what the weights in `output/` score."""
    run = Trainer(recipe({"every": 4, **(evaluation or {})}, **{"max_steps": 8, **plan}), work_dir=folder, **PARTS)
    return run.train(resume=True), run.evaluate("best")


@pytest.mark.parametrize("changed", [{"batch_size": 1}, {"ema_decay": 0.0}, {"seed": 3}], ids=str)
@pytest.mark.parametrize("keep_last", [True, False])
def test_weights_that_are_fitted_otherwise_when_they_are_written_are_scored_then(
    tmp_path: Path, changed: dict[str, Any], keep_last: bool
) -> None:
    first, _ = resumed(tmp_path)
    assert last_state(tmp_path)["progress"]["best_step"] == 8
    shutil.rmtree(tmp_path / "output")
    for _ in range(2):  # and the checkpoint knows it the second time
        told, found = resumed(tmp_path, keep_last=keep_last, **changed)
        assert told.held == ("last" if keep_last else "best")
        assert told.score is not None and told.score == pytest.approx(found["si_snr"], rel=1e-4)
    assert told.score != first.score
    assert [line["step"] for line in records(tmp_path, "eval")] == [4, 8]


@pytest.mark.parametrize("keep_last", [True, False])
@pytest.mark.parametrize("section", ["model", "loss"])
def test_weights_that_score_otherwise_when_they_are_written_are_scored_then(
    tmp_path: Path, section: str, keep_last: bool
) -> None:
    values = recipe({"every": 4, "best": "loss"}, max_steps=8, keep_last=keep_last)
    Trainer(values, work_dir=tmp_path, **PARTS).train()
    shutil.rmtree(tmp_path / "output")
    if section == "model":
        values |= {"model": {**MODEL, "mask_bound": 0.5}}
    else:
        values |= {"loss": {**values["loss"], "noise": {"kind": "snr", "weight": 5.0}}}  # called like a place
    for _ in range(2):
        run = Trainer(values, work_dir=tmp_path, **PARTS)
        told = run.train(resume=True)
        assert told.score == pytest.approx(run.evaluate("best")["loss"], rel=1e-4)


def test_better_weights_in_the_output_outlast_worse_ones_that_were_not_written_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export, fall = Trainer.export, {4: 9.0, 8: 10.0}
    monkeypatch.setattr(Trainer, "value_of", lambda run, _: fall[8 if run.fitted and run.fitted[0] == 8 else 4])
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "export", lambda run, held: run.progress.step == 8 and stop() or export(run, held))
        with pytest.raises(KeyboardInterrupt):
            resumed(tmp_path)
    fall[8] = 8.0  # as the other fit makes of them
    told, _ = resumed(tmp_path, batch_size=1)
    assert (told.held, told.score) == ("best", 9.0)
    about = json.loads((tmp_path / "output" / "configuration.json").read_text())["training"]
    assert (about["weights"], about["step"]) == ("best", 4)


def stop() -> None:
    """End a run as a kill does."""
    raise KeyboardInterrupt


def test_no_score_is_told_of_weights_that_cannot_be_scored(tmp_path: Path) -> None:
    resumed(tmp_path, set_level=True)
    values = recipe({"every": 4}, max_steps=8, set_level=True)
    told = Trainer(values, work_dir=tmp_path, train_data=Tones()).train(resume=True)
    assert (told.held, told.score) == ("last", None)


@pytest.mark.parametrize(("best", "differ"), [("pesq", True), ("stoi", True), ("si_snr", False), ("loss", False)])
def test_scores_of_other_clips_are_other_scores(best: str, differ: bool) -> None:
    assert Changes(["recipe.evaluation.clips"]).of_scores(best) is differ


class Graded(Tones):
    """Speech, first without noise and then in loud noise."""

    def __init__(self) -> None:
        super().__init__(2)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        clean = torch.from_numpy(speech(1.5, seed=key[1])).float()
        loud = 10 * key[1] * torch.from_numpy(noise(1.5, seed=key[1])).float()
        return {"clean": clean, "noisy": clean + loud}


@pytest.mark.slow
def test_other_clips_are_scored_anew(tmp_path: Path) -> None:
    for clips, steps in ((1, 6), (2, 12)):
        values = recipe({"every": 3, "clips": clips, "best": "stoi"}, max_steps=steps, save_every=3)
        run = Trainer(values, work_dir=tmp_path, train_data=Tones(), valid_data=Graded())
        told = run.train(resume=clips == 2)
    assert told.score == pytest.approx(run.evaluate("best")["stoi"], rel=1e-4)


def test_a_scoring_made_up_for_is_made_up_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Trainer, "value_of", lambda self, _: -float(self.progress.step))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="gone"):
        evaluate = Trainer.evaluate

        def failing(run: Trainer, *arguments: Any, **options: Any) -> dict[str, Any]:
            if run.progress.step == 8:
                raise OSError("gone")
            return evaluate(run, *arguments, **options)

        patch.setattr(Trainer, "evaluate", failing)
        resumed(tmp_path)
    resumed(tmp_path)
    assert last_state(tmp_path)["progress"]["evaluated"] == 8
    caplog.set_level(logging.INFO)
    caplog.clear()
    resumed(tmp_path)
    assert "eval step" not in caplog.text
    assert [line["step"] for line in records(tmp_path, "eval")] == [4, 8]


def test_scores_on_a_changed_validation_set_take_the_place_of_those_before(tmp_path: Path) -> None:
    resumed(tmp_path)
    before = records(tmp_path, "eval")
    resumed(tmp_path, {"examples": 1})
    after = records(tmp_path, "eval")
    assert [(line["step"], line["examples"]) for line in after] == [(4, 2), (8, 1)]
    assert after[0] == before[0]
    assert "recipe.evaluation.examples differs from the run that is resumed" in (tmp_path / "train.log").read_text()


def failing_at(step: int, error: BaseException) -> Any:
    def watch(now: int, *_: Any) -> None:
        if now == step:
            raise error

    return watch


@pytest.mark.parametrize("error", [OSError("full"), SystemExit("full")])
def test_what_was_learnt_outlasts_a_watcher_that_fails(tmp_path: Path, error: BaseException) -> None:
    run = Trainer(recipe(save_every=100), work_dir=tmp_path, watcher=failing_at(7, error), **PARTS)
    with pytest.raises(type(error), match="full"):
        run.train()
    assert last_state(tmp_path)["progress"]["step"] == 7


@pytest.mark.parametrize("resume", [True, False])
def test_a_trainer_that_has_trained_does_not_begin_again(tmp_path: Path, resume: bool) -> None:
    folder = tmp_path / "run"
    watch = failing_at(2, KeyboardInterrupt()) if resume else None
    run = Trainer(recipe(save_every=100), work_dir=folder, watcher=watch, **PARTS)
    if resume:
        with pytest.raises(KeyboardInterrupt):
            run.train()
    else:
        run.train()
        shutil.rmtree(folder)
    with pytest.raises(ValueError, match="this trainer has trained"):
        run.train(resume=resume)


def test_a_trainer_that_goes_on_from_its_checkpoint_scores_what_it_learns_then(tmp_path: Path) -> None:
    plan, watch = {"max_steps": 4, "save_every": 3, "keep_last": True}, failing_at(4, KeyboardInterrupt())
    run = Trainer(recipe(**plan), work_dir=tmp_path / "run", watcher=watch, **PARTS)
    with pytest.raises(KeyboardInterrupt):
        run.train()
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    run.train_data, run.watcher = Tones(5), None
    run.train(resume=True)
    other = Trainer(recipe(**plan), work_dir=tmp_path / "other", train_data=Tones(5), valid_data=Tones(2))
    other.train(resume=True)
    assert records(tmp_path / "run", "eval") == records(tmp_path / "other", "eval")
