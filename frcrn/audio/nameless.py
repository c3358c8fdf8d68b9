"""Files without a name, which are gone when they are closed."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast


def nameless() -> BinaryIO:
    """Open one, unbuffered: what decodes it gets its descriptor."""
    return cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115


def put(file: BinaryIO, data: bytes) -> None:
    """Write all of it, or raise what prevents that: an unbuffered file takes what there is room for and says so."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
