from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from frcrn import audio
from frcrn.audio import AudioError, AudioFormat, Samples
from frcrn.audio.formats import CONTAINERS, holding, kind_of

RNG = np.random.default_rng(0)

# name, sample format, and the largest error that storing one sample may make
EXACT = [
    ("x.wav", "PCM_U8", 2**-7),
    ("x.wav", "PCM_16", 2**-15),
    ("x.wav", "PCM_24", 2**-23),
    ("x.wav", "PCM_32", 2**-24),
    ("x.wav", "FLOAT", 0),
    ("x.wav", "DOUBLE", 0),
    ("x.flac", "PCM_S8", 2**-7),
    ("x.flac", "PCM_16", 2**-15),
    ("x.flac", "PCM_24", 2**-23),
    ("x.aiff", "PCM_16", 2**-15),
    ("x.caf", "PCM_24", 2**-23),
    ("x.w64", "PCM_16", 2**-15),
    ("x.rf64", "PCM_16", 2**-15),
    ("x.au", "FLOAT", 0),
]
LOSSY = [("x.ogg", "VORBIS"), ("x.opus", "OPUS"), ("x.mp3", "MPEG_LAYER_III")]


def noise(channels: int = 2, length: int = 24000, peak: float = 0.5) -> Samples:
    return RNG.uniform(-peak, peak, (channels, length)).astype(np.float32)


def tone(length: int = 48000, rate: int = 48000, hertz: float = 440) -> Samples:
    return (0.4 * np.sin(2 * np.pi * hertz * np.arange(length) / rate)).astype(np.float32)[None]


def stored(name: str, samples: Samples, rate: int = 48000) -> bytes:
    """The bytes of a file with that extension."""
    form = audio.format_for(name)
    sink = io.BytesIO()
    soundfile.write(sink, samples.T, rate, format=form.container, subtype=form.subtype)
    return sink.getvalue()


def container(name: str) -> str:
    return CONTAINERS[Path(name).suffix][0]


@pytest.mark.parametrize(("name", "subtype", "error"), EXACT)
def test_what_is_written_is_read_back(tmp_path: Path, name: str, subtype: str, error: float) -> None:
    form, samples = AudioFormat(container(name), subtype), noise()
    audio.write(tmp_path / name, samples, 44100, form)
    back = audio.read(tmp_path / name)
    assert (back.rate, back.format) == (44100, form)
    assert_allclose(back.samples, samples, rtol=0, atol=error / 2 + 1e-12)


@pytest.mark.parametrize(("name", "subtype", "error"), EXACT)
def test_writing_what_was_read_changes_nothing(tmp_path: Path, name: str, subtype: str, error: float) -> None:
    form = AudioFormat(container(name), subtype)
    audio.write(tmp_path / name, noise(), 8000, form)
    once = audio.read(tmp_path / name)
    audio.write(tmp_path / name, *once)
    assert_array_equal(audio.read(tmp_path / name).samples, once.samples)


@pytest.mark.parametrize(("name", "subtype"), LOSSY)
@pytest.mark.parametrize("length", [1, 100, 48001])
def test_lossy_formats_keep_length_and_place(tmp_path: Path, name: str, subtype: str, length: int) -> None:
    burst = tone(length) * np.hanning(length + 2)[1:-1].astype(np.float32)
    audio.write(tmp_path / name, burst, 48000, AudioFormat(container(name), subtype))
    back = audio.read(tmp_path / name)
    assert back.samples.shape == (1, length)
    if length > 10_000:
        lag = np.argmax(np.correlate(back.samples[0], burst[0, 200:-200], "valid")) - 200
        assert lag == 0


@pytest.mark.parametrize("name", ["x.wav", "x.flac"])
def test_integers_are_rounded_to_the_nearest_and_clipped(tmp_path: Path, name: str) -> None:
    samples = np.array([[0.6, 1.4, -0.6, -1.6, 40_000, -40_000, 32768]], np.float32) / 32768
    audio.write(tmp_path / name, samples, 8000, AudioFormat(container(name), "PCM_16"))
    expected = np.array([[1, 1, -1, -2, 32767, -32768, 32767]]) / 32768
    assert_array_equal(audio.read(tmp_path / name).samples, expected)


def test_floats_keep_what_is_beyond_full_scale(tmp_path: Path) -> None:
    audio.write(tmp_path / "x.wav", np.array([2.5, -3.5], np.float32), 8000, AudioFormat("WAV", "FLOAT"))
    assert_array_equal(audio.read(tmp_path / "x.wav").samples, [[2.5, -3.5]])


def test_paths_bytes_and_file_objects_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    audio.write(path, noise(), 16000)
    content = path.read_bytes()
    expected = audio.read(path).samples
    with open(path, "rb") as stream:
        for source in (str(path), content, bytearray(content), memoryview(content), io.BytesIO(content), stream):
            assert_array_equal(audio.read(source).samples, expected)
        assert not stream.closed


def test_a_pipe_reads_like_a_file(tmp_path: Path) -> None:
    content = stored("x.flac", noise())
    os.mkfifo(tmp_path / "pipe")
    thread = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    thread.start()
    samples = audio.read(tmp_path / "pipe").samples
    thread.join()
    assert_array_equal(samples, audio.read(content).samples)


@given(st.integers(1, 3), st.integers(1, 3000), st.integers(1, 700))
def test_blocks_together_are_the_whole(channels: int, length: int, size: int) -> None:
    content = stored("x.wav", noise(channels, length))
    blocks = list(audio.blocks(content, size))
    assert all(block.shape[1] == size for block in blocks[:-1])
    assert_array_equal(np.concatenate(blocks, axis=1), audio.read(content).samples)


def test_a_writer_takes_blocks_of_any_size(tmp_path: Path) -> None:
    samples = noise(2, 200_000)
    with audio.writer(tmp_path / "x.flac", 48000, 2) as append:
        for part in np.split(samples, [0, 1, 70_000, 70_000, 199_999], axis=1):
            append(part)
    assert_allclose(audio.read(tmp_path / "x.flac").samples, samples, atol=2**-16)


# what is wrong with the input


@pytest.mark.parametrize("name", [*sorted(CONTAINERS)])
@pytest.mark.parametrize("part", [0, 0.02, 0.5])
def test_a_truncated_file_says_so(name: str, part: float) -> None:
    content = stored(f"x{name}", noise())
    with pytest.raises(AudioError, match="empty" if part == 0 else "truncated"):
        audio.read(content[: int(part * len(content))])


@pytest.mark.parametrize("name", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff"])
def test_repair_keeps_what_is_left_of_a_truncated_file(name: str) -> None:
    content = stored(f"x{name}", noise(2, 96_000))
    whole = audio.read(content).samples
    left = audio.read(content[: 3 * len(content) // 4], repair=True).samples
    assert 10_000 < left.shape[1] < 80_000
    assert_allclose(left[:, :9000], whole[:, :9000], atol=1e-6)


def test_a_wav_that_was_written_to_a_pipe_is_whole() -> None:
    content, samples = stored("x.wav", noise(1)), 24000
    for unknown in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f"):
        streamed = content[:4] + unknown + content[8:40] + unknown + content[44:]
        assert audio.read(streamed).samples.shape == (1, samples)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"these are words\n" * 9, "found text"),
        (bytes(3000), "no known audio format"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(99), "MPEG-4"),
        (b"PK\x03\x04" + bytes(99), "zip archive"),
        (b"RIFF\x10\x00\x00\x00WAVE", "damaged or truncated wav"),
    ],
)
def test_what_is_no_audio_is_named(content: bytes, kind: str) -> None:
    with pytest.raises(AudioError, match=f"{kind}.*accepted are wav, flac, ogg, opus, mp3"):
        audio.read(content)


def test_the_name_of_a_file_does_not_make_it_audio(tmp_path: Path) -> None:
    for name in ("x.vox", "x.gsm", "x.raw", "x.mp3", "x.wav"):
        (tmp_path / name).write_bytes(RNG.bytes(5000).replace(b"\xff", b"\x00"))
        with pytest.raises(AudioError, match=f"{name}: found data of no known audio format"):
            audio.read(tmp_path / name)


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "x.mp3").write_bytes(stored("x.flac", noise()))
    assert audio.read(tmp_path / "x.mp3").format.container == "FLAC"


def test_missing_files_and_directories_are_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="nothing.wav: cannot be read: No such file"):
        audio.read(tmp_path / "nothing.wav")
    with pytest.raises(AudioError, match="is a directory; expected an audio file"):
        audio.read(tmp_path)
    with pytest.raises(AudioError, match="no samples"):
        audio.read(stored("x.wav", noise(1, 0)))


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(stored("x.wav", noise()))
    (tmp_path / "x.wav").chmod(0)
    if os.access(tmp_path / "x.wav", os.R_OK):
        pytest.skip("this user may read every file")
    with pytest.raises(AudioError, match="x.wav: cannot be read: Permission denied"):
        audio.read(tmp_path / "x.wav")


def test_what_cannot_be_a_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("words")
    with open(tmp_path / "x.txt") as text, pytest.raises(AudioError, match="opened as text"):
        audio.read(text)  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="found int"):
        audio.read(3)  # type: ignore[arg-type]


@given(st.integers(0, 2999), st.integers(0, 1), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_sample_that_is_no_number_is_named_or_repaired(where: int, channel: int, value: float) -> None:
    samples = noise(2, 3000)
    samples[channel, where] = value
    sink = io.BytesIO()
    soundfile.write(sink, samples.T, 1000, format="WAV", subtype="FLOAT")
    message = rf"sample {where} \({where / 1000:.3f} s\) of channel {channel} is {value}"
    with pytest.raises(AudioError, match=message):
        list(audio.blocks(sink.getvalue(), 700))
    samples[channel, where] = 0
    assert_array_equal(audio.read(sink.getvalue(), repair=True).samples, samples)


@given(st.binary(max_size=300), st.sampled_from(sorted(CONTAINERS)), st.floats(0, 1))
def test_damage_is_an_audio_error_or_finite_samples(junk: bytes, suffix: str, place: float) -> None:
    content = stored(f"x{suffix}", noise(1, 5000))
    start = int(place * len(content))
    damaged = content[:start] + junk + content[start + len(junk) :]
    for repair in (False, True):
        try:
            samples = audio.read(damaged, repair=repair).samples
        except AudioError as error:
            assert "\n" not in str(error)
        else:
            assert np.isfinite(samples).all()


# what is wrong with the output


FULL_DISK = """
import resource, sys, numpy
from frcrn import audio
wave = numpy.random.default_rng(0).uniform(-1, 1, 99_000).astype("float32")
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, resource.RLIM_INFINITY))
for path in sys.argv[1:]:
    try:
        audio.write(path, wave, 48000)
    except audio.AudioError as error:
        print(error)
"""


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk; it needs a process of its own."""
    paths = [tmp_path / f"x.{suffix}" for suffix in ("wav", "flac", "ogg", "mp3")]
    for path in paths:
        path.write_bytes(b"what was there before")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{path}: cannot be written: File too large" for path in paths]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert all(path.read_bytes() == b"what was there before" for path in paths)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_device_is_named() -> None:
    with pytest.raises(AudioError, match="/dev/full: cannot be written: No space left on device"):
        audio.write("/dev/full", noise(), 8000, AudioFormat("WAV", "PCM_16"))


def test_devices_are_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    received: list[bytes] = []
    thread = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_bytes()))
    thread.start()
    audio.write(tmp_path / "pipe", noise(), 8000, AudioFormat("FLAC", "PCM_16"))
    thread.join()
    assert (tmp_path / "pipe").is_fifo()
    assert audio.read(received[0]).samples.shape == (2, 24000)


def test_unwritable_targets_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target, reason in [(tmp_path, "Is a directory"), (tmp_path / "no" / "x.wav", "No such file")]:
        with pytest.raises(AudioError, match=f"{target.name}: cannot be written: {reason}"):
            audio.write(target, noise(), 8000, AudioFormat("WAV", "PCM_16"))
    with pytest.raises(AudioError, match="x.wav: cannot be written: Not a directory"):
        audio.write(tmp_path / "file" / "x.wav", noise(), 8000)


@pytest.mark.parametrize(
    ("name", "rate", "channels", "reason"),
    [
        ("x.mp3", 96000, 1, "96000 Hz: .*sample rates"),
        ("x.mp3", 48000, 3, "3 channels"),
        ("x.opus", 44100, 1, "44100 Hz: .*sample rates"),
        ("x.flac", 48000, 9, "9 channels"),
        ("x.ogg", 48000, 256, "at most 255 channels"),
        ("x.wav", 2**31, 1, "2147483648 Hz"),
        ("x.txt", 8000, 1, "extension .txt does not say"),
        ("x", 8000, 1, "a name without extension"),
    ],
)
def test_what_a_format_cannot_hold_is_named(tmp_path: Path, name: str, rate: int, channels: int, reason: str) -> None:
    with pytest.raises(AudioError, match=reason):
        audio.write(tmp_path / name, noise(channels, 10), rate)
    assert not list(tmp_path.iterdir())


def test_a_failure_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    audio.write(tmp_path / "x.wav", noise(), 8000)
    before = (tmp_path / "x.wav").read_bytes()
    for trouble in (KeyboardInterrupt, RuntimeError):
        with pytest.raises(trouble), audio.writer(tmp_path / "x.wav", 8000, 2) as append:
            append(noise())
            assert len(list(tmp_path.iterdir())) == 2
            raise trouble
        assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]
        assert (tmp_path / "x.wav").read_bytes() == before


def test_nan_is_never_written(tmp_path: Path) -> None:
    samples = noise(1, 100)
    samples[0, 7] = np.nan
    with pytest.raises(AudioError, match="sample 7 "):
        audio.write(tmp_path / "x.wav", samples, 8000)
    assert not list(tmp_path.iterdir())


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "x.wav").symlink_to(tmp_path / "deep" / "y.wav")
    audio.write(tmp_path / "x.wav", noise(), 8000)
    assert (tmp_path / "x.wav").is_symlink()
    assert (tmp_path / "deep" / "y.wav").is_file()


# formats


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("x.wav", None, ("WAV", "PCM_16")),
        ("x.wav", ("WAVEX", "PCM_24"), ("WAVEX", "PCM_24")),
        ("x.WAV", ("FLAC", "PCM_24"), ("WAV", "PCM_24")),
        ("x.wav", ("FLAC", "PCM_S8"), ("WAV", "PCM_U8")),
        ("x.wav", ("MP3", "MPEG_LAYER_III"), ("WAV", "PCM_16")),
        ("x.flac", ("WAV", "FLOAT"), ("FLAC", "PCM_24")),
        ("x.flac", ("WAV", "PCM_32"), ("FLAC", "PCM_24")),
        ("x.flac", ("WAV", "ULAW"), ("FLAC", "PCM_16")),
        ("x.ogg", ("WAV", "PCM_16"), ("OGG", "VORBIS")),
        ("x.ogg", ("OGG", "OPUS"), ("OGG", "OPUS")),
        ("x.opus", ("OGG", "VORBIS"), ("OGG", "OPUS")),
        ("x.mp3", ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")),
        ("x.mp3", ("MP3", "MPEG_LAYER_II"), ("MP3", "MPEG_LAYER_III")),
    ],
)
def test_the_nearest_format_is_chosen(name: str, source: tuple[str, str] | None, expected: tuple[str, str]) -> None:
    assert audio.format_for(name, AudioFormat(*source) if source else None) == expected


def test_a_wav_beyond_its_counters_becomes_rf64() -> None:
    hours = 48000 * 3600
    assert holding(AudioFormat("WAV", "PCM_16"), 2, 6 * hours).container == "WAV"
    assert holding(AudioFormat("WAV", "PCM_16"), 2, 10 * hours).container == "RF64"
    assert holding(AudioFormat("FLAC", "PCM_16"), 2, 100 * hours).container == "FLAC"


def test_text_and_data_are_told_apart() -> None:
    assert kind_of(b"hello\n\tworld") == "text"
    assert kind_of(b"\x01\x02\x03") == "data of no known audio format"


def test_find_lists_a_tree(tmp_path: Path) -> None:
    for name in ("b.wav", "a.FLAC", "note.txt", ".hidden.wav", ".cache/x.wav", "deep/er/c.mp3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in audio.find([tmp_path, tmp_path / "note.txt"])]
    assert found == ["a.FLAC", "b.wav", "deep/er/c.mp3", "note.txt"]


# rates


@given(st.integers(1, 400), st.sampled_from([(48000, 16000), (44100, 16000), (16000, 44100), (16000, 1000)]))
def test_resampling_keeps_the_time(length: int, rates: tuple[int, int]) -> None:
    old, new = rates
    assert audio.resample(noise(2, length), old, new).shape == (2, int(length * new / old + 0.5))


@pytest.mark.parametrize("rates", [(48000, 16000), (16000, 44100), (11025, 16000)])
@pytest.mark.parametrize("size", [1, 997, 50_000])
def test_resampling_in_blocks_is_resampling_the_whole(rates: tuple[int, int], size: int) -> None:
    samples = noise(2, 3000 if size == 1 else 30_000)
    blocks = (samples[:, start : start + size] for start in range(0, samples.shape[1], size))
    joined = np.concatenate(list(audio.resampled(blocks, *rates, channels=2)), axis=1)
    assert_array_equal(joined, audio.resample(samples, *rates))


def test_resampling_keeps_a_tone_where_it_is() -> None:
    at_16k = audio.resample(tone(48000), 48000, 16000)
    assert_allclose(at_16k[:, 100:-100], tone(16000, 16000)[:, 100:-100], atol=1e-4)
    assert_allclose(audio.resample(at_16k[0], 16000, 48000)[500:-500], tone(48000)[0, 500:-500], atol=2e-4)


@pytest.mark.parametrize("rate", [0, -8000, 0.5])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(AudioError, match=f"sample rate {rate}: expected a positive whole number"):
        audio.resample(noise(), rate, 16000)  # type: ignore[arg-type]
