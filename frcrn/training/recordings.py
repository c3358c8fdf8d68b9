"""Whether a run that is resumed hears what it began with, and whether its scores so far can still be compared."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from frcrn.data.identity import identity

logger = logging.getLogger("frcrn.training")

PLACES = ("speech", "noise", "cache", "rooms", "folder", "path", "paths")
"""Settings of data that say where recordings lie; which these are is compared by themselves."""


def recordings_of(train: Any, valid: Any) -> dict[str, str]:
    """Return what tells the recordings of the sets of a recipe's `data` and `valid` from others."""
    known = {"data": train, "valid": valid}
    return {section: identity(data) for section, data in known.items() if data is not None}


def warn_of_others(before: Any, now: Mapping[str, str]) -> list[str]:
    """Say whose recordings are others than before, and return which; earlier checkpoints do not know."""
    known = before if isinstance(before, dict) else {}
    others = [section for section in now if known.get(section, now[section]) != now[section]]
    for section in others:
        logger.warning("the recordings of recipe.%s are not those that the run began with", section)
    return others


def scores_differ(others: Collection[str], changed: Collection[str], best: str) -> bool:
    """Say whether scores are not what they were, by other recordings and by the settings that were changed."""
    tables = ("recipe.valid.", "recipe.evaluation.examples", *(("recipe.loss.",) if best == "loss" else ()))
    settings = (name for name in changed if name.startswith(tables))
    return "valid" in others or any(name.rpartition(".")[2] not in PLACES for name in settings)
