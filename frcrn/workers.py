"""Processes that answer questions through a pipe: all cores are used, and a crash in C code costs one of them.

A fresh interpreter and a pipe, not `multiprocessing`: that would run the caller's own script again in each process.
"""

from __future__ import annotations

import _thread
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, Generic, TypeVar, cast

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
READY = "ready"
PATIENCE = 5.0
"""Seconds that a thread has for what it was doing with a process that has ended."""

Answer = TypeVar("Answer")


class Died(RuntimeError):
    """A process ended instead of answering; the message says how."""


class Helper:
    """One process that runs `program`, which calls `serve`."""

    def __init__(self, program: str, *arguments: str, threads: int = 1) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | dict.fromkeys(THREADS, str(threads)),
            start_new_session=True,  # Ctrl-C reaches the parent alone, which decides when to stop
        )
        self._receive()

    def ask(self, question: object) -> Any:
        """Return the answer, or raise the exception that the process met."""
        try:
            send(cast(BinaryIO, self.process.stdin), question)
        except OSError as error:
            raise Died(self._ending()) from error
        answer = self._receive()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _receive(self) -> Any:
        try:
            return pickle.load(cast(BinaryIO, self.process.stdout))
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise Died(self._ending()) from error

    def _ending(self) -> str:
        code = self.process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def program(module: str, function: str) -> str:
    """Return the program of a process that runs a function of one of our modules; its argument is where we are."""
    return f"import sys\nsys.path[0] = sys.argv[1]\nfrom {module} import {function}\n{function}()\n"


def helper(module: str, function: str, *, threads: int = 1) -> Helper:
    """Start a process that runs a function of one of our modules, which calls `serve`."""
    return Helper(program(module, function), str(Path(__file__).resolve().parents[1]), threads=threads)


class Promised(Generic[Answer]):
    """What a thread will have found.

    Waiting for it may be interrupted anywhere, which can leave the lock of a Future, or of an Event, taken for ever.
    """

    def __init__(self) -> None:
        self._came: SimpleQueue[tuple[Answer | None, BaseException | None]] = SimpleQueue()

    def keep(self, work: Callable[..., Answer], *arguments: Any) -> None:
        """Work, and be what comes of it."""
        try:
            self._came.put((work(*arguments), None))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._came.put((None, error))

    def drop(self) -> None:
        """Come to nothing."""
        self._came.put((None, CancelledError()))

    def result(self) -> Answer:
        """Wait for what was found, or raise what went wrong."""
        found, error = came = self._came.get()
        self._came.put(came)  # for whoever asks again
        if error is not None:
            raise error
        return cast(Answer, found)


Waiting = SimpleQueue[tuple[Promised[Any], Callable[[], object]] | None]


class Threads:
    """Up to `count` threads that work side by side, begun as they are needed; a context closes them at its end.

    They are begun below `threading`, whose own way waits at an Event (see `Promised`).
    """

    def __init__(self, count: int) -> None:
        self._count, self._dropped = count, False
        self._begin()

    def _begin(self) -> None:
        self._process, self._begun = os.getpid(), 0
        self._queue: Waiting = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        weakref.finalize(self, _end_threads, self._queue, self._count)

    def submit(
        self,
        work: Callable[..., Answer],
        *arguments: Any,
        done: SimpleQueue[Promised[Answer]] | None = None,
    ) -> Promised[Answer]:
        """Queue work; what it came to goes into `done`, too, as soon as it is there."""
        if self._dropped:
            raise RuntimeError("these threads were ended; nothing more can be submitted")
        promised: Promised[Answer] = Promised()

        def act() -> None:
            promised.keep(work, *arguments)
            if done is not None:
                done.put(promised)

        if self._process != os.getpid():  # a fork, which has none of the threads
            self._begin()
        self._queue.put((promised, act))
        if self._begun < self._count:
            _thread.start_new_thread(_work, (self._queue, self._ended))
            self._begun += 1
        return promised

    @property
    def running(self) -> int:
        """How many threads there are."""
        return max(0, self._begun - self._ended.qsize())  # one may have begun uncounted, as an interrupt came

    def map(self, work: Callable[[Any], Answer], values: Iterable[Any]) -> Iterator[Answer]:
        """Yield what comes of each value, in their order."""
        for promised in [self.submit(work, value) for value in values]:
            yield promised.result()

    def drop(self) -> None:
        """Let what waits come to nothing, and threads end once they have nothing to do."""
        self._dropped = True
        with suppress(Empty):
            while True:
                if (task := self._queue.get_nowait()) is not None:
                    task[0].drop()
        _end_threads(self._queue, self._count)

    def close(self) -> None:
        """Drop what waits, and wait for the threads, within reason."""
        self.drop()
        end = time.monotonic() + PATIENCE
        while self.running and time.monotonic() < end:
            time.sleep(0.001)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _work(queue: Waiting, ended: SimpleQueue[None]) -> None:
    while (task := queue.get()) is not None:
        task[1]()
        del task  # and what it holds
    ended.put(None)


def _end_threads(queue: Waiting, count: int) -> None:
    for _ in range(count):
        queue.put(None)


class Pool:
    """Threads that each keep one process, started at its first question and again after one that died."""

    def __init__(self, count: int, start: Callable[[], Helper], *, grace: float = 0.0) -> None:
        """Start no process yet; `grace` is how many seconds one has for removing what is half-written."""
        self._start, self._grace = start, grace
        self._local = threading.local()
        self.processes: list[subprocess.Popen[bytes]] = []
        self._threads = Threads(count)
        self.submit = self._threads.submit
        self.closed = False

    def ask(self, question: object) -> Any:
        """Return the answer of this thread's process, or raise how it died; the next question starts another."""
        try:
            return self._helper().ask(question)
        except Died:
            self._local.helper = None
            raise

    def close(self) -> None:
        """Drop what is queued and end the processes."""
        self.closed = True
        self._threads.drop()
        end(self.processes, grace=self._grace)
        self._threads.close()
        end([process for process in self.processes if process.poll() is None])  # of one that was just starting it

    def _helper(self) -> Helper:
        helper: Helper | None = getattr(self._local, "helper", None)
        if helper is None:
            helper = self._local.helper = self._start()
            self.processes.append(helper.process)
        return helper


def end(processes: list[subprocess.Popen[bytes]], *, grace: float = 0.0) -> None:
    """End processes: with a `grace` in seconds they are asked to first, so that they can remove what is half done."""
    if grace:
        for process in processes:
            process.terminate()
    for process in processes:
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            _quietly(cast(BinaryIO, pipe).close)


def serve(answer: Callable[[Any], object]) -> None:
    """Answer the questions on standard input until it closes; runs in the process."""
    source, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what C code prints must not mix with the replies
    _tell(replies, READY)
    while True:
        try:
            question = pickle.load(source)
        except (EOFError, pickle.UnpicklingError):  # half a question is one of a parent that was killed
            return
        try:
            reply = answer(question)
        except Exception as error:  # noqa: BLE001 - passed on to the parent whole
            reply = error
        _tell(replies, reply)


def _tell(replies: BinaryIO, message: object) -> None:
    try:
        send(replies, message)
    except BrokenPipeError:
        os._exit(1)  # the parent was killed; nobody is left to tell


def send(pipe: BinaryIO, message: object) -> None:
    """Write one message."""
    pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except OSError:
        return
