"""The doctor: what is wrong with a corpus, before a training run finds out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from frcrn.audio import AudioError, find, read
from frcrn.config import require
from frcrn.data.cache import warn_of_media
from frcrn.data.fingerprints import Bits, fingerprint, matches, repeats
from frcrn.data.pairs import match
from frcrn.data.speech_activity import Wave, active_power, decibels, power
from frcrn.threads import Threads

SILENT_DBFS = -70.0
FULL_SCALE = 0.99
MOST_CLIPPED = 0.0005
FLAT_RUN = 4
"""Samples in a row at the very peak that make a flat top."""
BIN_DB = 5

Progress = Callable[[int, int], None]


class Finding(NamedTuple):
    """One thing that is wrong with one file."""

    kind: str
    path: str
    detail: str


class Limits(NamedTuple):
    """What a sound file must be; any rate, where none is named, since training resamples."""

    rate: int | None = None
    min_seconds: float = 1.0


@dataclass
class CorpusReport:
    """What was looked at and found; `snr_db` has one entry a pair, -inf for pure noise and inf for pure speech."""

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    seconds: float = 0.0
    snr_db: list[float] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        """Count the findings of each kind."""
        return Counter(finding.kind for finding in self.findings)

    def histogram(self) -> list[tuple[str, int]]:
        """Return (range of SNR, pairs) from the lowest to the highest, empty ranges between them included."""
        finite = [int(np.floor(snr / BIN_DB)) for snr in self.snr_db if np.isfinite(snr)]
        rows = [("pure noise", sum(snr == float("-inf") for snr in self.snr_db))]
        if finite:
            counted = Counter(finite)
            rows += [
                (f"{BIN_DB * n} to {BIN_DB * (n + 1)} dB", counted[n]) for n in range(min(finite), max(finite) + 1)
            ]
        rows.append(("pure speech", sum(snr == float("inf") for snr in self.snr_db)))
        return [row for row in rows if row[1] or "pure" not in row[0]]


class Inspected(NamedTuple):
    """One file: what is wrong with it, its length, and what it sounds like."""

    path: Path
    findings: list[Finding]
    seconds: float
    bits: Bits | None


def check(
    folders: Sequence[str | Path],
    test: Sequence[str | Path] = (),
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> CorpusReport:
    """Look at all files of the training `folders` and the `test` ones, and at each pair of a folder in DNS form."""
    limits, report = limits or Limits(), CorpusReport()
    require(limits.rate is None or limits.rate > 0, "rate", "more than 0 Hz", limits.rate)
    require(0 <= limits.min_seconds < float("inf"), "min_seconds", "seconds from 0", limits.min_seconds)
    sides = [[Path(folder) for folder in side] for side in (folders, test)]
    for folder in sides[0] + sides[1]:
        if not folder.is_dir():
            raise ValueError(f"{folder}: expected a folder, found {'a file' if folder.exists() else 'nothing'}")
    warn_of_media([*sides[0], *sides[1]])
    paths = [_files(side) for side in sides]
    if not paths[0] or (test and not paths[1]):
        raise ValueError(f"{(sides[0] if not paths[0] else sides[1])[0]}: expected audio files, found none")
    every = [path for side in paths for path in side]
    inspected = dict(zip(every, _inspect_all(every, limits, progress), strict=True))
    for item in inspected.values():
        report.findings += item.findings
        report.files += 1
        report.seconds += item.seconds
    train, held_back = ([inspected[path] for path in side] for side in paths)
    report.findings += _copies(train) + _in_test(train, held_back)
    for folder in {folder.resolve(): folder for folder in sides[0] + sides[1]}.values():
        if is_dns(folder):
            _check_pairs(folder, report)
    return report


def is_dns(folder: Path) -> bool:
    """Tell whether a folder holds clean/ and noisy/."""
    return (folder / "clean").is_dir() and (folder / "noisy").is_dir()


def _files(folders: Iterable[Path]) -> list[Path]:
    """List the files of folders, each once, also where one folder has two names."""
    found = {folder.resolve() / path.relative_to(folder): path for folder in folders for path in find([folder])}
    return list(found.values())


def _inspect_all(paths: list[Path], limits: Limits, progress: Progress | None) -> list[Inspected]:
    found: list[Inspected] = []
    with Threads(2) as pool:
        for start in range(0, len(paths), 64):
            found += pool.map(lambda path: inspect(path, limits), paths[start : start + 64])
            if progress:
                progress(len(found), len(paths))
    return found


def inspect(path: Path, limits: Limits) -> Inspected:
    """Decode one file and say what is wrong with it."""
    try:
        samples, rate, _ = read(path)
    except AudioError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return Inspected(path, [Finding("unreadable", str(path), reason)], 0.0, None)
    wave = samples.mean(axis=0, dtype=np.float64)
    seconds = len(wave) / rate
    wrong: list[tuple[str, str]] = []
    if limits.rate is not None and rate != limits.rate:
        wrong.append(("rate", f"{rate} Hz, expected {limits.rate} Hz"))
    if seconds < limits.min_seconds:
        wrong.append(("short", f"{seconds:.2f} s, expected at least {limits.min_seconds:g} s"))
    wrong += _sound(path, samples, decibels(power(wave)))
    findings = [Finding(kind, str(path), detail) for kind, detail in wrong]
    return Inspected(path, findings, seconds, fingerprint(wave, rate))


def _sound(path: Path, samples: NDArray[np.float32], level: float) -> list[tuple[str, str]]:
    """Say whether [C, T] is silent or clipped; the noisy side of a pair may be clipped on purpose."""
    if level < SILENT_DBFS:
        found = f"{level:.0f} dBFS, expected sound above {SILENT_DBFS:.0f} dBFS"
        return [] if _may_be_silent(path) else [("silent", found)]
    share = max(clipped_share(channel) for channel in samples)
    in_pair = path.parent.name == "noisy" and is_dns(path.parent.parent)
    return [("clipped", f"{100 * share:.2f} % of the samples")] if share > MOST_CLIPPED and not in_pair else []


def _may_be_silent(path: Path) -> bool:
    """Pure noise has a silent target, and pure speech a silent noise; their noisy file tells the truth."""
    return path.parent.name in ("clean", "noise") and (path.parent.parent / "noisy").is_dir()


def clipped_share(wave: Wave) -> float:
    """[T] -> the share of samples at full scale or on flat tops."""
    size = np.abs(wave)
    peak = float(size.max(initial=0))
    if peak <= 0:
        return 0.0
    top = np.concatenate([[False], size >= peak, [False]])
    starts, ends = np.flatnonzero(~top[:-1] & top[1:]), np.flatnonzero(top[:-1] & ~top[1:])
    flat = int((ends - starts)[ends - starts >= FLAT_RUN].sum())
    return max(flat, int((size > FULL_SCALE).sum())) / len(wave)


def _in_test(train: list[Inspected], test: list[Inspected]) -> list[Finding]:
    """Find training files that are in the test set, too."""
    left, right = _known(train), _known(test)
    first: dict[int, int] = {}
    for i, j in matches([bits for _, bits in left], [bits for _, bits in right]):
        first.setdefault(i, j)
    return [_duplicate(left[i][0], right[j][0], "of the test set") for i, j in first.items()]


def _copies(train: list[Inspected]) -> list[Finding]:
    """Find training files that are copies of earlier ones.

    A set in DNS form mixes the same speech again and again, on purpose: its clean files are compared with those of
    other sets and folders only, its noise and noisy files with nothing.
    """
    placed = [(path, bits, *_place_in_set(path)) for path, bits in _known(train)]
    some = [(path, bits, folder) for path, bits, folder, side in placed if side in ("", "clean")]
    first: dict[int, int] = {}
    for i, j in repeats([bits for _, bits, _ in some]):
        if some[i][2] is None or some[i][2] != some[j][2]:
            first.setdefault(j, i)
    return [_duplicate(some[j][0], some[i][0], "of the training files") for j, i in sorted(first.items())]


def _known(items: Iterable[Inspected]) -> list[tuple[Path, Bits]]:
    """Return the files that can be told from others, and by what."""
    return [(item.path, item.bits) for item in items if item.bits is not None]


def _place_in_set(path: Path) -> tuple[Path | None, str]:
    """Return the set in DNS form that a file belongs to, and on which side; None and nothing of other files."""
    sides = (folder for folder in path.absolute().parents if folder.name in ("clean", "noise", "noisy"))
    side = next((side for side in sides if is_dns(side.parent)), None)
    return (side.parent.resolve(), side.name) if side else (None, "")


def _duplicate(path: Path, other: Path, where: str) -> Finding:
    found = f"the same recording as {other} {where}, or the same at another level, speed or format"
    return Finding("duplicate", str(path), found)


def _check_pairs(folder: Path, report: CorpusReport) -> None:
    """Match noisy with clean files, and measure each pair's SNR."""
    named, leftovers = match(folder / "noisy", folder / "clean")
    report.findings += [Finding("unmatched", path, "has no partner in noisy or clean") for path in leftovers]
    unreadable = {finding.path for finding in report.findings if finding.kind == "unreadable"}
    for _, noisy, clean in named:
        if unreadable.isdisjoint((str(noisy), str(clean))):
            _check_pair(noisy, clean, report)


def _check_pair(noisy: Path, clean: Path, report: CorpusReport) -> None:
    (mixed, rate, _), (target, other, _) = read(noisy), read(clean)
    if rate != other or mixed.shape[1] != target.shape[1]:
        found = f"{mixed.shape[1]} samples at {rate} Hz, its clean file {target.shape[1]} at {other} Hz"
        report.findings.append(Finding("mismatch", str(noisy), found))
        return
    speech = target.mean(axis=0, dtype=np.float64)
    report.snr_db.append(snr(speech, mixed.mean(axis=0, dtype=np.float64) - speech, rate))


def snr(speech: Wave, noise: Wave, rate: int) -> float:
    """Return the SNR in dB over the active speech."""
    signal, rest = active_power(speech, rate), power(noise)
    if signal == 0:
        return float("-inf")
    return decibels(signal / rest) if rest > signal * 1e-9 else float("inf")
