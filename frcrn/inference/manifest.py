"""What an output folder holds and what it was made from, so that a second run does only what is not done."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TextIO

from frcrn.files import inode_of, is_being_written, refuse_links
from frcrn.texts import from_json

NAME = "frcrn-manifest.jsonl"
LONGEST_LINE = 1 << 16
"""Letters; a file of holes is one line without an end."""


class Record(NamedTuple):
    """How a file was made: the hashes of its source, of the model with its options, and of itself; where it is from."""

    source: str
    settings: str
    target: str
    origin: str = ""
    """The path of its source, from the output folder where both lie in one; earlier versions noted none."""


class Manifest:
    """The records of one output folder, written as they come; use as a context manager while writing."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path, self._real = folder, folder / NAME, Path(os.path.realpath(folder))
        self.records: dict[str, Record] = {}
        self._begun: set[str] = set()
        for name, noted in _read(self.path):
            self._begun.discard(name)
            if isinstance(noted, Record):
                self.records[name] = noted
            elif noted:
                self._begun.add(name)
        self._file: TextIO | None = None

    def known(self, target: Path) -> Record | None:
        """Return what an earlier run noted about a file."""
        return self.records.get(self._name(target))

    def is_ours(self, target: Path, source: Path | None = None) -> bool:
        """Say whether a run made a file, or began to, and not from another source than this one that is still there."""
        known = self.known(target)
        if known is None:
            return self.is_begun(target)
        return source is None or inode_of(self._real / known.origin) in (None, inode_of(source))

    def is_begun(self, target: Path) -> bool:
        """Say whether a run began to make a file, and was killed before it could note how that ended."""
        return self._name(target) in self._begun

    def plan(self, target: Path) -> None:
        """Note a file that is to be made, so that it is known as ours where the run is killed just after."""
        if not self.is_begun(target):
            self._begun.add(self._name(target))
            self._write({"file": self._name(target)})

    def give_up(self, target: Path) -> None:
        """Note that a file was not made: one that comes there later is somebody else's."""
        if self.is_begun(target):
            self._begun.discard(self._name(target))
            self._write({"file": self._name(target), "failed": True})

    def add(self, target: Path, record: Record) -> None:
        """Note a file that is there; the note survives whatever comes next."""
        origin = Path(record.origin)
        if record.origin and origin.is_relative_to(self._real.parent):  # both may be moved together
            record = record._replace(origin=Path(os.path.relpath(origin, self._real)).as_posix())
        self._begun.discard(self._name(target))
        self.records[self._name(target)] = record
        self._write({"file": self._name(target), **record._asdict()})

    def describe(self, settings: Mapping[str, Any], mark: str) -> None:
        """Note which model and options a hash of settings stands for."""
        self._write({"settings": mark, "are": dict(settings)})

    def __enter__(self) -> Manifest:
        self.folder.mkdir(parents=True, exist_ok=True)
        refuse_links(self.path)
        if self.path.exists() and not self.path.is_file():
            raise ValueError(f"{self.path}: expected the list of what was enhanced, found a pipe, a device or a folder")
        self._file = self.path.open("a+", encoding="utf-8")
        _lock(self._file, self.folder)
        self._mend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with self._file, contextlib.suppress(OSError):
                for name in sorted(self._begun):
                    if not os.path.lexists(self.folder / name):
                        self.give_up(self.folder / name)
            self._file = None

    def _name(self, target: Path) -> str:
        return target.relative_to(self.folder).as_posix()

    def _write(self, values: Mapping[str, Any]) -> None:
        if self._file is None:
            raise ValueError("the manifest is open for reading only; enter it first")
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()

    def _mend(self) -> None:
        """End a line that a killed run left torn."""
        with self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            torn = file.read() not in (b"", b"\n")
        if self._file is not None and torn:
            self._file.write("\n")


def refuse_made_elsewhere(folder: Path, targets: Iterable[Path]) -> None:
    """Refuse files that another run is just making, into a folder above this one or below."""
    real = Path(os.path.realpath(folder))
    names = [real / target.relative_to(folder) for target in targets]
    for other in {parent for name in names for parent in name.parents} - {real}:
        if is_being_written(other / NAME):
            manifest = Manifest(other)
            if made := next((name for name in names if name.is_relative_to(other) and manifest.is_begun(name)), None):
                raise ValueError(
                    f"{made}: another run into {other} is making it; wait for it, or choose another folder"
                )


def record_of(values: Mapping[str, Any]) -> Record:
    """Return the record of a line, one of an earlier version too."""
    source, settings, target = (str(values[key]) for key in ("source", "settings", "target"))
    return Record(source, settings, target, str(values.get("origin", "")))


def _read(path: Path) -> Iterator[tuple[str, Record | bool]]:
    """Yield names and records, the later ones of a name last; lines that are torn or nothing of ours are skipped.

    In place of a record, True says that a file was begun, False that it was given up.
    """
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        while line := file.readline(LONGEST_LINE):
            with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                values = from_json(line)
                noted = "failed" not in values if values.keys() <= {"file", "failed"} else record_of(values)
                yield str(values["file"]), noted


def _lock(file: TextIO, folder: Path) -> None:
    """Refuse a folder that another run is writing; where files cannot be locked, trust."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ValueError(f"{folder}: another run is writing here; wait for it, or choose another folder") from error
    except OSError:
        return
