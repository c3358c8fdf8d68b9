"""What there is to do: one piece for each recording, tar shard or table of rows, and where its clean form goes."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from math import inf, isnan
from typing import Any, NamedTuple

from frcrn.audio import ACCEPTED, AudioError
from frcrn.config import LONGEST
from frcrn.scale.places import Found, Place, expanded, named_in_row
from frcrn.scale.records import ours
from frcrn.scale.rows import NO_RECORDING, in_store, is_recording
from frcrn.texts import from_json
from frcrn.visible import visible

SHARDS, TABLES = (".tar",), (".parquet", ".arrow")
LISTS = (".jsonl", ".csv", ".parquet")
"""What may be a manifest; a Parquet file is one where it has a column `path` and none with audio in it."""
BESIDE = ("state.json", "dataset_info.json", "dataset_dict.json")
"""What `datasets.save_to_disk` writes beside its tables; it is copied from a folder, never for a row."""


class Piece(NamedTuple):
    """One file to do: where it is, its name below the destination, and the seconds that are wanted of it.

    The stamp changes with what is wanted of its content; it is empty where nobody knows.
    """

    source: str
    name: str
    size: int = 0
    stamp: str = ""
    start: float | None = None
    end: float | None = None
    problem: str | None = None


def plan(source: str, destination: str) -> list[Piece]:
    """List the pieces of a file, folder, pattern, range in braces, or manifest; names stay as they are."""
    pieces = [piece for url in expanded(source) for piece in _pieces(url)]
    if not pieces:
        raise AudioError(f"{source}: nothing to enhance; accepted are {ACCEPTED}, .tar shards, .parquet and .arrow")
    goal = Place(destination)
    inside = f"{goal.path.rstrip('/')}/"
    paths = {piece: _path_of(piece) for piece in pieces}
    same = [piece for piece, path in paths.items() if path == inside + piece.name]
    if same:
        raise AudioError(f"{same[0].source}: is the input and the output; choose another destination")
    return list(_without_collisions(piece for piece in pieces if not paths[piece].startswith(inside)))


def _path_of(piece: Piece) -> str:
    """The path in its store; empty where there is none, of which its row will say why."""
    try:
        return "" if piece.problem else Place(piece.source).path
    except ValueError:
        return ""


def wanted(name: str) -> bool:
    """Tell by its name whether a file is enhanced, or copied beside the tables that it describes."""
    return (is_recording(name) or holds_many(name) or is_beside(name)) and not ours(name)


def holds_many(name: str) -> bool:
    """Tell by its name whether a file is a shard or a table."""
    return name.lower().endswith((*SHARDS, *TABLES))


def is_beside(name: str) -> bool:
    """Tell by its name whether a file describes tables."""
    return name.rpartition("/")[2] in BESIDE


def _pieces(url: str) -> Iterator[Piece]:
    place = Place(url)
    try:
        found = place.files()
    except FileNotFoundError:
        found = []
    if len(found) == 1 and found[0].name.lower().endswith(LISTS) and place.path.endswith(found[0].name):
        rows = manifest_rows(place)
        if rows is not None:
            yield from _listed(rows, place)
            return
    yield from (Piece(*each) for each in found if wanted(each.name))


def manifest_rows(place: Place) -> list[dict[str, Any]] | None:
    """Return the rows of a manifest; None for a Parquet file that holds audio itself."""
    try:
        rows = _READERS[os.path.splitext(place.path)[1].lower()](place.read())
    except (ValueError, csv.Error) as error:
        raise AudioError(f"{place.url}: cannot be read as a manifest: {error}") from None
    columns = sorted({str(name) for row in rows or () for name in row})
    if rows and "path" not in columns:
        raise AudioError(f"{place.url}: expected a column path, found {visible(', '.join(columns)[:LONGEST])}")
    return rows


def _from_csv(content: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def _from_json_lines(content: bytes) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(content.decode("utf-8-sig").split("\n"), 1):
        if line.strip():
            try:
                row = from_json(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}: {error}") from None
            if not isinstance(row, dict):
                raise ValueError(f'line {number}: expected an object such as {{"path": "a.wav"}}')
            rows.append(row)
    return rows


def _from_parquet(content: bytes) -> list[dict[str, Any]] | None:
    import pyarrow.parquet as parquet

    schema = parquet.read_schema(io.BytesIO(content))
    if "path" not in schema.names or any(_holds_audio(field.type) for field in schema):
        return None
    rows: list[dict[str, Any]] = parquet.read_table(io.BytesIO(content)).to_pylist()
    return rows


_READERS = {".csv": _from_csv, ".jsonl": _from_json_lines, ".parquet": _from_parquet}


def _holds_audio(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_struct(kind))


def _listed(rows: Sequence[Mapping[str, Any]], manifest: Place) -> Iterator[Piece]:
    """The pieces of a manifest; relative paths start at its folder, and `id` names the target."""
    folder = manifest.url.rpartition("/")[0]
    facts: dict[str, Found | None] = {}
    for number, row in enumerate(rows, 1):
        if not row.get("path"):
            yield Piece(f"{manifest.url}:{number}", f"row-{number}", problem=f"row {number}: expected a path")
            continue
        path = str(row["path"])
        try:
            yield _one(row, number, path, named_in_row(path, folder), facts)
        except ValueError as error:
            yield Piece(visible(path), f"row-{number}", problem=visible(str(error)))


def _one(row: Mapping[str, Any], number: int, path: str, full: str, facts: dict[str, Found | None]) -> Piece:
    """The piece of a row: a recording that is there, or the seconds that are wanted of it."""
    start, end, problem = _span(row)
    name = _name(path, row.get("id"), start, end)
    if not is_recording(in_store(path)):
        problem = NO_RECORDING
    elif not _can_be_made(name):
        problem = f"id {row.get('id')!r}"[:LONGEST] + ": expected a name for a recording"
    elif problem is None:
        facts[full] = found = facts[full] if full in facts else _facts(full)
        if found is not None:
            part = "" if start is end is None else f" {start}-{end}"
            return Piece(full, name, found.size, found.stamp and found.stamp + part, start, end)
        problem = "cannot be read: no such file"
    name = name if _can_be_made(name) else f"row-{number}"
    return Piece(visible(full), visible(name), problem=f"{visible(full)}: {problem}")


def _span(row: Mapping[str, Any]) -> tuple[float | None, float | None, str | None]:
    """The start and end of what is wanted of a recording, and what is wrong with them."""
    try:
        start, end = _seconds(row.get("start")), _seconds(row.get("end"))
    except (ValueError, TypeError):
        return None, None, f"start {row.get('start')!r} and end {row.get('end')!r}: expected seconds"
    ordered = 0 <= (start or 0.0) < (inf if end is None else end)
    return start, end, None if ordered else f"start {start} and end {end}: expected 0 <= start < end"


def _seconds(value: Any) -> float | None:
    """A number of seconds; an empty cell is none, and so is the NaN that tables write for one."""
    if isinstance(value, bool):
        raise TypeError
    seconds = None if value in (None, "") else float(value)
    return None if seconds is None or isnan(seconds) else seconds


def _can_be_made(name: str) -> bool:
    """Tell whether a recording can have a name, which a row has made up."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return is_recording(name) and not ours(name) and "\0" not in name


def _facts(url: str) -> Found | None:
    """What the store says of one file; of a web server that does not say, an empty answer."""
    place = Place(url)
    try:
        return place.file()
    except (OSError, ValueError):
        return None


def _name(path: str, identity: Any, start: float | None, end: float | None) -> str:
    stem, extension = os.path.splitext(in_store(path))
    if identity not in (None, ""):
        return _inside(f"{identity}{extension}")
    span = "" if start is None and end is None else f"-{start or 0:g}-{'end' if end is None else format(end, 'g')}"
    return _inside(f"{stem}{span}{extension}")


def _inside(name: str) -> str:
    """A name that stays below the destination."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _without_collisions(pieces: Iterator[Piece]) -> Iterator[Piece]:
    taken: dict[str, Piece] = {}
    for piece in pieces:
        first = piece if piece.problem else taken.setdefault(piece.name, piece)
        if first is piece:
            yield piece
        elif first[:6] != piece[:6]:
            yield piece._replace(problem=f"{piece.source}: {piece.name} is already taken by {first.source}")


def units(pieces: Sequence[Piece], count: int) -> Iterator[list[Piece]]:
    """Share pieces out in units of like lengths, the longest first: about `count` of them, alike in bytes."""
    bound = max(1, sum(piece.size for piece in pieces) // count)
    unit: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: piece.size, reverse=True):
        if unit and sum(each.size for each in unit) + piece.size > bound:
            yield unit
            unit = []
        unit.append(piece)
    if unit:
        yield unit
