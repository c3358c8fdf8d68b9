"""Checkpoints that are whole or not there: written beside, renamed, with a checksum, the newest few kept.

A checkpoint is a PyTorch file, which `torch.load` reads, with a mark and its checksum behind the last byte.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from frcrn.files import replacing
from frcrn.models.weight_files import is_plain

logger = logging.getLogger(__name__)

MAGIC = b"frcrn checkpoint 2\n"
FIRST_MAGIC = b"frcrn checkpoint 1\n"
"""Of the first form, which has mark and checksum in front."""
SUFFIX = ".ckpt"
NAMED = re.compile(rf"step_\d{{9,}}{re.escape(SUFFIX)}")
DIGEST = hashlib.sha256().digest_size
LARGEST = 1 << 34
"""Bytes; a network has at most 2^28 values, and its optimizer twice as many."""


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
        file.write(payload)
        file.write(MAGIC + hashlib.sha256(payload).digest())
        file.flush()
        os.fsync(file.fileno())
    # what goes by a later step is damaged, or the run would have gone on from it
    for old in [each for each in found(folder) if each.name <= path.name][keep:]:
        old.unlink(missing_ok=True)
    return path


def found(folder: Path) -> list[Path]:
    """Return the checkpoints that a run named in a folder, newest first, whole or not; copies by other names stay."""
    return sorted((path for path in folder.glob(f"step_*{SUFFIX}") if NAMED.fullmatch(path.name)), reverse=True)


def load(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds, or say why it cannot be used."""
    parts = None
    if path.is_file() and path.stat().st_size <= LARGEST and is_one(path):
        parts = taken_apart(path.read_bytes())
    if parts is None:
        raise Damaged(f"{path}: expected a training checkpoint, found a file of another kind or one cut short")
    payload, digest = parts
    if hashlib.sha256(payload).digest() != digest:
        raise Damaged(f"{path}: damaged, its checksum does not match")
    try:
        state: Any = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # a parser in the middle of garbage may raise anything
        raise Damaged(
            f"{path}: it holds Python objects besides tensors, which could run code, or is damaged"
        ) from error
    if not isinstance(state, dict) or not all(is_plain(value) for value in tensors_in(state)):
        raise Damaged(f"{path}: expected a table of plain tensors and numbers")
    weights = tensors_in([state.get("model"), state.get("average")])
    if not all(value.float().isfinite().all() for value in weights):
        raise Damaged(f"{path}: its weights are not all finite numbers")
    return state


def tensors_in(state: Any) -> Iterator[torch.Tensor]:
    """Yield all tensors of a state, however deep; each thing is looked at once, as one may hold itself."""
    left, seen = [state], set[int]()
    while left:
        value = left.pop()
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            left += value.values() if isinstance(value, dict) else value


def taken_apart(content: bytes) -> tuple[memoryview, bytes] | None:
    """Return a checkpoint's PyTorch file and its checksum, None where the mark is missing."""
    whole, mark = memoryview(content), len(MAGIC)
    if content.startswith(FIRST_MAGIC):
        return whole[mark + DIGEST :], content[mark : mark + DIGEST]
    end = len(content) - mark - DIGEST
    return (whole[:end], content[end + mark :]) if end > 0 and whole[end : end + mark] == MAGIC else None


def is_one(path: Path) -> bool:
    """Tell whether a file is marked as a training checkpoint, whole or not."""
    with path.open("rb") as file:
        start = file.read(len(FIRST_MAGIC))
        file.seek(max(0, path.stat().st_size - len(MAGIC) - DIGEST))
        return start == FIRST_MAGIC or file.read(len(MAGIC)) == MAGIC


def newest(folder: Path) -> dict[str, Any] | None:
    """Return the newest whole checkpoint, naming the damaged ones that are passed over."""
    for path in found(folder):
        try:
            return load(path)
        except (Damaged, OSError) as error:
            logger.warning("%s; skipped", error)
    return None
