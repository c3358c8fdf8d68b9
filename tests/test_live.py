"""Live sound: the delay is kept to the sample, whatever happens, and a device that does not wait is never kept waiting.

Devices are made here: they feed blocks at a real pace, from a thread of their own, as PortAudio does.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from soundfile import LibsndfileError, SoundFile

from frcrn import FRCRN, FRCRNConfig, audio
from frcrn.audio.devices import checked, choose, common_rate
from frcrn.cli import live as command
from frcrn.cli import main
from frcrn.inference import streaming
from frcrn.inference.live import SILENT, Live, Recorder, dbfs
from frcrn.models import checkpoint
from tests.fakes import CausalGain, LateGain

RATE, BLOCK = 16000, 320


class Quick(CausalGain):
    """Half as loud, and late as a real network is."""

    def __init__(self) -> None:
        super().__init__(0.5)
        self.window, self.hop = 640, 320


MODEL = Quick().eval()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.4, 0.4, shape).astype(np.float32)


def expected(wave: np.ndarray, rate: int = RATE) -> np.ndarray:
    stream = MODEL.stream(rate, len(wave))
    return np.concatenate([stream.push(wave), stream.flush()], axis=1)


class Step(Live):
    """A network whose thread is slow on demand: it waits before the blocks that are named."""

    def __init__(self, *arguments: Any, slow: Callable[[int], bool], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.slow, self.done = slow, 0
        self.gate = threading.Event()

    def _enhance(self, heard: np.ndarray) -> None:
        if self.slow(self.done):
            self.gate.wait(10)
        super()._enhance(heard)
        self.done += 1


def until(true: Callable[[], bool]) -> None:
    """Wait for another thread."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def settled(live: Step, count: int) -> None:
    """Wait until the network has done so many blocks."""
    until(lambda: live.done == count)


def blocks(wave: np.ndarray) -> list[np.ndarray]:
    return [wave[:, start : start + BLOCK] for start in range(0, wave.shape[1], BLOCK)]


def played_in_time(live: Step, wave: np.ndarray) -> np.ndarray:
    """What is played where the network has done each block before the next comes."""
    played = []
    with live:
        for number, block in enumerate(blocks(wave)):
            played.append(live.exchange(block))
            settled(live, number + 1)
    return np.concatenate(played, axis=1)


@pytest.mark.parametrize(("rate", "channels", "cushion"), [(16000, 1, 0), (16000, 2, 100), (48000, 1, 7)])
def test_what_is_played_is_the_stream_late_by_the_delay(rate: int, channels: int, cushion: int) -> None:
    wave = noise(channels, 30 * BLOCK)
    live = Step(MODEL.stream(rate, channels), BLOCK, cushion=cushion, slow=lambda done: False)
    whole = played_in_time(live, wave)
    assert live.delay == live.stream.latency + BLOCK + cushion
    assert_array_equal(whole[:, : live.delay], 0)
    assert_allclose(whole[:, live.delay :], expected(wave, rate)[:, : -live.delay], atol=1e-5)
    assert live.underruns == 0


def test_a_network_that_looks_ahead_plays_later_and_in_time() -> None:
    wave, late = noise(1, 60 * BLOCK), 42 * 320
    live = Step(LateGain(0.5, lookahead=late).stream(), BLOCK, slow=lambda done: False)
    whole = played_in_time(live, wave)
    assert live.delay == MODEL.window + late + BLOCK
    assert_array_equal(whole[:, : live.delay], 0)
    assert_allclose(whole[:, live.delay :], 0.5 * wave[:, : -live.delay], atol=1e-6)
    assert live.underruns == 0


def test_an_underrun_is_silence_and_what_comes_after_it_is_in_time() -> None:
    """At every sample, what is played is silence or what the stream gave, late by exactly the delay."""
    wave = noise(1, 40 * BLOCK)
    live = Step(MODEL.stream(), BLOCK, slow=lambda done: done == 10)
    with live:
        played = []
        for number, block in enumerate(blocks(wave)):
            played.append(live.exchange(block))
            if number < 10:
                settled(live, number + 1)
            elif number == 20:
                live.gate.set()
            if number >= 20:
                settled(live, number + 1)
    whole = np.concatenate(played, axis=1)
    truth = expected(wave)[:, : -live.delay]
    silent = whole[:, live.delay :] == 0
    assert_allclose(whole[:, live.delay :][~silent], truth[~silent], atol=1e-5)
    assert 6 * BLOCK < silent.sum() < 12 * BLOCK
    assert not silent[:, -15 * BLOCK :].any()
    assert 6 <= live.underruns <= 11


def test_a_network_that_cannot_keep_up_leaves_out_what_nobody_hears_and_comes_back_in_time() -> None:
    wave = noise(1, 230 * BLOCK)
    sides: list[tuple[np.ndarray, np.ndarray]] = []
    live = Step(MODEL.stream(), BLOCK, slow=lambda done: done == 0, tap=lambda *both: sides.append(both))
    with live:
        played = [live.exchange(block) for block in blocks(wave[:, : 200 * BLOCK])]
        live.gate.set()
        until(lambda: len(sides) == 200)
        assert live.done < 0.5 * RATE / BLOCK + 5
        for number, block in enumerate(blocks(wave[:, 200 * BLOCK :])):
            played.append(live.exchange(block))
            until(lambda number=number: len(sides) == 201 + number)  # type: ignore[misc]
    late = np.concatenate(played, axis=1)[:, -20 * BLOCK :]
    assert_allclose(late, 0.5 * wave[:, -live.delay - 20 * BLOCK : -live.delay], atol=1e-6)
    heard, made = (np.concatenate(side, axis=1) for side in zip(*sides, strict=True))
    assert_array_equal(heard, wave)
    assert_allclose(made[:, -20 * BLOCK :], 0.5 * wave[:, -20 * BLOCK :], atol=1e-6)


def test_strength_changes_while_it_runs() -> None:
    wave = noise(1, 40 * BLOCK)
    live = Step(MODEL.stream(strength=0.0), BLOCK, slow=lambda done: False)
    with live:
        played = []
        for number, block in enumerate(blocks(wave)):
            if number == 20:
                live.stream.strength = 1.0
            played.append(live.exchange(block))
            settled(live, number + 1)
    whole = np.concatenate(played, axis=1)[:, live.delay :]
    early, late = slice(0, 20 * BLOCK - live.delay), slice(25 * BLOCK, 40 * BLOCK - live.delay)
    assert_array_equal(whole[:, early], wave[:, early])
    assert_allclose(whole[:, late], expected(wave)[:, late], atol=1e-5)


def test_the_tap_gets_both_sides_in_time_and_whole() -> None:
    wave = noise(1, 20 * BLOCK)
    sides: list[tuple[np.ndarray, np.ndarray]] = []
    with Live(MODEL.stream(), BLOCK, tap=lambda *both: sides.append(both)) as live:
        for block in blocks(wave):
            live.exchange(block)
    heard, made = (np.concatenate(side, axis=1) for side in zip(*sides, strict=True))
    assert_array_equal(heard, wave)
    assert_allclose(made, expected(wave), atol=1e-5)


def test_what_stops_the_network_is_raised_where_it_is_looked_at() -> None:
    bad = noise(1, BLOCK)
    bad[0, 3] = np.inf
    with Live(MODEL.stream(), BLOCK) as live:
        live.exchange(bad)
        end = time.monotonic() + 10
        with pytest.raises(audio.AudioError, match="sample 3 "):
            while time.monotonic() < end:
                live.status()
        assert_array_equal(live.exchange(noise(1, BLOCK)), 0)  # the device still gets its samples


def test_levels_and_load() -> None:
    live = Step(MODEL.stream(strength=0), BLOCK, slow=lambda done: False)
    with live:
        assert live.status().recorded == live.status().played == SILENT
        for number in range(10):
            live.exchange(np.full((1, BLOCK), 0.5, np.float32))
            settled(live, number + 1)
        status = live.status()
        assert status.recorded == pytest.approx(-6.02, abs=0.01)
        assert status.played == pytest.approx(-6.02, abs=0.01)
        assert status.load > 0
        assert live.status().recorded == SILENT
    assert dbfs(0) == SILENT


def test_a_recorder_ends_at_its_length_or_when_nothing_comes() -> None:
    recorder = Recorder(100)
    wave = noise(1, 150)
    recorder.hear(wave[:, :75])
    recorder.hear(wave[:, 75:])
    assert recorder.waiting == 100
    blocks = []
    while recorder.wait(0.01):
        blocks.append(recorder.take())
    assert_array_equal(np.concatenate(blocks, axis=1), wave[:, :100])
    assert (recorder.taken, recorder.waiting) == (100, 0)
    assert not Recorder(10).wait(0.01)


class PortAudioError(Exception):
    """As sounddevice has it."""


class FakeStream:
    """A device that gives a block of `wave` and takes one, at the pace of its rate, from a thread of its own."""

    latency: Any = (0.004, 0.006)

    def __init__(self, fake: FakeSound, **settings: Any) -> None:
        fake.opened.append(self)
        self.fake, self.settings = fake, settings
        self.played: list[np.ndarray] = []
        self.active, self._closed = False, threading.Event()
        self._thread = threading.Thread(target=self._run)
        if settings["samplerate"] not in fake.rates:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")

    def start(self) -> None:
        self.active = True
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread.ident:
            self._thread.join()

    def _run(self) -> None:
        size, rate = self.settings["blocksize"], self.settings["samplerate"]
        channels = self.settings["channels"]
        duplex = isinstance(channels, tuple)
        start, shared = time.monotonic(), np.zeros((size, channels[0] if duplex else channels), np.float32)
        for number in range(self.fake.wave.shape[1] // size):
            if self._closed.wait(max(0.0, start + number * size / rate - time.monotonic())):
                break
            shared[:] = self.fake.wave.T[number * size : (number + 1) * size]  # PortAudio uses its memory again, too
            if duplex:
                out = np.full((size, channels[1]), np.nan, np.float32)
                self.settings["callback"](shared, out, size, None, self.fake.trouble)
                self.played.append(out.copy())
            else:
                self.settings["callback"](shared, size, None, self.fake.trouble)
        self.active = False


class FakeSound(SimpleNamespace):
    """The part of sounddevice that is used, with two devices."""

    PortAudioError = PortAudioError

    def __init__(self, wave: np.ndarray) -> None:
        super().__init__(wave=wave, rates=(8000, 16000), opened=[], trouble=0, default=SimpleNamespace(device=[1, 2]))
        self.found = [
            {"name": name, "max_input_channels": inputs, "max_output_channels": outputs, "default_samplerate": 16000.0}
            for name, inputs, outputs in (("Line", 2, 0), ("Desk microphone", 2, 0), ("Loudspeaker", 0, 2))
        ]

    def query_devices(self) -> list[dict[str, Any]]:
        return self.found

    def check_input_settings(self, samplerate: int, **settings: Any) -> None:
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")

    check_output_settings = check_input_settings

    def Stream(self, **settings: Any) -> FakeStream:  # noqa: N802
        return FakeStream(self, **settings)

    InputStream = Stream


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> FakeSound:
    fake = FakeSound(noise(1, 3 * RATE))
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(FRCRN(FRCRNConfig.tiny()), path)
    return str(path)


def test_live_plays_and_records_at_a_real_pace(
    sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_model", lambda args: MODEL)
    monkeypatch.setattr("frcrn.inference.live._PATIENCE", 60)
    arguments = ["live", "--cushion", "200", "--seconds", "1"]
    assert main([*arguments, "--record", str(tmp_path / "talk.wav")]) == 0
    heard, made = (audio.read(tmp_path / f"talk.{side}.wav") for side in ("noisy", "clean"))
    length = heard.samples.shape[1]
    assert 0.5 * RATE < length < 2.5 * RATE
    assert made.samples.shape == heard.samples.shape
    wave = sound.wave[:, :length]
    assert_allclose(heard.samples, wave, atol=2**-15)
    assert_allclose(made.samples, expected(wave), atol=2**-15 + 1e-5)
    (device,) = sound.opened
    played = np.concatenate(device.played).T
    delay = MODEL.window + BLOCK + 3200
    assert_array_equal(played[0], played[1])  # one channel in, both loudspeakers out
    assert_array_equal(played[:, :delay], 0)
    truth, late = expected(wave)[0, : played.shape[1] - delay], played[0, delay:]
    on_time = late != 0  # a busy machine may be late, and then it is silent, never at another time
    assert_allclose(late[on_time], truth[on_time], atol=1e-5)
    assert on_time.mean() > 0.5
    said = capsys.readouterr().err
    assert "Desk microphone -> Loudspeaker, 16000 Hz, 1 channels" in said
    assert "added latency 260 ms, and 10 ms of the devices" in said
    assert "underruns" in said
    assert "\x1b" not in said  # nobody watches


def test_keys_switch_off_and_on_and_change_the_strength(sound: FakeSound, monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live(MODEL.stream(strength=0.8), BLOCK)
    pressed, strengths = iter([" ", " ", "+", "+", "+", "-", "x", "", "q"]), []

    def wait(seconds: float) -> str:
        strengths.append(live.stream.strength)
        return next(pressed)

    command._watch(live, SimpleNamespace(active=True), 10, wait, [])  # type: ignore[arg-type]
    assert strengths == [0.8, 0, 0.8, 0.9, 1.0, 1.0, 0.9, 0.9, 0.9]


@pytest.mark.parametrize(("link", "file"), [("noisy", "clean"), ("clean", "noisy")])
def test_two_recordings_are_never_one_file(
    sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], link, file
) -> None:
    monkeypatch.setattr(command, "load_model", lambda args: MODEL)
    (tmp_path / f"t.{link}.wav").symlink_to(f"t.{file}.wav")
    assert main(["live", "--record", str(tmp_path / "t.wav"), "--seconds", "0.3", "--force"]) == 2
    assert "are links to one file" in capsys.readouterr().err
    assert not (tmp_path / f"t.{file}.wav").exists()


def test_record(
    sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_model", lambda args: MODEL)
    file = tmp_path / "x.wav"
    assert main(["record", "0.3", "-o", str(file), "--input", "line"]) == 0
    assert sound.opened[0].settings["device"] == 0
    assert_allclose(audio.read(file).samples, sound.wave[:, :4800], atol=2**-15)
    sound.rates = (8000,)
    assert main(["record", "0.3", "-o", str(file), "--enhance", "--rate", "8000", "--force"]) == 0
    found = audio.read(file)
    assert found.rate == 8000
    assert_allclose(found.samples, expected(sound.wave[:, :2400], 8000), atol=2**-15 + 1e-5)
    assert f"{file}: 0.3 s, 0 blocks lost" in capsys.readouterr().err


@pytest.mark.parametrize("extension", ["m4a", "mp4", "mov", "mkv", "mka", "webm", "aac"])
def test_containers_hold_what_is_recorded_and_made(
    extension: str, sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "load_model", lambda args: MODEL)
    file = tmp_path / f"x.{extension}"
    assert main(["record", "0.3", "-o", str(file), "--enhance"]) == 0
    assert 0.3 <= length(file) < 0.4
    assert main(["live", "--seconds", "0.3", "--record", str(file)]) == 0
    noisy, clean = (tmp_path / f"x.{side}.{extension}" for side in ("noisy", "clean"))
    assert 0.2 < length(noisy) < 1
    assert abs(length(noisy) - length(clean)) < 0.1


def length(file: Path) -> float:
    found = audio.read(file)
    return found.samples.shape[1] / found.rate


def test_a_device_that_stops_is_said_and_what_was_heard_is_kept(
    sound: FakeSound, saved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PATIENCE", 0.3)
    sound.wave = sound.wave[:, :3200]
    assert main(["record", "1", "-o", str(tmp_path / "x.wav")]) == 2
    assert audio.read(tmp_path / "x.wav").samples.shape == (1, 3200)
    assert "Desk microphone stopped after 0.2 s" in capsys.readouterr().err
    assert main(["live", "--model", saved, "--record", str(tmp_path / "y.wav")]) == 2
    assert audio.read(tmp_path / "y.clean.wav").samples.shape == (1, 3200)
    assert "the sound device stopped" in capsys.readouterr().err
    sound.wave = sound.wave[:, :0]
    assert main(["record", "1", "-o", str(tmp_path / "z.wav")]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.wav", "y.clean.wav", "y.noisy.wav"]


def test_ctrl_c_ends_both_and_keeps_what_was_heard(
    sound: FakeSound, saved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*arguments: Any) -> None:
        if sound.opened and sound.opened[-1].active and arguments[0]:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(command, "_draw", press)
    assert main(["record", "2", "-o", str(tmp_path / "x.wav")]) == 0
    assert RATE // 50 <= audio.read(tmp_path / "x.wav").samples.shape[1] < RATE
    assert main(["live", "--model", saved, "--record", str(tmp_path / "y.wav")]) == 0
    assert 0 < audio.read(tmp_path / "y.clean.wav").samples.shape[1] < 3 * RATE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_both_and_keeps_what_was_heard(
    number: int, sound: FakeSound, saved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(text: str) -> None:
        if sound.opened and sound.opened[-1].active and text:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(command, "_draw", tell)
    assert main(["record", "2", "-o", str(tmp_path / "x.wav")]) == 128 + number
    assert RATE // 50 <= audio.read(tmp_path / "x.wav").samples.shape[1] < RATE
    assert main(["live", "--model", saved, "--record", str(tmp_path / "y.wav")]) == 128 + number
    assert 0 < audio.read(tmp_path / "y.clean.wav").samples.shape[1] < 3 * RATE


def slowed(monkeypatch: pytest.MonkeyPatch, number: int, at: tuple[int, ...]) -> None:
    """Have the network take twice as long as the sound, and a signal come in the middle of some of its frames."""
    works = iter(range(1000))

    def told(streams: Any) -> Any:
        time.sleep(0.04)
        if next(works) in at:
            os.kill(os.getpid(), number)
        return advance(streams)

    advance = streaming.advance
    monkeypatch.setattr(streaming, "advance", told)
    monkeypatch.setattr(command, "load_model", lambda args: MODEL)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_all_that_came_before_the_end_is_enhanced(
    number: int, code: int, sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    slowed(monkeypatch, number, at=(20,))
    given: list[int] = []
    hear = Recorder.hear
    monkeypatch.setattr(Recorder, "hear", lambda self, block: (given.append(block.shape[1]), hear(self, block)))
    assert main(["record", "3", "-o", str(tmp_path / "x.wav"), "--enhance"]) == code
    heard = audio.read(tmp_path / "x.wav").samples
    assert heard.shape == (1, sum(given)) and heard.shape[1] > 30 * RATE // 50
    assert_allclose(heard, expected(sound.wave[:, : heard.shape[1]]), atol=2**-15 + 1e-5)
    said = capsys.readouterr().err
    assert re.search(r"^finishing 0\.\d s; Ctrl-C leaves them out$", said, re.M) and "missing" not in said


def test_a_second_ctrl_c_ends_at_once_and_says_what_is_missing(
    sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slowed(monkeypatch, signal.SIGINT, at=(20, 23))
    assert main(["record", "3", "-o", str(tmp_path / "x.wav"), "--enhance"]) == 128 + signal.SIGINT
    assert 20 * RATE // 50 <= audio.read(tmp_path / "x.wav").samples.shape[1] <= 26 * RATE // 50
    assert re.search(r"^the last 0\.\d s are missing$", capsys.readouterr().err, re.M)


def send(*numbers: int) -> None:
    """Let signals come, one as soon as the other."""
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    for number in numbers:
        os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def ended(arguments: list[str]) -> int:
    """Run a command and return how its process would end."""
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def send_while_closing(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Let signals come when the first file is about to be closed."""
    close, closing = SoundFile.close, iter([numbers])
    monkeypatch.setattr(SoundFile, "close", lambda self: (send(*next(closing, ())), close(self)))


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("enhance", [[], ["--enhance"]])
@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (signal.SIGINT, signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGTERM, signal.SIGINT, 128 + signal.SIGINT),
        (signal.SIGINT, signal.SIGINT, 0),
    ],
)
def test_a_signal_while_the_file_is_closed_leaves_it_whole(
    first: int,
    second: int,
    code: int,
    enhance: list[str],
    extension: str,
    sound: FakeSound,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "load_model", lambda args: MODEL)
    monkeypatch.setattr(command, "_draw", lambda text: send(first) if text else None)
    file = tmp_path / f"x.{extension}"
    send_while_closing(monkeypatch, second)
    given: list[int] = []
    hear = Recorder.hear
    monkeypatch.setattr(Recorder, "hear", lambda self, block: (given.append(block.shape[1]), hear(self, block)))
    assert main(["record", "3", "-o", str(file), *enhance]) == code
    monkeypatch.undo()
    with SoundFile(file) as written:
        assert written.frames == written.read().size == sum(given)
    assert list(tmp_path.iterdir()) == [file]
    assert f"{file}: " in capsys.readouterr().err


def test_a_signal_while_both_files_are_closed_leaves_them_whole(
    sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "load_model", lambda args: MODEL)
    send_while_closing(monkeypatch, signal.SIGINT, signal.SIGTERM)
    arguments = ["live", "--seconds", "0.3", "--record", str(tmp_path / "x.flac")]
    assert main(arguments) == 128 + signal.SIGTERM
    monkeypatch.undo()
    noisy, clean = (SoundFile(tmp_path / f"x.{side}.flac").read() for side in ("noisy", "clean"))
    assert noisy.size == clean.size > 0


def test_a_signal_while_it_waits_breaks_no_lock(
    sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn: list[str] = []

    def restored(condition: threading.Condition, state: object) -> None:
        if threading.current_thread() is threading.main_thread() and len(drawn) == 1:
            send(signal.SIGINT)
        condition._lock.acquire()  # type: ignore[attr-defined]

    monkeypatch.setattr(command, "_draw", drawn.append)
    monkeypatch.setattr(threading.Condition, "_acquire_restore", restored)
    assert main(["record", "3", "-o", str(tmp_path / "x.wav")]) == 0
    assert 0 < audio.read(tmp_path / "x.wav").samples.shape[1] < RATE
    assert "missing" not in capsys.readouterr().err


def test_two_signals_at_once_end_at_once_and_say_what_is_missing(
    sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wait, given = Recorder.wait, threading.Event()

    def interrupted(self: Recorder, patience: float) -> bool:
        if self.taken:
            given.wait(0.4)
            send(signal.SIGINT, signal.SIGTERM)
        return wait(self, patience)

    monkeypatch.setattr(Recorder, "wait", interrupted)
    assert main(["record", "3", "-o", str(tmp_path / "x.wav")]) == 128 + signal.SIGTERM
    assert 0 < audio.read(tmp_path / "x.wav").samples.shape[1] <= 3 * RATE // 50
    said = capsys.readouterr().err
    assert re.search(r"^the last 0\.\d s are missing$", said, re.M) and "finishing" not in said


@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, "frcrn: interrupted\n"), (signal.SIGTERM, "")])
def test_a_signal_before_the_first_sound_writes_nothing(
    number: int, said: str, sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    sound.wave = sound.wave[:, :0]
    monkeypatch.setattr(Recorder, "wait", lambda self, patience: bool(send(number)))
    assert ended(["record", "1", "-o", str(tmp_path / "x.wav")]) == 128 + number
    assert capsys.readouterr().err == said
    assert not list(tmp_path.iterdir())


def test_a_pipe_that_nobody_reads_is_waited_for_until_ctrl_c(sound: FakeSound, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    before = signal.signal(signal.SIGALRM, lambda number, frame: os.kill(os.getpid(), signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        assert main(["record", "0.1", "-o", str(tmp_path / "pipe.wav")]) == 128 + signal.SIGINT
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_full_disk_keeps_what_was_heard(
    sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_model", lambda args: MODEL)
    write = SoundFile.write

    def full(self: SoundFile, samples: np.ndarray) -> None:
        write(self, samples)
        raise LibsndfileError(2)

    monkeypatch.setattr(SoundFile, "write", full)
    monkeypatch.setattr("frcrn.audio.writing._Encoder._cause", lambda *error: "No space left on device")
    assert main(["record", "2", "-o", str(tmp_path / "x.wav")]) == 2
    full_disk = "x.wav: cannot be written: No space left on device; what came before is kept\n"
    assert capsys.readouterr().err.endswith(full_disk)
    assert audio.read(tmp_path / "x.wav").samples.shape == (1, RATE // 50)


def test_an_earlier_recording_is_replaced_only_when_told(
    sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "load_model", lambda args: MODEL)
    first = tmp_path / "take.clean.wav"
    first.write_bytes(b"the first take")
    arguments = ["live", "--seconds", "0.1", "--record", str(tmp_path / "take.wav")]
    assert main(arguments) == 2
    there = f"frcrn: {first}: is there already; --force replaces it, and --record names another file\n"
    assert capsys.readouterr().err == there
    assert first.read_bytes() == b"the first take"
    assert not sound.opened
    assert main([*arguments, "--force"]) == 0
    assert first.stat().st_size > 44


def test_a_recording_is_replaced_only_when_told_and_when_there_is_another(
    sound: FakeSound, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "take.wav"
    file.write_bytes(b"the first take")
    arguments = ["record", "0.1", "-o", str(file)]
    assert main(arguments) == 2
    there = f"frcrn: {file}: is there already; --force replaces it, and -o names another file\n"
    assert capsys.readouterr().err == there and not sound.opened
    whole, sound.wave = sound.wave, sound.wave[:, :0]
    assert main([*arguments, "--force"]) == 2
    assert "gave no sound; nothing is written" in capsys.readouterr().err
    assert file.read_bytes() == b"the first take" and list(tmp_path.iterdir()) == [file]
    sound.wave = whole
    assert main([*arguments, "--force"]) == 0
    assert audio.read(file).samples.shape == (1, RATE // 10)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["record", "0.1", "-o", "take.wav"], ["take.wav"]),
        (["live", "--seconds", "0.1", "--record", "take.wav"], ["take.noisy.wav", "take.clean.wav"]),
    ],
)
def test_a_recording_that_came_meanwhile_stays_and_so_does_this_one(
    arguments: list[str],
    names: list[str],
    sound: FakeSound,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def another(settings: Any) -> None:
        for name in names:
            Path(name).write_bytes(b"another")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "load_model", lambda args: MODEL)
    monkeypatch.setattr(FakeStream, "start", lambda self, start=FakeStream.start: (another(self), start(self)))
    assert main(arguments) == 2
    second = [name.replace(".wav", "-2.wav") for name in names]
    said = f"frcrn: {names[0]}: came there meanwhile, and is not replaced; this one is in {second[0]}\n"
    assert capsys.readouterr().err.endswith(said)
    assert all(Path(name).read_bytes() == b"another" for name in names)
    assert all(audio.read(name).samples.shape[1] >= RATE // 10 for name in second)
    assert sorted(os.listdir()) == sorted([*names, *second])


def test_what_stops_the_network_is_said_and_what_was_heard_is_kept(
    sound: FakeSound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Quick):
        def step(self, frame: Any, state: Any) -> Any:
            if len(self.seen) > 8:
                raise ValueError("the network is broken")
            return super().step(frame, state)

    monkeypatch.setattr(command, "load_model", lambda args: Broken().eval())
    assert main(["live", "--record", str(tmp_path / "talk.wav"), "--seconds", "3"]) == 2
    assert "frcrn: the network is broken\n" in capsys.readouterr().err
    assert audio.read(tmp_path / "talk.noisy.wav").samples.shape[1] >= 4 * BLOCK


def test_whatever_a_driver_puts_there_is_finite_and_in_full_scale() -> None:
    memory = np.array([[np.nan, 0.25], [np.inf, -1e30], [-np.inf, 1.5]], np.float32)
    found = checked(memory)
    assert_array_equal(found, [[0, 1, -1], [0.25, -1, 1]])
    memory[:] = 7
    assert found.max() == 1  # it is a copy


def test_the_devices_are_listed(sound: FakeSound, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["live", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "  1 <  Desk microphone (2 in, 0 out, 16000 Hz)"
    assert lines[2] == "  2  > Loudspeaker (0 in, 2 out, 16000 Hz)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["live", "--channels", "0"], "--channels 0: expected 1 or more"),
        (["record", "1", "-o", "x.wav", "--channels", "0"], "--channels 0: expected 1 or more"),
        (["record", "0.00001", "-o", "x.wav"], "1e-05 seconds: expected a sample or more, of which there are 16000"),
        (["live", "--input", "i"], "choose from 0 Line, 1 Desk microphone"),
        (["live", "--input", "2"], "input '2' is no device here"),
        (["live", "--output", "desk"], "output 'desk' is no device here; choose from 2 Loudspeaker"),
        (["live", "--rate", "48000"], "does not open at 48000 Hz with (1, 2) channels: Invalid sample rate"),
        (["live", "--strength", "2"], "strength 2"),
        (["live", "--cushion", "-1"], "--cushion -1: expected milliseconds from 0"),
        (["live", "--seconds", "nan"], "--seconds nan"),
        (["live", "--record", "talk.txt"], "the extension .txt"),
        (["record", "0", "-o", "x.wav"], "0 seconds"),
        (["record", "1", "-o", "x.words"], "the extension .words"),
        (["record", "1", "-o", "x.wav", "--rate", "48000"], "does not open at 48000 Hz"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    arguments: list[str],
    message: str,
    sound: FakeSound,
    saved: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--model", saved]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["live"], ["live", "--list"], ["record", "1", "-o", "x.wav"]])
@pytest.mark.parametrize(
    ("module", "message"),
    [
        (None, 'pip install "frcrn[live]"'),
        ("raise OSError('PortAudio library not found')", "PortAudio library, which is not installed"),
        ("devices", "device was found on this machine"),
    ],
)
def test_without_portaudio_or_a_device_it_says_so(
    arguments: list[str],
    module: str | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if module == "devices":
        monkeypatch.setitem(sys.modules, "sounddevice", fake := FakeSound(noise(1, 10)))
        fake.found = []
    elif module:
        (tmp_path / "sounddevice.py").write_text(module)
        monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
        monkeypatch.syspath_prepend(tmp_path)
    else:
        monkeypatch.setitem(sys.modules, "sounddevice", None)  # type: ignore[arg-type]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_the_rate_is_the_networks_where_the_devices_take_it(sound: FakeSound) -> None:
    source, target = choose("input"), choose("output")
    assert common_rate(source, target, 1, 8000) == 8000
    assert common_rate(source._replace(rate=44100), target, 1, 24000) == 44100


def test_a_network_that_looks_ahead_is_refused(
    sound: FakeSound, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.save(FRCRN(FRCRNConfig.tiny(causal=False)), tmp_path / "offline.safetensors")
    assert main(["live", "--model", str(tmp_path / "offline.safetensors")]) == 2
    assert "cannot stream" in capsys.readouterr().err
