"""Decoded audio of whole folders in one memory-mapped file that all workers share.

Layout: a head that is no text, int16 samples of all files, then their activity (one byte a 20 ms frame), then the
index (JSON), then the index's length in eight bytes and a magic word. The file is written beside its place and renamed,
so it is whole or absent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from frcrn.audio import ACCEPTED, AudioError, find, is_audio_name, read, replacing, resample
from frcrn.data.speech_activity import Frames, Wave, active_frames, decibels, frame_length, frame_powers
from frcrn.files import sweep
from frcrn.texts import NAMES, from_json
from frcrn.threads import Threads
from frcrn.visible import visible

logger = logging.getLogger(__name__)

MAGIC = b"FRCRNau1"
HEAD = MAGIC + bytes(8)
"""With it, no sound makes a file that a shell or a desktop takes for its own, whatever a recipe calls it."""
VERSION = 2
FULL_SCALE = 32767.0
COLUMNS = ("names", "sources", "folders", "lengths", "levels", "ranges", "clipped")
"""Of the index: one entry a file."""
BATCH = 64
HEARD, BEGINNING = 100, 1 << 16
"""Of how many files, spread over all, how many bytes tell one corpus from another."""


class Listed(NamedTuple):
    """One audio file before it is decoded; `folder` is its folder's place in the list of folders."""

    path: Path
    folder: int
    source: str
    name: str
    inside: str
    """Its path from there on."""


def list_folders(folders: Sequence[str | Path]) -> list[Listed]:
    """List all audio files under `folders`, sorted; a missing or empty folder is a ValueError.

    A file's source is the first directory under its folder, or the folder itself for files that lie directly in it.
    """
    return [listed for number, folder in enumerate(folders) for listed in _list_folder(Path(folder), number)]


def _list_folder(folder: Path, number: int) -> Iterator[Listed]:
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: expected a folder of audio files, found {'a file' if folder.exists() else 'nothing'}"
        )
    paths = find([folder])
    if not paths:
        raise ValueError(f"{folder}: expected audio files ({ACCEPTED}), found none")
    for path in paths:
        parts = path.relative_to(folder).parts
        source = parts[0] if len(parts) > 1 else folder.resolve().name
        inside = "/".join(parts)
        yield Listed(path, number, source, inside if len(parts) > 1 else f"{source}/{inside}", inside)


def warn_of_media(folders: Sequence[str | Path]) -> None:
    """Say which files of sound are passed over, as training reads no films and no AAC."""
    if passed := [path for path in find(folders, media=True) if not is_audio_name(path)]:
        count = f"{len(passed)} file{'s are' if len(passed) > 1 else ' is'}"
        logger.warning("%s passed over, the first %s: training reads %s", count, visible(str(passed[0])), ACCEPTED)


def fingerprint(listing: Sequence[Listed], rate: int) -> str:
    """Return a hash that changes with any file's name, size or time of change, with what some hold, and with the rate.

    Unpacked archives may have one time for all files, so that another corpus differs in nothing but its sound.
    """
    digest = hashlib.sha256(f"{VERSION} {rate}\n".encode())
    for item in listing:
        stat = item.path.stat()
        digest.update(f"{item.folder}\t{item.name}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode(errors=NAMES))
    for item in listing[:: 1 + len(listing) // HEARD]:
        with item.path.open("rb") as file:
            digest.update(file.read(BEGINNING))
    return digest.hexdigest()


class AudioCache:
    """The decoded files, a list or array of each fact about them.

    `names`, `sources`, `folders` (place in the list of folders), `lengths` in samples, `levels` in dBFS where
    active, `ranges` in dB from there down to the quietest frames, `clipped` as the share of samples at full scale.
    `files` are those that were decoded: the path of each in its folder, and the path that it was found at.
    """

    def __init__(self, path: str | Path, fingerprint: str | None = None, files: Sequence[tuple[str, str]] = ()) -> None:
        """Map an existing cache file; ValueError where it is none, or not that of these folders."""
        self.path, self.files = str(path), files
        try:
            self._map(_read_index(Path(path)))
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            raise ValueError(f"{path}: not a whole cache of decoded audio ({error}); delete it") from None
        if fingerprint not in (None, self.fingerprint):
            raise ValueError(f"{path}: another run has written it anew for other folders; give each a cache of its own")

    def _map(self, index: dict[str, Any]) -> None:
        self.rate: int = index["rate"]
        self.fingerprint: str = index["fingerprint"]
        self.names: list[str] = index["names"]
        self.sources: list[str] = index["sources"]
        self.folders: NDArray[np.int64] = np.array(index["folders"], dtype=np.int64)
        self.lengths: NDArray[np.int64] = np.array(index["lengths"], dtype=np.int64)
        self.levels: NDArray[np.float64] = np.array(index["levels"], dtype=np.float64)
        self.ranges: NDArray[np.float64] = np.array(index["ranges"], dtype=np.float64)
        self.clipped: NDArray[np.float64] = np.array(index["clipped"], dtype=np.float64)
        if self.rate < 1 or self.lengths.min(initial=0) < 0 or len({len(index[name]) for name in COLUMNS}) != 1:
            raise ValueError("its index is damaged")
        head: int = index.get("head", 0)  # there was none in earlier ones
        if head not in (0, len(HEAD)):
            raise ValueError("its head is damaged")
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])
        frames = self.lengths // frame_length(self.rate)
        self._frame_starts = np.concatenate([[0], np.cumsum(frames)])
        samples, total = int(self._starts[-1]), int(self._frame_starts[-1])
        self._samples = np.memmap(self.path, np.int16, "r", offset=head, shape=(samples,))
        end = head + 2 * samples
        self._activity = np.memmap(self.path, np.bool_, "r", offset=end, shape=(total,)) if total else np.zeros(0, bool)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        """Send the path to another process and what is there; the samples stay in the shared file."""
        return {"path": self.path, "fingerprint": self.fingerprint, "files": self.files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the same file again."""
        self.__init__(**state)  # type: ignore[misc]

    def wave(self, file: int, start: int = 0, stop: int | None = None) -> Wave:
        """Return samples start to stop of one file, float32 in -1..1."""
        begin, end = int(self._starts[file]), int(self._starts[file + 1])
        stop = end if stop is None else min(begin + stop, end)
        return self._samples[begin + start : stop].astype(np.float32) * np.float32(1 / FULL_SCALE)

    def activity(self, file: int) -> Frames:
        """Return which 20 ms frames of one file are active."""
        return np.asarray(self._activity[self._frame_starts[file] : self._frame_starts[file + 1]])

    def active_seconds(self) -> NDArray[np.float64]:
        """Return each file's seconds of active frames [n]."""
        sums = np.concatenate([[0], np.cumsum(self._activity, dtype=np.int64)])
        seconds: NDArray[np.float64] = np.diff(sums[self._frame_starts]) * frame_length(self.rate) / self.rate
        return seconds


def _read_index(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 16, 0))
        tail = file.read(16)
        length = int.from_bytes(tail[:8], "little")
        if tail[8:] != MAGIC or length > size - 16:
            raise ValueError(
                f"{path}: expected a cache of decoded audio, found something else; delete it or name another file"
            )
        file.seek(size - 16 - length)
        index: Any = from_json(file.read(length).decode("utf-8", "replace"))
    if not isinstance(index, dict) or not isinstance(index.get("fingerprint"), str):
        raise ValueError(f"{path}: expected a cache of decoded audio, found a damaged one; delete it")
    return index


def open_cache(
    path: str | Path,
    folders: Sequence[str | Path],
    rate: int,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AudioCache:
    """Map the cache of `folders` at `path`; decode them first where it is absent or the files have changed.

    `progress(done, total)` is called while files are decoded.
    """
    listing = list_folders(folders)
    warn_of_media(folders)
    key = fingerprint(listing, rate)
    files = [(item.inside, str(item.path)) for item in listing]
    if Path(path).exists():
        if _read_index(Path(path))["fingerprint"] == key:
            return AudioCache(path, key, files)
        logger.info("%s: the audio files have changed, decoding them again", path)
    _build(Path(path), listing, rate, key, threads or min(os.cpu_count() or 1, 16), progress)
    return AudioCache(path, key, files)


def _build(
    path: Path, listing: list[Listed], rate: int, key: str, threads: int, progress: Callable[[int, int], None] | None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep([path])
    with replacing(path) as beside, beside.open("wb") as file:
        _write(file, listing, rate, key, threads, progress)


def _write(
    file: BinaryIO,
    listing: list[Listed],
    rate: int,
    key: str,
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    decoded: list[Decoded] = []
    activity: list[Frames] = []
    file.write(HEAD)
    with Threads(threads) as pool:
        for first in range(0, len(listing), BATCH):
            batch = [item.path for item in listing[first : first + BATCH]]
            for samples, active, facts in pool.map(lambda p: _decode(p, rate), batch):
                file.write(samples.tobytes())
                activity.append(active)
                decoded.append(facts)
            if progress:
                progress(min(first + BATCH, len(listing)), len(listing))
    file.write(np.concatenate(activity).tobytes())
    index = {
        "head": len(HEAD),
        "rate": rate,
        "fingerprint": key,
        "names": [item.name for item in listing],
        "sources": [item.source for item in listing],
        "folders": [item.folder for item in listing],
        "lengths": [facts.length for facts in decoded],
        "levels": [facts.level for facts in decoded],
        "ranges": [facts.range for facts in decoded],
        "clipped": [facts.clipped for facts in decoded],
    }
    text = json.dumps(index).encode()
    file.write(text + len(text).to_bytes(8, "little") + MAGIC)


class Decoded(NamedTuple):
    """Facts about one decoded file, as in `AudioCache`."""

    length: int
    level: float
    range: float
    clipped: float


def _decode(path: Path, rate: int) -> tuple[NDArray[np.int16], Frames, Decoded]:
    """Decode one file -> int16 samples [T], active frames [N], and its facts."""
    try:
        samples, found, _ = read(path)
    except AudioError as error:
        raise AudioError(f"{error}; `frcrn data check` lists all such files") from None
    wave = np.clip(resample(samples.mean(axis=0, dtype=np.float32), found, rate), -1, 1)
    return np.rint(wave * FULL_SCALE).astype(np.int16), *_facts(wave, rate)


def _facts(wave: Wave, rate: int) -> tuple[Frames, Decoded]:
    powers = frame_powers(wave, rate)
    active = active_frames(powers)
    if not active.any():
        return active, Decoded(len(wave), -120.0, 0.0, 0.0)
    level = decibels(float(powers[active].mean()))
    quiet = decibels(float(np.percentile(powers, 5)) + 1e-12)
    return active, Decoded(len(wave), level, level - quiet, float(np.mean(np.abs(wave) > 0.99)))
