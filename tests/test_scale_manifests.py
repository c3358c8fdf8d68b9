"""Manifests of strangers: what is none is one sentence, and a strange row is a row that fails."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from frcrn.scale.planning import plan


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"audio_filepath": "a.wav", "duration": 1}', "expected a column path, found audio_filepath, dur"),
        ("a.csv", b"path;start\na.wav;1\n", "expected a column path, found path;start"),
        ("a.jsonl", b'{"path": "a.wav"}\n{"path": ', "a.jsonl: cannot be read as a manifest: line 2: "),
        ("a.jsonl", b'["a.wav"]', "line 1: expected an object"),
        ("a.csv", "path\nä.wav\n".encode("latin-1"), "a.csv: cannot be read as a manifest: 'utf-8' codec"),
        ("a.parquet", b"nothing", "a.parquet: cannot be read as a manifest"),
        ("a.jsonl", b"", "nothing to enhance"),
    ],
)
def test_what_is_no_manifest_is_one_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        plan(str(tmp_path / name), str(tmp_path / "out"))


def test_a_strange_row_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"planned, not opened")
    rows = [
        {"path": "a.wav", "id": "x"},
        {"path": "a.wav", "id": "x"},
        {"path": "a.wav", "id": "x", "end": 0.1},
        {"path": "a.wav", "start": "soon"},
        {"path": "a.wav", "start": [1]},
        {"path": "a.wav", "id": "negative", "start": -1},
        {"path": "a.wav", "id": "backward", "end": 0},
        {"path": "a.wav", "id": "open", "start": float("nan"), "end": float("inf")},
        {"id": "none"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pieces = plan(str(tmp_path / "rows.jsonl"), str(tmp_path / "out"))
    assert [(piece.name, piece.problem and piece.problem.partition(": ")[2]) for piece in pieces] == [
        ("x.wav", None),
        ("x.wav", f"x.wav is already taken by {tmp_path}/a.wav"),
        ("a.wav", "start 'soon' and end None: expected seconds"),
        ("a.wav", "start [1] and end None: expected seconds"),
        ("negative.wav", "start -1.0 and end None: expected 0 <= start < end"),
        ("backward.wav", "start None and end 0.0: expected 0 <= start < end"),
        ("open.wav", None),
        ("row-9", "expected a path"),
    ]
