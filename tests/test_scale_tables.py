"""Tables of rows: but for the sound in the audio columns, everything stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from frcrn.scale import rows
from frcrn.scale.tables import enhanced_table
from tests.scale_rows import unfit


def enhance(content: bytes, name: str) -> tuple[bytes, float]:
    if content == b"bad":
        raise ValueError("no sound")
    return content[::-1], 1.0


def done(folder: Path, kind: str, table: Any) -> tuple[Any, list[str | None]]:
    """Return what becomes of a table, and what went wrong with its cells."""
    source, target = folder / f"in{kind}", folder / f"out{kind}"
    if kind == ".arrow":
        with pyarrow.OSFile(str(source), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
    else:
        parquet.write_table(table, source)
    errors = [part.error for part in enhanced_table(source, target, enhance, "")]
    if kind == ".arrow":
        with pyarrow.OSFile(str(target), "rb") as file:
            return pyarrow.ipc.open_stream(file).read_all(), errors
    with parquet.ParquetFile(target) as file:
        return file.read(), errors


AUDIO = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
KINDS = pytest.mark.parametrize("kind", [".parquet", ".arrow", ".PARQUET"])


@KINDS
def test_columns_without_sound_stay_to_the_last_digit(kind: str, tmp_path: Path) -> None:
    others = {
        "time": pyarrow.array([1, 86_399_999_999_999, None], pyarrow.time64("ns")),
        "stamp": pyarrow.array([1, 1_500_000_000_123_456_789, None], pyarrow.timestamp("ns", "Europe/Berlin")),
        "half": pyarrow.array(np.float16([1, 2, 3])),
        "words": pyarrow.array(["a", None, "a"]).dictionary_encode(),
        "map": pyarrow.array([[("a", 1), ("a", 2)], None, []], pyarrow.map_(pyarrow.string(), pyarrow.int32())),
    }
    table = pyarrow.table({"audio": pyarrow.array([b"ab", b"bad", None]), **others})
    clean, errors = done(tmp_path, kind, table)
    assert clean.schema == table.schema
    assert clean["audio"].to_pylist() == [b"ba", None, None]
    assert errors == [None, "audio[1]: no sound", "audio[2]: expected audio, found an empty cell"]
    for name, column in others.items():
        assert clean[name].combine_chunks() == column, name


@KINDS
@pytest.mark.parametrize(
    ("features", "replaced"),
    [
        ({"audio": {"_type": "Audio"}, "more": {"dtype": "binary", "_type": "Value"}}, {"audio"}),
        ({"audio": {"dtype": "binary", "_type": "Value"}, "more": {"_type": "Image"}}, {"audio"}),
        ({"audio": {"bytes": {"_type": "Value"}}, "more": {"_type": "Image"}}, {"audio"}),
        ({"audio": 5, "more": None}, {"audio", "more"}),
        ([], {"audio", "more"}),
    ],
)
def test_columns_of_other_features_stay(kind: str, features: Any, replaced: set[str], tmp_path: Path) -> None:
    table = pyarrow.table({"audio": pyarrow.array([b"ab"]), "more": pyarrow.array([b"cd"])})
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    clean, errors = done(tmp_path, kind, table.replace_schema_metadata(about))
    assert {name for name in clean.column_names if clean[name] != table[name]} == replaced
    assert errors == [None] * len(replaced)
    assert clean.schema.metadata[b"huggingface"] == about["huggingface"].encode()


@KINDS
def test_two_columns_of_one_name_are_two(kind: str, tmp_path: Path) -> None:
    columns = [[b"ab", b"cd"], [1, 2], [b"ef", b"gh"], [3, 4]]
    table = pyarrow.table([pyarrow.array(column) for column in columns], names=["audio", "x", "audio", "x"])
    clean, errors = done(tmp_path, kind, table)
    assert [column.to_pylist() for column in clean.columns] == [[b"ba", b"dc"], [1, 2], [b"fe", b"hg"], [3, 4]]
    assert errors == [None] * 4


@KINDS
def test_other_fields_of_a_cell_stay_and_every_row_has_its_own(kind: str, tmp_path: Path) -> None:
    cells = [{"sampling_rate": row, "path": f"{row}.wav", "bytes": b"%d." % row} for row in range(150)]
    cells[70]["bytes"], cells[80] = b"bad", None
    clean, errors = done(tmp_path, kind, pyarrow.table({"audio": cells, "row": list(range(150))}))
    expected = [cell and {**cell, "bytes": cell["bytes"][::-1]} for cell in cells]
    expected[70] = None
    assert clean["audio"].to_pylist() == expected and clean["row"].to_pylist() == list(range(150))
    assert [row for row, error in enumerate(errors) if error] == [70, 80]


def test_a_struct_without_bytes_is_no_sound(tmp_path: Path) -> None:
    table = pyarrow.table({"text": [{"bytes": "ab", "path": "a"}], "audio": [b"ab"]})
    clean, errors = done(tmp_path, ".parquet", table)
    assert clean.to_pylist() == [{"text": {"bytes": "ab", "path": "a"}, "audio": b"ba"}]
    assert errors == [None]


def test_a_cell_with_neither_bytes_nor_path_is_empty(tmp_path: Path) -> None:
    table = pyarrow.table({"audio": [{"bytes": None, "path": ""}, {"bytes": b"ab", "path": None}]})
    clean, errors = done(tmp_path, ".arrow", table)
    assert clean["audio"].to_pylist() == [None, {"bytes": b"ba", "path": None}]
    assert errors == ["audio[0]: expected audio, found an empty cell", None]


@pytest.mark.parametrize("kind", ["text", "pipe", "device", "folder", "large"])
def test_a_path_opens_recordings_alone(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.setattr(rows, "MOST", 4000)
    path, reason = unfit(kind, tmp_path)
    (tmp_path / "b.wav").write_bytes(b"ab")
    cells = [{"bytes": None, "path": path}, {"bytes": None, "path": str(tmp_path / "b.wav")}]
    clean, errors = done(tmp_path, ".parquet", pyarrow.table({"audio": pyarrow.array(cells, AUDIO)}))
    assert [cell and cell["bytes"] for cell in clean["audio"].to_pylist()] == [None, b"ba"]
    assert errors[0] is not None and errors[0].startswith(f"audio[0]: {path}: {reason}") and errors[1] is None


def test_a_store_that_tells_no_size_is_read_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setattr(rows, "MOST", 4000)
    for size in (4000, 4001):
        memory.pipe_file(f"/bounded/{size}.wav", b"x" * size)
    assert len(rows.content_named("memory://bounded/4000.wav", "")) == 4000
    with pytest.raises(ValueError, match="memory://bounded/4001.wav: larger than"):
        rows.content_named("memory://bounded/4001.wav", "")


def test_a_reason_holds_no_control_characters(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    cells = [{"bytes": None, "path": "/none/\x1b[2J\n.wav"}]
    _, errors = done(tmp_path, ".parquet", pyarrow.table({"audio": pyarrow.array(cells, AUDIO)}))
    assert errors == [r"audio[0]: /none/\x1b[2J\n.wav: cannot be read: no such file"]
