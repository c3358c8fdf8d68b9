"""A real S3 server on loopback for tests."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NEEDS = ("moto", "flask", "flask_cors", "s3fs")


@contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """Give the URL of an empty bucket; skip the test where a package is missing."""
    for name in NEEDS:
        pytest.importorskip(name, reason=f"needs {name}: pip install s3fs 'moto[s3]' flask flask-cors")
    from frcrn.scale.places import Place

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as change:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            change.setenv(name, value)
        try:
            await_answer(port)
            Place(f"s3://{bucket}").system.mkdir(bucket)
            yield f"s3://{bucket}"
        finally:
            server.terminate()
            server.wait()


def await_answer(port: int, patience: float = 60) -> None:
    """Wait until somebody listens."""
    until = time.monotonic() + patience
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < until, "the S3 server does not answer"
        time.sleep(0.1)
