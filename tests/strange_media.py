"""Strange recordings of phones and cameras: containers that PyAV reads, their numbers, ends and bytes changed."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from frcrn import audio
from frcrn.audio.formats import format_for
from tests.strange_audio import Bytes, noisy, tone

KINDS = (".m4a", ".mov", ".mkv", ".webm", ".wma", ".avi", ".ts", ".flv", ".mpg", ".aac", ".3gp")
NUMBERS = (0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)


@cache
def made(suffix: str) -> bytes:
    """A third of a second of two channels."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a{suffix}")
        audio.write(path, tone(16_000, 48_000, 2).T, 48_000, format_for(path))
        return path.read_bytes()


def changed(suffix: str, seed: int) -> bytes:
    """Another number somewhere, mostly near the beginning; an end that is missing; or other bytes."""
    content, chance = made(suffix), random.Random(seed)
    kind = seed % 4
    if kind == 0:
        return content[: chance.randrange(len(content))]
    if kind == 1:
        return noisy(content, seed)
    at = chance.randrange(min(len(content) - 8, chance.choice((200, 1000, len(content)))))
    size, order = chance.choice((2, 4, 4, 8)), chance.choice(("big", "big", "little"))
    value = chance.choice((*NUMBERS, chance.randrange(2**32))) % 2 ** (8 * size)
    return content[:at] + value.to_bytes(size, order) + content[at + size :]


def cases(count: int) -> Iterator[tuple[str, Bytes]]:
    """Yield so many of each kind by name."""
    for suffix in KINDS:
        for seed in range(count):
            yield f"{seed}{suffix}", lambda suffix=suffix, seed=seed: changed(suffix, seed)
