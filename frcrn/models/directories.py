"""Where networks are found: the bundled ones by name, and model directories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from frcrn.config import FOR_STREAMS
from frcrn.models.weight_files import CheckpointError
from frcrn.texts import MOST_TEXT, content_of, from_json, text_of

CONFIGURATION = "configuration.json"
BUNDLED = "bundled"
"""The key by which a model directory without weights of its own names the bundled model that it stands for."""
STREAMING = "streaming"
"""The key by which it names another one for streams, whose answer somebody waits for."""
WEIGHT_FILES = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin", "pytorch_model.pth")
EXPORTED = ("program.json", "frcrn.json")
"""What `frcrn export` writes beside a program or graphs, which weights cannot be read from."""
POINTERS = ("last_best_checkpoint", "last_checkpoint")
"""Text files in which ClearerVoice's directories name a weights file beside them, the better first."""


def names() -> list[str]:
    """Return the names of the bundled models."""
    folder = resources.files("frcrn") / "weights"
    bundled = (
        [Path(item.name).stem for item in folder.iterdir() if item.name.endswith(".safetensors")]
        if folder.is_dir()
        else []
    )
    return sorted({FOR_STREAMS, *bundled})


def read_configuration(folder: Path) -> dict[str, Any]:
    """Return the `model` part of a directory's configuration, empty where there is none."""
    file = folder / CONFIGURATION
    if not file.exists():
        return {}
    if not file.is_file():
        raise CheckpointError(f"{file}: expected a file in JSON, found a pipe, a device or a folder")
    try:
        part = from_json(text_of(file)).get("model", {})
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise CheckpointError(f"{file}: not a JSON object ({error})") from error
    if not isinstance(part, dict):
        raise CheckpointError(f"{file}: expected an object under 'model', found {type(part).__name__}")
    return part


def named_by(pointer: Path) -> str:
    """Return the name of a file beside it, which is the text of a file."""
    return Path(content_of(pointer, MOST_TEXT).decode("utf-8", "replace").strip()).name


def weights_in(folder: Path) -> Path:
    """Return the weights file of a model directory, or the one that a text file in it names."""
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    for pointer in (folder / name for name in POINTERS):
        if pointer.is_file() and (found := folder / named_by(pointer)).is_file():
            return found
    if any((folder / name).is_file() for name in EXPORTED):
        raise CheckpointError(f"{folder}: an export; expected the model that it was made of, which holds the weights")
    raise CheckpointError(f"{folder}: no weights here; expected one of {', '.join(WEIGHT_FILES)}")


def stands_for_bundled(folder: Path, arguments: Mapping[str, Any]) -> bool:
    """Tell whether a directory has no weights of its own, and names a bundled model."""
    return BUNDLED in arguments and not any((folder / name).is_file() for name in WEIGHT_FILES)


def known_name(folder: Path, name: object) -> str:
    """Return the name of a bundled model that a directory stands for."""
    if name not in names():
        raise CheckpointError(f"{folder / CONFIGURATION}: no bundled model {name!r}; there are {', '.join(names())}")
    return str(name)
