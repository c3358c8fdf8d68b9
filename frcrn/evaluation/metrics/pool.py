"""Scoring in processes of its own: all cores are used, and a clip on which a metric's C code dies costs one process."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np

from frcrn.evaluation.metrics.scores import Scores, Wave, check_names, score
from frcrn.workers import Died, Helper, available_cores, end
from frcrn.workers import serve as answer_questions

# Bare packages stand in for two whose own import loads torch, which scoring has no use for.
PROGRAM = """
import sys, types
for name in ("frcrn", "frcrn.audio", "frcrn.evaluation", "frcrn.evaluation.metrics"):
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [sys.argv[1] + name[5:].replace(".", "/")]
from frcrn.evaluation.metrics.pool import serve
serve()
"""


class ScorerError(RuntimeError):
    """A scoring process could not start or failed outside any one clip."""


class Scorers:
    """A pool of scoring processes; use as a context manager."""

    def __init__(self, names: Iterable[str], *, rate: int = 16000, workers: int | None = None, **options: Any) -> None:
        """Score `names` at `rate`; `options` are those of `frcrn.evaluation.metrics.scores.score`."""
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
        helper = self._helper()
        try:
            return cast(Scores, helper.ask(((clean, enhanced, self.rate, names), self.options)))
        except Died as death:
            self._local.helper = None
            return self._without_the_cause(clean, enhanced, names, str(death))

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

    def _helper(self) -> Helper:
        """Return this thread's process, started at its first clip and again after one that died."""
        helper: Helper | None = getattr(self._local, "helper", None)
        if helper is None:
            helper = self._local.helper = _start()
            self._processes.append(helper.process)
        return helper

    def close(self) -> None:
        """Drop what is queued and end the processes."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        end(self._processes)
        self._threads.shutdown()

    def __enter__(self) -> Scorers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _start() -> Helper:
    try:
        return Helper(PROGRAM, str(Path(__file__).resolve().parents[2]))
    except Died as death:
        raise ScorerError(f"a scoring process did not start: it ended with {death}") from death


def serve() -> None:
    """Answer pairs; runs in the scoring process."""
    answer_questions(lambda question: score(*question[0], **question[1]))
