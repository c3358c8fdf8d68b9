"""What a row of a stranger could name that is no recording."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def unfit(kind: str, folder: Path) -> tuple[str, str]:
    """Make what no row may open; return its path, and how the reason begins."""
    if kind != "large" and os.name == "nt":
        pytest.skip("pipes and devices have no such names")
    path = folder / ("notes.txt" if kind == "text" else "a.wav")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to(os.devnull)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"x" * 5000)
    reasons = {
        "text": "expected a recording; accepted are",
        "large": "larger than",
        "folder": "expected a file, found a",
    }
    return str(path), reasons.get(kind, "expected a file, found a device or pipe")
