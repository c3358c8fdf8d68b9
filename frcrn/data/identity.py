"""Tell whether a set is made of the same recordings as before, wherever they lie by now."""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from frcrn.texts import NAMES

HEARD = 400
"""Of how many recordings some is read; these are drawn by their names, as every other one may be another."""
PIECES, PIECE = 2000, 1 << 14
"""How many pieces are read of all these together, spread over each, and the bytes of one."""


def identity(data: Any) -> str:
    """Return a text that changes with the recordings of a set; with its length alone where it does not know them."""
    own: Callable[[], str] | None = getattr(data, "identity", None)
    return own() if own is not None else digest([len(data)])


def digest(facts: Iterable[object]) -> str:
    """Return a hash of plain values."""
    state = hashlib.sha256()
    for fact in facts:
        state.update(_line(fact))
    return state.hexdigest()


def of_files(files: Sequence[tuple[str, str | Path]]) -> str:
    """Return a hash of files, each with the name that it keeps elsewhere: of names, sizes, and what some hold."""
    known = ((name, os.stat(path).st_size) for name, path in files)
    return of_recordings(known, lambda number: open(files[number][1], "rb"))


def of_recordings(facts: Iterable[object], opened: Callable[[int], BinaryIO]) -> str:
    """Return a hash of what is known of each recording, and of what some hold, which are opened by number."""
    lines = [_line([number, fact]) for number, fact in enumerate(facts)]
    state = hashlib.sha256(b"".join(lines))
    some = heapq.nsmallest(HEARD, range(len(lines)), key=lambda number: hashlib.sha256(lines[number]).digest())
    for number in some:
        with opened(number) as file:
            for piece in _pieces(file, PIECES // len(some)):
                state.update(piece)
    return state.hexdigest()


def _pieces(file: BinaryIO, count: int) -> Iterator[bytes]:
    """Yield pieces from the beginning to the end, or all of a file that is no longer than they are."""
    last = max(file.seek(0, os.SEEK_END) - PIECE, 0)
    count = min(count, 2 + last // PIECE)
    for number in range(count):
        file.seek(number * last // (count - 1))
        yield file.read(PIECE)


def _line(fact: object) -> bytes:
    return json.dumps(fact).encode(errors=NAMES) + b"\n"
