"""Build frozen dataclasses from JSON values, refusing what they do not know in one sentence."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Config = TypeVar("Config")
_log = logging.getLogger(__name__)

FOR_STREAMS, FOR_RECORDINGS = "default", "offline"
"""The bundled models that are used where nobody names one: what is whole already may look ahead."""

MOST_PASSES = 8
"""Runs of a network that may be averaged; more than four hardly gain."""

MOST_LEVEL = 200
"""dB that the level a network wants may be from full scale."""

PRECISIONS = ("fp32", "bf16")
"""What a network may multiply in."""

LONGEST = 100
"""Letters of a value in a sentence."""
NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "null",
    dict: "a table",
}


def is_name(source: str | os.PathLike[str]) -> bool:
    """Say whether what is called like a bundled model is that one, and not what lies in the folder that one stands in.

    Text is a name, and with its folder, such as ./offline, a path; a path is one where something is there.
    """
    if not isinstance(source, str):
        return not os.path.exists(source)
    if os.path.isfile(os.path.join(source, "configuration.json")):
        warn_of_namesake(source, "the bundled model is used", "the model")
    return True


@cache
def warn_of_namesake(name: str, used: str, here: str) -> None:
    """Say once what a name stands for where something of that name lies in the folder that one stands in."""
    _log.warning("%s: %s; %s that lies here is ./%s", name, used, here, name)


def checked_precision(name: str) -> str:
    """Return the name of a precision, or refuse it."""
    if name not in PRECISIONS:
        raise ValueError(f"precision {name!r}: choose {' or '.join(PRECISIONS)}")
    return name


def build(cls: type[Config], values: Any, where: str) -> Config:
    """Return `cls(**values)` after checking every key and type; `where` names the place in errors."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where}: expected a table of settings, found {shown(values)}")
    fields = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ValueError(f"{where}: unknown key {key!r}; accepted: {', '.join(fields) or 'none'}")
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and field.name not in values:
            raise ValueError(f"{where}: missing key {field.name!r}")
    hints = get_type_hints(cls)
    checked = {key: convert(value, hints[key], f"{where}.{key}") for key, value in values.items()}
    try:
        return cls(**checked)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None


def convert(value: Any, hint: Any, where: str) -> Any:
    """Return the JSON value in the form that the annotation asks for, or refuse it."""
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else build(hint, value, where)  # type: ignore[arg-type]
    if isinstance(value, Mapping) and (cls := chosen_class(value, hint, where)) is not None:
        return build(cls, value, where)
    if get_origin(hint) is tuple and isinstance(value, Sequence) and not isinstance(value, str):
        items = get_args(hint)
        hints = [items[0]] * len(value) if items[-1] is Ellipsis else list(items)
        if len(hints) == len(value):
            return tuple(
                convert(item, of, f"{where}[{i}]") for i, (item, of) in enumerate(zip(value, hints, strict=True))
            )
    if not fits(value, hint):
        raise ValueError(f"{where}: expected {describe(hint)}, found {shown(value)}")
    return float(value) if hint is float else value


def chosen_class(value: Mapping[str, Any], hint: Any, where: str) -> type[Any] | None:
    """Return the dataclass of a union that a table is meant for: the only one, or the one whose `type` it has."""
    classes: list[type[Any]] = [kind for kind in get_args(hint) if hasattr(kind, "__dataclass_fields__")]
    if len(classes) < 2:
        return classes[0] if classes else None
    kinds = {kind: cls for cls in classes for kind in get_args(get_type_hints(cls)["type"])}
    if value.get("type") not in kinds:
        raise ValueError(f"{where}.type: expected one of {', '.join(kinds)}, found {value.get('type')!r}")
    return kinds[value["type"]]


def fits(value: Any, hint: Any) -> bool:
    """Tell whether a JSON value has the annotated type; whole numbers are numbers, booleans are not."""
    if hint is Any:
        return True
    if get_origin(hint) in (Union, types.UnionType):
        return any(fits(value, choice) for choice in get_args(hint))
    if get_origin(hint) is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if hint is float:
        return fits(value, int) or isinstance(value, float) and math.isfinite(value)
    kind = get_origin(hint) or hint
    return isinstance(value, kind)


def describe(hint: Any) -> str:
    """Say an annotation in words."""
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(describe(choice) for choice in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(repr(choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list of {describe(get_args(hint)[0])}"
    return NAMES.get(get_origin(hint) or hint, str(hint))


def require(condition: bool, key: str, accepted: str, found: Any) -> None:
    """Refuse an impossible value; `build` puts the place in front of the key."""
    if not condition:
        raise ValueError(f"{key}: expected {accepted}, found {shown(found)}")


def shown(value: Any) -> str:
    """Write a value into a sentence, cut where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
