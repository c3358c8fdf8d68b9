"""Cells of a Ray Dataset as an actor enhances them: every form, and what is none."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("fsspec")
pytest.importorskip("pandas")

import pandas

from frcrn.inference.one_file import Settings
from frcrn.models.checkpoint import save_directory
from frcrn.scale import rows
from frcrn.scale.dataset import Cells, check_columns
from tests.scale_rows import unfit
from tests.training_runs import network

WAVE = (0.2 * np.sin(np.arange(3200) / 9)).astype(np.float32)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    folder = tmp_path_factory.mktemp("model")
    save_directory(network().eval(), folder)
    return Cells(Settings(model=str(folder), runtime="torch", passes=1), "audio", 16000)


def packed(wave: Any = WAVE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, 16000, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "int16", "int32", "uint8"])
def test_arrays_are_enhanced_as_the_model_does_it(cells: Cells, kind: str) -> None:
    full = {"int16": 32767, "int32": 2**31 - 256, "uint8": 127}.get(kind, 1)
    wave = (WAVE.astype(np.float64) * full + 128 * (kind == "uint8")).astype(kind)
    expected = cells.model().enhance(wave, 16000)
    nested = np.empty(2, object)
    nested[:] = [wave, wave]
    for cell in (wave, {"array": wave, "sampling_rate": 16000}, nested, np.stack([wave, wave])):
        clean, error = cells.cell(cell)
        clean = clean["array"] if isinstance(clean, dict) else clean
        assert error is None and clean.dtype == kind
        for channel in np.atleast_2d(clean):
            np.testing.assert_allclose(channel / full, expected / full, atol=1e-3 if kind == "float16" else 1e-6)


def test_a_list_is_an_array(cells: Cells) -> None:
    clean, error = cells.cell(WAVE.tolist())
    assert error is None
    np.testing.assert_allclose(clean, cells.model().enhance(WAVE, 16000), atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "expected audio, found an empty cell"),
        ("", "expected audio, found an empty cell"),
        ({}, "expected audio, found an empty cell"),
        ({"bytes": None, "path": ""}, "expected audio, found an empty cell"),
        ({"bytes": "text", "path": "a.wav"}, "a.wav: expected bytes, found str"),
        ({"bytes": b"text", "path": "a.wav"}, "a.wav: found text; accepted are"),
        ({"bytes": None, "path": "/none/a.wav"}, "/none/a.wav"),
        ("s4://b/a.wav", "s4://b/a.wav: found a store of the kind s4"),
        (5, "expected audio, found int"),
        (float("nan"), "expected audio, found float"),
        ([], "it holds no samples"),
        ([1, 2], "wave of type int64: accepted are"),
        ([[0.1, 0.2], [0.1]], "expected channels of the same length"),
        ({"array": WAVE, "sampling_rate": 44100.7}, "sample rate 44100.7: expected a positive whole number"),
        ({"array": WAVE, "sampling_rate": 0}, "sample rate 0: expected"),
        ({"array": WAVE, "sampling_rate": float("inf")}, "sample rate inf: expected"),
        ({"array": WAVE, "sampling_rate": "16000", "path": "b.wav"}, "b.wav: sample rate 16000: expected"),
    ],
    ids=repr,
)
def test_a_cell_that_is_no_sound_is_one_sentence(cells: Cells, cell: Any, reason: str) -> None:
    clean, error = cells.cell(cell)
    assert clean is None and error is not None and reason in error and "\n" not in error


def test_bytes_and_paths_give_bytes(cells: Cells, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(packed())
    path = str(tmp_path / "a.wav")
    struct, _ = cells.cell({"bytes": packed(), "path": "b.flac", "extra": 1})
    assert (struct["path"], struct["extra"]) == ("b.flac", 1)
    results = [cells.cell(cell) for cell in (packed(), path, {"path": path})]
    assert [error for _, error in results] == [None] * 3
    assert len({clean["bytes"] if isinstance(clean, dict) else clean for clean, _ in results}) == 1


@pytest.mark.parametrize("kind", ["text", "pipe", "device", "folder", "large"])
def test_a_path_opens_recordings_alone(
    cells: Cells, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST", 4000)
    path, reason = unfit(kind, tmp_path)
    for cell in (path, {"bytes": None, "path": path}, f"file://{path}"):
        clean, error = cells.cell(cell)
        assert clean is None and error is not None and f"{path}: {reason}" in error


def test_a_reason_holds_no_control_characters(cells: Cells) -> None:
    _, error = cells.cell("/none/\x1b[2J\n.wav")
    assert error == r"/none/\x1b[2J\n.wav: cannot be read: no such file"


def test_a_column_of_the_reasons_is_not_replaced(cells: Cells) -> None:
    rows = pandas.DataFrame({"audio": [packed(), b"broken"], "id": [1, 2]})
    done = cells(rows)
    assert list(done["error"].isna()) == [True, False] and list(done["id"]) == [1, 2]
    with pytest.raises(ValueError, match="column 'error': is where the reasons of rows that fail go; rename"):
        cells(rows.assign(error="mine"))
    with pytest.raises(ValueError, match="column 'error': is where"):
        check_columns(["error", "id"], "error")
    with pytest.raises(ValueError, match="column 'sound': expected one of audio, id"):
        check_columns(["audio", "id"], "sound")
