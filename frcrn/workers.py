"""Processes that answer questions through a pipe: all cores are used, and a crash in C code costs one of them.

A fresh interpreter and a pipe, not `multiprocessing`: that would run the caller's own script again in each process.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from frcrn.threads import Threads

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
READY = "ready"


class Died(RuntimeError):
    """A process ended instead of answering; the message says how."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"signal {signal.Signals(-self.code).name}" if self.code < 0 else f"exit code {self.code}"

    @property
    def killed(self) -> bool:
        """Whether it was ended from outside, such as by the system where memory ran out; no crash has these signals."""
        return self.code in (-9, -15)


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
            raise Died(self.process.wait()) from error
        answer = self._receive()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _receive(self) -> Any:
        try:
            return pickle.load(cast(BinaryIO, self.process.stdout))
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise Died(self.process.wait()) from error


def program(module: str, function: str) -> str:
    """Return the program of a process that runs a function of one of our modules; its argument is where we are."""
    return f"import sys\nsys.path[0] = sys.argv[1]\nfrom {module} import {function}\n{function}()\n"


def helper(module: str, function: str, *, threads: int = 1) -> Helper:
    """Start a process that runs a function of one of our modules, which calls `serve`."""
    return Helper(program(module, function), str(Path(__file__).resolve().parents[1]), threads=threads)


class Pool:
    """Threads that each keep one process, started at its first question and again after one that died."""

    def __init__(self, count: int, start: Callable[[], Helper], *, grace: float = 0.0) -> None:
        """Start no process yet; `grace` is how many seconds one has for removing what is half-written."""
        self._start, self._grace = start, grace
        self._local = threading.local()
        self.processes: list[subprocess.Popen[bytes]] = []
        self._threads = Threads(count)
        self.submit = self._threads.submit

    def ask(self, question: object) -> Any:
        """Return the answer of this thread's process, or raise how it died; the next question starts another."""
        try:
            helper = self._helper()
            if self.closed:  # while it started; what it would begin is not waited for
                raise Died(-signal.SIGTERM)
            return helper.ask(question)
        except Died:
            self._local.helper = None
            raise

    @property
    def closed(self) -> bool:
        """Whether nothing more is asked."""
        return self._threads.dropped

    def close(self) -> None:
        """Drop what is queued and end the processes."""
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
