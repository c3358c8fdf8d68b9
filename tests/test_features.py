"""Bands that share out every bin exactly, and what a network sees of a spectrum."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from frcrn.models.layers.features import Features, band_matrix
from tests.networks import noise

SPLITS = [(65, 16), (257, 32), (257, 64), (257, 96), (257, 128), (257, 200), (321, 64), (321, 160), (161, 32)]


def plain(bins: int, bands: int) -> Features:
    return Features(bins, bands, sample_rate=16000, compress=1.0, magnitude=False)


@pytest.mark.parametrize(("bins", "bands"), SPLITS)
def test_a_mask_of_ones_over_bands_is_ones_over_bins(bins: int, bands: int) -> None:
    ones = torch.ones(1, 2, bands, 3)
    assert_close(plain(bins, bands).to_bins(ones), torch.ones(1, 2, bins, 3), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("bins", "bands"), SPLITS)
def test_a_flat_spectrum_is_flat_over_bands(bins: int, bands: int) -> None:
    ones = torch.ones(1, 2, bins, 3)
    assert_close(plain(bins, bands).to_bands(ones), torch.ones(1, 2, bands, 3), atol=1e-6, rtol=0)


@given(st.integers(9, 330), st.integers(1, 400), st.sampled_from([8000, 16000, 48000]))
def test_any_number_of_bands_is_a_partition_or_refused(bins: int, bands: int, rate: int) -> None:
    try:
        matrix = band_matrix(bins, bands, rate)
    except ValueError as error:
        assert f"{bands} bands do not cover {bins} bins" in str(error)
        assert bands < 2 or bands >= bins
        return
    assert matrix.shape == (bins, bands)
    assert matrix.min() >= 0
    assert_close(matrix.sum(dim=1), torch.ones(bins), atol=1e-6, rtol=0)
    assert matrix.sum(dim=0).min() > 0
    # neighbouring bins go to the same or neighbouring bands
    assert (matrix > 0).sum(dim=1).max() <= 2


def test_bands_beyond_the_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="100 bands do not cover 65 bins"):
        plain(65, 100)


def test_without_the_top_bin_only_it_is_muted() -> None:
    features = plain(65, 64)
    spec = noise(2, 2, 65, 4)
    back = features.to_bins(features.to_bands(spec))
    assert torch.equal(back[:, :, :64], spec[:, :, :64])
    assert back[:, :, 64].abs().max() == 0


@pytest.mark.parametrize("bands", [0, 65])
def test_all_bins_pass_untouched(bands: int) -> None:
    features = plain(65, bands)
    spec = noise(2, 2, 65, 4)
    assert torch.equal(features(spec), spec)
    assert torch.equal(features.to_bins(spec), spec)


@pytest.mark.parametrize("compress", [0.3, 0.5, 1.0])
def test_compression_keeps_the_phase_and_bends_the_size(compress: float) -> None:
    features = Features(65, 0, 16000, compress, magnitude=False)
    spec = noise(2, 2, 65, 4, level=1.0)
    before, after = torch.complex(*spec.unbind(1)), torch.complex(*features(spec).unbind(1))
    assert_close(after.abs(), before.abs() ** compress, atol=1e-5, rtol=1e-4)
    assert_close(after.angle(), before.angle(), atol=1e-5, rtol=0)


def test_magnitude_is_a_second_complex_channel() -> None:
    features = Features(65, 0, 16000, 0.3, magnitude=True)
    spec = noise(2, 2, 65, 4, level=1.0)
    seen = features(spec)
    assert features.channels == 2
    assert seen.shape == (2, 4, 65, 4)
    size = spec.square().sum(dim=1).sqrt()
    without = Features(65, 0, 16000, 0.3, magnitude=False)(spec)
    assert_close(seen[:, [0, 2]], without)
    assert_close(seen[:, 1], size**0.3, atol=1e-4, rtol=1e-4)
    assert_close(seen[:, 3], 0.2 * size.log(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("compress", [0.3, 1.0])
@pytest.mark.parametrize("magnitude", [False, True])
def test_silence_gives_finite_values_and_gradients(compress: float, magnitude: bool) -> None:
    features = Features(65, 0, 16000, compress, magnitude)
    silence = torch.zeros(1, 2, 65, 3, requires_grad=True)
    seen = features(silence)
    seen.sum().backward()
    assert seen.isfinite().all()
    assert silence.grad is not None
    assert silence.grad.isfinite().all()
