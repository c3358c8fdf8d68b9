"""What several calls and threads share (a stream, a network, an open file, the working folder) is never mixed up."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

import frcrn
from frcrn import audio
from frcrn.inference.network import evaluating
from frcrn.inference.streaming import Stream
from frcrn.models import Enhancer
from tests.fakes import CausalGain
from tests.networks import tiny

RATE = 16_000


def sound(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * RATE)).astype(np.float32)


class Interrupted(Exception):
    """Stands for Ctrl-C, or for a time limit that a signal keeps."""


def interrupt(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(*_: Any) -> Any:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(stream._runner, "step", step)
        with pytest.raises(Interrupted):
            stream.push(sound(0.1))


def test_a_stream_that_was_interrupted_does_not_go_on_as_if_nothing_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, wave = tiny(causal=True).stream(), sound(0.2)
    expected = np.concatenate([stream.push(wave), stream.flush()])
    interrupt(stream, monkeypatch)
    for work in (lambda: stream.push(wave), stream.flush):
        with pytest.raises(ValueError, match="has lost samples"):
            work()
    stream.reset()
    assert_array_equal(np.concatenate([stream.push(wave), stream.flush()]), expected)


def test_two_threads_do_not_mix_their_sound_in_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, inside, go = CausalGain(0.5).stream(), threading.Event(), threading.Event()
    step = stream._runner.step

    def slow(*given: Any) -> Any:
        inside.set()
        go.wait(20)
        return step(*given)

    monkeypatch.setattr(stream._runner, "step", slow)
    first = threading.Thread(target=stream.push, args=(sound(0.1),))
    first.start()
    assert inside.wait(20)
    with pytest.raises(ValueError, match="at work in another thread"):
        stream.push(sound(0.1, seed=1))
    go.set()
    first.join()
    assert stream.position == RATE // 10
    stream.push(sound(0.1))


def test_a_network_that_trains_evaluates_until_its_last_thread_is_done() -> None:
    network: Enhancer = tiny().train()
    first, second = evaluating(network), evaluating(network)
    with second:
        first.__enter__()
        assert not network.training
    assert not network.training
    first.__exit__(None, None, None)
    assert network.training


@pytest.mark.parametrize("kind", ["file", "unbuffered", "bytes"])
@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
def test_who_moves_an_open_file_moves_no_other_reader(kind: str, extension: str, tmp_path: Path) -> None:
    place = tmp_path / f"in.{extension}"
    audio.write(place, sound(10), RATE)
    expected = audio.read(place).samples
    with io.BytesIO(place.read_bytes()) if kind == "bytes" else open(place, "rb", -(kind == "file")) as file:
        parts = []
        for block in audio.blocks(file):
            parts.append(block)
            file.seek(100)
    assert_array_equal(np.concatenate(parts, axis=1), expected)


def test_a_folder_is_enhanced_where_it_was_when_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here", "there"):
        for name in ("a.wav", "b.wav"):
            (tmp_path / folder / "in").mkdir(parents=True, exist_ok=True)
            audio.write(tmp_path / folder / "in" / name, sound(0.1), RATE)
    monkeypatch.chdir(tmp_path / "here")
    elsewhere = tmp_path / "there"
    outcomes = frcrn.enhance_folder("in", "out", jobs=1, progress=lambda done, total: os.chdir(elsewhere))
    assert [(str(outcome.job.target), outcome.status) for outcome in outcomes] == [
        (os.path.join("out", name), "enhanced") for name in ("a.wav", "b.wav")
    ]
    assert sorted(path.name for path in (tmp_path / "here" / "out").glob("*.wav")) == ["a.wav", "b.wav"]
    assert [path.name for path in elsewhere.iterdir()] == ["in"]


def test_a_file_object_need_be_no_more_than_one_that_reads_and_seeks():
    class Plain(io.BytesIO):
        __hash__ = None

        def __eq__(self, other):
            return self is other

        def seek(self, *where):
            super().seek(*where)

    content = io.BytesIO()
    soundfile.write(content, np.zeros(800, np.float32), 16000, format="WAV")
    assert audio.read(Plain(content.getvalue())).samples.shape == (1, 800)
