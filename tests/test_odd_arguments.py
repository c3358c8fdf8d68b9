"""What is no argument at all is refused in one sentence by every door, at once and without a trace."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import frcrn
from frcrn.cli import main
from frcrn.data.hf import HFRows
from frcrn.export.runtime import with_runtime
from frcrn.training.recipe import Train
from tests.networks import tiny
from tests.strange_audio import made

WAVE = np.zeros(1600, np.float32)
MODEL = tiny(causal=True)
SOUND = made("WAV", "PCM_16")
ODD: dict[str, Callable[[], Any]] = {
    "a number as a model": lambda: frcrn.load(5),  # type: ignore[arg-type]
    "bytes as a model": lambda: frcrn.load(b".."),  # type: ignore[arg-type]
    "an empty name of a model": lambda: frcrn.load(""),
    "an empty name of a model in C": lambda: frcrn.load("", runtime="auto"),
    "an empty name of a folder": lambda: frcrn.enhance_folder("", "out"),
    "nothing as a folder": lambda: frcrn.enhance_folder(None, "out"),  # type: ignore[arg-type]
    "nothing as an output": lambda: frcrn.enhance_folder("in", None),  # type: ignore[arg-type]
    "a NUL in a folder's name": lambda: frcrn.enhance_folder("a\0", "out"),
    "a NUL in a file's name": lambda: frcrn.audio.write("out\0.wav", WAVE[None], 16000),
    "half a thread": lambda: with_runtime(MODEL, "onnx", threads=1.5),  # type: ignore[arg-type]
    "less than no thread": lambda: with_runtime(MODEL, "native", threads=-1),
    "half a channel": lambda: MODEL.stream(channels=2.5),  # type: ignore[arg-type]
    "text as a strength": lambda: MODEL.enhance(WAVE, 16000, strength="all"),  # type: ignore[arg-type]
    "no number as a rate": lambda: MODEL.enhance(WAVE, float("nan")),  # type: ignore[arg-type]
    "text as a rate": lambda: MODEL.enhance(WAVE, "16000"),  # type: ignore[arg-type]
    "an open file as a target": lambda: frcrn.enhance_file(SOUND, io.BytesIO(), model=MODEL),  # type: ignore[arg-type]
    "nothing as a target": lambda: frcrn.enhance_file(SOUND, None, model=MODEL),  # type: ignore[arg-type]
    "text as a number of processes": lambda: frcrn.enhance_folder("in", "out", jobs="2"),  # type: ignore[arg-type]
    "less than no process": lambda: frcrn.enhance_folder("in", "out", jobs=-1),
    "a second row without a column": lambda: HFRows([{"noisy": WAVE, "clean": WAVE}, {"noisy": WAVE}]),
    "a seed beyond what generators take": lambda: Train(max_steps=1, seed=10**15),
    "a batch without an end": lambda: Train(max_steps=1, batch_size=10**15),
    "a step without an end": lambda: Train(max_steps=1, accumulate=10**15),
    "a gigahertz": lambda: MODEL.enhance(WAVE, 10**9),
    "a hertz": lambda: MODEL.enhance(WAVE, 1),
    "a stream of a gigahertz": lambda: MODEL.stream(rate=10**9),
    "a list": lambda: MODEL.enhance([0.0], 16000),  # type: ignore[type-var]
}


@pytest.mark.parametrize("name", ODD)
def test_it_is_refused_in_one_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        ODD[name]()
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value) and "embedded" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_file_that_claims_a_rate_of_a_hertz_is_refused_by_name(tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "slow.wav", WAVE, 1)
    with pytest.raises(
        ValueError,
        match=r"slow\.wav: sample rate 1: expected a positive whole number of samples a second, 1000 to 768000",
    ):
        frcrn.enhance_file(tmp_path / "slow.wav", tmp_path / "out.wav", model=MODEL)
    assert [path.name for path in tmp_path.iterdir()] == ["slow.wav"]


@pytest.mark.parametrize(
    "change", ["train=null", "stages=null", "stages=[1]", "stages=x", 'stages=[{"name":"a","train":1}]']
)
def test_a_recipe_of_odd_types_is_refused_where_the_last_weights_are_asked_for(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = {"model": {"preset": "tiny"}, "loss": {"si_snr": {}}, "train": {"max_steps": 1}}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    assert main(["train", "recipe.json", "--keep-last", "--set", change]) == 2
    assert "expected" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["recipe.json"]
