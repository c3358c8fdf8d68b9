"""Several processes that enhance, each with its share of the cores."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

from frcrn import workers
from frcrn.inference.one_file import Outcome, Settings, Task, enhance_one
from frcrn.workers import Died, Helper, available_cores

GRACE = 10.0
"""Seconds that a process has for removing what is half-written."""
PROGRAM = """
import sys
sys.path[0] = sys.argv[1]
from frcrn.crew import serve
serve()
"""


class Crew:
    """Processes that enhance, each with its share of the cores."""

    def __init__(self, settings: Settings, count: int) -> None:
        self.settings = settings
        self.share = max(1, available_cores() // count)
        self._local = threading.local()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="frcrn-enhance")

    def submit(self, task: Task) -> Future[Outcome]:
        """Queue one file."""
        return self._threads.submit(self._ask, task)

    def close(self) -> None:
        """Drop what is queued; end the processes, which remove what is half-written."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        workers.end(self._processes, grace=GRACE)
        self._threads.shutdown()

    def _ask(self, task: Task) -> Outcome:
        try:
            outcome: Outcome = self._helper().ask(task)
        except Died as death:
            self._local.helper = None
            return Outcome(task.job, RuntimeError(f"the process that enhanced it ended with {death}"))
        return outcome

    def _helper(self) -> Helper:
        """Return this thread's process, started at its first file and again after one that died."""
        helper: Helper | None = getattr(self._local, "helper", None)
        if helper is None:
            helper = Helper(PROGRAM, str(Path(__file__).resolve().parent.parent), threads=self.share)
            self._local.helper = helper
            self._processes.append(helper.process)
            helper.ask(self.settings)
        return helper


def serve() -> None:
    """Enhance what is asked for, with the settings that are the first question; runs in the process."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    settings, model = Settings(), cache(Settings().open)

    def answer(question: Settings | Task) -> Outcome | None:
        nonlocal settings, model
        if isinstance(question, Task):
            return enhance_one(question, settings, model, None)
        settings, model = question, cache(question.open)
        return None

    workers.serve(answer)
