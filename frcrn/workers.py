"""Processes that answer questions through a pipe: all cores are used, and a crash in C code costs one of them.

A fresh interpreter and a pipe, not `multiprocessing`: that would run the caller's own script again in each process.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, cast

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
READY = "ready"


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
    send(replies, READY)
    while True:
        try:
            question = pickle.load(source)
        except EOFError:
            return
        try:
            reply = answer(question)
        except Exception as error:  # noqa: BLE001 - passed on to the parent whole
            reply = error
        try:
            send(replies, reply)
        except BrokenPipeError:
            os._exit(1)  # the parent was killed; nobody is left to tell


def send(pipe: BinaryIO, message: object) -> None:
    """Write one message."""
    pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except OSError:
        return
