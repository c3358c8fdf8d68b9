"""Sound through pipes: whatever the form and however it is cut, what comes out is what the stream gives."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from frcrn import FRCRN, FRCRNConfig
from frcrn.audio import AudioError
from frcrn.cli import main
from frcrn.inference import pipes
from frcrn.models import checkpoint
from tests.networks import tiny

MODEL = tiny(causal=True)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.4, 0.4, shape).astype(np.float32)


def expected(wave: np.ndarray, rate: int = 16000) -> np.ndarray:
    """[C, T] -> [C, T], pushed at once."""
    stream = MODEL.stream(rate, len(wave))
    return np.concatenate([stream.push(wave), stream.flush()], axis=1)


class Trickle(io.RawIOBase):
    """A pipe that hands on a few bytes at a time; a step of None is a person who presses Ctrl-C."""

    def __init__(self, data: bytes, steps: list[int | None]) -> None:
        self._data, self._steps, self._turn = data, steps, 0

    def read(self, size: int = -1) -> bytes:
        step = self._steps[self._turn % len(self._steps)]
        self._turn += 1
        if step is None:
            raise KeyboardInterrupt
        taken, self._data = self._data[: min(step, size)], self._data[min(step, size) :]
        return taken


def passed(data: bytes, steps: list[int | None] | None = None, **options: object) -> tuple[bytes, str | None]:
    sink = io.BytesIO()
    trouble = pipes.pass_through(MODEL, Trickle(data, steps or [1 << 16]), sink, **options)  # type: ignore[arg-type]
    return sink.getvalue(), trouble


def wav(wave: np.ndarray, rate: int, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave.T, rate, subtype, format="WAV")
    return file.getvalue()


def with_unknown_length(data: bytes) -> bytes:
    """What a program writes that cannot go back to fill in the sizes."""
    start = data.index(b"data") + 4
    return data[:4] + b"\xff" * 4 + data[8:start] + b"\xff" * 4 + data[start + 4 :]


@given(st.lists(st.integers(5, 900), min_size=2, max_size=5), st.sampled_from(["s16le", "f32le"]), st.integers(1, 2))
@settings(max_examples=8)
def test_raw_samples_in_pieces_of_any_size(steps: list[int], form: str, channels: int) -> None:
    kind, atol = ("<i2", 2**-15) if form == "s16le" else ("<f4", 1e-6)
    wave = noise(channels, 400)
    stored = (wave.T * 32767).astype(kind) if form == "s16le" else wave.T.astype(kind)
    heard = stored.T.astype(np.float32) / (32768 if form == "s16le" else 1)
    data, trouble = passed(stored.tobytes(), list(steps), form=form, channels=channels)
    assert trouble is None
    got = np.frombuffer(data, kind).reshape(-1, channels).T / (32768 if form == "s16le" else 1)
    assert_allclose(got, expected(heard), atol=atol)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("unknown", [False, True])
def test_wav_in_and_wav_out(subtype: str, unknown: bool) -> None:
    data = wav(noise(2, 1501), 44100, subtype)
    heard, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    data = with_unknown_length(data) if unknown else data
    result, trouble = passed(data, [7, 1000])
    assert trouble is None
    with soundfile.SoundFile(io.BytesIO(result)) as sound:
        assert (sound.format, sound.subtype, sound.samplerate) == ("WAV", subtype, 44100)
        step = {"PCM_U8": 2**-7, "PCM_16": 2**-15}.get(subtype, 1e-6)
        assert_allclose(sound.read(dtype="float32").T, expected(heard.T, 44100), atol=step)
    sizes = [struct.unpack("<I", result[place : place + 4])[0] for place in (4, result.index(b"data") + 4)]
    assert all(size == 0xFFFFFFFF for size in sizes) == unknown
    assert unknown or sizes[0] == len(result) - 8


@pytest.mark.parametrize("whole", [0, 36, 0xFFFFFFFF])
def test_a_length_of_zero_is_one_that_was_not_known(whole: int) -> None:
    data = bytearray(wav(noise(1, 400), 16000, "PCM_16"))
    data[4:8], data[40:44] = struct.pack("<I", whole), bytes(4)
    result, trouble = passed(bytes(data))
    assert trouble is None and len(result) == len(data)


def test_sound_after_a_length_of_zero_is_heard_though_the_file_has_a_length() -> None:
    data = bytearray(wav(noise(1, 400), 16000, "PCM_16"))
    data[40:44] = bytes(4)
    result, trouble = passed(bytes(data))
    assert trouble is None and len(result) == len(data)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_less_than_a_sample_is_refused(size: int) -> None:
    whole = bytearray(wav(noise(2, 0), 16000, "PCM_16") + bytes(size) + b"LIST\x0c\0\0\0INFOISFTtext")
    whole[40:44] = struct.pack("<I", size)
    with pytest.raises(AudioError, match=f"its {size} bytes are no whole sample"):
        passed(bytes(whole))


def test_what_follows_no_samples_is_none() -> None:
    whole = bytearray(wav(noise(1, 0), 16000, "PCM_16") + b"LIST\x0c\0\0\0INFOISFTtext")
    whole[4:8] = struct.pack("<I", len(whole) - 8)
    result, trouble = passed(bytes(whole))
    assert trouble is None and soundfile.info(io.BytesIO(result)).frames == 0


@pytest.mark.parametrize("form", [*pipes.BYTES])
def test_strength_zero_returns_the_very_bytes(form: str) -> None:
    kind = {"u8": "u1", "f32le": "<f4", "f64le": "<f4"}.get(form, "<i2")
    random = np.random.default_rng(1)
    values = random.integers(0, 256, 4800, dtype=np.uint8) if kind != "<f4" else noise(1200)
    data = {"f64le": lambda: values.astype("<f8").tobytes(), "s32le": lambda: spread(values)}.get(
        form, values.tobytes
    )()
    assert passed(data, [333], form=form, strength=0)[0] == data


def spread(values: np.ndarray) -> bytes:
    """32-bit samples of the 24 bits that a float holds."""
    return (values.view("<i4") & ~0xFF).tobytes()


def test_what_follows_the_samples_of_a_wav_is_no_sound() -> None:
    plain = wav(noise(1, 500), 16000, "PCM_16")
    tail = b"LIST" + struct.pack("<I", 4) + b"INFO"
    assert passed(plain + tail) == passed(plain)


def test_the_length_of_rf64_is_that_of_its_own_chunk() -> None:
    plain = wav(noise(1, 500), 16000, "PCM_16")
    sizes = b"ds64" + struct.pack("<IQQQI", 28, 0, 1000, 500, 0)
    data = b"RF64" + plain[4:12] + sizes + plain[12:40] + bytes([255]) * 4 + plain[44:] + b"LIST" + bytes(40)
    assert passed(data, [70]) == passed(plain)
    assert passed(data[:-300])[1] == "the header announces 1000 bytes of samples, 744 came"


@pytest.mark.parametrize("head", [b"RIFX", b"BW64", b"wvpk", b"TTA1", b"\x0b\x77\x00\x00"])
def test_other_files_are_not_taken_for_raw_samples(head: bytes) -> None:
    with pytest.raises(AudioError, match="accepted are wav and raw samples"):
        passed(head + bytes(4) + b"WAVE" + bytes(2000))


def test_chunks_before_the_samples_are_left_out_however_long() -> None:
    plain = wav(noise(1, 500), 16000, "PCM_16")
    junk = b"JUNK" + struct.pack("<I", 200_001) + bytes(200_002)
    assert passed(plain[:12] + junk + plain[12:], [5000]) == passed(plain)


def test_an_odd_byte_at_the_end_is_said_and_left_out() -> None:
    whole, _ = passed(bytes(range(200)), form="s16le")
    data, trouble = passed(bytes(range(200)) + b"\x05", [3], form="s16le")
    assert data == whole
    assert trouble == "the last 1 bytes are no whole sample (2 bytes) and were left out"


def test_a_wav_that_ends_early_is_said() -> None:
    data = wav(noise(1, 500), 16000, "PCM_16")
    result, trouble = passed(data[:-201])
    assert trouble == "the header announces 1000 bytes of samples, 798 came"
    assert len(result) == len(data) - 202


def test_a_header_of_thousands_of_channels_takes_no_memory() -> None:
    head = bytearray(wav(noise(1, 10), 16000, "PCM_16"))
    head[22:24], head[32:34] = struct.pack("<H", 30000), struct.pack("<H", 60000)
    endless = bytes(head[:40]) + bytes(4) + bytes(head[44:])
    for data, options in ((bytes(head), {}), (endless, {}), (b"", {"form": "s16le", "channels": 10**6})):
        with pytest.raises(ValueError, match="accepted are 1 to 1024"):
            passed(data, **options)


def test_nothing_raw_in_nothing_out() -> None:
    assert passed(b"", form="s16le") == (b"", None)


def test_a_wav_without_samples_gives_its_header() -> None:
    data = with_unknown_length(wav(np.zeros((1, 0)), 16000, "PCM_16"))
    assert passed(data)[0] == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"fLaC" + bytes(100), "flac"),
        (b"OggS" + bytes(100), "ogg"),
        (b"These are words and no sound at all.", "found text"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "ends before the samples begin"),
        (wav(np.zeros((1, 8)), 16000, "ULAW"), "wav of type 7 with 8 bits"),
        (wav(np.zeros((1, 8)), 16000, "PCM_16").replace(b"\x02\x00\x10\x00", b"\x03\x00\x10\x00"), "3 bytes a sample"),
    ],
)
def test_what_is_no_sound_is_refused_and_nothing_is_written(data: bytes, message: str) -> None:
    sink = io.BytesIO()
    with pytest.raises(AudioError, match=message) as refused:
        pipes.pass_through(MODEL, Trickle(data, [9]), sink)
    assert str(refused.value).startswith("standard input: ")
    assert sink.getvalue() == b""


def test_a_format_by_name_is_believed() -> None:
    data = b"These are words and no sound at all."
    assert len(passed(data, form="s16le")[0]) == len(data)


@pytest.mark.parametrize("options", [{"rate": 8000}, {"channels": 2}])
def test_a_header_that_says_otherwise_is_an_error(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="its header says"):
        passed(wav(noise(1, 50), 16000, "PCM_16"), **options)
    assert passed(wav(noise(1, 50), 16000, "PCM_16"), rate=16000, channels=1)[1] is None


def test_an_impossible_number_is_refused_by_position() -> None:
    wave = noise(1, 300)
    wave[0, 250] = np.nan
    with pytest.raises(AudioError, match="sample 250"):
        passed(wave.tobytes(), form="f32le")


def test_interrupted_while_it_waits_it_writes_what_is_inside() -> None:
    wave = noise(1, 1000)
    sink = io.BytesIO()
    with pytest.raises(KeyboardInterrupt):
        pipes.pass_through(MODEL, Trickle(wave.tobytes(), [4000, None]), sink, form="f32le")
    assert_allclose(np.frombuffer(sink.getvalue(), "<f4")[None], expected(wave), atol=1e-6)


class Running(NamedTuple):
    put: io.FileIO
    get: io.FileIO
    thread: threading.Thread
    raised: list[BaseException]


@pytest.fixture
def running() -> Iterator[Running]:
    """Run between two real pipes."""
    inside, put = os.pipe()
    get, outside = os.pipe()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            with open(inside, "rb") as source, open(outside, "wb") as sink:
                pipes.pass_through(MODEL, source, sink, form="f32le")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    with open(put, "wb", buffering=0) as first, open(get, "rb", buffering=0) as last:
        yield Running(first, last, thread, raised)
    thread.join(10)


def test_what_is_ready_is_written_before_more_comes(running: Running) -> None:
    wave, came = noise(1, 800), b""
    for start in range(0, 800, 160):
        running.put.write(wave[0, start : start + 160].tobytes())
        while len(came) < 4 * (start + 160 - MODEL.latency):
            came += running.get.read(1 << 16)  # waits for ever where it is held back
    running.put.close()
    came += running.get.readall()
    running.thread.join(10)
    assert running.raised == []
    assert_allclose(np.frombuffer(came, "<f4")[None], expected(wave), atol=1e-6)


def test_a_reader_that_leaves_ends_it(running: Running) -> None:
    running.get.close()
    running.put.write(noise(1, 800).tobytes())
    running.thread.join(10)
    assert [type(error) for error in running.raised] == [BrokenPipeError]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(MODEL, path)
    return str(path)


class Standard:
    """Standard input or output with a file in its place."""

    def __init__(self, buffer: io.BytesIO, terminal: bool = False) -> None:
        self.buffer, self._terminal = buffer, terminal

    def isatty(self) -> bool:
        return self._terminal

    def flush(self) -> None: ...


def test_the_command(saved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave, out = noise(2, 900), Standard(io.BytesIO())
    monkeypatch.setattr(sys, "stdin", Standard(io.BytesIO(wave.T.tobytes())))
    monkeypatch.setattr(sys, "stdout", out)
    options = ["--format", "f32le", "--rate", "48000", "--channels", "2", "--model", saved]
    assert main(["stream", "-", *options]) == 0
    by_pipe = np.frombuffer(out.buffer.getvalue(), "<f4").reshape(-1, 2).T
    assert_allclose(by_pipe, expected(wave, 48000), atol=1e-6)
    (tmp_path / "noisy.raw").write_bytes(wave.T.tobytes())
    monkeypatch.setattr(sys, "stdout", again := Standard(io.BytesIO()))
    assert main(["stream", str(tmp_path / "noisy.raw"), *options, "--runtime", "torch"]) == 0
    assert_allclose(np.frombuffer(again.buffer.getvalue(), "<f4").reshape(-1, 2).T, by_pipe, atol=1e-6)


@pytest.mark.parametrize(
    ("terminals", "arguments", "message"),
    [
        ((True, False), [], "standard input is a terminal"),
        ((False, True), [], "standard output is a terminal"),
        ((False, False), ["--threads", "0"], "--threads 0"),
        ((False, False), ["--format", "mp3"], "format 'mp3'"),
        ((False, False), ["--format", "s16le", "--channels", "-1"], "channels -1"),
        ((False, False), ["--format", "s16le", "--rate", "-1"], "sample rate -1"),
        ((False, False), ["missing.wav"], "missing.wav: No such file"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    terminals: tuple[bool, bool],
    arguments: list[str],
    message: str,
    saved: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", Standard(io.BytesIO(bytes(100)), terminals[0]))
    monkeypatch.setattr(sys, "stdout", Standard(io.BytesIO(), terminals[1]))
    assert main(["stream", *arguments, "--model", saved]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_network_that_looks_ahead_cannot_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(FRCRN(FRCRNConfig.tiny(causal=False)), tmp_path / "offline.safetensors")
    monkeypatch.setattr(sys, "stdin", Standard(io.BytesIO(bytes(100))))
    monkeypatch.setattr(sys, "stdout", Standard(io.BytesIO()))
    assert main(["stream", "--model", str(tmp_path / "offline.safetensors")]) == 2
    assert "cannot stream" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "SIGHUP", "reader"])
def test_a_process_ends_quietly(saved: str, end: str) -> None:
    command = [sys.executable, "-m", "frcrn", "stream", "-", "--format", "f32le", "--model", saved]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin and process.stdout and process.stderr
    wave = noise(1, 1600)
    process.stdin.write(wave.tobytes())
    process.stdin.flush()
    early = process.stdout.read(4 * (1600 - MODEL.latency))
    if end == "reader":
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(wave.tobytes() * 40)
        assert process.wait(60) == 128 + signal.SIGPIPE
        assert process.stderr.read() == b""
    else:
        time.sleep(0.5)  # until it waits
        process.send_signal(getattr(signal, end))
        rest = process.stdout.read()
        assert process.wait(60) == 128 + getattr(signal, end)
        assert_allclose(np.frombuffer(early + rest, "<f4")[None], expected(wave), atol=1e-6)
        assert process.stderr.read() == (b"frcrn: interrupted\n" if end == "SIGINT" else b"")
    for stream in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.close()


def test_all_is_put_out_before_what_follows_the_samples_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes may keep the pipe open."""
    sink, wave = io.BytesIO(), noise(1, 800)

    def never(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipes.Inlet, "skip", never)
    with pytest.raises(KeyboardInterrupt):
        pipes.pass_through(MODEL, io.BytesIO(wave.tobytes()), sink, form="f32le")
    assert len(sink.getvalue()) == wave.nbytes
