"""Strangers at the framework's server with a pipeline of this package: they get clean sound or a sentence."""

from __future__ import annotations

import base64
import io
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest
import soundfile

pytest.importorskip("modelscope")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from frcrn.audio import AudioError
from frcrn.plugin import server as ours
from frcrn.plugin.web import fetch, refuse_private
from tests.made_audio import speech
from tests.plugin_parts import ROOT, closed_network, tiny_directory


def sound(seconds: float = 0.2, form: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, speech(seconds, seed=1), 16000, format=form, subtype="PCM_16")
    return file.getvalue()


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own program, as anybody would start it."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ["--model_id", str(tiny_directory(folder / "model")), "--revision", "x", "--host", "127.0.0.1"]
    command = [sys.executable, "-m", "frcrn.plugin", "server", *place, "--port", str(port)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
    try:
        started(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def started(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(3000):
        assert server.poll() is None, "the server ended"
        with suppress(URLError), urlopen(address, timeout=60):
            return
        time.sleep(0.1)
    raise AssertionError("the server does not answer")


def asked(address: str, body: Any) -> tuple[int, Any]:
    """Return the status and the answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(f"{address}/call", content, {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=60) as response:
            return response.status, json.loads(response.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("given", [{"audio": encoded(sound())}, encoded(sound()), {"any": encoded(sound(form="FLAC"))}])
def test_sound_in_base64_is_answered(address: str, given: Any) -> None:
    status, found = asked(address, {"input": given, "parameters": {"strength": 0.5}})
    assert status == 200 and len(base64.b64decode(found["output_pcm"])) == 2 * 3200


@pytest.mark.parametrize("name", ["output_path", "batch_size", "last", "device", "__class__"])
def test_nobody_chooses_what_is_written_on_the_server(address: str, name: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.wav"
    mine.write_bytes(sound())
    status, found = asked(address, {"input": {"audio": encoded(sound(0.1))}, "parameters": {name: str(mine)}})
    assert (status, mine.read_bytes()) == (400, sound()) and name in found["detail"]


def test_nobody_reads_files_of_the_server(address: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(sound())
    answers = [asked(address, {"input": each}) for each in (str(secret), {"audio": str(secret)})]
    gone = [asked(address, {"input": {"audio": str(tmp_path / "gone.wav")}})]
    assert answers == 2 * gone and gone[0][0] == 400  # nor learns whether there are any


def test_nobody_reaches_the_servers_own_network(address: str) -> None:
    visits: list[str] = []

    class Inside(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(sound())

    inside = ThreadingHTTPServer(("127.0.0.1", 0), Inside)
    threading.Thread(target=inside.serve_forever, daemon=True).start()
    try:
        for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "x@127.1", "0x7f.1"):
            status, found = asked(address, {"input": {"audio": f"http://{host}:{inside.server_port}/a.wav"}})
            assert status == 400 and "cannot be read" in found["detail"], (host, found)
    finally:
        inside.shutdown()
        inside.server_close()
    assert not visits


STRANGE: list[Any] = [{}, {"input": None}, {"input": 5}, {"input": []}, {"input": {}}, {"input": {"a": "", "b": ""}}]
STRANGE += [
    {"input": text} for text in ("", "ü", "====", "AAAA", "\0", "file:///etc/passwd", "data:audio/wav;base64,AAAA")
]
STRANGE += [{"input": encoded(sound()), "parameters": each} for each in (5, "x", [1], {"strength": "x"})]
STRANGE += [
    {"input": encoded(sound()), "parameters": {"passes": 10**9}},
    b"[" * 100_000,
    b'{"input":' * 100_000,
    b"\xff",
]


@pytest.mark.parametrize("body", STRANGE, ids=range(len(STRANGE)))
def test_what_is_no_request_is_refused_without_code_of_ours(address: str, body: Any) -> None:
    status, found = asked(address, body)
    assert 400 <= status < 500, found
    assert "Traceback" not in str(found) and "\n" not in str(found["detail"])


def test_a_request_without_an_end_is_refused(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    piece = b"10000\r\n" + bytes(65536) + b"\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"POST /call HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(16 * ours.MEGABYTES + 64):
                connection.sendall(piece)
        assert b" 413 " in connection.recv(100)


def test_days_of_silence_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "MOST_SAMPLES", 1 << 20)
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1 << 21, np.int16), 16000, format="FLAC")
    assert len(file.getvalue()) < 1 << 16
    with pytest.raises(ValueError, match="more than 1048576 samples"):
        ours.sound_in({"input": encoded(file.getvalue())})


PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
]
PRIVATE += [
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1%1",
    "fc00::1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    with pytest.raises(ValueError, match="not public"):
        refuse_private([address])


def test_addresses_that_are() -> None:
    refuse_private(["8.8.8.8", "2606:4700:4700::1111"])


def test_names_and_redirects_that_lead_inside_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what they lead to, and again by what was reached: a name may have another address a moment later."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80))]
    inside = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: socket.socket())
    monkeypatch.setattr(socket.socket, "getpeername", lambda *_: ("10.0.0.1", 80))
    monkeypatch.setattr(socket.socket, "setsockopt", lambda *_: None)
    with pytest.raises(AudioError, match="not public"):
        fetch("http://rebound.example/x.wav", public=True)
    inside.server_close()


def test_no_proxy_is_asked_for_what_strangers_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with closed_network() as tried, pytest.raises(AudioError, match="cannot be read"):
        fetch("http://somewhere.example/x.wav", public=True)
    assert "127.0.0.1" not in str(tried)
