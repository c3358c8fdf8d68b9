"""What measurements are made on and with: the processor, its load, the packages that run networks."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata, util
from pathlib import Path
from typing import Any

from frcrn.export.native.library import compiler

PACKAGES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
"""The runtimes that come from packages, and these."""


def installed() -> list[str]:
    """List the runtimes that are there; native needs a C compiler and no package."""
    found = [runtime for runtime, package in PACKAGES.items() if util.find_spec(package)]
    return [*found, "native"] if compiler() else found


def load_average() -> float | None:
    """Return how many processes wanted a core over the last minute; None where the system does not count."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def machine(seconds: float, load_before: float | None) -> dict[str, Any]:
    """Say what was measured on, with what, and how busy it was."""
    versions = {package: metadata.version(package) for package in PACKAGES.values() if util.find_spec(package)}
    if program := compiler():
        versions[Path(program).name] = subprocess.run(
            [program, "-dumpfullversion", "-dumpversion"], capture_output=True, text=True, check=False
        ).stdout.strip()
    loads = {"load_before": load_before, "load_after": load_average()}
    return {"processor": processor(), "cores": os.cpu_count(), "seconds": seconds, **loads, "versions": versions}


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
