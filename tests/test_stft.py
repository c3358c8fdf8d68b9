"""The STFT: exact reconstruction, agreement with torch's own, and overlap-add in pieces."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.testing import assert_close

from frcrn.models.layers.features import Features
from frcrn.models.layers.stft import STFT
from tests.networks import noise

SIZES = [(640, 320), (512, 256), (320, 160), (64, 16), (48, 16), (8, 2), (6, 3)]


@pytest.mark.parametrize(("window", "hop"), SIZES)
def test_the_interior_is_reconstructed(window: int, hop: int) -> None:
    stft = STFT(window, hop)
    wave = noise(2, 7 * window)
    back = stft.synthesise(stft.analyse(wave))
    inside = slice(window - hop, -(window - hop))
    assert back.shape == wave.shape
    assert_close(back[:, inside], wave[:, inside], atol=2e-6, rtol=0)


@given(st.sampled_from(SIZES), st.integers(0, 1000), st.integers(1, 3))
@example((64, 16), 40, 1)
def test_only_whole_windows_are_analysed(size: tuple[int, int], samples: int, batch: int) -> None:
    window, hop = size
    spec = STFT(window, hop).analyse(noise(batch, samples))
    frames = max((samples - window) // hop + 1, 0)
    assert spec.shape == (batch, 2, window // 2 + 1, frames)


@pytest.mark.parametrize(("window", "hop"), SIZES)
def test_analysis_equals_torch(window: int, hop: int) -> None:
    wave = noise(2, 5 * window + 3)
    taper = torch.hann_window(window).sqrt()
    theirs = torch.stft(wave, window, hop, window=taper, center=False, return_complex=True)
    ours = STFT(window, hop).analyse(wave)
    assert_close(torch.complex(ours[:, 0], ours[:, 1]), theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("window", "hop"), SIZES)
def test_synthesis_of_any_spectrum_equals_torch(window: int, hop: int) -> None:
    taper = torch.hann_window(window).sqrt()
    spec = noise(2, 2, window // 2 + 1, 9)
    # the imaginary part of the first and the last bin stands for nothing
    spec[:, 1, 0] = spec[:, 1, -1] = 0
    complex_spec = torch.complex(spec[:, 0], spec[:, 1])
    # torch refuses a window that starts at zero unless it may crop the edge
    theirs = torch.istft(complex_spec, window, hop, window=taper, center=True)
    ours = STFT(window, hop).synthesise(spec)[:, window // 2 : window // 2 + theirs.shape[1]]
    inside = slice(window // 2, -(window // 2))
    assert_close(ours[:, inside], theirs[:, inside], atol=1e-6, rtol=0)


@given(st.sampled_from(SIZES), st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_overlap_add_in_pieces_equals_whole(size: tuple[int, int], pieces: list[int]) -> None:
    window, hop = size
    stft = STFT(window, hop)
    spec = noise(2, 2, stft.bins, sum(pieces))
    whole, last = stft.overlap_add(spec, None)
    done, tail = [], torch.zeros(2, window - hop)
    for piece in spec.split(pieces, dim=3):
        chunk, tail = stft.overlap_add(piece, tail)
        assert chunk.shape == (2, piece.shape[3] * hop)
        done.append(chunk)
    assert_close(torch.cat(done, dim=1), whole, atol=1e-6, rtol=0)
    assert_close(tail, last, atol=1e-6, rtol=0)


def test_a_frame_adds_nothing_outside_its_window() -> None:
    stft = STFT(64, 16)
    spec = torch.zeros(1, 2, stft.bins, 9)
    spec[..., 4] = noise(1, 2, stft.bins)
    wave = stft.synthesise(spec)
    assert wave[:, : 4 * 16].abs().max() == 0
    assert wave[:, 4 * 16 + 64 :].abs().max() == 0
    assert wave.abs().max() > 0


@pytest.mark.parametrize(("window", "hop"), [(640, 640), (640, 300), (15, 5), (100, 60), (64, 0), (64, -8), (0, 16)])
def test_sizes_that_cannot_be_undone_are_refused(window: int, hop: int) -> None:
    with pytest.raises(ValueError, match=f"window {window}, hop {hop}: .* at least 2 hops"):
        STFT(window, hop)


def test_a_spectrum_is_found_whole_where_training_runs_products_in_half_precision():
    stft, wave = STFT(640, 320), 0.1 * torch.randn(2, 3200)
    features = Features(stft.bins, 160, 16000, 0.3, magnitude=True)
    spec = stft.analyse(wave)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.ones(2, 2).matmul(torch.ones(2, 2)).dtype == torch.bfloat16
        assert_close(stft.analyse(wave), spec, rtol=0, atol=0)
        assert_close(stft.synthesise(spec), wave_of(stft, spec), rtol=0, atol=0)
        assert features(spec).dtype == features.to_bins(features(spec)).dtype == torch.float32


def wave_of(stft: STFT, spec: torch.Tensor) -> torch.Tensor:
    """Return what a spectrum sounds like, in single precision."""
    with torch.autocast("cpu", enabled=False):
        return stft.synthesise(spec)
