"""Single keys from a terminal, without the return key."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Wait = Callable[[float], str]
"""Seconds -> the key that was pressed within them, or nothing."""


@contextmanager
def keys() -> Iterator[Wait]:
    """Give a function that waits for a key; where nobody sits at a terminal, it only waits."""
    if not sys.stdin or not sys.stdin.isatty():
        yield _nobody
    elif sys.platform == "win32":
        yield _windows
    else:
        yield from _unix()


def _nobody(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _unix() -> Iterator[Wait]:
    import select
    import termios
    import tty

    place = sys.stdin.fileno()
    before = termios.tcgetattr(place)

    def wait(seconds: float) -> str:
        return os.read(place, 1).decode(errors="replace") if select.select([place], [], [], seconds)[0] else ""

    try:
        tty.setcbreak(place)
        yield wait
    finally:
        termios.tcsetattr(place, termios.TCSADRAIN, before)


def _windows(seconds: float) -> str:
    import msvcrt

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore]
            return str(msvcrt.getwch())  # type: ignore[attr-defined,unused-ignore]
        time.sleep(0.02)
    return ""
