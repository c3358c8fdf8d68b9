"""Fine-tuning: what the weights came with stays, and no worse weights become the output."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import frcrn
from frcrn.models.checkpoint import save_directory
from frcrn.training import checkpoints, train
from frcrn.training.outcome import sentence, strays
from frcrn.training.run import State
from frcrn.training.weights import kept_level
from tests.training_runs import MODEL, Tones, network, recipe, records, same

BOUND = 3.5
PARTS = {"train_data": Tones(), "valid_data": Tones(2)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model directory whose mask's bound is not its preset's."""
    model = network(seed=1)
    model.config = replace(model.config, mask_bound=BOUND)
    save_directory(model, tmp_path / "source")
    return tmp_path / "source"


def tuned(source: Path | None, evaluation: dict[str, Any] | None = None, **plan: Any) -> dict[str, Any]:
    start = {} if source is None else {"init_from": str(source)}
    return recipe({"every": 2, **(evaluation or {})}, **{"max_steps": 6, "save_every": 2, **start, **plan})


def held(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "output" / "configuration.json").read_text())
    return values


def test_the_bound_of_the_masks_comes_with_the_weights(tmp_path: Path, source: Path) -> None:
    train(tuned(source), work_dir=tmp_path / "run", **PARTS)
    assert held(tmp_path / "run")["model"]["mask_bound"] == BOUND
    without = tuned(source)
    del without["model"]
    train(without, work_dir=tmp_path / "own", **PARTS)
    assert held(tmp_path / "own")["model"] == held(tmp_path / "run")["model"]


@pytest.mark.parametrize(("key", "value"), [("mask_bound", 1.0), ("compress", 0.5), ("stages", 2), ("causal", False)])
def test_a_recipe_with_another_network_is_refused_by_its_key(
    tmp_path: Path, source: Path, key: str, value: Any
) -> None:
    values = tuned(source)
    values["model"] = {**MODEL, key: value}
    with pytest.raises(ValueError, match=f"recipe.model.{key}: expected .* as the weights of .*source"):
        train(values, work_dir=tmp_path / "run", **PARTS)
    assert not (tmp_path / "run").exists()


def test_a_network_that_is_changed_on_purpose_keeps_the_bound_of_its_weights(tmp_path: Path, source: Path) -> None:
    values = tuned(source, init_partial=True)
    values["model"] = {**MODEL, "compress": 0.5}
    train(values, work_dir=tmp_path / "run", **PARTS)
    found = held(tmp_path / "run")["model"]
    assert (found["mask_bound"], found["compress"]) == (BOUND, 0.5)


def test_the_start_is_scored_before_the_first_step_and_shown_beside_every_score(tmp_path: Path, source: Path) -> None:
    result = train(tuned(source), work_dir=tmp_path / "run", **PARTS)
    first, *later = records(tmp_path / "run", "eval")
    assert first["step"] == 0 and [record["step"] for record in later] == [2, 4, 6]
    assert result.start == first["si_snr"]
    assert all(record["start"]["si_snr"] == first["si_snr"] for record in later)
    assert {"speech_level", "speech_lost", "over_suppressed"} <= first.keys()
    lines = (tmp_path / "run" / "train.log").read_text()
    assert lines.count(f"(start {first['si_snr']:.5g})") == 3


def test_weights_that_got_worse_are_not_the_output(tmp_path: Path, source: Path) -> None:
    values = {**tuned(source, {"every": 15}, max_steps=30, lr=0.03, set_level=True), "loss": {"si_snr": {}}}
    good = train(values, work_dir=tmp_path / "good", **PARTS).output
    result = train(tuned(good, lr=5.0, warmup_steps=0), work_dir=tmp_path / "run", **PARTS)
    assert result.held == held(tmp_path / "run")["training"]["weights"] == "start"
    assert same(frcrn.load(result.output).state_dict(), frcrn.load(good).state_dict())
    assert result.score == result.start
    assert "it holds the starting weights, as no later ones scored better" in sentence(result, "si_snr")

    last = train(tuned(good, lr=5.0, warmup_steps=0, keep_last=True), work_dir=tmp_path / "last", **PARTS)
    assert last.held == held(tmp_path / "last")["training"]["weights"] == "last"
    assert held(tmp_path / "last")["training"]["step"] == 6
    assert last.score is not None and last.start is not None and last.score < last.start
    assert f"it holds the last weights, si_snr {last.score:.3f} (start {last.start:.3f})" in sentence(last, "si_snr")


def test_weights_that_got_better_are(tmp_path: Path, source: Path) -> None:
    values = {**tuned(source, {"every": 15}, max_steps=30, lr=0.03, set_level=True), "loss": {"si_snr": {}}}
    result = train(values, work_dir=tmp_path / "run", **PARTS)
    assert result.held == held(tmp_path / "run")["training"]["weights"] == "best"
    assert result.best is not None and result.start is not None and result.best > result.start + 1


def test_weights_whose_level_strays_are_not_the_output(tmp_path: Path, source: Path, caplog: Any) -> None:
    class Quiet(Tones):
        """Teaches a network to whisper, which SI-SNR cannot hear."""

        def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
            example = super().__getitem__(key)
            return {"noisy": example["noisy"], "clean": 0.05 * example["clean"]}

    plan: dict[str, Any] = {"evaluation": {"every": 10}, "max_steps": 40, "lr": 0.02}
    loud = train(tuned(source, **plan), work_dir=tmp_path / "loud", **PARTS).output
    with caplog.at_level(logging.INFO):
        result = train(tuned(loud, **plan), work_dir=tmp_path / "run", **{**PARTS, "train_data": Quiet()})
    levels = [record["speech_level"] for record in records(tmp_path / "run", "eval")]
    assert levels[-1] < levels[0] - 3
    assert any("the level of speech is too far from the start's" in line for line in caplog.messages)
    kept = records(tmp_path / "run", "eval")[
        0 if result.held == "start" else held(tmp_path / "run")["training"]["step"] // 10
    ]
    assert abs(kept["speech_level"]) <= abs(levels[0]) + 0.5

    plan["set_level"] = True
    result = train(tuned(loud, **plan), work_dir=tmp_path / "set", **{**PARTS, "train_data": Quiet()})
    clean = [Tones(2)[0, index]["clean"] for index in range(2)]
    if result.held == "best":
        assert kept_level(frcrn.load(result.output), clean) == pytest.approx(1, abs=1e-3)
    assert all(abs(record["speech_level"]) < 3 for record in records(tmp_path / "set", "eval")[1:])


def test_a_level_nearer_to_the_clean_clips_is_no_harm() -> None:
    start = {"speech_level": -6.0}
    assert [strays({"speech_level": level}, start) for level in (-6.4, -6.6, 0.0, 6.4, 6.6)] == [
        False,
        True,
        False,
        False,
        True,
    ]
    assert not strays({"speech_level": -20.0}, None) and not strays({}, start)


@pytest.mark.parametrize("named", [True, False])
def test_a_resumed_run_keeps_start_bound_and_what_it_holds(tmp_path: Path, source: Path, named: bool) -> None:
    """Resumed by the recipe alone, as the README does, it must not forget what it started from."""
    whole = train(tuned(source, max_steps=8), work_dir=tmp_path / "whole", **PARTS)

    def cut(state: State) -> None:
        if state.share >= 5 / 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tuned(source, max_steps=8), work_dir=tmp_path / "run", watcher=cut, **PARTS)
    resumed = train(tuned(source if named else None, max_steps=8), work_dir=tmp_path / "run", resume=True, **PARTS)
    assert resumed._replace(output=whole.output) == whole
    assert records(tmp_path / "run", "eval") == records(tmp_path / "whole", "eval")
    assert held(tmp_path / "run") == held(tmp_path / "whole")
    state = checkpoints.newest(tmp_path / "run" / "checkpoints")
    assert state is not None and state["network"]["mask_bound"] == BOUND


def test_the_time_left_counts_down_after_a_resume(tmp_path: Path) -> None:
    seen: list[State] = []

    def watch(state: State) -> None:
        seen.append(state)
        if len(seen) == 7:
            raise KeyboardInterrupt

    values = recipe(max_steps=12, save_every=6)
    with pytest.raises(KeyboardInterrupt):
        train(values, work_dir=tmp_path / "run", watcher=watch, **PARTS)
    train(values, work_dir=tmp_path / "run", resume=True, watcher=watch, **PARTS)
    assert [round(12 * state.share) for state in seen[7:]] == [7, 8, 9, 10, 11, 12]
    left = [state.seconds_left for state in seen[7:]]
    assert all(seconds is not None for seconds in left) and left[-1] == 0
    state = checkpoints.newest(tmp_path / "run" / "checkpoints")
    assert state is not None and state["progress"]["elapsed"] > 0


def test_without_a_validation_set_that_is_logged(tmp_path: Path, source: Path) -> None:
    result = train(tuned(source), work_dir=tmp_path / "run", train_data=Tones())
    assert (result.held, result.start) == ("last", None)
    assert "cannot be compared with the starting ones" in (tmp_path / "run" / "train.log").read_text()
