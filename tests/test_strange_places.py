"""Strange names and places of sound: pipes, devices, links that go round, names of every kind, disks without room."""

from __future__ import annotations

import errno
import io
import os
import resource
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from frcrn import audio, enhance_file
from frcrn.audio import AudioError, AudioFormat
from frcrn.cli import main
from frcrn.inference.pipes import pass_through
from tests.limits import bounded
from tests.networks import tiny

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these are places of POSIX")
MODEL = tiny(causal=True)
WAVE = (0.1 * np.sin(np.arange(4000) / 9)).astype(np.float32)


def sound(path: Path, **options: str) -> Path:
    with path.open("wb") as file:
        soundfile.write(file, WAVE, 16_000, **(options or {"format": "WAV"}))
    return path


def enhanced(source: Path | str, target: Path | str) -> None:
    with bounded(seconds=10, gigabytes=4):
        enhance_file(source, target, model=MODEL, strength=0.0)


def refused(source: Path | str, target: Path | str, *reasons: str) -> None:
    """One sentence, with one of the reasons."""
    with pytest.raises((AudioError, OSError)) as caught:
        enhanced(source, target)
    text = str(caught.value)
    assert "\n" not in text and any(reason in text for reason in reasons), text[:2000]


NAMES = [
    "a" * 251 + ".wav",
    "é" * 125 + "a.wav",
    "two\nlines.wav",
    "-o.wav",
    " .wav",
    "..wav",
    "%s%n.wav",
    "a'\"`$(touch x).wav",
    "\u202egnp.wav",
    "😀.wav",
    "tab\t.wav",
    "*?[].wav",
    "#?query=1.wav",
    "UPPER.WAV",
    "a.b.c..wav",
    os.fsdecode(b"\xff\xfe.wav"),
    "~.wav",
    "{}.wav",
    "CON.wav",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_file_of_any_name_is_read_and_written(name: str, tmp_path: Path) -> None:
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    source, target = sound(tmp_path / "in" / name), tmp_path / "out" / name
    before = source.read_bytes()
    enhanced(source, target)
    np.testing.assert_allclose(audio.read(target).samples, audio.read(source).samples, atol=2**-15)
    assert os.listdir(tmp_path / "out") == [name] and source.read_bytes() == before


def test_what_a_killed_run_left_of_a_long_name_is_swept_away(tmp_path: Path) -> None:
    from frcrn.files import replacing, sweep

    target = tmp_path / NAMES[0]
    with replacing(target) as beside:
        kept = beside.read_bytes(), beside.name
    (tmp_path / kept[1]).write_bytes(kept[0])
    sweep([target])
    assert os.listdir(tmp_path) == [NAMES[0]]


def test_names_that_are_too_long_or_no_names_are_refused(tmp_path: Path) -> None:
    source = sound(tmp_path / "in.wav")
    for name in ("a" * 252 + ".wav", "a/" * 3000 + "a.wav"):
        refused(tmp_path / name, tmp_path / "out.wav", "too long")
        refused(source, tmp_path / name, "too long", "No such")
    refused(f"{tmp_path}/a\0.wav", tmp_path / "out.wav", "null")
    assert os.listdir(tmp_path) == ["in.wav"]


@contextmanager
def filled(pipe: Path, content: bytes) -> Iterator[None]:
    """A named pipe into which another thread writes."""
    os.mkfifo(pipe)

    def write() -> None:
        with suppress(BrokenPipeError):
            pipe.write_bytes(content)

    writer = threading.Thread(target=write)
    writer.start()
    yield
    writer.join()


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_a_named_pipe_is_read_as_a_file_is(container: str, tmp_path: Path) -> None:
    whole = sound(tmp_path / "in", format=container)
    with filled(tmp_path / "pipe.wav", whole.read_bytes()):
        enhanced(tmp_path / "pipe.wav", tmp_path / "out.wav")
    assert audio.read(tmp_path / "out.wav").samples.shape == audio.read(whole).samples.shape
    assert (tmp_path / "pipe.wav").is_fifo()


def test_a_named_pipe_can_be_written_to(tmp_path: Path) -> None:
    source, read = sound(tmp_path / "in.wav"), []
    os.mkfifo(tmp_path / "out.wav")
    reader = threading.Thread(target=lambda: read.append((tmp_path / "out.wav").read_bytes()))
    reader.start()
    enhanced(source, tmp_path / "out.wav")
    reader.join()
    assert audio.read(read[0]).samples.shape == (1, 4000) and (tmp_path / "out.wav").is_fifo()


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound" * 1000, bytes(200_000)])
def test_a_named_pipe_without_sound_is_refused(content: bytes, tmp_path: Path) -> None:
    with filled(tmp_path / "pipe.wav", content):
        refused(tmp_path / "pipe.wav", tmp_path / "out.wav", "empty", "expected", "accepted are")
    assert os.listdir(tmp_path) == ["pipe.wav"]


@pytest.mark.parametrize(
    "device", ["/dev/zero", "/dev/null", "/dev/urandom", "/dev/full", "/proc/self/mem", "/", "/dev/fd"]
)
def test_devices_and_folders_are_no_sound(device: str, tmp_path: Path) -> None:
    if not os.path.exists(device):
        pytest.skip(f"there is no {device}")
    refused(device, tmp_path / "out.wav", "empty", "accepted are", "directory", "cannot be read")
    assert os.listdir(tmp_path) == []


def test_what_is_written_to_devices_is_gone_or_refused(tmp_path: Path) -> None:
    source = sound(tmp_path / "in.wav")
    enhanced(source, "/dev/null")
    refused(source, "/dev/full", os.strerror(errno.ENOSPC))
    assert os.path.exists("/dev/null") and not os.path.isfile("/dev/null")


def test_links_are_followed_to_what_is_there_and_no_further(tmp_path: Path) -> None:
    source = sound(tmp_path / "in.wav")
    (tmp_path / "link.wav").symlink_to(source)
    (tmp_path / "loop.wav").symlink_to(tmp_path / "pool.wav")
    (tmp_path / "pool.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "gone.wav").symlink_to("/nowhere/at/all.wav")
    enhanced(tmp_path / "link.wav", tmp_path / "out.wav")
    refused(tmp_path / "loop.wav", tmp_path / "no.wav", "symbolic links")
    refused(tmp_path / "gone.wav", tmp_path / "no.wav", "No such file")
    refused(source, tmp_path / "gone.wav", "No such file", "Permission", "Read-only")
    assert sorted(os.listdir(tmp_path)) == ["gone.wav", "in.wav", "link.wav", "loop.wav", "out.wav", "pool.wav"]


@pytest.mark.parametrize("folder", ["/proc", "/sys", "/nowhere/at/all", "/dev/null"])
def test_a_folder_where_nothing_can_be_written_is_named(folder: str, tmp_path: Path) -> None:
    refused(sound(tmp_path / "in.wav"), f"{folder}/out.wav", f"{folder}/out.wav")


def test_a_folder_that_is_for_reading_only_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    (tmp_path / "shut").mkdir(mode=0o500)
    refused(sound(tmp_path / "in.wav"), tmp_path / "shut" / "out.wav", "Permission denied")


@pytest.mark.parametrize("name", ["._", ".AppleDouble"])
def test_descriptions_in_the_working_folder_play_no_part(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libsndfile looks for them before it takes a file for MP3."""
    source = sound(tmp_path / "in.mp3", format="MP3")
    whole = audio.read(source)
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"\0" * 100) if name == "._" else (tmp_path / name).mkdir()
    for given in (source, source.read_bytes()):
        np.testing.assert_array_equal(audio.read(given).samples, whole.samples)
    enhanced(source, tmp_path / "out.mp3")


def test_a_description_in_the_working_folder_makes_no_sound_of_what_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write(tmp_path / "data", WAVE, 16_000, "PCM_16", format="SD2")
    (tmp_path / "._data").rename(tmp_path / "._")
    with pytest.raises(AudioError, match="data of no known audio format"):
        audio.read(tmp_path / "data")


@contextmanager
def little_room(size: int) -> Iterator[None]:
    """No file may become larger, as on a disk that is full."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


@pytest.mark.parametrize("size", [0, 1, 44, 300, 4000])
@pytest.mark.parametrize("name", ["out.wav", "out.flac", "out.ogg", "out.opus", "out.mp3", "out.aiff"])
def test_without_room_nothing_is_left(name: str, size: int, tmp_path: Path) -> None:
    source = sound(tmp_path / "in.wav")
    if name != "out.wav":
        soundfile.write(source, np.tile(np.random.default_rng(0).standard_normal(4000) / 9, 12), 16_000)
    with little_room(size):
        refused(source, tmp_path / name, "cannot be written")
    assert os.listdir(tmp_path) == ["in.wav"]


def test_a_pipe_needs_room_for_what_comes_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = sound(tmp_path / "in.wav").read_bytes()
    with filled(tmp_path / "pipe.wav", content), little_room(2000):
        refused(tmp_path / "pipe.wav", tmp_path / "out.wav", "cannot be read")
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    (tmp_path / "pipe.wav").unlink()
    with filled(tmp_path / "pipe.wav", content):
        refused(tmp_path / "pipe.wav", tmp_path / "out.wav", "cannot be read")
    assert sorted(os.listdir(tmp_path)) == ["in.wav", "pipe.wav"]


def test_samples_through_a_pipe_whose_reader_has_gone(tmp_path: Path) -> None:
    class Gone(io.BytesIO):
        def write(self, data: object) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        pass_through(MODEL, sound(tmp_path / "in.wav").open("rb"), Gone())


@pytest.mark.parametrize("content", [bytes(200_000), b"a" * 200_000, b"a.wav\0b.wav\n"])
def test_a_list_that_is_none_is_refused(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    assert main(["enhance", "--from-file", str(tmp_path / "list.txt"), "-o", str(tmp_path / "out")]) == 2
    assert "line 1 of the list is no path" in capsys.readouterr().err


def test_a_device_is_no_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with bounded(seconds=10, gigabytes=2):
        assert main(["enhance", "--from-file", "/dev/zero", "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("rate", [200_001, 384_000, 768_000])
def test_vorbis_above_what_it_knows_is_refused_before_libsndfile_is_asked(
    rate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Callable[..., object]] = []
    monkeypatch.setattr(soundfile, "SoundFile", lambda *args, **kwargs: asked.append(args))
    with pytest.raises(AudioError, match="at most 200000 Hz"):
        audio.write(tmp_path / "out.ogg", WAVE, rate, AudioFormat("OGG", "VORBIS"))
    assert not asked and os.listdir(tmp_path) == []


@pytest.mark.parametrize("link", ["a.wav", "inside", "frcrn-manifest.jsonl"])
def test_a_link_in_the_output_folder_leads_nothing_out_of_it(
    link: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in" / "inside").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for name in ("a.wav", "inside/b.wav"):
        sound(tmp_path / "in" / name)
    victim = tmp_path / "elsewhere" / "victim"
    victim.write_text("precious")
    (tmp_path / "out" / link).symlink_to(tmp_path / "elsewhere" if link == "inside" else victim)
    assert main(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 2
    assert "a link" in capsys.readouterr().err
    assert os.listdir(tmp_path / "elsewhere") == ["victim"] and victim.read_text() == "precious"


@pytest.mark.parametrize("made", ["pipe", "device", "holes"])
def test_no_list_of_what_was_done_keeps_a_folder_waiting(made: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    sound(tmp_path / "in" / "a.wav")
    path = tmp_path / "out" / "frcrn-manifest.jsonl"
    if made == "pipe":
        os.mkfifo(path)
    elif made == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 28)
    with bounded(seconds=20, gigabytes=2):
        code = main(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / "out")])
    assert code == (0 if made == "holes" else 2)


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    os.mkfifo(tmp_path / "b.wav")
    (tmp_path / "c.wav").symlink_to("b.wav")
    (tmp_path / "d.wav").symlink_to("/dev/zero")
    (tmp_path / "e.wav").symlink_to("nowhere")
    assert [path.name for path in audio.find([tmp_path])] == ["a.wav", "e.wav"]
