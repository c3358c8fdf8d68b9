"""A disk that takes long keeps nobody waiting but those who wait for it."""

from __future__ import annotations

import asyncio
import errno
import gc
import http.client
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason='the service needs pip install "frcrn[serve]"')
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
pytest.importorskip("python_multipart")

from frcrn.inference.one_file import Settings
from frcrn.models.checkpoint import save
from frcrn.serve import files, growing, jobs, uploads
from frcrn.serve.limits import NO_ROOM
from frcrn.serve.models import Models
from frcrn.serve.options import Options
from tests.networks import tiny
from tests.serving import Client, multipart, serving, until, wav

SOUND = wav(0.1 * np.ones(800))
WAITING = 40  # more than there are threads for small tasks


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save(tiny(causal=True), path)
    with serving(Models([str(path)], runtime="torch")) as found:
        yield found


def done(client: Client) -> str:
    id = client.begin(SOUND, name="a.wav")
    assert client.ended(id)["state"] == "done"
    return id


def test_many_that_wait_for_a_part_keep_nobody_else_waiting(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, write = threading.Event(), jobs.write_part
    monkeypatch.setattr(jobs, "write_part", lambda *given: ready.wait(60) and write(*given))
    id = done(client)
    with ThreadPoolExecutor(WAITING) as threads:
        waiting = [threads.submit(client.get, f"/v1/jobs/{id}/audio", part="removed") for _ in range(WAITING)]
        try:
            assert client.get("/v1/sample").status == 200
            body, headers = multipart(SOUND, "a.wav")
            assert client.ask("POST", "/v1/enhance", body, headers).status == 200
            assert not any(each.done() for each in waiting)
        finally:
            ready.set()
        assert {(each.result().status, each.result().body) for each in waiting} == {(200, waiting[0].result().body)}


def test_removing_a_job_keeps_nobody_waiting(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(client.service.folder.iterdir())
    id, ready, remove = done(client), threading.Event(), shutil.rmtree

    def slow(*given: Any, **options: Any) -> None:
        assert ready.wait(60)
        remove(*given, **options)

    monkeypatch.setattr(shutil, "rmtree", slow)
    try:
        assert client.ask("DELETE", f"/v1/jobs/{id}").status == 204
        assert client.get(f"/v1/jobs/{id}").status == 404
        assert set(client.service.folder.iterdir()) > before
    finally:
        ready.set()
    until(lambda: set(client.service.folder.iterdir()) == before)


def test_an_upload_is_written_beside_what_else_goes_on() -> None:
    went_on = threading.Event()

    class Slow:
        def write(self, piece: bytes) -> int:
            assert went_on.wait(10), "nothing else went on"
            return len(piece)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"piece"

    async def both() -> int:
        writing = asyncio.create_task(uploads._body(pieces(), Slow(), Options(Settings())))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        went_on.set()
        return await writing

    assert asyncio.run(both()) == 5


def full(*given: Any, **options: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_takes_no_places(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkdtemp", full)
        for address in 20 * ["/v1/enhance", "/v1/jobs"]:
            answer = client.ask("POST", address, SOUND)
            assert (answer.status, answer.json["error"]) == (507, NO_ROOM)
    assert client.enhance(SOUND).status == 200


def test_a_temporary_folder_that_a_cleaner_took_is_made_again(client: Client) -> None:
    folder, id = client.service.folder, done(client)
    until(lambda: shutil.rmtree(folder, ignore_errors=True) or not folder.exists())
    assert client.get(f"/v1/jobs/{id}/audio").status == 404
    assert client.enhance(SOUND).status == 200


def test_a_job_that_failed_leaves_no_files(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(client.service.folder.iterdir())
    assert client.ended(client.begin(b"no sound"))["state"] == "failed"
    monkeypatch.setattr(jobs, "stored_as", full)
    assert client.ended(client.begin(SOUND))["error"] == NO_ROOM
    until(lambda: set(client.service.folder.iterdir()) <= before, seconds=60)


def test_folders_that_are_being_removed_are_counted(tmp_path: Path) -> None:
    folder, over = tmp_path / "job", threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            (folder / "parts").mkdir(parents=True)
            (folder / "parts" / "file").write_bytes(b"four")
            shutil.rmtree(folder)

    with ThreadPoolExecutor(1) as threads:
        going = threads.submit(come_and_go)
        try:
            assert {jobs.size_of(tmp_path) for _ in range(2000)} <= {0, 4}
        finally:
            over.set()
        going.result()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not say what is open")
def test_work_that_failed_leaves_nothing_open(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONG", 0.01)
    monkeypatch.setattr(growing, "encode", full)
    gc.disable()
    try:
        with suppress(http.client.IncompleteRead):
            client.enhance(SOUND)
        until(lambda: client.service.pool.waiting + client.service.pool.active == 0)
        place = str(client.service.folder) + os.sep
        until(lambda: not [name for name in opened_files() if name.startswith(place)], seconds=60)
    finally:
        gc.enable()


def opened_files() -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(os.readlink(link))
    return found
