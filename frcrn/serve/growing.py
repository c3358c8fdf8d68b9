"""A file that is sent while it is written, so that a slow reader keeps neither a worker nor memory busy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from pathlib import Path

from frcrn.audio import AudioFormat, Samples
from frcrn.inference.pipes import Layout, encode, header
from frcrn.serve.options import RAW
from frcrn.serve.work import described

ENCODINGS = {
    "PCM_U8": "u8",
    "PCM_16": "s16le",
    "PCM_24": "s24le",
    "PCM_32": "s32le",
    "FLOAT": "f32le",
    "DOUBLE": "f64le",
}
"""Of what wav holds, what can be written from front to end."""
MOST = 1 << 16
"""Bytes sent at once."""
LARGEST = 2**31 - 2**16
PAUSE = 0.02  # seconds until a file that has not grown is looked at again


def layout_for(form: AudioFormat, suffix: str, rate: int, channels: int, frames: int) -> Layout | None:
    """Return how samples lie in wav or without a header; None for what has to be finished before it is sent."""
    if suffix[1:] in RAW:
        return Layout(suffix[1:], rate, channels, size=None)
    encoding = ENCODINGS.get(form.subtype) if form.container == "WAV" else None
    if encoding is None:
        return None
    layout = Layout(encoding, rate, channels)
    layout = layout._replace(size=frames * layout.frame, fmt=described(layout))
    return layout if layout.size is not None and layout.size < LARGEST else None


def length_of(layout: Layout, frames: int) -> int:
    """Count the bytes of the whole file."""
    size = frames * layout.frame
    return len(header(layout)) + size + (size % 2 if layout.fmt else 0)


def write(path: Path, layout: Layout, blocks: Iterator[Samples]) -> None:
    """Write a file from front to end; each block can be read as soon as it is there."""
    size = 0
    with path.open("wb") as file:
        file.write(header(layout))
        for block in blocks:
            size += file.write(encode(block, layout))
            file.flush()
        if layout.fmt and size % 2:
            file.write(b"\0")


async def follow(path: Path, written: Future[None]) -> AsyncIterator[bytes]:
    """Yield a file while it grows, to its end; an error of its writer is raised here."""
    with path.open("rb", buffering=0) as file:
        while True:
            finished = written.done()  # asked before reading: what is there then is all
            if piece := file.read(MOST):
                yield piece
            elif finished:
                written.result()
                return
            else:
                await asyncio.sleep(PAUSE)
