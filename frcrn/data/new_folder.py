"""A folder that is written beside its place and takes it at the end; one that was interrupted goes on."""

from __future__ import annotations

import csv
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from frcrn.files import held, refuse_links, replacing, write_text
from frcrn.texts import NAMES, uncelled

MANIFEST = "files.csv"
WRITTEN = ".frcrn-files.jsonl"
"""Each file of the folder as it was written: its name, size and time of change. Only what it knows may be removed."""
PLAN = ".plan"


@contextmanager
def new_folder(out: Path, plan: str, force: bool) -> Iterator[Path]:
    """Give a folder beside `out` that takes its place at the end.

    An interruption leaves it there, and the same plan continues in it; another plan begins with an empty one. A folder
    in place is only replaced where it was so written and is still so, and with `force`.
    """
    refuse_foreign(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.part")
    _refuse_planted(beside)
    beside.mkdir(exist_ok=True)
    with held(beside):
        if (beside / PLAN).is_symlink() or _plan_of(beside) != plan:
            _empty(beside)
            write_text(beside / PLAN, plan)
        yield beside
        refuse_foreign(out, force)  # again: somebody may have put files there meanwhile
        _take_place(beside, out)


def _take_place(beside: Path, out: Path) -> None:
    """Put a whole folder in its place; what was there goes, but for what came at the last moment."""
    old = out.with_name(f".{out.name}.{secrets.token_hex(4)}.old")
    if out.exists():
        os.replace(out, old)
    os.replace(beside, out)
    (out / PLAN).unlink()
    if old.is_symlink():
        old.unlink()
    elif old.exists():
        if (other := next(_others(old), None)) is not None:
            raise ValueError(f"{other}: came while {out} was replaced; the folder before is kept as {old}")
        shutil.rmtree(old)


def _refuse_planted(beside: Path) -> None:
    """Refuse a half-written folder that another user made, or in which a link leads to a folder elsewhere."""
    if beside.is_symlink() or beside.is_file():
        raise ValueError(f"{beside}: expected a folder of an interrupted run or nothing, found something else")
    if not beside.is_dir():
        return
    if hasattr(os, "getuid") and beside.stat().st_uid != os.getuid():
        raise ValueError(f"{beside}: expected a folder of an interrupted run of yours, found another user's")
    refuse_links(*(Path(folder, name) for folder, names, _ in os.walk(beside) for name in names))


def _plan_of(beside: Path) -> str:
    try:
        return (beside / PLAN).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _empty(beside: Path) -> None:
    """Remove what a run of another plan left half-written."""
    if not (beside / PLAN).is_file() and any(beside.iterdir()):
        raise ValueError(f"{beside}: expected a folder of an interrupted run or nothing, found other files")
    for path in beside.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def refuse_foreign(out: Path, force: bool) -> None:
    """Refuse a place that holds what no command of ours wrote, or, without `force`, what one did."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: expected a folder to write, found a file")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / WRITTEN).is_file():
        raise ValueError(
            f"{out}: expected an empty folder, or one that `frcrn data` wrote and noted in {WRITTEN}, "
            "found other files; remove it yourself, or choose another folder"
        )
    if not force:
        raise ValueError(f"{out}: holds a corpus already; --force replaces it")
    if (other := next(_others(out), None)) is not None:
        raise ValueError(
            f"{other}: `frcrn data` did not write it, or it was changed since, and --force would remove it; "
            "choose another folder"
        )


def refuse_inputs(out: Path, files: Iterable[Path]) -> None:
    """Refuse a place that holds the recordings themselves: they would go with the folder that is replaced."""
    place = out.resolve()
    if (inside := next((path for path in files if path.resolve().is_relative_to(place)), None)) is not None:
        raise ValueError(f"{out}: holds the input {inside}; choose another folder for the output")


def refuse_within(out: Path, folders: Iterable[str | Path]) -> None:
    """Refuse a place in a corpus that is read: what is written there would belong to it the next time."""
    place = out.resolve()
    for folder in folders:
        if place.is_relative_to(Path(folder).resolve()):
            raise ValueError(f"{out}: lies in {folder}, which is read; choose a folder outside of it for the output")


def _others(out: Path) -> Iterator[Path]:
    """Yield what lies in a folder and is not as it was written."""
    written = written_in(out)
    for folder, folders, names in os.walk(out):
        for path in (Path(folder, name) for name in (*names, *folders)):
            name = path.relative_to(out).as_posix()
            is_folder = path.is_dir() and not path.is_symlink()
            if not is_folder and name not in (WRITTEN, PLAN) and written.get(name) != state_of(path):
                yield path


def written_in(folder: Path) -> dict[str, list[int]]:
    """Return the state of each file of a folder when it was written, by its name there."""
    try:
        with (folder / WRITTEN).open(encoding="utf-8") as lines:
            return dict(json.loads(line) for line in lines if line.endswith("\n"))  # a power cut leaves half a line
    except (OSError, ValueError, TypeError):
        return {}


def state_of(path: Path) -> list[int]:
    """Return what changes when a file is written again; of one that is not there, nothing."""
    if not os.path.lexists(path):
        return []
    found = path.lstat()
    return [found.st_size, found.st_mtime_ns]


def noted(folder: Path, name: str) -> str:
    """Return the line that says how a file of a folder is now."""
    return json.dumps([name, state_of(folder / name)]) + "\n"


def write_table(folder: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write the table of a folder's files, whose first column has their names, and note how each file is."""
    with (
        replacing(fresh(folder / MANIFEST)) as beside,
        beside.open("w", newline="", encoding="utf-8", errors=NAMES) as stream,
    ):
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)
    names = [MANIFEST, *(uncelled(row[0]) for row in rows)]
    with replacing(fresh(folder / WRITTEN)) as beside, beside.open("w", encoding="utf-8") as stream:
        stream.writelines(noted(folder, name) for name in names)


def fresh(path: Path) -> Path:
    """Return a name of our own that nothing has any more: a link there would be written through."""
    path.unlink(missing_ok=True)
    return path


def place(path: Path, target: Path, link: bool) -> None:
    """Copy or link a file; what is there already is whole."""
    if target.is_symlink() != link:
        target.unlink(missing_ok=True)
    if os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        target.symlink_to(path.resolve())
    else:
        with replacing(target) as beside:
            shutil.copyfile(path, beside)
