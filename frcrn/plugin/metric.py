"""The metric `frcrn-ans-metric`: SI-SNR, PESQ and STOI with counts, for any trainer of the framework."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
from modelscope.metrics.base import Metric

from frcrn.evaluation.metrics.pool import Scorers
from frcrn.evaluation.metrics.scores import Scores, check_names
from frcrn.threads import Promised

logger = logging.getLogger(__name__)

NAMES = {"si_snr": None, "pesq": "pesq", "stoi": "pystoi"}
"""What is measured -> the package that it needs."""
FRAME_SECONDS = 0.02
"""A hop of the stock network, which makes 27,840 samples of 28,000."""


class FRCRNMetric(Metric):  # type: ignore[misc]
    """Collects clips as a trainer evaluates them; merges with others of its kind, and can be pickled."""

    def __init__(self, rate: int = 16000) -> None:
        """Start with no clips; `rate` is that of the waves."""
        self.rate = rate
        self.waiting: list[Promised[Scores]] = []
        self.done: list[Scores] = []
        self.losses: list[tuple[float, int]] = []
        self.scorers: Scorers | None = None

    def add(self, outputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        """Take one batch: `wav_l2` (and `loss`) of the model's outputs, `clean` of its inputs, each wave [B, T]."""
        enhanced, clean = waves_of(outputs, "outputs", "wav_l2"), waves_of(inputs, "inputs", "clean")
        if len(enhanced) != len(clean):
            raise ValueError(f"outputs and inputs: expected as many waves, found {len(enhanced)} and {len(clean)}")
        if "loss" in outputs:
            self.losses.append((float(outputs["loss"]), len(clean)))
        for estimate, target in zip(enhanced, clean, strict=True):
            self.waiting.append(self.scores_of(estimate, target))

    def scores_of(self, estimate: np.ndarray[Any, Any], target: np.ndarray[Any, Any]) -> Promised[Scores]:
        """Have one clip measured; networks that know whole frames alone may make less than one more or less of it."""
        length, wanted = len(estimate), len(target)
        if abs(length - wanted) < FRAME_SECONDS * self.rate:
            shared = min(length, wanted)
            return self.pool().submit(target[:shared], estimate[:shared])
        reason = f"the enhanced clip has {length} samples, the clean one {wanted}"
        failed: Promised[Scores] = Promised()
        failed.keep(Scores, {}, dict.fromkeys(NAMES, reason))
        return failed

    def evaluate(self) -> dict[str, Any]:
        """Return the means over the clips that have a value, how many these are, and which clips have none and why."""
        self.finish()
        losses = {"loss": self.losses} if self.losses else {}
        values = {name: [(each.values[name], 1) for each in self.done if name in each.values] for name in NAMES}
        means = {name: weighted_mean(found) for name, found in (losses | values).items() if found}
        counts = {f"{name}_clips": len(found) for name, found in values.items()}
        failed = [
            f"example {number}: {reason}"
            for number, each in enumerate(self.done)
            for reason in sorted(set(each.failures.values()))
        ]
        return report({**means, **counts, "examples": len(self.done), "failed": failed})

    def merge(self, other: FRCRNMetric) -> None:
        """Add the clips of another process."""
        self.finish()
        other.finish()
        self.done += other.done
        self.losses += other.losses

    def pool(self) -> Scorers:
        """Return the processes that measure, so that a crash in a metric's C code costs a clip and not the run."""
        if self.scorers is None:
            self.scorers = Scorers(measurable(), rate=self.rate, workers=1)
        return self.scorers

    def finish(self) -> None:
        """Wait for what is being measured."""
        self.done += [future.result() for future in self.waiting]
        self.waiting = []
        if self.scorers is not None:
            self.scorers.close()
            self.scorers = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what has been measured, the processes left out."""
        self.finish()
        return self.__dict__


def measurable() -> tuple[str, ...]:
    """Return the names of what can be measured here, and say what cannot."""
    missing = [name for name, package in NAMES.items() if package is not None and find_spec(package) is None]
    if missing:
        logger.warning('%s left out: it needs pip install "frcrn[eval]"', " and ".join(missing))
    return check_names(name for name in NAMES if name not in missing)


def waves_of(batch: Any, name: str, key: str) -> np.ndarray[Any, Any]:
    """Return the waves [B, T] of a batch as float32, or say in one sentence why there are none."""
    if not isinstance(batch, Mapping) or key not in batch:
        found = ", ".join(map(str, batch)) or "nothing" if isinstance(batch, Mapping) else type(batch).__name__
        raise ValueError(f"{name}: expected a mapping with {key}, found {found}")
    wave = batch[key]
    found = type(wave).__name__
    try:
        values = np.asarray(wave.detach().cpu() if hasattr(wave, "detach") else wave)
        if np.iscomplexobj(values):
            found = "complex numbers"
            raise TypeError
        waves = np.atleast_2d(values.astype(np.float32))
    except (TypeError, ValueError):
        raise ValueError(f"{key}: expected waves [batch, time], found {found}") from None
    if waves.ndim != 2:
        raise ValueError(f"{key}: expected waves [batch, time], found shape {list(waves.shape)}")
    return waves


def weighted_mean(pairs: list[tuple[float, int]]) -> float:
    """(value, weight) each -> the mean."""
    return sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)


def report(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return scores under the names that the framework's users know, ours beside them; None where there is no value.

    `avg_sisnr` is positive where it is good, and the loss is the sum of its parts, each counted once.
    """
    known = {"avg_sisnr": "si_snr", "avg_loss": "loss", "total_loss": "loss", "pesq": "pesq", "stoi": "stoi"}
    found = {theirs: scores.get(ours) for theirs, ours in known.items()}
    counts = {key: value for key, value in scores.items() if key.endswith("_clips")}
    noisy = {"avg_sisnr_noisy": scores["si_snr_noisy"]} if "si_snr_noisy" in scores else {}
    return {**found, **noisy, **counts, "examples": scores.get("examples", 0), "failed": scores.get("failed", [])}
