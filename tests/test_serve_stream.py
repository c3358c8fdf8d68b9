"""The service's WebSocket: what comes out is what `model.stream` gives, whatever else the server does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from socket import SHUT_RDWR
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason='the service needs pip install "frcrn[serve]"')
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")
pytest.importorskip("websockets")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync import client as sync

from frcrn.inference.opening import open_network
from frcrn.inference.streaming import Stream
from frcrn.serve.models import Models
from frcrn.serve.streams import Live, Opening
from tests.made_audio import noise, speech
from tests.serving import Client, serving, until, wav

MODELS = Models(["default"])
NETWORK = open_network("default")
CLIP = speech(1.0, 1) + noise(1.0, 2)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(MODELS, workers=2) as found:
        yield found


def opened(client: Client, **first: object) -> Any:
    """Open a stream; its first message is sent."""
    socket = sync.connect(f"ws://127.0.0.1:{client.port}/v1/stream", open_timeout=60, close_timeout=60, proxy=None)
    socket.send(json.dumps(first))
    return socket


def streamed(client: Client, data: bytes, sizes: list[int], **first: object) -> tuple[bytes, list[dict[str, Any]]]:
    """Send bytes in messages of these sizes in turn; return the bytes and the messages that come."""
    with opened(client, **first) as socket:
        out: list[bytes] = []
        told: list[dict[str, Any]] = []

        def take() -> None:
            for message in socket:
                if isinstance(message, bytes):
                    out.append(message)
                else:
                    told.append(json.loads(message))

        thread = threading.Thread(target=take)
        thread.start()
        start, turn = 0, 0
        while start < len(data):
            socket.send(data[start : start + sizes[turn % len(sizes)]])
            start, turn = start + sizes[turn % len(sizes)], turn + 1
        socket.send('{"end": true}')
        thread.join(120)
    return b"".join(out), told


def expected(wave: np.ndarray, rate: int = 16000, channels: int = 1, **options: Any) -> np.ndarray:
    """[T] or [C, T] through a stream of the library."""
    stream = NETWORK.stream(rate, channels, **options)
    return np.concatenate([stream.push(wave), stream.flush()], axis=-1)


@pytest.mark.parametrize("sizes", [[640], [1, 3, 4001], [100000]])
def test_a_stream_is_that_of_the_library_however_it_is_cut(client: Client, sizes: list[int]) -> None:
    data = CLIP.astype("<f4").tobytes()
    out, told = streamed(client, data, sizes, rate=16000, format="f32le")
    np.testing.assert_allclose(np.frombuffer(out, "<f4"), expected(CLIP), atol=1e-6)
    assert told[0]["ready"] and told[0]["latency_ms"] == pytest.approx(1000 * NETWORK.window / NETWORK.sample_rate)
    assert told[-1] == {"ended": True, "samples": len(CLIP)}


def test_the_latency_of_a_stream_is_that_of_its_model() -> None:
    service: Any = SimpleNamespace(models=Models(["default", "offline"]))
    told = {about["name"]: about["latency_ms"] for about in service.models.about}
    assert told == {"default": 40, "offline": 880}
    assert {name: Live(service, Opening(model=name)).latency_ms for name in told} == told


def test_two_channels_at_another_rate_in_16_bits(client: Client) -> None:
    whole = np.rint(np.stack([CLIP, np.roll(CLIP, 500)]) * 32767).astype("<i2")
    how = {"rate": 48000, "channels": 2, "strength": 0.6, "band": "speech"}
    out, _ = streamed(client, np.ascontiguousarray(whole.T).tobytes(), [3001], format="s16le", **how)
    clean = expected(whole.astype(np.float32) / 32768, **how)
    found = np.frombuffer(out, "<i2").reshape(-1, 2).T
    np.testing.assert_allclose(found, np.clip(np.rint(clean * 32768), -32768, 32767), atol=1)


def test_the_strength_may_change_while_it_runs(client: Client) -> None:
    with opened(client, rate=16000, format="f32le") as socket:
        assert json.loads(socket.recv())["ready"]
        socket.send(json.dumps({"strength": 0}))
        socket.send(CLIP.astype("<f4").tobytes())
        socket.send('{"end": true}')
        out = b"".join(message for message in socket if isinstance(message, bytes))
    np.testing.assert_allclose(np.frombuffer(out, "<f4")[8000:], CLIP[8000:], atol=1e-6)


REFUSED = [
    ('{"rate": "fast"}', "rate"),
    ('{"format": "mp3"}', "s16le"),
    ('{"channels": 99}', "channels"),
    ('{"strength": 2}', "strength"),
    ('{"band": "wide"}', "band"),
    ('{"model": "other"}', "default"),
    ('{"speed": 1}', "speed"),
    ('{"rate": 3}', "3"),
    ("hello", "JSON"),
    (b"\0\0", "JSON"),
]


@pytest.mark.parametrize(("first", "named"), REFUSED)
def test_a_wrong_first_message_is_answered_in_one_sentence(client: Client, first: str | bytes, named: str) -> None:
    with sync.connect(f"ws://127.0.0.1:{client.port}/v1/stream", proxy=None) as socket:
        socket.send(first)
        assert named in json.loads(socket.recv(60))["error"]
        with pytest.raises(ConnectionClosed):
            socket.recv(60)
    until(lambda: client.service.streams.active == 0)


def test_what_is_no_sound_ends_the_stream_with_a_sentence(client: Client) -> None:
    with opened(client, rate=16000, format="f32le") as socket:
        socket.recv(60)
        socket.send(np.full(640, np.nan, "<f4").tobytes())
        assert "nan" in json.loads(socket.recv(60))["error"]


def test_streams_are_limited_and_one_that_leaves_makes_room() -> None:
    with serving(MODELS, streams=1) as client:
        first = opened(client, rate=16000)
        assert json.loads(first.recv(60))["ready"]
        with opened(client) as second:
            assert "1 streams" in json.loads(second.recv(60))["error"]
        first.close()
        until(lambda: client.service.streams.active == 0)
        with opened(client) as third:
            assert json.loads(third.recv(60))["ready"]


def test_a_stream_of_which_nothing_comes_is_ended() -> None:
    with serving(MODELS, silent_seconds=0.2) as client, opened(client, rate=16000) as socket:
        socket.recv(60)
        assert "nothing came" in json.loads(socket.recv(60))["error"]


def test_who_takes_nothing_is_not_read_from_any_more(client: Client) -> None:
    """A client that sends and never reads: its own sending stops, and the server keeps no more than a few messages."""
    with opened(client, rate=16000, format="f32le") as socket:
        socket.recv(60)
        sent = 0

        def send() -> None:
            nonlocal sent
            message = bytes(1 << 18)
            try:
                while sent < 64 << 20:
                    socket.send(message)
                    sent += len(message)
            except (ConnectionClosed, OSError):
                return

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        before = -1
        while before != sent:
            before = sent
            thread.join(2.0)
        assert sent < 32 << 20
        socket.socket.shutdown(SHUT_RDWR)
        thread.join(60)


def test_a_stream_that_takes_long_to_open_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on = threading.Event()

    def slow(network: Any, rate: int, *options: Any) -> Stream:
        assert rate != 16001 or may_go_on.wait(60)
        return Stream(network, rate, *options)

    monkeypatch.setattr("frcrn.serve.streams.Stream", slow)
    with serving(Models(["default"]), workers=1) as client, opened(client, rate=16000) as first:
        assert json.loads(first.recv(60))["ready"]
        with opened(client, rate=16001) as second:
            first.send(bytes(6400))
            assert first.recv(20)
            may_go_on.set()
            assert json.loads(second.recv(60))["ready"]


def test_a_stream_that_opens_while_the_server_ends_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Stream:
        begun.set()
        assert may_go_on.wait(60)
        return Stream(*arguments)

    monkeypatch.setattr("frcrn.serve.streams.Stream", slow)
    monkeypatch.setattr("frcrn.serve.run.PATIENCE", 0)
    with serving(Models(["default"]), workers=1) as client:
        socket = opened(client, rate=16000)
        assert begun.wait(60)
        threading.Timer(1.0, may_go_on.set).start()
    socket.close()
    assert not [record for record in caplog.records if record.exc_info], caplog.text


def test_files_do_not_hold_up_a_stream() -> None:
    """With the only worker busy with a long file, a stream is answered."""
    with serving(MODELS, workers=1) as client:
        id = client.begin(wav(np.tile(CLIP, 200)))
        until(lambda: client.service.pool.active)
        out, _ = streamed(client, CLIP.astype("<f4").tobytes(), [4096], rate=16000, format="f32le")
        assert client.get(f"/v1/jobs/{id}").json["state"] == "running"
        np.testing.assert_allclose(np.frombuffer(out, "<f4"), expected(CLIP), atol=1e-6)
        client.ask("DELETE", f"/v1/jobs/{id}")


def test_many_streams_at_once_do_not_mix(client: Client) -> None:
    waves = [np.roll(CLIP, 997 * number) for number in range(6)]
    outs: list[bytes] = [b""] * len(waves)

    def run(number: int) -> None:
        data = waves[number].astype("<f4").tobytes()
        outs[number], _ = streamed(client, data, [2560], rate=16000, format="f32le")

    threads = [threading.Thread(target=run, args=[number]) for number in range(len(waves))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for wave, out in zip(waves, outs, strict=True):
        np.testing.assert_allclose(np.frombuffer(out, "<f4"), expected(wave), atol=1e-6)


def test_a_password_and_the_page_are_asked_for_here_too() -> None:
    with serving(MODELS, "anna:secret") as client:
        address = f"ws://127.0.0.1:{client.port}/v1/stream"
        with pytest.raises(InvalidStatus) as refused:
            sync.connect(address, proxy=None)
        assert refused.value.response.status_code == 401
        with pytest.raises(InvalidStatus) as refused:
            sync.connect(address, origin="http://elsewhere.org", proxy=None)
        assert refused.value.response.status_code == 403
        with sync.connect(f"ws://anna:secret@127.0.0.1:{client.port}/v1/stream", proxy=None) as socket:
            socket.send("{}")
            assert json.loads(socket.recv(60))["ready"]
