"""Clients that are slow, make up methods, addresses and forms, or files that become much: none holds up the rest."""

from __future__ import annotations

import base64
import io
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason='the service needs pip install "frcrn[serve]"')
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
pytest.importorskip("python_multipart")

import soundfile

from frcrn.models.checkpoint import save
from frcrn.serve.limits import Limits
from frcrn.serve.models import Models
from frcrn.serve.run import WAITING_MESSAGES
from tests.networks import tiny
from tests.serving import Client, serving, until, wav

SOUND = wav(0.1 * np.ones(800))
HEAD = b"Host: localhost\r\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    path = tmp_path_factory.mktemp("models") / "m.safetensors"
    save(tiny(causal=True), path)
    return Models([str(path)], runtime="torch")


@pytest.fixture(scope="module")
def client(models: Models) -> Iterator[Client]:
    with serving(models) as found:
        yield found


@pytest.fixture(scope="module")
def hasty(models: Models) -> Iterator[Client]:
    with serving(models, silent_seconds=1.0) as found:
        yield found


def connected(client: Client, *pieces: bytes) -> socket.socket:
    """Return a connection on which something was sent."""
    connection = socket.create_connection(("127.0.0.1", client.port), timeout=20)
    for piece in pieces:
        connection.sendall(piece)
    return connection


def ended(connection: socket.socket) -> bytes:
    """Return all that comes until the server closes the connection."""
    found = b""
    try:
        while piece := connection.recv(1 << 16):
            found += piece
    except ConnectionError:
        pass
    connection.close()
    return found


PART = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
FORMS = {
    "no mark": b"xx",
    "a space in a name": b"--B\r\nbad header\r\n\r\nx\r\n--B--",
    "no name": b"--B\r\n:\r\n\r\n",
    "a long header": PART + b"X: " + b"a" * 10000 + b"\r\n\r\n",
    "a carriage return": PART + b"X: a\rb\r\n\r\n",
}


@pytest.mark.parametrize("what", FORMS)
def test_a_form_that_is_none_is_refused_in_one_sentence(client: Client, what: str) -> None:
    for mark in ("B", "x" * 300, ""):
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        answer = client.ask("POST", "/v1/enhance", FORMS[what], headers=headers)
        assert answer.status == 400, answer.body
        assert answer.json["error"].startswith("the form cannot be read: ")


def test_samples_that_no_header_can_describe_are_refused(client: Client) -> None:
    answer = client.enhance(SOUND, encoding="f64le", rate=1 << 24, channels=128)
    assert answer.status == 400 and "1048576" in answer.json["error"]


@pytest.mark.parametrize("name", ["strength", "max_attenuation_db", "normalise"])
def test_what_is_no_number_is_called_so(client: Client, name: str) -> None:
    assert client.enhance(SOUND, **{name: "nan"}).json["error"] == f"{name} 'nan': expected number"


def test_methods_that_a_client_makes_up_are_not_counted_apart(client: Client) -> None:
    for number in range(30):
        connection = connected(client, b"M%d / HTTP/1.1\r\nConnection: close\r\n" % number + HEAD + b"\r\n")
        assert ended(connection).startswith(b"HTTP/1.1 405")
    counted = client.get("/metrics").body
    assert b'method="other",status="405"} 30' in counted and b'method="M' not in counted


def test_thousands_of_ranges_are_answered_at_once_by_the_whole(client: Client) -> None:
    id = client.begin(SOUND)
    client.ended(id)
    ranges = ",".join(f"{start}-{start}" for start in range(1600, 0, -2))
    whole = client.get(f"/v1/jobs/{id}/audio")
    answer = client.ask("GET", f"/v1/jobs/{id}/audio", headers={"Range": f"bytes={ranges}"})
    assert answer.status == 200 and answer.body == whole.body
    answer = client.ask("GET", f"/v1/jobs/{id}/audio", headers={"Range": "bytes=4-7"})
    assert answer.status == 206 and answer.body == whole.body[4:8]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_job_deleted_while_its_sound_is_fetched_leaves_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, order: tuple[int, int]
) -> None:
    from frcrn.serve import jobs

    kept = set(client.service.folder.iterdir())
    id, write = client.begin(SOUND), jobs.write_part
    client.ended(id)

    def meanwhile(*arguments: Any) -> None:
        acts = (lambda: client.ask("DELETE", f"/v1/jobs/{id}"), lambda: write(*arguments))
        for number in order:
            acts[number]()

    def written_late(job: jobs.Job, source: Any, part: str, path: Path) -> None:
        meanwhile(job, source, part, path)
        path.parent.mkdir(exist_ok=True)
        path.touch()

    monkeypatch.setattr(jobs, "write_part", written_late)
    assert client.get(f"/v1/jobs/{id}/audio").status == 404
    until(lambda: set(client.service.folder.iterdir()) == kept, seconds=60)


def test_addresses_that_a_client_makes_up_guess_no_password(models: Models) -> None:
    with serving(models, login="me:secret") as client:
        basic = [base64.b64encode(b"me:%d" % number).decode() for number in range(11)]
        headers = [{"Authorization": f"Basic {text}", "X-Forwarded-For": f"10.0.0.{len(text)}"} for text in basic]
        headers = [each | {"X-Forwarded-For": f"10.0.0.{number}"} for number, each in enumerate(headers)]
        assert [client.ask("GET", "/", headers=each).status for each in headers] == [401] * 10 + [429]


START = b"POST /v1/enhance?name=a.wav HTTP/1.1\r\n" + HEAD
SLOW = {
    "nothing": b"",
    "half a request": b"GET /health HTTP/1.1\r\n" + HEAD,
    "a body after the answer": b"POST /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD + b"\r\n1\r\na\r\n",
    "a body of a byte now and then": START + b"Content-Length: 4000\r\n\r\n",
    "a body that does not end": START + b"Transfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("what", SLOW)
def test_a_client_that_drips_is_not_waited_for(hasty: Client, what: str) -> None:
    connection = connected(hasty, SLOW[what])
    begun = time.monotonic()
    try:
        while time.monotonic() < begun + 20:
            connection.sendall(b"1\r\na\r\n" if "Transfer" in SLOW[what].decode() else b"a")
            time.sleep(0.1)
            if hasty.service.pool.waiting == 0 and time.monotonic() > begun + 2.5 and "body of" not in what:
                break
    except ConnectionError:
        pass
    else:
        connection.settimeout(10)
        ended(connection)
    assert time.monotonic() < begun + 15
    until(lambda: hasty.service.pool.waiting == 0)
    until(lambda: not list(hasty.service.folder.iterdir()))


def test_an_answer_that_nobody_reads_is_not_kept(hasty: Client) -> None:
    body = wav(0.1 * np.ones((8, 400_000)))
    start = START.replace(b"a.wav", b"a.wav&format=f64le") + b"Content-Length: %d\r\n\r\n" % len(body)
    with connected(hasty, start, body):
        until(lambda: list(hasty.service.folder.glob("*/clean*")), seconds=60)
        until(lambda: not list(hasty.service.folder.iterdir()), seconds=60)


def test_a_client_that_reads_slowly_gets_all(hasty: Client) -> None:
    body = wav(0.1 * np.ones((8, 400_000)))
    connection = connected(hasty, START + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    size = 0
    while piece := connection.recv(1 << 17):
        size += len(piece)
        time.sleep(0.05)
    assert size > len(body)


def test_channels_and_samples_by_the_hundred_count_as_longer(models: Models) -> None:
    limits = Limits(minutes=1)
    assert [limits.frames(48000, channels) for channels in (1, 2, 8, 16)] == [2880000] * 3 + [1440000]
    assert limits.frames(192000, 2) == 60 * 192000 and limits.frames(768000, 8) == 60 * 48000
    silence = io.BytesIO()
    soundfile.write(silence, np.zeros((6000, 255)), 1000, format="OGG")
    with serving(models, minutes=0.05) as client:
        answer = client.enhance(silence.getvalue(), name="a.ogg", format="wav")
        assert answer.status == 413, answer.body
        assert client.enhance(wav(np.zeros((8, 2900)), 1000), name="a.wav").status == 200


def test_a_stream_takes_more_messages_than_may_wait_for_it(client: Client) -> None:
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{client.port}/v1/stream") as socket:
        socket.send(json.dumps({"rate": 16000}))
        assert json.loads(socket.recv())["ready"]
        for _ in range(10 * WAITING_MESSAGES):
            socket.send(b"\0\0" * 1600)
        socket.send('{"end": true}')
        ended = [json.loads(message) for message in socket if isinstance(message, str)]
    assert ended == [{"ended": True, "samples": 10 * WAITING_MESSAGES * 1600}]


PING = b"\x89\xfd" + bytes(4 + 125)
PINGS = 8000  # whose answers are a megabyte


def pinging(client: Client, megabytes: int) -> socket.socket:
    """Return a WebSocket on which answers wait that nobody reads, or which the server has ended."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", client.port))
    key = base64.b64encode(bytes(16))
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key
    connection.sendall(b"GET /v1/stream HTTP/1.1\r\n" + HEAD + upgrade + b"\r\n\r\n")
    assert connection.recv(1 << 10).startswith(b"HTTP/1.1 101")
    with suppress(ConnectionError):
        for _ in range(megabytes):
            connection.sendall(PING * PINGS)
    return connection


def test_answers_to_pings_that_nobody_reads_do_not_fill_the_memory(client: Client) -> None:
    connection = pinging(client, 30)
    time.sleep(2)
    assert len(ended(connection)) < 30 * PINGS * 127


def test_a_closing_stream_is_not_kept_until_its_client_reads(hasty: Client) -> None:
    connection = pinging(hasty, 6)
    time.sleep(4)
    assert b"nothing came for 1 seconds" not in ended(connection)
