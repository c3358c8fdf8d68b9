"""Merge and cut: the recordings of each speaker one after another, cut into clips of one length."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frcrn.audio import read, resample, write
from frcrn.data.corpus import Item, Progress, Share, items_of
from frcrn.data.new_folder import fresh, new_folder, refuse_foreign, refuse_inputs, refuse_within, write_table
from frcrn.data.speech_activity import Wave
from frcrn.texts import NAMES, cell

COLUMNS = ("file", "source", "speaker", "seconds", "from")
JOURNAL = ".clips.jsonl"
LEAST, MOST = 0.01, 3600.0
"""Seconds of a clip; a pause may be shorter."""


class Cutting(NamedTuple):
    """How clips are made: their seconds, those of silence between two recordings, and the rate they are written at."""

    seconds: float = 10.0
    pause: float = 0.1
    rate: int = 16000
    keep_rest: bool = False
    """Whether what is left of a speaker becomes a shorter clip."""


class Clip(NamedTuple):
    """A clip that was written: its file, of the folder, and the recordings that are in it."""

    file: str
    seconds: float
    recordings: tuple[str, ...]


def cut(
    folder: str | Path,
    out: str | Path,
    how: Cutting | None = None,
    *,
    speaker: str = "",
    force: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> dict[str, Share]:
    """Write clips of one length into `out`, none with two speakers in it; return what there is of each source.

    The speaker is what the pattern `speaker` finds in `source/name`, else the directory within the source; where
    neither is known, the files of a source count as one. With `dry_run` nothing is decoded or written, and the clips
    are counted from the lengths that the files' headers tell.
    """
    how, root, place = how or Cutting(), Path(folder), Path(out)
    if not (LEAST <= how.seconds <= MOST and 0 <= how.pause <= MOST) or how.rate < 1:
        raise ValueError(
            f"clips of {how.seconds:g} s, pauses of {how.pause:g} s: expected {LEAST:g} to {MOST:g}, and 0 to {MOST:g}"
        )
    if (root / "clean").is_dir() and ((root / "noisy").is_dir() or (root / "noise").is_dir()):
        raise ValueError(f"{folder}: expected folders of recordings, found a set in DNS form")
    voices = voices_of(items_of(root, speaker))
    refuse_inputs(place, (path for items in voices.values() for item in items for path in item.files))
    refuse_within(place, [root])
    counted = {voice: _counted(items, how) for voice, items in voices.items()}
    if not any(counted.values()):
        raise ValueError(f"{folder}: expected {how.seconds:g} s of at least one speaker, found less of each")
    if dry_run:
        refuse_foreign(place, force)
        return _by_source(voices, counted)
    with new_folder(place, _plan(voices, how), force) as beside:
        written = _write(root, beside, voices, how, progress or (lambda done, total: None))
    return _by_source(voices, {voice: [clip.seconds for clip in clips] for voice, clips in written.items()})


def voices_of(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Return the recordings of each speaker; a file that is its own speaker counts to its source."""
    voices: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        # `source/name.wav` is what a file goes by whose speaker nobody knows
        unknown = item.speaker.endswith(f"/{item.files[0].name}")
        voices[item.source if unknown else item.speaker].append(item)
    return dict(voices)


def _counted(items: Sequence[Item], how: Cutting) -> list[float]:
    total = sum(item.seconds for item in items) + how.pause * (len(items) - 1)
    whole = int(total / how.seconds + 1e-6)
    rest = total - whole * how.seconds
    return [how.seconds] * whole + ([rest] if how.keep_rest and rest > 1e-3 else [])


def _by_source(voices: Mapping[str, Sequence[Item]], seconds: Mapping[str, Sequence[float]]) -> dict[str, Share]:
    parts: dict[str, list[Item]] = defaultdict(list)
    for voice, items in voices.items():
        parts[items[0].source] += [Item((), items[0].source, voice, length) for length in seconds[voice]]
    return {source: Share(clips) for source, clips in parts.items()}


def _plan(voices: Mapping[str, Sequence[Item]], how: Cutting) -> str:
    digest = hashlib.sha256(repr(how).encode())
    for voice, items in voices.items():
        for item in items:
            stat = item.files[0].stat()
            line = f"{voice}\t{item.files[0]}\t{stat.st_size}\t{stat.st_mtime_ns}\n"
            digest.update(line.encode(errors=NAMES))
    return digest.hexdigest()


def _write(
    root: Path, out: Path, voices: Mapping[str, Sequence[Item]], how: Cutting, progress: Progress
) -> dict[str, list[Clip]]:
    """Write the clips of each speaker and the table; a speaker that the journal has is done."""
    done, count, total = _journal(out / JOURNAL), 0, sum(map(len, voices.values()))
    folders, rows = folder_names(voices), []
    with (out / JOURNAL).open("a", encoding="utf-8") as journal:
        for voice, items in voices.items():
            if voice not in done:
                done[voice] = _write_voice(root, out, folders[voice], items, how, _counting(progress, count, total))
                journal.write(json.dumps([voice, done[voice]]) + "\n")
                journal.flush()
            count += len(items)
            progress(count, total)
            rows += [_row(items[0].source, voice, clip) for clip in done[voice]]
    (out / JOURNAL).unlink()
    write_table(out, COLUMNS, rows)
    return done


def _counting(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    return lambda taken: progress(before + taken, total)


def _row(source: str, voice: str, clip: Clip) -> tuple[str, ...]:
    return (*map(cell, (clip.file, source, voice)), f"{clip.seconds:.3f}", cell(";".join(clip.recordings)))


def _journal(path: Path) -> dict[str, list[Clip]]:
    """Return the clips of the speakers that an interrupted run has written; an unfinished line does not count."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    fresh(path).write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
    found: list[Any] = [json.loads(line) for line in text.split("\n")[:-1]]
    return {
        voice: [Clip(file, seconds, tuple(recordings)) for file, seconds, recordings in clips] for voice, clips in found
    }


def _write_voice(
    root: Path, out: Path, name: str, items: Sequence[Item], how: Cutting, taken: Callable[[int], None]
) -> list[Clip]:
    clips = []
    (out / name).mkdir(parents=True, exist_ok=True)
    for number, (wave, inside) in enumerate(joined_and_cut(items, how, taken), start=1):
        file = f"{name}/{number:05d}.wav"
        write(fresh(out / file), wave, how.rate)
        recordings = tuple(items[place].files[0].relative_to(root).as_posix() for place in inside)
        clips.append(Clip(file, len(wave) / how.rate, recordings))
    return clips


def joined_and_cut(
    items: Sequence[Item], how: Cutting, taken: Callable[[int], None] = lambda count: None
) -> Iterator[tuple[Wave, list[int]]]:
    """Decode recordings one by one -> clips [T] and which of them are in each."""
    length, waiting, inside = round(how.seconds * how.rate), np.zeros(0, np.float32), []
    pause = np.zeros(round(how.pause * how.rate), np.float32)
    for place, item in enumerate(items):
        samples, rate, _ = read(item.files[0])
        wave = resample(samples.mean(axis=0, dtype=np.float32), rate, how.rate)
        waiting = np.concatenate([waiting, pause if len(waiting) else waiting, wave])
        inside.append(place)
        while len(waiting) >= length:
            yield waiting[:length], inside
            waiting = waiting[length:]
            inside = [place] if len(waiting) else []
        taken(place + 1)
    if how.keep_rest and len(waiting):
        yield waiting, inside


def folder_names(voices: Mapping[str, Sequence[Item]]) -> dict[str, str]:
    """Return a folder for each speaker, in letters that every system takes and under no two names alike."""
    names: dict[str, str] = {}
    for voice in voices:
        name = "/".join(re.sub(r"[^\w.-]+", "_", part).strip(".") or "_" for part in voice.split("/"))
        taken, wanted, number = {each.lower() for each in names.values()}, name, 2
        while name.lower() in taken:
            name, number = f"{wanted}_{number}", number + 1
        names[voice] = name
    return names
