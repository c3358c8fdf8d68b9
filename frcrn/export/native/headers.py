"""C's side of the tables of operations: headers, which are kept beside the C that includes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from frcrn.export.native.argument_checks import checker
from frcrn.export.native.frame_operations import FRAMES
from frcrn.export.native.row_operations import OPERATIONS
from frcrn.export.native.structs import Field, Operation, Struct

HEADERS: dict[str, Sequence[type[Operation]]] = {
    "operations.h": OPERATIONS,
    "frames.h": FRAMES,
    "argument_checks.h": OPERATIONS,
}
"""Which table each is made from."""

CHECKS = "argument_checks.h"


def c_name(kind: type[Struct]) -> str:
    """AlongBins -> along_bins."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def header(name: str, table: Sequence[type[Operation]]) -> str:
    """Return the header of a table: either its structures, or what checks them."""
    guard = f"FRCRN_{name.upper().replace('.', '_')}"
    parts = [
        f"/* Made from a table of operations by `python -m frcrn.export.native.headers`, not by hand. */\n"
        f"#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n",
        *(checkers(table) if name == CHECKS else declarations(table)),
        "#endif\n",
    ]
    return "\n".join(parts)


def declarations(table: Sequence[type[Operation]]) -> list[str]:
    """Return the number of each operation, its arguments, and a list of all."""
    names = [c_name(kind) for kind in table]
    return [
        "enum { " + ", ".join(each.upper() for each in names) + " };\n",
        *(structure(kind) for kind in structures(table)),
        "#define EACH_OPERATION(CASE) \\\n    "
        + " \\\n    ".join(f"CASE({each.upper()}, {each})" for each in names)
        + "\n",
    ]


def checkers(table: Sequence[type[Operation]]) -> list[str]:
    """Return what checks each operation; none has so many arguments that are always there."""
    most = 1 + max(sum(field.structure is None for field in kind.fields()) for kind in table)
    inner = {kind: next((c_name(f.structure) for f in kind.fields() if f.structure), "") for kind in table}
    return [
        f"#define MOST_ARGUMENTS {most}\n",
        *(checker(kind, c_name(kind), inner[kind]) for kind in table),
    ]


def structures(table: Sequence[type[Operation]]) -> list[type[Struct]]:
    """Return all structures, those that others hold before them."""
    found: list[type[Struct]] = []

    def visit(kind: type[Struct]) -> None:
        for field in kind.fields():
            if field.structure is not None:
                visit(field.structure)
        if kind not in found:
            found.append(kind)

    for kind in table:
        visit(kind)
    return found


def structure(kind: type[Struct]) -> str:
    """Return a structure in C."""
    about = (kind.__doc__ or "").split("\n\n")[0]
    lines = "\n".join(f"    {declaration(field)}" for field in kind.fields())
    return f"/* {about} */\ntypedef struct {{\n{lines}\n}} {type_name(kind)};\n"


def type_name(kind: type[Struct]) -> str:
    """Return the name of a structure in C."""
    return f"{c_name(kind)}_arguments" if issubclass(kind, Operation) else c_name(kind)


def declaration(field: Field) -> str:
    """Return a field in C."""
    if field.structure is not None:
        return f"{type_name(field.structure)} {field.name}{'[]' if field.many else ''};"
    assert field.kind is not None
    size = f" [{field.size}]" if field.size else ""
    return f"int32_t {field.name}; /* {field.kind.name.lower()}{size} */"


if __name__ == "__main__":
    for name, table in HEADERS.items():
        Path(__file__).with_name(name).write_text(header(name, table), encoding="utf-8")
