from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from frcrn import FRCRN, FRCRNConfig, audio
from frcrn.audio import AudioError, AudioFormat, Samples, loudness
from frcrn.inference import blockwise
from frcrn.inference.enhance import enhance, enhance_file
from frcrn.models import checkpoint
from frcrn.models.base import Enhancer
from tests.fakes import CausalGain, Fake, Gain, Normalise, Smooth
from tests.networks import lively

RNG = np.random.default_rng(0)
RATES = [8000, 11025, 16000, 44100, 48000, 192000]
SUBTYPES = [
    ("x.wav", "PCM_U8", 2**-7),
    ("x.wav", "PCM_16", 2**-15),
    ("x.wav", "PCM_24", 2**-23),
    ("x.wav", "PCM_32", 2**-23),
    ("x.wav", "FLOAT", 2**-23),
    ("x.flac", "PCM_16", 2**-15),
    ("x.flac", "PCM_24", 2**-23),
]


def speechlike(length: int, rate: int = 16000, channels: int = 1) -> Samples:
    """[C, T]: tones below 3 kHz under a slow envelope, so that no resampling takes anything away."""
    time = np.arange(length) / rate
    wave = sum(0.1 * np.sin(2 * np.pi * hertz * time + hertz) for hertz in (180, 440, 1270, 2630))
    wave = wave * (0.6 + 0.4 * np.sin(2 * np.pi * 1.7 * time))
    return np.stack([wave * (1 - 0.2 * channel) for channel in range(channels)]).astype(np.float32)


def noise(length: int, channels: int = 1, peak: float = 0.5) -> Samples:
    return RNG.uniform(-peak, peak, (channels, length)).astype(np.float32)


def shorten(monkeypatch: pytest.MonkeyPatch, whole: float = 1.5, piece: float = 1.0) -> None:
    """Cut at lengths that a test can afford."""
    lengths = {"WHOLE": whole, "PIECE": piece, "OVERLAP": 0.2, "GUARD": 0.05}
    for name, seconds in lengths.items():
        monkeypatch.setattr(blockwise, name, seconds)


# what comes back is what was given


@pytest.mark.parametrize("network", [Gain(0.5), CausalGain(0.5)], ids=["offline", "causal"])
@given(st.integers(1, 3), st.integers(1, 3000))
def test_the_clean_wave_is_aligned_and_as_long(network: Enhancer, channels: int, length: int) -> None:
    wave = noise(length, channels)
    assert_allclose(enhance(network, wave), 0.5 * wave, atol=1e-7)
    assert_allclose(enhance(network, wave[0]), 0.5 * wave[0], atol=1e-7)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("network", [Gain(0.5), CausalGain(0.5)], ids=["offline", "causal"])
def test_any_rate_comes_back_in_place(network: Enhancer, rate: int) -> None:
    wave = speechlike(rate, rate, channels=2)
    clean = enhance(network, wave, rate)
    edge = rate // 50
    assert clean.shape == wave.shape
    assert_allclose(clean[:, edge:-edge], 0.5 * wave[:, edge:-edge], atol=1e-3)


@given(st.sampled_from([1000, 3000, 11025, 44100, 48000, 384000]), st.integers(1, 300))
def test_very_short_waves_keep_their_length(rate: int, length: int) -> None:
    for network in (Gain(), CausalGain()):
        clean = enhance(network, noise(length, 2), rate)
        assert clean.shape == (2, length)
        assert np.isfinite(clean).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int16", "int32", "uint8", ">i2", ">f4"])
def test_any_array_type_comes_back(dtype: str) -> None:
    wave = audio.like(np.zeros(0, dtype), speechlike(800, channels=2))
    clean = enhance(CausalGain(1.0), wave)
    assert clean.dtype == wave.dtype
    assert_allclose(clean.astype(np.float64), wave.astype(np.float64), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int16])
def test_any_tensor_type_comes_back(dtype: torch.dtype) -> None:
    wave = audio.like(torch.zeros(0, dtype=dtype), speechlike(800)[0])
    wave.requires_grad_(dtype.is_floating_point)
    clean = enhance(CausalGain(1.0), wave)
    assert isinstance(clean, torch.Tensor)
    assert (clean.dtype, clean.requires_grad) == (wave.dtype, False)
    torch.testing.assert_close(clean, wave.detach(), atol=1e-7, rtol=1e-6)


def test_the_input_is_left_alone() -> None:
    wave = noise(5000, 2)
    wave.flags.writeable = False
    before = wave.copy()
    enhance(Gain(2.0), wave, 44100)
    enhance(Gain(2.0), wave[:, ::-2])
    assert_array_equal(wave, before)


def test_the_network_is_evaluated_and_left_as_it_was() -> None:
    network = Gain().train()
    modes: list[bool] = []
    network.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    enhance(network, noise(100))
    assert modes == [False]
    assert network.training


def test_an_error_that_is_kept_keeps_no_network_from_training(tmp_path: Path) -> None:
    network, kept = Gain().train(), []
    audio.write(tmp_path / "a.wav", noise(32_000), 16_000)

    def stop(done: float) -> None:
        raise RuntimeError(f"at {done}")

    try:
        enhance_file(tmp_path / "a.wav", tmp_path / "b.wav", model=network, progress=stop)
    except RuntimeError as error:
        kept.append(error)
    assert kept
    assert network.training


# level


def released_gain(wave: Samples, level_dbfs: float) -> float:
    """The two normalisations one after the other, in double precision, as the released pipeline does them."""
    target = 10 ** (level_dbfs / 20)
    first = target / np.sqrt(np.square(wave, dtype=np.float64).mean())
    power = np.square(wave * first)
    return float(first * target / np.sqrt(power[power > power.mean()].mean()))


@pytest.mark.parametrize("factor", [1e-30, 1e-5, 1.0, 3.0])
def test_a_network_is_fed_at_its_level_and_the_gain_is_undone(factor: float) -> None:
    wave = (speechlike(16000, channels=2) + 0.2 * noise(16000, 2)) * np.float32(factor)
    network = Gain(0.5, level_dbfs=-25)
    clean = enhance(network, wave)
    for channel in (0, 1):
        expected = wave[channel].astype(np.float64) * released_gain(wave[channel], -25)
        assert_allclose(network.seen[0][channel], expected, rtol=1e-5, atol=1e-9)
    assert_allclose(clean, 0.5 * wave, rtol=1e-5)


def test_the_level_is_that_of_the_whole_file_at_the_networks_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    wave = speechlike(5 * 48000, 48000) * np.linspace(0.02, 1, 5 * 48000, dtype=np.float32)
    network = Gain(level_dbfs=-25)
    enhance(network, wave, 48000)
    at_16k = audio.resample(wave, 48000, 16000)
    assert len(network.seen) > 5
    expected = at_16k[0, :16000] * released_gain(at_16k[0], -25)
    assert_allclose(network.seen[0][0], expected[: network.seen[0].shape[1]], atol=1e-5)


def test_a_wave_of_constant_power_has_a_level_too() -> None:
    wave = np.tile(np.float32([0.25, -0.25]), 500)
    network = Gain(level_dbfs=-25)
    assert_allclose(enhance(network, wave), wave, rtol=1e-6)
    assert_allclose(network.seen[0].abs(), 10 ** (-25 / 20), rtol=1e-6)


@pytest.mark.parametrize("level_dbfs", [None, -25.0])
@pytest.mark.parametrize("kind", [Gain, CausalGain])
def test_silence_stays_silence(kind: type[Gain], level_dbfs: float | None) -> None:
    class Hum(kind):  # type: ignore[misc, valid-type]
        def clean(self, wave: torch.Tensor) -> torch.Tensor:
            return wave + 0.1

    wave = noise(4000, 2)
    wave[1] = 0
    for rate in (16000, 44100):
        assert_array_equal(enhance(Hum(level_dbfs=level_dbfs), 0 * wave, rate), 0 * wave)
        assert_array_equal(enhance(Hum(level_dbfs=level_dbfs), wave, rate)[1], wave[1])


@given(st.floats(0.9, 4), st.floats(0.3, 1), st.integers(0, 2**31))
def test_nothing_is_clipped_that_was_not(factor: float, peak: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    wave = np.clip(random.normal(0, peak / 2, (2, 3000)), -1, 1).astype(np.float32)
    clean = enhance(Gain(factor), wave)
    assert np.abs(clean).max() <= 1
    full = 1 - 2**-15
    assert not ((np.abs(clean) >= full) & (np.abs(wave) < full)).any()
    assert_array_equal(np.signbit(clean), np.signbit(wave))


def test_what_is_too_loud_is_turned_down_without_flat_tops() -> None:
    """What is too loud keeps its shape, and what is far from it is untouched."""
    wave = speechlike(200_000)
    wave = wave / np.abs(wave).max()
    clean = enhance(Gain(1.5), wave)
    turned = np.abs(clean - 1.5 * wave) > 1e-6
    assert 0.01 < turned.mean() < 0.7
    ratio = clean[turned] / wave[turned]
    edges = np.flatnonzero(np.diff(np.signbit(wave[turned])))
    assert np.abs(np.diff(ratio))[np.setdiff1d(np.arange(len(ratio) - 1), edges)].max() < 0.5
    assert np.abs(np.diff(clean)).max() < 1.5 * np.abs(np.diff(wave)).max() * 1.01


def test_blocks_change_nothing_about_turning_down() -> None:
    wave = np.sin(np.arange(3000) / 50, dtype=np.float32)[None] * np.linspace(0.1, 1.5, 3000, dtype=np.float32)
    limit = np.array([loudness.CEILING])
    whole = np.concatenate(list(loudness.bounded([(wave, 0 * wave)], limit)), axis=1)
    cuts = np.split(wave, [10, 11, 150, 333, 2700], axis=1)
    joined = np.concatenate(list(loudness.bounded(((cut, 0 * cut) for cut in cuts), limit)), axis=1)
    assert_allclose(joined, whole, rtol=1e-6)
    assert np.abs(whole).max() <= loudness.CEILING
    assert_array_equal(whole[:, :1000], wave[:, :1000])


def test_what_came_in_clipped_goes_out_without_clipping_and_clicks() -> None:
    time = np.arange(48_000) / 48_000
    loud = np.sin(2 * np.pi * 200 * time) * (0.5 + np.exp(-((time - 0.5) ** 2) / 0.002))
    clipped = loud.clip(-1, 1).astype(np.float32)
    clean = enhance(Gain(1.3), clipped, 48_000)
    assert (np.abs(clean) >= 1).sum() == 0
    edges = np.abs(np.diff(clean, 3))
    assert edges.max() < 1.5 * np.abs(np.diff(clipped, 3)).max()


@pytest.mark.parametrize("peak", [2.0, 1e20, 1e38])
def test_waves_beyond_full_scale_stay_as_loud(peak: float) -> None:
    wave = noise(2000) * np.float32(2 * peak)
    for network in (Gain(), CausalGain(), Gain(level_dbfs=-25)):
        assert_allclose(enhance(network, wave), wave, rtol=1e-5)
        assert np.isfinite(enhance(network, wave, 44100)).all()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_what_is_made_of_the_largest_numbers_is_finite(strength: float, residual: bool) -> None:
    wave = noise(2000)
    wave[:, 300], wave[:, 301] = -3.4028e38, 3.4028e38
    for network in (Gain(1.5), Gain(-1.5)):
        clean = enhance(network, wave, strength=strength, residual=residual)
        assert np.isfinite(clean).all()


# how much is removed


@given(st.floats(0, 1), st.one_of(st.none(), st.floats(0, 60)))
def test_strength_and_attenuation_limit(strength: float, limit: float | None) -> None:
    wave = noise(1000)
    keep = max(1 - strength, 0 if limit is None else 10 ** (-limit / 20))
    clean = enhance(Gain(0.0), wave, strength=strength, max_attenuation_db=limit)
    assert_allclose(clean, keep * wave, atol=1e-6)
    removed = enhance(Gain(0.0), wave, strength=strength, max_attenuation_db=limit, residual=True)
    assert_allclose(clean + removed, wave, atol=1e-6)


@pytest.mark.parametrize(("strength", "rate"), [(1.0, 16000), (0.3, 44100)])
def test_what_was_removed_is_what_the_limiter_took_too(strength: float, rate: int) -> None:
    wave = noise(20_000, 2, peak=1.0)
    clean, removed = (enhance(Gain(1.5), wave, rate, strength=strength, residual=wanted) for wanted in (False, True))
    assert (np.abs(1.4 * wave) > 1).any() and np.abs(clean).max() <= 1
    assert_allclose(clean + removed, wave, atol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_more_removed_than_a_file_holds_is_said(subtype: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    audio.write(tmp_path / "x.wav", noise(2000, peak=0.9), 16000, AudioFormat("WAV", subtype))
    enhance_file(tmp_path / "x.wav", tmp_path / "y.wav", model=Gain(-1.0), residual=True)
    assert ("beyond full scale" in caplog.text) == (subtype == "PCM_16")
    assert (np.abs(audio.read(tmp_path / "y.wav").samples).max() > 1.5) == (subtype == "FLOAT")


@pytest.mark.parametrize("kind", ["int16", "float32"])
def test_more_removed_than_whole_numbers_hold_is_said(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    wave = audio.like(np.zeros(0, kind), noise(2000, peak=0.9))
    enhance(Gain(-1.0), wave, residual=True)
    assert ("beyond full scale" in caplog.text) == (kind == "int16")


@pytest.mark.parametrize("rate", [16000, 44100])
def test_strength_zero_is_the_input(rate: int) -> None:
    wave = noise(70_000, 2, peak=1.0)
    assert_array_equal(enhance(CausalGain(0.3), wave, rate, strength=0), wave)
    assert_array_equal(enhance(CausalGain(0.3), wave, rate, strength=0, residual=True), 0 * wave)


# what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": -0.1}, "strength -0.1: accepted are numbers from 0 to 1"),
        ({"strength": float("nan")}, "strength nan"),
        ({"max_attenuation_db": -3}, "max_attenuation_db -3: accepted are numbers from 0"),
        ({"max_attenuation_db": float("nan")}, "max_attenuation_db nan"),
        ({"rate": 0}, "sample rate 0: expected a positive whole number"),
        ({"rate": 44100.5}, "sample rate 44100.5"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        enhance(Gain(), noise(100), **settings)


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (np.zeros((2, 3, 4), np.float32), r"shape \(2, 3, 4\): expected \[time\] or \[channels, time\]"),
        (np.zeros((16000, 2), np.float32), r"shape \(16000, 2\): expected \[time\] or \[channels, time\]"),
        (np.zeros(0, np.float32), "holds no samples"),
        (np.zeros((2, 0), np.float32), "holds no samples"),
        (np.zeros((0, 9), np.float32), "holds no samples"),
        (np.zeros(9, complex), "wave of type complex128: accepted are float16"),
        (np.zeros(9, np.int64), "wave of type int64"),
        ([0.0, 0.1], "found list"),
    ],
)
def test_what_is_no_wave_is_refused(wave: Any, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        enhance(Gain(), wave)


def test_samples_that_are_no_numbers_are_named_or_repaired() -> None:
    wave = noise(3000, 2)
    wave[1, 1600] = np.nan
    with pytest.raises(AudioError, match=r"sample 1600 \(0.100 s\) of channel 1 is nan"):
        enhance(Gain(), wave)
    with pytest.raises(AudioError, match="sample 0 .* is inf"):
        enhance(Gain(), np.array([1e300, 0.0]))
    repaired = enhance(Gain(), wave, repair=True)
    assert_array_equal(repaired, np.nan_to_num(wave, nan=0.0))


@pytest.mark.parametrize("kind", [Gain, CausalGain])
def test_a_damaged_network_is_an_error_and_not_nan(kind: type[Gain]) -> None:
    with pytest.raises(ValueError, match="the network returned NaN or Inf"):
        enhance(kind(float("nan")), noise(100))


# long waves


@given(st.integers(1, 2_000_000), st.sampled_from([32, 320]))
def test_pieces_cover_everything_and_are_alike(length: int, hop: int) -> None:
    network = Gain()
    network.hop, network.window = hop, 2 * hop
    starts, overlap = blockwise.pieces(network, length)
    ends = [start + overlap for start in starts[1:]] + [length]
    sizes = [end - start for start, end in zip(starts, ends, strict=True)]
    assert starts[0] == 0
    assert all(start % hop == 0 for start in starts)
    assert max(sizes) <= (blockwise.WHOLE if len(starts) == 1 else blockwise.PIECE) * 16000 + hop
    assert (len(starts) == 1) == (length <= blockwise.WHOLE * 16000)
    assert len(starts) == 1 or min(sizes) >= max(sizes) - len(starts) * hop
    assert len(starts) == 1 or min(sizes) > overlap


def test_pieces_of_a_local_network_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Smooth(reach=400)
    wave = torch.from_numpy(noise(100_003, 2))
    whole = network(wave).wave
    shorten(monkeypatch)
    network.seen.clear()
    torch.testing.assert_close(enhance(network, wave), whole, atol=1e-5, rtol=0)
    assert len(network.seen) > 6
    assert max(seen.shape[1] for seen in network.seen) <= 16032


def test_pieces_of_a_global_network_fade_into_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece comes out at a gain of its own here; the gain of what is joined may not jump."""
    shorten(monkeypatch)
    envelope = np.repeat([0.1, 0.5, 0.2, 0.9], 20_000)[None].astype(np.float32)
    clean = enhance(Normalise(), envelope)
    gain = clean / envelope
    assert gain.max() / gain.min() > 3
    assert np.abs(np.diff(gain)).max() < 2e-3


def test_many_channels_share_the_memory_of_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    wave = noise(8000, 9)
    for network in (Gain(0.5), CausalGain(0.5)):
        assert_allclose(enhance(network, wave), 0.5 * wave, atol=1e-7)
        assert len(network.seen) > 4
        assert max(seen.numel() for seen in network.seen) <= 16000


def test_blocks_of_a_causal_network_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network = FRCRN(FRCRNConfig.tiny(causal=True)).eval()
    wave = torch.from_numpy(noise(30_011, 2, peak=0.1))
    with torch.inference_mode():
        whole = network(wave).wave
    shorten(monkeypatch, piece=0.3)
    torch.testing.assert_close(enhance(network, wave), whole, atol=1e-5, rtol=0)


def test_pieces_of_the_network_come_close_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost is the mean over the whole clip, and only it: a seam adds no error that its pieces do not have."""
    torch.manual_seed(0)
    network = lively(FRCRN(FRCRNConfig.tiny(causal=False)).eval(), 2, 16000)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.mul_(5 if "head" in name else 3 if "se_" in name else 1)
    wave = speechlike(100_000) + 0.05 * noise(100_000)
    whole = enhance(network, wave)[0]
    monkeypatch.setattr(blockwise, "WHOLE", 1.0)
    monkeypatch.setattr(blockwise, "PIECE", 2.0)
    starts, overlap = blockwise.pieces(network, 100_000)
    error = np.square(enhance(network, wave)[0] - whole)
    seams = np.concatenate([np.arange(start, start + overlap) for start in starts[1:]])
    assert len(starts) > 5
    assert 1e-4 < np.sqrt(error.mean() / np.square(whole).mean()) < 0.03
    assert error[seams].mean() < 2 * np.delete(error, seams).mean()


@pytest.mark.slow
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "offline"])
def test_memory_does_not_grow_with_the_length(tmp_path: Path, causal: bool) -> None:
    checkpoint.save(FRCRN(FRCRNConfig.tiny(causal=causal)).eval(), tmp_path / "tiny.safetensors")
    script = Path(__file__).parent.parent / "benchmarks" / "memory.py"
    command = [sys.executable, str(script), "--model", str(tmp_path / "tiny.safetensors"), "--seconds", "300", "1800"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    five_minutes, half_an_hour = (float(row.split()[2]) for row in done.stdout.splitlines()[-2:])
    assert half_an_hour < five_minutes + 20


def test_the_method_is_bound() -> None:
    wave = noise(1000)
    assert_array_equal(Gain(0.5).enhance(wave, 16000), enhance(Gain(0.5), wave, 16000))


# files


@pytest.mark.parametrize(("name", "subtype", "error"), SUBTYPES)
@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_file_comes_back_in_its_own_form(tmp_path: Path, name: str, subtype: str, error: float, rate: int) -> None:
    container = "WAV" if name.endswith("wav") else "FLAC"
    audio.write(tmp_path / name, speechlike(9000, rate, 3), rate, AudioFormat(container, subtype))
    before = audio.read(tmp_path / name)
    enhance_file(tmp_path / name, tmp_path / f"clean_{name}", model=Gain(0.5))
    after = audio.read(tmp_path / f"clean_{name}")
    assert (after.rate, after.format) == (before.rate, before.format)
    assert_allclose(after.samples, enhance(Gain(0.5), before.samples, rate), rtol=0, atol=error / 2 + 1e-7)


@pytest.mark.parametrize("name", ["x.mp3", "x.ogg", "x.opus"])
@pytest.mark.parametrize("length", [1, 500, 48123])
def test_a_lossy_file_comes_back_as_long(tmp_path: Path, name: str, length: int) -> None:
    audio.write(tmp_path / name, speechlike(length, 48000, 2), 48000)
    before = audio.read(tmp_path / name)
    enhance_file(tmp_path / name, tmp_path / f"clean_{name}", model=CausalGain())
    after = audio.read(tmp_path / f"clean_{name}")
    assert (after.samples.shape, after.rate, after.format) == (before.samples.shape, before.rate, before.format)


def test_files_are_enhanced_as_arrays_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    form = AudioFormat("WAV", "FLOAT")
    audio.write(tmp_path / "x.wav", noise(150_000, 2), 44100, form)
    network = FRCRN(FRCRNConfig.tiny(causal=False, level_dbfs=-25.0)).eval()
    settings: dict[str, Any] = {"strength": 0.8, "max_attenuation_db": 20, "residual": True}
    enhance_file(tmp_path / "x.wav", tmp_path / "y.wav", model=network, **settings)
    expected = enhance(network, audio.read(tmp_path / "x.wav").samples, 44100, **settings)
    assert_allclose(audio.read(tmp_path / "y.wav").samples, expected, atol=1e-6)


def test_bytes_and_file_objects_are_sources(tmp_path: Path) -> None:
    audio.write(tmp_path / "x.wav", noise(2000), 16000)
    content = (tmp_path / "x.wav").read_bytes()
    for source in (content, io.BytesIO(content)):
        enhance_file(source, tmp_path / "y.wav", model=Gain())
        assert_array_equal(audio.read(tmp_path / "y.wav").samples, audio.read(content).samples)


def test_mono_mixes_the_channels(tmp_path: Path) -> None:
    wave = speechlike(2000, channels=2)
    audio.write(tmp_path / "x.flac", wave, 16000)
    enhance_file(tmp_path / "x.flac", tmp_path / "y.flac", model=Gain(), mono=True)
    assert_allclose(audio.read(tmp_path / "y.flac").samples, wave.mean(axis=0, keepdims=True), atol=2**-15)


def test_a_file_may_be_enhanced_in_place(tmp_path: Path) -> None:
    audio.write(tmp_path / "x.wav", speechlike(2000), 16000)
    before = audio.read(tmp_path / "x.wav").samples
    enhance_file(tmp_path / "x.wav", tmp_path / "x.wav", model=Gain(0.5))
    assert_allclose(audio.read(tmp_path / "x.wav").samples, 0.5 * before, atol=2**-15)


def test_the_extension_of_the_target_chooses_the_format(tmp_path: Path) -> None:
    audio.write(tmp_path / "x.wav", noise(2000), 16000, AudioFormat("WAV", "PCM_24"))
    enhance_file(tmp_path / "x.wav", tmp_path / "y.flac", model=Gain())
    assert audio.read(tmp_path / "y.flac").format == ("FLAC", "PCM_24")


def test_a_misnamed_file_keeps_what_it_really_is(tmp_path: Path) -> None:
    audio.write(tmp_path / "x.wav", noise(2000), 16000, AudioFormat("FLAC", "PCM_16"))
    enhance_file(tmp_path / "x.wav", tmp_path / "y.wav", model=Gain())
    assert audio.read(tmp_path / "y.wav").format == ("FLAC", "PCM_16")


def test_progress_rises_to_one(tmp_path: Path) -> None:
    audio.write(tmp_path / "x.wav", noise(200_000), 16000)
    steps: list[float] = []
    enhance_file(tmp_path / "x.wav", tmp_path / "y.wav", model=Gain(), progress=steps.append)
    assert steps == sorted(steps)
    assert steps[-1] == 1


def test_a_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    wave = noise(20_000)
    wave[0, 19_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", wave.T, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "good.wav", noise(20_000).T, 16000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:9000])
    (tmp_path / "none.wav").write_bytes(b"")
    present = sorted(tmp_path.iterdir())
    for name, reason in [("nan.wav", "sample 19000 "), ("cut.wav", "truncated"), ("none.wav", "is empty")]:
        with pytest.raises(AudioError, match=f"{name}: .*{reason}"):
            enhance_file(tmp_path / name, tmp_path / "y.wav", model=Gain())
    with pytest.raises(ValueError, match="good.wav: the network returned NaN"):
        enhance_file(tmp_path / "good.wav", tmp_path / "y.wav", model=Gain(float("nan")))

    class Interrupted(Fake):
        def clean(self, wave: torch.Tensor) -> torch.Tensor:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enhance_file(tmp_path / "good.wav", tmp_path / "y.wav", model=Interrupted())
    assert sorted(tmp_path.iterdir()) == present


def test_repair_reaches_files(tmp_path: Path) -> None:
    wave = noise(20_000)
    wave[0, 5] = np.inf
    soundfile.write(tmp_path / "x.wav", wave.T, 16000, subtype="FLOAT")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "x.wav").read_bytes()[:9000])
    for name in ("x.wav", "cut.wav"):
        enhance_file(tmp_path / name, tmp_path / "y.wav", model=Gain(), repair=True)
        clean = audio.read(tmp_path / "y.wav").samples
        expected = np.where(np.isinf(wave), 0, wave)[:, : clean.shape[1]]
        assert_array_equal(clean, expected)
        assert clean.shape[1] > 2000
