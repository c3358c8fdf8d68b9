"""Configurations as frozen dataclasses that refuse unknown keys."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

Settings = TypeVar("Settings")


def from_dict(kind: type[Settings], values: dict[str, Any], where: str) -> Settings:
    """Build the dataclass `kind` from `values` (lists become tuples); an unknown or missing key is a ValueError."""
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; accepted are {', '.join(known)}")
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return kind(**frozen)
    except TypeError as error:
        missing = str(error).split("argument")[-1].lstrip("s: ")
        raise ValueError(f"{where}: missing key {missing}") from None


def require_range(name: str, values: Any, low: float, high: float) -> None:
    """Refuse anything but two numbers low <= values[0] <= values[1] <= high."""
    pair = isinstance(values, tuple) and len(values) == 2 and all(isinstance(v, int | float) for v in values)
    if not pair or not low <= values[0] <= values[1] <= high:
        raise ValueError(f"{name}: expected two rising numbers from {low:g} to {high:g}, found {values!r}")


def require_share(name: str, value: Any) -> None:
    """Refuse anything but a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a number from 0 to 1, found {value!r}")


def require_positive(name: str, value: Any) -> None:
    """Refuse anything but a number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{name}: expected a number above 0, found {value!r}")
