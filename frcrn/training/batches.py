"""The endless stream of training examples: its place is one number, so that a run can go on exactly where it was."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from frcrn.audio.arrays import samples_of
from frcrn.training.signals import ASKING

Batch = dict[str, Tensor]


class BatchOrder(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) without end: each epoch in its own order, batches run on across epochs.

    Each process takes its part of every batch, so that their union is the batch that one process would take.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        seed: int,
        start: int = 0,
        part: int = 0,
        parts: int = 1,
        in_order: bool = False,
    ) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.start, self.part, self.parts, self.in_order = start, part, parts, in_order

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        place = self.start + self.part * self.batch_size
        while True:
            yield [self.example(place + offset) for offset in range(self.batch_size)]
            place += self.batch_size * self.parts

    def example(self, place: int) -> tuple[int, int]:
        """Return the epoch and index of one place in the stream."""
        epoch, position = divmod(place, self.length)
        return epoch, self.order(epoch)[position]

    def order(self, epoch: int) -> Sequence[int]:
        """Return the order of an epoch, a function of the seed and the epoch alone."""
        if self.in_order:
            return range(self.length)
        if getattr(self, "kept_epoch", None) != epoch:
            generator = torch.Generator().manual_seed(1_000_003 * self.seed + epoch)
            self.kept_epoch, self.kept = epoch, torch.randperm(self.length, generator=generator).tolist()
        return self.kept


def collate(examples: Sequence[dict[str, Tensor]]) -> Batch:
    """Stack examples of equal length [T] into noisy and clean [B, T]; samples that are no numbers become silence."""
    lengths = sorted({len(example[key]) for example in examples for key in ("noisy", "clean")})
    if len(lengths) > 1:
        raise ValueError(f"recipe.data: expected examples of one length, found {lengths[0]} and {lengths[-1]} samples")
    stacked = {key: torch.stack([_floats(example[key]) for example in examples]) for key in ("noisy", "clean")}
    return {key: torch.nan_to_num(value, 0.0, 0.0, 0.0) for key, value in stacked.items()}


def _floats(wave: Any) -> Tensor:
    """Return samples in -1..1, as everywhere: whole numbers are parts of their full scale."""
    if isinstance(wave, Tensor) and wave.is_floating_point():
        return wave.float()
    return torch.from_numpy(samples_of(wave))


def leave_signals_to_parent(worker: int) -> None:
    """Keep a loading process alive while its parent saves a last checkpoint."""
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN)


def batches(data: Any, stream: BatchOrder, workers: int) -> Iterator[Batch]:
    """Return the batches of a stream, loaded by `workers` processes, or in this one."""
    # a generator of its own: the loader must not draw from the one that the network draws from
    loader = DataLoader(
        data,
        batch_sampler=stream,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=leave_signals_to_parent if workers else None,
        generator=torch.Generator().manual_seed(stream.seed),
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)
