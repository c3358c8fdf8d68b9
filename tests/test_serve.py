"""The service over HTTP: its answers are those of the command line, and it refuses, frees and forgets as it should."""

from __future__ import annotations

import base64
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette", reason='the service needs pip install "frcrn[serve]"')
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
pytest.importorskip("python_multipart")

from frcrn.audio.reading import BLOCK
from frcrn.cli import main
from frcrn.config import FOR_RECORDINGS, FOR_STREAMS
from frcrn.serve import files
from frcrn.serve.models import Models
from frcrn.serve.options import NAMES
from tests.made_audio import noise, speech
from tests.serving import Client, multipart, serving, until, wav

MODELS = Models([FOR_RECORDINGS, FOR_STREAMS])
CLIP = speech(1.2, 1) + noise(1.2, 2)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(MODELS, workers=2) as found:
        yield found


def by_command(tmp_path: Path, content: bytes, name: str, target: str, *options: str) -> np.ndarray:
    """What the command line writes, as it is read."""
    source, clean = tmp_path / name, tmp_path / f"by-command-{target}"
    source.write_bytes(content)
    assert main(["enhance", str(source), "-o", str(clean), "-q", *options]) == 0
    return soundfile.read(clean, dtype="float64", always_2d=True)[0]


def samples(body: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(body), dtype="float64", always_2d=True)[0]


CASES = [
    ("wav", {}, {}, []),
    ("flac", {"strength": 0.5, "band": "speech"}, {"rate": 44100}, ["--strength", "0.5", "--band", "speech"]),
    ("wav", {"max-attenuation-db": 6, "mono": "true"}, {"subtype": "FLOAT"}, ["--max-attenuation-db", "6", "--mono"]),
    ("wav", {"residual": "true"}, {"subtype": "PCM_24", "rate": 48000}, ["--residual"]),
]


@pytest.mark.parametrize(("suffix", "asked", "kept", "options"), CASES)
def test_the_answer_is_that_of_the_command_line(
    client: Client, tmp_path: Path, suffix: str, asked: dict, kept: dict, options: list[str]
) -> None:
    content = wav(np.stack([CLIP, 0.5 * np.roll(CLIP, 99)]), form=suffix.upper(), **kept)
    answer = client.enhance(content, name=f"talk.{suffix}", **asked)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == f"audio/{suffix}"
    assert f'filename="talk.clean.{suffix}"' in answer.headers["content-disposition"]
    expected = by_command(tmp_path, content, f"talk.{suffix}", f"clean.{suffix}", *options)
    np.testing.assert_array_equal(samples(answer.body), expected)
    assert float(answer.headers["x-frcrn-seconds"]) == pytest.approx(len(expected) / kept.get("rate", 16000), abs=1e-5)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_a_long_answer_is_sent_while_it_is_made_and_is_the_same(
    client: Client, monkeypatch: pytest.MonkeyPatch, subtype: str
) -> None:
    content = wav(CLIP[:9999], subtype=subtype)
    whole = client.enhance(content, name="a.wav")
    monkeypatch.setattr(files, "LONG", 0.0)
    grown = client.enhance(content, name="a.wav")
    assert "x-frcrn-out-dbfs" in whole.headers and "x-frcrn-out-dbfs" not in grown.headers
    assert int(grown.headers["content-length"]) == len(grown.body)
    np.testing.assert_array_equal(samples(grown.body), samples(whole.body))


def test_levels_are_those_of_the_samples(client: Client) -> None:
    answer = client.enhance(wav(CLIP, subtype="FLOAT"), name="a.wav")
    clean = samples(answer.body)[:, 0]
    found = [float(answer.headers[f"x-frcrn-{key}-dbfs"]) for key in ("in", "out", "removed")]
    expected = [10 * np.log10(np.mean(np.square(wave))) for wave in (CLIP, clean, CLIP - clean)]
    assert found == pytest.approx(expected, abs=0.011)
    assert float(answer.headers["x-frcrn-removed-db"]) == pytest.approx(found[0] - found[1], abs=0.011)


def test_a_form_and_a_raw_body_say_the_same(client: Client) -> None:
    content = wav(CLIP)
    body, headers = multipart(content, "träum 1.wav", strength="0.7", normalise="")
    answer = client.ask("POST", "/v1/enhance", body, headers)
    assert answer.status == 200, answer.body
    assert "filename*=UTF-8''tr%C3%A4um%201.clean.wav" in answer.headers["content-disposition"]
    assert answer.body == client.enhance(content, name="x.wav", strength=0.7).body


def test_samples_without_a_header_in_and_out(client: Client) -> None:
    whole = np.rint(CLIP * 32767).astype("<i2")
    answer = client.enhance(whole.tobytes(), encoding="s16le", rate=16000, format="s16le")
    expected = samples(client.enhance(wav(whole / 32768), name="a.wav").body)[:, 0]
    np.testing.assert_array_equal(np.frombuffer(answer.body, "<i2") / 32768, expected)


REFUSED = [
    ({"body": b"these are words, and no sound\n" * 40, "name": "words.wav"}, 415, "words.wav: found text"),
    ({"body": b""}, 400, "empty"),
    ({"strength": 2}, 400, "strength"),
    ({"strength": "much"}, 400, "strength"),
    ({"band": "wide"}, 400, "band"),
    ({"strenght": 1}, 400, "strenght"),
    ({"model": "other"}, 404, "other"),
    ({"format": "exe"}, 415, "exe"),
    ({"normalise": 3}, 400, "normalise"),
    ({"encoding": "s16le"}, 400, "rate"),
    ({"body": wav(CLIP)[:-999], "name": "cut.wav"}, 415, "cut.wav: truncated"),
    ({"body": wav(np.full(99, np.nan), subtype="FLOAT"), "name": "nan.wav"}, 415, "nan.wav: sample 0"),
]


@pytest.mark.parametrize(("asked", "status", "named"), REFUSED)
def test_what_is_wrong_is_refused_in_one_sentence(client: Client, asked: dict, status: int, named: str) -> None:
    answer = client.enhance(**{"body": wav(CLIP[:999]), **asked})
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    assert named in answer.json["error"] and "\n" not in answer.json["error"]
    assert str(client.service.folder) not in answer.json["error"]
    until(lambda: not list(client.service.folder.iterdir()))


def test_a_name_leads_nowhere_else(client: Client) -> None:
    answer = client.enhance(wav(CLIP[:999]), name='../../etc/"x\r\ny".wav')
    assert answer.status == 200
    assert answer.headers["content-disposition"].startswith('attachment; filename="xy.clean.wav"')


def test_models_sample_health_and_what_is_not_there(client: Client) -> None:
    about = client.get("/v1/models").json
    assert about["models"][0]["name"] == FOR_RECORDINGS and about["models"][0]["default"]
    assert {"megabytes", "minutes", "queue"} <= about["limits"].keys()
    assert {"wav", "flac", "mp3"} <= set(about["formats"])
    assert len(samples(client.get("/v1/sample").body)) > 16000
    assert client.get("/health").json["status"] == "ok"
    assert client.get("/nothing").status == 404 and client.get("/nothing").json["error"]
    assert client.get("/v1/enhance").status == 405


@pytest.mark.parametrize("path", ["../__init__.py", "%2e%2e/__init__.py", "..%2fapp.py", "/etc/passwd", "nothing.js"])
def test_nothing_but_the_page_can_be_had(client: Client, path: str) -> None:
    assert client.get(f"/static/{path}").status == 404


def test_the_page_may_load_nothing_from_elsewhere(client: Client) -> None:
    answer = client.get("/")
    if answer.status == 404:
        assert "no page" in answer.json["error"]
        return
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_too_large_and_too_long_are_refused_while_they_come() -> None:
    with serving(MODELS, megabytes=0.05, minutes=0.01) as client:
        answer = client.enhance(iter([bytes(9999)] * 30))  # in pieces, so that no header announces the size
        assert answer.status == 413 and "0.05 MB" in answer.json["error"]
        assert client.enhance(bytes(99999)).status == 413
        flac = wav(np.zeros(160000), form="FLAC")  # small in bytes, long in time
        assert len(flac) < 50000
        answer = client.enhance(flac, name="long.flac")
        assert answer.status == 413 and "minutes" in answer.json["error"]
        job = client.ended(client.begin(flac))
        assert (job["state"], "minutes" in job["error"]) == ("failed", True)
        assert client.get("/health").json["waiting"] == 0


def test_who_sends_much_too_much_gets_to_the_answer() -> None:
    """Sixteen times what is accepted, in one piece: a connection closed meanwhile would lose the sentence."""
    with serving(MODELS, megabytes=1) as client:
        assert client.enhance(bytes(16 << 20)).status == 413
        with held_up(client, length=1 << 40, freed=True) as connection:
            assert connection.recv(12) == b"HTTP/1.1 413"


def test_one_too_many_is_told_when_to_come_again() -> None:
    with serving(MODELS, workers=1, queue=0) as client:
        with held_up(client):
            answer = client.enhance(wav(CLIP))
            assert answer.status == 503 and int(answer.headers["retry-after"]) >= 1
        until(lambda: client.service.pool.waiting == 0)
        assert client.enhance(wav(CLIP)).status == 200


class held_up:  # noqa: N801 - reads as what it is
    """A client that sends half of a file, waits, and leaves."""

    def __init__(self, client: Client, length: int = 99999, freed: bool = False) -> None:
        self._client, self._length, self._freed = client, length, freed

    def __enter__(self) -> socket.socket:
        self._socket = socket.create_connection(("127.0.0.1", self._client.port))
        head = f"POST /v1/enhance HTTP/1.1\r\nHost: localhost\r\nContent-Length: {self._length}\r\n\r\nRIFF"
        self._socket.sendall(head.encode())
        if not self._freed:
            until(lambda: self._client.service.pool.waiting)
        return self._socket

    def __exit__(self, *error: object) -> None:
        self._socket.close()


def test_a_client_that_leaves_while_it_is_served_frees_its_place() -> None:
    with serving(MODELS, workers=1, queue=0) as client:
        content = wav(np.tile(CLIP, 150))
        connection = socket.create_connection(("127.0.0.1", client.port))
        head = f"POST /v1/enhance?format=flac HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        until(lambda: client.service.pool.active)
        connection.close()
        until(lambda: not client.service.pool.active)
        until(lambda: not list(client.service.folder.iterdir()))
        assert client.enhance(wav(CLIP)).status == 200


def test_who_reads_slowly_keeps_no_worker_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LONG", 0.0)
    with serving(MODELS, workers=1, queue=1) as client:
        content = wav(np.tile(CLIP, 20), 48000, "FLOAT")  # more than lies between two sockets
        with socket.create_connection(("127.0.0.1", client.port)) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            head = f"POST /v1/enhance HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
            slow.sendall(head.encode() + content)
            assert slow.recv(12) == b"HTTP/1.1 200"
            assert client.enhance(wav(CLIP)).status == 200  # by the only worker
        until(lambda: not list(client.service.folder.iterdir()))


def test_a_file_of_many_blocks_is_read_where_each_reader_is(client: Client, tmp_path: Path) -> None:
    """What went in is read beside the network, to compare; neither may move the other's place in the file."""
    content = wav(np.stack([np.tile(CLIP, 16), np.tile(CLIP[::-1], 16)]), 48000)
    assert len(samples(content)) > 4 * BLOCK
    expected = by_command(tmp_path, content, "a.wav", "clean.wav")
    np.testing.assert_array_equal(samples(client.enhance(content, name="a.wav").body), expected)
    id = client.begin(content, name="a.wav")
    job = client.ended(id)
    assert job["error"] is None
    after, removed = (samples(client.get(f"/v1/jobs/{id}/audio", part=part).body) for part in ("after", "removed"))
    np.testing.assert_array_equal(after, expected)
    assert np.abs(samples(content) - after - removed).max() <= 1 / 32768
    levels = [10 * np.log10(np.square(each).mean()) for each in (samples(content), after)]
    assert [job["levels"]["in_dbfs"], job["levels"]["out_dbfs"]] == pytest.approx(levels, abs=0.02)
    assert client.ask("DELETE", f"/v1/jobs/{id}").status == 204


def test_a_job_tells_how_far_it_is_and_gives_its_parts(client: Client, tmp_path: Path) -> None:
    content = wav(CLIP, 22050)
    id = client.begin(content, name="a.wav")
    job = client.ended(id)
    assert (job["state"], job["progress"], job["error"]) == ("done", 1.0, None)
    after = client.get(f"/v1/jobs/{id}/audio", part="after")
    np.testing.assert_array_equal(samples(after.body), by_command(tmp_path, content, "a.wav", "clean.wav"))
    before, removed = (client.get(f"/v1/jobs/{id}/audio", part=part, format="wav") for part in ("before", "removed"))
    np.testing.assert_array_equal(samples(before.body), samples(content))
    difference = samples(before.body) - samples(after.body) - samples(removed.body)
    assert np.abs(difference).max() <= 1 / 32768
    assert client.get(f"/v1/jobs/{id}/audio", format="flac").headers["content-type"] == "audio/flac"
    assert client.get(f"/v1/jobs/{id}/audio", part="all").status == 400
    assert client.ask("DELETE", f"/v1/jobs/{id}").status == 204
    assert client.get(f"/v1/jobs/{id}").status == 404
    until(lambda: not any(client.service.folder.iterdir()))


def test_a_job_can_be_cancelled_and_one_that_fails_says_why() -> None:
    with serving(MODELS, workers=1, queue=2) as client:
        long = client.begin(wav(np.tile(CLIP, 150)))
        until(lambda: client.get(f"/v1/jobs/{long}").json, lambda job: job["state"] == "running")
        waiting = client.begin(wav(CLIP))
        assert client.get(f"/v1/jobs/{waiting}").json["state"] == "queued"
        assert client.get(f"/v1/jobs/{waiting}/audio").status == 409
        for id in (waiting, long):
            assert client.ask("DELETE", f"/v1/jobs/{id}").status == 204
            assert client.get(f"/v1/jobs/{id}").json["state"] == "cancelled"
        until(lambda: client.service.pool.active + client.service.pool.waiting == 0)
        until(lambda: not list(client.service.folder.iterdir()))
        failed = client.ended(client.begin(b"no sound at all", name="n.wav"))
        assert failed["state"] == "failed" and failed["error"].startswith("n.wav: found text")


def test_results_are_kept_for_a_while_only() -> None:
    with serving(MODELS, results=2) as client:
        ids = [client.ended(client.begin(wav(CLIP[:999])))["id"] for _ in range(3)]
        assert [client.get(f"/v1/jobs/{id}").status for id in ids] == [404, 200, 200]
    with serving(MODELS, kept_minutes=0.001) as client:
        id = client.begin(wav(CLIP[:999]))
        client.ended(id)
        time.sleep(0.1)
        client.begin(wav(CLIP[:999]))
        assert client.get(f"/v1/jobs/{id}").status == 404


def test_a_password_is_asked_for_and_not_guessed() -> None:
    with serving(MODELS, "anna:ö") as client:
        assert client.get("/health").status == 200
        refused = client.get("/v1/models")
        assert refused.status == 401 and refused.headers["www-authenticate"].startswith("Basic")
        right, wrong = (
            {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()} for text in ("anna:ö", "anna:o")
        )
        assert client.ask("GET", "/v1/models", headers=right).status == 200
        assert [client.ask("GET", "/", headers=wrong).status for _ in range(11)] == [401] * 10 + [429]
        assert client.ask("GET", "/", headers=right).status == 429


@pytest.mark.parametrize("headers", [{"Host": "elsewhere.org"}, {"Origin": "http://elsewhere.org"}])
def test_a_page_from_elsewhere_cannot_use_it(client: Client, headers: dict[str, str]) -> None:
    assert client.ask("GET", "/v1/models", headers=headers).status == 403


def test_many_at_once_get_their_own_answers(client: Client) -> None:
    clips = [wav(np.roll(CLIP, 997 * number)[: 8000 + 500 * number]) for number in range(6)]
    alone = [client.enhance(clip, name="a.wav").body for clip in clips]
    together: list[bytes] = [b""] * len(clips)

    def ask(number: int) -> None:
        together[number] = client.enhance(clips[number], name="a.wav").body

    threads = [threading.Thread(target=ask, args=[number]) for number in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_the_description_names_every_address_and_option(client: Client) -> None:
    from frcrn.serve.app import routes

    found = client.get("/openapi.json").json
    assert set(found["paths"]) == {route.path.replace(":path", "") for route in routes()}
    for path in ("/v1/enhance", "/v1/jobs"):
        post = found["paths"][path]["post"]
        assert [each["name"] for each in post["parameters"]] == list(NAMES)
        assert set(post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]) == {"file", *NAMES}
    for route in routes():
        for method in (getattr(route, "methods", None) or {"GET"}) - {"HEAD"}:
            assert method.lower() in found["paths"][route.path.replace(":path", "")]


def test_counts_are_what_was_asked() -> None:
    with serving(MODELS) as client:
        client.enhance(wav(CLIP))
        client.enhance(b"none")
        lines = client.get("/metrics").body.decode().splitlines()
    assert 'frcrn_requests_total{route="/v1/enhance",method="POST",status="200"} 1' in lines
    assert 'frcrn_requests_total{route="/v1/enhance",method="POST",status="415"} 1' in lines
    assert 'frcrn_audio_seconds_total{kind="file"} 1.200' in lines
    assert 'frcrn_request_seconds_bucket{route="/v1/enhance",le="+Inf"} 2' in lines
    assert "frcrn_active 0" in lines


def test_the_command_ends_cleanly_on_a_signal(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "frcrn", "serve", "--port", "0", "--workers", "1"]
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever started the tests may have had it ignored
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as server:
        signal.signal(signal.SIGINT, before)
        assert server.stdout is not None and server.stderr is not None
        port = int(server.stdout.readline().split(b"//127.0.0.1:")[1].split()[0])
        client = Client(port, None)  # type: ignore[arg-type]
        client.begin(wav(np.tile(CLIP, 150)))
        assert list(tmp_path.iterdir())
        server.send_signal(signal.SIGINT)
        assert server.wait(120) == 130
        assert server.stderr.read() == b"frcrn: interrupted\n"
    assert not list(tmp_path.iterdir())


STUCK = """
import time
from frcrn.cli import main
from frcrn.serve import run
from frcrn.serve.pool import StreamThreads
run.LONGEST_END = SECONDS
StreamThreads.close = lambda self: time.sleep(60)
main(["serve", "--port", "0", "--workers", "1"])
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(
    ("seconds", "signals", "code"),
    [
        (0.5, [signal.SIGTERM], 128 + signal.SIGTERM),
        (0.5, [signal.SIGHUP], 128 + signal.SIGHUP),
        (60, [signal.SIGINT, signal.SIGINT], 130),
    ],
)
def test_the_command_ends_although_its_work_does_not(
    tmp_path: Path, seconds: float, signals: list[int], code: int
) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", STUCK.replace("SECONDS", str(seconds))]
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as server:
        signal.signal(signal.SIGINT, before)
        try:
            assert server.stdout is not None and server.stderr is not None
            assert server.stdout.readline()
            for number in signals:
                server.send_signal(number)
                time.sleep(0.5)
            assert server.wait(20) == code
            assert not server.stderr.read()
        finally:
            server.kill()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--auth", "anna"], "USER:PASSWORD"), (["no-such-model"], "no-such-model"), (["--max-mb", "0"], "megabytes")],
)
def test_a_wrong_option_is_named(capsys: pytest.CaptureFixture[str], options: list[str], named: str) -> None:
    assert main(["serve", "--port", "0", *options]) == 2
    assert named in capsys.readouterr().err


def test_files_go_to_the_first_model_and_streams_to_the_one_that_answers_soonest() -> None:
    assert MODELS.names[0] == FOR_RECORDINGS and MODELS.for_streams == FOR_STREAMS
    assert Models([FOR_RECORDINGS]).for_streams == FOR_RECORDINGS
