"""FRCRN against the installed modelscope's own, at its edges, and causal: what comes later changes nothing before."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from frcrn import FRCRN, FRCRNConfig, machine
from frcrn.models import Estimate, released
from frcrn.models.checkpoint import fill
from tests.marks import slow
from tests.networks import lively, noise, stock, tiny, two_levels, with_mask_of_one

SIZES = [(640, 320), (512, 256), (320, 160), (64, 16)]

# Equality with the stock network. At 640 + 320 k samples it drops nothing of the input.

CLIPS = [
    pytest.param(8_320, 3),
    slow(16_000, 1),
    slow(16_000, 3),
    slow(54_080, 1),
    slow(54_080, 3),
    slow(160_000, 1),
    slow(160_000, 3),
]


@cache
def released_network() -> FRCRN:
    """Return our network with the stock network's weights."""
    model = FRCRN()
    fill(model, stock().state_dict(), "stock")
    return model.eval()


@cache
def stock_output(samples: int, batch: int) -> list[Tensor]:
    with torch.inference_mode():
        return [result.clone() for result in stock()(noise(batch, samples))]


@cache
def released_output(samples: int, batch: int, form: str) -> Estimate:
    model = released_network() if form == "plain" else released_network().optimize()
    with torch.inference_mode():
        return model(noise(batch, samples))


@pytest.mark.parametrize("form", ["plain", "optimized"])
@pytest.mark.parametrize(("samples", "batch"), CLIPS)
def test_every_output_equals_the_stock_networks(samples: int, batch: int, form: str) -> None:
    spec_1, wave_1, mask_1, spec_2, wave_2, mask_2 = stock_output(samples, batch)
    estimate = released_output(samples, batch, form)
    inside = slice(640, -640)
    for stage, spec, wave, mask in zip(
        estimate.stages, (spec_1, spec_2), (wave_1, wave_2), (mask_1, mask_2), strict=True
    ):
        # a spectrum sums 640 samples: 1e-4 of its largest value, as single precision itself is off by half of that here
        assert_close(stage.spec.flatten(1, 2), spec, atol=1e-4 * max(1.0, float(spec.abs().max())), rtol=0)
        assert_close(stage.mask.flatten(1, 2), mask, atol=1e-4, rtol=0)
        assert_close(stage.wave[:, inside], wave[:, inside], atol=1e-4, rtol=0)
        # a comparison of nothing with nothing would pass as well
        assert wave[:, inside].std() > 0.01
        assert mask.std() > 0.1
    assert estimate.wave is estimate.stages[-1].wave


def test_the_edges_are_no_louder_than_the_stock_networks() -> None:
    samples, batch = 8_320, 3
    ours = released_output(samples, batch, "plain").wave
    theirs = stock_output(samples, batch)[4]
    for edge in (slice(0, 640), slice(-640, None)):
        assert ours[:, edge].abs().max() <= theirs[:, edge].abs().max() + 1e-4
        assert ours[:, edge].abs().max() <= 1.5 * ours[:, 640:-640].abs().max()


def test_the_released_network_has_as_many_parameters_as_the_stock_one_uses() -> None:
    theirs = released.canonical(dict(stock().named_parameters()))
    used = [p for name, p in theirs.items() if not released.UNUSED.match(name) and name not in released.STFT_KEYS]
    assert sum(p.numel() for p in FRCRN().parameters()) == sum(p.numel() for p in used)


# Any length


@cache
def any_length(causal: bool) -> FRCRN:
    return tiny(causal=causal)


@given(samples=st.integers(1, 1000), causal=st.booleans(), batch=st.integers(1, 3))
def test_the_output_is_as_long_as_the_input(samples: int, causal: bool, batch: int) -> None:
    with torch.no_grad():
        estimate = any_length(causal)(noise(batch, samples))
    for stage in estimate.stages:
        assert stage.wave.shape == (batch, samples)
        assert stage.spec.shape == stage.mask.shape
        assert stage.mask.shape[:3] == (batch, 2, 65)
        assert stage.wave.isfinite().all()


@cache
def transparent(window: int, hop: int, causal: bool) -> FRCRN:
    return with_mask_of_one(FRCRN(two_levels(window, hop, causal=causal)))


@given(size=st.sampled_from(SIZES), samples=st.integers(1, 3000), causal=st.booleans())
def test_a_mask_of_one_gives_back_the_input_from_the_first_sample_to_the_last(
    size: tuple[int, int], samples: int, causal: bool
) -> None:
    wave = noise(2, samples)
    with torch.no_grad():
        estimate = transparent(*size, causal)(wave)
    for stage in estimate.stages:
        assert_close(stage.wave, wave, atol=2e-6, rtol=0)


@pytest.mark.parametrize("causal", [False, True])
@given(samples=st.integers(1, 2000))
def test_no_sample_at_an_edge_is_a_spike(causal: bool, samples: int) -> None:
    model = any_length(causal)
    with torch.no_grad():
        wave = model(noise(1, samples)).wave
        usual = model(noise(1, 4000)).wave[:, 500:-500].abs().max()
    assert wave.abs().max() <= 1.5 * usual


def test_a_clip_of_whole_windows_is_seen_without_a_frame_more() -> None:
    model = tiny(causal=False, window=640, hop=320, levels=two_levels(640, 320).levels, bands=0)
    for samples, frames in [(640, 1), (960, 2), (16_000, 49), (641, 2), (959, 2), (961, 3), (1, 1)]:
        with torch.no_grad():
            assert model(noise(1, samples)).stages[0].mask.shape[3] == frames


# Causal


@cache
def causal_model(window: int, hop: int) -> FRCRN:
    torch.manual_seed(0)
    return lively(FRCRN(two_levels(window, hop, causal=True, stages=2)), 2, 12 * window)


@given(size=st.sampled_from(SIZES), moment=st.integers(0, 4999))
def test_the_future_changes_nothing_before_the_window_that_holds_it(size: tuple[int, int], moment: int) -> None:
    model = causal_model(*size)
    wave = noise(1, 5000)
    changed = wave.clone()
    changed[:, moment:] = noise(1, 5000 - moment, seed=2, level=0.3)
    with torch.no_grad():
        before, after = model(wave).wave, model(changed).wave
    still = max(moment - model.window, 0)
    assert_close(after[:, :still], before[:, :still], atol=1e-6, rtol=0)
    assert not torch.allclose(after[:, still:], before[:, still:], atol=1e-4)


@settings(max_examples=10)
@given(moment=st.integers(1, 3000))
def test_a_longer_future_changes_nothing_either(moment: int) -> None:
    model = causal_model(64, 16)
    wave = noise(1, 3000 + moment)
    with torch.no_grad():
        short, long = model(wave[:, :3000]).wave, model(wave).wave
    assert_close(short[:, : 3000 - 64], long[:, : 3000 - 64], atol=1e-6, rtol=0)


@pytest.mark.parametrize("config", [FRCRNConfig(causal=True), FRCRNConfig.compact(), FRCRNConfig.tiny()])
def test_causal_networks_look_nowhere_ahead(config: FRCRNConfig) -> None:
    assert FRCRN(config).lookahead == 0


def without_pooling(window: int, hop: int) -> FRCRN:
    """Return an offline network that sees a bounded stretch of time."""
    config = two_levels(window, hop)
    levels = tuple(level._replace(se=False) for level in config.levels)
    torch.manual_seed(0)
    return lively(FRCRN(two_levels(window, hop, levels=levels)), 2, 12 * window)


@pytest.mark.parametrize("size", SIZES)
def test_offline_networks_look_as_far_ahead_as_they_say(size: tuple[int, int]) -> None:
    model = without_pooling(*size)
    moment = 12 * model.window - 1  # the last sample of the earliest window that holds it
    wave = noise(1, 14 * model.window).double()
    changed = wave.clone()
    changed[:, moment:] *= -1
    with torch.no_grad():
        moved = (model.double()(changed).wave - model(wave).wave).abs()[0] > 1e-14
    first = int(moved.nonzero()[0])
    reach = model.window + model.lookahead
    # windows begin with a weight of zero
    assert first == moment - reach + 2


def test_offline_networks_refuse_to_stream() -> None:
    model = FRCRN(FRCRNConfig.tiny(causal=False))
    with pytest.raises(TypeError, match="causal=True"):
        model.initial_state(1)
    with pytest.raises(TypeError, match="causal=True"):
        model.step(noise(1, 64), {})


def test_a_network_that_averages_over_the_clip_looks_ahead() -> None:
    levels = tuple(level._replace(kernel=(3, 1), up_kernel=(4, 1)) for level in two_levels(64, 16).levels)
    assert FRCRN(two_levels(64, 16, levels=levels)).lookahead > 0


# In steps


@cache
def stepping(window: int, hop: int, form: str) -> FRCRN:
    model = causal_model(window, hop)
    return model if form == "plain" else model.optimize()


@pytest.mark.parametrize("form", ["plain", "optimized"])
@settings(max_examples=12)
@given(size=st.sampled_from(SIZES), hops=st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_steps_equal_the_whole_late_by_the_overlap(size: tuple[int, int], hops: list[int], form: str) -> None:
    window, hop = size
    model = stepping(window, hop, form)
    overlap = window - hop
    wave = noise(2, sum(hops) * hop)
    state = model.initial_state(2)
    out = []
    with torch.no_grad():
        for frame in torch.cat([wave, torch.zeros(2, overlap)], dim=1).split([*(n * hop for n in hops), overlap], 1):
            clean, state = model.step(frame, state)
            assert clean.shape == frame.shape
            out.append(clean)
        whole = causal_model(window, hop)(wave).wave
    assert_close(torch.cat(out, dim=1)[:, overlap:], whole, atol=1e-5, rtol=0)


def test_state_keeps_its_names_and_shapes() -> None:
    model = causal_model(64, 16)
    first = model.initial_state(3)
    with torch.no_grad():
        _, later = model.step(noise(3, 32), first)
    assert {name: memory.shape for name, memory in later.items()} == {n: memory.shape for n, memory in first.items()}
    assert all(memory.shape[0] == 3 for memory in first.values())
    assert all(memory.abs().max() == 0 for memory in first.values())


def test_a_step_leaves_the_state_it_was_given_as_it_was() -> None:
    model = causal_model(64, 16)
    with torch.no_grad():
        _, state = model.step(noise(1, 64), model.initial_state(1))
        kept = {name: memory.clone() for name, memory in state.items()}
        model.step(noise(1, 64), state)
    assert all(torch.equal(state[name], kept[name]) for name in kept)


@pytest.mark.parametrize("milliseconds", [40, 32, 20])
def test_the_latency_is_what_an_impulse_needs(milliseconds: int) -> None:
    """Measure how many samples must go in before an impulse's own sample has come out, at the worst moment."""
    hop = milliseconds * 8
    model = transparent(2 * hop, hop, causal=True)
    waits = [heard_after(model, moment) - moment for moment in range(0, 2 * hop, hop // 4)]
    assert max(waits) == model.latency == milliseconds * model.sample_rate // 1000
    assert max(waits) == model.stream().latency


def heard_after(model: FRCRN, moment: int) -> int:
    """Return how many samples had gone into a stream when the impulse at `moment` came out."""
    wave = torch.zeros(8 * model.hop)
    wave[moment] = 1
    stream, given = model.stream(), 0
    for chunk in wave.split(model.hop // 16):
        given += len(chunk)
        if (stream.push(chunk) > 0.5).any():
            return given
    raise AssertionError("the impulse never came out")


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [37, 320, 5000])
def test_the_released_network_made_causal_streams_like_the_whole(chunk: int) -> None:
    torch.manual_seed(0)
    model = lively(FRCRN(FRCRNConfig(causal=True)), 2, 4800)
    wave = noise(16_000)
    stream = model.stream()
    streamed = torch.cat([*(stream.push(piece) for piece in wave.split(chunk)), stream.flush()])
    with torch.no_grad():
        whole = model(wave[None]).wave[0]
    assert_close(streamed, whole, atol=1e-5, rtol=0)


# Causal from offline


def test_offline_weights_fit_into_the_causal_network_and_its_pooling_is_a_running_mean() -> None:
    offline, causal = tiny(causal=False), FRCRN(FRCRNConfig.tiny(causal=True))
    fill(causal, offline.state_dict(), "offline", new=True)
    theirs, ours = offline.state_dict(), causal.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.items())
    new = set(ours) - set(theirs)
    assert new == {name for name in ours if name.endswith(".pool.weight")}
    assert new
    for name in new:
        assert torch.equal(ours[name], torch.full_like(ours[name], 1 / 8))


def test_without_layers_that_look_along_time_causal_and_offline_are_one() -> None:
    levels = tuple(level._replace(kernel=(3, 1), up_kernel=(4, 1), se=False) for level in two_levels(64, 16).levels)
    torch.manual_seed(0)
    offline = lively(FRCRN(two_levels(64, 16, levels=levels)), 2, 800)
    causal = FRCRN(two_levels(64, 16, levels=levels, causal=True)).eval()
    causal.load_state_dict(offline.state_dict())
    wave = noise(2, 64 + 16 * 30)
    with torch.no_grad():
        # the causal one also masks the frames that stick out at the front, and its memory starts with them
        difference = (offline(wave).wave - causal(wave).wave).abs()
    assert difference[:, 200:-64].max() < 1e-5


# Optimized


@pytest.mark.parametrize("causal", [False, True])
def test_bf16_is_close_to_fp32(causal: bool) -> None:
    model = tiny(causal=causal)
    wave = noise(2, 4000)
    with torch.no_grad():
        exact, rough = model(wave).wave, model.optimize("bf16")(wave).wave
    assert rough.dtype == torch.float32
    error = 10 * torch.log10(exact.square().sum() / (rough - exact).square().sum())
    assert 25 < error < 100


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="precision 'int8': choose fp32 or bf16"):
        tiny().optimize("int8")


def test_bf16_is_refused_where_it_would_end_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    processor = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "CPUINFO", processor)
    monkeypatch.setattr(machine, "ATTEMPT", "import os; os.kill(os.getpid(), 4)")
    monkeypatch.delenv(machine.LIMIT, raising=False)
    model = FRCRN(FRCRNConfig.tiny())
    for flags in (None, "flags: avx512f"):  # nothing to read, or no such units: nothing is tried
        if flags:
            processor.write_text(flags)
        model.optimize("bf16")
    processor.write_text("flags: avx512f amx_tile")
    with pytest.raises(ValueError, match="use fp32, or set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16"):
        model.optimize("bf16")
    monkeypatch.setattr(machine, "ATTEMPT", "pass")
    model.optimize("bf16")
    monkeypatch.setattr(machine, "ATTEMPT", "import os; os.kill(os.getpid(), 4)")
    monkeypatch.setenv(machine.LIMIT, "AVX512_CORE_BF16")
    model.optimize("bf16")


def test_a_module_of_the_working_folder_is_not_what_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    machine.dies.__wrapped__(machine.ATTEMPT)
    assert not (tmp_path / "ran").exists()


def test_optimizing_leaves_the_model_as_it_was() -> None:
    model = FRCRN(FRCRNConfig.tiny()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = model.optimize()
    assert model.training
    assert not model.optimized
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not fast.training
    assert fast.optimized
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fast.modules())
