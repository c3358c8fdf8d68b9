"""Processes behind a pipe end without a word when nobody hears it; the threads before them can always be closed."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import CancelledError
from contextlib import suppress
from queue import SimpleQueue

import pytest

from frcrn.workers import Helper, Pool, Promised, Threads

SERVE = "from frcrn.workers import serve\nserve(lambda question: question)\n"


@pytest.mark.parametrize("sent", [b"", pickle.dumps("a question"), pickle.dumps("a question")[:9]])
@pytest.mark.parametrize("heard", [True, False])
def test_a_process_whose_parent_was_killed_says_nothing(sent: bytes, heard: bool) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", SERVE], **pipes) as process:
        assert process.stdin and process.stdout and process.stderr
        if not heard:
            process.stdout.close()
        with suppress(BrokenPipeError):  # it may have ended by now
            process.stdin.write(sent)
            process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == (0 if heard else 1)


def no_process() -> Helper:
    raise AssertionError("nothing is asked")


def test_what_is_found_or_goes_wrong_comes_back_as_often_as_it_is_asked_for() -> None:
    pool = Pool(2, no_process)
    found, failed = pool.submit(divmod, 7, 2), pool.submit(divmod, 7, 0)
    assert found.result() == found.result() == (3, 1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failed.result()
    pool.close()


def test_what_waits_at_the_end_comes_to_nothing() -> None:
    pool, begun, go_on = Pool(1, no_process), threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        go_on.wait(10)
        return 1

    first, second = pool.submit(work), pool.submit(work)
    assert begun.wait(10)
    threading.Timer(0.1, go_on.set).start()
    pool.close()
    assert first.result() == 1
    with pytest.raises(CancelledError):
        second.result()
    with pytest.raises(RuntimeError, match="nothing more can be submitted"):
        pool.submit(work)


def test_threads_keep_the_order_end_with_their_owner_and_begin_again_in_a_fork() -> None:
    owner = Threads(3)
    assert list(owner.map(abs, range(-50, 0))) == [*range(50, 0, -1)]
    if hasattr(os, "fork"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fork beside threads
            child = os.fork()
        if not child:
            os._exit(list(owner.map(abs, [-7]))[0])
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert owner.running == 3
    ended = owner._ended
    del owner
    for _ in range(3):
        ended.get(timeout=10)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers")
def test_an_interrupt_at_any_moment_leaves_nothing_locked() -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before, moments = signal.signal(signal.SIGALRM, interrupt), random.Random(0)
    try:
        for _ in range(300):
            pool, done = Pool(4, no_process), SimpleQueue[Promised[int]]()
            try:
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-4, 1e-2))
                for number in range(400):
                    pool.submit(abs, -number, done=done)
                for _ in range(400):
                    done.get().result()
                time.sleep(1)
            except KeyboardInterrupt:
                pass
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                pool.close()
            assert not pool._threads.running
    finally:
        signal.signal(signal.SIGALRM, before)
