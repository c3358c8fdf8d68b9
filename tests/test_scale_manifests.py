"""Manifests of strangers: what is none is one sentence, and a strange row is a row that fails."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fsspec")

from frcrn.inference.one_file import Settings
from frcrn.scale import dataset, tables
from frcrn.scale.places import Place, named_in_row
from frcrn.scale.planning import plan
from frcrn.scale.work import Order, Worker


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"audio_filepath": "a.wav", "duration": 1}', "expected a column path, found audio_filepath, dur"),
        ("a.csv", b"path;start\na.wav;1\n", "expected a column path, found path;start"),
        ("a.csv", b'"of two\nlines"\n1\n', r"expected a column path, found of two\nlines"),
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


CODE = "{{ cycler.__init__.__globals__.os.mkdir('%s') }}"
"""What fsspec runs where a manifest leads it to a file of references with this in a template."""


def references(folder: Path) -> str:
    """Write such a file, and return an address that leads there."""
    content = {"version": 1, "templates": {"u": CODE % (folder / "ran")}, "refs": {"a.wav": "data"}}
    (folder / "references.json").write_text(json.dumps(content))
    return f"reference://a.wav::file://{folder}/references.json"


@pytest.mark.parametrize("kind", ["manifest", "table", "dataset", "bytes and path"])
def test_a_row_runs_no_code(tmp_path: Path, kind: str) -> None:
    address = references(tmp_path)
    if kind == "manifest":
        (tmp_path / "rows.jsonl").write_text(json.dumps({"path": address}))
        (piece,) = plan(str(tmp_path / "rows.jsonl"), str(tmp_path / "out"))
        assert piece.problem and "accepted in rows are file, s3" in piece.problem
    elif kind == "table":
        _, part = tables.enhanced_cell(None, address, "a", never, str(tmp_path))
        assert part.error and "accepted in rows" in part.error
    else:
        cell = address if kind == "dataset" else {"path": address}
        with pytest.raises(ValueError, match="accepted in rows"):
            dataset.enhanced_cell(cell, None, Settings(), never)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("head", ["file:///tmp/a.wav::", "http://127.0.0.1/a.wav::", "simplecache::"])
def test_nor_does_a_chain_that_begins_as_rows_may(tmp_path: Path, head: str) -> None:
    with pytest.raises(ValueError, match="accepted"):
        Place(named_in_row(head + references(tmp_path), ""))
    assert not (tmp_path / "ran").exists()


def never(*_: object) -> Any:
    raise AssertionError("nothing was to be enhanced")


NAMES = ["a[1].wav", "a*.wav", "what?.wav", "a::b.wav", "a::reference:.wav", "file:x.wav"]


@pytest.mark.parametrize("name", NAMES)
def test_a_row_names_one_file_whatever_its_letters(name: str, tmp_path: Path) -> None:
    for each in (name, "a1.wav", "ab.wav"):
        (tmp_path / each).write_bytes(b"planned, not opened")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"path": name}))
    (piece,) = plan(str(tmp_path / "rows.jsonl"), str(tmp_path / "out"))
    assert (piece.problem, piece.name, Place(piece.source).path) == (None, name, str(tmp_path / name))


def test_strange_addresses_are_problems_of_their_rows_and_no_folder_is_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[str] = []
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.find", lambda _, path, **__: walked.append(path))
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.glob", lambda _, path, **__: walked.append(path))
    (tmp_path / "rows.jsonl").write_text(json.dumps({"path": str(tmp_path / "rows.jsonl")}))
    names = [
        "/",
        "..",
        "",
        "//",
        "/proc/*/mem",
        "\0",
        "a\0.wav",
        "x" * 5000,
        "s4://a/b.wav",
        "zip://a.wav",
        "::",
        "\ud800",
    ]
    names += ["http://[/a.wav", "../" * 500 + "etc/passwd/x", "~root/x", "a\nb.wav", "file://", "memory://", "://"]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"path": name}) + "\n" for name in names))
    pieces = plan(str(tmp_path / "rows.jsonl"), str(tmp_path / "out"))
    assert len(pieces) == len(names) and all(piece.problem for piece in pieces)
    assert not walked


def test_an_object_with_a_strange_name_costs_no_other(tmp_path: Path) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    names = ["a::b.wav", "a::reference:.wav", "c.wav"]
    for name in names:
        MemoryFileSystem().pipe_file(f"/strange/{name}", b"planned, not opened")
    pieces = plan("memory://strange", str(tmp_path / "out"))
    assert sorted(piece.name for piece in pieces) == names
    worker = Worker(Settings(), "", str(tmp_path / "out"))
    rows = [row for piece in pieces if "::" in piece.name for row in worker.rows(Order(piece))]
    assert [row.status for row in rows] == ["failed", "failed"]
    assert all("names several stores with ::" in str(row.error) for row in rows)
