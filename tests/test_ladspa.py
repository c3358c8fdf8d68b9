"""The LADSPA plugin: in every host it gives what the library's stream gives, and it is safe in real time."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import frcrn
from frcrn.cli import main
from frcrn.export.ladspa import folder as ladspa
from frcrn.export.ladspa.host import Plugin
from frcrn.export.native import library
from frcrn.export.native.network import write_program
from frcrn.export.parity import speech
from frcrn.models import Enhancer
from tests.networks import lively, tiny

pytestmark = [
    pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler"),
    pytest.mark.skipif(sys.platform != "linux", reason="LADSPA plugins are made for Linux"),
]

Array = NDArray[np.float32]
RATE = 48000
LIMIT = "Attenuate by at most (dB)"


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def network() -> Enhancer:
    return lively(tiny(causal=True), 1, 8000)


@pytest.fixture(scope="module")
def plugins(network: Enhancer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of plugins, which take less time to compile than usual."""
    place = tmp_path_factory.mktemp("ladspa")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladspa, "OPTIONS", ["-O1", *ladspa.OPTIONS[1:]])
        ladspa.export_ladspa(network, place)
    yield place


def test_the_configuration_names_the_plugin(plugins: Path, network: Enhancer, tmp_path: Path) -> None:
    """Whatever the folder is called."""
    odd = tmp_path / 'a "place" \\ of its own'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladspa, "compiled", lambda kitchen, content, channels: plugins / ladspa.PLUGINS[channels])
        ladspa.export_ladspa(network, odd)
    text = (odd / ladspa.MICROPHONE).read_text(encoding="utf-8")
    (quoted,) = (line.partition("=")[2] for line in text.splitlines() if line.strip().startswith("plugin ="))
    assert Path(json.loads(quoted)) == odd / ladspa.PLUGINS[1]


def talk(seconds: float = 1.0) -> Array:
    return speech(RATE, seconds)


def streamed(model: Enhancer, wave: Array) -> Array:
    """[C, T] -> [C, T], as the library's stream gives it where the sound goes on in silence."""
    stream = model.stream(RATE, len(wave))
    return np.reshape(stream.push(np.pad(wave, ((0, 0), (0, RATE // 10)))), (len(wave), -1))[:, : wave.shape[1]]


def in_time(plugin: Plugin, wave: Array, size: int) -> Array:
    """[C, T] -> [C, T], without the latency."""
    late = 3000
    out = plugin.run(np.pad(wave, ((0, 0), (0, late))), size)
    return out[:, plugin.latency :][:, : wave.shape[1]]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("size", [1, 64, 480, 4096])
def test_blocks_of_any_size_give_what_the_stream_gives(
    channels: int, size: int, plugins: Path, network: Enhancer
) -> None:
    wave = np.stack([talk(0.5), talk(0.5)[::-1]])[:channels]
    with Plugin(plugins / ladspa.PLUGINS[channels], RATE) as plugin:
        assert_allclose(in_time(plugin, wave, size), streamed(network, wave), atol=1e-4)


def test_instances_do_not_hear_each_other_and_activate_begins_anew(plugins: Path) -> None:
    one, other = talk(0.4)[None], talk(0.4)[None, ::-1].copy()
    path = plugins / ladspa.PLUGINS[1]
    with Plugin(path, RATE) as first, Plugin(path, RATE) as second, Plugin(path, 44100) as third:
        alone = first.run(one, 480), second.run(other, 480)
        for plugin in (first, second):
            plugin.activate()
        third.run(other, 100)
        for start in range(0, one.shape[1], 480):
            for plugin, wave, truth in ((first, one, alone[0]), (second, other, alone[1])):
                assert_array_equal(plugin.run(wave[:, start : start + 480], 480), truth[:, start : start + 480])


def test_controls_say_how_much_is_removed(plugins: Path, network: Enhancer) -> None:
    wave = talk(0.4)[None]
    clean = streamed(network, wave)
    with Plugin(plugins / ladspa.PLUGINS[1], RATE) as plugin:
        for strength, limit, keep in ((0.0, 100.0, 1.0), (0.5, 100.0, 0.5), (1.0, 20.0, 0.1), (1.0, 0.0, 1.0)):
            plugin.controls["Strength"].value, plugin.controls[LIMIT].value = strength, limit
            plugin.activate()
            assert_allclose(in_time(plugin, wave, 480), keep * wave + (1 - keep) * clean, atol=1e-4)


def test_rates_below_the_networks_are_refused(plugins: Path) -> None:
    with pytest.raises(ValueError, match="no instance at 8000 Hz"):
        Plugin(plugins / ladspa.PLUGINS[1], 8000)


@pytest.mark.parametrize("size", [64, 4096])
def test_it_allocates_locks_and_asks_for_nothing_while_it_runs(
    size: int, plugins: Path, network: Enhancer, tmp_path: Path
) -> None:
    (tmp_path / "plugin.h").write_text(ladspa.own("plugin.h"))
    source = Path(__file__).with_name("ladspa_host.c")
    command = [str(library.compiler()), "-O1", "-rdynamic", "-I", str(tmp_path), str(source), "-o", "host", "-ldl"]
    built = subprocess.run([*command, "-lpthread"], cwd=tmp_path, capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"the watching host does not compile here: {built.stderr.splitlines()[0]}")
    wave = talk(0.5)
    plugin = str(plugins / ladspa.PLUGINS[1])
    done = subprocess.run(["./host", plugin, str(size)], cwd=tmp_path, input=wave.tobytes(), capture_output=True)
    assert done.returncode == 0, "killed by a system call" if done.returncode == -signal.SIGKILL else done.returncode
    with Plugin(plugin, RATE) as other:
        assert_array_equal(np.frombuffer(done.stdout, np.float32), other.run(wave[None], size)[0])


def threads(folder: Path, network: Enhancer, options: list[str], before: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a host of four threads on a plugin that was compiled with these options, behind a program that watches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladspa, "OPTIONS", ["-O1", "-g", "-shared", "-fPIC", *options])
        patch.setattr(ladspa, "TUNED", [])  # what watches may not know the newest instructions
        plugin = ladspa.compiled(folder, write_program(network), 1)
    host = str(Path(__file__).with_name("ladspa_threads.c"))
    command = [str(library.compiler()), "-O1", "-g", *options, "-I", ".", host, "-o", "threads", "-ldl", "-lpthread"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"the host does not compile here: {built.stderr.splitlines()[0]}")
    (folder / "in.f32").write_bytes(talk(0.5).tobytes())
    with (folder / "in.f32").open("rb") as wave:
        command = [*before, "./threads", str(plugin)]
        return subprocess.run(command, cwd=folder, stdin=wave, capture_output=True, text=True, check=False)


def test_threads_do_not_race_under_thread_sanitizer(network: Enhancer, tmp_path: Path) -> None:
    same_places = [shutil.which("setarch") or "setarch", "-R"]  # it needs addresses that are not random
    done = threads(tmp_path, network, ["-fsanitize=thread"], same_places)
    if "unexpected memory mapping" in done.stderr or "setarch" in done.stderr:
        pytest.skip(f"ThreadSanitizer does not run here: {done.stderr.splitlines()[0]}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@needs("valgrind")
def test_threads_do_not_race_under_helgrind(network: Enhancer, tmp_path: Path) -> None:
    done = threads(tmp_path, network, [], ["valgrind", "-q", "--tool=helgrind", "--error-exitcode=9"])
    assert (done.returncode, done.stderr) == (0, "")


@needs("listplugins", "analyseplugin")
def test_hosts_see_its_names_ports_and_ranges(plugins: Path) -> None:
    environment = os.environ | {"LADSPA_PATH": str(plugins)}
    listed = subprocess.run(["listplugins"], env=environment, capture_output=True, text=True, check=True).stdout
    assert "frcrn_mono" in listed and "frcrn_stereo" in listed
    for name, ports in (("frcrn_mono.so", 5), ("frcrn_stereo.so", 7)):
        about = subprocess.run(["analyseplugin", plugins / name], capture_output=True, text=True, check=True).stdout
        assert len(re.findall("(?:input|output), (?:audio|control)", about)) == ports
        assert '"Strength" input, control, 0 to 1, default 1' in about
        assert "Hard Real-Time" in about


@needs("applyplugin")
@pytest.mark.parametrize("channels", [1, 2])
def test_applyplugin_gives_what_the_stream_gives(
    channels: int, plugins: Path, network: Enhancer, tmp_path: Path
) -> None:
    wave = np.stack([talk(), talk()[::-1]])[:channels] / 2
    soundfile.write(tmp_path / "in.wav", np.pad(wave, ((0, 0), (0, 3000))).T, RATE, subtype="PCM_16")
    name = ladspa.PLUGINS[channels]
    command = ["applyplugin", "in.wav", "out.wav", plugins / name, Path(name).stem, "1", "100"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    noisy, out = (soundfile.read(tmp_path / f, dtype="float32", always_2d=True)[0].T for f in ("in.wav", "out.wav"))
    with Plugin(plugins / name, RATE) as plugin:
        plugin.run(noisy[:, :64], 64)
        late = plugin.latency
    truth = streamed(network, noisy)
    assert_allclose(out[:, late : late + wave.shape[1]], truth[:, : wave.shape[1]], atol=2e-4)


def ffmpeg_has_ladspa() -> bool:
    command = ["ffmpeg", "-hide_banner", "-filters"]
    return bool(shutil.which("ffmpeg")) and b" ladspa " in subprocess.run(command, capture_output=True).stdout


@pytest.mark.skipif(not ffmpeg_has_ladspa(), reason="no ffmpeg with the filter ladspa is installed")
def test_ffmpeg_gives_what_the_stream_gives(plugins: Path, network: Enhancer, tmp_path: Path) -> None:
    wave = np.pad(talk(), (0, 3000))
    soundfile.write(tmp_path / "in.wav", wave, RATE, subtype="FLOAT")
    text = f"ladspa=file={plugins / 'frcrn_mono.so'}:plugin=frcrn_mono:controls=c0=1|c1=100"
    command = ["ffmpeg", "-loglevel", "error", "-i", "in.wav", "-af", text, "-c:a", "pcm_f32le", "out.wav"]
    subprocess.run(command, cwd=tmp_path, check=True)
    out = soundfile.read(tmp_path / "out.wav", dtype="float32")[0]
    with Plugin(plugins / "frcrn_mono.so", RATE) as plugin:
        plugin.run(wave[None, :64], 64)
        late = plugin.latency
    assert_allclose(out[late:], streamed(network, wave[None])[0, : len(wave) - late], atol=1e-4)


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str], plugins: Path) -> None:
    instructions = (plugins / ladspa.README).read_text()
    assert str(plugins) in instructions and "@" not in re.sub(r"`[^`]*`", "", instructions)
    assert f'plugin = "{plugins / "frcrn_mono.so"}"' in (plugins / ladspa.MICROPHONE).read_text()
    assert main(["export", "--format", "ladspa", "--int8", "-o", str(tmp_path)]) == 2
    assert "--int8 belongs to --format onnx" in capsys.readouterr().err


def test_without_a_compiler_it_says_so(network: Enhancer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(frcrn.audio.MissingPackage, match="needs a C compiler, and there is none"):
        ladspa.export_ladspa(network, tmp_path / "there")
    assert not (tmp_path / "there").exists()


PIPEWIRE = """
context.properties = { core.daemon = true core.name = pipewire-0 support.dbus = false default.clock.rate = 48000 }
context.spa-libs = { audio.convert.* = audioconvert/libspa-audioconvert support.* = support/libspa-support }
context.modules = [
    { name = libpipewire-module-protocol-native } { name = libpipewire-module-client-node }
    { name = libpipewire-module-adapter } { name = libpipewire-module-metadata } { name = libpipewire-module-access }
    { name = libpipewire-module-spa-node-factory } { name = libpipewire-module-link-factory }
]
context.objects = [
    { factory = spa-node-factory args = {
        factory.name = support.node.driver node.name = driver node.group = pipewire.dummy priority.driver = 20000 } }
    { factory = adapter args = { factory.name = support.null-audio-sink node.name = microphone
        media.class = Audio/Source/Virtual audio.position = MONO priority.session = 2000 } }
]
"""


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is stopped in the end, with all that it began."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def until(command: list[str], environment: dict[str, str], text: str = "") -> None:
    """Wait for a command to succeed and to print something."""
    for _ in range(100):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode == 0 and text in done.stdout:
            return
        time.sleep(0.1)
    pytest.skip(f"PipeWire does not run here: {' '.join(command)}: {done.stderr or done.stdout}")


@pytest.mark.slow
@needs("pipewire", "wireplumber", "dbus-run-session", "pw-cat", "pw-link")
def test_pipewire_makes_a_clean_microphone(tmp_path: Path) -> None:
    """A file goes into a virtual microphone; what a program records from the plugin's is the library's output."""
    assert main(["export", "--format", "ladspa", "-o", str(tmp_path / "made")]) == 0
    for name in ("run", "configuration/pipewire.conf.d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "configuration/pipewire.conf").write_text(PIPEWIRE)
    shutil.copy(tmp_path / "made" / ladspa.MICROPHONE, tmp_path / "configuration/pipewire.conf.d")
    wave = talk(4.0)
    soundfile.write(tmp_path / "in.wav", wave, RATE)
    client = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "HOME": str(tmp_path)}
    daemon = client | {"PIPEWIRE_CONFIG_DIR": str(tmp_path / "configuration")}
    with running(["pipewire", "-c", "pipewire.conf"], daemon):
        until(["pw-cli", "info", "0"], client)
        with running(["dbus-run-session", "--", "wireplumber"], client):
            until(["pw-link", "-il"], client, "capture.frcrn")
            recorder = ["pw-cat", "-r", "--target", "frcrn_microphone", "--channels", "1", "--format", "f32"]
            with running([*recorder, str(tmp_path / "out.wav")], client) as recording:
                until(["pw-link", "-l"], client, "frcrn_microphone:capture_MONO")
                with running(["pw-cat", "-p", "--target", "0", str(tmp_path / "in.wav")], client) as playing:
                    until(["pw-link", "pw-cat:output_MONO", "microphone:input_MONO"], client)
                    playing.wait(timeout=30)
                time.sleep(0.5)
                recording.send_signal(signal.SIGINT)
                recording.wait(timeout=30)
    got = soundfile.read(tmp_path / "out.wav")[0]
    clean = streamed(frcrn.load(), wave[None])[0]
    # from 1 s on, as playing begins before it is linked; hops begin elsewhere, so it is the same but not to the bit
    part = clean[RATE : 3 * RATE]
    size = len(got) + len(part)
    start = int(np.fft.irfft(np.fft.rfft(got, size) * np.conj(np.fft.rfft(part, size)), size).argmax())
    there = got[start : start + len(part)]
    assert np.corrcoef(there, part)[0, 1] > 0.98
    quiet = np.abs(part) < 1e-3
    assert np.square(there[quiet]).mean() < 0.1 * np.square(wave[RATE : 3 * RATE][quiet]).mean()
