"""The tensors inside a checkpoint file: safetensors or PyTorch's own, never anything that could run code."""

from __future__ import annotations

import json
import logging
import pickle
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from frcrn.visible import visible

_log = logging.getLogger(__name__)
WRAPPERS = ("state_dict", "average", "model")
"""The keys under which trainers store a network's tensors: the framework's, our own's averaged ones, ClearerVoice's."""
MOST_WRAPPERS = 8
"""One in another; a file can say that one holds itself."""
UNPICKLING = Lock()
"""What a pickle may name is a setting of the whole process."""
COUNT = "num_batches_tracked"
"""How the one kind of entry ends that is no weight: whole numbers, which nothing reads."""
METADATA = "frcrn"
"""The key under which a network's configuration travels with its tensors."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, and why."""


def read_entries(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return a checkpoint's tensors, and the configuration that travels with them (empty for a bare one)."""
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a file of weights, found a pipe, a device or a folder")
    with path.open("rb") as file:
        start = file.read(9)
    # a renamed file is still what it is: after the length of its header, safetensors begins with a brace
    safe = start[8:] == b"{" or path.suffix == ".safetensors"
    try:
        entries, metadata = read_safetensors(path) if safe else read_pickle(path)
    except Exception as error:  # a parser in the middle of garbage may raise anything
        raise CheckpointError(f"{path}: not a readable checkpoint; {reason(start, error)}") from error
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{path}: expected an object under {METADATA!r}, found {type(metadata).__name__}")
    if not isinstance(entries, dict) or not entries or not all(map(is_entry, entries.items())):
        raise CheckpointError(f"{path}: expected a state dict of plain tensors, bare or under 'state_dict'")
    refuse_other_numbers(entries, str(path))
    return entries, metadata


def refuse_other_numbers(entries: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that are no finite floating-point numbers once they are float32, as they are in a network."""
    for name, value in entries.items():
        if name.endswith(COUNT):
            continue
        if not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise CheckpointError(f"{source}: {name} holds {kind} values; weights are floating-point numbers")
        if not value.float().isfinite().all():
            raise CheckpointError(f"{source}: {name} holds values that are not finite numbers in float32")


def read_safetensors(path: Path) -> tuple[Any, Any]:
    """Return the tensors of a safetensors file, and the configuration in its header."""
    with safe_open(str(path), framework="pt") as file:
        header = file.metadata() or {}
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(header.get(METADATA, "{}"))  # noqa: SIM118


def read_pickle(path: Path) -> tuple[Any, Any]:
    """Return what a PyTorch file holds, and the configuration beside it; objects other than tensors are refused."""
    with UNPICKLING, warnings.catch_warnings(), with_numbers_of_numpy():
        warnings.simplefilter("ignore")  # of a pickle's version: what cannot be read is said by an error
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    metadata = loaded.get(METADATA, {}) if isinstance(loaded, dict) else {}
    if isinstance(loaded, dict) and {"average", "progress"} <= loaded.keys():
        words = "of training, not what is scored: without output/'s level, and batch norms fitted to averaged weights"
        _log.warning("%s: a checkpoint %s", visible(str(path)), words)
    for _ in range(MOST_WRAPPERS):
        inner = wrapped(loaded)
        loaded = loaded if inner is None else inner
    return loaded, metadata


def with_numbers_of_numpy() -> AbstractContextManager[None]:
    """Also take numpy's numbers and arrays of numbers: trainers store scores and the states of random numbers so."""
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
        return nullcontext()  # its list takes no names, and these have two each
    kinds = [type(np.dtype(kind)) for kind in ("bool", "i4", "i8", "u4", "u8", "f4", "f8")]
    makers: dict[str, Any] = {"_reconstruct": np.zeros(0).__reduce__()[0], "scalar": np.float64(0).__reduce__()[0]}
    # the module was renamed in numpy 2: a file names the one that it was written with
    both = [f"numpy.{core}.multiarray" for core in ("core", "_core")]
    named = [(maker, f"{module}.{name}") for name, maker in makers.items() for module in both]
    return torch.serialization.safe_globals([np.ndarray, np.dtype, *kinds, *named])


def wrapped(loaded: Any) -> dict[str, Any] | None:
    """Return the state dict that trainers store beside their optimizer and counters, None where there is none."""
    found = [loaded.get(name) for name in WRAPPERS] if isinstance(loaded, dict) else []
    return next((inner for inner in found if isinstance(inner, dict)), None)


def is_entry(item: tuple[Any, Any]) -> bool:
    """Say whether something is a named tensor, whose values are all there."""
    return isinstance(item[0], str) and isinstance(item[1], Tensor) and is_plain(item[1])


def is_plain(value: Tensor) -> bool:
    """Say whether a tensor keeps each of its values; one that repeats some or leaves out zeros can claim terabytes."""
    if value.layout is not torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_nested:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def reason(start: bytes, error: Exception) -> str:
    """Say why a file that begins with `start` cannot be read, without the reader's own advice on how to run it."""
    if not start:
        return "it is empty"
    if type(error).__name__ == "SafetensorError":
        return str(error)
    if start[:2] != b"PK" and start[:1] != b"\x80":
        return "it is neither safetensors nor a PyTorch file"
    if isinstance(error, pickle.UnpicklingError):
        return "it holds Python objects besides tensors, which could run code, or is damaged"
    return "it is truncated or damaged"
