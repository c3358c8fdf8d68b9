"""The endless stream of training examples: its place is one number, so that a run can go on exactly where it was."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing import active_children, queues
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from frcrn.audio.arrays import samples_of
from frcrn.training.signals import ASKING

logger = logging.getLogger("frcrn.training")

Batch = dict[str, Tensor]

NOT_HANDED_OVER = 75
"""How a loading process ends that has no room for its batch."""

SOON = 0.5
"""Seconds in which a process that broke off its connection has ended."""

REMEDY = 'set fewer "workers" in recipe.train, or 0'
ROOM = f"give /dev/shm more room (in Docker by --shm-size), or {REMEDY}"
FILES = f"raise the limit of open files (ulimit -n), or {REMEDY}"

ENOUGH = 16
"""Examples after which a set that has none without samples that are no numbers is refused."""


class LoadingFailed(OSError):
    """A process that loads batches ended, or none could be started."""


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
    """Counts the examples that have samples which are no numbers, of all that a run has heard by now."""

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

    def warn(self) -> None:
        """Say once how many there are."""
        if self.found and not self.said:
            self.said = True
            logger.warning(
                "recipe.data: %d of %d examples have samples that are no finite numbers, which are taken for silence",
                self.found,
                self.seen,
            )


def prepare_worker(worker: int) -> None:
    """Keep a loading process alive while its parent saves a last checkpoint, and end it where it loses a batch."""
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)  # as `in_peace` left them
    # multiprocessing would print why a batch was not sent and go on, and the parent would wait for it for ever
    queues.Queue._on_queue_feeder_error = staticmethod(end_for_lost_batch)  # type: ignore[attr-defined]


def end_for_lost_batch(error: Exception, batch: object) -> NoReturn:
    """End a loading process whose batch could not be sent."""
    os._exit(NOT_HANDED_OVER)


class Guarded:
    """A set in a loading process, which hands an error on as it is, without the loader's trace."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        try:
            return self.data[key]
        except Exception as error:  # noqa: BLE001 - the run raises it
            try:
                pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
            except Exception:  # noqa: BLE001 - whatever an error of somebody else's cannot do
                return LoadingFailed(f"{type(error).__name__}: {error}")
            return error


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


def started(loader: DataLoader[Any]) -> Iterator[Any]:
    """Start the processes of a loader; where not all can be, none stays."""
    before = set(active_children())
    with in_peace():
        try:
            return iter(loader)
        except (OSError, RuntimeError) as error:
            new = [child for child in active_children() if child not in before]
            why = cannot_start(loader.num_workers, error, [child.exitcode for child in new])
        for child in new:
            child.kill()
            child.join()
    raise LoadingFailed(why)


def cannot_start(count: int, error: Exception, codes: Sequence[int | None]) -> str:
    """Say why processes cannot be started, and what helps."""
    if ended := next(filter(None, codes), None):
        return ending(ended)
    number = error.errno if isinstance(error, OSError) else None
    remedy = {errno.EMFILE: FILES, errno.ENFILE: FILES, errno.ENOSPC: ROOM}.get(number or 0, REMEDY)
    what = (isinstance(error, OSError) and error.strerror) or str(error).partition(". ")[0]
    return f"the {count} processes that load batches cannot be started ({what}): {remedy}"


def from_workers(loaded: Iterator[Any]) -> Iterator[Batch]:
    """Yield what loading processes make; the end of one of them is said in a sentence."""
    try:
        while True:
            batch = next(loaded)
            if isinstance(batch, Exception):
                break
            yield batch
    except (RuntimeError, OSError, EOFError) as error:  # the last two where one was gone from which a batch was fetched
        codes = [code for worker in workers_of(loaded) if (code := code_of(worker))]
        if not codes and not str(error).startswith("Too many open files"):
            raise
        raise LoadingFailed(ending(codes[0]) if codes else f"too many open files: {FILES}") from None
    finally:
        end(loaded)
    raise batch


def workers_of(loaded: Any) -> Sequence[Any]:
    """Return the processes behind a loader's batches."""
    return getattr(loaded, "_workers", ())


def code_of(worker: Any) -> int | None:
    """Return how a loading process ended, None where it goes on."""
    worker.join(SOON)
    code: int | None = worker.exitcode
    return code


def end(loaded: Any) -> None:
    """End loading processes; one that stands still hears no other signal, as `prepare_worker` has it."""
    loaded._shutdown_workers()
    for worker in workers_of(loaded):
        if worker.is_alive():
            worker.kill()


@contextlib.contextmanager
def in_peace() -> Iterator[None]:
    """Start loading processes: no signal comes between, and none to those that have not learnt yet to ignore it.

    The loader's handler of children that end is not kept, as it would raise in the middle of a step or a save; and
    what it prints of itself half-made is kept back.
    """
    number, aside = getattr(signal, "SIGCHLD", None), sys.unraisablehook
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(number)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
    sys.unraisablehook = lambda unraisable: None
    try:
        yield
    finally:
        sys.unraisablehook = aside
        signal.signal(number, signal.SIG_DFL if before is None else before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def ending(code: int) -> str:
    """Say why a loading process is gone, and what helps."""
    if code == NOT_HANDED_OVER:
        return f"a process that loads batches had no room to hand one over: {ROOM}"
    if code == -getattr(signal, "SIGKILL", 9):
        return f"a process that loads batches was killed, as by a system that runs out of memory: {REMEDY}"
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"a process that loads batches ended ({how}): {REMEDY}, which shows what happens there"
