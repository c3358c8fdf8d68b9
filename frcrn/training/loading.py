"""The processes that load batches: how they start and end, and what is said where they cannot."""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import active_children, queues
from typing import Any, NoReturn

from torch.utils.data import DataLoader

from frcrn.training.signals import ASKING

NOT_HANDED_OVER = 75
"""How a loading process ends that has no room for its batch."""

SOON = 0.5
"""Seconds in which a process that broke off its connection has ended."""

REMEDY = 'set fewer "workers" in recipe.train, or 0'
ROOM = f"give /dev/shm more room (in Docker by --shm-size), or {REMEDY}"
FILES = f"raise the limit of open files (ulimit -n), or {REMEDY}"


class LoadingFailed(OSError):
    """A process that loads batches ended, or none could be started."""


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


def from_workers(loaded: Iterator[Any]) -> Iterator[Any]:
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
