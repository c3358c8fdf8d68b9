"""The rooms of the library, the floors that they stand on, and the arrows between them, read from the imports.

`python -m tests.house` counts them, and writes the map in CONTRIBUTING.md anew.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAP = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- rooms: begin -->\n", "<!-- rooms: end -->\n"

FLOORS = (
    "_copies config files texts threads visible",
    "workers",
    "machine audio models.layers",
    "models export.weights export.parity export.backend export.rows",
    "data export.onnx export.native evaluation.metrics",
    "export export.fixed export.ladspa export.web inference training.losses",
    "evaluation.systems evaluation.statistics evaluation.side_effects evaluation.peers evaluation.scores_csv training",
    "evaluation.report",
    "evaluation",
    "evaluation.speed plugin scale serve",
    "cli",
)
"""From the ground up; a package's name stands for what is in it and has no floor of its own."""

FACE = "frcrn"
"""Shows what others have, found at its first use; of the library itself, anybody may ask it for `__version__` only."""

LATE = {
    ("frcrn.models.base", "frcrn.inference.enhance"),
    ("frcrn.models.base", "frcrn.inference.streaming"),
    ("frcrn.export.native.standalone", "frcrn.inference.enhance"),
    ("frcrn.export.native.standalone", "frcrn.inference.streaming"),
}
"""Imports upward, made inside a function when it is called: the methods of a network that belong to a floor above."""

ROOMS = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}


@cache
def modules() -> dict[str, Path]:
    """Return every module's full name and file."""
    found = {}
    for path in sorted((ROOT / "frcrn").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(module: str) -> str:
    """Return the most particular room that a module is in; the face is no room."""
    parts = module.removeprefix("frcrn").removeprefix(".").split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    found = next((name for name in names if name in ROOMS), None)
    if module in (FACE, "frcrn.__main__"):
        return FACE
    assert found is not None, f"give {module} a floor in tests/house.py"
    return found


def floor(module: str) -> int:
    """Return the floor of a module; the face's is above all."""
    return ROOMS.get(room(module), len(FLOORS))


def imported(name: str, nodes: list[ast.AST]) -> set[str]:
    """Return which of our modules these statements import."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "frcrn"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import hides which floor it goes to"
            if node.module == FACE and [alias.name for alias in node.names] == ["__version__"]:
                continue
            if node.module and node.module.split(".")[0] == "frcrn":
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {module if module in modules() else node.module for module in full}
    return found


def everywhere(path: Path) -> list[ast.AST]:
    """Return all that a file says, inside functions too."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def needs(name: str) -> set[str]:
    """Return which modules a module imports, at once or later, but for the methods that are looked up above."""
    found = imported(name, everywhere(modules()[name])) - {name}
    return {other for other in found if (name, other) not in LATE}


def arrows() -> set[tuple[str, str]]:
    """Return which room needs which other one."""
    pairs = {(room(name), room(other)) for name in modules() for other in needs(name) if name != FACE}
    return {(one, other) for one, other in pairs if one != other and FACE not in (one, other)}


def first_line(name: str) -> str:
    """Return what the docstring of a room says first."""
    path = modules()[f"frcrn.{name}"]
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def table() -> str:
    """Return the map: a row a room, the highest floor first."""
    rows = [
        f"| {number} | `{name}` | {first_line(name)} |\n"
        for number, rooms in reversed(list(enumerate(FLOORS)))
        for name in rooms.split()
    ]
    return "| floor | room | what is in it |\n|---|---|---|\n" + "".join(rows)


def written() -> str:
    """Return the map as CONTRIBUTING.md has it."""
    return MAP.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = MAP.read_text(encoding="utf-8").partition(BEGIN)
    MAP.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
    print(f"{len(modules())} modules in {len(ROOMS)} rooms on {len(FLOORS)} floors, {len(arrows())} arrows")
