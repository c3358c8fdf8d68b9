"""What can be scored: a network, a described ONNX peer, a folder of enhanced files, or the noisy clips themselves."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Protocol

import numpy as np

from frcrn.audio import Samples, exactly, find, read
from frcrn.audio.resampling import mono
from frcrn.config import warn_of_namesake
from frcrn.data.pairs import by_name
from frcrn.evaluation.peers import Peer
from frcrn.inference.enhance import enhance
from frcrn.models.base import Enhancer
from frcrn.models.checkpoint import fingerprint, load
from frcrn.models.directories import CONFIGURATION, names
from frcrn.texts import NAMES
from frcrn.visible import visible

NOISY = "noisy"
SLACK_SECONDS = 0.1
"""How much shorter or longer than its clip an enhanced file may be; the difference is padded or cut."""


class System(Protocol):
    """Something that takes a noisy clip to an enhanced one."""

    label: str
    live: bool
    """Whether it takes any wave, not only the clips of one set."""

    def enhance(self, name: str, noisy: Samples, rate: int) -> Samples:
        """[T] -> [T] at the same rate."""

    def fingerprint(self) -> str:
        """Return a hash that changes with what the system would do."""


class Network:
    """A network of ours."""

    live = True

    def __init__(self, model: Enhancer, label: str = "model", *, optimize: bool = False) -> None:
        self.label, self._fingerprint = label, fingerprint(model)
        self.model = model.optimize() if optimize else model

    def enhance(self, name: str, noisy: Samples, rate: int) -> Samples:
        """[T] -> [T]; `name` plays no part."""
        return np.asarray(enhance(self.model, np.asarray(noisy, dtype=np.float32), rate, passes=None))

    def fingerprint(self) -> str:
        """Return a hash of the configuration and the weights."""
        return self._fingerprint


class Unprocessed:
    """The noisy clips as they are: what every model has to beat."""

    label = NOISY
    live = True

    def enhance(self, name: str, noisy: Samples, rate: int) -> Samples:
        """[T] -> the same."""
        return noisy

    def fingerprint(self) -> str:
        """Return the same for all."""
        return hashlib.sha256(NOISY.encode()).hexdigest()


class EnhancedFolder:
    """Files that something else has enhanced, named like the clips."""

    live = False

    def __init__(self, folder: Path) -> None:
        self.folder, self.label = folder, folder.name
        self.files = by_name(folder)
        if not self.files:
            raise ValueError(f"{folder}: expected a model directory or enhanced audio files, found neither")

    def enhance(self, name: str, noisy: Samples, rate: int) -> Samples:
        """Read the file of the clip `name`, at the length of the noisy one."""
        file = self.files.get(name)
        if file is None:
            raise ValueError(f"{self.folder}: no enhanced file for the clip {name}")
        wave = mono(read(file), rate)
        if abs(len(wave) - len(noisy)) > SLACK_SECONDS * rate:
            raise ValueError(f"{file}: {len(wave)} samples, the noisy clip has {len(noisy)}")
        return np.asarray(exactly(wave[None], len(noisy))[0])

    def fingerprint(self) -> str:
        """Return a hash of all files."""
        state = hashlib.sha256()
        for name, file in sorted(self.files.items()):
            state.update(name.encode(errors=NAMES) + hashlib.sha256(file.read_bytes()).digest())
        return state.hexdigest()


def open_system(text: str) -> System:
    """Open something that can be compared.

    Args:
        text: "noisy" (the input itself), a model, the JSON file of an ONNX model of others, or a folder of enhanced
            files; "LABEL=PLACE" names it. "noisy" and the names of bundled models are never folders; "./noisy" is one.

    Example:
        >>> open_system("before=runs/old/output")
    """
    label, place = labelled(text)
    system = _open(place)
    system.label = visible(label or system.label)
    return system


def labelled(text: str) -> tuple[str, str]:
    """Return the label (or nothing) and the place of "LABEL=PLACE"; a file that has such a name is a place."""
    label, sign, place = text.partition("=")
    return (label, place) if sign and not os.path.exists(text) else ("", text)


def _open(place: str) -> System:
    path = Path(place)
    if place == NOISY:
        if path.exists():
            warn_of_namesake(NOISY, "the noisy clips are scored", "the one")
        return Unprocessed()
    if place in names():
        if path.is_dir() and not (path / CONFIGURATION).is_file():
            warn_of_namesake(place, "the bundled model is scored", "the folder")
        return Network(load(place), place, optimize=True)
    if path.suffix == ".json" and path.is_file():
        return Peer(path)
    if place and path.is_dir() and not (path / CONFIGURATION).is_file() and find([path]):
        return EnhancedFolder(path)
    return Network(load(place), path.stem if path.is_file() else path.name, optimize=True)
