"""Losses against the released recipe, against independent formulas, and on silence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from frcrn.audio.sample import sample
from frcrn.models import FRCRN, FRCRNConfig
from frcrn.models.base import Estimate, Stage
from frcrn.models.layers.stft import STFT
from frcrn.training.losses.losses import (
    LOSSES,
    CompressedSpectrum,
    Intelligibility,
    LogPowerError,
    MaskError,
    MultiResolutionStft,
    NoiseLeft,
    SiSnr,
    Snr,
    WaveError,
)
from frcrn.training.losses.objective import Losses, build_losses
from frcrn.training.losses.pesq import BEST, quality
from frcrn.training.losses.ratios import scale_invariant_snr
from frcrn.training.losses.spectra import frames, spectrum
from frcrn.training.losses.stoi import intelligibility

WINDOW, HOP, SAMPLES = 64, 32, 64 + 32 * 20
SMALL = {"multi_resolution_stft": {"windows": [32, 64]}, "stoi": {"sample_rate": 400}, "pesq": {"sample_rate": 2000}}
"""Options for waves of 704 samples."""
EVERY = {name: SMALL.get(name, {}) for name in LOSSES if name not in ("voice_activity", "dnsmos")}  # of networks
EVERY["pauses"] = {"kind": "noise_left", "pauses": True}
EVERY |= {each: {"kind": "compressed_spectrum", "measure": each} for each in ("l1", "ratio", "correlation")}
EVERY["normalised"] = {"kind": "compressed_spectrum", "normalise": True}


def waves(seed: int = 0, batch: int = 3, samples: int = SAMPLES) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    clean = 0.1 * torch.randn(batch, samples, generator=generator)
    return clean + 0.05 * torch.randn(batch, samples, generator=generator), clean


def estimate_of(*found: torch.Tensor, masks: tuple[torch.Tensor, ...] = ()) -> Estimate:
    stft = STFT(WINDOW, HOP)
    specs = [stft.analyse(wave) for wave in found]
    masks = masks or tuple(torch.zeros_like(spec) for spec in specs)
    stages = tuple(Stage(spec, mask, wave) for spec, mask, wave in zip(specs, masks, found, strict=True))
    return Estimate(found[-1], stages)


def losses_of(entries: dict[str, dict[str, object]]) -> Losses:
    return build_losses(entries, window=WINDOW, hop=HOP)


def test_the_released_recipe_gives_the_stock_losses():
    stock = pytest.importorskip("modelscope.models.audio.ans.frcrn", reason="needs modelscope and six")
    generator = torch.Generator().manual_seed(1)
    noisy, clean = waves(1, batch=2, samples=16000)
    reference = stock.FRCRN(
        complex=True,
        model_complexity=45,
        model_depth=14,
        log_amp=False,
        padding_mode="zeros",
        win_len=640,
        win_inc=320,
        fft_len=640,
        win_type="hann",
    )
    masks = [torch.tanh(torch.randn(2, 2, 321, 49, generator=generator)) for _ in range(2)]
    masks[1] = masks[0] + masks[1]
    enhanced = [clean + scale * torch.randn(2, 16000, generator=generator) for scale in (0.1, 0.02)]
    outputs = [
        part
        for mask, wave in zip(masks, enhanced, strict=True)
        for part in (mask.flatten(1, 2), wave, mask.flatten(1, 2))
    ]
    expected = reference.loss(noisy, clean, outputs, mode="Mix")
    stages = tuple(Stage(mask, mask, wave) for mask, wave in zip(masks, enhanced, strict=True))
    ours = build_losses({"mask": {}, "si_snr": {}}, window=640, hop=320)(Estimate(enhanced[-1], stages), noisy, clean)
    assert_close(ours.total, expected["loss"], rtol=1e-5, atol=1e-4)
    assert_close(ours.parts["mask"], expected["amp_loss"] + expected["phase_loss"], rtol=1e-5, atol=1e-4)
    assert_close(ours.parts["si_snr"], reference.loss(noisy, clean, outputs, mode="SiSNR")["sisnr"], rtol=0, atol=1e-4)


def test_si_snr_is_scale_invariant_and_known_for_a_known_error():
    clean = torch.zeros(1, 1000)
    clean[0, ::2] = 0.1
    error = torch.zeros(1, 1000)
    error[0, 1::2] = 0.01
    assert_close(scale_invariant_snr(clean + error, clean), torch.tensor([20.0]), rtol=0, atol=0.01)
    assert_close(scale_invariant_snr(3 * (clean + error), clean), torch.tensor([20.0]), rtol=0, atol=0.01)


def test_si_snr_flattens_out_at_its_ceiling():
    clean = waves(2)[1]
    good = clean + 1e-4 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    assert scale_invariant_snr(good, clean).min() > 55
    assert_close(scale_invariant_snr(good, clean, 30.0), torch.full((3,), 30.0), rtol=0, atol=0.1)


def test_snr_is_known_for_a_known_error_and_for_a_wrong_level():
    noisy, clean = waves(4)
    error = 0.1 * clean.roll(1, dims=1)  # as loud as a tenth of the speech
    assert_close(Snr(ceiling_db=60.0)(estimate_of(clean + error), noisy, clean), torch.tensor(-20.0), rtol=0, atol=0.1)
    assert_close(Snr(ceiling_db=60.0)(estimate_of(0.9 * clean), noisy, clean), torch.tensor(-20.0), rtol=0, atol=0.1)
    assert_close(Snr()(estimate_of(clean), noisy, clean), torch.tensor(-30.0), rtol=0, atol=0.1)


def test_a_silent_target_adds_nothing_to_si_snr_and_leaves_the_others_as_they_were():
    noisy, clean = waves(4)
    found = clean + 0.02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    alone = SiSnr()(estimate_of(found[:2]), noisy[:2], clean[:2])
    clean[2] = 0
    assert_close(SiSnr()(estimate_of(found), noisy, clean), alone * 2 / 3)


def test_the_bounded_mask_takes_a_perfect_estimate_to_zero():
    noisy, clean = waves(6)
    stft = STFT(WINDOW, HOP)
    (y_re, y_im), (s_re, s_im) = (stft.analyse(wave).unbind(1) for wave in (noisy, clean))
    power = y_re.square() + y_im.square() + 1e-8
    mask = torch.stack([(s_re * y_re + s_im * y_im) / power, (s_im * y_re - s_re * y_im) / power], dim=1)
    assert mask.abs().max() > 2, "no element reaches the bound: the test would not see it"
    bounded = torch.where(mask > 2, torch.ones(()), torch.where(mask < -2, -torch.ones(()), mask))
    loss = MaskError(window=WINDOW, hop=HOP)
    assert loss(estimate_of(noisy, masks=(bounded,)), noisy, clean) < 1e-6
    assert loss(estimate_of(noisy, masks=(mask,)), noisy, clean) > 1e-3


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("samples", [1600, 1000, 50])
def test_the_mask_loss_looks_at_the_frames_that_the_network_masked(causal: bool, samples: int):
    torch.manual_seed(0)
    model = FRCRN(FRCRNConfig.tiny(causal=causal)).eval()
    noisy, _ = waves(7, batch=1, samples=samples)
    with torch.no_grad():
        spec, mask = (part[:, :, :-1] for part in model(noisy).stages[-1][:2])  # the last bin is masked out
    seen = torch.complex(spec[:, 0], spec[:, 1]) / torch.complex(mask[:, 0], mask[:, 1])
    ours = frames(noisy, model.window, model.hop, mask.shape[-1])[:, :, :-1]
    assert_close(torch.complex(ours[:, 0], ours[:, 1]), seen, rtol=1e-3, atol=1e-3)


def test_the_spectrum_is_that_of_the_network_with_covered_edges():
    noisy, _ = waves(19)
    padded = torch.nn.functional.pad(noisy, (WINDOW - HOP, WINDOW - HOP))
    assert_close(spectrum(noisy, WINDOW, HOP), STFT(WINDOW, HOP).analyse(padded), rtol=1e-4, atol=1e-5)


def test_normalised_spectra_weigh_quiet_examples_as_much_as_loud_ones():
    noisy, clean = waves(20)
    loss = CompressedSpectrum(normalise=True, window=WINDOW, hop=HOP)
    here, quiet = (loss(estimate_of(gain * noisy), gain * noisy, gain * clean) for gain in (1, 0.1))
    assert_close(quiet, here, rtol=0.02, atol=0)
    plain = CompressedSpectrum(window=WINDOW, hop=HOP)
    assert plain(estimate_of(0.1 * noisy), 0.1 * noisy, 0.1 * clean) < 0.5 * here


def test_stages_all_adds_what_each_stage_gives():
    noisy, clean = waves(8)
    found = [clean + scale * torch.randn(clean.shape) for scale in (0.2, 0.02)]
    masks = tuple(torch.rand_like(STFT(WINDOW, HOP).analyse(wave)) for wave in found)
    both = estimate_of(*found, masks=masks)
    singles = [estimate_of(wave, masks=(mask,)) for wave, mask in zip(found, masks, strict=True)]
    for name, entry in EVERY.items():
        every, last = (losses_of({name: {**entry, "stages": stages}}) for stages in ("all", "last"))
        assert_close(every(both, noisy, clean).total, sum(last(one, noisy, clean).total for one in singles))
        assert_close(last(both, noisy, clean).total, last(singles[1], noisy, clean).total)


MEASURES = {
    "mse": lambda a, b: np.mean(np.abs(a - b) ** 2),
    "l1": lambda a, b: np.mean(np.abs(a - b)),
    "ratio": lambda a, b: -10 * np.log10(np.sum(np.abs(b) ** 2) / np.sum(np.abs(a - b) ** 2 + 1e-3 * np.abs(b) ** 2)),
    "correlation": lambda a, b: 1 - np.vdot(a, b).real / np.sqrt(np.vdot(a, a).real * np.vdot(b, b).real),
}


@pytest.mark.parametrize("exponent", [0.3, 1.0])
@pytest.mark.parametrize("measure", MEASURES)
def test_compressed_spectrum_against_numpy(measure: str, exponent: float):
    noisy, clean = waves(9, batch=1)
    pad, taper = WINDOW - HOP, np.sin(np.pi * np.arange(WINDOW) / WINDOW)

    def compressed(wave: torch.Tensor) -> np.ndarray:
        padded = np.pad(wave[0].numpy().astype(np.float64), pad)
        count = (len(padded) - WINDOW) // HOP + 1
        spec = np.fft.rfft([taper * padded[i * HOP : i * HOP + WINDOW] for i in range(count)])
        return np.abs(spec) ** exponent * np.exp(1j * np.angle(spec))

    a, b = compressed(noisy), compressed(clean)
    expected = 70 * MEASURES[measure](np.abs(a), np.abs(b)) + 30 * MEASURES[measure](a, b)
    loss = CompressedSpectrum(power=exponent, measure=measure, window=WINDOW, hop=HOP)
    assert_close(float(loss(estimate_of(noisy), noisy, clean)), float(expected), rtol=1e-3, atol=0)


def test_a_ratio_flattens_out_at_30_db_and_a_correlation_knows_no_level():
    noisy, clean = waves(21)
    one = {"power": 1.0, "complex": 0.0, "magnitude": 1.0, "window": WINDOW, "hop": HOP}
    ratio, correlation = (CompressedSpectrum(**one, measure=each) for each in ("ratio", "correlation"))
    assert_close(ratio(estimate_of(clean), noisy, clean), torch.tensor(-30.0), atol=0.01, rtol=0)
    assert_close(*(correlation(estimate_of(gain * noisy), noisy, clean) for gain in (1, 0.3)), atol=1e-4, rtol=0)
    silent = [loss(estimate_of(noisy), noisy, 0 * clean) for loss in (ratio, correlation)]
    assert silent == [0, 0]


def test_wave_and_log_power_errors_are_what_their_names_say():
    clean = waves(10)[1]
    assert_close(WaveError(norm="mse")(estimate_of(clean + 0.5), clean, clean), torch.tensor(0.25))
    assert_close(WaveError()(estimate_of(clean - 0.5), clean, clean), torch.tensor(0.5))
    halved = LogPowerError(window=WINDOW, hop=HOP)(estimate_of(clean / 2), clean, clean)
    assert_close(halved, torch.tensor(2 * math.log(2)), rtol=1e-3, atol=0)


def noisy_samples() -> tuple[np.ndarray, np.ndarray]:
    """The bundled sample, and its clean speech, with some silence before it."""
    return tuple(np.pad(sample(name).samples[0], (8000, 0)) for name in ("noisy", "clean"))  # type: ignore[return-value]


@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_intelligibility_is_that_of_the_published_measure(noise: float, rate: int):
    pystoi = pytest.importorskip("pystoi")
    noisy, clean = (np.repeat(wave, rate // 16000) for wave in noisy_samples())  # held samples: no change below 4 kHz
    found = clean + noise * (noisy - clean)
    ours = intelligibility(*(torch.from_numpy(wave).float()[None] for wave in (found, clean)), rate)
    assert_close(float(ours), float(pystoi.stoi(clean, found, rate)), rtol=0, atol=0.015)


@pytest.mark.parametrize("noise", [0.1, 0.3, 0.6, 1.0])
def test_quality_is_that_of_the_published_measure(noise: float):
    pesq = pytest.importorskip("pesq")
    noisy, clean = noisy_samples()
    found = clean + noise * (noisy - clean)
    ours = quality(*(torch.from_numpy(wave).float()[None] for wave in (found, clean)), 16000)
    assert_close(float(ours), float(pesq.pesq(16000, clean, found, "wb")), rtol=0, atol=0.25)


def test_what_quality_teaches_is_quality_by_the_published_measure():
    pesq = pytest.importorskip("pesq")
    noisy, clean = (torch.from_numpy(wave).float()[None] for wave in noisy_samples())
    found = (clean + 0.3 * (noisy - clean)).requires_grad_(True)
    before = pesq.pesq(16000, clean[0].numpy(), found[0].detach().numpy(), "wb")
    for _ in range(5):
        (slope,) = torch.autograd.grad(quality(found, clean, 16000).sum(), found)
        found = (found + 0.003 * found.norm() * slope / slope.norm()).detach().requires_grad_(True)
    assert pesq.pesq(16000, clean[0].numpy(), found[0].detach().numpy(), "wb") > before + 0.1


def test_noise_left_is_the_decibels_of_what_was_noise_alone():
    noisy, clean = waves(12)
    clean[1] = 0
    loss = NoiseLeft()
    assert_close(float(loss(estimate_of(0.1 * noisy), noisy, clean)), -20 / 3, rtol=1e-3, atol=0)
    assert_close(float(loss(estimate_of(0 * noisy), noisy, clean)), -50 / 3, rtol=1e-3, atol=0)
    assert float(loss(estimate_of(noisy), 0 * noisy, clean)) == 0


def test_noise_left_in_pauses_is_the_decibels_of_the_frames_without_speech():
    noisy, clean = waves(4, batch=1, samples=4000)
    clean[:, 2000:] = 0
    left = noisy * torch.where(torch.arange(4000) < 2000, 1.0, 0.1)  # half of the frames, 20 dB down
    assert_close(NoiseLeft(pauses=True)(estimate_of(left), noisy, clean), torch.tensor(-10.0), rtol=0, atol=0.1)
    spoken = noisy * torch.where(torch.arange(4000) < 2000, 0.1, 1.0)  # where there is speech, it asks nothing
    assert_close(NoiseLeft(pauses=True)(estimate_of(spoken), noisy, clean), torch.tensor(0.0), rtol=0, atol=0.1)
    assert NoiseLeft()(estimate_of(left), noisy, clean) == 0


def test_quality_knows_no_level_and_is_the_same_at_another_rate():
    noisy, clean = (torch.from_numpy(wave).float()[None] for wave in noisy_samples())
    there = quality(noisy, clean, 16000)
    assert 1 < there < 2
    assert_close(quality(0.1 * noisy, 3 * clean, 16000), there, rtol=0, atol=1e-3)
    assert_close(quality(clean, clean, 16000), torch.tensor([BEST]), rtol=0, atol=1e-3)
    higher = (torch.from_numpy(soxr.resample(wave[0].numpy(), 16000, 48000))[None] for wave in (noisy, clean))
    assert_close(quality(*higher, 48000), there, rtol=0, atol=0.05)


def test_intelligibility_knows_no_level_and_leaves_short_speech_out():
    noisy, clean = (torch.from_numpy(wave).float()[None] for wave in noisy_samples())
    there = intelligibility(noisy, clean, 16000)
    assert 0.3 < there < 0.99
    assert_close(intelligibility(0.1 * noisy, clean, 16000), there, rtol=0, atol=1e-3)
    assert_close(intelligibility(clean, clean, 16000), torch.ones(1), rtol=0, atol=2e-3)
    loss = Intelligibility()
    for samples, counted in ((5000, False), (16000, True)):
        heard, speech = noisy[:, 16000 : 16000 + samples], clean[:, 16000 : 16000 + samples]
        assert (float(loss(estimate_of(heard), heard, speech)) > 0.01) == counted


def test_every_loss_of_a_perfect_estimate_is_least():
    noisy, clean = waves(11)
    clean[2] = 0  # something for the loss that hears noise alone
    loss = losses_of({name: entry for name, entry in EVERY.items() if name != "mask"})
    perfect = loss(estimate_of(clean), noisy, clean).parts
    for name, value in loss(estimate_of(noisy), noisy, clean).parts.items():
        assert value > perfect[name]
    assert MultiResolutionStft(windows=(32, 64))(estimate_of(clean), noisy, clean) < 0.01


def test_spectral_convergence_leaves_silent_targets_out():
    noisy, clean = waves(18)
    loss = MultiResolutionStft(windows=(32, 64))
    assert loss(estimate_of(noisy), noisy, 0 * clean) < 20


SILENCES = ("target", "estimate", "both", "noisy", "all", "whisper", "perfect")


@pytest.mark.parametrize("case", SILENCES)
@pytest.mark.parametrize("name", EVERY)
def test_value_and_gradient_are_finite_on_silence(name: str, case: str):
    noisy, clean = waves(12, batch=2)
    found = noisy.clone()
    clean[0] *= case not in ("target", "both", "all")
    found[0] *= case not in ("estimate", "both", "all")
    noisy[0] *= case not in ("noisy", "all")
    if case == "whisper":
        clean, found = 1e-6 * clean, 1e-12 * found
    if case == "perfect":
        found = clean.clone()
    found.requires_grad_(True)
    mask = torch.zeros_like(STFT(WINDOW, HOP).analyse(noisy)).requires_grad_(True)
    total = losses_of({name: EVERY[name]})(estimate_of(found, masks=(mask,)), noisy, clean).total
    assert torch.isfinite(total)
    for gradient in torch.autograd.grad(total, (found, mask), allow_unused=True):
        if gradient is not None:
            assert torch.isfinite(gradient).all()
            assert gradient.abs().max() < 1e5


@pytest.mark.parametrize("name", EVERY)
def test_gradients_agree_with_differences(name: str):
    noisy, clean = waves(13, batch=2)
    loss = losses_of({name: EVERY[name]})
    generator = torch.Generator().manual_seed(14)
    found = noisy + 0.01 * torch.randn(noisy.shape, generator=generator)
    mask = 0.1 * torch.randn(STFT(WINDOW, HOP).analyse(noisy).shape, generator=generator)
    ways = [torch.randn(part.shape, generator=generator) for part in (found, mask)]

    def along(step: torch.Tensor) -> torch.Tensor:
        moved = estimate_of(found + step * 0.1 * ways[0], masks=(mask + step * ways[1],))
        return loss(moved, noisy, clean).total

    here = torch.zeros((), requires_grad=True)
    (slope,) = torch.autograd.grad(along(here), here)
    width = 2e-3
    measured = (along(torch.tensor(width)) - along(torch.tensor(-width))) / (2 * width)
    assert_close(slope, measured, rtol=0.03, atol=2e-2)


def test_the_loss_of_two_halves_is_the_mean_of_their_losses():
    noisy, clean = waves(15, batch=4)
    clean[3] = 0
    found = noisy * 0.9
    loss = losses_of(EVERY)
    whole = loss(estimate_of(found), noisy, clean).total
    halves = [loss(estimate_of(found[i : i + 2]), noisy[i : i + 2], clean[i : i + 2]).total for i in (0, 2)]
    assert_close(whole, sum(halves) / 2, rtol=1e-5, atol=1e-5)


def test_weights_sum_up_and_parts_are_reported_before_their_weight():
    noisy, clean = waves(16)
    value = losses_of({"wave": {"weight": 2}, "square": {"kind": "wave", "norm": "mse", "weight": 3}})(
        estimate_of(noisy), noisy, clean
    )
    assert list(value.parts) == ["wave", "square"]
    assert_close(value.total, 2 * value.parts["wave"] + 3 * value.parts["square"])


def test_an_estimate_in_bf16_is_judged_in_single_precision():
    noisy, clean = waves(17)
    with torch.autocast("cpu", torch.bfloat16):
        value = losses_of(EVERY)(estimate_of(noisy.bfloat16().float()), noisy, clean)
    assert value.total.dtype == torch.float32
    assert_close(value.total, losses_of(EVERY)(estimate_of(noisy.bfloat16().float()), noisy, clean).total)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, 'expected a table by name, such as {"si_snr": {"weight": 0.1}}'),
        ([{"name": "si_snr"}], "expected a table by name"),
        ({"sisnr": {}}, "loss.sisnr: expected one of si_snr, snr, stoi, pesq, dnsmos, noise_left"),
        ({"mine": {"kind": "sisnr"}}, "loss.mine: expected one of si_snr, .* found 'sisnr'"),
        ({"si_snr": 3}, "loss.si_snr: expected a table of settings, found 3"),
        ({"si_snr": {"ceiling": 30}}, "loss.si_snr: unknown key 'ceiling'; accepted: stages, ceiling_db"),
        ({"si_snr": {"stages": "first"}}, "loss.si_snr.stages: expected 'last' or 'all', found 'first'"),
        ({"wave": {}, "two": {"kind": "wave", "weight": -1}}, "loss.two.weight: expected a number above 0, found -1"),
        ({"mask": {"window": 640, "hop": 300}}, "loss.mask.window: expected an even multiple"),
        ({"compressed_spectrum": {"power": 0}}, "loss.compressed_spectrum.power: expected more than 0"),
        ({"compressed_spectrum": {"power": "0.3"}}, "loss.compressed_spectrum.power: expected a number, found '0.3'"),
        ({"multi_resolution_stft": {"windows": [2]}}, "loss.multi_resolution_stft.windows: expected multiples of 4"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(entries: object, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        build_losses(entries, window=WINDOW, hop=HOP)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


class Waits(TorchDispatchMode):
    """Notes what a GPU would have to be waited for: values brought to the host, places of what is true."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(part in str(function) for part in ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh")):
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["compressed_spectrum", "stoi", "pesq", "noise_left", "snr", "si_snr"])
def test_no_loss_of_the_recipes_waits_for_the_device(name: str):
    noisy, clean = waves(samples=16000)
    losses = build_losses({name: {}}, window=WINDOW, hop=HOP)
    losses(estimate_of(noisy), noisy, clean)  # constants are made once
    estimate = estimate_of(noisy.clone().requires_grad_(True))
    with Waits() as waits:
        losses(estimate, noisy, clean).total.backward()
    assert waits.found == []
