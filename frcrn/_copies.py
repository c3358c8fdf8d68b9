"""Keep the copies that ModelScope makes of a model directory's code from doing harm.

A model directory with `allow_remote` (this repository is one) has every Python file in it copied to a folder of the
framework and imported from there, file by file, as a module of a package with the directory's name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

FOLDER = "modelscope_modules"


class Empty(Loader):
    """Finds an empty module for every name below a package."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Return the empty module's specification, None for a name elsewhere."""
        return ModuleSpec(name, self, is_package=True) if name.startswith(f"{self.package}.") else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the import system."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing."""


class SameName:
    """Finds the copies of a directory called like an installed package, whose modules they seem to be."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Return a copy's specification; asked last, so that the package's own modules come first."""
        parent, _, _ = name.rpartition(".")
        if parent != self.package:
            return None
        copies = [os.path.join(entry, parent) for entry in sys.path if os.path.basename(entry) == FOLDER]
        return PathFinder.find_spec(name, copies, None) if copies else None


def leave_out(package: str) -> None:
    """Make all modules of a package empty where it is a copy: they are for developers, and need their packages."""
    if "." in package:
        sys.meta_path.insert(0, Empty(package))


def find_copies_of(package: str) -> None:
    """Let the copies of a directory that has a package's own name be found."""
    if not any(type(finder).__name__ == SameName.__name__ for finder in sys.meta_path):
        sys.meta_path.append(SameName(package))
