"""Signals that end a command: an exception where it can do no harm, or a note of what came."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

PAUSE = 0.05
"""Seconds until a signal that came within an import is tried again."""


@contextmanager
def terminable() -> Iterator[list[int]]:
    """Leave by an exception at Ctrl-C, when told to end, or when the terminal closes: nothing half-written stays.

    Not within an import: there are packages whose import swallows the exception, and the command would go on. The
    signals that came are in the list, for what they are taken for by code that they pass through.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    outside, over = _imports(sys._getframe()), False

    def leave(number: int, frame: FrameType | None) -> None:
        if _imports(frame) > outside:
            _thread.start_new_thread(again, (number,))
            return
        came.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    def again(number: int) -> None:
        time.sleep(PAUSE)
        if not over:  # whoever hears the signal by now
            _send_to_main(number)

    own = signal.getsignal(signal.SIGINT) != signal.default_int_handler  # of whoever calls us
    with _handled([number for number in _ending() if not (own and number == signal.SIGINT)], leave):
        try:
            yield came
        finally:
            over = True


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Give a list to which Ctrl-C and the signals that end a command add their numbers; they end nothing by themselves.

    A handler that raises does so anywhere: while a file is being closed, or a lock that another thread waits for.
    """
    came: list[int] = []
    main = threading.current_thread() is threading.main_thread()
    with _handled(_ending() if main else [], lambda number, frame: came.append(number)):
        yield came


@contextmanager
def _handled(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Give signals to a handler for a while."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _ending() -> list[signal.Signals]:
    """Return the signals that end a command, but for those that it was started to outlive, as by nohup."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


def _imports(frame: FrameType | None) -> int:
    """Return how many calls of Python's import are under way."""
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename.startswith("<frozen importlib")
        frame = frame.f_back
    return count


def _send_to_main(number: int) -> None:
    """Send a signal to the main thread, which may be waiting for another."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
