"""How the wheel of the runtime alone is built: some of the files above, with the C compiled beside them.

ModelScope imports every Python file of a model directory, this one too, so it does nothing unless a build runs it.
"""

from __future__ import annotations

import ast
import os
import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

TAKEN = (
    "*.py",
    "py.typed",
    "audio/*.py",
    "cli/__init__.py",
    "cli/common.py",
    "cli/completion.py",
    "cli/enhance.py",
    "cli/enhance_log.py",
    "cli/keys.py",
    "cli/live.py",
    "cli/signals.py",
    "cli/stream.py",
    "export/__init__.py",
    "export/native/*.py",
    "export/native/*.[ch]",
    "inference/*.py",
    "weights/*.frcrn",
    "weights/*.json",
)
"""What the runtime consists of, below `frcrn`; of the Python files, those whose imports are there too."""

NEEDS = ("numpy", "soundfile", "soxr")
LEFT = ("frcrn/audio/sample.py",)
"""What needs other files that are not there."""


def taken() -> list[str]:
    """Return the files of the runtime, below the root of the tree."""
    names = (path.relative_to(ROOT).as_posix() for pattern in TAKEN for path in (ROOT / "frcrn").glob(pattern))
    found = {name for name in names if name not in LEFT}
    needs = {name: imported(ROOT / name) for name in found if name.endswith(".py")}
    while lost := {name for name in needs if name in found and not all(is_there(each, found) for each in needs[name])}:
        found -= lost
    return sorted(found)


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports as soon as it is imported itself."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if is_ours(name) else str(node.module) for name in full}
    return found


def is_ours(name: str) -> bool:
    """Say whether a name is a module of the tree."""
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def is_there(name: str, found: set[str]) -> bool:
    """Say whether a module can be imported where the runtime is."""
    path = name.replace(".", "/")
    if name.split(".")[0] == "frcrn":
        return not {f"{path}.py", f"{path}/__init__.py"}.isdisjoint(found)
    return name.split(".")[0] in (*NEEDS, *sys.stdlib_module_names)


def copy(target: Path) -> None:
    """Copy the files of the runtime."""
    for name in taken():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)


def commands() -> dict[str, Any]:
    """Return the commands of the full package, of which building takes the runtime's files alone."""
    whole = runpy.run_path(str(ROOT / "setup.py"))["commands"]()

    class BuildRuntime(whole["build_py"]):  # type: ignore[misc]
        """Copies the runtime and compiles its C beside it."""

        def copy_package(self) -> None:
            """Copy the files."""
            copy(Path(self.build_lib))

    return whole | {"build_py": BuildRuntime}


def version() -> str:
    """Return the version of the tree."""
    text = (ROOT / "frcrn" / "__init__.py").read_text(encoding="utf-8")
    return re.findall(r'__version__ = "(.*)"', text)[0]


if __name__ == "__main__":
    from setuptools import setup

    os.chdir(ROOT / "runtime")
    setup(
        version=version(), packages=["frcrn"], package_dir={"frcrn": os.path.join("..", "frcrn")}, cmdclass=commands()
    )
