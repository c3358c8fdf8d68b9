"""The endless stream of training examples: its place is one number, so that a run can go on exactly where it was."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from frcrn.audio.arrays import samples_of
from frcrn.training.distributed import Processes
from frcrn.training.loading import Guarded, from_workers, prepare_worker, started

logger = logging.getLogger("frcrn.training")

Batch = dict[str, Tensor]

ENOUGH = 16
"""Examples after which a set that has none without samples that are no numbers is refused."""


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
    """Stack examples of equal length [T] into noisy and clean [B, T]; samples that are no numbers become silence.

    `spoiled` [B] tells which examples had any.
    """
    lengths = sorted({len(example[key]) for example in examples for key in ("noisy", "clean")})
    if len(lengths) > 1:
        raise ValueError(f"recipe.data: expected examples of one length, found {lengths[0]} and {lengths[-1]} samples")
    stacked = {key: torch.stack([_floats(example[key]) for example in examples]) for key in ("noisy", "clean")}
    sound = {key: torch.nan_to_num(value, 0.0, 0.0, 0.0) for key, value in stacked.items()}
    spoiled = [~value.isfinite().all(dim=1) for value in stacked.values()]
    return {**sound, "spoiled": spoiled[0] | spoiled[1]}


def _floats(wave: Any) -> Tensor:
    """Return samples in -1..1, as everywhere: whole numbers are parts of their full scale."""
    if isinstance(wave, Tensor) and wave.is_floating_point():
        return wave.float()
    return torch.from_numpy(samples_of(wave))


class Spoiled:
    """Counts the examples that have samples which are no numbers, of all that a process has heard by now."""

    def __init__(self) -> None:
        self.found = self.seen = 0
        self.said = False

    def count(self, parts: Sequence[Batch]) -> None:
        """Count those of some batches; a set that has nothing else is refused."""
        self.seen += sum(len(batch["noisy"]) for batch in parts)
        self.found += sum(int(batch["spoiled"].sum()) for batch in parts)
        if self.found == self.seen >= ENOUGH:
            raise ValueError(
                f"recipe.data: all of the first {self.seen} examples have samples that are no finite numbers"
            )

    def warn(self, processes: Processes) -> None:
        """Say once how many there are, over all processes; each must call it."""
        if self.said:
            return
        found, seen = map(sum, zip(*processes.all((self.found, self.seen)), strict=True))
        self.said = found > 0
        if self.said and processes.first:
            logger.warning(
                "recipe.data: %d of %d examples have samples that are no finite numbers, which are taken for silence",
                found,
                seen,
            )


def gathered(examples: Sequence[Any]) -> Batch | Exception:
    """Make a batch, or return the first error among its examples, or in making it."""
    failed = next((example for example in examples if isinstance(example, Exception)), None)
    if failed is not None:
        return failed
    try:
        return collate(examples)
    except ValueError as error:
        return error


def batches(data: Any, stream: BatchOrder, workers: int) -> Iterator[Batch]:
    """Return the batches of a stream, loaded by `workers` processes, which start now, or in this one."""
    source: Any = Guarded(data) if workers else data
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more processes than cores is a choice
        loader = DataLoader(
            source,
            batch_sampler=stream,
            num_workers=workers,
            collate_fn=gathered if workers else collate,
            worker_init_fn=prepare_worker if workers else None,
            # its own: the loader must not draw from the generator that the network draws from
            generator=torch.Generator().manual_seed(stream.seed),
            pin_memory=torch.cuda.is_available(),
        )
        return from_workers(started(loader)) if workers else iter(loader)
