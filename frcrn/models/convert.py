"""A checkpoint of any known form, as a model directory of this library and, where it can be, of the released form."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from frcrn.files import held, refuse_links, write_json
from frcrn.models import Enhancer, FRCRNConfig
from frcrn.models.checkpoint import CheckpointError, load, save, save_directory
from frcrn.models.directories import CONFIGURATION, WEIGHT_FILES
from frcrn.models.released import ARGUMENTS, OFFICIAL_TYPE
from frcrn.texts import from_json, text_of

RELEASED = "released"
"""The folder, within the converted one, that has the released form."""
WEIGHTS = "pytorch_model.bin"
"""The released form's file of weights."""


def convert(source: str | os.PathLike[str], output: str | os.PathLike[str], *, force: bool = False) -> list[Path]:
    """Write a model directory, and inside it one of the released form where the network is the released one.

    Args:
        source: whatever `load` takes: a directory or a file of weights, also of ModelScope's stock trainer or
            ClearerVoice.
        output: the folder to write; one that holds a model is refused.
        force: replace the model that is there.

    Example:
        >>> convert("last_best_checkpoint.pt", "model")
    """
    folder = Path(output)
    _refuse_model(folder, force)
    model = load(source)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        _refuse_model(folder, force)  # another run may have ended meanwhile
        if model.config == FRCRNConfig():
            _refuse_other_weights(folder / RELEASED)
            save_directory(model, folder, trained=model.trained)
            return [folder, write_released(model, folder / RELEASED)]
        _remove_released(folder / RELEASED)
        save_directory(model, folder, trained=model.trained)
        return [folder]


def _refuse_model(folder: Path, force: bool) -> None:
    """Refuse a folder that holds a model, unless that is to be replaced, and one in which links lead elsewhere."""
    files = [place / name for place in (folder, folder / RELEASED) for name in (*WEIGHT_FILES, CONFIGURATION)]
    refuse_links(folder / RELEASED, *files)
    there = [path for path in files if path.exists()]
    if there and not force:
        raise CheckpointError(f"{there[0]}: a model is here already; give another folder, or --force to replace it")


def _refuse_other_weights(folder: Path) -> None:
    """Refuse a folder with weights under another name than ours, which would be taken first."""
    if there := [folder / name for name in WEIGHT_FILES if name != WEIGHTS and (folder / name).exists()]:
        raise CheckpointError(f"{there[0]}: no earlier conversion wrote it; move it away or give another folder")


def _remove_released(folder: Path) -> None:
    """Remove the released form of the model that another one replaces; refuse what `write_released` did not write."""
    ours = {folder / WEIGHTS, folder / CONFIGURATION}
    there = {path for name in (*WEIGHT_FILES, CONFIGURATION) if (path := folder / name).exists()}
    if not there:
        return
    if there != ours or not _is_released(folder):
        raise CheckpointError(
            f"{folder}: what is there would seem to be a form of the new model, which has none, and no earlier"
            " conversion wrote it; move it away or give another folder"
        )
    for path in ours:
        path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _is_released(folder: Path) -> bool:
    """Say whether a folder has the configuration that `write_released` put beside that of the folder above."""
    try:
        above, found = (from_json(text_of(place / CONFIGURATION)) for place in (folder.parent, folder))
    except (OSError, ValueError):
        return False
    return isinstance(above, dict) and bool(found == _released_configuration(above))


def write_released(model: Enhancer, folder: Path) -> Path:
    """Write a directory that the stock code loads: the released names of tensors, and its configuration."""
    save(model, folder / WEIGHTS, official_form=True)
    values = json.loads(text_of(folder.parent / CONFIGURATION))
    write_json(folder / CONFIGURATION, _released_configuration(values))
    return folder


def _released_configuration(values: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a model directory with the released network's parts."""
    return {**values, "model": {"type": OFFICIAL_TYPE, **ARGUMENTS}, "pipeline": {"type": OFFICIAL_TYPE}}
