"""What is not as it was in a run that is resumed, and whether its scores so far can still be compared."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from frcrn.data.identity import identity

logger = logging.getLogger("frcrn.training")

PLACES = ("speech", "noise", "cache", "rooms", "folder", "path", "paths")
"""Settings of data that say where recordings lie; which these are is compared by themselves."""

SETS = ("recipe.data.", "recipe.valid.")
_FITTING = ("batch_size", "seed", "ema_decay", "set_level", "whole_numbers")
FIT = (*SETS, "recipe.model.", *(f"recipe.train.{name}" for name in _FITTING))
"""Settings by which an average of weights becomes the network that is scored and saved: its batch norms, its level."""


class Changes(NamedTuple):
    """What differs between a run and its checkpoint."""

    settings: Collection[str] = ()
    recordings: Collection[str] = ()
    """Sections of the recipe whose recordings are others."""
    processes: bool = False

    def warn(self) -> None:
        """Say what differs."""
        for section in self.recordings:
            logger.warning("the recordings of recipe.%s are not those that the run began with", section)
        for name in self.settings:
            logger.warning("%s differs from the run that is resumed; what follows is not what it would have been", name)

    def of_scores(self, best: str) -> bool:
        """Tell whether the same weights score otherwise by a measure than before."""
        by_measure = {"loss": ("recipe.loss.",), "pesq": ("recipe.evaluation.clips",)}
        by_measure["stoi"] = by_measure["pesq"]
        tables = ("recipe.valid.", "recipe.evaluation.examples", *by_measure.get(best, ()))
        return "valid" in self.recordings or self.among(tables)

    def of_fit(self) -> bool:
        """Tell whether an average of the same weights is made ready to be scored and saved otherwise than before."""
        return self.processes or bool(self.recordings) or self.among(FIT)

    def among(self, tables: tuple[str, ...]) -> bool:
        """Tell whether settings of some tables differ, but for those that are places of recordings."""
        told = (name for name in self.settings if not (name.startswith(SETS) and name.rpartition(".")[2] in PLACES))
        return any(name.startswith(tables) for name in told)


def recordings_of(train: Any, valid: Any) -> dict[str, str]:
    """Return what tells the recordings of the sets of a recipe's `data` and `valid` from others."""
    known = {"data": train, "valid": valid}
    return {section: identity(data) for section, data in known.items() if data is not None}


def others(before: Any, now: Mapping[str, str]) -> list[str]:
    """Return the sections whose recordings are others than before, or gone; earlier checkpoints do not know theirs."""
    known = before if isinstance(before, dict) and before else now
    return sorted(section for section in {*known, *now} if known.get(section) != now.get(section))
