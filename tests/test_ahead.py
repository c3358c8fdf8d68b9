"""Networks that are causal but for frames by which they answer later."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frcrn import FRCRNConfig
from frcrn.inference.enhance import enhance
from frcrn.models.checkpoint import describe
from tests.networks import noise
from tests.shapes import network

AHEAD = "memory that looks ahead"


def test_it_looks_as_far_ahead_as_it_says_and_no_further() -> None:
    model, wave = network(AHEAD), noise(1, 8000)
    assert model.lookahead == 4 * 3 * model.hop and model.latency == model.lookahead + model.window
    other = wave.clone()
    other[:, 4000:] = 0
    with torch.no_grad():
        changed = (model(other).wave - model(wave).wave)[0].abs()
    assert not changed[: 4000 - model.latency].any()
    assert changed[4000 - model.latency + model.hop : 4000 - model.window].any(), "a causal network does as much"


def test_steps_of_any_number_of_hops_give_what_the_whole_wave_gives() -> None:
    model, wave = network(AHEAD), noise(2, 40 * 64)
    late = model.latency - model.hop
    for hops in (1, 3, 7):
        state, pieces = model.initial_state(2), []
        for piece in torch.nn.functional.pad(wave, (0, late + 10 * model.hop)).split(hops * model.hop, dim=1):
            with torch.no_grad():
                clean, state = model.step(piece, state)
            pieces.append(clean)
        streamed = torch.cat(pieces, dim=1)[:, late : late + wave.shape[1]]
        with torch.no_grad():
            torch.testing.assert_close(streamed, model(wave).wave, atol=1e-5, rtol=0)


def test_a_stream_is_in_time_and_as_long_as_what_went_in() -> None:
    model, wave = network(AHEAD), noise(5001).numpy()
    stream = model.stream()
    pieces = [stream.push(wave[start : start + 333]) for start in range(0, len(wave), 333)]
    streamed = torch.from_numpy(np.concatenate([*pieces, stream.flush()]))
    torch.testing.assert_close(streamed, torch.from_numpy(enhance(model, wave)), atol=1e-5, rtol=0)


def test_its_latency_and_kind_are_told() -> None:
    about = describe(network(AHEAD))
    assert about["causal"] is False and about["latency_ms"] == 1000 * (128 + 12 * 64) / 16000


@pytest.mark.parametrize("wrong", [{"causal": False}, {"stages": 2}])
def test_it_is_refused_where_not_all_could_answer_later(wrong: dict[str, bool | int]) -> None:
    with pytest.raises(ValueError, match="ahead: expected 0 unless the network is causal and has one stage"):
        FRCRNConfig.tiny(**{"ahead": 1, "stages": 1, **wrong})
