"""How much memory a piece of work needs, found out in a process of its own."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any


def peak_apart(work: Callable[..., object], *arguments: Any) -> tuple[float | None, float | None]:
    """Do the work in a fresh process; return its peak in MiB, and how much of that the work added to the libraries.

    Both are None where the process was killed, as systems do that run out of memory.
    """
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            before, peak = pool.submit(_watched, work, arguments).result()
    except BrokenProcessPool:
        return None, None
    return peak, peak - before


def _watched(work: Callable[..., object], arguments: tuple[Any, ...]) -> tuple[float, float]:
    before = peak_memory()
    work(*arguments)
    return before, peak_memory()


def peak_memory() -> float:
    """Return the largest resident size of this process so far, MiB."""
    status = Path("/proc/self/status")
    if status.is_file():
        # not getrusage, which counts the process that started this one
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return float(lines["VmHWM"].split()[0]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
