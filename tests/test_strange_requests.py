"""Requests of strangers to the service: none gets in without the password, and none makes the server fail."""

from __future__ import annotations

import base64
import errno
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette", reason='the service needs pip install "frcrn[serve]"')
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
pytest.importorskip("python_multipart")

from frcrn.models.checkpoint import save
from frcrn.serve.models import Models
from tests.networks import tiny
from tests.serving import Client, multipart, serving, until, wav

LOGIN = "me:secret"
SOUND = wav(0.1 * np.ones(800))
CLOSED = ("/v1/models", "/metrics", "/openapi.json", "/", "/v1/jobs/x", "/static/wav.js", "/v1/sample")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose name no header of HTTP can hold as it is."""
    path = tmp_path_factory.mktemp("models") / "降噪 ü.safetensors"
    save(tiny(causal=True), path)
    return str(path)


@pytest.fixture(scope="module")
def client(model: str) -> Iterator[Client]:
    with serving(Models([model], runtime="torch")) as found:
        yield found


@pytest.fixture(scope="module")
def closed(model: str) -> Iterator[Client]:
    with serving(Models([model], runtime="torch"), login=LOGIN) as found:
        yield found


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("host", ["localhost/health?", "localhost/health#", "localhost:1/health?", "localhost"])
def test_no_name_of_the_server_opens_what_needs_a_password(closed: Client, path: str, host: str) -> None:
    assert closed.get("/health").status == 200
    assert closed.ask("GET", path, headers={"Host": host}).status in (401, 403)


@pytest.mark.parametrize("path", ["//health/../v1/models", "/health/../v1/models", "/v1/models?/health", "/HEALTH"])
def test_no_address_does(closed: Client, path: str) -> None:
    assert closed.ask("GET", path).status == 401
    known = {"Authorization": "Basic " + base64.b64encode(LOGIN.encode()).decode()}
    assert closed.ask("GET", path, headers=known).status in (200, 404)


OWN = ["localhost", "LOCALHOST:1", "127.0.0.1", "192.168.7.8:9", "[::1]:8000", "[fe80::1]", socket.gethostname()]
OWN += [socket.getfqdn(), f"{socket.gethostname().partition('.')[0]}.local:80"]
FOREIGN = ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "evil.local"]
FOREIGN += ["[::1].evil.example", "evil@127.0.0.1.example", "localhost:1@evil.example", "0x7f.1.evil.example", "", "[]"]


@pytest.fixture(scope="module")
def open_to_all(model: str) -> Iterator[Client]:
    with serving(Models([model], runtime="torch"), host="0.0.0.0") as found:
        yield found


@pytest.mark.parametrize("host", OWN)
def test_a_server_open_to_all_goes_by_its_addresses_and_names(open_to_all: Client, host: str) -> None:
    assert open_to_all.ask("GET", "/v1/models", headers={"Host": host}).status == 200
    same = {"Host": host, "Origin": f"http://{host}"}
    assert open_to_all.ask("GET", "/v1/models", headers=same).status == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_no_page_gets_in_by_leading_its_own_name_here(open_to_all: Client, host: str) -> None:
    for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host}"}):
        answer = open_to_all.ask("POST", "/v1/enhance", SOUND, headers=headers)
        assert answer.status == 403 and "--allow-host" in answer.json["error"]


def test_no_stream_does_either(open_to_all: Client) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    address = f"ws://evil.example:{open_to_all.port}/v1/stream"
    with (
        socket.create_connection(("127.0.0.1", open_to_all.port)) as connection,
        pytest.raises(InvalidStatus, match="403"),
    ):
        connect(address, sock=connection, origin="http://evil.example", proxy=None)  # type: ignore[arg-type]


def test_names_that_were_allowed_are_all_there_are(model: str) -> None:
    with serving(Models([model], runtime="torch"), host="0.0.0.0", hosts=["Proxy.example"]) as found:
        wanted = {"proxy.example": 200, "localhost:7": 200, "evil.example": 403, "192.168.7.8": 403}
        for host, status in wanted.items():
            assert found.ask("GET", "/v1/models", headers={"Host": host}).status == status


def test_a_password_needs_no_names(model: str) -> None:
    known = {"Authorization": "Basic " + base64.b64encode(LOGIN.encode()).decode()}
    with serving(Models([model], runtime="torch"), login=LOGIN, host="0.0.0.0") as found:
        assert found.ask("GET", "/v1/models", headers={"Host": "any.example"}).status == 401
        assert found.ask("GET", "/v1/models", headers={"Host": "any.example"} | known).status == 200


STRANGE = ["[", "[::1", "http://[", "http://]/", "null", "", "a b", "\xff", "http://localhost:99999999", "x" * 5000]


@pytest.mark.parametrize("name", ["Host", "Origin", "Authorization", "Content-Type", "Content-Length", "Range"])
@pytest.mark.parametrize("value", STRANGE)
@pytest.mark.parametrize("which", ["client", "closed"])
def test_strange_headers_are_refused_or_ignored(
    name: str, value: str, which: str, request: pytest.FixtureRequest
) -> None:
    server: Client = request.getfixturevalue(which)
    for path, method, body in (("/v1/models", "GET", None), ("/v1/enhance", "POST", SOUND)):
        try:
            assert server.ask(method, path, body, headers={name: value}).status < 500
        except ConnectionError:  # a body whose length is none is not read, and may cross the answer
            assert name == "Content-Length"


def test_the_name_of_a_model_need_not_be_english(client: Client) -> None:
    answer = client.enhance(SOUND, name="ü.wav")
    assert answer.status == 200, answer.body
    assert answer.headers["x-frcrn-model"] == "%E9%99%8D%E5%99%AA %C3%BC"
    (found,) = client.get("/v1/models").json["models"]
    assert found["name"] == "降噪 ü" and client.enhance(SOUND, model=found["name"]).status == 200


OPENINGS = ["[" * 200_000, '{"a":' * 100_000, '{"rate": 1e999}', '{"rate": -1}', '{"rate": %s}' % ("9" * 4000)]
OPENINGS += [
    '{"strength": NaN}',
    '{"strength": 1e308}',
    '{"channels": 0}',
    '{"band": "\\ud800"}',
    '{"model": "\\u0000"}',
    "\0",
]


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_stream_that_begins_strangely_is_told_why(client: Client, opening: str) -> None:
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{client.port}/v1/stream", proxy=None) as socket:
        socket.send(opening)
        answer = json.loads(socket.recv())
    assert list(answer) == ["error"] and 0 < len(answer["error"]) < 300
    assert client.get("/health").json["streams"] == 0


SAMPLES = [np.nan, np.inf, -np.inf, 3e38, 1e-42]


@pytest.mark.parametrize("value", SAMPLES)
def test_samples_that_are_none_end_a_stream_or_nothing(client: Client, value: float) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    with connect(f"ws://127.0.0.1:{client.port}/v1/stream", proxy=None) as socket:
        socket.send(json.dumps({"format": "f32le"}))
        assert json.loads(socket.recv())["ready"]
        socket.send(np.full(4000, value, np.float32).tobytes())
        with suppress(ConnectionClosed):  # it may be refused by now
            socket.send(json.dumps({"end": True}))
        texts = []
        with suppress(ConnectionClosed):
            while True:
                texts += [found] if isinstance(found := socket.recv(), str) else []
    assert set(json.loads(texts[-1])) in ({"error"}, {"ended", "samples"})


@pytest.mark.parametrize("as_form", [False, True])
def test_a_full_disk_is_no_mistake_of_the_server(
    client: Client, as_form: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("frcrn.serve.uploads.finish", full)
    body, headers = multipart(SOUND, "a.wav") if as_form else (SOUND, {})
    for path in ("/v1/enhance", "/v1/jobs"):
        answer = client.ask("POST", path, body, headers)
        assert answer.status == 507 and "no room" in answer.json["error"]
    monkeypatch.undo()
    until(lambda: not any(client.service.folder.iterdir()))
    assert client.enhance(SOUND).status == 200


PLAYLISTS = {
    "concat": b"ffconcat version 1.0\nfile 'secret.ts'\n",
    "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nfile:secret.ts\n",
    "session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=No\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
@pytest.mark.parametrize("options", [{}, {"track": 1}])
def test_no_upload_leads_to_other_files(
    client: Client, name: str, options: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av")
    from tests.strange_media import made

    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.ts").write_bytes(made(".ts"))
    answer = client.enhance(PLAYLISTS[name], name="a.wav", **options)
    assert answer.status == 415 and "text" in answer.json["error"], answer
