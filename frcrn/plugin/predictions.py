"""A trainer's network over rows of data, batch by batch, each handed to a function that saves it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frcrn.models import Enhancer
from frcrn.plugin.datasets import SPOKEN, examples_of
from frcrn.plugin.model import outputs_of

Row = dict[str, Any]
SavingFn = Callable[[dict[str, Any], dict[str, Any]], Any]
"""Gets the batch, waves [B, T] by column and lists of all else, and what the model makes of it."""


@torch.no_grad()
def predict(network: Enhancer, dataset: Any, saving_fn: SavingFn, size: int, *, part: int = 0, parts: int = 1) -> None:
    """Call `saving_fn(inputs, outputs)` for this process's part of the rows, up to `size` of one length at once."""
    network, device = network.eval(), next(network.parameters()).device
    rows = (row for number, row in enumerate(examples_of(dataset, network.sample_rate)) if number % parts == part)
    for batch in batched(rows, size):
        inputs = {name: joined(name, [row[name] for row in batch], device) for name in batch[0]}
        saving_fn(inputs, outputs_of(network(inputs["noisy"])))


def batched(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Yield up to `size` neighbours with the same columns and waves of the same length."""
    batch: list[Row] = []
    for row in rows:
        if batch and (len(batch) == size or form_of(row) != form_of(batch[0])):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def form_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's columns, with the lengths of its waves."""
    return {name: len(value) if name in SPOKEN else None for name, value in row.items()}


def joined(name: str, values: list[Any], device: torch.device) -> Tensor | list[Any]:
    """Return one column of a batch: waves as [B, T], all else as a list."""
    if name not in SPOKEN:
        return values
    return torch.stack([torch.from_numpy(np.asarray(value, np.float32)) for value in values]).to(device)
