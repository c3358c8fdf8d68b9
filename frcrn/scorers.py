"""Scoring in processes of its own: all cores are used, and a clip on which a metric's C code dies costs one process."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

import numpy as np

from frcrn.metrics import Scores, Wave, check_names, score

# A fresh interpreter and a pipe, not `multiprocessing`: that would run the caller's own script again in each process.
# Bare packages stand in for two whose own import loads torch, which scoring has no use for.
PROGRAM = """
import sys, types
for name in ("frcrn", "frcrn.audio"):
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [sys.argv[1] + name[5:].replace(".", "/")]
from frcrn.scorers import serve
serve()
"""


class ScorerError(RuntimeError):
    """A scoring process could not start or failed outside any one clip."""


class Scorers:
    """A pool of scoring processes; use as a context manager."""

    def __init__(self, names: Iterable[str], *, rate: int = 16000, workers: int | None = None, **options: Any) -> None:
        """Score `names` at `rate`; `options` are those of `frcrn.metrics.score`."""
        self.names, self.rate, self.options = check_names(names), rate, options
        self.workers = workers or available_cores()
        self._local = threading.local()
        self._closed = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="frcrn-scorer")

    def submit(self, clean: Wave, enhanced: Wave, names: Iterable[str] | None = None) -> Future[Scores]:
        """Queue one pair [T], [T]; `names` in place of the pool's."""
        chosen = self.names if names is None else check_names(names)
        return self._threads.submit(self._score, np.asarray(clean), np.asarray(enhanced), chosen)

    def _score(self, clean: Wave, enhanced: Wave, names: tuple[str, ...]) -> Scores:
        process = self._process()
        try:
            _send(cast(BinaryIO, process.stdin), ((clean, enhanced, self.rate, names), self.options))
            reply = pickle.load(cast(BinaryIO, process.stdout))
        except (EOFError, OSError, pickle.UnpicklingError):
            self._local.process = None
            return self._without_the_cause(clean, enhanced, names, _ending(process))
        if isinstance(reply, Exception):
            raise reply
        return cast(Scores, reply)

    def _without_the_cause(self, clean: Wave, enhanced: Wave, names: tuple[str, ...], ending: str) -> Scores:
        """Score one metric at a time after a process died, so that only the one at fault fails."""
        if len(names) == 1:
            return Scores(failures={names[0]: f"the metric's own code ended with {ending}"})
        found = Scores()
        for name in () if self._closed else names:
            alone = self._score(clean, enhanced, (name,))
            found.values.update(alone.values)
            found.failures.update(alone.failures)
        return found

    def _process(self) -> subprocess.Popen[bytes]:
        """Return this thread's process, started at its first clip and again after one that died."""
        process: subprocess.Popen[bytes] | None = getattr(self._local, "process", None)
        if process is None:
            process = self._local.process = _start()
            self._processes.append(process)
        return process

    def close(self) -> None:
        """Drop what is queued and end the processes."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                _quietly(cast(BinaryIO, pipe).close)
        self._threads.shutdown()

    def __enter__(self) -> Scorers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start() -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).resolve().parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches the parent alone, which decides when to stop
    )
    try:
        pickle.load(cast(BinaryIO, process.stdout))
    except EOFError as error:
        raise ScorerError(f"a scoring process did not start: it ended with {_ending(process)}") from error
    return process


def _ending(process: subprocess.Popen[bytes]) -> str:
    code = process.wait()
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except OSError:
        return


def _send(pipe: BinaryIO, message: object) -> None:
    pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def serve() -> None:
    """Answer pairs on standard input until it closes; runs in the scoring process."""
    source, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a metric's code prints must not mix with the replies
    _send(replies, "ready")
    while True:
        try:
            arguments, options = pickle.load(source)
        except EOFError:
            return
        try:
            reply: Scores | Exception = score(*arguments, **options)
        except Exception as error:  # noqa: BLE001 - passed on to the parent whole
            reply = error
        try:
            _send(replies, reply)
        except BrokenPipeError:
            os._exit(1)  # the parent was killed; nobody is left to tell
