"""Titles, covers and bitrates that other programs wrote are there after enhancing, as ffmpeg reads them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from frcrn import audio
from frcrn.cli import main
from tests.test_foreign_audio import decoded, ffmpeg, lame, likeness, program, speechlike

WORDS = {"title": "Une soirée", "artist": "A & B", "album": "C", "date": "2021", "genre": "Speech"}


def probe(path: Path) -> tuple[dict[str, str], list[str]]:
    """The tags, and the codecs of all streams, a cover among them."""
    run = [program("ffprobe"), "-v", "error", "-show_format", "-show_streams", "-of", "json", path]
    found = json.loads(subprocess.run(run, check=True, capture_output=True).stdout)
    tags = found["format"].get("tags", {}) | found["streams"][0].get("tags", {})
    return {key.lower(): value for key, value in tags.items()}, [stream["codec_name"] for stream in found["streams"]]


def cover(path: Path) -> bytes:
    run = [program("ffmpeg"), "-v", "error", "-i", path, "-map", "0:v", "-c", "copy", "-f", "image2pipe", "-"]
    return subprocess.run(run, check=True, capture_output=True).stdout


def tagged(folder: Path, kind: str, *, with_cover: bool = True) -> Path:
    """A recording with words and, where ffmpeg can write one there, a cover."""
    path, picture = folder / f"a.{kind}", folder / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=96x96", "-frames:v", "1", picture)
    covered = with_cover and kind not in ("ogg", "opus")
    more = ["-i", picture, "-map", "0:a", "-map", "1:v", "-c:v", "copy", "-disposition:v", "attached_pic"]
    words = [part for key, value in WORDS.items() for part in ("-metadata", f"{key}={value}")]
    codec = {"ogg": "libvorbis", "opus": "libopus", "m4a": "aac", "mp3": "libmp3lame", "flac": "flac"}[kind]
    ffmpeg("-i", speechlike(folder, 2), *(more if covered else []), "-c:a", codec, *words, path)
    return path


def enhanced(path: Path, name: str) -> Path:
    assert main(["enhance", str(path), "-o", str(path.parent / name), "--strength", "0"]) == 0
    return path.parent / name


@pytest.mark.parametrize("kind", ["mp3", "flac", "ogg", "opus", "m4a"])
def test_words_and_cover_survive(tmp_path: Path, kind: str) -> None:
    if kind == "m4a":
        pytest.importorskip("av")
    path = tagged(tmp_path, kind)
    out = enhanced(path, f"b.{kind}")
    found = probe(out)[0]
    assert WORDS.items() <= found.items()
    if kind not in ("ogg", "opus"):
        assert cover(out) == cover(path)
    assert likeness(decoded(out), decoded(path)) > 0.98


@pytest.mark.parametrize("old", ["mp3", "flac", "opus"])
@pytest.mark.parametrize("new", ["mp3", "flac", "ogg", "opus"])
def test_words_and_cover_pass_into_other_formats(tmp_path: Path, old: str, new: str) -> None:
    path = tagged(tmp_path, old)
    out = enhanced(path, f"b.{new}")
    assert WORDS.items() <= probe(out)[0].items()
    if old != "opus":
        assert cover(out) == cover(path)
    assert audio.read(out).samples.shape == audio.read(path).samples.shape


def test_a_cover_larger_than_a_page_passes_through_opus_whole(tmp_path: Path) -> None:
    path = tagged(tmp_path, "flac")
    ffmpeg("-f", "lavfi", "-i", "nullsrc=s=400x400,geq=random(1)*255:128:128", "-frames:v", "1", tmp_path / "big.png")
    more = ["-map", "0:a", "-map", "1:v", "-c", "copy", "-disposition:v", "attached_pic"]
    ffmpeg("-i", path, "-i", tmp_path / "big.png", *more, tmp_path / "big.flac")
    once = enhanced(tmp_path / "big.flac", "b.opus")
    assert cover(enhanced(once, "c.opus")) == (tmp_path / "big.png").read_bytes()


@pytest.mark.parametrize("kbps", [64, 96, 128, 192, 256, 320])
@pytest.mark.parametrize("header", [True, False])
def test_an_mp3_keeps_its_bitrate(tmp_path: Path, kbps: int, header: bool) -> None:
    path = lame(tmp_path, "a.mp3", "-b", str(kbps), *(() if header else ("-t",)))
    with open(enhanced(path, "b.mp3"), "rb") as stream:
        found = audio.mpeg.layout(stream)
    assert set(found.kbps) == {kbps}


def test_an_mp3_of_varying_bitrate_keeps_its_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wave = rng.standard_normal((1, 44_100 * 4)) * np.linspace(0, 0.2, 44_100 * 4)
    audio.write(tmp_path / "in.wav", wave.astype(np.float32), 44_100)
    lame_run = [program("lame"), "--quiet", "-V", "3", tmp_path / "in.wav", tmp_path / "a.mp3"]
    subprocess.run(lame_run, check=True, capture_output=True)
    means = []
    for path in (tmp_path / "a.mp3", enhanced(tmp_path / "a.mp3", "b.mp3")):
        with path.open("rb") as stream:
            means.append(audio.mpeg.layout(stream).mean_kbps)
    assert means[1] == pytest.approx(means[0], rel=0.15)
