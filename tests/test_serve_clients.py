"""The clients in docs/service.md do what it says, against a real server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason='the service needs pip install "frcrn[serve]"')
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
pytest.importorskip("python_multipart")

from frcrn.serve.models import Models
from frcrn.serve.openapi import FACTS
from frcrn.serve.options import NAMES
from tests.docs_runner import blocks
from tests.made_audio import noise, speech
from tests.serving import Client, serving, wav

PAGE = "docs/service.md"
CODE = {block.language: block.code for block in blocks(PAGE)}
CLIP = np.rint((speech(1.0, 1) + noise(1.0, 2)) * 32767).astype("<i2")

PROGRAM = """
import { readFile, writeFile } from "node:fs/promises";
import { enhance, stream } from "./client.mjs";
const [server, folder] = process.argv.slice(2);
const clean = await enhance(server, await readFile(`${folder}/a.wav`), "a.wav", { strength: 0.8 });
await writeFile(`${folder}/js.wav`, new Uint8Array(clean));
const parts = [];
const { send, end } = stream(server, { rate: 16000, format: "s16le" }, (data) => parts.push(new Uint8Array(data)));
const samples = await readFile(`${folder}/a.s16le`);
for (let at = 0; at < samples.length; at += 1000) await send(samples.subarray(at, at + 1000));
await end();
await writeFile(`${folder}/js.s16le`, Buffer.concat(parts));
const failed = await enhance(server, "words", "a.txt").catch((error) => error.message);
if (!failed.includes("found text")) throw new Error(failed);
"""


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(Models(["default"])) as found:
        yield found


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    (tmp_path / "a.wav").write_bytes(wav(CLIP / 32768))
    (tmp_path / "a.s16le").write_bytes(CLIP.tobytes())
    return tmp_path


def streamed(client: Client) -> np.ndarray:
    """What the library makes of the same samples."""
    stream = client.service.models.get("default").stream(16000)
    return np.concatenate([stream.push(CLIP), stream.flush()])


def test_the_client_in_python(client: Client, sent: Path) -> None:
    page: dict[str, Any] = {}
    exec(compile(CODE["python"], PAGE, "exec"), page)
    server = f"127.0.0.1:{client.port}"
    content = (sent / "a.wav").read_bytes()
    assert page["enhance"](server, str(sent / "a.wav"), strength=0.8) == client.enhance(content, strength=0.8).body
    chunks = (CLIP[start : start + 1000].tobytes() for start in range(0, len(CLIP), 1000))
    out = b"".join(page["stream"](server, chunks, rate=16000, format="s16le"))
    np.testing.assert_allclose(np.frombuffer(out, "<i2"), streamed(client), atol=1)


def test_the_client_in_javascript(client: Client, sent: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    major = int(version.lstrip("v").split(".")[0])
    if major < 20:
        pytest.skip(f"node {version} has no WebSocket")
    (sent / "client.mjs").write_text(CODE["js"], encoding="utf-8")
    (sent / "program.mjs").write_text(PROGRAM, encoding="utf-8")
    flags = ["--experimental-websocket"] if major < 22 else []
    command = ["node", *flags, str(sent / "program.mjs"), f"127.0.0.1:{client.port}", str(sent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    content = (sent / "a.wav").read_bytes()
    assert (sent / "js.wav").read_bytes() == client.enhance(content, strength=0.8).body
    found = np.frombuffer((sent / "js.s16le").read_bytes(), "<i2")
    np.testing.assert_allclose(found, streamed(client), atol=1)


def test_the_page_names_every_option_address_and_status() -> None:
    from frcrn.serve.app import routes
    from frcrn.serve.openapi import ERRORS

    text = (Path(__file__).parent.parent / PAGE).read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in NAMES)
    assert all(str(status) in text for status in ERRORS)
    assert all(key.replace("_", "-").title().rpartition("-")[0] in text for key in FACTS)
    addresses = [
        route.path.replace("{id}", "ID") for route in routes() if not route.path.startswith(("/static", "/v1/jobs"))
    ]
    assert all(path in text for path in addresses)
    lines = [len(CODE[language].splitlines()) for language in ("python", "js")]
    assert max(lines) <= 22
