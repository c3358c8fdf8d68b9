"""Enhance many files: in which way, one after the other or in several processes, and what became of each."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from frcrn import workers
from frcrn.files import path_text, sweep
from frcrn.inference.enhance import Progress
from frcrn.inference.manifest import Manifest, refuse_made_elsewhere
from frcrn.inference.one_file import Outcome, Settings, Task, enhance_one, is_kept
from frcrn.inference.paths import Job, Place, plan
from frcrn.machine import available_cores
from frcrn.threads import Promised
from frcrn.workers import Died, Helper, Pool, helper

_log = logging.getLogger(__name__)

GRACE = 10.0
"""Seconds that a process has for removing what is half-written."""


MOST_PROCESSES = 8
FILES_A_PROCESS = 4
"""A process takes seconds to start; fewer files than this are not worth one."""


def enhance_folder(
    inputs: Place | Sequence[Place],
    output: Place,
    *,
    jobs: int | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> list[Outcome]:
    """Enhance folders, files and patterns into a folder, and return what became of each file.

    What an earlier run finished is not done again; a file that fails is an outcome with an `error`.

    Args:
        inputs: a folder, a file, a pattern such as "in/*.wav", or several of these.
        output: the folder to write; it gets the same tree, names and formats.
        jobs: processes; None is one a core, at most 8.
        force: redo finished files, and replace files of the same names that no run made, or one of other recordings.
        progress: called with the files done and the files in all.
        **settings: as for `enhance_file`.

    Example:
        >>> outcomes = frcrn.enhance_folder("recordings", "cleaned")
    """
    places = [inputs] if isinstance(inputs, (str, os.PathLike)) else inputs
    if not isinstance(places, Sequence) or any(
        not isinstance(place, (str, os.PathLike)) or place == "" for place in places
    ):
        raise ValueError(f"inputs {inputs!r}: expected folders, files or patterns")
    if jobs is not None and (not isinstance(jobs, int) or jobs < 1):
        raise ValueError(f"jobs {jobs!r}: expected a whole number from 1")
    planned = plan(places, os.path.join(path_text(output, "the output"), ""))
    # by when a file's turn comes, the working folder may be another one
    steady = [job._replace(source=job.source.absolute(), target=job.target.absolute()) for job in planned]
    manifest = None if all(job.problem for job in planned) else Manifest(Path(output).absolute())
    outcomes = []
    for outcome in enhance_all(steady, Settings(**settings), manifest, force=force, count=jobs):
        outcomes.append(outcome)
        if progress:
            progress(len(outcomes), len(planned))
    order = {job: number for number, job in enumerate(steady)}
    outcomes.sort(key=lambda outcome: order[outcome.job])
    return [outcome._replace(job=job) for outcome, job in zip(outcomes, planned, strict=True)]


def enhance_all(
    jobs: Sequence[Job],
    settings: Settings,
    manifest: Manifest | None,
    *,
    force: bool = False,
    count: int | None = None,
    progress: Callable[[Job, float], None] | None = None,
) -> Generator[Outcome, None, None]:
    """Do the jobs and note in the manifest what is done; yield what became of each, as they come."""
    identity = settings.identity()
    work = tasks(jobs, mark_of(identity), manifest, force=force)
    count = min(len(work), count or processes_for(len(work)))
    if count > 1:  # one alone is this one, and says so itself
        _log.info("%s: runtime %s in %d processes", settings.model, identity["runtime"], count)
    with manifest or nullcontext():
        if manifest is not None:
            manifest.describe(identity, mark_of(identity))
            begun = [task.job.target for task in work if not task.job.problem and _may_begin(task)]
            for target in begun:
                manifest.plan(target)
            refuse_made_elsewhere(manifest.folder, begun)
        for outcome in run(work, settings, count=count, progress=progress):
            if manifest is not None and outcome.record is not None:
                manifest.add(outcome.job.target, outcome.record)
            elif manifest is not None and outcome.error is not None:
                manifest.give_up(outcome.job.target)
            yield outcome


def _may_begin(task: Task) -> bool:
    """Say whether a file will be made that is not there, or whose place it may take, as far as that is known yet."""
    if not task.job.target.exists() or not (task.foreign or task.kept):
        return True
    return not task.foreign and task.known is not None and task.known.settings != task.settings and is_kept(task)


def tasks(jobs: Sequence[Job], mark: str, manifest: Manifest | None, *, force: bool = False) -> list[Task]:
    """Join the jobs with what the manifest knows; `force` forgets it, and takes the place of any file."""
    if manifest is None:
        return [Task(job, mark) for job in jobs]
    if force:
        return [Task(job, mark, None, record=True) for job in jobs]
    return [
        Task(
            job,
            mark,
            manifest.known(job.target),
            record=True,
            foreign=not manifest.is_ours(job.target, job.source),
            kept=not manifest.is_begun(job.target),
        )
        for job in jobs
    ]


def mark_of(identity: dict[str, Any]) -> str:
    """Return a short hash of settings."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def run(
    work: Sequence[Task],
    settings: Settings,
    *,
    count: int = 1,
    progress: Callable[[Job, float], None] | None = None,
) -> Iterator[Outcome]:
    """Enhance in `count` processes and say what became of each file, as they come; one that fails stops no other.

    With one, this process does it, in the order given, and `progress` gets the part of each file that is done.
    """
    if any(task.record for task in work):
        sweep(task.job.target for task in work)
    if count > 1:
        yield from _in_processes(work, settings, count)
        return
    model = cache(settings.open)
    for task in work:
        part = None if progress is None else _part(progress, task.job)
        yield enhance_one(task, settings, model, part)


def processes_for(files: int) -> int:
    """Return how many processes so many files are worth: one a core, at most 8, none for a few files."""
    return max(1, min(available_cores(), MOST_PROCESSES, files // FILES_A_PROCESS))


def _part(progress: Callable[[Job, float], None], job: Job) -> Progress:
    return lambda share: progress(job, share)


def _in_processes(work: Sequence[Task], settings: Settings, count: int) -> Iterator[Outcome]:
    """Give the longest files out first, so that none is left to one process at the end."""
    crew = Crew(settings, count)
    try:
        for task in sorted(work, key=_size, reverse=True):
            crew.submit(task)
        for _ in work:
            yield crew.done.get().result()
    finally:
        crew.close()


def _size(task: Task) -> int:
    try:
        return os.stat(task.job.source).st_size
    except OSError:
        return 0


class Crew:
    """Processes that enhance, each with its share of the cores."""

    def __init__(self, settings: Settings, count: int) -> None:
        self.settings, self.share = settings, max(1, available_cores() // count)
        self._pool = Pool(count, self._start, grace=GRACE)
        self.close = self._pool.close
        self.done: SimpleQueue[Promised[Outcome]] = SimpleQueue()
        """What became of files, as they come."""

    def submit(self, task: Task) -> None:
        """Queue one file."""
        self._pool.submit(self._ask, task, done=self.done)

    def _ask(self, task: Task) -> Outcome:
        try:
            outcome: Outcome = self._pool.ask(task)
        except Died as death:
            sweep([task.job.target])
            return Outcome(task.job, RuntimeError(f"the process that enhanced it ended with {death}"))
        return outcome

    def _start(self) -> Helper:
        started = helper(__name__, serve.__name__, threads=self.share)
        started.ask(self.settings)
        return started


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
