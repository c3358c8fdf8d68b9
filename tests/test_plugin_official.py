"""Drop-in: the released form's weights through our pipeline against the stock network with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

pytest.importorskip("modelscope")
pytest.importorskip("six")

from tests import networks
from tests.made_audio import noise, speech
from tests.marks import slow
from tests.plugin_parts import TASK, official_directory

WINDOW = 640


@pytest.fixture(scope="module")
def ans(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from modelscope.pipelines import pipeline

    import frcrn.plugin  # noqa: F401

    folder = official_directory(tmp_path_factory.mktemp("official") / "model", networks.stock())
    return pipeline(TASK, model=str(folder), pipeline_name="frcrn-ans-16k", device="cpu")


def heard(result: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(result["output_pcm"], "<i2") / 32768


@pytest.mark.parametrize("level", [1.0, slow(0.05)])
def test_ours_is_the_stock_network_at_the_level_of_the_input(ans: Any, level: float) -> None:
    from modelscope.utils.audio.audio_utils import audio_norm

    wave = level * (speech(2.0, seed=1) + noise(2.0, seed=2))  # 640 + 320 k samples: the stock network drops none
    normal = audio_norm(wave.astype(np.float64)).astype(np.float32)
    with torch.no_grad():
        stock = networks.stock()(torch.from_numpy(normal)[None])[4][0].numpy()
    gain = np.sqrt(np.square(normal).mean() / np.square(wave).mean())
    ours = heard(ans(wave)) * gain
    assert len(ours) == len(stock) == len(wave)
    inside = slice(WINDOW, -WINDOW)
    atol = 1e-3 + gain / 32768  # the samples come as 16-bit numbers
    assert_allclose(ours[inside], stock[inside], atol=atol)
    assert np.abs(stock[inside]).max() > 0.02, "nothing to compare"


def test_length_silence_clipping_and_edges(ans: Any) -> None:
    wave = speech(1.75, seed=3)
    assert len(heard(ans(wave))) == 28000
    assert not heard(ans(np.zeros(9000, np.float32))).any()
    loud = np.clip(20 * wave, -1, 1).astype(np.float32)
    out = np.frombuffer(ans(loud)["output_pcm"], "<i2").astype(int)
    # a sample that wraps around would differ from its neighbour by the whole range
    assert np.abs(np.diff(out)).max() < 50000
    # the network's gain is at most its mask's, also where the windows begin and end
    assert np.abs(heard(ans(wave))[:WINDOW]).max() < 3 * np.abs(wave).max()


@pytest.mark.slow
def test_a_long_input_keeps_its_length_its_end_and_its_level(ans: Any) -> None:
    long = np.tile(speech(5.0, seed=4), 25)[: 121 * 16000 + 333]
    out = heard(ans(long))
    assert len(out) == len(long)
    assert np.abs(out[-2000:]).max() > 0
    # one second in the middle is about as loud as the first: no piece is normalised by itself
    loudness = [np.sqrt(np.square(out[start : start + 5 * 16000]).mean()) for start in (16000, 100 * 16000)]
    assert loudness[0] / 2 < loudness[1] < 2 * loudness[0]
