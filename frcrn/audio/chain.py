"""Several recordings in one Ogg file, one after the other, read as one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from frcrn.audio.formats import AudioError
from frcrn.audio.integrity import changing
from frcrn.audio.nameless import nameless, put

MOST_CHAINED = 10_000  # recordings in a file, each of which takes a millisecond to open
_BLOCK = 1 << 16


class Chain:
    """The recordings in these spans of a file, each opened by `reader`, with the face of a decoder."""

    frames = 2**62  # what each one announces is refused where it is not there
    extra_info = ""

    def __init__(
        self, stream: BinaryIO, name: str, spans: list[tuple[int, int]], reader: Callable[[BinaryIO], Any]
    ) -> None:
        if len(spans) > MOST_CHAINED:
            raise AudioError(f"{name}: found {len(spans)} recordings; accepted are up to {MOST_CHAINED} in a file")
        self._stream, self.name, self._reader = stream, name, reader
        self._files = ExitStack()
        self._left = iter(spans)
        try:
            self._part = self._opened(*next(self._left))
        except BaseException:
            self.close()
            raise
        self.samplerate, self.channels = self._part.rate, self._part.channels
        self.format, self.subtype = self._part.format

    def read(self, frames: int, **unused: object) -> NDArray[np.float32]:
        """Read the next frames, fewer at the end: [up to frames, C]."""
        blocks = [self._part.read(frames).T]
        while (missing := frames - sum(map(len, blocks))) and (span := next(self._left, None)):
            self._part = self._opened(*span)
            first, now = (self.samplerate, self.channels), (self._part.rate, self._part.channels)
            if first != now:
                raise AudioError(changing(self.name, first, now))
            blocks.append(self._part.read(missing).T)
        return np.concatenate(blocks)

    def close(self) -> None:
        """Close the recording that is being read."""
        self._files.close()

    def _opened(self, start: int, end: int) -> Any:
        self.close()
        copy = self._files.enter_context(nameless())
        self._stream.seek(start)
        while start < end and (piece := self._stream.read(min(_BLOCK, end - start))):
            put(copy, piece)
            start += len(piece)
        return self._files.enter_context(self._reader(copy))
