"""Files that other programs made, as people have them: ffmpeg, lame and sox say what is in them."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import soundfile

from frcrn import audio
from frcrn.audio import AudioError, Reader, Samples, ogg

RATE = 48_000


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs the program {name}")
    return found


def ffmpeg(*arguments: object) -> None:
    subprocess.run([program("ffmpeg"), "-v", "error", "-y", *map(str, arguments)], check=True, capture_output=True)


def decoded(path: Path, rate: int = RATE) -> Samples:
    """What ffmpeg hears in the first audio track: [C, T]."""
    said = ["-map", "0:a:0", "-f", "f32le", "-ar", str(rate), "-"]
    run = subprocess.run([program("ffmpeg"), "-v", "error", "-i", path, *said], check=True, capture_output=True)
    return np.frombuffer(run.stdout, "<f4").reshape(-1, 1).T


def speechlike(folder: Path, seconds: float = 5, rate: int = RATE, name: str = "in.wav") -> Path:
    """A mono wav whose every half second is different, so that no part can stand for another."""
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * (300 * time + 40 * time**2)) * (0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * time))
    audio.write(folder / name, wave.astype(np.float32), rate)
    return folder / name


def likeness(one: Samples, other: Samples) -> float:
    length = min(one.shape[1], other.shape[1])
    return float(np.corrcoef(one[0, :length], other[0, :length])[0, 1])


# Opus whose positions were rounded on the way


def opus_from_mkv(folder: Path) -> Path:
    """Matroska rounds time stamps to milliseconds, and what is encoded from there inherits them."""
    ffmpeg("-i", speechlike(folder, rate=44_100), "-c:a", "mp3", folder / "a.mkv")
    ffmpeg("-i", folder / "a.mkv", "-c:a", "libopus", folder / "a.opus")
    return folder / "a.opus"


def opus_cut_from_webm(folder: Path) -> Path:
    ffmpeg("-i", speechlike(folder), "-c:a", "libopus", folder / "a.webm")
    ffmpeg("-ss", "0.513", "-i", folder / "a.webm", "-c", "copy", folder / "a.opus")
    return folder / "a.opus"


def opus_of_shaken_clock(folder: Path) -> Path:
    shaken = "asetpts=PTS+(random(0)-0.5)*200"
    ffmpeg("-i", speechlike(folder), "-af", shaken, "-c:a", "libopus", folder / "a.opus")
    return folder / "a.opus"


@pytest.mark.parametrize("made", [opus_from_mkv, opus_cut_from_webm, opus_of_shaken_clock])
def test_opus_with_rounded_positions_is_read_to_its_end(tmp_path: Path, made) -> None:  # noqa: ANN001
    path = made(tmp_path)
    ours, theirs = audio.read(path).samples, decoded(path)
    assert abs(ours.shape[1] - theirs.shape[1]) < 0.025 * RATE  # ffmpeg too may lose a packet where positions disagree
    assert likeness(ours, theirs) > 0.99


def shaken(content: Path, by: dict[int, int]) -> bytes:
    """The same Ogg file, the positions of some pages moved."""
    with content.open("rb") as stream:
        pages = list(ogg.pages(stream))
    return b"".join(page._replace(position=page.position + by.get(page.number, 0)).encoded() for page in pages)


@pytest.mark.parametrize("by", [{2: -24}, {3: -48}, {3: 48}, {2: 489, 3: 0}, {2: -72, 3: 30, 4: -11}])
def test_positions_that_disagree_with_the_packets_change_nothing(tmp_path: Path, by: dict[int, int]) -> None:
    path = tmp_path / "a.opus"
    audio.write(path, audio.read(speechlike(tmp_path)).samples, RATE)
    assert shaken(path, {}) == path.read_bytes()
    np.testing.assert_array_equal(audio.read(shaken(path, by)).samples, audio.read(path).samples)


def test_a_missing_page_is_not_taken_for_a_shaken_clock(tmp_path: Path) -> None:
    path = tmp_path / "a.opus"
    audio.write(path, audio.read(speechlike(tmp_path)).samples, RATE)
    with path.open("rb") as stream:
        pages = [page for page in ogg.pages(stream) if page.number != 3]
        assert ogg.steadied(stream) is None
    with pytest.raises(AudioError, match="truncated"):
        audio.read(b"".join(page.encoded() for page in pages))


# MP3 as it is


def lame(folder: Path, name: str, *options: str, seconds: float = 5, rate: int = 44_100) -> Path:
    source = speechlike(folder, seconds, rate, f"{name}.wav")
    subprocess.run([program("lame"), "--quiet", *options, source, folder / name], check=True, capture_output=True)
    return folder / name


def with_info(content: bytes, **fields: int) -> bytes:
    """The same MP3 file with other numbers of frames or bytes in its Xing header."""
    place = max(content.find(b"Xing"), content.find(b"Info"))
    changed = bytearray(content)
    for name, value in fields.items():
        at = place + {"frames": 8, "size": 12}[name]
        changed[at : at + 4] = value.to_bytes(4, "big")
    return bytes(changed)


@pytest.mark.parametrize(
    "options", [("-b", "128"), ("-b", "320"), ("-V", "2"), ("--abr", "90"), ("-b", "64", "-m", "m")]
)
@pytest.mark.parametrize("header", [True, False])
def test_an_mp3_is_read_to_its_end_with_and_without_a_xing_header(
    tmp_path: Path, options: tuple[str, ...], header: bool
) -> None:
    path = lame(tmp_path, "a.mp3", *(() if header else ("-t",)), *options)
    ours, theirs = audio.read(path).samples, decoded(path, 44_100)
    # without the header nobody knows what the encoder put before and after
    assert ours.shape[1] == 5 * 44_100 if header else abs(ours.shape[1] - theirs.shape[1]) < 1152
    theirs = theirs[:, 529 * (not header) :][:, : ours.shape[1]]
    np.testing.assert_allclose(ours[:, : theirs.shape[1]], theirs, atol=1e-4)  # at seams of blocks too


@pytest.mark.parametrize("before_the_end", [4, 7, 8, 12, 15])
def test_an_mp3_whose_first_frame_ends_in_a_second_header_is_read(tmp_path: Path, before_the_end: int) -> None:
    content = bytearray(lame(tmp_path, "a.mp3", "-b", "128").read_bytes())
    found = audio.mpeg.layout(io.BytesIO(content))
    assert found is not None and found.info
    at = found.stretches[0][0] - before_the_end
    content[at : at + 4] = b"Xing"
    assert audio.read(bytes(content)).samples.shape[1] > 4.9 * 44_100


@pytest.mark.parametrize("fields", [{"frames": 40}, {"frames": 900}, {"size": 5000}, {"frames": 900, "size": 10**6}])
def test_a_wrong_xing_header_changes_nothing(
    tmp_path: Path, fields: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    content = lame(tmp_path, "a.mp3", "-b", "128").read_bytes()
    np.testing.assert_array_equal(audio.read(with_info(content, **fields)).samples, audio.read(content).samples)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("options", [("-b", "128"), ("-V", "2", "-t"), ("-V", "2", "--add-id3v2", "--tt", "title")])
def test_joined_mp3_files_give_both_halves(tmp_path: Path, options: tuple[str, ...]) -> None:
    one, two = lame(tmp_path, "a.mp3", *options, seconds=4), lame(tmp_path, "b.mp3", *options, seconds=3)
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    ours = audio.read(joined).samples
    assert 7 * 44_100 <= ours.shape[1] < 7 * 44_100 + 5 * 1152
    for half, start in ((one, 0), (two, 4 * 44_100)):
        probe = audio.read(half).samples[:, 44_100 : 2 * 44_100]
        found = ours[:, start + 43_000 : start + 2 * 44_100 + 5000]
        place = max(range(5000), key=lambda place: likeness(found[:, place : place + 2000], probe[:, :2000]))
        assert likeness(found[:, place:], probe) > 0.99


@pytest.mark.parametrize(("rate", "channels"), [(32_000, 1), (44_100, 2)])
def test_joined_mp3_files_of_different_kinds_are_refused_as_no_half_may_be_lost(
    tmp_path: Path, rate: int, channels: int
) -> None:
    audio.write(tmp_path / "a.mp3", np.zeros((1, 44_100), np.float32), 44_100)
    audio.write(tmp_path / "b.mp3", np.zeros((channels, 44_100), np.float32), rate)
    content = (tmp_path / "a.mp3").read_bytes() + (tmp_path / "b.mp3").read_bytes()
    with pytest.raises(AudioError, match=f"begins at 44100 Hz with 1 channel and goes on at {rate} Hz with {channels}"):
        audio.read(content)
    assert audio.read(content, repair=True).samples.shape == (1, 44_100)


@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.oga"])
def test_recordings_one_after_the_other_in_an_ogg_file_are_all_read(tmp_path: Path, name: str) -> None:
    codec = {".ogg": "libvorbis", ".opus": "libopus", ".oga": "flac"}[Path(name).suffix]
    parts = []
    for number, seconds in enumerate((1, 2, 0.5)):
        parts.append(tmp_path / f"{number}{name}")
        ffmpeg("-i", speechlike(tmp_path, seconds), "-c:a", codec, "-f", "ogg", "-serial_offset", number, parts[-1])
    content = b"".join(part.read_bytes() for part in parts)
    expected = np.concatenate([audio.read(part).samples for part in parts], axis=1)
    np.testing.assert_array_equal(audio.read(content).samples, expected)
    np.testing.assert_array_equal(np.concatenate(list(audio.blocks(content, 1000)), axis=1), expected)
    with pytest.raises(AudioError, match="truncated"):
        audio.read(content[:-100])
    assert audio.read(content[:-100], repair=True).samples.shape[1] > 2.9 * RATE


@pytest.fixture
def one(tmp_path: Path) -> bytes:
    """An Ogg file of a second of noise."""
    audio.write(tmp_path / "one.ogg", np.random.default_rng(1).uniform(-0.1, 0.1, RATE).astype(np.float32), RATE)
    return (tmp_path / "one.ogg").read_bytes()


@pytest.mark.parametrize("between", [b"\n", b"OggS\0", bytes(5000)])
def test_what_lies_between_recordings_in_an_ogg_file_hides_none(one: bytes, between: bytes) -> None:
    alone = audio.read(one).samples
    np.testing.assert_array_equal(audio.read(one + between + one).samples, np.concatenate([alone, alone], axis=1))


def test_a_recording_that_is_cut_before_another_one_in_an_ogg_file_is_said_to_be(one: bytes) -> None:
    content = one[: len(one) * 2 // 3] + one
    with pytest.raises(AudioError, match="its last ogg page is missing"):
        audio.read(content)
    assert audio.read(content, repair=True).samples.shape[1] > RATE


def test_what_only_looks_like_pages_is_not_tried_for_ever() -> None:
    page = ogg.Page(ogg.FIRST, 0, 1, 0, b"\x01", b"x").encoded()
    size = len(page)
    assert ogg.spans(io.BytesIO(page + b"between" + page)) == [(0, size), (size + 7, 2 * size + 7)]
    assert ogg.spans(io.BytesIO(page + (ogg.MAGIC + bytes([255]) * 22) * 20_000 + page)) == [(0, size)]


def test_recordings_of_different_kinds_in_an_ogg_file_are_refused(tmp_path: Path) -> None:
    content = b""
    for rate in (48_000, 22_050):
        audio.write(tmp_path / "a.ogg", np.zeros(rate, np.float32), rate)
        content += (tmp_path / "a.ogg").read_bytes()
    with pytest.raises(AudioError, match="begins at 48000 Hz with 1 channel and goes on at 22050 Hz"):
        audio.read(content)
    assert audio.read(content, repair=True).samples.shape[1] > 48_000 - audio.reading.SALVAGE


def test_more_recordings_in_an_ogg_file_than_anyone_has_are_refused(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.opus", np.zeros((1, 10), np.float32), 48_000)
    with pytest.raises(AudioError, match="found 10001 recordings; accepted are up to 10000"):
        audio.read((tmp_path / "a.opus").read_bytes() * 10_001)


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au"])
def test_a_file_whose_count_of_bytes_began_again_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    audio.write(path, np.zeros((1, 478), np.float32), 16_000)
    assert audio.read(path).samples.shape[1] == 478
    size = path.stat().st_size + 2**32
    os.truncate(path, size)
    with pytest.raises(AudioError, match=f"counts to 4 GB, of {size} bytes"):
        audio.Reader(path)
    with audio.Reader(path, repair=True) as reader:
        assert reader.seconds == 478 / 16_000


def test_an_mp3_is_called_truncated_only_where_it_is(tmp_path: Path) -> None:
    for options in (("-b", "128"), ("-V", "2", "-t")):
        content = lame(tmp_path, "a.mp3", *options).read_bytes()
        with pytest.raises(AudioError, match="truncated: its last frame ends 100 bytes later"):
            audio.read(content[:-100])
        assert audio.read(content + b"TAG" + bytes(125)).samples.shape == audio.read(content).samples.shape


@pytest.mark.parametrize("options", [("-ar", "22050"), ("-ac", "2")])
def test_a_video_whose_sound_changes_is_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    pytest.importorskip("av")
    content = b""
    for more in ((), options):
        ffmpeg("-i", speechlike(tmp_path, 1), *more, "-c:a", "aac", tmp_path / "a.aac")
        content += (tmp_path / "a.aac").read_bytes()
    with pytest.raises(AudioError, match="begins at 48000 Hz with 1 channel and goes on at"):
        audio.read(content)


def test_a_small_file_is_not_read_into_all_memory(tmp_path: Path) -> None:
    """Frames of FLAC that say that all of 65,535 samples in 8 channels are one."""
    soundfile.write(tmp_path / "a.flac", np.zeros((480_000, 8), np.int16), RATE)
    assert audio.read(tmp_path / "a.flac").samples.shape == (8, 480_000)
    packed = tmp_path / "packed.flac"
    packed.write_bytes(constant_flac(frames=200))
    with Reader(packed) as reader:
        assert reader.seconds == pytest.approx(200 * 65_535 / RATE)
    with pytest.raises(AudioError, match="more than 67108864 samples in .* bytes"):
        audio.read(packed)


def constant_flac(frames: int, block: int = 65_535, channels: int = 8) -> bytes:
    """A FLAC file of silence, 47 bytes for each block."""
    counts = RATE << 44 | channels - 1 << 41 | 15 << 36 | frames * block
    head = b"fLaC\x80\0\0\x22" + 2 * block.to_bytes(2, "big") + bytes(6) + counts.to_bytes(8, "big") + bytes(16)
    content = [head]
    for number in range(frames):
        place = bytes([number]) if number < 128 else bytes([0xC0 | number >> 6, 0x80 | number & 63])
        start = b"\xff\xf8\x70" + bytes([channels - 1 << 4 | 8]) + place + (block - 1).to_bytes(2, "big")
        frame = start + bytes([crc(start, 0x07, 8)]) + channels * bytes(3)
        content += [frame, crc(frame, 0x8005, 16).to_bytes(2, "big")]
    return b"".join(content)


def crc(data: bytes, polynomial: int, bits: int) -> int:
    """The rest of a division of polynomials, bit by bit."""
    rest = 0
    for byte in data:
        rest ^= byte << bits - 8
        for _ in range(8):
            rest = (rest << 1 ^ polynomial * (rest >> bits - 1)) & (1 << bits) - 1
    return rest


@pytest.mark.parametrize("count", [0xFFFFFFFF, 0x7FFFF000, 0])
def test_a_wav_of_unknown_length_that_is_longer_than_any_count_is_refused(tmp_path: Path, count: int) -> None:
    path, sizes = tmp_path / "a.wav", count.to_bytes(4, "little")
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    path.write_bytes(b"RIFF" + sizes + b"WAVE" + form + b"data" + sizes)
    os.truncate(path, 6_000_000_044)
    with pytest.raises(AudioError, match="counts to 4 GB, of 6000000044 bytes"):
        audio.Reader(path)


def test_a_wav_that_is_written_ends_before_its_count_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frcrn.audio.writing._MOST_COUNTED", 300_000)
    for name, length in (("a.wav", 3 * RATE), ("a.w64", 5 * RATE)):
        ends = pytest.raises(AudioError, match="a WAV file ends at 4 GB; .*; what came before is kept")
        with ends if name == "a.wav" else nullcontext(), audio.writer(tmp_path / name, RATE, 1, keep=True) as append:
            for _ in range(5):
                append(np.zeros((1, RATE), np.float32))
        assert length <= audio.read(tmp_path / name).samples.shape[1] <= 4 * length // 3
