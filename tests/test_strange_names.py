"""Names, texts and descriptions that strangers chose: nothing of them runs, hides or breaks anything."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frcrn.cli import main
from frcrn.cli.common import sentence
from frcrn.evaluation.metrics.scores import Scores
from frcrn.evaluation.scores_csv import Journal
from frcrn.evaluation.statistics import Row
from frcrn.export.onnx.folder import ABOUT, described, export
from frcrn.inference.manifest import Manifest
from frcrn.texts import cell, uncelled
from tests.limits import bounded
from tests.networks import tiny

FORMULA = "=cmd|' -C calc'!A0.wav"


@pytest.mark.parametrize("text", [FORMULA, "+1", "-1", "@x", "\tx", "\rx", "'=x", "''=x", "'x", "x", "", "x=1"])
def test_no_spreadsheet_runs_a_cell_and_what_it_was_comes_back(text: str) -> None:
    assert not cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert uncelled(cell(text)) == text


def test_a_clip_that_is_named_like_a_formula_is_found_again(tmp_path: Path) -> None:
    row = Row(FORMULA, 1.0, "abc", -3.0, 0.5, Scores({"si_sdr": -2.0}, {}))
    with Journal(tmp_path, {"data": "x"}, ["si_sdr"]) as journal:
        journal.add(row)
    (found,) = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert found["clip"] == "'" + FORMULA and found["si_sdr"] == "-2.0"
    with Journal(tmp_path, {"data": "x"}, ["si_sdr"]) as journal:
        assert list(journal.rows) == [FORMULA]


def test_what_moves_the_cursor_or_hides_letters_is_shown_as_escapes() -> None:
    text = sentence(ValueError("a\x1b[2Jb\x07c\u202egnp.wav\x00 é 噪\udcff"))
    assert text == "a\\x1b[2Jb\\x07c\\u202egnp.wav\\x00 é 噪\udcff"


def test_a_failure_of_a_strangely_named_file_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("=1+1\x1b[31m.wav", "two\nlines.wav"):
        (tmp_path / "in" / name).write_bytes(b"no sound")
    assert main(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) != 0
    told = capsys.readouterr().err
    assert "\x1b" not in told and told.count("\n") == 3
    assert all(not row["source"].startswith("=") for row in csv.DictReader((tmp_path / "out/failures.csv").open()))


ABOUT_IT: dict[str, Any] = {
    "format": 1,
    "sample_rate": 16000,
    "window": 64,
    "hop": 32,
    "latency": 64,
    "graphs": {
        "step": {
            "file": "step.onnx",
            "sha256": "0",
            "states": {"s": {"shape": [1, 2], "initial": 0.0, "next": "n"}},
        }
    },
}
LACKING: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no graphs": lambda about: about.pop("graphs"),
    "graphs in a list": lambda about: about.update(graphs=[]),
    "a graph that is a number": lambda about: about["graphs"].update(step=5),
    "no file": lambda about: about["graphs"]["step"].pop("file"),
    "a file elsewhere": lambda about: about["graphs"]["step"].update(file="../step.onnx"),
    "no hash": lambda about: about["graphs"]["step"].pop("sha256"),
    "no hop": lambda about: about.pop("hop"),
    "a hop of nothing": lambda about: about.update(hop=0),
    "a rate in words": lambda about: about.update(sample_rate="16000"),
    "no latency": lambda about: about.pop("latency"),
    "states in a list": lambda about: about["graphs"]["step"].update(states=["s"]),
    "a state of 100 GB": lambda about: about["graphs"]["step"]["states"]["s"].update(shape=[10**6, 10**5]),
    "a state of less than nothing": lambda about: about["graphs"]["step"]["states"]["s"].update(shape=[-1]),
    "a state without a beginning": lambda about: about["graphs"]["step"]["states"]["s"].pop("initial"),
    "a state that leads nowhere": lambda about: about["graphs"]["step"]["states"]["s"].pop("next"),
}


@pytest.mark.parametrize("name", LACKING)
def test_a_description_of_an_export_that_lacks_something_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    about = json.loads(json.dumps(ABOUT_IT))
    (tmp_path / ABOUT).write_text(json.dumps(about))
    assert described(tmp_path) == about
    LACKING[name](about)
    (tmp_path / ABOUT).write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"frcrn\.json: .*export again$") as caught:
        described(tmp_path)
    assert "\n" not in str(caught.value)


MEASURED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another hop": lambda about: about.update(hop=1),
    "a rate of a hertz": lambda about: about.update(sample_rate=1),
    "a state of another shape": lambda about: first_state(about).update(shape=[1, 1]),
    "a state that comes from elsewhere": lambda about: first_state(about).update(next="nowhere"),
}


def first_state(about: dict[str, Any]) -> dict[str, Any]:
    return next(iter(next(graph["states"] for graph in about["graphs"].values() if graph.get("states")).values()))


@pytest.mark.parametrize("name", MEASURED)
def test_an_edited_export_is_not_measured(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    export(tiny(causal=True), tmp_path)
    about = json.loads((tmp_path / ABOUT).read_text())
    MEASURED[name](about)
    (tmp_path / ABOUT).write_text(json.dumps(about))
    with bounded(seconds=20, gigabytes=6):
        assert main(["bench", str(tmp_path), "--seconds", "0.1", "--threads", "1", "--no-memory"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("loud", [1e13, -1e20, 3.4e38])
def test_a_stream_refuses_what_is_no_sound_and_goes_on_as_before(loud: float) -> None:
    stream, chunk = tiny(causal=True).stream(), np.ones(500, np.float32)
    stream.push(chunk)
    with pytest.raises(ValueError, match="full scale is 1"):
        stream.push(chunk * np.float32(loud))
    assert np.isfinite(stream.push(chunk * np.float32(1e12))).all()
    assert stream.position == 1000


@pytest.mark.parametrize("name", ['["a"]', "{}", "null", "5", '"\\ud800"', "[" * 100_000])
def test_a_manifest_with_a_name_that_is_none_is_no_trouble(name: str, tmp_path: Path) -> None:
    (tmp_path / "frcrn-manifest.jsonl").write_text(f'{{"source": "", "settings": "", "target": "", "file": {name}}}\n')
    assert Manifest(tmp_path).known(tmp_path / "a.wav") is None
