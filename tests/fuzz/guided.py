"""Attack the readers in Python with files that grow towards code not yet reached: python -m tests.fuzz.guided SECONDS

It needs atheris, and does nothing without it. What it finds is kept in build/fuzz/found, what it grew in
build/fuzz/guided.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import resource
import sys
from pathlib import Path
from typing import Any

FOLDER = Path("build", "fuzz")
FOLLOWED = (
    "frcrn.audio",
    "frcrn.config",
    "frcrn.evaluation.peers",
    "frcrn.export.onnx.folder",
    "frcrn.inference.manifest",
    "frcrn.models",
    "frcrn.scale.planning",
    "frcrn.training.recipe",
    "json",
    "safetensors",
)
"""What is followed; whatever it imports besides is not."""
MOST_BYTES = 6 << 30


def seeded(folder: Path, targets: list[Any]) -> None:
    """Write the files to begin with; the first byte of each says which reader gets the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, contents, _) in enumerate(targets):
        for count, content in enumerate(contents):
            (folder / f"{name}-{count}").write_bytes(bytes([number]) + content)


def main(seconds: int) -> int:
    """Attack for so long; whatever is found ends it."""
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: the readers are not attacked by what they do")
        return 0
    import atheris
    import torch  # noqa: F401 - not followed

    with atheris.instrument_imports(include=list(FOLLOWED)):
        readers = importlib.import_module("tests.fuzz.readers")
    logging.disable()
    aims = readers.targets()
    seeded(FOLDER / "readers", aims)
    for each in ("guided", "found"):
        (FOLDER / each).mkdir(parents=True, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))

    def one(data: bytes) -> None:
        if data and (wrong := readers.taken(aims[data[0] % len(aims)][2], data[1:])):
            raise RuntimeError(f"{aims[data[0] % len(aims)][0]}: {wrong}")

    limits = [
        f"-max_total_time={seconds}",
        "-timeout=20",
        "-rss_limit_mb=4000",
        "-max_len=20000",
        "-print_final_stats=1",
    ]
    places = [f"-artifact_prefix={FOLDER / 'found'}/", str(FOLDER / "guided"), str(FOLDER / "readers")]
    atheris.Setup([sys.argv[0], *limits, *places], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
