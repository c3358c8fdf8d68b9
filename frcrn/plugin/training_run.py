"""One training run as the framework's trainer drives it: our loop, with callbacks and a fuller output directory."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from frcrn.files import write_json
from frcrn.models import Enhancer
from frcrn.models.checkpoint import CONFIGURATION
from frcrn.plugin.metric import report
from frcrn.training import Recipe, Trainer, checkpoints
from frcrn.training.checkpoints import SUFFIX
from frcrn.training.outcome import Held

logger = logging.getLogger(__name__)

LEFT_BEHIND = ("checkpoints", "output", "tensorboard", "log.jsonl", "train.log", "recipe.json")
"""What a run leaves in its folder."""


class Owner(Protocol):
    """What a run needs of the framework's trainer, and tells it."""

    model: Enhancer
    work_dir: str
    sections: dict[str, Any]
    metric_values: dict[str, Any] | None
    stop_training: bool

    def invoke(self, stage: str) -> None:
        """Call the callbacks of a stage."""

    def after_step(self, step: int, share: float, shown: Mapping[str, float]) -> None:
        """Note a step."""


class Run(Trainer):
    """Our loop; `start` is the checkpoint that it goes on from."""

    start: dict[str, Any] | None = None

    def __init__(self, owner: Owner, recipe: Recipe, *, train_data: Any, valid_data: Any) -> None:
        """Prepare a run of the trainer's network in its folder."""
        self.owner = owner
        super().__init__(
            recipe,
            work_dir=owner.work_dir,
            model=owner.model,
            train_data=train_data,
            valid_data=valid_data,
            watcher=owner.after_step,
        )

    def reason_to_stop(self) -> str | None:
        """Let a callback end the run."""
        return super().reason_to_stop() or ("a callback asked for it" if self.owner.stop_training else None)

    def score_average(self) -> None:
        """Let callbacks see an evaluation."""
        self.owner.invoke("before_val")
        super().score_average()
        self.owner.invoke("after_val")

    def evaluate(self, checkpoint: str | Path | None = None, *, samples: bool = False) -> dict[str, Any]:
        """Keep the scores where callbacks look for them."""
        scores = super().evaluate(checkpoint, samples=samples)
        self.owner.metric_values = report(scores)
        return scores

    def export(self, held: Held) -> None:
        """Write the model directory with the sections that training it again needs."""
        super().export(held)
        if self.processes.first:
            add_sections(self.folder / "output" / CONFIGURATION, self.owner.sections)

    def claim_folder(self, resume: bool) -> dict[str, Any] | None:
        """Return the checkpoint to go on from; what another run left in the folder moves aside."""
        if self.processes.first and self.start is None:
            move_aside(self.folder)
        if self.processes.first and self.start is not None:
            forget_after(self.folder / "checkpoints", self.start["progress"]["step"])
        self.processes.wait()
        return self.start


def add_sections(path: Path, sections: Mapping[str, Any]) -> None:
    """Add sections to a configuration, in one step."""
    values = json.loads(path.read_text(encoding="utf-8")) | sections
    write_json(path, values)


def move_aside(folder: Path) -> None:
    """Move what an earlier run left into a folder of its own, so that a script can be run again and nothing is lost."""
    left = [folder / name for name in LEFT_BEHIND if (folder / name).exists()]
    if not left:
        return
    number = 1
    while (aside := folder / f"earlier-{number}").exists():
        number += 1
    aside.mkdir()
    for path in left:
        shutil.move(path, aside / path.name)
    logger.warning("%s: an earlier run was here; it is now in %s", folder, aside)


def forget_after(folder: Path, step: int) -> None:
    """Remove the checkpoints after the one that the run goes on from."""
    for path in checkpoints.found(folder):
        if path > checkpoints.path_of(folder, step):
            path.unlink()


def resumable(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the whole state in a checkpoint file, or in the newest whole one of a run's folder."""
    place = Path(path)
    if place.is_dir():
        kept = place / "checkpoints" if (place / "checkpoints").is_dir() else place
        if (state := checkpoints.newest(kept)) is None:
            raise ValueError(f"{place}: expected a run's folder with a whole checkpoint, found none")
        return state
    if place.suffix != SUFFIX:
        found = "weights alone (load_all_state=False starts from these)" if place.exists() else "nothing"
        raise ValueError(f"{place}: expected a training checkpoint ({SUFFIX}), found {found}")
    return checkpoints.load(place)


def sections_of(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a configuration that an output directory carries on."""
    return {key: plan[key] for key in ("preprocessor", "train", "evaluation") if key in plan}
