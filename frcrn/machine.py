"""What this machine has: its processor, cores and load, memory in use, and whether half precision works."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from frcrn.workers import Died, end, helper, serve

CPUINFO = Path("/proc/cpuinfo")

LIMIT = "ONEDNN_MAX_CPU_ISA"
"""The variable by which torch's products are kept from units that do not work."""

# the working folder, in which anybody may have left a torch.py, comes first in the path of `python -c`
ATTEMPT = "import sys; del sys.path[0]; import torch; a = torch.ones(64, 64, dtype=torch.bfloat16); a @ a"


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_average() -> float | None:
    """Return how many processes wanted a core over the last minute; None where the system does not count."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def cpuinfo() -> list[str]:
    """Return the lines by which Linux describes its processors; none elsewhere."""
    try:
        return CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def processor() -> str:
    """Return the processor's name."""
    names = [line.partition(":")[2].strip() for line in cpuinfo() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def abilities() -> str:
    """Return what tells processors apart that need code of their own."""
    lines = cpuinfo()
    if not lines:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def demand_bf16(device: str = "cpu") -> None:
    """Refuse bf16 in one sentence where the processor would stop the program for it.

    Some virtual machines announce matrix units (AMX) that they do not have. There the first product in bf16 ends the
    program with "Illegal instruction"; so it is tried in a process of its own.
    """
    if device == "cpu" and LIMIT not in os.environ and announced() and dies(ATTEMPT):
        raise ValueError(
            "bf16: this machine announces matrix units (AMX) that it does not have; "
            f"use fp32, or set {LIMIT}=AVX512_CORE_BF16 before the program starts"
        )


def announced() -> bool:
    """Say whether the processor claims to have matrix units; only then is there something to try."""
    return any("amx_tile" in line for line in cpuinfo())


@cache
def dies(program: str) -> bool:
    """Say whether a signal ends a Python program, tried once; where none can be started, it is taken to live."""
    try:
        command = [sys.executable, "-c", program]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False
    return ended.returncode < 0


def peak_apart(work: Callable[..., object], *arguments: Any) -> tuple[float | None, float | None]:
    """Do the work in a fresh process; return its peak in MiB, and how much of that the work added to the libraries.

    Both are None where the process was killed, as systems do that run out of memory.
    """
    watched = helper(__name__, serve_peaks.__name__)
    try:
        before, peak = watched.ask((work, arguments))
    except Died:
        return None, None
    finally:
        end([watched.process])
    return peak, peak - before


def serve_peaks() -> None:
    """Do the work that is asked for, and answer how much memory was in use before and at most; runs in the process."""
    serve(lambda question: _watched(*question))


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
