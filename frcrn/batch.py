"""Enhance many files: which goes where, and what became of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from frcrn.audio import ACCEPTED, AudioError, find, is_audio_name


class Job(NamedTuple):
    """One file and where its clean form goes; `problem` says why it cannot be done."""

    source: Path
    target: Path
    problem: str | None = None


class Outcome(NamedTuple):
    """What became of a job; no error means that the target is there."""

    job: Job
    error: Exception | None


def plan(inputs: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str]) -> list[Job]:
    """List the jobs: one file goes to a file, several files or folders into a folder with the same trees inside.

    An output that exists as a folder, ends in a slash or has no extension is a folder. Of several inputs, each folder
    keeps its own name inside; a single folder gives its contents. What lies in the output folder is no input.
    """
    paths = [Path(path) for path in inputs]
    if len(paths) == 1 and not paths[0].is_dir() and not _is_folder(output):
        return [Job(paths[0], Path(output))]
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise AudioError(f"{folder}: is a file; several files or a folder need a folder to go to")
    jobs = [job for path in paths for job in _jobs(path, folder, keep_name=len(paths) > 1)]
    return list(_without_collisions(jobs))


def run(jobs: Iterable[Job], enhance: Callable[[Path, Path], None]) -> Iterator[Outcome]:
    """Enhance one after the other and say what became of each; one that fails does not stop the others."""
    for job in jobs:
        try:
            if job.problem:
                raise AudioError(job.problem)
            job.target.parent.mkdir(parents=True, exist_ok=True)
            enhance(job.source, job.target)
        except Exception as error:
            yield Outcome(job, error)
        else:
            yield Outcome(job, None)


def _is_folder(output: str | os.PathLike[str]) -> bool:
    path = Path(output)
    if path.exists():
        return path.is_dir()
    return os.fspath(output).endswith(("/", os.sep)) or (not path.suffix and not is_audio_name(path))


def _jobs(path: Path, folder: Path, *, keep_name: bool) -> list[Job]:
    """The jobs of one input."""
    if not path.is_dir():
        return [Job(path, folder / path.name)]
    inside = folder.resolve()
    same = inside == path.resolve()
    found = [file for file in find([path]) if same or not file.resolve().is_relative_to(inside)]
    if not found:
        return [Job(path, folder, f"{path}: no audio files in this folder; accepted are {ACCEPTED}")]
    root = folder / path.resolve().name if keep_name else folder
    return [Job(file, root / file.relative_to(path)) for file in found]


def _without_collisions(jobs: Iterable[Job]) -> Iterator[Job]:
    """Name the second of two files with one target, and drop a file that was given twice."""
    taken: dict[Path, Path] = {}
    for job in jobs:
        first = taken.setdefault(job.target, job.source)
        if first is job.source or job.problem:
            yield job
        elif first.resolve() != job.source.resolve():
            yield job._replace(problem=f"{job.source}: {job.target} is already taken by {first}; rename one of them")
