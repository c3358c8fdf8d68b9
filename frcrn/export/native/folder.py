"""A network as a folder of C: the program, its sources, one to copy from, and a description."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from frcrn.export.native.library import SOURCES, source
from frcrn.export.native.network import write_program
from frcrn.export.native.standalone import ABOUT as ABOUT
from frcrn.export.native.standalone import PROGRAM as PROGRAM
from frcrn.export.native.standalone import NativeNetwork
from frcrn.export.parity import checked, expected, speech
from frcrn.files import write_together
from frcrn.models import Enhancer
from frcrn.models.checkpoint import fingerprint
from frcrn.models.frames import says_speech

RUNNER, MARK = "run.c", "frcrn.c"
"""The last is what no other export has."""


def export_program(model: Enhancer, folder: str | os.PathLike[str]) -> Path:
    """Write a network into a folder and return the description's path; a program that is not the network is refused."""
    place, content = Path(folder), write_program(model.eval())
    about = description(model, content)
    contents = {ABOUT: (json.dumps(about, indent=2) + "\n").encode()}
    contents |= {PROGRAM: content} | {name: source(name) for name in (RUNNER, *SOURCES)}
    contents[MARK] = contents.pop(MARK)
    write_together(place, contents)
    return place / ABOUT


def description(model: Enhancer, content: bytes) -> dict[str, Any]:
    """Return what a person needs to know of the program."""
    from frcrn import __version__

    about = {
        "made_by": f"frcrn {__version__}",
        "program": PROGRAM,
        "sha256": hashlib.sha256(content).hexdigest(),
        "trained": model.trained,
        "sample_rate": model.sample_rate,
        "hop": model.hop,
        "delay": model.lag,
        "latency": model.latency,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "fingerprint": fingerprint(model),
        "config": model.config.to_dict(),
    }
    about |= {"speech": True} if says_speech(model) else {}
    wave = speech(model.sample_rate)
    got, wanted = NativeNetwork(content, about).whole(wave[None])[0], expected(model, wave, levelled=False)
    return about | {"parity": checked("program", got, wanted)}
