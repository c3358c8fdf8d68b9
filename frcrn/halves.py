"""Whether this machine can compute in bf16: some virtual machines announce matrix units (AMX) that they do not have.

There the first product in bf16 ends the program with "Illegal instruction"; so it is tried in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
LIMIT = "ONEDNN_MAX_CPU_ISA"
"""The variable by which torch's products are kept from units that do not work."""

ATTEMPT = "import torch; a = torch.ones(64, 64, dtype=torch.bfloat16); a @ a"


def demand_bf16(device: str = "cpu") -> None:
    """Refuse bf16 in one sentence where the processor would stop the program for it."""
    if device == "cpu" and LIMIT not in os.environ and announced() and dies(ATTEMPT):
        raise ValueError(
            "bf16: this machine announces matrix units (AMX) that it does not have; "
            f"use fp32, or set {LIMIT}=AVX512_CORE_BF16 before the program starts"
        )


def announced() -> bool:
    """Say whether the processor claims to have matrix units; only then is there something to try."""
    try:
        return "amx_tile" in CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


@cache
def dies(program: str) -> bool:
    """Say whether a signal ends a Python program, tried once; where none can be started, it is taken to live."""
    try:
        command = [sys.executable, "-c", program]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False
    return ended.returncode < 0
