"""Folders in DNS form: clean/, noisy/ and noise/, whose files match by name or by file id."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile
from numpy.typing import ArrayLike, NDArray

from frcrn.audio import AudioError, read, resample
from frcrn.audio.resampling import resampled_length
from frcrn.config import require
from frcrn.data.cache import AudioCache, open_cache
from frcrn.data.identity import digest, of_files
from frcrn.data.pairs import match
from frcrn.data.sampling import groups_of, held_out
from frcrn.data.segments import Segments
from frcrn.data.speech_activity import Wave
from frcrn.files import native

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DnsConfig:
    """A folder in DNS form, cut into segments."""

    folder: str
    seconds: float = 1.0
    cache: str | None = None
    """Where to keep the decoded audio; null reads the files themselves, which suits wav at the model's rate."""
    split: Literal["train", "valid", "all"] = "all"
    valid_share: float = 0.1
    speaker: str = ""
    """Regular expression on the clean file's name, as in the mixing; without it each file is its own speaker."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(self.seconds > 0, "seconds", "more than 0", self.seconds)
        require(0 <= self.valid_share <= 1, "valid_share", "0 to 1", self.valid_share)


class DnsPair(NamedTuple):
    """One clip; `other` is the noisy file, or the noise alone in a set without noisy files."""

    name: str
    other: Path
    clean: Path


class DnsFolder(NamedTuple):
    """What lies in a folder of DNS form; `leftovers` have no partner."""

    pairs: list[DnsPair]
    adds_noise: bool
    leftovers: tuple[str, ...]


def open_folder(folder: str | Path) -> DnsFolder:
    """Match clean/ with noisy/, or with noise/ where there is no noisy/; leftovers are reported, not used."""
    root = Path(folder)
    adds_noise = not (root / "noisy").is_dir() and (root / "noise").is_dir()
    other = root / ("noise" if adds_noise else "noisy")
    for path in (root / "clean", other):
        if not path.is_dir():
            raise ValueError(f"{folder}: expected the folders clean and noisy (or noise), found no {path.name}")
    named, leftovers = match(other, root / "clean")
    if not named:
        raise ValueError(
            f"{folder}: expected files in {other.name} and clean that match by name or fileid_N, found none"
        )
    if leftovers:
        logger.warning("%s: %d files have no partner and are left out, first %s", folder, len(leftovers), leftovers[0])
    return DnsFolder([DnsPair(*item) for item in named], adds_noise, leftovers)


class FileRows:
    """Pairs read from their files; those at another rate are resampled as a whole."""

    def __init__(self, pairs: Sequence[DnsPair], rate: int, adds_noise: bool) -> None:
        """Read the files' headers."""
        self.pairs, self.rate, self.adds_noise = pairs, rate, adds_noise
        self.lengths = _shorter([self._length(p.other) for p in pairs], [self._length(p.clean) for p in pairs])

    def identity(self) -> str:
        """Return a hash of the files."""
        return _identity([*(item.other for item in self.pairs), *(item.clean for item in self.pairs)], self.adds_noise)

    def _length(self, path: Path) -> int:
        try:
            info = soundfile.info(native(path))
        except (soundfile.LibsndfileError, OSError):
            return int(read(path).samples.shape[1])
        return int(resampled_length(info.frames, info.samplerate, self.rate))

    def pair(self, row: int, start: int, stop: int) -> tuple[Wave, Wave]:
        """Return noisy and clean samples start to stop."""
        item = self.pairs[row]
        return _noisy_and_clean(self._cut(item.other, start, stop), self._cut(item.clean, start, stop), self.adds_noise)

    def _cut(self, path: Path, start: int, stop: int) -> Wave:
        try:
            with soundfile.SoundFile(native(path)) as file:
                if file.samplerate == self.rate:
                    file.seek(start)
                    samples = file.read(stop - start, dtype="float32", always_2d=True)
                    return np.asarray(samples.mean(axis=1, dtype=np.float32))
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{path}: cannot be read ({error})") from None
        whole, rate, _ = read(path)
        return resample(whole.mean(axis=0, dtype=np.float32), rate, self.rate)[start:stop]


class CachedRows:
    """Pairs in a cache whose folders are the noisy (or noise) and the clean one."""

    def __init__(self, cache: AudioCache, others: Sequence[int], cleans: Sequence[int], adds_noise: bool) -> None:
        """Take files of the cache by number."""
        self.cache, self.others, self.cleans, self.adds_noise = cache, others, cleans, adds_noise
        self.lengths = _shorter(cache.lengths[list(others)], cache.lengths[list(cleans)])

    def identity(self) -> str:
        """Return a hash of the files that were decoded."""
        return _identity([self.cache.files[number][1] for number in (*self.others, *self.cleans)], self.adds_noise)

    def pair(self, row: int, start: int, stop: int) -> tuple[Wave, Wave]:
        """Return noisy and clean samples start to stop."""
        other = self.cache.wave(self.others[row], start, stop)
        return _noisy_and_clean(other, self.cache.wave(self.cleans[row], start, stop), self.adds_noise)


def _identity(paths: Sequence[str | Path], adds_noise: bool) -> str:
    return digest([adds_noise, of_files([(os.path.basename(path), path) for path in paths])])


def _shorter(others: ArrayLike, cleans: ArrayLike) -> NDArray[np.int64]:
    """Return the lengths [N] of pairs, and say where one of the two goes on alone."""
    lengths: NDArray[np.int64] = np.minimum(others, cleans, dtype=np.int64)
    if cut := int((np.maximum(others, cleans) - lengths > 1).sum()):
        logger.warning("%d of %d pairs are cut to the shorter of their two files", cut, len(lengths))
    return lengths


def _noisy_and_clean(other: Wave, clean: Wave, adds_noise: bool) -> tuple[Wave, Wave]:
    length = min(len(other), len(clean))
    other, clean = other[:length], clean[:length]
    return (clean + other if adds_noise else other), clean


def open_dns(config: DnsConfig, sample_rate: int, seed: int) -> Segments:
    """Open a folder in DNS form as segments."""
    found = open_folder(config.folder)
    pairs = _side(found.pairs, config)
    if not pairs:
        raise ValueError(f"{config.folder}: expected clips for split {config.split}, found none")
    samples = round(config.seconds * sample_rate)
    if config.cache is None:
        return Segments(FileRows(pairs, sample_rate, found.adds_noise), samples, seed)
    root = Path(config.folder)
    folders = [root / ("noise" if found.adds_noise else "noisy"), root / "clean"]
    cache = open_cache(config.cache, folders, sample_rate)
    number = {path: place for place, (_, path) in enumerate(cache.files)}
    others, cleans = (
        [number[str(path)] for path in paths] for paths in zip(*((p.other, p.clean) for p in pairs), strict=True)
    )
    return Segments(CachedRows(cache, others, cleans, found.adds_noise), samples, seed)


def _side(pairs: list[DnsPair], config: DnsConfig) -> list[DnsPair]:
    if config.split == "all":
        return pairs
    names = [item.clean.stem for item in pairs]
    source = [config.folder] * len(pairs)
    valid = held_out(groups_of(names, source, config.speaker), source, np.ones(len(pairs)), config.valid_share)
    return [item for item, held in zip(pairs, valid, strict=True) if held == (config.split == "valid")]
