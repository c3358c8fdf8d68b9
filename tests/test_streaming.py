"""Streams: however sound is cut, and whatever its rate, what comes out is what the whole file gives."""

from __future__ import annotations

import gc
import tracemalloc
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from itertools import cycle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from frcrn import FRCRN, FRCRNConfig
from frcrn.audio import AudioError
from frcrn.inference.network import inference_form
from frcrn.inference.opening import open_network
from frcrn.inference.streaming import Stream, push_together
from frcrn.models import Enhancer
from frcrn.models.checkpoint import load
from tests.fakes import CausalGain, Gain, LateGain
from tests.networks import lively, tiny, two_levels, with_mask_of_one

Array = NDArray[np.float32]
RATES = [8000, 11025, 22050, 44100, 48000, 96000]


@cache
def network() -> FRCRN:
    return tiny(causal=True)


def sound(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * np.float32(0.1)


def whole(model: Enhancer, wave: Array) -> Array:
    with torch.no_grad():
        return model(torch.from_numpy(np.atleast_2d(wave))).wave.numpy().reshape(wave.shape)


def streamed(stream: Stream, wave: Array, sizes: Sequence[int]) -> Array:
    """Push a wave in chunks of these sizes, over and over, and flush."""
    parts, start, size = [], 0, cycle(sizes)
    while start < wave.shape[-1]:
        step = next(size)
        parts.append(stream.push(wave[..., start : start + step]))
        start += step
    return np.concatenate([*parts, stream.flush()], axis=-1)


@given(st.integers(1, 2000), st.lists(st.integers(1, 700), min_size=1, max_size=6))
@settings(deadline=None, max_examples=12)
def test_any_chunking_gives_what_the_whole_wave_gives(length: int, sizes: list[int]) -> None:
    wave = sound(length)
    assert_allclose(streamed(network().stream(), wave, sizes), whole(network(), wave), atol=1e-5)


@pytest.mark.parametrize("sizes", [[1], [37], [320], [5000], [0, 37, 0, 0, 640]])
def test_a_network_of_the_released_kind_streams_as_it_hears_the_whole(sizes: list[int]) -> None:
    config = FRCRNConfig(causal=True, levels=two_levels(640, 320).levels, se_frames=4, reduction=1)
    torch.manual_seed(0)
    model, wave = lively(FRCRN(config), 2, 20 * 320), sound(2500)
    assert_allclose(streamed(model.stream(), wave, sizes), whole(model, wave), atol=1e-5)


@pytest.mark.parametrize("band", ["full", "speech"])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("length", [1, 2, 1000, 20_011])
def test_any_rate_gives_what_the_whole_gives_to_the_last_sample(rate: int, length: int, band: str) -> None:
    model, wave = network(), sound(length)
    clean = streamed(model.stream(rate, band=band), wave, [441, 1, 2000])
    assert_allclose(clean, model.enhance(wave, rate, band=band, passes=1), atol=1e-5)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_channels_do_not_hear_each_other(rate: int) -> None:
    wave = sound(3, 5000)
    together = streamed(network().stream(rate, channels=3), wave, [777])
    for channel, alone in enumerate(wave):
        assert_allclose(together[channel], streamed(network().stream(rate), alone, [777]), atol=1e-6)


@pytest.mark.parametrize(("window", "hop", "milliseconds"), [(640, 320, 40), (512, 256, 32), (320, 160, 20)])
def test_an_impulse_comes_out_within_the_latency_and_not_much_before(window: int, hop: int, milliseconds: int) -> None:
    model = with_mask_of_one(FRCRN(two_levels(window, hop, causal=True)))
    stream = model.stream()
    assert stream.latency == window == milliseconds * 16
    delays = []
    for place in (0, hop - 1, hop, 2 * hop + 7):
        wave = np.zeros(5 * hop, np.float32)
        wave[place] = 1
        out = 0
        for pushed, sample in enumerate(wave, start=1):
            chunk = stream.push(sample[None])
            if (found := np.flatnonzero(np.abs(chunk) > 0.5)).size:
                assert out + found[0] == place  # in time with the input
                delays.append(pushed - place)
            out += chunk.size
        stream.reset()
    assert len(delays) == 4
    assert max(delays) == stream.latency


def longest_wait(stream: Stream, size: int, seconds: float) -> int:
    """Push chunks of one size; return after how many samples the last one to come out had come out."""
    silence = np.zeros(size, np.float32)
    pushed = returned = longest = 0
    while pushed < seconds * stream.rate:
        pushed += size
        longest = max(longest, pushed - returned)
        returned += stream.push(silence).size
    return longest


@pytest.mark.parametrize(
    ("rate", "band", "lookahead", "seconds"),
    [
        (8000, "full", 0, 1),
        (8000, "full", 13440, 1),
        (12000, "full", 0, 20),  # soxr's blocks are furthest from the hops after 19 s
        (44100, "full", 0, 1),
        (44100, "full", 13440, 1),
        (48000, "full", 0, 0.2),
        (48000, "full", 13440, 0.2),
        (48000, "speech", 0, 1),
        (48000, "speech", 13440, 1),
    ],
)
def test_the_latency_at_another_rate_is_the_longest_that_is_seen(
    rate: int, band: str, lookahead: int, seconds: float
) -> None:
    stream = LateGain(lookahead=lookahead).stream(rate, band=band)
    assert stream.latency == longest_wait(stream, rate // 1000, seconds + lookahead / 16000)


@pytest.mark.parametrize(("rate", "seconds"), [(8000, 0.5), (44100, 0.2), (48000, 0.2)])
def test_samples_that_come_one_by_one_come_out_within_the_latency_and_not_a_millisecond_before(
    rate: int, seconds: float
) -> None:
    stream = LateGain(lookahead=0).stream(rate)
    assert stream.latency - rate / 1000 < longest_wait(stream, 1, seconds) <= stream.latency


@pytest.mark.parametrize(("name", "latency"), [("default", 640), ("offline", 14080)])
def test_the_latency_of_the_bundled_networks_is_what_a_stream_waits_for(name: str, latency: int) -> None:
    stream = open_network(name).stream()
    assert stream.latency == latency
    assert stream.push(np.zeros(latency - 1, np.float32)).size == 0
    assert stream.push(np.zeros(1, np.float32)).size == stream.model.hop


def test_streams_pushed_together_give_what_each_gives_alone() -> None:
    model = network()
    waves = [sound(2, 3000, seed=1), sound(2, 3000, seed=2), sound(2, 1500, seed=3)]
    streams = [model.stream(channels=2) for _ in waves]
    random = np.random.default_rng(0)
    outputs: list[list[Array]] = [[] for _ in waves]
    places = [0] * len(waves)
    while open_ones := [n for n, wave in enumerate(waves) if places[n] < wave.shape[1]]:
        sizes = random.integers(0, 400, len(open_ones))
        chunks = [waves[n][:, places[n] : places[n] + size] for n, size in zip(open_ones, sizes, strict=True)]
        for n, size, out in zip(open_ones, sizes, push_together([streams[n] for n in open_ones], chunks), strict=True):
            outputs[n].append(out)
            places[n] += size
    for wave, stream, parts in zip(waves, streams, outputs, strict=True):
        assert_allclose(np.concatenate([*parts, stream.flush()], axis=1), whole(model, wave), atol=1e-5)


def test_streams_pushed_together_go_through_the_network_together() -> None:
    model = CausalGain()
    streams = [Stream(model) for _ in range(5)]
    push_together(streams, [sound(model.hop) for _ in streams])
    assert [tuple(frame.shape) for frame in model.seen] == [(5, model.hop)]


def test_pushing_together_refuses_what_does_not_belong_together() -> None:
    one, other = Stream(CausalGain()), Stream(CausalGain())
    with pytest.raises(ValueError, match="different models"):
        push_together([one, other], [sound(8), sound(8)])
    with pytest.raises(ValueError, match="one chunk for each"):
        push_together([one], [])
    with pytest.raises(ValueError, match="different streams"):
        push_together([one, one], [sound(8), sound(8)])


def test_a_refused_chunk_changes_no_stream() -> None:
    model, wave, bad = network(), sound(1000), sound(200)
    bad[17] = np.nan
    streams = [model.stream(), model.stream()]
    first = [stream.push(wave[:500]) for stream in streams]
    with pytest.raises(AudioError, match=r"sample 517 .* is nan"):
        push_together(streams, [wave[500:], bad])
    rest = [np.concatenate([stream.push(wave[500:]), stream.flush()]) for stream in streams]
    for begin, end in zip(first, rest, strict=True):
        assert_allclose(np.concatenate([begin, end]), whole(model, wave), atol=1e-5)


def test_strength_mixes_with_the_original_in_time_with_it() -> None:
    wave = sound(3000)
    clean = whole(network(), wave)
    for strength in (0.25, 1.0):
        mixed = streamed(network().stream(strength=strength), wave, [130])
        assert_allclose(mixed, wave + strength * (clean - wave), atol=1e-5)
    assert_array_equal(streamed(network().stream(strength=0), wave, [130]), wave)
    # the original passes by the resamplers, so it keeps what the network's rate cannot hold
    assert_array_equal(streamed(network().stream(48000, strength=0), wave, [130]), wave)


def test_a_changed_strength_fades_over_without_a_jump() -> None:
    model = Stream(CausalGain(0.0))
    constant = np.ones(320, np.float32)
    before, fading = model.push(constant), None
    model.strength = 0.0
    fading, after = model.push(constant), model.push(constant)
    assert_array_equal(before, np.zeros_like(before))
    assert fading[0] == 0 and fading[-1] == 1 and np.diff(fading).max() < 0.01
    assert_array_equal(after, np.ones_like(after))


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_outside_its_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="from 0 .* to 1"):
        network().stream(strength=strength)
    stream = network().stream()
    with pytest.raises(ValueError, match="from 0 .* to 1"):
        stream.strength = strength


@pytest.mark.parametrize("rate", [16000, 44100])
def test_after_reset_and_after_flush_a_stream_is_as_new(rate: int) -> None:
    wave, stream = sound(4000), network().stream(rate)
    new = streamed(network().stream(rate), wave, [500])
    stream.push(sound(3333, seed=9))
    stream.reset()
    assert_array_equal(streamed(stream, wave, [500]), new)
    assert_array_equal(streamed(stream, wave, [500]), new)


def test_flushing_what_heard_nothing_gives_nothing() -> None:
    for rate in (16000, 48000):
        assert network().stream(rate, channels=2).flush().shape == (2, 0)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int16"])
@pytest.mark.parametrize("torch_too", [False, True])
def test_the_kind_of_a_chunk_comes_back(kind: str, torch_too: bool) -> None:
    stream = Stream(CausalGain())
    wave = np.round(sound(1, 500) * 32768).astype(kind)
    chunk = torch.from_numpy(wave) if torch_too else wave
    out = stream.push(chunk)
    assert type(out) is type(chunk) and out.dtype == chunk.dtype
    assert out.shape == (1, 448)
    assert_array_equal(np.asarray(out), wave[:, :448])


def test_chunks_of_another_shape_are_refused() -> None:
    with pytest.raises(AudioError, match=r"shape \[3, 10\]; this stream takes \[T\] or \[1, T\]"):
        network().stream().push(sound(3, 10))
    with pytest.raises(AudioError, match=r"shape \[10\]; this stream takes \[2, T\]"):
        network().stream(channels=2).push(sound(10))
    with pytest.raises(AudioError, match="found list"):
        network().stream().push([0.0, 1.0])


def test_what_cannot_stream_says_why() -> None:
    with pytest.raises(ValueError, match="looks 64 samples ahead and cannot stream"):
        Stream(Gain())
    with pytest.raises(ValueError, match="channels 0"):
        network().stream(channels=0)
    with pytest.raises(AudioError, match="sample rate 0"):
        network().stream(0)


def test_a_stream_says_that_it_brings_nothing_to_a_level(caplog: pytest.LogCaptureFixture) -> None:
    wave = sound(2000)
    CausalGain().stream()
    assert not caplog.records
    clean = streamed(CausalGain(level_dbfs=-25).stream(), wave, [320])
    assert "used to speech at -25 dBFS" in caplog.text
    assert_allclose(clean, wave)


def test_silence_stays_silence_and_what_follows_it_is_not_harmed() -> None:
    stream, wave = network().stream(), sound(2000)
    silence = np.zeros(64 * 1000, np.float32)
    assert not stream.push(silence).any()
    out = streamed(stream, wave, [333])
    short = streamed(network().stream(), np.concatenate([silence[:6400], wave]), [333])
    assert_allclose(out[-2000:], short[-2000:], atol=1e-6)


def test_denormal_numbers_are_silence_to_the_network() -> None:
    model = CausalGain()
    Stream(model).push(np.full(64, 1e-41, np.float32))
    assert model.seen and not any(frame.any() for frame in model.seen)


def test_weights_that_change_are_heard_by_new_streams() -> None:
    model, wave = tiny(causal=True), sound(1000)
    assert inference_form(model) is inference_form(model)
    before = streamed(model.stream(), wave, [100])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    after = streamed(model.stream(), wave, [100])
    assert_allclose(after, whole(model, wave), atol=1e-5)
    assert np.abs(after - before).max() > 1e-3


def test_streaming_leaves_a_network_in_training_as_it_is() -> None:
    model = tiny(causal=True)
    model.train()
    statistics = [buffer.clone() for buffer in model.buffers()]
    streamed(model.stream(), sound(1000), [100])
    assert model.training
    assert all(torch.equal(one, other) for one, other in zip(statistics, model.buffers(), strict=True))


def pushed_for(stream: Stream, seconds: float, chunk: Array) -> int:
    """Push one chunk again and again for so long; return the samples that came out."""
    return sum(stream.push(chunk).size for _ in range(int(seconds * stream.rate) // chunk.size))


def hold(stream: Stream, seconds: float) -> None:
    """Check that time, memory and output are after so long what they are at the beginning."""
    chunk = sound({16000: 64 * 64, 44100: 1764}[stream.rate])  # whole hops, so that all chunks are heard alike
    tracemalloc.start()
    out = pushed_for(stream, 4, chunk)
    gc.collect()
    early, _ = tracemalloc.get_traced_memory()
    out += pushed_for(stream, seconds, chunk)
    gc.collect()
    late, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert late - early < 50_000
    assert 0 <= stream.position - out <= stream.latency + chunk.size
    # all that the network remembers is younger than this
    again = Stream(stream.model, stream.rate)
    pushed_for(again, 4, chunk)
    old, new = stream.flush(), again.flush()
    shared = min(old.size, new.size)  # a resampler gives in blocks, not after each push alike
    assert shared >= 32
    assert_allclose(old[-shared:], new[-shared:], atol=1e-5)


def forgetful() -> CausalGain:
    model = CausalGain()
    model.seen = deque(maxlen=1)  # type: ignore[assignment]
    return model


def test_a_minute_leaves_no_trace() -> None:
    hold(Stream(forgetful(), 44100), 60)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "rate"), [(network, 16000), (forgetful, 44100)])
def test_an_hour_leaves_no_trace(model: Callable[[], Enhancer], rate: int) -> None:
    hold(Stream(model(), rate), 3600)


@pytest.mark.parametrize("change", [lambda data: data.mul_(0.5), lambda data: data.copy_(data.flip(0))])
def test_weights_that_change_where_torch_does_not_count_are_seen(change: Callable[[torch.Tensor], object]) -> None:
    model = load("default")
    wave = np.random.default_rng(1).uniform(-0.1, 0.1, 3200).astype(np.float32)
    before = model.stream().push(wave)
    for weight in model.parameters():
        change(weight.data)
    assert not np.array_equal(before, model.stream().push(wave))
