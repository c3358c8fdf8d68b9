"""What may be chosen for a pipeline, and again for each call."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from frcrn.inference.choices import checked_mix, checked_passes

QUIET = {"disable_pbar", "disable_progress_bar", "disable_log", "disable_update"}
"""What callers of other pipelines pass to keep them quiet, which this one always is."""
BY_FACTORY = {"trust_remote_code", "external_engine_for_llm"}
MIX = ("strength", "max_attenuation_db", "residual")
NETWORK = (*MIX, "passes")
READING = ("repair", "keep_format")
SWITCHES = ("residual", *READING)


@dataclass(frozen=True)
class PipelineSettings:
    """What may be chosen for a pipeline, and again for each call."""

    strength: float = 1.0
    max_attenuation_db: float | None = None
    residual: bool = False
    repair: bool = False
    keep_format: bool = False
    """Give back the input's rate and channels; otherwise 16 kHz mono, as the released pipeline does."""
    passes: int | None = None
    """Average over so many runs of the network; None is what the model asks for."""

    def __post_init__(self) -> None:
        for name in SWITCHES:
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ValueError(f"{name} {getattr(self, name)!r}: accepted are True and False")
        checked_mix(**self.mix())
        checked_passes(self.passes)

    def mix(self) -> dict[str, Any]:
        """Return what says how input and result are mixed."""
        return {name: getattr(self, name) for name in MIX}

    def changed(self, options: dict[str, Any]) -> PipelineSettings:
        """Return the settings with the changes of one call; an unknown name is an error."""
        wanted = {name: value for name, value in options.items() if name not in QUIET}
        if unknown := sorted(set(wanted) - set(NAMES)):
            accepted = ", ".join((*NAMES, "output_path", "batch_size", "last"))
            raise TypeError(f"unknown option {unknown[0]!r}; accepted: {accepted}")
        return replace(self, **wanted)

    def differences(self, other: PipelineSettings) -> dict[str, Any]:
        """Return the values that differ from those of other settings."""
        values = {name: getattr(self, name) for name in NAMES}
        return {name: value for name, value in values.items() if value != getattr(other, name)}

    def refuse_for_chunks(self, output_path: Any) -> None:
        """Refuse what only whole recordings can have."""
        asked = {
            "max_attenuation_db": self.max_attenuation_db,
            "residual": self.residual,
            "keep_format": self.keep_format,
            "passes": None if self.passes == 1 else self.passes,
            "output_path": output_path,
        }
        for name, value in asked.items():
            if value not in (None, False):
                raise ValueError(f"{name}: a stream of chunks has none; give whole recordings for it")


NAMES = tuple(field.name for field in fields(PipelineSettings))
