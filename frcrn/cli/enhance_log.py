"""What `frcrn enhance` says while it works: a line a file, progress, a summary, and a list of failures."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from frcrn.cli.common import Bar, progress_bar, report_error, sentence
from frcrn.files import refuse_links
from frcrn.texts import cell
from frcrn.visible import visible

if TYPE_CHECKING:
    from frcrn.inference.one_file import Outcome, Task
    from frcrn.inference.paths import Job

FAILURES = "failures.csv"
COLUMNS = ("source", "target", "reason")


class Log:
    """What became of each file, told as it comes; use as a context manager, at whose end comes the summary."""

    def __init__(self, jobs: Sequence[Job], folder: Path | None, *, as_json: bool, quiet: bool = False) -> None:
        self.quiet = quiet
        self.total, self.as_json, self.folder = len(jobs), as_json, folder
        self.sizes = {job: size_of(job.source) for job in jobs}
        self.counts = {"enhanced": 0, "done before": 0, "failed": 0}
        self.seconds = self._done = 0.0
        self._begun = time.monotonic()
        self._stack = ExitStack()
        self._failures: Any = None

    @property
    def code(self) -> int:
        """Return the exit code."""
        return 2 if self.counts["failed"] else 0

    def partly(self, job: Job, share: float) -> None:
        """Show how much of a file is done."""
        self._bar(self._done + share * self.sizes[job])

    def add(self, outcome: Outcome) -> None:
        """Note and tell what became of one file."""
        if self.folder is not None and not sum(self.counts.values()):  # nobody else writes in the folder any more
            (self.folder / FAILURES).unlink(missing_ok=True)
        self.counts[outcome.status] += 1
        self.seconds += outcome.seconds or 0.0
        self._bar.clear()
        self._tell(outcome)
        self._done += self.sizes[outcome.job]
        if outcome.status != "enhanced":
            self._bar.skip(self.sizes[outcome.job])
        self._bar.note = self._note()
        self._bar(self._done)

    def __enter__(self) -> Log:
        if self.folder is not None:
            refuse_other(self.folder / FAILURES)
        single = next(iter(self.sizes)).source if self.total == 1 else None
        self._bar: Bar = self._stack.enter_context(progress_bar(sum(self.sizes.values()), str(single or "")))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if kind is None or issubclass(kind, (KeyboardInterrupt, SystemExit)):
            self._summarise(stopped=kind is not None)

    def _note(self) -> str:
        done = sum(self.counts.values())
        speed = self.seconds / max(time.monotonic() - self._begun, 1e-9)
        return f"{done} of {self.total} files, {speed:.1f} times real time,"

    def _tell(self, outcome: Outcome) -> None:
        if outcome.error is not None and self.folder is not None:
            self._list(self.folder / FAILURES, outcome.job, sentence(outcome.error))
        if self.as_json:
            print(json.dumps(as_dict(outcome)), flush=True)
        elif outcome.error is not None:
            report_error(named(outcome.error, outcome.job))
        elif outcome.status == "enhanced" and not self.quiet:
            print(visible(f"{outcome.job.source} -> {outcome.job.target}"), flush=True)

    def _list(self, path: Path, job: Job, reason: str) -> None:
        """Append to failures.csv, which begins with the first failure."""
        if self._failures is None:
            file = path.open("w", encoding="utf-8", errors="surrogateescape", newline="", buffering=1)
            self._failures = csv.writer(self._stack.enter_context(file), lineterminator="\n")
            self._failures.writerow(COLUMNS)
        self._failures.writerow([cell(os.fspath(text)) for text in (job.source, job.target, reason)])

    def _summarise(self, *, stopped: bool) -> None:
        enhanced, before, failed = self.counts.values()
        elapsed = time.monotonic() - self._begun
        if self.as_json:
            counts = {"files": self.total, "enhanced": enhanced, "done_before": before, "failed": failed}
            times = {"seconds_of_audio": round(self.seconds, 3), "elapsed": round(elapsed, 3)}
            print(json.dumps({"summary": counts | times | {"stopped": stopped}}), flush=True)
        elif self.total > 1 and not (self.quiet and not failed and not stopped):
            text = f"{enhanced} of {self.total} files enhanced, {failed} failed"
            text += f", {before} done before" if before else ""
            text += f"; the reasons are in {self.folder / FAILURES}" if failed and self.folder else ""
            text += "; give the same command again to go on" if stopped else ""
            print(text, file=sys.stderr if failed or stopped else sys.stdout, flush=True)


def refuse_other(path: Path) -> None:
    """Refuse what is no list of failures of ours where that is to be."""
    refuse_links(path)
    if not path.exists():
        return
    with path.open("rb") as file:
        begun = file.read(len(",".join(COLUMNS)))
    if not ",".join(COLUMNS).encode().startswith(begun):
        raise ValueError(f"{path}: is there already, and no list of failures; give a folder of its own, or rename it")


def rehearse(work: Sequence[Task], *, as_json: bool, repair: bool) -> int:
    """Open each file that would be enhanced and say what would be done; return the exit code."""
    from frcrn.inference.one_file import is_done

    counts = {"would enhance": 0, "done before": 0, "would fail": 0}
    total = 0.0
    for task in work:
        job, seconds, error = task.job, None, None
        if not (done := job.problem is None and is_done(task)):
            seconds, error = examined(task, repair=repair)
        status = "done before" if done else "would fail" if error else "would enhance"
        counts[status] += 1
        total += seconds or 0.0
        if as_json:
            told = {"source": str(job.source), "target": str(job.target), "status": status, "seconds": seconds}
            print(json.dumps(told | {"error": error and sentence(error)}))
        elif error:
            report_error(named(error, job))
        else:
            print(visible(f"{status}: {job.source} -> {job.target}"))
    enhanced, before, failed = counts.values()
    if len(work) > 1 and not as_json:
        text = f"would enhance {enhanced} of {len(work)} files, {total / 60:.1f} minutes of audio, {failed} would fail"
        print(text + (f", {before} done before" if before else ""), file=sys.stderr if failed else sys.stdout)
    return 2 if failed else 0


def examined(task: Task, *, repair: bool) -> tuple[float | None, Exception | None]:
    """Return how long a file says that it is, or why it cannot be enhanced."""
    from frcrn.audio import Reader
    from frcrn.inference.one_file import refuse_foreign

    job = task.job
    if job.problem is not None:
        return None, ValueError(job.problem)
    try:
        refuse_foreign(task)
        with Reader(job.source, repair=repair) as reader:
            return reader.seconds, None
    except (OSError, ValueError) as error:
        return None, error


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON can say it."""
    return {
        "source": str(outcome.job.source),
        "target": str(outcome.job.target),
        "status": outcome.status,
        "error": None if outcome.error is None else sentence(outcome.error),
        "seconds_of_audio": outcome.seconds,
    }


def named(error: Exception, job: Job) -> Exception:
    """Name the file where the error is not one that does so itself."""
    return error if isinstance(error, (ValueError, OSError, ImportError)) else RuntimeError(f"{job.source}: {error}")


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, 0 for what is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
