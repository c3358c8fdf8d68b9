"""Threads that can be waited for, interrupted and forked at any moment; executors can be left locked for ever."""

from __future__ import annotations

import _thread
import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar, cast

PATIENCE = 5.0
"""Seconds that threads have for what they are doing when they are closed."""

Answer = TypeVar("Answer")


class Promised(Generic[Answer]):
    """What a thread will have found.

    Waiting for it may be interrupted anywhere, which can leave the lock of a Future, or of an Event, taken for ever.
    """

    def __init__(self) -> None:
        self._came: SimpleQueue[tuple[Answer | None, BaseException | None]] = SimpleQueue()

    def keep(self, work: Callable[..., Answer], *arguments: Any) -> None:
        """Work, and be what comes of it."""
        try:
            self._came.put((work(*arguments), None))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._came.put((None, error))

    def drop(self) -> None:
        """Come to nothing."""
        self._came.put((None, CancelledError()))

    def result(self) -> Answer:
        """Wait for what was found, or raise what went wrong."""
        found, error = came = self._came.get()
        self._came.put(came)  # for whoever asks again
        if error is not None:
            raise error
        return cast(Answer, found)


Waiting = SimpleQueue[tuple[Promised[Any], Callable[[], object]] | None]


class Threads:
    """Up to `count` threads that work side by side, begun as they are needed; a context closes them at its end.

    They are begun below `threading`, whose own way waits at an Event (see `Promised`).
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.dropped = False
        self._begin()

    def _begin(self) -> None:
        self._process, self._begun = os.getpid(), 0
        self._queue: Waiting = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        weakref.finalize(self, _end_threads, self._queue, self._count)

    def submit(
        self,
        work: Callable[..., Answer],
        *arguments: Any,
        done: SimpleQueue[Promised[Answer]] | None = None,
    ) -> Promised[Answer]:
        """Queue work; what it came to goes into `done`, too, as soon as it is there."""
        if self.dropped:
            raise RuntimeError("these threads were ended; nothing more can be submitted")
        promised: Promised[Answer] = Promised()

        def act() -> None:
            promised.keep(work, *arguments)
            if done is not None:
                done.put(promised)

        if self._process != os.getpid():  # a fork, which has none of the threads
            self._begin()
        self._queue.put((promised, act))
        if self._begun < self._count:
            _thread.start_new_thread(_work, (self._queue, self._ended))
            self._begun += 1
        return promised

    @property
    def running(self) -> int:
        """How many threads there are."""
        return max(0, self._begun - self._ended.qsize())  # one may have begun uncounted, as an interrupt came

    def map(self, work: Callable[[Any], Answer], values: Iterable[Any]) -> Iterator[Answer]:
        """Yield what comes of each value, in their order."""
        for promised in [self.submit(work, value) for value in values]:
            yield promised.result()

    def drop(self) -> None:
        """Let what waits come to nothing, and threads end once they have nothing to do."""
        self.dropped = True
        with suppress(Empty):
            while True:
                if (task := self._queue.get_nowait()) is not None:
                    task[0].drop()
        _end_threads(self._queue, self._count)

    def close(self) -> None:
        """Drop what waits, and wait for the threads, within reason."""
        self.drop()
        end = time.monotonic() + PATIENCE
        while self.running and time.monotonic() < end:
            time.sleep(0.001)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _work(queue: Waiting, ended: SimpleQueue[None]) -> None:
    while (task := queue.get()) is not None:
        task[1]()
        del task  # and what it holds
    ended.put(None)


def _end_threads(queue: Waiting, count: int) -> None:
    for _ in range(count):
        queue.put(None)
