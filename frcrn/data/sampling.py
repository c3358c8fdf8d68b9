"""Which files to draw from, and how often: balance over sources, and a held-out part."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from frcrn.data.cache import AudioCache
from frcrn.texts import NAMES


def groups_of(names: Sequence[str], sources: Sequence[str], pattern: str) -> list[str]:
    """Return each file's speaker: its source and what `pattern` finds in its name (the first group, if it has any).

    Without a pattern it is the directory within the source, as in `source/speaker/file`; files for which neither is
    known are their own speakers.
    """
    try:
        speaker = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"speaker: expected a regular expression, found {pattern!r} ({error})") from None
    return [_group(name, source, speaker) for name, source in zip(names, sources, strict=True)]


def _group(name: str, source: str, speaker: re.Pattern[str]) -> str:
    match = speaker.search(name) if speaker.pattern else None
    if match:
        return f"{source}/{match.group(min(speaker.groups, 1))}"
    parts = name.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 and not speaker.pattern else name


def held_out(
    groups: Sequence[str],
    sources: Sequence[str],
    seconds: Sequence[float] | NDArray[np.float64],
    share: float,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Choose whole groups of about `share` of each source's seconds; a source's only group is not held out.

    Where no source has more than one, whole sources are chosen.
    """
    if len(set(zip(sources, groups, strict=True))) == len(set(sources)):
        sources = [""] * len(groups)
    members: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for file, (source, group) in enumerate(zip(sources, groups, strict=True)):
        members[source][group].append(file)
    chosen = np.zeros(len(groups), bool)
    for of_source in members.values():
        order = sorted(of_source, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode(errors=NAMES)).digest())
        wanted = share * sum(float(seconds[file]) for files in of_source.values() for file in files)
        for group in order[:-1]:
            length = sum(float(seconds[file]) for file in of_source[group])
            if wanted < length / 2:
                break
            chosen[of_source[group]] = True
            wanted -= length
    return chosen


class Shelf:
    """Files of a cache with the probability of each; a pure look-up, the generator is the caller's.

    A source's weight is the square root of its hours of sound times `weights[source]`; within it a file's is the square
    root of its own.
    """

    def __init__(
        self, cache: AudioCache, files: NDArray[np.int64], voices: Sequence[str], weights: Mapping[str, float]
    ) -> None:
        """Put `files` of the cache on the shelf; `voices` names what sounds alike, one of each file of the cache."""
        self.cache, self.files = cache, files
        seconds = cache.active_seconds()[files]
        sources = np.array([cache.sources[file] for file in files])
        share = np.zeros(len(files))
        for source in np.unique(sources):
            inside = sources == source
            root = np.sqrt(seconds[inside])
            share[inside] = weights.get(str(source), 1.0) * np.sqrt(seconds[inside].sum()) * root / root.sum()
        if not share.sum() > 0:
            raise ValueError("source_weights: expected a weight above 0 for at least one source, found none")
        self._bounds = np.cumsum(share / share.sum())
        self._voice = {int(file): voices[file] for file in files}
        self._alike: dict[str, list[int]] = defaultdict(list)
        for file in files[share > 0]:
            self._alike[self._voice[int(file)]].append(int(file))

    @property
    def knows_voices(self) -> bool:
        """Whether anything tells voices within a source from each other."""
        return any(voice != self.cache.sources[file] for file, voice in self._voice.items())

    def pick(self, rng: np.random.Generator) -> int:
        """Draw a file."""
        place = int(np.searchsorted(self._bounds, rng.random(), side="right"))
        return int(self.files[min(place, len(self.files) - 1)])

    def pick_alike(self, rng: np.random.Generator, file: int) -> int:
        """Draw a file of the same voice."""
        alike = self._alike[self._voice[file]]
        return alike[int(rng.integers(len(alike)))]
