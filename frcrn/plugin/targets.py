"""Where the results of one call are written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from torch.utils.data import IterableDataset

from frcrn import audio
from frcrn.audio import AudioError
from frcrn.files import inode_of, path_text
from frcrn.inference.paths import key_in, led_out
from frcrn.plugin.sources import name_of


class Target:
    """A file for one input, a folder for many, or nothing."""

    def __init__(self, output_path: str | os.PathLike[str] | None, inputs: Any, *, many: bool) -> None:
        """Refuse what cannot work before anything is computed: a file for many inputs, two inputs of one name."""
        if output_path is not None and not path_text(output_path, "output_path"):
            raise ValueError("output_path: expected a file or folder, found an empty name")
        self.path = None if output_path is None else Path(output_path)
        self.folder = self.path is not None and (many or self.path.is_dir())
        if self.path is None:
            return
        if not self.folder:
            if (there := inode_of(self.path)) and there == inode_of(file_of(inputs)):
                raise AudioError(f"{self.path}: would be overwritten by its own result; choose another name")
            return
        if self.path.exists() and not self.path.is_dir() or not self.path.exists() and audio.is_audio_name(self.path):
            raise AudioError(f"{self.path}: is the name of a file; many inputs need a folder")
        known = looked_at(inputs) if many else []
        self.names = Names(self.path, known)
        Names(self.path, known).of_all(known)

    def path_of(self, source: Any) -> Path | None:
        """Return where the next input's result is to be written, None where nowhere."""
        if self.path is None or not self.folder:
            return self.path
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path / self.names.of(source)


class Names:
    """Gives each input a file name of its own in a folder: the one it came with, a number where it had none."""

    def __init__(self, folder: Path, inputs: Iterable[Any] = ()) -> None:
        self.folder, self.key = folder, key_in(folder)
        self.sources: dict[str, Any] = {}
        self.inputs = {inode_of(file_of(source)) for source in inputs} - {None}

    def of_all(self, sources: Iterable[Any]) -> None:
        """Name all, to see whether it can be done."""
        for source in sources:
            self.of(source)

    def of(self, source: Any) -> str:
        """Name the next input; one whose name is taken, or whose result would overwrite an input, is refused."""
        name = name_of(source) or f"{len(self.sources):04d}.wav"
        if not audio.is_audio_name(name):
            name = f"{name}.wav"
        shown = source if isinstance(source, (str, os.PathLike)) else name
        if (other := self.sources.get(self.key(name))) is not None:
            raise AudioError(f"{shown}: would be written to the same file as {other}, {self.folder / name}")
        own = inode_of(file_of(source))
        if there := inode_of(self.folder / name):
            if there == own:
                raise AudioError(f"{shown}: would be overwritten by its own result; choose another folder")
            if there in self.inputs:
                raise AudioError(f"{shown}: {self.folder / name} is an input, too; choose another folder")
        if problem := led_out(self.folder, self.folder / name):
            raise AudioError(f"{shown}: {problem}")
        self.inputs |= {own} - {None}
        self.sources[self.key(name)] = source if isinstance(source, (str, os.PathLike)) else "another input"
        return name


def looked_at(inputs: Any) -> list[Any]:
    """Return the file of each input of a list, column, series, array or dataset, which names its result.

    Of what can be seen only once, such as a generator, nothing is looked at.
    """
    lasting = hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__") and not isinstance(inputs, IterableDataset)
    return [file_of(source) for source in islice(inputs, len(inputs))] if lasting else []


def file_of(source: Any) -> Any:
    """Return the file that an input is or names, a path or an open one; an empty name where there is none."""
    if isinstance(source, Mapping):
        source = source.get("path")
    return source if isinstance(source, (str, os.PathLike)) or hasattr(source, "fileno") else ""
