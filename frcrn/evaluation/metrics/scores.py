"""How close an enhanced clip is to the clean one; every convention is named, every refusal says why."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frcrn.audio.formats import MissingPackage
from frcrn.evaluation.metrics import distortion, dnsmos
from frcrn.evaluation.metrics.ratios import Wave, energy, ratio_db, si_sdr, si_snr, snr

__all__ = [
    "HEADLINE",
    "METRICS",
    "Metric",
    "MetricError",
    "Scores",
    "Wave",
    "check_names",
    "energy",
    "ratio_db",
    "score",
    "si_sdr",
    "si_snr",
    "snr",
]
HEADLINE = ("pesq", "stoi", "si_sdr")
LONGEST_PESQ = 60.0
"""Seconds; the reference code of PESQ overruns its table of utterances, and the process ends, on long clips."""


class MetricError(ValueError):
    """Why a metric has no value on a clip."""


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackage(f'this metric needs the package {name}: pip install "frcrn[eval]"') from error


class ScoredClip:
    """One clean and enhanced pair, with what several metrics share computed once."""

    def __init__(self, clean: Wave, enhanced: Wave, rate: int, dnsmos_folder: Path | None = None) -> None:
        self.clean, self.enhanced, self.rate, self.dnsmos_folder = clean, enhanced, rate, dnsmos_folder

    @cached_property
    def composite(self) -> tuple[float, float, float]:
        """CSIG, CBAK, COVL."""
        return distortion.composite(self.clean, self.enhanced, self.rate, self.pesq)

    @cached_property
    def opinions(self) -> dict[str, float]:
        """DNSMOS P.835 of the enhanced clip alone."""
        return dnsmos.opinions(self.enhanced, self.dnsmos_models())

    def dnsmos_models(self) -> Path:
        """Return where the DNSMOS models lie."""
        if self.dnsmos_folder is None:
            raise ValueError("DNSMOS needs the folder of its ONNX models (dnsmos=, --dnsmos)")
        self.demand_rate("DNSMOS", (dnsmos.RATE,))
        return self.dnsmos_folder

    @cached_property
    def speech_kept(self) -> tuple[float, float]:
        """Level of the speech band against the clean clip, share of speech frames lost."""
        kept = distortion.speech_kept(self.clean, self.enhanced, self.rate)
        if kept is None:
            raise MetricError("the clean clip holds no speech")
        return kept

    @cached_property
    def pesq(self) -> float:
        """Wide-band PESQ (P.862.2) as MOS-LQO."""
        return self.pesq_mode("wb", (16000,))

    @cached_property
    def pesq_nb(self) -> float:
        """Narrow-band PESQ (P.862, mapped by P.862.1) as MOS-LQO."""
        return self.pesq_mode("nb", (8000, 16000))

    def pesq_mode(self, mode: str, rates: tuple[int, ...]) -> float:
        """Return PESQ in one mode, or say why there is none."""
        package = _package("pesq")
        self.demand_rate("PESQ", rates)
        self.demand_sound()
        if (seconds := len(self.clean) / self.rate) > LONGEST_PESQ:
            raise MetricError(f"the clip is {seconds:.0f} s long; PESQ takes up to {LONGEST_PESQ:.0f} s")
        try:
            return float(package.pesq(self.rate, self.clean, self.enhanced, mode))
        except (package.PesqError, ValueError) as error:
            reason = error.args[0] if error.args else error
            text = reason.decode() if isinstance(reason, bytes) else str(reason)
            raise MetricError(f"PESQ refused: {text}") from error

    def stoi(self, extended: bool = False) -> float:
        """Short-time objective intelligibility, or its extended form."""
        stoi = _package("pystoi").stoi
        self.demand_sound()
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                return float(stoi(self.clean, self.enhanced, self.rate, extended=extended))
            except (RuntimeWarning, ValueError) as error:
                raise MetricError("STOI needs at least 30 frames (0.4 s) of active speech") from error

    def demand_rate(self, metric: str, rates: tuple[int, ...]) -> None:
        """Refuse a rate that the metric is not defined at."""
        if self.rate not in rates:
            raise MetricError(f"{metric} is defined at {' or '.join(map(str, rates))} Hz, found {self.rate}")

    def demand_sound(self, *, enhanced: bool = True) -> None:
        """Refuse digital silence, for which there is nothing to compare with."""
        if not self.clean.any():
            raise MetricError("the clean clip is silent")
        if enhanced and not self.enhanced.any():
            raise MetricError("the enhanced clip is silent")

    def si_snr(self) -> float:
        """Scale-invariant SNR of the enhanced clip."""
        self.demand_sound()
        return si_snr(self.enhanced, self.clean)

    def si_sdr(self) -> float:
        """Scale-invariant SDR of the enhanced clip."""
        self.demand_sound()
        return si_sdr(self.enhanced, self.clean)

    def snr(self) -> float:
        """Plain SNR of the enhanced clip; 0 dB where it is silent."""
        self.demand_sound(enhanced=False)
        return snr(self.enhanced, self.clean)

    def segmental_snr(self) -> float:
        """Mean SNR of frames."""
        self.demand_sound(enhanced=False)
        return distortion.segmental_snr(self.clean, self.enhanced, self.rate)

    def log_spectral_distance(self) -> float:
        """Distance of the log spectra."""
        self.demand_sound(enhanced=False)
        return distortion.log_spectral_distance(self.clean, self.enhanced, self.rate)


class Metric(NamedTuple):
    """One column of a score table."""

    measure: Callable[[ScoredClip], float]
    title: str
    about: str
    better: int
    """+1 where more is better, -1 where less is, 0 where neither."""
    digits: int


METRICS: dict[str, Metric] = {
    "pesq": Metric(lambda clip: clip.pesq, "PESQ-WB", "wide-band PESQ, P.862.2, MOS-LQO, 16 kHz", 1, 3),
    "pesq_nb": Metric(lambda clip: clip.pesq_nb, "PESQ-NB", "narrow-band PESQ, P.862.1, MOS-LQO", 1, 3),
    "stoi": Metric(lambda clip: clip.stoi(), "STOI", "short-time objective intelligibility, 0 to 1", 1, 3),
    "estoi": Metric(lambda clip: clip.stoi(extended=True), "ESTOI", "extended STOI, 0 to 1", 1, 3),
    "si_snr": Metric(ScoredClip.si_snr, "SI-SNR dB", "scale-invariant SNR, means removed", 1, 2),
    "si_sdr": Metric(ScoredClip.si_sdr, "SI-SDR dB", "scale-invariant SDR (Le Roux 2019), means kept", 1, 2),
    "snr": Metric(ScoredClip.snr, "SNR dB", "plain SNR, nothing scaled", 1, 2),
    "seg_snr": Metric(
        ScoredClip.segmental_snr, "segSNR dB", "mean SNR of 30 ms frames, each held within -10 to 35 dB", 1, 2
    ),
    "lsd": Metric(
        ScoredClip.log_spectral_distance, "LSD dB", "log-spectral distance, floored 60 dB under the clean peak", -1, 2
    ),
    "speech_level": Metric(
        lambda clip: clip.speech_kept[0],
        "speech dB",
        "level at 300 to 3400 Hz where the clean clip holds speech, against it",
        0,
        2,
    ),
    "speech_lost": Metric(
        lambda clip: clip.speech_kept[1],
        "speech lost",
        "share of the speech frames that lie over 12 dB under the clean clip",
        -1,
        3,
    ),
    "dnsmos_sig": Metric(lambda clip: clip.opinions["sig"], "DNSMOS SIG", "DNSMOS P.835, speech, 1 to 5", 1, 3),
    "dnsmos_bak": Metric(lambda clip: clip.opinions["bak"], "DNSMOS BAK", "DNSMOS P.835, background, 1 to 5", 1, 3),
    "dnsmos_ovrl": Metric(lambda clip: clip.opinions["ovrl"], "DNSMOS OVRL", "DNSMOS P.835, overall, 1 to 5", 1, 3),
    "dnsmos_p808": Metric(
        lambda clip: dnsmos.overall_p808(clip.enhanced, clip.dnsmos_models()),
        "DNSMOS P.808",
        "DNSMOS P.808, overall, 1 to 5",
        1,
        3,
    ),
    "csig": Metric(lambda clip: clip.composite[0], "CSIG", "predicted opinion of the speech, 1 to 5", 1, 3),
    "cbak": Metric(lambda clip: clip.composite[1], "CBAK", "predicted opinion of the background, 1 to 5", 1, 3),
    "covl": Metric(lambda clip: clip.composite[2], "COVL", "predicted overall opinion, 1 to 5", 1, 3),
}


@dataclass(frozen=True)
class Scores:
    """The metrics of one clip: those with a value, and why the others have none."""

    values: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        """Return one metric; NaN where it failed."""
        return math.nan if name in self.failures else self.values[name]


def check_names(names: Iterable[str], known: Mapping[str, object] = METRICS) -> tuple[str, ...]:
    """Return the metric names once each, or refuse one that is unknown."""
    chosen = tuple(dict.fromkeys(names))
    if unknown := [name for name in chosen if name not in known]:
        raise ValueError(f"unknown metric {unknown[0]!r}; accepted are {', '.join(known)}")
    return chosen


def score(
    clean: Wave,
    enhanced: Wave,
    rate: int = 16000,
    names: Iterable[str] = ("si_snr", "pesq", "stoi"),
    *,
    dnsmos_folder: str | Path | None = None,
) -> Scores:
    """Score an enhanced clip against the clean one; a metric without a value is named with its reason, never dropped.

    Args:
        clean: [T].
        enhanced: [T].
        rate: samples a second of both.
        names: the metrics.
        dnsmos_folder: where the models of DNSMOS are, for its metrics.

    Example:
        >>> score(clean, enhanced, 16000, ["si_snr", "stoi"]).values
    """
    names = check_names(names)
    clean, enhanced = np.asarray(clean), np.asarray(enhanced)
    if problem := _problem(clean, enhanced):
        return Scores(failures=dict.fromkeys(names, problem))
    clip, scores = ScoredClip(clean, enhanced, rate, Path(dnsmos_folder) if dnsmos_folder else None), Scores()
    for name in names:
        try:
            value = METRICS[name].measure(clip)
            if not math.isfinite(value):
                raise MetricError(f"{METRICS[name].title} came out as {value}")
            scores.values[name] = value
        except MetricError as error:
            scores.failures[name] = str(error)
    return scores


def _problem(clean: Wave, enhanced: Wave) -> str | None:
    """Say what makes every metric meaningless on a pair, if anything does."""
    for name, wave in (("clean", clean), ("enhanced", enhanced)):
        if wave.ndim != 1:
            raise ValueError(f"{name}: expected one channel [T], found shape {wave.shape}")
        if not wave.size:
            return f"the {name} clip is empty"
        if not np.isfinite(wave).all():
            return f"the {name} clip has {np.count_nonzero(~np.isfinite(wave))} samples that are not finite"
    if clean.size != enhanced.size:
        return f"the enhanced clip has {enhanced.size} samples, the clean one {clean.size}"
    return None
