"""Who works: threads for files, with a bounded queue before them, and other threads for streams."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from frcrn.serve.limits import Limits, Refusal

T = TypeVar("T")

LONGEST_PATIENCE = 60
"""Seconds after which a refused client is told to come again, at most."""

OPENINGS = 4
"""Streams that are opened at the same time."""


class Cancelled(Exception):
    """The work is no longer wanted."""


class Ticket:
    """A place in the queue, from before the upload until the work is done or given up."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._wanted = True
        self.running = False
        self.work: Future[Any] | None = None

    def check(self) -> None:
        """Stop the work where nobody wants it any more."""
        if not self._wanted:
            raise Cancelled

    def cancel(self) -> None:
        """Say that nobody wants the work; it ends at its next block, or never begins."""
        self._wanted = False
        if self.work is None or self.work.cancel():
            self.release()

    def release(self) -> None:
        """Give the place back; more than once does no harm."""
        self._pool.take_back(self)

    def afterwards(self, act: Callable[[], None]) -> None:
        """Do something when the work has ended, or at once where there is none."""
        if self.work is None:
            act()
        else:
            self.work.add_done_callback(lambda _: act())


class Pool:
    """Threads that enhance files; as many as there are workers run, and as many as the queue holds wait."""

    def __init__(self, limits: Limits) -> None:
        self._places, self._workers = limits.workers + limits.queue, limits.workers
        self._threads = ThreadPoolExecutor(limits.workers, "frcrn-file")
        self._tickets: set[Ticket] = set()
        self._lock = threading.Lock()
        self._mean = 1.0

    @property
    def active(self) -> int:
        """Files that are being enhanced."""
        return sum(ticket.running for ticket in list(self._tickets))

    @property
    def waiting(self) -> int:
        """Files that are uploaded or wait for a worker."""
        return len(self._tickets) - self.active

    def ticket(self) -> Ticket:
        """Give a place, or refuse where all are taken."""
        with self._lock:
            if len(self._tickets) >= self._places:
                patience = math.ceil(self._mean * self._places / self._workers)
                raise Refusal(
                    503,
                    f"all {self._places} places are taken; try again later",
                    {"Retry-After": str(min(LONGEST_PATIENCE, max(1, patience)))},
                )
            ticket = Ticket(self)
            self._tickets.add(ticket)
            return ticket

    def take_back(self, ticket: Ticket) -> None:
        """Free a place."""
        with self._lock:
            self._tickets.discard(ticket)

    def submit(self, ticket: Ticket, work: Callable[[], T]) -> Future[T]:
        """Let a worker do something when it is its turn, and free the place then."""

        def run() -> T:
            begun = time.monotonic()
            try:
                ticket.check()
                ticket.running = True
                return work()
            except BaseException as error:
                traceback.clear_frames(error.__traceback__)  # else files stay open as long as the error is kept
                raise
            finally:
                ticket.running = False
                ticket.release()
                self._mean += 0.1 * (time.monotonic() - begun - self._mean)

        ticket.work = work_done = self._threads.submit(run)
        return work_done

    def stop(self) -> None:
        """Let all work end at its next block."""
        for ticket in list(self._tickets):
            ticket.cancel()

    def close(self) -> None:
        """End all work, and wait for that."""
        self.stop()
        self._threads.shutdown(wait=True, cancel_futures=True)


class StreamThreads:
    """Threads that streams are shared out among; all that is pushed into one stream goes through the same thread."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.streams
        self._threads = [ThreadPoolExecutor(1, f"frcrn-stream-{number}") for number in range(limits.workers)]
        self._load = [0] * limits.workers
        self.opening = ThreadPoolExecutor(OPENINGS, "frcrn-opening")
        """Opens streams: the tables for an odd rate take seconds, in which the other streams go on."""

    @property
    def active(self) -> int:
        """Streams that are open."""
        return sum(self._load)

    def take(self) -> tuple[int, ThreadPoolExecutor]:
        """Return the thread with the fewest streams, and its number; refuse where there are as many as may be."""
        if self.active >= self._most:
            raise Refusal(503, f"{self._most} streams are open, the most that this server accepts; try again later")
        number = self._load.index(min(self._load))
        self._load[number] += 1
        return number, self._threads[number]

    def give_back(self, number: int) -> None:
        """Say that a stream has ended."""
        self._load[number] -= 1

    def close(self) -> None:
        """End the threads after what they are at."""
        for each in (*self._threads, self.opening):
            each.shutdown(wait=True, cancel_futures=True)
