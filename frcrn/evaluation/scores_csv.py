"""The rows of an evaluation on disk, written as they come, so that a run goes on where it stopped."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from frcrn.config import shown
from frcrn.evaluation.metrics.pool import KILLED
from frcrn.evaluation.metrics.scores import Scores
from frcrn.evaluation.statistics import Row
from frcrn.files import held, refuse_links, write_json, write_text
from frcrn.texts import NAMES, cell, from_csv, from_json, read_json, uncelled

SCORES = "scores.csv"
RUN = "run.json"
FACTS = ("clip", "seconds", "digest", "input_snr", "processing")
FAILURES = "failures"


class Journal:
    """`scores.csv` of one run, which `run.json` identifies; use as a context manager."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], columns: Sequence[str], fresh: bool = False) -> None:
        self.path, self.columns = folder / SCORES, tuple(columns)
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(held(folder))
            refuse_links(folder / SCORES, folder / RUN)
            if fresh:
                for name in (SCORES, RUN):
                    (folder / name).unlink(missing_ok=True)
            _check_identity(folder, identity)
            self.rows = {row.name: row for row in _read(self.path, self.columns)}
            self.rewrite(self.rows.values())
            self._file: TextIO = self.path.open("a", encoding="utf-8", errors=NAMES, newline="")
            self._held = stack.pop_all()

    def add(self, row: Row) -> None:
        """Append one row; it survives whatever comes next."""
        self._file.write(_line(_cells(row, self.columns)))
        self._file.flush()

    def rewrite(self, rows: Iterable[Row]) -> None:
        """Replace the file by these rows at once."""
        lines = [_line([*FACTS, *self.columns, FAILURES]), *(_line(_cells(row, self.columns)) for row in rows)]
        write_text(self.path, "".join(lines))

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._held.close()


def _check_identity(folder: Path, identity: Mapping[str, Any]) -> None:
    """Refuse to mix the scores of two runs in one folder."""
    found = read_json(folder / RUN)
    if not found and (folder / SCORES).exists():
        raise ValueError(f"{folder}: holds a {SCORES} that no {RUN} explains; choose another folder or start fresh")
    for key, value in identity.items():
        if found and found.get(key) != value:
            raise ValueError(
                f"{folder}: holds the scores of another run: its {key} is {found.get(key)}, this one's is {value}; "
                "choose another folder or start fresh"
            )
    write_json(folder / RUN, identity)


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _cells(row: Row, columns: Sequence[str]) -> list[str]:
    values = [repr(row.scores.values[name]) if name in row.scores.values else "" for name in columns]
    failures = json.dumps(row.scores.failures, ensure_ascii=False) if row.scores.failures else ""
    return [cell(row.name), repr(row.seconds), row.digest, repr(row.input_snr), repr(row.processing), *values, failures]


def _read(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read the rows that are whole; a last line that was cut off is dropped."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors=NAMES)
    cells = from_csv(text[: text.rfind("\n") + 1], str(path))
    try:
        rows = [_row(values, columns) for values in cells if values.get(FAILURES) is not None]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path}: not a table of scores ({error}); choose another folder or start fresh") from None
    return [row for row in rows if {*columns} <= _settled(row.scores)]


def _settled(scores: Scores) -> set[str]:
    """Return what has a score, or a reason to have none that stays; all else is scored again."""
    return {*scores.values, *(name for name, reason in scores.failures.items() if reason != KILLED)}


def _row(cells: Mapping[str, str], columns: Sequence[str]) -> Row:
    values = {name: float(cells[name]) for name in columns if cells.get(name)}
    if not all(map(math.isfinite, values.values())):
        raise ValueError(f"{cells['clip']}: found scores that are no finite numbers")
    failures = from_json(cells[FAILURES]) if cells[FAILURES] else {}
    if not isinstance(failures, dict) or not all(isinstance(reason, str) for reason in failures.values()):
        raise ValueError(f"expected reasons by metric, found {shown(failures)}")
    seconds, ratio, processing = (float(cells[name] or math.nan) for name in ("seconds", "input_snr", "processing"))
    if not (0 <= seconds < math.inf and 0 <= processing < math.inf):
        raise ValueError(f"{cells['clip']}: found seconds {seconds:g} and processing {processing:g}")
    return Row(uncelled(cells["clip"]), seconds, cells["digest"], ratio, processing, Scores(values, failures))
