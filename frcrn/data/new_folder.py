"""A folder that is written beside its place and takes it at the end; one that was interrupted goes on."""

from __future__ import annotations

import csv
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from frcrn.files import NAMES, from_csv, held, refuse_links, replacing, uncelled, write_text

MANIFEST = "files.csv"
PLAN = ".plan"


@contextmanager
def new_folder(out: Path, plan: str, force: bool) -> Iterator[Path]:
    """Give a folder beside `out` that takes its place at the end.

    An interruption leaves it there, and the same plan continues in it; another plan begins with an empty one. A folder
    in place is only replaced where it was so written, and with `force`.
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
        _take_place(beside, out)
        (out / PLAN).unlink()


def _take_place(beside: Path, out: Path) -> None:
    """Put a whole folder in its place; what was there goes."""
    if out.exists():
        old = out.with_name(f".{out.name}.{secrets.token_hex(4)}.old")
        os.replace(out, old)
        os.replace(beside, out)
        if old.is_symlink():
            old.unlink()
        else:
            shutil.rmtree(old)
    else:
        os.replace(beside, out)


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
    if not (out / MANIFEST).is_file():
        raise ValueError(f"{out}: expected an empty folder, or one written by `frcrn data`, found other files")
    if not force:
        raise ValueError(f"{out}: holds a corpus already; --force replaces it")
    if (other := next(_others(out), None)) is not None:
        raise ValueError(f"{other}: `frcrn data` did not write it, and --force would remove it; choose another folder")


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
    """Yield what lies in a folder and not in its table."""
    rows = from_csv((out / MANIFEST).read_text(encoding="utf-8", errors=NAMES), str(out / MANIFEST))
    ours = {MANIFEST, PLAN, *(uncelled(row.get("file") or "") for row in rows)}
    for folder, _, names in os.walk(out):
        for path in (Path(folder, name) for name in names):
            if path.relative_to(out).as_posix() not in ours:
                yield path


def write_table(folder: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write the table of a folder's files."""
    with replacing(folder / MANIFEST) as beside, beside.open("w", newline="", encoding="utf-8", errors=NAMES) as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)


def place(path: Path, target: Path, link: bool) -> None:
    """Copy or link a file; what is there already is whole."""
    if os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        target.symlink_to(path.resolve())
    else:
        with replacing(target) as beside:
            shutil.copyfile(path, beside)
