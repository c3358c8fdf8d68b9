"""Pieces of a corpus between places, done by a worker without a cluster: what is kept, refused, resumed."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import pytest

from frcrn import audio
from frcrn.cli import main
from frcrn.inference.folder import enhance_folder
from frcrn.inference.manifest import Record
from frcrn.inference.one_file import Settings
from frcrn.models.checkpoint import save_directory
from frcrn.scale.corpus import Corpus
from frcrn.scale.places import Place, expanded
from frcrn.scale.planning import Piece, plan, units
from frcrn.scale.records import Known, records_of
from frcrn.scale.work import Row, Worker, is_done, orders_of
from tests.object_store import s3_server
from tests.training_runs import network

MARK = "mark"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("model")
    save_directory(network().eval(), folder)
    return Settings(model=str(folder), runtime="torch")


def recording(path: Path, seed: int = 0, seconds: float = 0.3, rate: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, 0.1 * np.random.default_rng(seed).standard_normal((1, round(seconds * rate))).astype("f"), rate)
    return path


def work(source: str | Path, destination: str | Path, settings: Settings) -> list[Row]:
    """Do everything with one worker, as the actors would."""
    worker = Worker(settings, MARK, str(destination))
    return [row for order in orders_of(plan(str(source), str(destination)), {}) for row in worker.rows(order)]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Give an empty bucket of a real S3 server on loopback."""
    with s3_server("corpus") as url:
        yield url


def test_a_folder_is_what_the_single_machine_makes_of_it(tmp_path: Path, settings: Settings) -> None:
    for number, name in enumerate(("a.wav", "deep/b.flac", "deep/c.aiff")):
        recording(tmp_path / "in" / name, number)
    rows = work(tmp_path / "in", tmp_path / "out", settings)
    assert [row.status for row in rows] == ["enhanced"] * 3
    enhance_folder(tmp_path / "in", tmp_path / "one", jobs=1, model=settings.model, runtime="torch")
    alone = tree(tmp_path / "one")
    alone.pop("frcrn-manifest.jsonl")
    assert tree(tmp_path / "out") == alone


def test_no_link_in_the_destination_is_followed(tmp_path: Path, settings: Settings) -> None:
    recording(tmp_path / "in" / "a.wav")
    recording(tmp_path / "in" / "sub" / "b.wav")
    shard(tmp_path / "in" / "sub" / "c.tar", {"a.wav": (tmp_path / "in" / "a.wav").read_bytes()})
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "a.wav").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.wav").symlink_to(mine / "a.wav")
    (tmp_path / "out" / "sub").symlink_to(mine)
    rows = work(tmp_path / "in", tmp_path / "out", settings)
    assert [row.status for row in rows] == ["failed"] * 3
    assert all("would be written elsewhere, as a link there leads" in str(row.error) for row in rows)
    assert tree(mine) == {"a.wav": b"mine"}


def test_a_store_gets_what_a_disk_gets(tmp_path: Path, settings: Settings, bucket: str) -> None:
    for number, name in enumerate(("a.wav", "deep/b.flac")):
        Place(f"{bucket}/in/{name}").store(recording(tmp_path / "in" / name, number))
    (tmp_path / "in" / "bad.wav").write_bytes(b"nothing")
    Place(f"{bucket}/in/bad.wav").store(b"nothing")
    here = work(tmp_path / "in", tmp_path / "out", settings)
    there = work(f"{bucket}/in", f"{bucket}/out", settings)
    assert [(row.name, row.status, row.seconds, row.size) for row in there] == [
        (row.name, row.status, row.seconds, row.size) for row in here
    ]
    assert {found.name: Place(found.url).read() for found in Place(f"{bucket}/out").files()} == tree(tmp_path / "out")
    (failed,) = (row for row in there if row.status == "failed")
    assert failed.error is not None
    assert failed.error.startswith(f"{bucket}/in/bad.wav: found")
    down = work(f"{bucket}/in", tmp_path / "down", settings)
    assert tree(tmp_path / "down") == tree(tmp_path / "out")
    assert [row.record and row.record.source for row in down] == [row.record and row.record.source for row in there]


def test_an_object_counts_by_its_line_and_its_size(bucket: str) -> None:
    goal = Place(f"{bucket}/resume")
    piece = Piece("s3://x/a.wav", "a.wav", 5, "stamp")
    with records_of(goal) as records:
        (goal / "a.wav").store(b"12345")
        assert not is_done(piece, records.known("a.wav"), MARK, {"a.wav": 5})
        records.add("a.wav", Known(Record("stamp", MARK, "hash"), 5))
    known = records_of(goal).known("a.wav")
    assert is_done(piece, known, MARK, {"a.wav": 5})
    assert not is_done(piece, known, MARK, {"a.wav": 4})
    assert not is_done(piece, known, MARK, {})
    assert not is_done(piece, known, "other settings", {"a.wav": 5})
    assert not is_done(piece._replace(stamp="another source"), known, MARK, {"a.wav": 5})


def test_a_second_run_on_a_store_does_what_is_missing(tmp_path: Path, settings: Settings, bucket: str) -> None:
    """What is left for the cluster is counted; none is started."""
    for number in range(3):
        Place(f"{bucket}/again/in/{number}.wav").store(recording(tmp_path / f"{number}.wav", number))
    corpus = Corpus(f"{bucket}/again/in", f"{bucket}/again/out", settings)
    worker = Worker(corpus.settings, corpus.mark, f"{bucket}/again/out")
    with corpus.records as records:
        for order in orders_of(corpus.pieces, {}):
            (row,) = worker.rows(order)
            assert row.record is not None
            records.add(row.name, Known(row.record, row.size))
    again = Corpus(f"{bucket}/again/in", f"{bucket}/again/out", settings)
    assert [row.status for row in again.rows()] == ["done before"] * 3
    (again.goal / "1.wav").store(b"half")
    known = {piece.name: again.records.known(piece.name) for piece in again.pieces}
    assert again._before({piece.name: piece for piece in again.pieces}, known) == {"0.wav", "2.wav"}


def test_a_second_run_at_once_is_refused_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording(tmp_path / "in" / "a.wav")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "failures.csv").write_text("source,target,reason\nof,the,first run\n")
    with records_of(Place(tmp_path / "out")):
        before = tree(tmp_path / "out")
        assert main(["enhance", f"{tmp_path}/in", "-o", f"{tmp_path}/out", "--ray"]) == 2
    assert "another run is writing here" in capsys.readouterr().err
    assert tree(tmp_path / "out") == before


def test_a_store_that_cannot_be_used_is_one_sentence_before_ray_starts(
    tmp_path: Path, settings: Settings, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording(tmp_path / "in" / "a.wav")
    with pytest.raises(OSError, match="^s3://missing/out/.*: The specified bucket does not exist"):
        next(Corpus(str(tmp_path / "in"), "s3://missing/out", settings).rows())
    with pytest.raises(ValueError, match="^s3://missing/in: nothing to enhance"):
        plan("s3://missing/in", str(tmp_path / "out"))
    monkeypatch.setattr("frcrn.scale.places.Place._listed", lambda place: place.system.find("none", oops=1))
    with pytest.raises(OSError, match=f"^{bucket}: "):  # what no class of ours or Python's says
        Place(bucket).files()


def test_a_file_that_ends_processes_costs_no_other(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster is played: it loses every unit with a certain file, and another unit once."""
    for number in range(12):
        recording(tmp_path / "in" / f"{number}.wav", number, 0.1)
    tried: list[list[str]] = []

    def results(ray: Any, units: list[Any], settings: Settings, mark: str, goal: str, actors: Any) -> Iterator[Row]:
        worker = Worker(settings, mark, goal)
        for number, unit in enumerate(units):
            tried.append([order.piece.name for order in unit])
            if "7.wav" not in tried[-1] and not (len(tried) == number + 1 and number == 2):
                yield from (row for order in unit for row in worker.rows(order))

    monkeypatch.setattr("frcrn.scale.corpus.UNITS_AN_ACTOR", 4)
    monkeypatch.setattr("frcrn.scale.corpus.results", results)
    monkeypatch.setattr(
        "frcrn.scale.corpus.connected",
        lambda address, actors: nullcontext(SimpleNamespace(cluster_resources=lambda: {"CPU": 1})),
    )
    rows = list(Corpus(str(tmp_path / "in"), str(tmp_path / "out"), settings).rows())
    assert {row.name: row.status for row in rows} == {
        f"{number}.wav": "failed" if number == 7 else "enhanced" for number in range(12)
    }
    assert len(rows) == 12
    assert len(tried[0]) > 1
    assert tried[-1] == ["7.wav"]


def test_a_file_that_no_run_made_stays_in_the_destination(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def results(ray: Any, units: list[Any], settings: Settings, mark: str, goal: str, actors: Any) -> Iterator[Row]:
        return (row for unit in units for order in unit for row in Worker(settings, mark, goal).rows(order))

    monkeypatch.setattr("frcrn.scale.corpus.results", results)
    monkeypatch.setattr(
        "frcrn.scale.corpus.connected",
        lambda address, actors: nullcontext(SimpleNamespace(cluster_resources=lambda: {"CPU": 1})),
    )
    recording(tmp_path / "in" / "a.wav"), recording(tmp_path / "in" / "b.wav", 1)
    mine = recording(tmp_path / "out" / "a.wav", 2)
    before = mine.read_bytes()

    def run(**more: Any) -> dict[str, Row]:
        return {row.name: row for row in Corpus(str(tmp_path / "in"), str(tmp_path / "out"), settings, **more).rows()}

    rows = run()
    assert (rows["a.wav"].status, rows["b.wav"].status) == ("failed", "enhanced")
    assert "out/a.wav: is there already, and not from an earlier run; --force" in str(rows["a.wav"].error)
    assert mine.read_bytes() == before
    assert run(force=True)["a.wav"].status == "enhanced" and mine.read_bytes() != before
    assert {row.status for row in run().values()} == {"done before"}


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_manifest_names_files_and_spans(tmp_path: Path, settings: Settings, kind: str) -> None:
    recording(tmp_path / "deep" / "a.wav", seconds=1.0)
    rows: list[dict[str, Any]] = [
        {"path": "deep/a.wav", "id": "whole", "start": None, "end": None},
        {"path": "deep/a.wav", "id": "part", "start": 0.25, "end": 0.5},
        {"path": "deep/a.wav", "id": None, "start": 0.75, "end": None},
        {"path": "missing.wav", "id": "m", "start": None, "end": None},
        {"path": "deep/a.wav", "id": "../../out", "start": 0.5, "end": 0.25},
        {"path": "deep/a.wav", "id": "late", "start": 2.0, "end": None},
    ]
    path = tmp_path / f"list.{kind}"
    table = pyarrow.Table.from_pylist(rows)
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "csv":
        from pyarrow import csv

        csv.write_csv(table, path)
    else:
        from pyarrow import parquet

        parquet.write_table(table, path)
    done = {row.name: row for row in work(path, tmp_path / "out", settings)}
    assert {name: round(row.seconds, 3) for name, row in done.items() if row.status == "enhanced"} == {
        "whole.wav": 1.0,
        "part.wav": 0.25,
        "deep/a-0.75-end.wav": 0.25,
    }
    errors = {name: row.error or "" for name, row in done.items() if row.status == "failed"}
    assert "no such file" in errors["m.wav"]
    assert "expected 0 <= start < end" in errors["out.wav"]
    assert "the recording ends at 1.000 s" in errors["late.wav"]


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_a_shard_keeps_all_but_its_sound(tmp_path: Path, settings: Settings) -> None:
    flac = recording(tmp_path / "a.flac").read_bytes()
    (tmp_path / "in").mkdir()
    members = {"x/a.flac": flac, "x/a.json": b"{}", "b.flac": b"broken", "b.txt": b"lost", "c.txt": b"kept"}
    shard(tmp_path / "in" / "s-000.tar", members)
    rows = work(tmp_path / "in", tmp_path / "out", settings)
    assert [(row.member, row.status) for row in rows] == [
        ("x/a.flac", "enhanced"),
        ("b.flac", "failed"),
        (None, "copied"),
    ]
    assert rows[-1].record is None  # a later run tries again
    with tarfile.open(tmp_path / "out" / "s-000.tar") as tar:
        assert tar.getnames() == ["x/a.flac", "x/a.json", "c.txt"]
        (tmp_path / "member.flac").write_bytes(tar.extractfile("x/a.flac").read())  # type: ignore[union-attr]
    enhance_folder(tmp_path / "a.flac", tmp_path / "one", jobs=1, model=settings.model, runtime="torch")
    assert (tmp_path / "member.flac").read_bytes() == (tmp_path / "one" / "a.flac").read_bytes()


def test_a_saved_dataset_can_be_loaded_again(tmp_path: Path, settings: Settings) -> None:
    datasets = pytest.importorskip("datasets")
    cells = [{"bytes": recording(tmp_path / f"{n}.wav", n).read_bytes(), "path": f"{n}.wav"} for n in range(3)]
    cells[1]["bytes"] = b"broken"
    parts = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features({"audio": parts, "text": datasets.Value("string")})
    rows = datasets.Dataset.from_dict({"audio": cells, "text": ["a", "b", "c"]}, features=features)
    rows.save_to_disk(str(tmp_path / "saved"))
    rows.to_parquet(str(tmp_path / "rows" / "part.parquet"))
    for source in ("saved", "rows"):
        done = work(tmp_path / source, tmp_path / f"{source}.clean", settings)
        assert sorted(row.status for row in done if row.member) == ["enhanced", "enhanced", "failed"]
    back = datasets.load_from_disk(str(tmp_path / "saved.clean"))
    assert (back.features, list(back["text"]), back[1]["audio"]) == (features, ["a", "b", "c"], None)
    assert back.cast_column("audio", datasets.Audio(decode=False))[2]["audio"] == back[2]["audio"]
    enhance_folder(tmp_path / "2.wav", tmp_path / "one", jobs=1, model=settings.model, runtime="torch")
    assert back[2]["audio"] == {"bytes": (tmp_path / "one" / "2.wav").read_bytes(), "path": "2.wav"}
    from pyarrow import parquet

    table = parquet.read_table(tmp_path / "rows.clean" / "part.parquet")
    assert table["audio"].to_pylist() == [row["audio"] for row in back]


def test_units_share_out_everything_once_the_longest_first() -> None:
    pieces = [Piece(str(n), str(n), size) for n, size in enumerate(np.random.default_rng(0).integers(1, 1000, 300))]
    shared = list(units(pieces, 20))
    flat = [piece for unit in shared for piece in unit]
    assert sorted(flat) == sorted(pieces)
    assert [piece.size for piece in flat] == sorted((piece.size for piece in pieces), reverse=True)
    assert 20 <= len(shared) <= 30


def test_a_range_in_braces() -> None:
    assert list(expanded("s-{008..010}.tar")) == ["s-008.tar", "s-009.tar", "s-010.tar"]
    assert list(expanded("a{x}b.tar")) == ["a{x}b.tar"]


def test_what_cannot_be_planned_is_one_sentence(tmp_path: Path) -> None:
    recording(tmp_path / "in" / "a.wav")
    for source, destination, message in (
        (tmp_path / "none", tmp_path / "out", "nothing to enhance"),
        (tmp_path / "in", tmp_path / "in", "is the input and the output"),
        ("nowhere://x", tmp_path / "out", "nowhere"),
    ):
        with pytest.raises(ValueError, match=message):
            plan(str(source), str(destination))
    assert os.listdir(tmp_path) == ["in"]
