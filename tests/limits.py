"""Limits of time and memory for what a test attacks; time is the processor's, so that a busy machine fails nothing."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 20  # times as long on the clock, for what waits and does not compute


@contextmanager
def bounded(seconds: float, gigabytes: float) -> Iterator[None]:
    """Stop with a TimeoutError or a MemoryError what takes more than so much."""

    def stopped(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds} s")

    signals = {signal.SIGPROF: signal.ITIMER_PROF, signal.SIGALRM: signal.ITIMER_REAL}
    handlers = {number: signal.signal(number, stopped) for number in signals}
    limit, status = resource.getrlimit(resource.RLIMIT_AS), Path("/proc/self/statm")
    if status.exists():
        used = resource.getpagesize() * int(status.read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (used + int(gigabytes * 2**30), limit[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)
    try:
        yield
    finally:
        for number, timer in signals.items():
            signal.setitimer(timer, 0)
            signal.signal(number, handlers[number])
        resource.setrlimit(resource.RLIMIT_AS, limit)
