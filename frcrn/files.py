"""Whole files or none: writing beside and renaming, locks, folders of our own."""

from __future__ import annotations

import atexit
import errno
import itertools
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from frcrn.texts import NAMES

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Of a disk, a quota and a limit, which the system reports without saying for what file."""
_TEMPORARY = ".frcrn"
"""How names of temporary folders of our own end, after what nobody would call theirs."""
_PART_NAME = 255 - len("..01234567.part")
_PART = re.compile(r"\.(?P<target>.+)\.[0-9a-f]{8}\.(part|tags)")
_unfinished: set[tuple[int, Path]] = set()
"""What this process, by its number, is writing: a signal can come between two lines, where no `finally` is reached."""


@contextmanager
def replacing(path: str | os.PathLike[str], *, new: bool = False) -> Iterator[Path]:
    """Give an empty file of our own beside `path`; on success it takes that place, otherwise it is removed.

    With `new` it replaces none that came there meanwhile, but takes another name and says so in an error. Nobody can
    have put a file or a link beside `path` before: that name cannot be foreseen, and one that exists is refused.
    """
    target = Path(os.path.realpath(path_text(path, "the file")))
    if target.is_dir():
        raise IsADirectoryError(21, "Is a directory", str(path))
    special = target.exists() and not target.is_file()
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    replaced = target.stat() if target.is_file() else None
    folder = Path(tempfile.gettempdir()) if special else target.parent
    try:
        beside, descriptor = _begun(folder, target.name, replaced.st_mode & 0o777 if replaced else 0o666)
    except OSError as error:
        error.filename = str(path)
        raise
    try:
        with _being_written(descriptor):
            if replaced:
                give_to(descriptor, replaced)
            yield beside
            if special:
                _pour(beside, target)
            else:
                free = _claimed(target) if new else target
                os.replace(beside, free)
                if free != target:
                    this = Path(path).with_name(free.name)
                    raise ValueError(f"{path}: came there meanwhile, and is not replaced; this one is in {this}")
    except OSError as error:
        if (is_full(error) and error.filename is None) or str(error.filename) == str(beside):
            error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)
        _unfinished.discard((os.getpid(), beside))


def _begun(folder: Path, name: str, mode: int) -> tuple[Path, int]:
    """Make a file that is ours alone, and open; another one where somebody swept it away before it was locked."""
    while True:
        beside = folder / f".{part_name(name)}.{secrets.token_hex(4)}.part"
        _unfinished.add((os.getpid(), beside))
        try:
            descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        except OSError:
            _unfinished.discard((os.getpid(), beside))
            raise
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)  # waits for one that sweeps, which lets go at once
        if os.path.lexists(beside):
            return beside, descriptor
        os.close(descriptor)
        _unfinished.discard((os.getpid(), beside))


def _claimed(target: Path) -> Path:
    """Take a name that nobody else has for a file, or the next such name."""
    for number in itertools.count(1):
        name = target if number == 1 else target.with_name(f"{part_name(target.stem)}-{number}{target.suffix}")
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError:  # there is one, or no room for another
            if os.path.lexists(name):
                continue
        break
    return name


def is_full(error: BaseException | None) -> bool:
    """Say whether an error is that of a disk without room."""
    return getattr(error, "errno", None) in NO_ROOM


def give_to(descriptor: int, replaced: os.stat_result) -> None:
    """Let an open file belong to whom the one belonged that it replaces, as far as this user may, and be as private.

    By its name, it could be another one by now.
    """
    if hasattr(os, "fchown"):
        for owner in (-1, replaced.st_uid):
            with suppress(OSError):
                os.fchown(descriptor, owner, replaced.st_gid)
        os.fchmod(descriptor, replaced.st_mode & 0o777)


@contextmanager
def _being_written(descriptor: int) -> Iterator[None]:
    """Keep a half-written file open, and so locked; where there are no such locks, an open one cannot be renamed."""
    if os.name == "nt":
        os.close(descriptor)
        yield
        return
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _left(beside: str | os.PathLike[str]) -> Iterator[bool]:
    """Say whether no process that lives is writing a half-written file, and keep it so; another user's may be."""
    try:
        import fcntl

        descriptor = os.open(beside, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (ImportError, OSError) as error:
        yield not isinstance(error, PermissionError)
        return
    try:
        yield _locked(fcntl, descriptor)
    finally:
        os.close(descriptor)


def is_being_written(beside: str | os.PathLike[str]) -> bool:
    """Say whether a process that lives is writing a half-written file."""
    with _left(beside) as left:
        return not left


def sweep(targets: Iterable[Path]) -> None:
    """Remove what a killed run left half-written beside these files, where this user may."""
    names: dict[Path, set[str]] = {}
    for target in targets:
        names.setdefault(target.parent, set()).add(part_name(target.name))
    for folder, wanted in names.items():
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                part = _PART.fullmatch(entry.name)
                if part and part["target"] in wanted:
                    with suppress(OSError), _left(Path(entry.path).with_suffix(".part")) as left:
                        if left:  # and stays so until it is removed
                            os.unlink(entry.path)


@atexit.register
def remove_unfinished() -> None:
    """Remove what this process began to write and did not end."""
    for process, beside in list(_unfinished):
        if process == os.getpid():  # a fork leaves its parent's files alone
            with suppress(OSError):
                beside.unlink(missing_ok=True)


def write_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files of a folder, all of them before any takes its name; the first takes its name last.

    The last takes its name first and is their mark: where it is missing, others of these names are somebody else's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in contents]
    refuse_links(*paths)
    refuse_others(paths, paths[-1].exists)
    with held(folder), ExitStack() as files:
        for name, content in contents.items():
            files.enter_context(replacing(folder / name)).write_bytes(content)


def path_text(path: Any, name: str) -> str:
    """Return what a caller gives as a path, or say in one sentence why it is none."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(text := os.fspath(path), str):
        raise ValueError(f"{name}: expected a path, found {type(path).__name__}")
    if "\0" in text:
        raise ValueError(f"{name} {text!r}: a path cannot hold the character of code 0")
    return text


def refuse_links(*paths: Path) -> None:
    """Refuse links, pipes and devices where our own files are to be: what is written by their names goes elsewhere."""
    for path in paths:
        if path.is_symlink() or (path.exists() and not path.is_file() and not path.is_dir()):
            raise ValueError(
                f"{path}: is a link, a pipe or a device, by which what is written goes elsewhere; remove it"
            )


def refuse_others(paths: Iterable[Path], ours: Callable[[], bool], origin: str = "here") -> None:
    """Refuse to write where files of our names are somebody else's; where there are any, `ours` says whose."""
    there = [path for path in paths if path.exists()]
    if there and not ours():
        raise ValueError(f"{there[0]}: is there already, and not from {origin}; give a folder of its own")


def refuse_no_folder(path: str | os.PathLike[str]) -> None:
    """Refuse a place for a folder where something else is, before the work that it is for."""
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError(f"{os.fspath(path)}: expected a folder to write into, found something else")


def inode_of(place: Any) -> tuple[int, int] | None:
    """Return what makes a regular file the same under all its names, and open; None of anything else."""
    try:
        found = os.stat(place.fileno() if hasattr(place, "fileno") else place)
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def refuse_written_over(target: Any, inputs: Iterable[Any], name: str) -> None:
    """Refuse to write into what is read, a path or an open file, under whatever name."""
    if (target_inode := inode_of(target)) and target_inode in map(inode_of, inputs):
        raise ValueError(f"{name}: is an input, which is never written over; choose another file")


def refuse_written_twice(target: Path, outputs: Iterable[Any], name: str) -> None:
    """Refuse to write where the same run writes, into an open file or by a path at which nothing may be yet."""
    marks = (inode_of(output) or (not hasattr(output, "fileno") and os.path.realpath(output)) for output in outputs)
    if (inode_of(target) or os.path.realpath(target)) in marks:
        raise ValueError(f"{name}: is the output, too; choose another file")


@contextmanager
def held(folder: str | os.PathLike[str], patience: float = 0.0) -> Iterator[None]:
    """Be the only process that writes into a folder; where folders cannot be locked, trust.

    For `patience` seconds it waits for another one: the helpers of a run that was killed outlive it by some seconds.
    """
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    end = time.monotonic() + patience
    try:
        while not _locked(fcntl, descriptor):
            if time.monotonic() > end:
                raise ValueError(f"{folder}: another run is writing here; wait for it, or choose another folder")
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _locked(fcntl: Any, descriptor: int) -> bool:
    """Lock, where nobody else does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def own_folder(prefix: str) -> tuple[Path, ExitStack]:
    """Return a new temporary folder, and what keeps `remove_left` away from it until it is closed."""
    while True:
        folder, lock = Path(tempfile.mkdtemp(_TEMPORARY, prefix)), ExitStack()
        with suppress(ValueError):
            lock.enter_context(held(folder))
            if folder.exists():  # between the two lines, another process may have taken it for one that is left
                return folder, lock
        lock.close()


def remove_left(prefix: str) -> None:
    """Remove the temporary folders of `own_folder` whose process has been killed; those of others stay."""
    try:
        import fcntl
    except ImportError:
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}????????{_TEMPORARY}"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def part_name(name: str) -> str:
    """Return a file's name as far as that of its half-written form can hold it: names have 255 bytes at most."""
    return os.fsdecode(os.fsencode(name)[:_PART_NAME])


def _pour(source: Path, device: Path) -> None:
    """Copy into a device or a pipe, which a rename would destroy."""
    with open(source, "rb") as stream, open(device, "wb") as sink:
        shutil.copyfileobj(stream, sink)


def native(path: Path) -> str | bytes:
    """Return a name as libraries in C take it, which may be no UTF-8."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def write_text(path: Path, text: str) -> None:
    """Write a whole file or none of it."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", errors=NAMES, newline="")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a whole JSON file or none of it."""
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n")
