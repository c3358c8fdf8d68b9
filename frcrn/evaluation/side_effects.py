"""Do no harm: what a model takes from clean speech, and what it leaves of noise alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from frcrn import config
from frcrn.audio import Samples
from frcrn.evaluation.metrics.pool import KILLED, Scorers
from frcrn.evaluation.metrics.scores import energy, ratio_db
from frcrn.evaluation.statistics import describe
from frcrn.evaluation.systems import System

SPEECH = ("pesq", "stoi", "speech_level", "speech_lost")
QUIET_DB = -60.0
"""Noise further under the clean clip than this is none."""


def measure(
    system: System, pairs: Iterable[tuple[str, Samples, Samples]], scorers: Scorers, rate: int
) -> dict[str, Any]:
    """Run the clean clips and the noises (noisy minus clean) of some pairs through a system, and summarise.

    PESQ and STOI are measured where the scorers measure them.
    """
    names = [name for name in SPEECH if name in scorers.names]
    pending, removed, remaining = [], [], []
    failed: list[str] = []
    for name, noisy, clean in pairs:
        if len(noisy) != len(clean) or not clean.any():
            continue
        noise = np.asarray(noisy - clean)
        try:
            kept = system.enhance(name, clean, rate)
            pending.append((name, scorers.submit(clean, kept, names)))
            removed.append(ratio_db(energy(clean - kept), energy(clean)))
            if ratio_db(energy(noise), energy(clean)) > QUIET_DB:
                remaining.append(ratio_db(energy(system.enhance(name, noise, rate)), energy(noise)))
        except ValueError as error:
            failed.append(f"{name}: {error}")
    scores = []
    for name, promised in pending:
        scores.append(promised.result())
        if KILLED in scores[-1].failures.values():
            failed.append(f"{name}: {KILLED}")
    speech = {name: describe([each.values[name] for each in scores if name in each.values]) for name in names}
    return {
        "clips": len(scores),
        "failed": failed,
        "clean_speech": speech | {"removed_db": describe(removed)},
        "noise_alone": {"clips": len(remaining), "remaining_db": describe(remaining)},
    }


def is_measured(found: Any) -> bool:
    """Tell whether something read from a file has the form of what `measure` returns."""
    try:
        speech, noise = found["clean_speech"], found["noise_alone"]
        columns = [speech["speech_level"], *speech.values(), noise["remaining_db"]]
        numbers = [each[name] for each in columns for name in ("mean", "low", "high")]
    except (LookupError, TypeError, AttributeError):
        return False
    return "removed_db" in speech and all(number is None or config.fits(number, float) for number in numbers)
