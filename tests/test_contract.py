"""What everything above the networks relies on, for every registered network: the seam in `frcrn.models.base`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from frcrn.export.native import library
from frcrn.export.native.folder import export_program
from frcrn.export.native.standalone import NativeNetwork, find_program
from frcrn.export.runtime import with_runtime
from frcrn.models import MODELS, Enhancer
from frcrn.models.checkpoint import load, save, save_directory
from tests.marks import slow
from tests.networks import lively, noise

PRESETS: dict[str, dict[str, dict[str, object]]] = {
    "frcrn": {"tiny": {"causal": True}, "tiny offline": {"causal": False}, "compact": {}},
    "dtln": {"tiny": {}, "tiny normalised": {"normalise": True, "hop": 32, "layers": 1}},
    "nnse": {"tiny": {}, "tiny pspec": {"features": "pspec"}},
    "rnnoise": {"tiny": {}, "tiny pitch": {"pitch": True}, "tiny more bands": {"bands": 14}},
}
CASES = [(name, preset) for name in MODELS for preset in PRESETS[name]]
needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")


def untrained(name: str, preset: str) -> Enhancer:
    kind, config = MODELS[name]
    return kind(getattr(config, preset.split()[0])(**PRESETS[name][preset]))


@cache
def network(name: str, preset: str) -> Enhancer:
    """Return a network with lively weights; no test changes it."""
    torch.manual_seed(0)
    model = untrained(name, preset)
    return lively(model, 2, 20 * model.hop)


@cache
def optimized(name: str, preset: str) -> Enhancer:
    return network(name, preset).optimize()


def clean(model: Enhancer, wave: Tensor) -> Tensor:
    with torch.no_grad():
        return model(wave).wave


CAUSAL = [case for case in CASES if untrained(*case).lookahead == 0]
EVERY_NETWORK = pytest.mark.parametrize(("name", "preset"), CASES)
EVERY_CAUSAL_NETWORK = pytest.mark.parametrize(("name", "preset"), CAUSAL)
EVERY_OTHER_NETWORK = pytest.mark.parametrize(("name", "preset"), [case for case in CASES if case not in CAUSAL])


def test_there_are_networks_to_test() -> None:
    assert MODELS.keys() == PRESETS.keys()
    assert 0 < len(CAUSAL) < len(CASES)


@EVERY_NETWORK
def test_the_numbers_of_a_network_fit_together(name: str, preset: str) -> None:
    model = network(name, preset)
    assert model.window % model.hop == 0
    assert model.window > model.hop > 0
    assert model.sample_rate > 0
    assert model.lookahead >= 0
    assert model.latency == model.window + model.lookahead
    assert not model.optimized


@EVERY_NETWORK
def test_every_stage_has_a_spectrum_a_mask_and_a_wave(name: str, preset: str) -> None:
    model = network(name, preset)
    wave = noise(3, 10 * model.hop + 5)
    before = wave.clone()
    with torch.no_grad():
        estimate = model(wave)
    assert torch.equal(wave, before)
    assert torch.equal(estimate.wave, estimate.stages[-1].wave)
    for stage in estimate.stages:
        assert stage.wave.shape == wave.shape
        assert stage.spec.shape == stage.mask.shape
        assert stage.spec.shape[:3] == (3, 2, model.window // 2 + 1)
    assert estimate.wave.std() > 0.001


@EVERY_NETWORK
@settings(max_examples=10)
@given(share=st.floats(0, 1), batch=st.integers(1, 3))
def test_the_output_is_as_long_as_the_input(name: str, preset: str, share: float, batch: int) -> None:
    model = network(name, preset)
    samples = 1 + int(share * 3 * model.window)
    result = clean(model, noise(batch, samples))
    assert result.shape == (batch, samples)
    assert result.isfinite().all()


@EVERY_NETWORK
def test_silence_in_is_silence_out(name: str, preset: str) -> None:
    model = network(name, preset)
    assert clean(model, torch.zeros(1, 5 * model.window)).abs().max() == 0


@EVERY_NETWORK
def test_the_others_of_a_batch_change_nothing(name: str, preset: str) -> None:
    model = network(name, preset)
    waves = noise(3, 8 * model.window)
    waves[1] *= 10
    together = clean(model, waves)
    for number in range(3):
        alone = clean(model, waves[number : number + 1])
        assert_close(together[number : number + 1], alone, atol=1e-6, rtol=1e-5)


@EVERY_CAUSAL_NETWORK
@settings(max_examples=8)
@given(share=st.floats(0, 0.95))
def test_the_future_changes_nothing_beyond_the_lookahead(name: str, preset: str, share: float) -> None:
    causal = network(name, preset)
    samples = 8 * causal.window
    moment = int(share * samples)
    wave = noise(1, samples)
    changed = wave.clone()
    changed[:, moment:] = noise(1, samples - moment, seed=2, level=0.5)
    still = max(moment - causal.window, 0)
    before, after = clean(causal, wave), clean(causal, changed)
    assert_close(after[:, :still], before[:, :still], atol=1e-6, rtol=0)
    assert not torch.allclose(after[:, still:], before[:, still:], atol=1e-4)


@EVERY_CAUSAL_NETWORK
@pytest.mark.parametrize("chunk", [1, 37, 320, 5000])
def test_any_chunk_size_streamed_equals_the_whole(name: str, preset: str, chunk: int) -> None:
    causal = network(name, preset)
    wave = noise(1, min(12 * causal.window, 300 * chunk) + 5)
    stream = causal.stream()
    parts = [stream.push(piece) for piece in wave[0].split(chunk)]
    streamed = torch.cat([*parts, stream.flush()])
    assert_close(streamed[None], clean(causal, wave), atol=1e-5, rtol=0)


@EVERY_CAUSAL_NETWORK
@settings(max_examples=6)
@given(chunks=st.lists(st.integers(0, 3000), min_size=1, max_size=6))
def test_any_mixture_of_chunks_streamed_equals_the_whole(name: str, preset: str, chunks: list[int]) -> None:
    causal = network(name, preset)
    wave = noise(2, sum(chunks) + 1)
    stream = causal.stream(channels=2)
    parts = [stream.push(piece) for piece in wave.split([*chunks, 1], dim=1)]
    streamed = torch.cat([*parts, stream.flush()], dim=1)
    assert_close(streamed, clean(causal, wave), atol=1e-5, rtol=0)


@EVERY_CAUSAL_NETWORK
def test_streams_side_by_side_do_not_hear_each_other(name: str, preset: str) -> None:
    causal = network(name, preset)
    waves = noise(3, 8 * causal.hop)
    with torch.no_grad():
        together, state = causal.step(waves, causal.initial_state(3))
        for number in range(3):
            alone, mine = causal.step(waves[number : number + 1], causal.initial_state(1))
            assert_close(together[number : number + 1], alone, atol=1e-6, rtol=1e-5)
            for key, memory in state.items():
                assert_close(memory[number : number + 1], mine[key], atol=1e-5, rtol=1e-4)


@EVERY_OTHER_NETWORK
def test_what_looks_ahead_refuses_to_stream(name: str, preset: str) -> None:
    model = network(name, preset)
    for attempt in (lambda: model.stream(), lambda: model.initial_state(1)):
        with pytest.raises((TypeError, ValueError), match="cannot stream"):
            attempt()


@EVERY_NETWORK
def test_optimized_equals_plain(name: str, preset: str) -> None:
    model, fast = network(name, preset), optimized(name, preset)
    wave = noise(2, 8 * model.window + 3)
    with torch.no_grad():
        expected, estimate = model(wave), fast(wave)
    assert fast.optimized
    assert fast is not model
    for ours, theirs in zip(estimate.stages, expected.stages, strict=True):
        assert_close(ours.wave, theirs.wave, atol=1e-5, rtol=0)
        assert_close(ours.mask, theirs.mask, atol=1e-5, rtol=0)
    assert_close(clean(fast.optimize(), wave), estimate.wave, atol=1e-5, rtol=0)


@EVERY_CAUSAL_NETWORK
@pytest.mark.parametrize("hops", [1, 3])
def test_optimized_steps_equal_plain_ones(name: str, preset: str, hops: int) -> None:
    causal = network(name, preset)
    fast = optimized(name, preset)
    slow_state, fast_state = causal.initial_state(2), fast.initial_state(2)
    assert {k: v.shape for k, v in slow_state.items()} == {k: v.shape for k, v in fast_state.items()}
    with torch.no_grad():
        for frame in noise(2, 9 * causal.hop).split(hops * causal.hop, dim=1):
            slow, slow_state = causal.step(frame, slow_state)
            quick, fast_state = fast.step(frame, fast_state)
            assert_close(quick, slow, atol=1e-5, rtol=0)


@EVERY_NETWORK
def test_onnx_equals_torch(name: str, preset: str) -> None:
    pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model = network(name, preset)
    wave = noise(2, 8 * model.window + 3)
    assert_close(clean(with_runtime(model, "onnx", 1), wave), clean(model, wave), atol=1e-5, rtol=0)


@EVERY_CAUSAL_NETWORK
@pytest.mark.parametrize("runtime", ["onnx", slow("openvino")])
def test_onnx_hop_by_hop_equals_torch(name: str, preset: str, runtime: str) -> None:
    pytest.importorskip("onnx"), pytest.importorskip("openvino" if runtime == "openvino" else "onnxruntime")
    causal = network(name, preset)
    wave = noise(1, 12 * causal.window + 3)
    assert_close(clean(with_runtime(causal, runtime, 1, live=True), wave), clean(causal, wave), atol=1e-5, rtol=0)


@needs_compiler
@EVERY_NETWORK
def test_c_equals_torch(name: str, preset: str) -> None:
    model = network(name, preset)
    wave = noise(2, 8 * model.window + 3)
    assert_close(clean(with_runtime(model, "native", 1), wave), clean(model, wave), atol=1e-5, rtol=0)


@needs_compiler
@EVERY_CAUSAL_NETWORK
@pytest.mark.parametrize("chunk", [37, 700])
def test_c_streamed_equals_the_whole(name: str, preset: str, chunk: int) -> None:
    causal = network(name, preset)
    wave = noise(2, 12 * causal.window + 5)
    stream = with_runtime(causal, "native", 1, live=True).stream(channels=2)
    parts = [stream.push(piece) for piece in wave.split(chunk, dim=1)]
    assert_close(torch.cat([*parts, stream.flush()], dim=1), clean(causal, wave), atol=1e-5, rtol=0)


@needs_compiler
@EVERY_CAUSAL_NETWORK
def test_an_exported_program_is_the_network(name: str, preset: str, tmp_path: Path) -> None:
    causal = network(name, preset)
    export_program(causal, tmp_path)
    found = find_program(tmp_path)
    assert found is not None
    program, wave = NativeNetwork(*found), noise(2, 8 * causal.window + 3)
    assert (program.sample_rate, program.hop, program.latency) == (causal.sample_rate, causal.hop, causal.latency)
    assert_close(torch.from_numpy(program.whole(wave.numpy())), clean(causal, wave), atol=1e-5, rtol=0)


@EVERY_CAUSAL_NETWORK
def test_every_state_stays_bounded_and_forgets(name: str, preset: str) -> None:
    """What is loud fades: after it, silence comes out as silence, and no state grows with the wave."""
    causal = network(name, preset)
    state = causal.initial_state(1)
    sizes = {key: value.shape for key, value in state.items()}
    with torch.no_grad():
        for level in (1.0, 1.0, 0.0):
            out, state = causal.step(noise(1, 40 * causal.hop, level=level), state)
            assert {key: value.shape for key, value in state.items()} == sizes
            assert all(value.isfinite().all() and value.abs().max() < 1e4 for value in state.values())
    assert out[:, 2 * causal.window :].abs().max() == 0


@EVERY_NETWORK
def test_a_checkpoint_brings_back_the_same_network(name: str, preset: str, tmp_path: Path) -> None:
    model = network(name, preset)
    save(model, tmp_path / "model.safetensors")
    save_directory(model, tmp_path / "directory")
    wave = noise(1, 3 * model.window)
    for source in (tmp_path / "model.safetensors", tmp_path / "directory"):
        back = load(source)
        assert type(back) is type(model)
        assert back.config == model.config
        assert torch.equal(clean(back, wave), clean(model, wave))


def gradients(model: Enhancer, seed: int) -> dict[str, Tensor]:
    estimate = model.eval()(noise(2, 12 * model.window, seed=seed, level=1.0))
    voice = 0.0 if estimate.speech is None else estimate.speech.mean()
    (voice + sum(stage.wave.square().mean() + stage.mask.mean() for stage in estimate.stages)).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@EVERY_NETWORK
def test_a_gradient_reaches_every_parameter(name: str, preset: str) -> None:
    unreached = {key for key, _ in network(name, preset).named_parameters()}
    # from several starts, because a rectifier of a tiny network may happen to be shut for all of one input
    for seed in range(6):
        torch.manual_seed(seed)
        model = untrained(name, preset)
        for _ in range(2):  # what lies before a layer that begins as nothing is reached after a step
            found = gradients(model, seed)
            for key, gradient in found.items():
                assert gradient is not None, key
                assert gradient.isfinite().all(), key
                if gradient.abs().max() > 0:
                    unreached.discard(key)
            with torch.no_grad():
                for key, weight in model.named_parameters():
                    weight -= 1e-3 * found[key].sign()
                    weight.grad = None
        if not unreached:
            return
    pytest.fail(f"no gradient reaches {', '.join(sorted(unreached))}")


@EVERY_NETWORK
def test_training_mode_learns_the_statistics_and_nothing_else(name: str, preset: str) -> None:
    kind, _ = MODELS[name]
    model = kind(network(name, preset).config).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(noise(2, 6 * model.window))
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert bool(changed) == any(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    assert all(key.endswith(("running_mean", "running_var", "num_batches_tracked")) for key in changed)
