"""A corpus on Ray's own actors, between object stores: every kind of source, and runs that were stopped."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from frcrn.inference.folder import mark_of
from frcrn.inference.one_file import Settings
from frcrn.scale.corpus import enhance_corpus
from frcrn.scale.places import Place
from frcrn.scale.planning import plan
from frcrn.scale.records import PARTS, records_of
from frcrn.scale.work import Row, Worker, orders_of
from tests.object_store import s3_server

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Give a bucket before Ray starts, so that its workers know of it."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'frcrn[ray]'")
    with s3_server("speech") as url:
        yield url


@pytest.fixture(scope="module")
def ray(bucket: str) -> Iterator[Any]:
    """Start Ray as the command line does, once for all."""
    from frcrn.scale.cluster import connected

    with connected(None, 2) as started:
        yield started


def sound(number: int, seconds: float = 0.5, form: str = "flac") -> bytes:
    """Return a short file; each number's is another."""
    wave = 0.1 * np.random.default_rng(number).standard_normal(round(16000 * seconds))
    file = io.BytesIO()
    soundfile.write(file, wave, 16000, format=form)
    return file.getvalue()


def folder() -> dict[str, bytes]:
    return {
        **{f"{n % 2}/{n}.{form}": sound(n, form=form) for n, form in enumerate(("wav", "flac", "aiff", "wav"))},
        "bad.wav": b"nothing",
        "notes.txt": b"no sound",
    }


def manifest() -> dict[str, bytes]:
    rows = [
        {"path": "a/0.wav", "id": "whole"},
        {"path": "a/0.wav", "id": "part", "start": 0.1, "end": 0.3},
        {"path": "a/1.flac", "start": 0.25},
        {"path": "a/none.wav"},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return {"list.jsonl": lines, "a/0.wav": sound(0, form="wav"), "a/1.flac": sound(1)}


def shards() -> dict[str, bytes]:
    return {
        f"s-{shard:03}.tar": tar(
            {
                f"{shard}-{n}.{kind}": content
                for n in range(3)
                for kind, content in (("flac", b"broken" if (shard, n) == (1, 1) else sound(n)), ("txt", b"text"))
            }
        )
        for shard in range(2)
    }


def tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as shard:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            shard.addfile(info, io.BytesIO(content))
    return file.getvalue()


def rows() -> Any:
    datasets = pytest.importorskip("datasets")
    parts = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    cells = [{"bytes": b"broken" if n == 2 else sound(n), "path": f"{n}.flac"} for n in range(4)]
    features = datasets.Features({"audio": parts, "text": datasets.Value("string")})
    return datasets.Dataset.from_dict({"audio": cells, "text": list("abcd")}, features=features)


def saved() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as place:
        rows().save_to_disk(place, num_shards=2)
        return {path.name: path.read_bytes() for path in Path(place).iterdir()}


def parquet() -> dict[str, bytes]:
    file = io.BytesIO()
    rows().to_parquet(file)
    return {"part.parquet": file.getvalue()}


def put(url: str, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        Place(f"{url}/{name}").store(content)


def contents(url: str) -> dict[str, bytes]:
    """Return what lies below a place, but for the manifest."""
    found = {each.name: Place(each.url).read() for each in Place(url).files()}
    return {name: content for name, content in found.items() if not name.startswith("frcrn-manifest")}


def facts(row: Row) -> tuple[Any, ...]:
    return (row.name, row.member, row.status, row.seconds, row.size, row.record and row.record.target)


@pytest.mark.parametrize("kind", [folder, manifest, shards, saved, parquet])
def test_actors_make_of_a_store_what_a_worker_makes_of_a_disk(kind: Any, bucket: str, ray: Any, tmp_path: Path) -> None:
    files, source = kind(), f"{bucket}/{kind.__name__}/in"
    put(source, files)
    put(str(tmp_path / "in"), files)
    name = "/list.jsonl" if kind is manifest else ""
    worker = Worker(Settings(), mark_of(Settings().identity()), str(tmp_path / "out"))
    alone = [
        row for order in orders_of(plan(f"{tmp_path}/in{name}", f"{tmp_path}/out"), {}) for row in worker.rows(order)
    ]
    done: list[Row] = []
    target = f"{bucket}/{kind.__name__}/out"
    counts = enhance_corpus(f"{source}{name}", target, progress=done.append)
    assert sorted(map(facts, done), key=str) == sorted(map(facts, alone), key=str)
    assert counts["failed"] == 1
    assert counts["enhanced"] >= 3
    assert contents(target) == contents(str(tmp_path / "out"))
    again = enhance_corpus(f"{source}{name}", target)
    whole = sum(row.record is not None for row in done)
    assert (again["done before"], again["failed"]) == (whole, 1)
    down: list[Row] = []
    enhance_corpus(f"{source}{name}", f"{tmp_path}/down", progress=down.append)
    assert contents(f"{tmp_path}/down") == contents(target)


def test_an_actor_on_a_store_is_killed(bucket: str, ray: Any) -> None:
    """Nothing is lost or doubled, and the second run has nothing to do."""
    from tests.test_scale_cluster import actors

    put(f"{bucket}/killed/in", {f"{n:03}.flac": sound(n, 1.0) for n in range(200)})
    done: list[Row] = []

    def progress(row: Row) -> None:
        done.append(row)
        if len(done) == 40:
            os.kill(actors()[0], signal.SIGKILL)

    enhance_corpus(f"{bucket}/killed/in", f"{bucket}/killed/out", progress=progress)
    assert Counter(row.name for row in done) == Counter(f"{n:03}.flac" for n in range(200))
    assert {row.status for row in done} == {"enhanced"}
    assert len(contents(f"{bucket}/killed/out")) == 200
    assert enhance_corpus(f"{bucket}/killed/in", f"{bucket}/killed/out")["done before"] == 200


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_was_stopped_goes_on(stop: signal.Signals, bucket: str, tmp_path: Path) -> None:
    """From the command line; what a killed run has sent and not noted is made again, and a half object is not taken."""
    place = f"{bucket}/{stop.name}"
    put(f"{place}/in", {f"{n:03}.flac": sound(n, 2.0) for n in range(120)})
    command = [sys.executable, "-m", "frcrn", "enhance", f"{place}/in", "-o", f"{place}/out", "--ray", "-j", "1"]
    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen([*command, "--json"], stdout=log, stderr=subprocess.PIPE, text=True)
        while len((tmp_path / "log").read_text().splitlines()) < 20 and run.poll() is None:
            time.sleep(0.05)
        run.send_signal(stop)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[stop]
    assert "Traceback" not in errors
    noted = records_of(Place(f"{place}/out"))
    before = sum(noted.known(f"{n:03}.flac") is not None for n in range(120))
    assert (before >= 20) is (stop != signal.SIGKILL)
    assert before < 120
    Place(f"{place}/out/119.flac").store(b"half")
    done = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
    summary = json.loads(done.stdout.splitlines()[-1])["summary"]
    assert (summary["done_before"] + summary["enhanced"], summary["failed"]) == (120, 0)
    assert before - 1 <= summary["done_before"] <= before
    worker = Worker(Settings(), "", str(tmp_path / "alone"))
    for order in orders_of(plan(f"{place}/in", f"{tmp_path}/alone"), {}):
        list(worker.rows(order))
    assert contents(f"{place}/out") == contents(str(tmp_path / "alone"))
    assert Place(f"{place}/out/{PARTS}").files()
