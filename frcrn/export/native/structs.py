"""What operations are made of: arguments, each annotated with what kind of number it is and how many values it has.

A size is an expression in other arguments and in the model's `window` and `hop`; `padded(n, pack)` is n rounded up to
whole packs, or n where `pack` is 0. Nothing in sizes, rules and costs is negative, and `/` leaves no rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple, get_args, get_origin, get_type_hints


class Kind(Enum):
    """What a number in a program is, and what a reader has to check of it."""

    READ = "values that are read: from 0 on in scratch, from -1 on downward in the state"
    WRITTEN = "values that are written: from 0 on in scratch, from -1 on downward in the state"
    WORK = "room in scratch for values in between"
    PLACE = "values in memory, read or written"
    STATE = "values of the state, kept from hop to hop"
    RING = "values of the state: frames that take turns, the newest in place of the oldest"
    WEIGHTS = "weights, by the number of the first"
    OPTIONAL = "weights, or -1 for none"
    COUNT = "a number, 1 or more"
    NUMBER = "a number, 0 or more"
    OFFSET = "a number of either sign"
    FLAG = "0 or 1"
    ACTIVATION = "0 for none, 1 for leaky, 2 for rectified"


READ, WRITTEN, WORK, PLACE = Kind.READ, Kind.WRITTEN, Kind.WORK, Kind.PLACE
STATE, RING, WEIGHTS, OPTIONAL = Kind.STATE, Kind.RING, Kind.WEIGHTS, Kind.OPTIONAL
COUNT, NUMBER, OFFSET, FLAG, ACTIVATION = Kind.COUNT, Kind.NUMBER, Kind.OFFSET, Kind.FLAG, Kind.ACTIVATION


@dataclass(eq=False)
class Buffer:
    """Room for values that live from the first operation that names it to the last."""

    size: int


class View(NamedTuple):
    """A buffer from some value on."""

    buffer: Buffer
    start: int


Argument = int | Buffer | View


class Field(NamedTuple):
    """One argument of an operation, or a structure of several, or any number of those."""

    name: str
    kind: Kind | None
    size: str
    structure: type[Struct] | None = None
    many: bool = False


@dataclass(frozen=True, kw_only=True)
class Struct:
    """Arguments that belong together."""

    @classmethod
    @cache
    def fields(cls) -> tuple[Field, ...]:
        """Return the arguments in their order."""
        hints = get_type_hints(cls, include_extras=True)
        return tuple(field_of(each.name, hints[each.name]) for each in fields(cls))

    def arguments(self) -> Iterator[Argument]:
        """Return all arguments, those of structures in their places."""
        for field in self.fields():
            value: Any = getattr(self, field.name)
            if field.structure is None:
                yield value
            else:
                for part in value if field.many else (value,):
                    yield from part.arguments()


def field_of(name: str, hint: Any) -> Field:
    """Return what an annotation says of a field."""
    if get_origin(hint) is Annotated:
        _, kind, *size = get_args(hint)
        return Field(name, kind, size[0] if size else "")
    if get_origin(hint) is tuple:
        return Field(name, None, "", get_args(hint)[0], many=True)
    return Field(name, None, "", hint)


class Operation(Struct):
    """What is done at one place of a program."""

    rules: ClassVar[tuple[str, ...]] = ()
    """What must be so besides: comparisons of such expressions."""
    cost: ClassVar[str] = "1"
    """About how many multiplications it takes, or more."""
