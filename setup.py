"""How wheels are built, with the C inside where there is a compiler; the metadata is in pyproject.toml.

ModelScope imports every Python file of a model directory, this one too, so it does nothing unless a build runs it.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
NATIVE = ROOT / "frcrn" / "export" / "native"


def commands() -> dict[str, Any]:
    """Return the commands that compile the C and name the wheel after what it is for."""
    from setuptools.command.bdist_wheel import bdist_wheel
    from setuptools.command.build_py import build_py

    compiling = runpy.run_path(str(NATIVE / "compiling.py"))

    class BuildWithC(build_py):
        """Copies the package and compiles its C beside it, but not where the package stays where it is."""

        def run(self) -> None:
            """Build."""
            self.copy_package()
            if not self.editable_mode:
                target = Path(self.build_lib, "frcrn", "export", "native")
                made = compiling["compile_for_wheel"](NATIVE, target)
                self.announce(f"compiled {len(made)} libraries" if made else "no C compiler that works: no C inside", 3)

        def copy_package(self) -> None:
            """Copy the files."""
            super().run()

    class TaggedWheel(bdist_wheel):
        """A wheel for any Python, and for one system where it holds compiled C."""

        def get_tag(self) -> tuple[str, str, str]:
            """Return the tag of Python, of its C interface and of the system."""
            made = sorted(Path(self.bdist_dir).rglob(compiling["shipped_name"]("*")))
            self.root_is_pure = not made
            system = super().get_tag()[2]
            return "py3", "none", compiling["platform_tag"](made, system) if made else "any"

    return {"build_py": BuildWithC, "bdist_wheel": TaggedWheel}


if __name__ == "__main__":
    from setuptools import setup

    setup(cmdclass=commands())
