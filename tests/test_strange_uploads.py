"""Strange sound that is sent to the service is answered right or by one sentence, and nothing of it is kept."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason='the service needs pip install "frcrn[serve]"')
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
pytest.importorskip("python_multipart")

from frcrn import audio
from frcrn.audio import Audio
from frcrn.models.checkpoint import save
from frcrn.serve.models import Models
from tests.networks import tiny
from tests.serving import Answer, Client, multipart, serving, until
from tests.strange_audio import Bytes
from tests.test_strange_audio import LONGER, NAMES, all_of, every, same

MODEL = "tiny"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    path = tmp_path_factory.mktemp("models") / f"{MODEL}.safetensors"
    save(tiny(causal=True), path)
    with serving(Models([str(path)], runtime="torch"), megabytes=1, minutes=1) as found:
        yield found


def sentence(answer: Answer) -> str:
    """Return why an upload was refused; a mistake of the server fails."""
    assert 400 <= answer.status < 500 or answer.status == 501, (answer.status, answer.body[:300])
    assert list(answer.json) == ["error"]
    return str(answer.json["error"])


def sent(client: Client, path: Path, as_form: bool) -> Answer:
    if not as_form:
        return client.enhance(path.read_bytes(), name=path.name, strength=0)
    body, headers = multipart(path.read_bytes(), path.name, strength="0")
    return client.ask("POST", "/v1/enhance", body, headers)


def through(client: Client, files: dict[str, Bytes], folder: Path) -> dict[str, int]:
    """Send files, every other one as a form; count those that were answered right and those that were refused."""
    names = list(files)

    def as_upload(path: Path, sound: Audio | None) -> None:
        answer = sent(client, path, as_form=names.index(path.name) % 2 == 1)
        if answer.status != 200:
            raise ValueError(sentence(answer))
        file = io.BytesIO(answer.body)
        file.name = f"clean{path.suffix}"
        clean = audio.read(file)
        assert sound is not None and clean.rate == sound.rate
        if clean.format in LONGER:
            clean = clean._replace(samples=clean.samples[:, :-1])
        same(clean.samples, sound, clean.format.subtype)

    counts = all_of(files, folder, {"service": as_upload})
    until(lambda: not any(client.service.folder.iterdir()))
    assert client.get("/health").json["active"] == 0
    return counts


def test_a_sample_of_strange_files(client: Client, tmp_path: Path) -> None:
    counts = through(client, every(len(NAMES) // 60, 7), tmp_path)
    assert counts["right"] > 10 and counts["refused"] > 10


@pytest.mark.slow
def test_hundreds_of_strange_files(client: Client, tmp_path: Path) -> None:
    counts = through(client, files := every(13, 5), tmp_path)
    print(len(files), "files:", counts)
