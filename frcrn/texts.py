"""Files that are read whole, never more than is sensible: text, JSON, tables and their cells, hashes."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

NAMES = "surrogateescape"
"""How names of files that are not UTF-8 survive."""

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would run."""

MOST_TEXT = 1 << 26
"""Bytes of a configuration or a description; a device would have no end, and a file of holes costs nothing."""
_PIECE = 1 << 20


def content_of(path: Path, most: int) -> bytes:
    """Return what a file holds, or refuse it where it is larger than any of its kind, whatever it says of its size."""
    pieces: list[bytes] = []
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            pieces.append(piece)
            if len(pieces) * _PIECE > most + _PIECE:
                raise ValueError(f"{path}: larger than {most >> 20} MB, the most accepted of its kind")
    return b"".join(pieces)


def text_of(path: Path) -> str:
    """Return the text of a configuration or a description."""
    return content_of(path, MOST_TEXT).decode("utf-8")


def from_json(text: str) -> Any:
    """Read JSON; what is nested beyond all measure, or has numbers of thousands of digits, is refused as none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"
        raise json.JSONDecodeError(reason, text[:1], 0) from None


def from_csv(text: str, name: str) -> list[dict[str, str]]:
    """Read a table with a first row of names; what is none is refused by the name of its file."""
    try:
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ValueError(f"{name}: expected comma-separated values, found {error}") from None


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        values = from_json(text_of(path))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return values if isinstance(values, dict) else {}


def cell(text: str) -> str:
    """Return a text as a cell of a CSV file that no spreadsheet takes for a formula: an apostrophe goes before it."""
    return f"'{text}" if text.lstrip("'").startswith(FORMULAS) else text


def uncelled(text: str) -> str:
    """Return the text that `cell` made a cell of."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULAS) else text


def digest(path: Path) -> str:
    """Return a hash of a file's content."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()[:32]
