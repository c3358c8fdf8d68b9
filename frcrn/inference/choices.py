"""What may be chosen for enhancing a recording, checked."""

from __future__ import annotations

from typing import Any, NamedTuple

from frcrn.config import MOST_PASSES
from frcrn.inference.network import Network


class Mix(NamedTuple):
    """How much of the input stays, 0..1, and whether what was removed is wanted instead of what is left."""

    keep: float
    residual: bool


def checked_mix(strength: float, max_attenuation_db: float | None, residual: bool) -> Mix:
    """Check the settings and bring both limits to one: how much of the input stays."""
    if not (isinstance(strength, (int, float)) and 0 <= strength <= 1):
        raise ValueError(f"strength {strength}: accepted are numbers from 0 to 1")
    if max_attenuation_db is not None and not (
        isinstance(max_attenuation_db, (int, float)) and max_attenuation_db >= 0
    ):
        raise ValueError(f"max_attenuation_db {max_attenuation_db}: accepted are numbers from 0, in dB")
    floor = 0.0 if max_attenuation_db is None else 10 ** (-max_attenuation_db / 20)
    return Mix(max(1 - strength, floor), residual)


def checked_passes(passes: int | None) -> int | None:
    """Return a number of passes, or None for what the model asks for; anything else is refused."""
    if passes is not None and (type(passes) is not int or not 1 <= passes <= MOST_PASSES):
        raise ValueError(f"passes {passes}: accepted are whole numbers from 1 to {MOST_PASSES}")
    return passes


def passes_of(model: Network, wanted: int | None) -> int:
    """Return how many passes are wanted; None is what the model asks for, one where it says nothing."""
    if (passes := checked_passes(wanted)) is not None:
        return passes
    config: Any = getattr(model, "config", None)
    asked = config.get("passes") if isinstance(config, dict) else getattr(config, "passes", None)
    return checked_passes(asked) or 1
