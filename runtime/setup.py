"""How the wheel of the runtime alone is built: some of the files above, with the C compiled beside them.

ModelScope imports every Python file of a model directory, this one too, so it does nothing unless a build runs it.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
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
    "cli/stream.py",
    "export/__init__.py",
    "export/native/__init__.py",
    "export/native/compiling.py",
    "export/native/library.py",
    "export/native/standalone.py",
    "export/native/stream.py",
    "export/native/*.[ch]",
    "inference/*.py",
    "weights/*.frcrn",
    "weights/*.json",
)
"""What the runtime consists of, below `frcrn`."""

LEFT = ("audio/sample.py", "inference/tensors.py")
"""What of that needs what is not there."""


def taken() -> list[Path]:
    """Return the files of the runtime, below the root of the tree."""
    package = ROOT / "frcrn"
    found = {path for pattern in TAKEN for path in package.glob(pattern)} - {package / name for name in LEFT}
    return sorted(path.relative_to(ROOT) for path in found)


def copy(target: Path) -> None:
    """Copy the files of the runtime."""
    for path in taken():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target / path)


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
