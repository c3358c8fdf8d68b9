"""One file that says all about a mixed set: a JSON table, or the configuration of the DNS Challenge's synthesizer.

A JSON table has the mixing's keys and `output`, `seed`, `rate`, and `count` or `hours`. The DNS Challenge's file has
the section `[noisy_speech]`; of its keys those in `USED` play a part. It describes plain mixtures of speech and one
noise, so whatever else the mixing could add is off.
"""

from __future__ import annotations

import configparser
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from frcrn.config import build, require
from frcrn.data.mixing import MixingConfig
from frcrn.texts import from_json, text_of

SECTION = "noisy_speech"
ENDINGS = (".cfg", ".ini")
KEPT = ("valid_share", "pause_share")
PLAIN: dict[str, Any] = {
    "noise_count": (1, 1),
    **{name: 0.0 for name in MixingConfig.__dataclass_fields__ if name.endswith("_share") and name not in KEPT},
}
RANGES = {
    "snr_db": ("snr_lower", "snr_upper", "snr"),
    "level_dbfs": ("target_level_lower", "target_level_upper", "target_level"),
    "rt60_s": ("lower_t60", "upper_t60", ""),
}
"""Ranges of the mixing: the keys of both ends, and of the single value that may be there instead."""
DESTINATIONS = ("noisy_destination", "clean_destination", "noise_destination")
FOLDERS = {"speech": ("speech_dir", "clean_dir"), "noise": ("noise_dir",)}
NUMBERS = {"rate": "sampling_rate", "seconds": "audio_length", "hours": "total_hours", "seed": "seed"}
IDS = ("fileindex_start", "fileindex_end")
ROOMS = "percent_for_adding_reverb"
USED = {
    *(key for keys in (*RANGES.values(), *FOLDERS.values()) for key in keys if key),
    *(*NUMBERS.values(), *DESTINATIONS, *IDS, ROOMS),
}


@dataclass(frozen=True)
class Own:
    """The keys of a JSON table that are not the mixing's: where and how many."""

    output: str
    rate: int = 16000
    seed: int = 0
    count: int | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be written."""
        require(bool(self.output), "output", "a folder", self.output)
        require(self.seed >= 0, "seed", "0 or more", self.seed)
        for name in ("count", "hours"):
            value = getattr(self, name)
            require(value is None or value > 0, name, "more than 0", value)

    def clips(self, otherwise: int, seconds: float) -> int:
        """Return how many clips of so many seconds are asked for."""
        if self.hours is not None:
            return max(1, round(self.hours * 3600 / seconds))
        return otherwise if self.count is None else self.count


class Plan(NamedTuple):
    """The mixing's keys, the others, and what of the file plays no part."""

    mixing: dict[str, Any]
    own: dict[str, Any]
    unused: tuple[str, ...]


def read_plan(path: Path) -> Plan:
    """Read a configuration file of either kind."""
    if path.suffix.lower() in ENDINGS:
        return _of_challenge(path)
    try:
        table = from_json(text_of(path))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: expected a table in JSON, found {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f"{path}: expected a table in JSON, found {type(table).__name__}")
    own = {key: table[key] for key in Own.__dataclass_fields__ if key in table}
    build(Own, {"output": "."} | own, f"{path}: mix")
    return Plan({key: value for key, value in table.items() if key not in (*own, "kind")}, own, ())


def _of_challenge(path: Path) -> Plan:
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",), strict=False)
    try:
        parser.read_string(text_of(path), str(path))
        section = parser[SECTION]
    except (configparser.Error, UnicodeDecodeError, KeyError):
        raise ValueError(f"{path}: expected a file with the section [{SECTION}], found none") from None
    values = {key: value.strip() for key, value in section.items() if value and value.strip() not in ("", "None")}
    numbers = {own: _number(path, values, key) for own, key in NUMBERS.items() if key in values}
    mixing = PLAIN | {
        key: [_folder(values[name])] for key, names in FOLDERS.items() for name in names if name in values
    }
    mixing |= {key: found for key, names in RANGES.items() if (found := _range(path, values, *names)) is not None}
    if "rt60_s" in mixing or ROOMS in values:
        mixing["room_share"] = _number(path, values, ROOMS) if ROOMS in values else 0.5
    if "seconds" in numbers:
        mixing["seconds"] = numbers.pop("seconds")
    own = {key: int(value) if key in ("rate", "seed") else value for key, value in numbers.items()}
    if all(key in values for key in IDS):
        own["count"] = int(_number(path, values, IDS[1]) - _number(path, values, IDS[0])) + 1
        own.pop("hours", None)
    return Plan(mixing, own | _output(path, values), tuple(sorted(values.keys() - USED)))


def _folder(text: str) -> str:
    """Return a path as this system writes it; these files often come from Windows."""
    return PureWindowsPath(text).as_posix()


def _number(path: Path, values: Mapping[str, str], key: str) -> float:
    try:
        if math.isfinite(found := float(values[key])):
            return found
    except ValueError:
        pass
    raise ValueError(f"{path}: {key}: expected a number, found {values[key]!r}")


def _range(path: Path, values: Mapping[str, str], low: str, high: str, single: str) -> tuple[float, float] | None:
    if low in values and high in values:
        return _number(path, values, low), _number(path, values, high)
    if single in values:
        return (_number(path, values, single),) * 2
    return None


def _output(path: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Return the folder that the three destinations have in common."""
    given = {key: Path(_folder(values[key])) for key in DESTINATIONS if key in values}
    if not given:
        return {}
    for key, place in given.items():
        if place.name != key.partition("_")[0] or len({each.parent for each in given.values()}) > 1:
            raise ValueError(f"{path}: {key}: expected noisy, clean and noise in one folder, found {place}")
    return {"output": next(iter(given.values())).parent.as_posix()}
