"""Processes behind a pipe end without a word when nobody hears it."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from frcrn.workers import Died, Helper, Pool

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


def test_a_process_that_was_just_starting_at_the_end_is_asked_nothing() -> None:
    starting, asked = threading.Event(), []

    class Slow(Helper):
        def __init__(self) -> None:
            starting.set()
            time.sleep(0.5)
            super().__init__(SERVE)

        def ask(self, question: object) -> object:
            asked.append(question)
            return super().ask(question)

    pool = Pool(1, Slow)
    promised = pool.submit(pool.ask, "a question")
    assert starting.wait(10)
    pool.close()
    with pytest.raises(Died, match="SIGTERM"):
        promised.result()
    assert asked == [] and pool.processes[0].poll() is not None
