"""The comb filter at the pitch: it finds periods, and takes noise from between harmonics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frcrn.models.layers.features import band_matrix
from frcrn.models.layers.pitch import Comb, Delay
from frcrn.models.layers.transforms import Frames, Spectrum
from tests.networks import noise

RATE, WINDOW, HOP = 48000, 960, 480


def voice(hertz: float, seconds: float = 0.5) -> torch.Tensor:
    """Harmonics up to 4 kHz, [1, T]."""
    time = torch.arange(int(seconds * RATE)) / RATE
    return sum(torch.cos(2 * torch.pi * k * hertz * time + k * k) for k in range(1, int(4000 / hertz)))[None] * 0.05


@pytest.mark.parametrize("hertz", [75.0, 120.0, 213.7, 400.0])
def test_the_period_is_found_or_a_multiple_of_it(hertz: float) -> None:
    frames = Frames(WINDOW, HOP)
    delay, x = Delay(frames, RATE), frames.cut(voice(hertz) + 0.02 * noise(1, RATE // 2, level=0.5))
    earlier, _ = delay(x)
    late = slice(6, None)
    error = (earlier - x)[:, late].square().sum() / x[:, late].square().sum()
    assert error < 0.05


def test_a_direct_search_finds_the_same_period() -> None:
    frames = Frames(64, 32)
    delay, wave = Delay(frames, 16000), torch.nn.functional.avg_pool1d(noise(1, 32 * 40 + 7), 8, 1)
    earlier, _ = delay(frames.cut(wave))
    samples, found = wave[0].double().numpy(), 0
    for number in range(12, 39):
        end = 32 * number + 64
        window = samples[end - 64 : end]
        rows = {lag: samples[end - 64 - lag : end - lag] for lag in range(delay.shortest, delay.longest + 1)}
        alike = {lag: row @ window / np.sqrt(row @ row) for lag, row in rows.items()}
        taken = min(rows, key=lambda lag: np.abs(rows[lag] * frames.taper.numpy() - earlier[0, number].numpy()).max())
        assert np.abs(rows[taken] * frames.taper.numpy() - earlier[0, number].numpy()).max() < 1e-5
        found += alike[taken] > 0.9 * max(alike.values())
    assert found >= 18  # of 27, by a search that begins at a quarter of the rate


def test_the_comb_filter_takes_noise_from_between_harmonics_and_keeps_the_level() -> None:
    frames, spectrum = Frames(WINDOW, HOP), Spectrum(WINDOW)
    clean, disturbing = voice(150.0), 0.4 * noise(1, RATE // 2, level=0.1)
    comb = Comb(band_matrix(frames.bins, 22, RATE))

    def enhanced(wave: torch.Tensor, gain: float) -> torch.Tensor:
        x = frames.cut(wave)
        earlier, _ = Delay(frames, RATE)(x)
        gains = torch.full((*x.shape[:2], 22), gain)
        return comb(torch.cat([spectrum(x)[0], spectrum(earlier)[0], gains], dim=-1))[0]

    noisy = clean + disturbing
    wanted, given = spectrum(frames.cut(clean))[0], spectrum(frames.cut(noisy))[0]
    some = slice(8, None), slice(2, 60)  # bins of some bands with a voice in them
    real = lambda x: x[0][some]  # noqa: E731
    before = (real(given) - real(wanted)).square().sum()
    after = (real(enhanced(noisy, 0.5)) - real(wanted)).square().sum()
    assert after < 0.8 * before
    assert torch.allclose(enhanced(noisy, 1.0), given, atol=2e-3 * float(given.abs().max()))
    power = enhanced(noisy, 0.5)[:, 8:].square().sum() / given[:, 8:].square().sum()
    assert 0.9 < power < 1.1
