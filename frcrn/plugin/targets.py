"""Where the results of one call are written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from frcrn import audio
from frcrn.audio import AudioError
from frcrn.files import path_text
from frcrn.plugin.sources import name_of


class Target:
    """A file for one input, a folder for many, or nothing."""

    def __init__(self, output_path: str | os.PathLike[str] | None, inputs: Iterable[Any], *, many: bool) -> None:
        """Refuse what cannot work before anything is computed: a file for many inputs, two inputs of one name."""
        self.path = None if output_path is None else Path(path_text(output_path, "output_path"))
        self.folder = self.path is not None and (many or self.path.is_dir())
        self.taken: set[str] = set()
        self.count = 0
        if self.path is None or not self.folder:
            return
        if self.path.exists() and not self.path.is_dir() or not self.path.exists() and audio.is_audio_name(self.path):
            raise AudioError(f"{self.path}: is the name of a file; many inputs need a folder")
        if isinstance(inputs, list):
            Names(self.path).of_all(inputs)
        self.names = Names(self.path)

    def path_of(self, source: Any) -> Path | None:
        """Return where the next input's result is to be written, None where nowhere."""
        if self.path is None or not self.folder:
            return self.path
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path / self.names.of(source)


class Names:
    """Gives each input a file name of its own in a folder: the one it came with, a number where it had none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources: dict[str, Any] = {}

    def of_all(self, sources: list[Any]) -> None:
        """Name all, to see whether it can be done."""
        for source in sources:
            self.of(source)

    def of(self, source: Any) -> str:
        """Name the next input; one whose name is taken, or whose own file would be overwritten, is refused."""
        name = name_of(source) or f"{len(self.sources):04d}.wav"
        if not audio.is_audio_name(name):
            name = f"{name}.wav"
        if name in self.sources:
            other = self.sources[name]
            raise AudioError(f"{source}: would be written to the same file as {other}, {self.folder / name}")
        if isinstance(source, (str, os.PathLike)) and os.path.realpath(source) == os.path.realpath(self.folder / name):
            raise AudioError(f"{source}: would be overwritten by its own result; choose another folder")
        self.sources[name] = source if isinstance(source, (str, os.PathLike)) else "another input"
        return name
