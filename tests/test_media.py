"""Videos and the recordings of phones: made by ffmpeg, enhanced, and looked at with ffmpeg again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from frcrn import audio
from frcrn.audio import AudioError, normalising
from frcrn.cli import main
from frcrn.inference.paths import plan
from tests.test_foreign_audio import RATE, decoded, ffmpeg, likeness, program, speechlike

pytest.importorskip("av")

SOUNDS = {"m4a": ("-c:a", "aac"), "wma": ("-c:a", "wmav2"), "mka": ("-c:a", "libopus"), "aac": ("-c:a", "aac")}
FILMS = {
    "mp4": ("-c:v", "mpeg4", "-c:a", "aac"),
    "mov": ("-c:v", "mpeg4", "-c:a", "pcm_s16le"),
    "mkv": ("-c:v", "mpeg4", "-c:a", "libopus"),
    "webm": ("-c:v", "libvpx", "-c:a", "libopus"),
    "ts": ("-c:v", "mpeg2video", "-c:a", "aac"),
    "mts": ("-f", "mpegts", "-c:v", "mpeg2video", "-c:a", "ac3"),
    "flv": ("-c:v", "flv1", "-c:a", "aac"),
    "mpg": ("-c:v", "mpeg2video", "-c:a", "mp2"),
}


UNTRIMMED = ("ts", "mts", "flv", "mpg")


def lead(path: Path) -> float:
    """How many seconds after the picture the sound begins."""
    starts = {stream["codec_type"]: float(stream["start_time"]) for stream in probe(path)["streams"]}
    return starts["audio"] - starts["video"]


def film(folder: Path, kind: str, *more: str) -> Path:
    picture = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=3")
    path = folder / f"talk.{kind}"
    ffmpeg(*picture, "-i", speechlike(folder, 3), *more, *FILMS[kind], "-metadata", "title=Talk", path)
    return path


def picture(path: Path) -> str:
    """A hash of the coded pictures."""
    run = [program("ffmpeg"), "-v", "error", "-i", path, "-map", "0:v", "-c", "copy", "-f", "md5", "-"]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout


def probe(path: Path) -> dict:
    run = [program("ffprobe"), "-v", "error", "-show_format", "-show_streams", "-of", "json", path]
    return json.loads(subprocess.run(run, check=True, capture_output=True).stdout)


@pytest.mark.parametrize("kind", SOUNDS)
def test_what_phones_record_is_read_as_ffmpeg_reads_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    ffmpeg("-i", speechlike(tmp_path, 3), *SOUNDS[kind], path)
    ours, theirs = audio.read(path), decoded(path)
    assert ours.rate == RATE
    assert abs(ours.samples.shape[1] - theirs.shape[1]) < 3000
    assert likeness(ours.samples, theirs) > 0.999


@pytest.mark.parametrize("kind", FILMS)
def test_a_video_keeps_its_picture_and_its_time(tmp_path: Path, kind: str) -> None:
    path, out = film(tmp_path, kind), tmp_path / f"clean.{kind}"
    assert main(["enhance", str(path), "-o", str(out), "--strength", "0"]) == 0
    assert picture(out) == picture(path)
    assert probe(out)["format"].get("tags", {}).get("title", "Talk") == "Talk"
    before, after = decoded(path), decoded(out)
    assert abs(before.shape[1] - after.shape[1]) < 2600
    # containers that do not say how much an encoder puts before the beginning let the sound begin earlier, to the ms
    early = round(RATE * (lead(path) - lead(out))) if kind in UNTRIMMED else 0
    places = range(max(0, early - 60), early + 60) if early else (0,)
    found = max(likeness(before[:, :100_000], after[:, place : place + 100_000]) for place in places)
    assert found > 0.99  # not a sample later


@pytest.mark.parametrize("track", [1, 2])
def test_one_of_several_audio_tracks_is_chosen(tmp_path: Path, track: int) -> None:
    other = speechlike(tmp_path, 2, name="other.wav")
    path = film(tmp_path, "mp4", "-i", str(other), "-map", "0:v", "-map", "1:a", "-map", "2:a")
    out = tmp_path / "clean.wav"
    assert main(["enhance", str(path), "-o", str(out), "--track", str(track)]) == 0
    assert audio.read(out).samples.shape[1] / RATE == pytest.approx(3 if track == 1 else 2, abs=0.1)


def test_tracks_stay_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    both = ("-map", 0, "-map", 1, "-c:a", "aac", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=fra")
    ffmpeg("-i", speechlike(tmp_path, 2), "-i", speechlike(tmp_path, 2, name="b.wav"), *both, path)
    assert main(["enhance", str(path), "-o", str(tmp_path / "out.mkv"), "--track", "2"]) == 0
    tags = [[stream["tags"]["language"] for stream in probe(file)["streams"]] for file in (path, tmp_path / "out.mkv")]
    assert tags == [["eng", "fra"]] * 2


@pytest.mark.parametrize("codec", ["ac3", "aac", "flac"])
def test_channels_keep_their_places(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "four.mkv"
    four = ("-filter:a", "aformat=channel_layouts=quad", "-c:a", codec)
    ffmpeg("-i", speechlike(tmp_path, 1), *four, path)
    assert main(["enhance", str(path), "-o", str(tmp_path / "out.mkv"), "--strength", "0"]) == 0
    before, after = (probe(file)["streams"][0]["channel_layout"] for file in (path, tmp_path / "out.mkv"))
    assert before == after and before.startswith("quad")


def test_places_of_channels_without_a_name_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "six.mp4"
    six = ("-filter:a", "aformat=channel_layouts=5.1(side)", "-c:a", "aac")
    ffmpeg("-i", speechlike(tmp_path, 1), *six, path)
    for source, target in ((path, tmp_path / "one.mp4"), (tmp_path / "one.mp4", tmp_path / "two.mp4")):
        assert main(["enhance", str(source), "-o", str(target), "--strength", "0"]) == 0
    assert probe(tmp_path / "two.mp4")["streams"][0]["channels"] == 6


def test_a_track_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = film(tmp_path, "mp4")
    for number in ("2", "0", "-1"):
        assert main(["enhance", str(path), "-o", str(tmp_path / "x.mp4"), "--track", number]) == 2
        assert f"track {number}: the file has 1 audio tracks" in capsys.readouterr().err


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:d=1", "-c:v", "mpeg4", tmp_path / "a.mp4")
    with pytest.raises(AudioError, match="no sound"):
        audio.read(tmp_path / "a.mp4")


def test_a_cut_video_says_so(tmp_path: Path) -> None:
    content = film(tmp_path, "mp4").read_bytes()
    with pytest.raises(AudioError, match="damaged or truncated"):
        audio.read(content[: len(content) // 2])


def test_an_m4a_keeps_bitrate_and_tags(tmp_path: Path) -> None:
    path, out = tmp_path / "a.m4a", tmp_path / "b.m4a"
    ffmpeg("-i", speechlike(tmp_path, 3), "-b:a", "160k", "-metadata", "artist=A", path)
    assert main(["enhance", str(path), "-o", str(out), "--strength", "0"]) == 0
    assert probe(out)["format"]["tags"]["artist"] == "A"
    before, after = (float(probe(place)["streams"][0]["bit_rate"]) for place in (path, out))
    assert after == pytest.approx(before, rel=0.1)


def test_folders_take_such_files(tmp_path: Path) -> None:
    for kind in ("mp4", "ts", "flv", "mpg"):
        film(tmp_path, kind)
    names = {job.source.name for job in plan([tmp_path], tmp_path / "out")}
    assert names == {"talk.mp4", "talk.ts", "talk.flv", "talk.mpg", "in.wav"}


@pytest.mark.parametrize("kind", ["mp4", "mov"])
def test_a_player_need_not_have_all_of_a_video_to_begin(tmp_path: Path, kind: str) -> None:
    path, out = film(tmp_path, kind), tmp_path / f"clean.{kind}"
    assert main(["enhance", str(path), "-o", str(out), "--strength", "0"]) == 0
    content = out.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


@pytest.mark.parametrize("kind", ["m4a", "mp4", "mov", "mkv", "aac"])
def test_what_is_recorded_is_kept_where_the_disk_is_full(tmp_path: Path, kind: str) -> None:
    resource = pytest.importorskip("resource")
    path, limits = tmp_path / f"x.{kind}", resource.getrlimit(resource.RLIMIT_FSIZE)
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (1, RATE)).astype(np.float32)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with (
            pytest.raises(AudioError, match=r"cannot be written: .*; what came before is kept$"),
            audio.writer(path, RATE, 1, keep=True) as append,
        ):
            for _ in range(10):
                append(wave)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with audio.Reader(path, repair=True) as reader:
        assert reader.read(3 * reader.rate).shape == (1, 3 * reader.rate)
    with audio.writer(path, RATE, 1, keep=True) as append:
        append(wave)
    assert 1 <= float(probe(path)["format"]["duration"]) < 1.2


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path, "mp4")
    monkeypatch.setattr("frcrn.audio.reading.media_installed", lambda: False)
    with pytest.raises(AudioError, match=r'MPEG-4.*pip install "frcrn\[media\]"'):
        audio.read(path)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioError, match=r'pip install "frcrn\[media\]"'):
        audio.write(tmp_path / "x.m4a", np.zeros((1, 9), np.float32), RATE)


@pytest.mark.parametrize("lufs", [-30, -23, -16])
@pytest.mark.parametrize("channels", [1, 2])
def test_normalising_gives_the_loudness_that_ffmpeg_measures(tmp_path: Path, lufs: float, channels: int) -> None:
    out = tmp_path / "out.wav"
    wave = audio.read(speechlike(tmp_path, 4)).samples
    audio.write(tmp_path / "in.wav", np.repeat(wave, channels, axis=0), RATE)
    arguments = ["--strength", "0", "--normalise", str(lufs)]
    assert main(["enhance", str(tmp_path / "in.wav"), "-o", str(out), *arguments]) == 0
    measure = [program("ffmpeg"), "-i", out, "-af", "ebur128", "-f", "null", "-"]
    said = subprocess.run(measure, check=True, capture_output=True, text=True).stderr
    found = float(said.rpartition("I:")[2].split()[0])
    assert found == pytest.approx(lufs, abs=0.3)


@pytest.mark.parametrize("seconds", [0.5, 0.8, 1, 1.5, 2, 5])
def test_short_sounds_are_as_loud_as_ffmpeg_measures(seconds: float, tmp_path: Path) -> None:
    time = np.arange(round(seconds * RATE)) / RATE
    sound = (0.1 * np.sin(6000 * time) * (1.2 + np.sin(15 * time))).astype(np.float32)
    out = tmp_path / "out.wav"
    audio.write(out, np.concatenate(list(normalising.normalised([sound[None]], -23, RATE, 1)), axis=1), RATE)
    measure = [program("ffmpeg"), "-i", out, "-af", "ebur128", "-f", "null", "-"]
    said = subprocess.run(measure, check=True, capture_output=True, text=True).stderr
    assert float(said.rpartition("I:")[2].split()[0]) == pytest.approx(-23, abs=0.15)


@pytest.mark.parametrize("milliseconds", [1, 100, 399, 400])
def test_the_shortest_sounds_are_as_loud_as_if_they_went_on(milliseconds: int) -> None:
    tone = (0.1 * np.sin(2 * np.pi * 1000 / RATE * np.arange(RATE))).astype(np.float32)[None]
    long = normalising.integrated([tone], RATE, 1)
    blocks = np.array_split(tone[:, : RATE * milliseconds // 1000], 3, axis=1)
    assert normalising.integrated(blocks, RATE, 1) == pytest.approx(long, abs=0.2)


SIDE = 10**0.15  # of a channel at the side or behind, by BS.1770; the one for low notes does not count


@pytest.mark.parametrize(
    ("channels", "weights"),
    [
        (2, 2),
        (3, 3),
        (4, 3 + SIDE),
        (5, 3 + 2 * SIDE),
        (6, 3 + 2 * SIDE),
        (8, 3 + 4 * SIDE),
        (9, 9),
        (17, 17),
        (64, 64),
    ],
)
def test_any_number_of_channels_has_a_loudness(channels: int, weights: float) -> None:
    sound = 0.01 * np.random.default_rng(0).standard_normal((channels, RATE)).astype(np.float32)
    alone = normalising.integrated([sound[:1]], RATE, 1)
    assert normalising.integrated([sound], RATE, channels) == pytest.approx(alone + 10 * np.log10(weights), abs=0.1)


@pytest.mark.parametrize("rate", [1000, 2000, 8000, 11025, 16000, 44100, 96000])
@pytest.mark.parametrize("seconds", [0.01, 0.2, 0.4, 0.45, 1.0])
def test_a_tone_is_as_loud_at_every_rate_and_length(rate: int, seconds: float) -> None:
    tone = 0.1 * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate)) / rate).astype(np.float32)
    assert normalising.integrated([tone[None]], rate, 1) == pytest.approx(-23.8, abs=0.4)


def test_a_sound_of_a_sample_or_none_has_a_loudness() -> None:
    assert normalising.integrated([np.ones((1, 1), np.float32)], RATE, 1) <= 3
    assert normalising.integrated([np.zeros((2, 0), np.float32)], RATE, 2) == -70
    assert normalising.integrated([], RATE, 1) == -70


def test_normalising_clips_nothing_and_leaves_silence(tmp_path: Path) -> None:
    for scale in (0.0, 1.0):
        audio.write(tmp_path / "in.wav", scale * audio.read(speechlike(tmp_path, 2, name="x.wav")).samples, RATE)
        out = tmp_path / "out.wav"
        assert main(["enhance", str(tmp_path / "in.wav"), "-o", str(out), "--strength", "0", "--normalise", "-1"]) == 0
        assert np.abs(audio.read(out).samples).max() < 1


def test_without_the_extra_a_folder_names_what_it_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path, "mp4")
    monkeypatch.setattr("frcrn.audio.reading.media_installed", lambda: False)
    assert main(["enhance", str(tmp_path), "-o", str(tmp_path / "out"), "--dry-run"]) == 2
    assert main(["enhance", str(tmp_path), "-o", str(tmp_path / "out"), "--jobs", "1"]) == 2
    assert (tmp_path / "out/in.wav").is_file()
    (line,) = (tmp_path / "out/failures.csv").read_text().splitlines()[1:]
    assert "talk.mp4" in line and "frcrn[media]" in line


def test_vorbis_in_a_video_becomes_what_can_be_written(tmp_path: Path) -> None:
    ffmpeg("-i", film(tmp_path, "mkv"), "-c:v", "copy", "-c:a", "libvorbis", tmp_path / "v.mkv")
    assert main(["enhance", str(tmp_path / "v.mkv"), "-o", str(tmp_path / "out.mkv"), "--strength", "0"]) == 0
    assert likeness(decoded(tmp_path / "v.mkv")[:, :90_000], decoded(tmp_path / "out.mkv")[:, :90_000]) > 0.98


def test_amr_is_written_and_read(tmp_path: Path) -> None:
    out, again = tmp_path / "x.amr", tmp_path / "again.amr"
    assert main(["enhance", str(speechlike(tmp_path, 2)), "-o", str(out)]) == 0
    assert audio.read(out).samples.shape[1] / 8000 == pytest.approx(2, abs=0.05)
    assert likeness(audio.read(out).samples, decoded(out, 8000)) > 0.99
    assert main(["enhance", str(out), "-o", str(again)]) == 0


def test_an_audio_track_in_another_container_keeps_its_tags_as_words(tmp_path: Path) -> None:
    ffmpeg("-i", speechlike(tmp_path, 1), "-metadata", "artist=A", "-c:a", "aac", tmp_path / "a.m4a")
    for name in ("b.flac", "b.mp3", "b.opus"):
        assert main(["enhance", str(tmp_path / "a.m4a"), "-o", str(tmp_path / name)]) == 0
        found = probe(tmp_path / name)
        tags = found["format"].get("tags", {}) | found["streams"][0].get("tags", {})
        assert {key.lower(): value for key, value in tags.items()}["artist"] == "A"
