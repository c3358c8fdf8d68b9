"""A headless Chromium, led over its debugging pipe: open a page of a folder, run a script in it, look at it."""

from __future__ import annotations

import base64
import functools
import http.server
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
    "--autoplay-policy=no-user-gesture-required",
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, *words: object) -> None:
        pass


class Page:
    """One page in a browser of its own; what went wrong in it is in `problems`, what it asked for in `addresses`."""

    def __init__(self, orders: IO[bytes], answers: IO[bytes]) -> None:
        self._orders, self._answers, self._numbers = orders, answers, itertools.count(1)
        self._session: str | None = None
        self.problems: list[str] = []
        self.addresses: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give an order and wait for its answer."""
        number = next(self._numbers)
        order = {"id": number, "method": method, "params": parameters}
        self._orders.write(json.dumps(order | ({"sessionId": self._session} if self._session else {})).encode() + b"\0")
        self._orders.flush()
        while True:
            found = self._next()
            if found.get("id") == number:
                assert "error" not in found, found["error"]
                result: dict[str, Any] = found["result"]
                return result

    def _next(self) -> dict[str, Any]:
        content = bytearray()
        while (letter := self._answers.read(1)) != b"\0":
            assert letter, "the browser ended"
            content += letter
        found: dict[str, Any] = json.loads(content)
        self._note(found.get("method"), found.get("params", {}))
        return found

    def _note(self, event: str | None, about: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.addresses.append(about["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.problems.append(str(about["exceptionDetails"].get("exception", about)))
        elif event == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.problems.append(about["entry"]["text"])

    def go(self, address: str) -> None:
        """Open an address, and wait until it is there."""
        self.ask("Page.navigate", url=address)
        self.run(
            "await new Promise(good => document.readyState === 'complete' ? good() : addEventListener('load', good))"
        )

    def run(self, script: str) -> Any:
        """Run the body of an async function, as if somebody had clicked; return what it returns."""
        code = f"(async () => {{ {script} }})()"
        found = self.ask("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def choose(self, selector: str, *paths: Path) -> None:
        """Give files to an input, as somebody does in the dialogue of the browser."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def keep_downloads(self, folder: Path) -> None:
        """Save what is downloaded into a folder."""
        self.ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def press(self, key: str) -> None:
        """Press a key."""
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, **(text if kind == "keyDown" else {}))

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Move, press or release the mouse, or turn its wheel."""
        self.ask("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **more)

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Make the window as large as this."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.ask("Emulation.setDeviceMetricsOverride", **size)

    def picture(self, path: Path) -> None:
        """Save what can be seen."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; give the address."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


@contextmanager
def opened(folder: Path, page: str, flags: Sequence[str] = ()) -> Iterator[Page]:
    """Open a page of a folder."""
    with served(folder) as address, visited(address + page, flags) as found:
        yield found


@contextmanager
def visited(address: str, flags: Sequence[str] = ()) -> Iterator[Page]:
    """Open an address in a new browser."""
    (orders_in, orders), (answers, answers_out) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [str(CHROMIUM), *FLAGS, *flags, f"--user-data-dir={profile}"]
        command = ["bash", "-c", f'exec "$@" 3<&{orders_in} 4>&{answers_out}', "bash", *words]
        browser = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(orders_in, answers_out),
            env=os.environ | {"TMPDIR": profile},  # it leaves folders there when it is ended
        )
        os.close(orders_in), os.close(answers_out)
        try:
            with open(orders, "wb") as writing, open(answers, "rb") as reading:
                found = Page(writing, reading)
                found.go(address)
                yield found
        finally:
            browser.terminate()
            browser.wait()
