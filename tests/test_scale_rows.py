"""Rows of strangers, done: each is one recording, told once, and nothing else of the machine ends up in the result."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fsspec")

from frcrn import audio
from frcrn.cli import main
from frcrn.inference.manifest import Record
from frcrn.inference.one_file import Settings
from frcrn.models.checkpoint import save_directory
from frcrn.scale.corpus import Corpus
from frcrn.scale.places import Place
from frcrn.scale.planning import plan
from frcrn.scale.records import PARTS, Known, records_of
from frcrn.scale.sounds import enhanced_bytes
from frcrn.scale.work import Order, Row, Worker
from tests.played_cluster import play
from tests.training_runs import network

Run = Callable[..., list[Row]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    save_directory(network().eval(), folder)
    return str(folder)


@pytest.fixture
def run(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that does a corpus into `out`."""
    play(monkeypatch)

    def done(source: Path | str, **options: Any) -> list[Row]:
        settings = Settings(model=model, runtime="torch")
        return list(Corpus(str(source), str(tmp_path / "out"), settings, **options).rows())

    return done


def sound(path: Path, seed: int = 0, seconds: float = 0.2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, 0.1 * np.random.default_rng(seed).standard_normal((1, round(seconds * 16000))).astype("f"), 16000)
    return path


def listed(folder: Path, *rows: dict[str, Any]) -> Path:
    """Write a manifest."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "rows.jsonl"


def private(folder: Path) -> list[str]:
    """Write files that nobody is to have."""
    with tarfile.open(folder / "backup.tar", "w") as shard:
        info = tarfile.TarInfo("home/key")
        info.size = 6
        shard.addfile(info, io.BytesIO(b"SECRET"))
    for name in ("config.json", "key", "state.json", "rows.parquet"):
        (folder / name).write_bytes(b"SECRET")
    return ["config.json", "key", "state.json", "backup.tar", "rows.parquet"]


@pytest.mark.parametrize("name", ["state", "state.json", "x/state", "x/dataset_info.json", "frcrn-manifest/x/state"])
def test_a_row_gives_no_file_that_is_no_recording(name: str, tmp_path: Path) -> None:
    source = listed(tmp_path, *({"path": each, "id": name} for each in private(tmp_path)))
    pieces = plan(str(source), str(tmp_path / "out"))
    worker = Worker(Settings(), "", str(tmp_path / "out"))
    rows = [row for piece in pieces for row in worker.rows(Order(piece))]
    assert [(row.status, row.name) for row in rows] == [("failed", f"row-{number}") for number in range(1, 6)]
    assert all("expected a recording; accepted are wav" in str(row.error) for row in rows)
    assert not (tmp_path / "out").exists()


def test_only_what_saved_datasets_have_is_copied_from_a_folder(run: Run, tmp_path: Path) -> None:
    sound(tmp_path / "in" / "a.wav")
    for name in ("state.json", "deep/dataset_info.json", "mystate.json", "config.json"):
        (tmp_path / "in" / "deep").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text("{}")
    assert {row.name: row.status for row in run(tmp_path / "in")} == {
        "a.wav": "enhanced",
        "deep/dataset_info.json": "copied",
        "state.json": "copied",
    }


@pytest.mark.parametrize("name", ["x/", "frcrn-manifest/x", "\ud800", "a\0b", "a\0/b"])
def test_an_id_that_is_no_name_of_a_recording_is_a_row_that_fails(name: str, run: Run, tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    rows = run(listed(tmp_path, {"path": "a.wav", "id": name}, {"path": "a.wav"}))
    assert [(row.name, row.status) for row in rows] == [("row-1", "failed"), ("a.wav", "enhanced")]
    assert rows[0].error == f"{tmp_path}/a.wav: id {name!r}: expected a name for a recording"


def test_strange_letters_of_rows_reach_no_terminal_and_end_no_list(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch)
    rows = [{"path": "\ud800.wav"}, {"path": "\x1b[31m.wav"}, {"path": "a\nb.txt"}, {"path": "\ud800://a.wav"}]
    source = listed(tmp_path, *rows)
    assert main(["enhance", str(source), "-o", f"{tmp_path}/out", "--ray", "-m", model]) == 2
    assert len(capsys.readouterr().err.replace("\x1b", "?\n").splitlines()) == 5
    with (tmp_path / "out" / "failures.csv").open(encoding="utf-8", newline="") as file:
        names = [Path(row["source"]).name for row in csv.DictReader(file)]
    assert names == [r"\ud800.wav", r"\x1b[31m.wav", r"a\nb.txt", "a.wav"]


def test_of_two_rows_with_one_name_the_first_is_made_and_each_is_told(run: Run, tmp_path: Path) -> None:
    for seed, name in enumerate("abe"):
        sound(tmp_path / f"{name}.wav", seed)
    source = listed(
        tmp_path,
        {"path": "a.wav", "id": "x"},
        {"path": "b.wav", "id": "x"},
        {"path": "gone.wav", "id": "y"},
        {"path": "e.wav", "id": "y"},
        *({"path": name} for name in (".", "..", "/")),
    )
    rows = run(source)
    assert sorted((row.name, row.status) for row in rows) == [
        *((f"row-{number}", "failed") for number in (5, 6, 7)),
        ("x.wav", "enhanced"),
        ("x.wav", "failed"),
        ("y.wav", "enhanced"),
        ("y.wav", "failed"),
    ]
    reasons = [str(row.error) for row in rows if row.name in ("x.wav", "y.wav") and row.error]
    assert f"{tmp_path}/b.wav: x.wav is already taken by {tmp_path}/a.wav" in reasons
    assert audio.read(tmp_path / "out" / "x.wav").samples.shape == (1, 3200)
    again = run(source)
    assert sorted(row.status for row in again) == ["done before"] * 2 + ["failed"] * 5


def test_of_two_folders_with_one_name_the_first_is_made(run: Run, tmp_path: Path) -> None:
    for seed, name in enumerate(("1/s.wav", "2/s.wav", "2/t.wav")):
        sound(tmp_path / "in" / name, seed)
    rows = run(tmp_path / "in" / "{1..2}")
    assert sorted((Path(row.source).parent.name, row.name, row.status) for row in rows) == [
        ("1", "s.wav", "enhanced"),
        ("2", "s.wav", "failed"),
        ("2", "t.wav", "enhanced"),
    ]


def test_another_stretch_or_file_of_the_same_id_is_made(run: Run, tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 0, 1.0), sound(tmp_path / "b.wav", 1, 1.0)
    for name in "ab":
        os.utime(tmp_path / f"{name}.wav", (0, 0))

    def made(**row: Any) -> tuple[str, int]:
        (done,) = run(listed(tmp_path, {"id": "x", **row}))
        return done.status, audio.read(tmp_path / "out" / "x.wav").samples.shape[-1]

    assert made(path="a.wav", start=0, end=0.25) == ("enhanced", 4000)
    assert made(path="a.wav", start=0, end=0.25) == ("done before", 4000)
    assert made(path="a.wav", start=0.5, end=0.75) == ("enhanced", 4000)
    assert made(path="b.wav", start=0.5, end=0.75) == ("enhanced", 4000)
    assert made(path="b.wav", start=0.5) == ("enhanced", 8000)
    assert made(path="b.wav") == ("enhanced", 16000)
    assert made(path="b.wav", start=0.75, end=1e308) == made(path="b.wav", start=0.75, end=float("inf"))
    assert made(path="b.wav", start=0.75, end=float("inf")) == ("done before", 4000)


@contextmanager
def web_server(folder: Path, *headers: str) -> Iterator[str]:
    """Give the address of a server that tells only these headers of its files."""

    class Answer(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def send_header(self, keyword: str, value: str) -> None:
            if keyword in ("Content-Length", "Content-Type", *headers):
                super().send_header(keyword, value)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("header", "again"), [("Last-Modified", "done before"), ("Content-Length", "enhanced")])
def test_what_a_web_server_does_not_tell_apart_is_made_again(header: str, again: str, run: Run, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    os.utime(sound(tmp_path / "web" / "a.wav", 0), (0, 0))
    with web_server(tmp_path / "web", header) as address:
        source = listed(tmp_path, {"path": f"{address}/a.wav?key=1", "id": "x"})
        assert [row.status for row in run(source)] == ["enhanced"]
        assert [row.status for row in run(source)] == [again]
        before = (tmp_path / "out" / "x.wav").read_bytes()
        sound(tmp_path / "web" / "a.wav", 1)
        assert [row.status for row in run(source)] == ["enhanced"]
    assert (tmp_path / "out" / "x.wav").read_bytes() != before


def test_reasons_name_what_was_given_and_no_copy_of_ours(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    sound(tmp_path / "a.wav")
    rows = [
        {"path": "bad.wav", "id": "cut", "start": 0.1},
        {"path": "a.wav", "id": "late", "start": 9},
        {"path": "a.wav", "id": "never", "start": 1e308},
        {"path": "a.wav", "id": "none", "start": 0.1, "end": 0.1000001},
        {"path": "a.wav", "id": "yes", "start": True},
    ]
    errors = {row.name: str(row.error) for row in run(listed(tmp_path, *rows))}
    assert set(errors) == {"cut.wav", "late.wav", "never.wav", "none.wav", "yes.wav"}
    for name, error in errors.items():
        source = "bad.wav" if name == "cut.wav" else "a.wav"
        assert error.startswith(f"{tmp_path}/{source}: ") and "frcrn-" not in error, error
    assert "expected seconds" in errors["yes.wav"] and "the recording ends at 0.200 s" in errors["never.wav"]


@pytest.mark.parametrize("name", ["a.wav", "a.\u00e9", "a." + "b" * 300, "a.wav\udcff", "a.\0wav", ""])
def test_bytes_of_any_name_are_enhanced_or_refused_by_it(name: str, model: str, tmp_path: Path) -> None:
    settings = Settings(model=model, runtime="torch")
    content = sound(tmp_path / "a.wav").read_bytes()
    clean, seconds = enhanced_bytes(content, name, settings, settings.open)
    assert (seconds, audio.read(clean).samples.shape) == (0.2, (1, 3200))
    with pytest.raises(ValueError) as caught:
        enhanced_bytes(content[:30], name, settings, settings.open)
    assert str(caught.value).startswith(f"{name or 'audio bytes'}: found")


def test_a_pattern_lists_a_web_server(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    for name in ("a.wav", "b.flac", "notes.txt"):
        (tmp_path / "web" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "web" / "deep" / name).touch()
    with web_server(tmp_path / "web") as address:
        pieces = plan(f"{address}/deep/*", str(tmp_path / "out"))
        with pytest.raises(ValueError, match="nothing to enhance"):
            plan(f"{address}/deep/", str(tmp_path / "out"))
    assert [(piece.name, piece.stamp) for piece in pieces] == [("a.wav", ""), ("b.flac", "")]


@pytest.mark.parametrize("line", ["[" * 100_000, '{"file": "a.wav", "bytes": ' + "1" * 5000 + "}", "null", "[1]", "\0"])
def test_a_line_that_is_none_ends_no_run_into_a_store(line: str) -> None:
    place = Place("memory://lines")
    whole = '{"file": "b.wav", "source": "s", "settings": "m", "target": "t", "bytes": 5}'
    (place / PARTS / "1.jsonl").store(f"{line}\n{whole}\n".encode())
    assert records_of(place).known("b.wav") == Known(Record("s", "m", "t"), 5)
    place.system.rm(place.path, recursive=True)


def test_what_a_cluster_cannot_do_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enhance", str(tmp_path), "-o", f"{tmp_path}/out", "--ray", "--vad", f"{tmp_path}/speech.csv"]) == 2
    assert "without --from-file, --dry-run, --vad and -" in capsys.readouterr().err
