"""One training run as the framework's trainer drives it: our loop, with callbacks and a fuller output directory."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from frcrn.files import path_text, write_json
from frcrn.models import Enhancer
from frcrn.models.checkpoint import arguments_of, assemble, load
from frcrn.models.directories import CONFIGURATION
from frcrn.models.weight_files import METADATA, read_entries
from frcrn.plugin import framework_files
from frcrn.plugin.configuration import Plan
from frcrn.plugin.metric import report
from frcrn.texts import from_json, text_of
from frcrn.training import Recipe, Trainer, checkpoints
from frcrn.training.outcome import Held
from frcrn.training.schedule import share

logger = logging.getLogger(__name__)

LEFT_BEHIND = ("checkpoints", "output", "tensorboard", "log.jsonl", "train.log", "recipe.json")
"""What a run leaves in its folder, besides what the framework's readers look for."""


class Owner(Protocol):
    """What a run needs of the framework's trainer, and tells it."""

    model: Enhancer
    work_dir: str
    timestamp: str
    plan: Plan
    sections: dict[str, Any]
    metric_values: dict[str, Any] | None

    @property
    def iters_per_epoch(self) -> int:
        """Steps in an epoch."""

    @property
    def evaluation_iters(self) -> int:
        """Batches of an evaluation."""

    def before_evaluation(self) -> None:
        """Finish the step and call the hooks that precede an evaluation."""

    def after_evaluation(self) -> None:
        """Call the hooks that follow an evaluation."""

    def after_step(self, step: int, share: float, shown: Mapping[str, float]) -> None:
        """Note a step."""

    def asked_to_stop(self) -> bool:
        """Tell whether a hook ended the run."""


class Run(Trainer):
    """Our loop; `start` is the checkpoint that it goes on from, and `source` the file or folder that it was in."""

    start: dict[str, Any] | None = None
    source: Path | None = None

    def __init__(self, owner: Owner, recipe: Recipe, *, train_data: Any, valid_data: Any) -> None:
        """Prepare a run of the trainer's network in its folder."""
        self.owner = owner
        super().__init__(
            recipe,
            work_dir=owner.work_dir,
            model=owner.model,
            train_data=train_data,
            valid_data=valid_data,
        )

    def reason_to_stop(self) -> str | None:
        """Let a hook end the run, in whichever process it asks."""
        if (reason := super().reason_to_stop()) is not None:
            return reason
        asked = self.processes.agree(0.0, float(self.owner.asked_to_stop()))[1]
        return "a callback asked for it" if asked else None

    def tell(self) -> None:
        """Tell hooks, in every process, that a step is done."""
        self.owner.after_step(self.progress.step, share(self.recipe.train, self.progress), self.shown)

    def log(self) -> None:
        """Record the means for the framework's readers too."""
        super().log()
        self.append("train", (self.progress.step - 1) % self.owner.iters_per_epoch + 1, self.shown)

    def score_average(self) -> None:
        """Let hooks see an evaluation, and record it for the framework's readers too."""
        self.or_save(self.owner.before_evaluation, "run its hooks")
        super().score_average()
        found = {f"evaluation/{name}": value for name, value in (self.owner.metric_values or {}).items()}
        self.append("eval", self.owner.evaluation_iters, found)
        self.or_save(self.owner.after_evaluation, "run its hooks")

    def append(self, mode: str, step: int, values: Mapping[str, Any]) -> None:
        """Add a line to the framework's log."""
        if self.processes.first:
            path = self.folder / framework_files.LOG.format(self.owner.timestamp)
            epoch = math.ceil(self.progress.step / self.owner.iters_per_epoch)
            framework_files.append_record(path, mode, epoch, step, values)

    def evaluate(self, checkpoint: str | Path | None = None, *, samples: bool = False) -> dict[str, Any]:
        """Keep the scores where hooks look for them."""
        scores = super().evaluate(checkpoint, samples=samples)
        self.owner.metric_values = report(scores)
        return scores

    def weights_of(self, checkpoint: str | Path) -> Enhancer:
        """Return the network of a checkpoint; a file without a configuration holds one like the trainer's."""
        checkpoint = newest_in(checkpoint)
        if checkpoint == "last" or Path(checkpoint).suffix == checkpoints.SUFFIX:
            return super().weights_of(checkpoint)
        return network_in(checkpoint, self.model, self.folder).to(self.processes.device)

    def besides(self) -> dict[str, Any]:
        """Return what makes a checkpoint a file that the model, the pipeline and the framework's readers take."""
        position = {"epoch": self.progress.step // self.owner.iters_per_epoch, "iter": self.progress.step}
        averaged = self.average.model.state_dict()
        return {"state_dict": averaged, METADATA: arguments_of(self.model), "meta": position}

    def write(self, state: dict[str, Any]) -> None:
        """Give the checkpoint of a whole epoch (or of a number of steps) the framework's name too."""
        super().write(state)
        period, step = self.owner.plan.train.checkpoint.period, self.progress.step
        number, rest = divmod(step, self.owner.iters_per_epoch) if period.by_epoch else (step, 0)
        if self.processes.first and not rest:
            saved = checkpoints.path_of(self.folder / "checkpoints", step)
            framework_files.link(saved, self.folder, f"{period.unit}_{number}.pth")
            framework_files.keep_newest(self.folder, period.unit, period.max_checkpoint_num)

    def export(self, held: Held) -> None:
        """Write the model directory with the sections that training it again needs."""
        super().export(held)
        if self.processes.first:
            add_sections(self.folder / "output" / CONFIGURATION, self.owner.sections)

    def claim_folder(self, resume: bool) -> dict[str, Any] | None:
        """Return the checkpoint to go on from; what another run left in the folder moves aside."""
        if self.processes.first and self.start is None:
            move_aside(self.folder)
        self.processes.wait()
        return self.start

    def restore(self, saved: dict[str, Any]) -> None:
        """Go back to a checkpoint; once that is done, what the run in the folder left after it is forgotten.

        Where the checkpoint is another run's, the one in the folder moves aside.
        """
        super().restore(saved)
        if self.processes.first:
            if self.source is not None and not is_of(self.source, self.folder):
                move_aside(self.folder)
            step = self.progress.step
            forget_after(self.folder / "checkpoints", step)
            framework_files.forget_after(self.folder, "epoch", step // self.owner.iters_per_epoch)
            framework_files.forget_after(self.folder, "iter", step)
        self.processes.wait()


def is_of(source: Path, folder: Path) -> bool:
    """Say whether a checkpoint, or a folder of some, is of the run in a folder."""
    place = source.resolve()
    return (place if place.is_dir() else place.parent) in (folder.resolve(), (folder / "checkpoints").resolve())


def add_sections(path: Path, sections: Mapping[str, Any]) -> None:
    """Add sections to a configuration, in one step."""
    values = from_json(text_of(path)) | sections
    write_json(path, values)


def move_aside(folder: Path) -> None:
    """Move what an earlier run left into a folder of its own, so that a script can be run again and nothing is lost."""
    names = (*LEFT_BEHIND, *framework_files.PATTERNS)
    left = [path for name in names for path in sorted(folder.glob(name))]
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
    place = Path(path_text(path, "checkpoint_path"))
    if place.is_dir():
        if (state := checkpoints.newest(checkpoints_in(place))) is None:
            raise ValueError(f"{place}: expected a run's folder with a whole checkpoint, found none")
        return state
    if not place.exists() or not checkpoints.is_one(place):
        found = "weights alone (load_all_state=False starts from these)" if place.exists() else "nothing"
        raise ValueError(f"{place}: expected a checkpoint of this trainer (epoch_N.pth or .ckpt), found {found}")
    return checkpoints.load(place)


def checkpoints_in(folder: Path) -> Path:
    """Return where the checkpoints of a run's folder lie; a folder of checkpoints is one itself."""
    kept = folder / "checkpoints"
    return kept if kept.is_dir() else folder


def newest_in(source: str | Path) -> str | Path:
    """Return the newest checkpoint of a run's folder; anything else stays as it is."""
    place = Path(source)
    if str(source) in ("best", "last") or not place.is_dir() or (place / CONFIGURATION).is_file():
        return source
    return next(iter(checkpoints.found(checkpoints_in(place))), source)


def network_in(source: str | Path, like: Enhancer, folder: Path) -> Enhancer:
    """Return the network of a file, model directory or another run's folder, or this one's "best" or "last".

    A file without a configuration of its own holds a network like the one given.
    """
    names = {"best": [folder / "output"], "last": checkpoints.found(folder / "checkpoints")}
    path = next(iter(names.get(str(source), [])), Path(newest_in(source)))
    if not path.is_file():
        return load(path)
    entries, metadata = read_entries(path)
    return assemble(str(path), entries, metadata or arguments_of(like), {})


def sections_of(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a configuration that an output directory carries on."""
    return {key: plan[key] for key in ("preprocessor", "train", "evaluation") if key in plan}
