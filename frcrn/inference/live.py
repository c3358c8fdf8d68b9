"""Between a sound device, which waits for nobody, and a network, which may be late.

The device's thread only exchanges samples; a second thread runs the network. What is played is always late by the same
`delay`: where the network has not finished in time, silence is played instead (an underrun) and what comes too late is
left out, so that a moment's trouble never makes the rest later.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from frcrn.audio import Samples
from frcrn.audio.fifo import Fifo
from frcrn.inference.streaming import Stream

SILENT = -100.0
"""The lowest level that is told apart from silence, dBFS."""
_PATIENCE = 0.5  # seconds that may wait for the network before it leaves out what nobody will hear
_MEMORY = 0.9  # of the load shown, from one block to the next

Tap = Callable[[Samples, Samples], None]
"""Gets what was recorded and what was made of it, in time with each other in the end."""


class Status(NamedTuple):
    """How it goes: levels in dBFS since the last look, the network's share of the time, blocks that came too late."""

    recorded: float
    played: float
    load: float
    underruns: int


def dbfs(peak: float) -> float:
    """Return the level of a peak."""
    return max(SILENT, 20 * math.log10(peak)) if peak > 0 else SILENT


class Live:
    """A stream behind a device; use as a context manager, which runs the network's thread."""

    def __init__(self, stream: Stream, block: int, *, cushion: int = 0, tap: Tap | None = None) -> None:
        if block < 1 or cushion < 0:
            raise ValueError(f"block {block}, cushion {cushion}: at least 1 and 0 samples are needed")
        self.stream, self._tap = stream, tap
        self.delay = stream.latency + block + cushion
        """Samples from a sound's going in to its coming out, without what the device adds."""
        self.underruns = 0
        self.error: Exception | None = None
        self._load = self._recorded = self._played = 0.0
        self._owed = 0  # samples of silence that were played in place of some that will come too late
        self._inbox: queue.SimpleQueue[Samples | None] = queue.SimpleQueue()
        self._waiting = 0  # samples in the inbox
        self._outbox = Fifo(stream.channels)
        self._outbox.append(np.zeros((stream.channels, self.delay), np.float32))
        self._lock = threading.Lock()
        self._worker = threading.Thread(target=self._work, name="frcrn live", daemon=True)

    def __enter__(self) -> Live:
        self.stream.push(np.zeros((self.stream.channels, self.delay), np.float32))  # the first time is the slowest
        self.stream.reset()
        self._worker.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, and give the tap what is still inside the stream."""
        self._inbox.put(None)
        self._worker.join()
        if self._tap and self.error is None:
            nothing = np.zeros((self.stream.channels, 0), np.float32)
            self._tap(nothing, np.reshape(self.stream.flush(), (self.stream.channels, -1)))

    def exchange(self, recorded: Samples) -> Samples:
        """[C, n] recorded -> [C, n] to play; never waits for the network."""
        out = np.zeros_like(recorded)
        with self._lock:
            self._waiting += recorded.shape[1]
            ready = self._outbox.take(recorded.shape[1])
            out[:, : ready.shape[1]] = ready
            if missing := recorded.shape[1] - ready.shape[1]:
                self._owed += missing
                self.underruns += 1
            self._recorded = max(self._recorded, _peak(recorded))
            self._played = max(self._played, _peak(out))
        self._inbox.put(recorded)
        return out

    def status(self) -> Status:
        """Return how it has gone since the last call; what stopped the network is raised here."""
        if self.error is not None:
            raise self.error
        with self._lock:
            status = Status(dbfs(self._recorded), dbfs(self._played), self._load, self.underruns)
            self._recorded = self._played = 0.0
        return status

    def _work(self) -> None:
        try:
            while (recorded := self._inbox.get()) is not None:
                if not self._left_out(recorded.shape[1]):
                    self._enhance(recorded)
                elif self._tap:
                    self._tap(recorded, np.zeros_like(recorded))
        except Exception as error:  # whatever it is, it belongs to the thread that looks at the status
            self.error = error

    def _left_out(self, count: int) -> bool:
        """Skip a block where too many wait, and silence was played for it already."""
        with self._lock:
            skipped = self._waiting > _PATIENCE * self.stream.rate and self._owed >= count
            self._owed -= count if skipped else 0
            self._waiting -= count
        return skipped

    def _enhance(self, recorded: Samples) -> None:
        began = time.perf_counter()
        clean = self.stream.push(recorded)
        share = (time.perf_counter() - began) * self.stream.rate / recorded.shape[1]
        with self._lock:
            late = min(self._owed, clean.shape[1])
            self._owed -= late
            self._outbox.append(clean[:, late:])
            self._load = _MEMORY * self._load + (1 - _MEMORY) * share
        if self._tap:
            self._tap(recorded, clean)


class Recorder:
    """What a microphone hears, block by block, up to a number of samples."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.taken = 0
        """Samples that `take` has given."""
        self.peak = 0.0
        """The loudest sample of the last block."""
        self._blocks: deque[Samples] = deque()
        self._came = threading.Event()

    def hear(self, block: Samples) -> None:
        """Take [C, n] from the device's thread."""
        self._blocks.append(block)
        self._came.set()

    @property
    def waiting(self) -> int:
        """Return how many samples wait to be taken."""
        waiting = sum(int(block.shape[1]) for block in tuple(self._blocks))
        return min(waiting, self.length - self.taken)

    def wait(self, patience: float) -> bool:
        """Wait for a block; False where none comes for `patience` seconds, and when all were taken."""
        self._came.clear()
        if self.taken < self.length and not self._blocks:
            self._came.wait(patience)
        return self.taken < self.length and bool(self._blocks)

    def take(self) -> Samples:
        """Return the next block that waits [C, n], cut at the length."""
        block = self._blocks.popleft()[:, : self.length - self.taken]
        self.taken += block.shape[1]
        self.peak = _peak(block)
        return block


def _peak(samples: Samples) -> float:
    return float(np.abs(samples).max(initial=0.0))
