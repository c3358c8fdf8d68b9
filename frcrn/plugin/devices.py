"""The framework's names of devices: `cpu`, `gpu` or `cuda` (the CPU where there is no GPU), `gpu:1` or `cuda:1`."""

from __future__ import annotations

import re

import torch

ACCEPTED = "cpu, gpu, cuda, gpu:N or cuda:N"


def parts_of(device: object) -> tuple[str, int | None]:
    """Return `cpu` or `gpu`, and the number of a GPU where one is given."""
    found = re.fullmatch(r"(cpu)|(?:gpu|cuda)(?::(\d+))?", str(device or "gpu").lower())
    if found is None:
        raise ValueError(f"device: expected {ACCEPTED}, found {str(device)!r}")
    kind, number = found.groups()
    return kind or "gpu", None if number is None else int(number)


def refuse_missing(device: object, number: int) -> None:
    """Refuse the number of a GPU that this machine does not have."""
    if number >= (count := torch.cuda.device_count()):
        raise ValueError(f"device: this machine has {count} GPUs for PyTorch, counted from 0; found {str(device)!r}")


def for_pipeline(device: object) -> str:
    """Return the name that the framework takes; without any GPU it computes on the CPU, whatever the number."""
    kind, number = parts_of(device)
    if kind == "gpu" and torch.cuda.is_available():
        refuse_missing(device, number or 0)
    return kind if number is None else f"{kind}:{number}"


def for_training(device: object) -> str:
    """Return our name of it; a GPU by its number has to be there, since training elsewhere could take weeks."""
    kind, number = parts_of(device)
    if number is None:
        return "cpu" if kind == "cpu" else "auto"
    refuse_missing(device, number)
    return f"cuda:{number}"
