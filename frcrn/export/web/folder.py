"""A network as a folder for the browser: an npm package, which a page that shows it is part of."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

from frcrn.export.native.folder import PROGRAM, description
from frcrn.export.native.library import compiler
from frcrn.export.native.network import write_program
from frcrn.files import write_together
from frcrn.models import Enhancer

PAGE, PACKAGE, WASM, SAMPLE = "index.html", "package.json", "frcrn.wasm", "noisy.flac"


def export_web(model: Enhancer, folder: str | os.PathLike[str]) -> Path:
    """Write a network into a folder and return the page's path; with a C compiler at hand it is checked before."""
    place, content = Path(folder), write_program(model.eval())
    if compiler() is not None:
        description(model, content)  # refuses a program that is not the network
    contents = package() | {SAMPLE: resources.files("frcrn").joinpath("samples", SAMPLE).read_bytes(), PROGRAM: content}
    contents[WASM] = contents.pop(WASM)  # the mark of this export: others have the program, too
    write_together(place, contents)
    return place / PAGE


def package() -> dict[str, bytes]:
    """Return the files that are the same for every network, by name; the version is ours."""
    from frcrn import __version__

    home = resources.files("frcrn").joinpath("export", "web", "package")
    found = {each.name: each.read_bytes() for each in home.iterdir()}
    about = json.loads(found[PACKAGE]) | {"version": __version__}
    return found | {PACKAGE: (json.dumps(about, indent=2) + "\n").encode()}
