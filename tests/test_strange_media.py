"""Strange recordings of phones and cameras are right or refused in one sentence, in seconds and little memory."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from frcrn import audio, enhance_file
from frcrn.audio import Audio, AudioError
from tests.limits import bounded
from tests.strange_media import cases, made
from tests.test_strange_audio import MODEL, all_of, as_array


def as_wav(path: Path, sound: Audio | None) -> None:
    target = path.with_name(f"clean{path.suffix}")
    enhance_file(path, target.with_suffix(".wav"), model=MODEL, strength=0.0)
    target.with_suffix(".wav").rename(target)
    clean = audio.read(target)
    assert sound is not None and clean.rate == sound.rate
    np.testing.assert_allclose(clean.samples, np.clip(sound.samples, -1, 1), atol=2**-15)


def as_the_same_kind(path: Path, sound: Audio | None) -> None:
    """Its pictures, tags and other tracks are copied; an encoder adds some samples at the ends."""
    target = path.with_name(f"clean{path.suffix}")
    enhance_file(path, target, model=MODEL, strength=0.0)
    assert target.stat().st_size and sound is not None


DOORS = {"array": as_array, "file": as_wav, "the same kind": as_the_same_kind}


def test_a_sample_of_strange_recordings(tmp_path: Path) -> None:
    counts = all_of(dict(cases(6)), tmp_path, DOORS)
    assert counts["right"] > 20 and counts["refused"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_strange_recordings(part: int, tmp_path: Path) -> None:
    files = dict(list(cases(240))[part::8])
    print(len(files), "files:", all_of(files, tmp_path, DOORS))


def with_a_gap(path: Path, seconds: int) -> Path:
    """Two pieces of sound, so far apart by their time stamps."""
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        for start in (0, seconds * 8000):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def test_what_time_stamps_leave_out_is_silence_a_little_at_once(tmp_path: Path) -> None:
    path = with_a_gap(tmp_path / "a.mkv", 7200)
    with bounded(seconds=60, gigabytes=0.15):
        assert sum(block.shape[1] for block in audio.blocks(path)) == pytest.approx(7200.1 * 8000, abs=80)


@pytest.mark.parametrize("seconds", [60_000, 4_000_000])
def test_what_leaves_out_most_of_a_day_or_more_is_refused(seconds: int, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=f"leave out {seconds} s"):
        audio.read(with_a_gap(tmp_path / "a.mkv", seconds))


def test_a_track_that_says_nothing_of_its_kind_is_refused(tmp_path: Path) -> None:
    content = made(".mov")
    place = content.index(b"smhd") + 12  # the size of the next box, which hides those that follow
    path = tmp_path / "a.mov"
    path.write_bytes(content[:place] + b"\xff\xff" + content[place + 2 :])
    with pytest.raises(AudioError, match="of a kind that nothing here decodes"):
        audio.read(path)
