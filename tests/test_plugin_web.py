"""Sound from the web: within a time, within a size, and a plain sentence where it cannot be had."""

from __future__ import annotations

import gzip
import io
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("modelscope")

from frcrn.audio import AudioError
from frcrn.plugin.sources import name_of, open_clip
from frcrn.plugin.web import fetch, is_url, name_in
from tests.made_audio import speech
from tests.plugin_parts import closed_network


def sound() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, speech(0.2, seed=1), 16000, format="WAV", subtype="PCM_16")
    return file.getvalue()


class Answers(BaseHTTPRequestHandler):
    """A server with every fault that a download may meet."""

    stop = threading.Event()

    def do_GET(self) -> None:
        getattr(self, self.path.split("?")[0].strip("/").partition(".")[0], self.missing)()

    def head(self, length: int | None) -> None:
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def sound(self) -> None:
        self.head(len(sound()))
        self.wfile.write(sound())

    def unsized(self) -> None:
        self.head(None)
        self.wfile.write(sound())

    def moved(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/sound.wav")
        self.end_headers()

    def leaving(self) -> None:
        self.send_response(302)
        self.send_header("Location", "file:///etc/hostname")
        self.end_headers()

    def elsewhere(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.path.partition("?")[2])
        self.end_headers()

    def chatty(self) -> None:
        self.wfile.write(b"HTTP/1.1 404 no\x1b[2J\x07" + 60000 * b"x" + b"\r\n\r\n")

    def babbling(self) -> None:
        self.wfile.write(b"\x1b[2J" + 60000 * b"x" + b"\r\n\r\n")

    def continuing(self) -> None:
        with suppress(OSError):
            while not self.stop.is_set():
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def chunked(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n")

    def packed(self) -> None:
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(gzip.compress(bytes(1 << 24)))

    def broken(self) -> None:
        self.head(len(sound()) + 100)
        self.wfile.write(sound())

    def dripping(self) -> None:
        self.head(1000)
        while not self.stop.wait(0.05):
            try:
                self.wfile.write(b"x")
            except OSError:
                return

    def silent(self) -> None:
        self.stop.wait(20)

    def large(self) -> None:
        self.head(3 * 2**20)

    def endless(self) -> None:
        self.head(None)
        try:
            while not self.stop.is_set():
                self.wfile.write(bytes(2**16))
        except OSError:
            return

    def missing(self) -> None:
        self.send_error(404, "Not here")

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    answers = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=answers.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{answers.server_port}"
    Answers.stop.set()
    answers.shutdown()
    answers.server_close()


@pytest.mark.parametrize("page", ["sound.wav", "unsized.wav", "moved.wav", "sound.wav?token=a%2Fb"])
def test_what_is_there_is_read(server: str, page: str) -> None:
    clip, local = open_clip(f"{server}/{page}", 16000), open_clip(sound(), 16000)
    assert clip.rate == local.rate == 16000
    assert np.array_equal(clip.samples, local.samples)


@pytest.mark.parametrize(
    ("page", "limits", "message"),
    [
        ("nothing.wav", {}, "the server answered 404 Not here"),
        ("broken.wav", {}, "the connection broke after"),
        ("large.wav", {"megabytes": 2}, "larger than 2 MB"),
        ("endless.wav", {"megabytes": 2}, "larger than 2 MB"),
        ("dripping.wav", {"seconds": 0.3}, "takes too long"),
        ("silent.wav", {"seconds": 0.3}, "takes too long"),
        ("leaving.wav", {}, "the server answered 302"),
        ("elsewhere.wav?data:audio/wav;base64,UklGRg==", {}, "the server answered 302"),
        ("elsewhere.wav?/elsewhere.wav", {}, "the server answered 302"),
        ("chatty.wav", {}, "the server answered 404 no.2Jx{90,100}$"),
        ("babbling.wav", {}, "not an address or an answer of HTTP"),
        ("continuing.wav", {"seconds": 0.5}, "takes too long"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(server: str, page: str, limits: dict[str, float], message: str) -> None:
    with pytest.raises(AudioError, match=f"{re.escape(f'{server}/{page}')}: cannot be read: .*{message}") as error:
        fetch(f"{server}/{page}", **limits)
    assert str(error.value).isprintable() and len(str(error.value)) < 400


@pytest.mark.parametrize("scheme", ["ftp", "FTP"])
def test_no_redirect_leads_to_another_protocol(server: str, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        with pytest.raises(AudioError, match="unknown url type: ftp"):
            fetch(f"{server}/elsewhere.wav?{scheme}://127.0.0.1:{other.getsockname()[1]}/x.wav")
        with pytest.raises(TimeoutError):
            other.accept()


@pytest.mark.parametrize("page", ["packed.wav", "chunked.wav"])
def test_what_a_server_packs_strangely_stays_small(server: str, page: str) -> None:
    with pytest.raises(AudioError) as error:
        open_clip(f"{server}/{page}", 16000)
    assert str(error.value).isprintable() and f"{server}/{page}" in str(error.value)


def test_a_page_that_is_no_sound_is_named_by_its_address(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frcrn.plugin.sources.fetch", lambda url: b"<html>")
    with pytest.raises(AudioError, match=f"{server}/page.wav: found text"):
        open_clip(f"{server}/page.wav", 16000)


def test_offline_is_said_plainly() -> None:
    with closed_network() as tried, pytest.raises(AudioError, match="cannot be reached .*check the network, or give a"):
        fetch("https://somewhere.example/noisy.wav")
    assert tried


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/x.wav"
    with pytest.raises(AudioError, match="cannot be reached"):
        fetch(address)


def test_a_look_up_that_hangs_ends_with_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(60))
    try:
        with pytest.raises(AudioError, match="takes too long"):
            fetch("http://somewhere.example/x.wav", seconds=0.2)
    finally:
        done.set()


@pytest.mark.parametrize("address", ["http://", "http://[", "http://host:port/x", "http://a b/x", "http://\x00/"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with closed_network(), pytest.raises(AudioError, match="cannot be read"):
        fetch(address)


def test_addresses_and_paths_are_told_apart() -> None:
    assert is_url("HTTPS://host/x.wav")
    for path in ("a/b.wav", "C:/b.wav", "/a://b.wav", "x.wav", ""):
        assert not is_url(path)
    with pytest.raises(AudioError, match="kind s3"):
        is_url("s3://bucket/x.wav")


def test_a_name_from_an_address_cannot_leave_the_folder() -> None:
    assert name_in("https://host/deep/noisy%20one.wav?x=/y.wav#z") == "noisy one.wav"
    assert name_in("https://host/%2e%2e%2fpasswd") == "passwd"
    assert name_in("https://host/a%5C..%5Cb.wav") == "b.wav"
    assert [name_in(f"https://host{end}") for end in ("", "/", "/..", "/.", "/%2e%2e")] == [""] * 5
    assert name_of("https://host/a.wav") == "a.wav"


def test_a_name_that_a_server_chose_is_neither_hidden_nor_an_option_nor_several_lines() -> None:
    assert name_in("https://host/.bashrc.wav") == "bashrc.wav"
    assert name_in("https://host/-rf.wav") == "rf.wav"
    assert name_in("https://host/one%0Atwo%1b%5B2J%E2%80%AEx.wav") == "onetwo[2Jx.wav"
    assert name_in("https://host/...") == name_in("https://host/.-. ") == ""
    assert len(name_in(f"https://host/{'x' * 5000}.wav")) == 100


def test_no_thread_stays_behind_a_download_that_was_given_up() -> None:
    """The server takes the call and then says nothing, or one letter of a header now and then."""
    server = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        caller, _ = server.accept()
        with caller:
            while not stop.wait(0.1):
                caller.send(b"H")

    dripping = threading.Thread(target=drip, daemon=True)
    dripping.start()
    try:
        with pytest.raises(AudioError, match="takes too long"):
            fetch(f"http://127.0.0.1:{server.getsockname()[1]}/x.wav", seconds=0.5)
        for thread in threading.enumerate():
            if thread.name == "frcrn-download":
                thread.join(5)
        assert "frcrn-download" not in {thread.name for thread in threading.enumerate()}
    finally:
        stop.set()
        dripping.join(5)
        server.close()
