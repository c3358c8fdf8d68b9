"""Strange sound is right or refused in one sentence, at once, by every door; nothing is left, no input changes."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from frcrn import audio, enhance_file
from frcrn.audio import Audio, AudioError
from frcrn.inference.pipes import pass_through
from tests.limits import bounded
from tests.networks import tiny
from tests.strange_audio import Bytes, files, made, tone

MODEL = tiny(causal=True)
FILES = files()
NAMES = list(FILES)
STEP = {"PCM_S8": 2**-7, "PCM_U8": 2**-7, "PCM_16": 2**-15, "PCM_24": 2**-22, "PCM_32": 2**-22, "FLOAT": 0, "DOUBLE": 0}
"""How far apart the samples of a kind are; of other kinds only the shape is compared."""


LONGER = {("VOC", "ALAW"), ("VOC", "ULAW")}
"""Kinds of which libsndfile reads a sample more than it wrote, where there is one channel."""


def same(found: np.ndarray, sound: Audio, subtype: str = "FLOAT") -> None:
    assert found.shape == sound.samples.shape
    if subtype in STEP:
        np.testing.assert_allclose(
            found, np.clip(sound.samples, -1, 1) if STEP[subtype] else sound.samples, atol=STEP[subtype]
        )


def as_array(path: Path, sound: Audio) -> None:
    same(MODEL.enhance(sound.samples, sound.rate, strength=0.0), sound)


def as_file(path: Path, sound: Audio) -> None:
    target = path.with_name(f"clean{path.suffix}")
    enhance_file(path, target, model=MODEL, strength=0.0)
    clean = audio.read(target)
    assert clean.rate == sound.rate
    if clean.format in LONGER and len(clean.samples) == 1:
        clean = clean._replace(samples=clean.samples[:, :-1])
    same(clean.samples, sound, clean.format.subtype)


def as_stream(path: Path, sound: Audio) -> None:
    stream = MODEL.stream(sound.rate, len(sound.samples), strength=0.0)
    parts = [stream.push(part) for part in np.array_split(sound.samples, [1, 30, 77], axis=1)]
    same(np.concatenate([*parts, np.atleast_2d(stream.flush())], axis=1), sound)


def as_pipe(path: Path, sound: Audio | None) -> None:
    """Raw samples and wav go through a pipe; what is neither is refused, and what ends early is told of."""
    sink = io.BytesIO()
    with path.open("rb") as source:
        trouble = pass_through(MODEL, source, sink, strength=0.0)
    if sound is not None and not trouble and sound.format.container in ("WAV", "WAVEX") and path.suffix == ".wav":
        clean = audio.read(sink.getvalue())
        same(clean.samples, sound, clean.format.subtype)


Doors = dict[str, Callable[[Path, Any], None]]
DOORS: Doors = {
    "array": as_array,
    "file": as_file,
    "stream": as_stream,
    "pipe": as_pipe,
}
OF_BYTES = ("file", "pipe", "pipeline", "service", "the same kind")
"""Doors that what cannot be read is tried at too."""


def outcome(step: Callable[[], Any], seconds: float = 10) -> Any:
    """Return what came of a step, or the sentence by which it was refused; whatever else there is fails."""
    try:
        with bounded(seconds, gigabytes=4):
            return step()
    except (ValueError, OSError) as error:
        text = str(error)
        assert not isinstance(error, (TimeoutError, UnicodeError)) and 0 < len(text) < 500 and "\n" not in text, repr(
            error
        )
        return text


def tried(name: str, content: bytes, folder: Path, doors: Doors = DOORS) -> list[str]:
    """Give a file to every door; return whether each took or refused it."""
    path = folder / name
    path.write_bytes(content)
    sound = outcome(lambda: audio.read(path))
    whole = None if isinstance(sound, str) else sound
    answers = []
    for door, enter in doors.items():
        if whole is not None or door in OF_BYTES:
            answers.append("refused" if outcome(lambda enter=enter: enter(path, whole)) else "right")
    assert path.read_bytes() == content, "the input was changed"
    left = {entry.name for entry in folder.iterdir()} - {name, f"clean{path.suffix}"}
    assert not left, f"left behind: {left}"
    for entry in folder.iterdir():
        entry.unlink()
    return answers


def all_of(files: dict[str, Bytes], folder: Path, doors: Doors = DOORS) -> dict[str, int]:
    """Try many files; say which broke something, and count the answers."""
    counts, broken = {"right": 0, "refused": 0}, []
    for name, content in files.items():
        try:
            for answer in tried(name, content(), folder, doors):
                counts[answer] += 1
        except Exception as error:  # noqa: BLE001 - the others are tried too
            broken.append(f"{name}: {type(error).__name__}: {error}"[:400])
            for entry in folder.iterdir():
                entry.unlink()
    assert not broken, f"{len(broken)} of {len(files)}:\n" + "\n".join(broken)
    return counts


def every(step: int, start: int = 0) -> dict[str, Bytes]:
    """Return some of the files."""
    return {name: FILES[name] for name in NAMES[start::step]}


@pytest.mark.parametrize(("rate", "kbps"), [(8000, 8), (16_000, 8), (16_000, 40), (44_100, 32), (44_100, 128)])
@pytest.mark.parametrize("length", [1, 30_000])
def test_an_mp3_of_few_bits_keeps_its_length(rate: int, kbps: int, length: int, tmp_path: Path) -> None:
    """Where frames are too small for the header that says so, players hear some hundred samples more."""
    how = {"compression_level": audio.mpeg.compression(kbps, rate), "bitrate_mode": "CONSTANT"}
    with soundfile.SoundFile(tmp_path / "a.mp3", "w", rate, 1, "MPEG_LAYER_III", **how) as file:
        file.write(tone(length, rate, 1))
    enhance_file(tmp_path / "a.mp3", tmp_path / "b.mp3", model=MODEL, strength=0.0)
    before, after = (audio.read(tmp_path / name).samples.shape for name in ("a.mp3", "b.mp3"))
    assert before == after
    with (tmp_path / "b.mp3").open("rb") as found:
        assert audio.mpeg.layout(found).mean_kbps < 2 * kbps + 16


MP3 = made("MP3", "MPEG_LAYER_III", 44_100, 2, 20_000)
BETWEEN = {"ones": b"\xff", "headers of frames": b"\xff\xfb\x90\x00", "tags": b"ID3\x04" + bytes(6)}


@pytest.mark.parametrize("what", BETWEEN)
def test_what_stands_between_the_frames_of_an_mp3_costs_little(what: str) -> None:
    """Two million bytes of it took ten seconds, and a second time wherever the file was opened again."""
    junk = BETWEEN[what] * (4_000_000 // len(BETWEEN[what]))
    found = outcome(lambda: audio.read(MP3 + junk + MP3), seconds=4)
    assert isinstance(found, str) or found.samples.shape[1] > 30_000


def test_a_hole_behind_the_frames_of_an_mp3_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terabyte of nothing takes no room on a disk, and took hours."""
    monkeypatch.setattr(audio.mpeg, "_MOST_BETWEEN", 1 << 22)
    (tmp_path / "a.mp3").write_bytes(MP3)
    os.truncate(tmp_path / "a.mp3", 1 << 40)
    assert "too much of it is neither MP3 frames nor tags" in outcome(lambda: audio.read(tmp_path / "a.mp3"), seconds=4)


def test_a_sample_dump_that_is_cut_short_is_not_made_up(tmp_path: Path) -> None:
    """Of 5 kB libsndfile read two million samples."""
    (tmp_path / "a.sds").write_bytes(FILES["damaged 56 SDS PCM_16.sds"]())
    with pytest.raises(AudioError, match="announces 2065884 samples, 4847 bytes"):
        audio.read(tmp_path / "a.sds")
    assert audio.read(made("SDS", "PCM_16")).samples.shape[1] == 1500


def test_there_are_many() -> None:
    assert len(NAMES) > 5000


def test_a_sample_of_strange_files(tmp_path: Path) -> None:
    counts = all_of(every(len(NAMES) // 100), tmp_path)
    assert counts["right"] > 20 and counts["refused"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_strange_files(part: int, tmp_path: Path) -> None:
    counts = all_of(files := every(20, part), tmp_path)
    print(len(files), "files:", counts)


@pytest.mark.slow
def test_strange_files_through_the_pipeline(tmp_path: Path) -> None:
    pytest.importorskip("modelscope")
    from frcrn.plugin.pipeline import FRCRNPipeline
    from tests.plugin_parts import tiny_directory

    (tmp_path / "in").mkdir()
    clean = FRCRNPipeline(str(tiny_directory(tmp_path / "model")), device="cpu", strength=0.0, keep_format=True)

    def as_pipeline(path: Path, sound: Audio | None) -> None:
        answer = clean(str(path), output_path=path.with_name(f"clean{path.suffix}"))
        assert sound is not None and answer["sample_rate"] == sound.rate
        assert len(answer["output_pcm"]) == 2 * sound.samples.size

    counts = {"right": 0, "refused": 0}
    for name, content in every(13).items():
        for answer in tried(name, content(), tmp_path / "in", {"pipeline": as_pipeline}):
            counts[answer] += 1
    print(counts)
    assert counts["right"] > 50 and counts["refused"] > 50
