"""Bytes of an audio file in, bytes of its clean form out, by the same path as files take."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from frcrn.audio import Reader, writable, writer
from frcrn.inference.network import Network
from frcrn.inference.one_file import Outcome, Settings, Task, enhance_one, extension_of
from frcrn.inference.paths import Job

Model = Callable[[], Network]


def enhanced_bytes(content: bytes, name: str, settings: Settings, model: Model) -> tuple[bytes, float]:
    """Return the clean form of an audio file's bytes, and its seconds; `name` tells the format and is in messages."""
    extension = os.path.splitext(name)[1] or extension_of(io.BytesIO(content))
    with tempfile.TemporaryDirectory(prefix="frcrn-") as folder:
        noisy, clean = Path(folder, f"noisy{extension}"), Path(folder, f"clean{extension}")
        noisy.write_bytes(content)
        outcome = enhance_one(Task(Job(noisy, clean)), settings, model, None)
        if outcome.error is not None:
            raise type(outcome.error)(*_named(outcome.error, noisy, name))
        return clean.read_bytes(), outcome.seconds or 0.0


def enhanced_copy(
    noisy: Path, clean: Path, span: tuple[float | None, float | None], settings: Settings, model: Model
) -> Outcome:
    """Enhance a local file, or the seconds of it between two times, into another one."""
    if span == (None, None):
        return enhance_one(Task(Job(noisy, clean), record=True), settings, model, None)
    with tempfile.TemporaryDirectory(prefix="frcrn-") as folder:
        part = Path(folder, noisy.name)
        cut(noisy, part, *span)
        return enhance_one(Task(Job(part, clean), record=True), settings, model, None)


def cut(source: Path, target: Path, start: float | None, end: float | None) -> None:
    """Write the samples between two times, in the same format."""
    with Reader(source) as reader:
        first = round((start or 0.0) * reader.rate)
        last = None if end is None else round(end * reader.rate)
        form = reader.format if writable(reader.format) else None
        with writer(target, reader.rate, reader.channels, form) as append:
            place = 0
            for block in reader.blocks():
                append(block[:, max(0, first - place) : None if last is None else max(0, last - place)])
                place += block.shape[1]
                if last is not None and place >= last:
                    break
    if place <= first:
        raise ValueError(f"{source}: start {start}: the recording ends at {place / reader.rate:.3f} s")


def _named(error: Exception, path: Path, name: str) -> tuple[object, ...]:
    return (str(error).replace(str(path), name),)
