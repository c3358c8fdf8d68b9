"""What a destination holds and what it was made from, on a disk or in an object store, where nothing can be appended.

A line is written after its object and is what counts: an object without a line, or of another size, is made again.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from frcrn.inference.manifest import NAME, Manifest, Record, record_of
from frcrn.scale.places import Place
from frcrn.texts import from_json

PARTS = "frcrn-manifest"
"""The folder of the manifest's parts in an object store."""
EVERY, SECONDS = 1000, 30.0
"""A part is sent when it has so many lines, or its first one is so old."""


class Known(NamedTuple):
    """A record and the bytes of what it speaks of; None where only its hash is known."""

    record: Record
    size: int | None


class Records(Protocol):
    """Records by the name of the file below the destination; a context manager while it writes."""

    def known(self, name: str) -> Known | None:
        """Return what an earlier run noted about a file."""

    def plan(self, name: str, *, force: bool) -> bool:
        """Note a file that is to be made; say no where one is there that no run made, unless `force` replaces it."""

    def add(self, name: str, known: Known) -> None:
        """Note a file that is there."""

    def describe(self, settings: Mapping[str, Any], mark: str) -> None:
        """Note which model and options a hash of settings stands for."""

    def __enter__(self) -> Records: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def records_of(place: Place) -> Records:
    """Return the records of a destination: the file that folders have, or parts in an object store."""
    return OnDisk(Path(place.path)) if place.local else InStore(place)


class OnDisk:
    """The manifest of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._manifest = folder, Manifest(folder)
        self.describe = self._manifest.describe

    def known(self, name: str) -> Known | None:
        """Return what an earlier run noted about a file."""
        record = self._manifest.known(self.folder / name)
        return None if record is None else Known(record, None)

    def plan(self, name: str, *, force: bool) -> bool:
        """Note a file that is to be made; say no where one is there that no run made, unless `force` replaces it."""
        target = self.folder / name
        ours = self._manifest.is_ours(target)
        if os.path.lexists(target) and not (force or ours):
            return False
        if not ours:
            self._manifest.plan(target)
        return True

    def add(self, name: str, known: Known) -> None:
        """Note a file that is there."""
        self._manifest.add(self.folder / name, known.record)

    def __enter__(self) -> OnDisk:
        self._manifest.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manifest.__exit__(kind, error, trace)


class InStore:
    """Parts of a manifest, each an object of its own that is there whole or not at all."""

    def __init__(self, place: Place) -> None:
        self._place, self._run = place / PARTS, f"{time.time_ns():020}-{secrets.token_hex(4)}"
        self._lines: list[str] = []
        self._sent, self._since = 0, time.monotonic()
        self._known: dict[str, Known] = {}
        for found in self._place.files():
            self._take(Place(found.url).read())

    def known(self, name: str) -> Known | None:
        """Return what an earlier run noted about a file."""
        return self._known.get(name)

    def plan(self, name: str, *, force: bool) -> bool:
        """Say yes: of what is in a store, nobody knows whose it is."""
        return True

    def add(self, name: str, known: Known) -> None:
        """Note a file that is there."""
        self._known[name] = known
        self._write({"file": name, **known.record._asdict(), "bytes": known.size})

    def describe(self, settings: Mapping[str, Any], mark: str) -> None:
        """Note which model and options a hash of settings stands for; a place that cannot be written is found here."""
        self._write({"settings": mark, "are": dict(settings)})
        self._send()

    def __enter__(self) -> InStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._send()

    def _take(self, content: bytes) -> None:
        for line in content.decode("utf-8", "replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                values = from_json(line)
                self._known[values["file"]] = Known(record_of(values), values.get("bytes"))

    def _write(self, values: Mapping[str, Any]) -> None:
        if not self._lines:
            self._since = time.monotonic()
        self._lines.append(json.dumps(values))
        if len(self._lines) >= EVERY or time.monotonic() - self._since > SECONDS:
            self._send()

    def _send(self) -> None:
        if self._lines:
            (self._place / f"{self._run}-{self._sent:06}.jsonl").store(("\n".join(self._lines) + "\n").encode())
            self._sent, self._lines = self._sent + 1, []


def ours(name: str) -> bool:
    """Tell whether a name below a destination is that of a manifest or its parts."""
    return name == NAME or name.startswith(f"{PARTS}/")
