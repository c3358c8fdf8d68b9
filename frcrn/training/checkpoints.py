"""Checkpoints that are whole or not there: written beside, renamed, with a checksum, the newest few kept."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from pathlib import Path
from typing import Any

import torch

from frcrn.files import replacing

logger = logging.getLogger(__name__)

MAGIC = b"frcrn checkpoint 1\n"
SUFFIX = ".ckpt"
DIGEST = hashlib.sha256().digest_size


class Damaged(ValueError):
    """A checkpoint that cannot be used, with the reason in one sentence."""


def path_of(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return folder / f"step_{step:09d}{SUFFIX}"


def save(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write a checkpoint and forget all but the newest `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    path = path_of(folder, step)
    with replacing(path) as beside, open(beside, "wb") as file:
        file.write(MAGIC + hashlib.sha256(payload).digest())
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
    for old in found(folder)[keep:]:
        old.unlink(missing_ok=True)
    return path


def found(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, newest first, whole or not."""
    return sorted(folder.glob(f"step_*{SUFFIX}"), reverse=True)


def load(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds, or say why it cannot be used."""
    content = path.read_bytes()
    start = len(MAGIC) + DIGEST
    if not content.startswith(MAGIC):
        raise Damaged(f"{path}: expected a training checkpoint, found a file of another kind")
    if hashlib.sha256(memoryview(content)[start:]).digest() != content[len(MAGIC) : start]:
        raise Damaged(f"{path}: damaged, its checksum does not match")
    state: dict[str, Any] = torch.load(io.BytesIO(content[start:]), map_location="cpu", weights_only=True)
    return state


def newest(folder: Path) -> dict[str, Any] | None:
    """Return the newest whole checkpoint, naming the damaged ones that are passed over."""
    for path in found(folder):
        try:
            return load(path)
        except (Damaged, OSError) as error:
            logger.warning("%s; skipped", error)
    return None
