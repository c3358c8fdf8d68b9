"""NNSE and RNNoise: sizes, features, lists of layers read from texts, voice activity."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from frcrn.models import NNSE, NNSEConfig, RNNoise, RNNoiseConfig
from frcrn.models.base import Estimate
from frcrn.models.nnse import from_architecture, mel_matrix
from frcrn.training.losses.voice import VoiceActivity, speech_in
from tests.networks import noise

LIST = """input_neurons 40
dropprob 0.1

layer_type conv1d
num_filters 28
kernel_size 6
strides 1
activation tanh
dropprob 0.25

layer_type lstm
layer_neurons 20
activation tanh

layer_type fc
layer_neurons 241
activation sigmoid
"""


def test_the_sizes_are_the_published_ones() -> None:
    sizes = [sum(weight.numel() for weight in NNSE(config).parameters()) for config in (None, NNSEConfig.large())]
    assert 95e3 < sizes[0] < 105e3 and 1.05e6 < sizes[1] < 1.15e6
    assert 60e3 < sum(weight.numel() for weight in RNNoise().parameters()) < 100e3


def test_a_list_of_layers_is_read_from_its_text() -> None:
    config = from_architecture(LIST)
    assert [(layer.kind, layer.size, layer.kernel) for layer in config.layers] == [
        ("conv1d", 28, 6),
        ("lstm", 20, 1),
        ("fc", 241, 1),
    ]
    assert config.bands == 40
    with torch.no_grad():
        assert NNSE(config)(noise(1, 1600)).wave.shape == (1, 1600)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("strides 1", "strides 2", "strides 1"),
        ("lstm", "gru", "kind"),
        ("activation sigmoid", "activation swish", "activation"),
        ("layer_neurons 20", "neurons 20", "unknown key 'neurons'"),
        ("input_neurons 40", "inputs 40", "input_neurons"),
        ("neurons 241", "neurons 240", "241 gains"),
    ],
)
def test_a_list_that_cannot_be_built_is_refused_by_what_is_wrong(old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_architecture(LIST.replace(old, new))


@pytest.mark.parametrize("bands", [12, 40, 72])
def test_mel_bands_are_means_and_none_is_empty(bands: int) -> None:
    matrix = mel_matrix(241, bands, 16000)
    assert_close(matrix.sum(dim=1), torch.ones(bands, dtype=torch.float64))
    centres = (matrix * torch.arange(241)).sum(dim=1)
    assert (centres.diff() > 0).all()


def test_voice_activity_learns_where_speech_is() -> None:
    clean = torch.zeros(1, 6400)
    clean[:, 3200:] = noise(1, 3200, level=0.1)
    truth = speech_in(clean, 64, 32, 200, 20.0)
    assert truth[0, :98].sum() == 0 and truth[0, 102:].mean() == 1
    loss, wave = VoiceActivity(window=64, hop=32), noise(1, 6400)
    right, wrong = (float(loss(Estimate(wave, (), speech), wave, clean)) for speech in (truth, 1 - truth))
    assert right < 0.01 < 1 < wrong
    with pytest.raises(ValueError, match="does not say where speech is"):
        loss(Estimate(wave, ()), wave, clean)


@pytest.mark.parametrize("bands", [22, 32])
def test_rnnoise_has_as_many_bands_as_it_is_told(bands: int) -> None:
    model = RNNoise(RNNoiseConfig(bands=bands)).eval()
    assert (model.gains.linear.out_features, model.dense.linear.in_features) == (bands, 3 * bands)
    spread = model.spread.matrix
    assert spread.shape == (model.frames.bins, bands) and (spread.amax(dim=0) > 0).all()
    assert_close(spread.sum(dim=1), torch.ones(model.frames.bins))
    with torch.no_grad():
        assert model(noise(1, 4800)).wave.shape == (1, 4800)


def test_rnnoise_says_how_probable_speech_is_in_each_frame() -> None:
    model = RNNoise(RNNoiseConfig.tiny()).eval()
    with torch.no_grad():
        estimate = model(noise(2, 640))
    assert estimate.speech is not None and estimate.speech.shape == (2, estimate.stages[0].mask.shape[-1])
    assert (estimate.speech >= 0).all() and (estimate.speech <= 1).all()


@pytest.mark.parametrize("name", ["nnse", "rnnoise"])
def test_the_recipes_build_the_networks(name: str) -> None:
    from frcrn.training.recipe import build_model, read

    recipe = read(Path(__file__).parent.parent / "configs" / f"{name}.json")
    assert type(build_model(recipe.model)).__name__.lower() == name
