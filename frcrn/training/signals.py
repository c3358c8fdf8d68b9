"""SIGTERM, ctrl-C and a terminal that closes as a request to save and stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Value = TypeVar("Value")

ASKING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


class Asked(BaseException):
    """A signal asked to stop while nothing was done but to wait."""


class StopRequest:
    """Remembers the first signal that asks to stop; a second ctrl-C interrupts at once. A context manager."""

    number: int | None = None
    waiting = False

    def __enter__(self) -> StopRequest:
        # only the main thread may listen; elsewhere the caller's own handlers stay
        main = threading.current_thread() is threading.main_thread()
        numbers = [number for number in ASKING if main and not _by_nohup(number)]
        self.before = {number: signal.signal(number, self.hear) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def hear(self, number: int, frame: Any) -> None:
        """Note a signal."""
        if self.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
        if self.waiting:
            self.waiting = False
            raise Asked

    def wait_for(self, get: Callable[[], Value]) -> Value | None:
        """Return what `get` waits for, or None as soon as a signal asks to stop."""
        try:
            try:
                self.waiting = True
                return get() if self.number is None else None
            finally:
                self.waiting = False  # where a signal comes even here, the outer one hears it
        except Asked:
            return None


def _by_nohup(number: signal.Signals) -> bool:
    """Tell whether a terminal that closes is to be ignored."""
    return number.name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN
