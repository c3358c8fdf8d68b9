"""Bytes of an audio file in, bytes of its clean form out, by the same path as files take."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

from frcrn.audio import Reader, is_audio_name, is_media_name, writable, writer
from frcrn.inference.network import Network
from frcrn.inference.one_file import Settings, Task, enhance_one, extension_of
from frcrn.inference.paths import Job

Model = Callable[[], Network]
NAMELESS = "audio bytes"
"""What errors call sound that has no name."""


def enhanced_bytes(content: bytes, name: str, settings: Settings, model: Model) -> tuple[bytes, float]:
    """Return the clean form of an audio file's bytes, and its seconds; `name` tells the format and is in messages."""
    known = is_audio_name(name) or is_media_name(name)
    name = name or NAMELESS
    with called(name, NAMELESS):
        extension = os.path.splitext(name)[1] if known else extension_of(io.BytesIO(content))
    with tempfile.TemporaryDirectory(prefix="frcrn-") as folder:
        noisy, clean = Path(folder, f"noisy{extension}"), Path(folder, f"clean{extension}")
        noisy.write_bytes(content)
        with called(name, noisy, clean):
            seconds = _enhanced(noisy, clean, settings, model)
        return clean.read_bytes(), seconds


def enhanced_copy(
    noisy: Path, clean: Path, span: tuple[float | None, float | None], settings: Settings, model: Model
) -> float:
    """Enhance a local file, or the seconds of it between two times, into another one; return the seconds."""
    if span == (None, None):
        return _enhanced(noisy, clean, settings, model)
    with tempfile.TemporaryDirectory(prefix="frcrn-") as folder:
        part = Path(folder, noisy.name)
        cut(noisy, part, *span)
        with called(str(noisy), part):
            return _enhanced(part, clean, settings, model)


def _enhanced(noisy: Path, clean: Path, settings: Settings, model: Model) -> float:
    outcome = enhance_one(Task(Job(noisy, clean)), settings, model, None)
    if outcome.error is not None:
        raise outcome.error
    return outcome.seconds or 0.0


@contextmanager
def called(name: str, *others: Path | str) -> Iterator[None]:
    """Let errors speak of a sound by its name, where they have others, such as those of our copies."""
    try:
        yield
    except Exception as error:
        text = str(error)
        for other in others:
            text = text.replace(str(other), name)
        if text == str(error):
            raise
        raise ValueError(text) from error


def cut(source: Path, target: Path, start: float | None, end: float | None) -> None:
    """Write the samples between two times, in the same format."""
    with Reader(source) as reader:
        first, last = (
            round(min(each * reader.rate, sys.maxsize)) for each in (start or 0.0, inf if end is None else end)
        )
        form = reader.format if writable(reader.format) else None
        with writer(target, reader.rate, reader.channels, form) as append:
            place = 0
            for block in reader.blocks():
                append(block[:, max(0, first - place) : max(0, last - place)])
                place += block.shape[1]
                if place >= last:
                    break
    if place <= first:
        raise ValueError(f"{source}: start {start}: the recording ends at {place / reader.rate:.3f} s")
