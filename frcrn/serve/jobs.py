"""Work that is asked about: its state, its progress, and its results, which are kept for a while."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from frcrn.audio import BLOCK, AudioError, Samples, writer
from frcrn.audio.fifo import Queue
from frcrn.files import is_full
from frcrn.serve.limits import MEGABYTE, NO_ROOM, Limits, Refusal
from frcrn.serve.pool import Cancelled, Ticket
from frcrn.serve.service import Service
from frcrn.serve.work import Enhancement, Opened, Upload, opened, stored_as, suffix_for

_log = logging.getLogger(__name__)

PARTS = ("before", "after", "removed")
"""What can be had of a finished job: the sound as it came, its clean form, and the difference."""

GONE = "no such job; it was deleted, or its result was kept for long enough"

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"


class Job:
    """One upload, and what became of it."""

    def __init__(self, upload: Upload, ticket: Ticket) -> None:
        self.id = secrets.token_urlsafe(16)
        self.upload, self.ticket = upload, ticket
        self.state, self.progress = QUEUED, 0.0
        self.gone = False
        self.error: str | None = None
        self.levels: dict[str, Any] | None = None
        self.asked = self.finished = time.monotonic()

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in (QUEUED, RUNNING)

    @property
    def folder(self) -> Path:
        """Where all its files are."""
        return self.upload.path.parent

    @property
    def clean(self) -> Path:
        """The clean form, float32 samples of all channels in turn."""
        return self.folder / "clean.f32"

    def report(self) -> dict[str, Any]:
        """Return what can be known of it."""
        self.asked = time.monotonic()
        found = {"id": self.id, "state": self.state, "progress": round(self.progress, 4), "name": self.upload.name}
        return found | {"error": self.error, "levels": self.levels}

    def end(self, state: str, error: str | None = None) -> None:
        """Say how it ended, unless it has before."""
        if not self.ended:
            self.state, self.error, self.finished = state, error, time.monotonic()


class Jobs:
    """All jobs; the oldest finished ones go where there are too many, too large or too old ones."""

    def __init__(self, service: Service) -> None:
        self._service, self._limits = service, service.limits
        self._jobs: dict[str, Job] = {}

    def start(self, upload: Upload, ticket: Ticket) -> Job:
        """Let a worker enhance an upload."""
        job = Job(upload, ticket)
        self.tidy()
        self._jobs[job.id] = job
        done = self._service.pool.submit(ticket, lambda: enhance(self._service, job))
        done.add_done_callback(lambda work: self._over(job, work))
        return job

    def _over(self, job: Job, work: Future[None]) -> None:
        """Note how the work of a job ended; what failed leaves only its error."""
        conclude(job, work)
        if job.state == FAILED:
            self._service.remove(job.folder)

    def get(self, id: str) -> Job:
        """Return a job, or refuse."""
        if id not in self._jobs:
            raise Refusal(404, GONE)
        return self._jobs[id]

    def cancel(self, job: Job) -> None:
        """End a job that is not finished, and forget one that is."""
        if job.ended:
            del self._jobs[job.id]
            job.gone = True
        job.end(CANCELLED)
        self._service.leave(job.ticket, job.folder)

    def counts(self) -> dict[str, int]:
        """Return how many jobs are in which state."""
        states = [job.state for job in self._jobs.values()]
        return {state: states.count(state) for state in (QUEUED, RUNNING, DONE, FAILED, CANCELLED)}

    def tidy(self) -> None:
        """Cancel what nobody asks about, and forget what is old or too much."""
        now, limits = time.monotonic(), self._limits
        for job in list(self._jobs.values()):
            minutes = limits.kept_minutes if job.ended else limits.forgotten_minutes
            if now - max(job.asked, job.finished) > 60 * minutes:
                self.cancel(job)
        for job in self._too_many(limits):
            self.cancel(job)

    def _too_many(self, limits: Limits) -> Iterator[Job]:
        """Yield the jobs that must go so that one more has room, the oldest first."""
        ended = sorted((job for job in self._jobs.values() if job.ended), key=lambda job: job.finished)
        count, size = len(self._jobs), sum(size_of(job.folder) for job in self._jobs.values())
        for job in ended:
            if count < limits.results and size < limits.kept_megabytes * MEGABYTE:
                return
            count, size = count - 1, size - size_of(job.folder)
            yield job


def size_of(folder: Path) -> int:
    """Count the bytes of all files below a folder; of one that is being removed, what is left."""
    total = 0
    for place, _, names in os.walk(folder):  # unlike a glob's, its errors end nothing where a folder goes meanwhile
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total


def enhance(service: Service, job: Job) -> None:
    """Enhance an upload into a file of plain samples; done by a worker."""
    upload = job.upload
    job.state = RUNNING if job.state == QUEUED else job.state
    with opened(upload, service.limits, job.ticket.check) as source, job.clean.open("wb") as file:
        stored_as(source, upload.name, suffix_for(upload))  # what cannot be written is refused before the work
        enhancement = Enhancement(service.network(upload), source.recording, upload.options)
        for block in enhancement.blocks():
            file.write(np.ascontiguousarray(block.T, np.float32).tobytes())
            job.progress = min(1.0, enhancement.progress)
    job.levels = enhancement.levels() | {"model": upload.options.settings.model}


def conclude(job: Job, work: Future[None]) -> None:
    """Say how the work of a job ended."""
    if work.cancelled() or isinstance(work.exception(), Cancelled):
        job.end(CANCELLED)
    elif (error := work.exception()) is None:
        job.end(DONE)
    elif isinstance(error, Refusal):
        job.end(FAILED, error.sentence)
    elif is_full(error):
        job.end(FAILED, NO_ROOM)
    else:
        foreseen = isinstance(error, (AudioError, ValueError, ImportError))
        job.end(FAILED, str(error) if foreseen else "the server made a mistake; its log says more")
        if not foreseen:
            _log.error("a job failed", exc_info=error)


def part_of(job: Job, part: str, suffix: str, limits: Limits) -> Path:
    """Return a file with a part of a finished job; written when it is first asked for, by one thread at a time."""
    try:
        path = _written(job, part, suffix, limits)
    except (OSError, ValueError):
        if not job.gone:
            raise
    if job.gone:  # deleted meanwhile: what was written since then goes too
        shutil.rmtree(job.folder, ignore_errors=True)
        raise Refusal(404, GONE)
    return path


def _written(job: Job, part: str, suffix: str, limits: Limits) -> Path:
    path = job.folder / f"{part}{suffix}"
    if not path.exists():
        with opened(job.upload, limits, lambda: None) as source:
            write_part(job, source, part, path)
    return path


def write_part(job: Job, source: Opened, part: str, path: Path) -> None:
    """Write one of `PARTS`; the clean form exactly as the command line would."""
    recording = source.recording
    form = stored_as(source, job.upload.name, path.suffix)
    length = job.clean.stat().st_size // (4 * recording.channels)
    origin = source.origin if part == "after" else None
    with writer(path, recording.rate, recording.channels, form, frames=length, origin=origin) as append:
        for block in samples_of(job, source, part):
            append(block)


def samples_of(job: Job, source: Opened, part: str) -> Iterator[Samples]:
    """Yield blocks [C, n] of one of `PARTS`."""
    recording = source.recording
    if part == "before":
        yield from recording.blocks()
        return
    before = Queue(recording.blocks(), recording.channels)
    with job.clean.open("rb") as file:
        while data := file.read(4 * recording.channels * BLOCK):
            clean = np.frombuffer(data, np.float32).reshape(-1, recording.channels).T
            yield clean if part == "after" else before.take(clean.shape[1]) - clean
