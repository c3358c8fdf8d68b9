"""Which files are enhanced, and where each goes."""

from __future__ import annotations

import glob
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TextIO

from frcrn.audio import ACCEPTED, AudioError, find, is_audio_name, is_media_name
from frcrn.files import inode_of, path_text

Place = str | os.PathLike[str]
LONGEST_PATH = 1 << 14  # no system has longer ones


class Job(NamedTuple):
    """One file and where its clean form goes; `problem` says why it cannot be done."""

    source: Path
    target: Path
    problem: str | None = None


def plan(inputs: Sequence[Place], output: Place, listed: Sequence[Place] = ()) -> list[Job]:
    """List the jobs: one file goes to a file, several files or folders into a folder with the same trees inside.

    An output that exists as a folder, ends in a slash or has no extension is a folder. Of several inputs, each folder
    keeps its own name inside; a single folder gives its contents, as does a pattern, which keeps the tree below its
    fixed part. The `listed` files keep the tree below the folder that they share. What lies in the output folder is no
    input, and no job writes over an input.
    """
    for place in (*inputs, output):
        _refuse_empty(place)
    if len(inputs) == 1 and not listed and _is_file(inputs[0]) and not is_folder(output):
        jobs = [Job(Path(inputs[0]), Path(output))]
    else:
        jobs = list(_within(Path(output), _into_folder(inputs, Path(output), listed)))
    return without_overwriting(list(_without_collisions(jobs, key_in(Path(output)))))


def plan_beside(places: Sequence[Place], *, force: bool) -> list[tuple[list[Job], Path]]:
    """List the jobs of inputs without an output, and where each input's go; no job writes over any of the inputs.

    Nobody has named the files that come beside others: one that is there already is replaced with `force` only.
    """
    plans = [(plan([place], out), out) for place, out in beside(places)]
    sources = [job.source for jobs, _ in plans for job in jobs]
    return [(_named(without_overwriting(jobs, sources), out, force), out) for jobs, out in plans]


def _named(jobs: Sequence[Job], out: Path, force: bool) -> list[Job]:
    """Name the job of a single file whose place is taken; a folder has its manifest."""
    there = "is there already; --force replaces it, and -o names another file"
    return [
        job._replace(problem=f"{job.target}: {there}")
        if job.target == out and not (job.problem or force) and os.path.lexists(out)
        else job
        for job in jobs
    ]


def beside(places: Iterable[Place]) -> Iterator[tuple[Place, Path]]:
    """Yield each input and where it goes without an output: NAME.clean.EXT for a file, NAME.clean/ for a folder."""
    for place in places:
        _refuse_empty(place)
        path = Path(place)
        if _is_pattern(place):
            names = [name for name in sorted(glob.glob(os.fspath(place), recursive=True)) if _is_sound(name)]
            if not names:
                raise AudioError(f"{path}: no audio files match this pattern; accepted are {ACCEPTED}")
            yield from beside(names)
        elif path.is_dir():
            yield place, path.resolve().with_name(f"{path.resolve().name}.clean") / ""
        else:
            yield place, path.with_name(f"{path.stem}.clean{path.suffix}")


def _refuse_empty(place: Place) -> None:
    """Refuse a name without letters, which would be the working folder: a variable of the shell may be unset."""
    if not path_text(place, "the file or folder"):
        raise AudioError("an empty name: expected a file or folder; is a variable of the shell empty?")


def _is_sound(name: str) -> bool:
    return (is_audio_name(name) or is_media_name(name)) and os.path.isfile(name)


def is_folder(output: Place) -> bool:
    """Say whether an output is meant as a folder."""
    path = Path(output)
    if path.exists():
        return path.is_dir()
    return os.fspath(output).endswith(("/", os.sep)) or (not path.suffix and not is_audio_name(path))


def read_list(lines: TextIO) -> list[Path]:
    """Return the paths in a list, one a line; empty lines are skipped, what is no list is refused."""
    found: list[str] = []
    while line := lines.readline(LONGEST_PATH + 1):
        if len(line) > LONGEST_PATH or "\0" in line:
            raise ValueError(f"line {len(found) + 1} of the list is no path; expected a text file with one path a line")
        found.append(line if found else line.removeprefix("\ufeff"))  # which editors on Windows begin with
    return [Path(line.rstrip("\r\n")) for line in found if line.strip()]


def _is_file(path: Place) -> bool:
    return not Path(path).is_dir() and not _is_pattern(path)


def _is_pattern(path: Place) -> bool:
    return glob.has_magic(os.fspath(path)) and not os.path.lexists(path)


def _into_folder(inputs: Sequence[Place], folder: Path, listed: Sequence[Place]) -> list[Job]:
    if folder.exists() and not folder.is_dir():
        raise AudioError(f"{folder}: is a file; several files or a folder need a folder to go to")
    if not folder.exists() and (is_audio_name(folder) or is_media_name(folder)):
        raise AudioError(f"{folder}: names a file; several files or a folder go to a folder, such as {folder.stem}/")
    several = len(inputs) > 1 or bool(listed)
    jobs = [job for path in inputs for job in _jobs(path, folder, keep_name=several)]
    return jobs + _listed([Path(path) for path in listed], folder)


def _jobs(place: Place, folder: Path, *, keep_name: bool) -> list[Job]:
    """The jobs of one input."""
    path = Path(place)
    if _is_pattern(place):
        root, what = _fixed_part(path), "no audio files match this pattern"
        names = sorted(glob.glob(os.fspath(place), recursive=True))
        files = [Path(name) for name in names if (is_audio_name(name) or is_media_name(name)) and os.path.isfile(name)]
    elif path.is_dir():
        root, what, files = path, "no audio files in this folder", find([path], media=True)
    else:
        return [Job(path, folder / path.name)]
    if folder.resolve() == root.resolve():
        raise AudioError(f"{root}: is the input and the output; choose another folder for the output")
    if not files:
        return [Job(path, folder, f"{path}: {what}; accepted are {ACCEPTED}")]
    if not (files := [file for file in files if _outside(folder, file)]):
        return [Job(path, folder, f"{path}: lies in the output, whose files are no input; choose another output")]
    inside = folder / root.resolve().name if keep_name else folder
    return [Job(file, inside / file.relative_to(root)) for file in files]


def _fixed_part(pattern: Path) -> Path:
    """Return the folders of a pattern before the first one with a wildcard."""
    parts = pattern.parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[: min(fixed, len(parts) - 1)])


def _outside(folder: Path, file: Path) -> bool:
    return not file.resolve().is_relative_to(folder.resolve())


def _listed(paths: Sequence[Path], folder: Path) -> list[Job]:
    files = [(path, Path(os.path.abspath(path))) for path in find(paths, media=True)]
    if not files:
        return []
    shared = os.path.commonpath([full.parent for _, full in files])
    return [Job(path, folder / full.relative_to(shared)) for path, full in files]


def _within(folder: Path, jobs: Iterable[Job]) -> Iterator[Job]:
    """Name each job whose target is elsewhere by a link in the folder: nobody asked for a file there."""
    for job in jobs:
        problem = None if job.problem else led_out(folder, job.target)
        yield job._replace(problem=f"{job.source}: {problem}") if problem else job


def led_out(folder: Path, target: Path) -> str | None:
    """Return what is wrong with a target in a folder out of which a link there leads; None where nothing is."""
    inside = Path(os.path.realpath(target)).is_relative_to(os.path.realpath(folder))
    return None if inside else f"{target} would be written elsewhere, as a link there leads"


def folds_case(place: Path) -> bool:
    """Say whether names that differ in the size of letters are one file there, or in the nearest folder above."""
    folder = next(path for path in (place, *place.absolute().parents) if path.is_dir()).resolve()
    with suppress(OSError):
        for path in (*islice(folder.iterdir(), 100), folder):
            if (other := path.with_name(path.name.swapcase())).name != path.name:
                return os.path.samefile(path, other)
    return False


def key_in(place: Path) -> Callable[[str], str]:
    """Return a function of names, by which those of one file there are equal."""
    return (lambda name: unicodedata.normalize("NFC", name).casefold()) if folds_case(place) else str


def _without_collisions(jobs: Iterable[Job], key: Callable[[str], str]) -> Iterator[Job]:
    """Name the second of two files with one target, and drop a file that was given twice."""
    taken: dict[str, Path] = {}
    for job in jobs:
        first = taken.setdefault(key(os.path.realpath(job.target)), job.source)
        if first is job.source or job.problem:
            yield job
        elif first.resolve() != job.source.resolve():
            yield job._replace(problem=f"{job.source}: {job.target} is already taken by {first}; rename one of them")


def without_overwriting(jobs: Sequence[Job], sources: Iterable[Path] = ()) -> list[Job]:
    """Name each job that would write over an input, its own, another's or one of `sources`, under whatever name."""
    inputs = {mark for source in (*sources, *(job.source for job in jobs)) if (mark := inode_of(source))}
    return [
        job._replace(problem=f"{job.source}: {job.target} is an input, which is never written over")
        if not job.problem and inode_of(job.target) in inputs
        else job
        for job in jobs
    ]
