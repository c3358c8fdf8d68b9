"""Scoring in processes of its own: all cores are used, and a clip on which a metric's C code dies costs one process."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, cast

import numpy as np

from frcrn.evaluation.metrics.scores import Scores, Wave, check_names, score
from frcrn.machine import available_cores
from frcrn.threads import Promised
from frcrn.workers import Died, Helper, Pool, helper
from frcrn.workers import serve as answer_questions

ATTEMPTS = 3
"""How often a question is asked whose process is killed from outside."""
KILLED = f"the scoring process was killed {ATTEMPTS} times, as where memory runs out; the next run tries again"


class ScorerError(OSError):
    """A scoring process could not start or failed outside any one clip."""


class Scorers:
    """A pool of scoring processes; use as a context manager."""

    def __init__(self, names: Iterable[str], *, rate: int = 16000, workers: int | None = None, **options: Any) -> None:
        """Score `names` at `rate`; `options` are those of `frcrn.evaluation.metrics.scores.score`."""
        self.names, self.rate, self.options = check_names(names), rate, options
        self.workers = workers or available_cores()
        self._pool = Pool(self.workers, _start)
        self.close = self._pool.close

    def submit(self, clean: Wave, enhanced: Wave, names: Iterable[str] | None = None) -> Promised[Scores]:
        """Queue one pair [T], [T]; `names` in place of the pool's."""
        chosen = self.names if names is None else check_names(names)
        return self._pool.submit(self._score, np.asarray(clean), np.asarray(enhanced), chosen)

    def _score(self, clean: Wave, enhanced: Wave, names: tuple[str, ...], attempts: int = ATTEMPTS) -> Scores:
        try:
            return cast(Scores, self._pool.ask(((clean, enhanced, self.rate, names), self.options)))
        except Died as death:
            if death.killed and attempts > 1 and not self._pool.closed:
                return self._score(clean, enhanced, names, attempts - 1)
            return self._without_the_cause(clean, enhanced, names, death)

    def _without_the_cause(self, clean: Wave, enhanced: Wave, names: tuple[str, ...], death: Died) -> Scores:
        """Score one metric at a time after a process died, so that only the one at fault fails."""
        if len(names) == 1:
            return Scores(failures={names[0]: KILLED if death.killed else f"the metric's own code ended with {death}"})
        found = Scores()
        for name in () if self._pool.closed else names:
            alone = self._score(clean, enhanced, (name,))
            found.values.update(alone.values)
            found.failures.update(alone.failures)
        return found

    def __enter__(self) -> Scorers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _start(attempts: int = ATTEMPTS) -> Helper:
    try:
        return helper(__name__, serve.__name__)
    except Died as death:
        if death.killed and attempts > 1:
            return _start(attempts - 1)
        raise ScorerError(f"a scoring process did not start: it ended with {death}") from death


def serve() -> None:
    """Answer pairs; runs in the scoring process."""
    answer_questions(lambda question: score(*question[0], **question[1]))
