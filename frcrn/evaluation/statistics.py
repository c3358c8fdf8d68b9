"""From one row a clip to means with intervals: what may be said of a model, and how surely."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frcrn.evaluation.metrics.scores import Scores

RESAMPLES = 2000
CONFIDENCE = 0.95
OVER_SUPPRESSED_DB = -6.0
OVER_SUPPRESSED_SHARE = 0.2


class Row(NamedTuple):
    """One scored clip."""

    name: str
    seconds: float
    digest: str
    """Of the noisy and the clean samples."""
    input_snr: float
    """Of the noisy clip, dB; NaN where it has none."""
    processing: float
    """Seconds that the model took."""
    scores: Scores

    @property
    def over_suppressed(self) -> bool:
        """Tell whether speech was removed along with the noise."""
        values = self.scores.values
        level, lost = values.get("speech_level", 0.0), values.get("speech_lost", 0.0)
        return level < OVER_SUPPRESSED_DB or lost > OVER_SUPPRESSED_SHARE


class Report(NamedTuple):
    """The scores of one system on one set."""

    label: str
    rows: tuple[Row, ...]
    summary: dict[str, Any]


def interval(values: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean; NaN for fewer than two values."""
    sample = np.asarray(values, dtype=np.float64)
    if sample.size < 2:
        return math.nan, math.nan
    means = _resampled_means(sample, np.random.default_rng(seed))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _resampled_means(sample: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    # counts of each clip in a resample, not the clips themselves: the memory stays small for large sets
    shares = np.full(sample.size, 1 / sample.size)
    blocks = max(1, RESAMPLES * sample.size // 4_000_000)
    parts = [
        generator.multinomial(sample.size, shares, size=size) @ sample / sample.size
        for size in (len(part) for part in np.array_split(np.arange(RESAMPLES), blocks))
    ]
    return np.concatenate(parts)


def describe(values: ArrayLike) -> dict[str, float | int | None]:
    """Return mean, median, interval and count; None where there is no value."""
    sample = np.asarray(values, dtype=np.float64)
    if not sample.size:
        return {"mean": None, "median": None, "low": None, "high": None, "count": 0}
    low, high = interval(sample)
    spread = {name: None if math.isnan(value) else value for name, value in (("low", low), ("high", high))}
    return {"mean": float(sample.mean()), "median": float(np.median(sample)), **spread, "count": sample.size}


def summarise(rows: Sequence[Row], names: Sequence[str]) -> dict[str, Any]:
    """Return means, medians, intervals and counts by metric, and every clip that failed or lost speech."""
    seconds, processing = sum(row.seconds for row in rows), sum(row.processing for row in rows)
    metrics = {name: _column(rows, name) for name in names}
    if "wer" in metrics:
        metrics["wer"]["pooled"] = _pooled_errors(rows)
    return {
        "clips": len(rows),
        "seconds": seconds,
        "metrics": metrics,
        "failed_clips": len({row.name for row in rows if row.scores.failures}),
        "failed": [
            {"clip": row.name, "metric": name, "reason": reason}
            for row in rows
            for name, reason in row.scores.failures.items()
        ],
        "over_suppressed": [row.name for row in rows if row.over_suppressed],
        "real_time_factor": processing / seconds if seconds else None,
    }


def _column(rows: Sequence[Row], name: str) -> dict[str, float | int | None]:
    values = [row.scores.values[name] for row in rows if name in row.scores.values]
    return describe(values) | {"failed": sum(name in row.scores.failures for row in rows)}


def _pooled_errors(rows: Sequence[Row]) -> float | None:
    """Word errors over words of the whole set, which is what is called its word error rate."""
    known = [row.scores.values for row in rows if "wer" in row.scores.values]
    total = sum(values["words"] for values in known)
    return sum(values["wer"] * values["words"] for values in known) / total if total else None


def paired_difference(reference: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float | int | None]:
    """Describe other minus reference over the clips that both have a value on."""
    shared = [name for name in reference if name in other]
    return describe([other[name] - reference[name] for name in shared])
