"""The tables in docs/model-format.md, made from the table of operations.

`python -m tests.model_format` writes them anew.
"""

from __future__ import annotations

from pathlib import Path

from frcrn.export.native.headers import c_name, structures
from frcrn.export.native.row_operations import OPERATIONS
from frcrn.export.native.structs import Field, Kind, Struct

PAGE = Path(__file__).parent.parent / "docs" / "model-format.md"


def kinds() -> str:
    used = {field.kind for each in structures(OPERATIONS) for field in each.fields()}
    lines = [f"| {kind.name.lower()} | {kind.value} |" for kind in Kind if kind in used]
    return "\n".join(["| kind | |", "|---|---|", *lines]) + "\n"


def operations() -> str:
    rows = []
    for each in structures(OPERATIONS):
        number = str(OPERATIONS.index(each)) if each in OPERATIONS else ""
        name = f"**{c_name(each).upper()}**" if number else f"`{c_name(each)}`"
        about = " ".join((each.__doc__ or "").split())
        rules = "; needs " + ", ".join(f"`{rule}`" for rule in each.rules) if getattr(each, "rules", ()) else ""
        rows.append(f"| {number} | {name} | {about} | {', '.join(map(argument, each.fields()))}{rules} |")
    return "\n".join(["| | operation | | arguments |", "|---|---|---|---|", *rows]) + "\n"


def argument(field: Field) -> str:
    if field.kind is None:
        assert field.structure is not None and issubclass(field.structure, Struct) and field.many
        return f"`{field.name}`: `{c_name(field.structure)}` times `count`"
    return f"`{field.name}` {field.kind.name.lower()}" + (f" [{field.size}]" if field.size else "")


def current() -> str:
    """Return the page with its tables as they should be."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("kinds", kinds()), ("operations", operations())):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, _, rest = text.partition(begin)
        text = before + begin + table + end + rest.partition(end)[2]
    return text


if __name__ == "__main__":
    PAGE.write_text(current(), encoding="utf-8")
