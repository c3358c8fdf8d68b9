"""Threads give what they found, end with their owner, and can be interrupted and closed at any moment."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import warnings
from concurrent.futures import CancelledError
from queue import SimpleQueue

import pytest

from frcrn.threads import Promised, Threads


def test_what_is_found_or_goes_wrong_comes_back_as_often_as_it_is_asked_for() -> None:
    threads = Threads(2)
    found, failed = threads.submit(divmod, 7, 2), threads.submit(divmod, 7, 0)
    assert found.result() == found.result() == (3, 1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failed.result()
    threads.close()


def test_what_waits_at_the_end_comes_to_nothing() -> None:
    threads, begun, go_on = Threads(1), threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        go_on.wait(10)
        return 1

    first, second = threads.submit(work), threads.submit(work)
    assert begun.wait(10)
    threading.Timer(0.1, go_on.set).start()
    threads.close()
    assert first.result() == 1
    with pytest.raises(CancelledError):
        second.result()
    with pytest.raises(RuntimeError, match="nothing more can be submitted"):
        threads.submit(work)


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
            threads, done = Threads(4), SimpleQueue[Promised[int]]()
            try:
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-4, 1e-2))
                for number in range(400):
                    threads.submit(abs, -number, done=done)
                for _ in range(400):
                    done.get().result()
                time.sleep(1)
            except KeyboardInterrupt:
                pass
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                threads.close()
            assert not threads.running
    finally:
        signal.signal(signal.SIGALRM, before)
