"""A server of the tests' own, in a thread, and small clients for it."""

from __future__ import annotations

import http.client
import io
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
import soundfile

from frcrn.serve.limits import Limits
from frcrn.serve.models import Models
from frcrn.serve.run import listen, prepared
from frcrn.serve.service import Service


class Answer(NamedTuple):
    """A status, headers in small letters, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, where it is JSON."""
        return json.loads(self.body)


class Client(NamedTuple):
    """Asks a server on this machine."""

    port: int
    service: Service

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **options: object
    ) -> Answer:
        """Return what is answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, f"{path}?{urlencode(options)}" if options else path, body, dict(headers or {}))
            answer = connection.getresponse()
            found = {key.lower(): value for key, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **options: object) -> Answer:
        """Ask for something."""
        return self.ask("GET", path, **options)

    def enhance(self, body: Any, **options: object) -> Answer:
        """Send a file, raw."""
        return self.ask("POST", "/v1/enhance", body, **options)

    def begin(self, body: Any, **options: object) -> str:
        """Begin a job, and return its number."""
        answer = self.ask("POST", "/v1/jobs", body, **options)
        assert answer.status == 202, answer.body
        return str(answer.json["id"])

    def ended(self, id: str) -> dict[str, Any]:
        """Wait for a job."""
        return until(lambda: self.get(f"/v1/jobs/{id}").json, lambda job: job["state"] not in ("queued", "running"))


def until(ask: Callable[[], Any], good: Callable[[Any], bool] = bool, seconds: float = 120.0) -> Any:
    """Ask again and again until the answer is good."""
    end = time.monotonic() + seconds
    while not good(found := ask()):
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return found


@contextmanager
def serving(
    models: Models, login: str | None = None, host: str = "127.0.0.1", hosts: Iterable[str] = (), **limits: Any
) -> Iterator[Client]:
    """Serve on a free port for a while."""
    service = Service(models, Limits(**limits))
    listening = listen(host, 0)
    server = prepared(service, listening, login, hosts)
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]), daemon=True)
    thread.start()
    try:
        until(lambda: server.started)
        yield Client(listening.getsockname()[1], service)
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()
        assert not service.folder.exists()


def wav(wave: np.ndarray, rate: int = 16000, subtype: str = "PCM_16", form: str = "WAV") -> bytes:
    """[T] or [C, T] as the bytes of a file."""
    file = io.BytesIO()
    soundfile.write(file, np.atleast_2d(wave).T, rate, subtype, format=form)
    return file.getvalue()


def multipart(file: bytes, name: str, **fields: str) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a form."""
    mark = "a-mark-between-parts"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{text}\r\n' for key, text in fields.items()
    ]
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = "".join([*parts, head]).encode() + file + f"\r\n--{mark}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={mark}"}
