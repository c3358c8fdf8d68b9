"""The files that the framework's trainers leave in a run's folder, beside ours: a log in JSON and `epoch_N.pth`."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from frcrn.training.checkpoints import is_one
from frcrn.training.logs import finite

logger = logging.getLogger(__name__)

LOG = "{}.log.json"
PATTERNS = (LOG.format("*"), "epoch_*.pth", "iter_*.pth")
"""What it may be, for whoever tidies a folder."""
LEFT_OUT = {"epoch", "skipped", "hours"}


def append_record(path: Path, mode: str, epoch: int, step: int, values: Mapping[str, Any]) -> None:
    """Add one line: `mode` ("train" or "eval"), `epoch` and `iter` (both from 1, the step within its epoch), values."""
    record: dict[str, Any] = {"mode": mode, "epoch": epoch, "iter": step}
    shown = {name: value for name, value in values.items() if name not in LEFT_OUT and value is not None}
    record |= {name: rounded(name, value) for name, value in shown.items() if not isinstance(value, list)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(finite(record), allow_nan=False) + "\n")


def rounded(name: str, value: Any) -> Any:
    """Round as the framework does: five digits, the learning rate as it is."""
    return round(value, 5) if isinstance(value, float) and name != "lr" else value


def link(checkpoint: Path, folder: Path, name: str) -> None:
    """Give a checkpoint one more name, in a run's folder; it is stored once where the disk can do that.

    A file of that name that this trainer did not write gets another one.
    """
    place = folder / name
    if place.exists() and not is_one(place):
        kept = next(other for number in count(1) if not (other := place.with_suffix(f".{number}.pth")).exists())
        os.rename(place, kept)
        logger.warning("%s: no checkpoint of this trainer; it is now %s", place, kept)
    beside = folder / f".{name}.part"
    beside.unlink(missing_ok=True)
    try:
        os.link(checkpoint, beside)
    except OSError:  # a file system without hard links
        shutil.copyfile(checkpoint, beside)
    os.replace(beside, place)


def numbered(folder: Path, unit: str) -> list[tuple[int, Path]]:
    """Return this trainer's files `epoch_N.pth` (or `iter_N.pth`) in a folder with their numbers, the newest first."""
    found = [(re.fullmatch(rf"{unit}_(\d+)\.pth", path.name), path) for path in folder.glob(f"{unit}_*.pth")]
    return sorted(((int(match[1]), path) for match, path in found if match and is_one(path)), reverse=True)


def keep_newest(folder: Path, unit: str, keep: int | None) -> None:
    """Remove all but the newest `keep`; None keeps all."""
    for _, path in numbered(folder, unit)[keep or 1_000_000_000 :]:
        path.unlink()


def forget_after(folder: Path, unit: str, number: int) -> None:
    """Remove what was saved after the epoch or step that a run goes on from."""
    for found, path in numbered(folder, unit):
        if found > number:
            path.unlink()
