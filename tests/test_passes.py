"""Several passes over a recording: what they are the mean of, who asks for them, and that streams have one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose, assert_array_equal

import frcrn
from frcrn.audio import Samples
from frcrn.export.parity import speech
from frcrn.inference import blockwise
from frcrn.inference.enhance import enhance, enhance_file
from frcrn.inference.one_file import Settings
from frcrn.models import Enhancer
from tests.fakes import CausalGain
from tests.networks import tiny


def slowly(network: Enhancer, wave: Samples, passes: int) -> Samples:
    """[C, T] -> the mean of whole runs over waves that begin a part of a hop later."""
    lates = [network.hop * number // passes for number in range(passes)]
    runs = [enhance(network, np.pad(wave, ((0, 0), (late, 0))))[:, late:] for late in lates]
    return np.mean(runs, axis=0)


def talk(length: int, channels: int = 2) -> Samples:
    wave = speech(16000, 1.0)
    return np.stack([np.resize(np.roll(wave, 999 * channel), length) for channel in range(channels)])


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "offline"])
@pytest.mark.parametrize("passes", [2, 3, 8])
@pytest.mark.parametrize("length", [1, 63, 16000])
def test_passes_are_the_mean_of_runs_whose_frames_begin_later(causal: bool, passes: int, length: int) -> None:
    network, wave = tiny(causal=causal), talk(length)
    assert_allclose(enhance(network, wave, passes=passes), slowly(network, wave, passes), atol=1e-6)


def test_a_long_wave_in_blocks_and_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    network, wave = tiny(causal=True), talk(50_000)
    whole = enhance(network, wave, passes=2)
    monkeypatch.setattr(blockwise, "PIECE", 0.7)
    monkeypatch.setattr("frcrn.inference.enhance.BLOCK", 1000)
    assert_allclose(enhance(network, wave, passes=2), whole, atol=1e-6)


def test_both_bands_stay_in_time_with_each_other() -> None:
    """A mask of one takes nothing away, however many passes there are."""
    wave = np.random.default_rng(1).uniform(-0.3, 0.3, 30_000).astype(np.float32)
    assert_allclose(enhance(CausalGain(1.0), wave, 48000, passes=3)[2000:-2000], wave[2000:-2000], atol=2e-3)


def test_files_have_as_many_passes_as_the_model_asks_for(tmp_path: Path) -> None:
    network, wave = tiny(causal=True, passes=2), talk(9000, 1)[0]
    soundfile.write(tmp_path / "in.wav", wave, 16000, subtype="FLOAT")
    for wanted in (None, 1, 3):
        enhance_file(tmp_path / "in.wav", tmp_path / "out.wav", model=network, passes=wanted)
        got = soundfile.read(tmp_path / "out.wav", dtype="float32")[0]
        assert_array_equal(got, enhance(network, wave, passes=wanted or 2))
    assert_array_equal(enhance(network, wave, passes=None), enhance(network, wave, passes=2))
    assert np.abs(enhance(network, wave, passes=2) - enhance(network, wave)).max() > 1e-4


def test_as_many_passes_as_the_model_asks_for_are_the_same_settings_as_none_said() -> None:
    silent, two, one = (Settings(passes=wanted).identity() for wanted in (None, 2, 1))
    assert silent == two != one


def test_the_bundled_model_asks_for_two_in_every_form_and_streams_with_one() -> None:
    wave = talk(8000, 1)[0]
    in_torch, in_c = frcrn.load(), frcrn.load(runtime="auto")
    twice = in_torch.enhance(wave, passes=None)
    assert_allclose(twice, in_torch.enhance(wave, passes=2), atol=0)
    assert_allclose(in_c.enhance(wave, passes=None), twice, atol=1e-4)
    stream = in_torch.stream()
    streamed = np.concatenate([stream.push(wave), stream.flush()])
    assert_allclose(streamed, in_torch.enhance(wave), atol=1e-5)


@pytest.mark.parametrize("wanted", [0, 9, 1.5, True, "2"])
def test_other_numbers_are_refused(wanted: object) -> None:
    for refused in (
        lambda: enhance(tiny(causal=True), talk(100), passes=wanted),  # type: ignore[arg-type]
        lambda: Settings(passes=wanted),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="accepted are whole numbers from 1 to 8"):
            refused()
    with pytest.raises(ValueError, match="passes"):
        frcrn.FRCRNConfig.from_dict({"passes": wanted})
