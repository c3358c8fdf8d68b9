"""The layers against complex arithmetic done the plain way, in pieces against whole, and fused against not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from frcrn.models.layers import fixed, stretches
from frcrn.models.layers.attention import ComplexSE, MaskedMean
from frcrn.models.layers.complex import ComplexConv2d, ComplexConvTranspose2d
from frcrn.models.layers.fsmn import BinFsmn, FrequencyFsmn, Memory, Projection, TimeFsmn
from frcrn.models.layers.fuse import fuse
from frcrn.models.layers.unet import Block, Level, UNet, UNetShape
from tests.networks import lively, lively_memory, noise

EXACT = {"atol": 1e-10, "rtol": 0.0}
PIECES = st.lists(st.integers(1, 5), min_size=1, max_size=6)


def signal(*shape: int, seed: int = 1) -> Tensor:
    """Return double-precision noise, so that differences are mistakes and not rounding."""
    return noise(*shape, seed=seed, level=1.0).double()


def as_complex(x: Tensor) -> Tensor:
    """[B, 2C, ...] -> complex [B, C, ...]."""
    return torch.complex(*x.chunk(2, dim=1))


def stacked(z: Tensor) -> Tensor:
    """Complex [B, C, ...] -> [B, 2C, ...]."""
    return torch.cat([z.real, z.imag], dim=1)


def complex_weight(layer: nn.Module) -> Tensor:
    return torch.complex(layer.re.weight, layer.im.weight)


def complex_bias(layer: nn.Module) -> Tensor:
    # the real part is computed as re(x) - im(y) and the imaginary one as re(y) + im(x), each with its bias
    bias = torch.complex(layer.re.bias - layer.im.bias, layer.re.bias + layer.im.bias)
    return bias[None, :, None, None]


def in_pieces(layer: Callable[..., tuple[Tensor, Any]], x: Tensor, pieces: list[int]) -> Tensor:
    """Run a layer over pieces of time, handing on its state."""
    results, past = [], None
    for piece in x.split(pieces, dim=-1):
        y, past = layer(piece, past)
        results.append(y)
    return torch.cat(results, dim=-1)


# Convolutions


@given(
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 3)),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
    causal=st.booleans(),
)
def test_convolution_equals_complex_arithmetic(
    kernel: tuple[int, int], stride: int, padding: int, causal: bool
) -> None:
    layer = ComplexConv2d(3, 4, kernel, stride, padding, causal).double()
    x = signal(2, 6, 11, 7)
    past = kernel[1] - 1
    wide = F.pad(as_complex(x), (past, 0 if causal else past, padding, padding))
    expected = F.conv2d(wide, complex_weight(layer), stride=(stride, 1)) + complex_bias(layer)
    assert_close(layer(x)[0], stacked(expected), **EXACT)


@given(
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 3)),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
    shorter=st.integers(0, 2),
    causal=st.booleans(),
)
def test_transposed_convolution_equals_complex_arithmetic(
    kernel: tuple[int, int], stride: int, padding: int, shorter: int, causal: bool
) -> None:
    x = signal(2, 6, 5, 7)
    full = 4 * stride + kernel[0]
    size = max(full - padding - shorter, 1)
    layer = ComplexConvTranspose2d(3, 4, kernel, stride, padding, size, causal).double()
    past = kernel[1] - 1
    whole = F.conv_transpose2d(as_complex(x), complex_weight(layer), stride=(stride, 1)) + complex_bias(layer)
    time = slice(0, 7) if causal else slice(past, 7)
    expected = stacked(whole[:, :, padding : padding + size, time])
    assert_close(layer(x)[0], expected, **EXACT)


def test_a_convolution_and_its_transpose_are_adjoint() -> None:
    down = ComplexConv2d(3, 4, (5, 2), 2, 1, causal=False).double()
    up = ComplexConvTranspose2d(4, 3, (5, 2), 2, 1, size=11, causal=False).double()
    with torch.no_grad():
        up.re.weight.copy_(down.re.weight)
        up.im.weight.copy_(-down.im.weight)
        for bias in (down.re.bias, down.im.bias, up.re.bias, up.im.bias):
            bias.zero_()
    x, y = signal(1, 6, 11, 7), signal(1, 8, 5, 8, seed=2)
    assert_close((down(x)[0] * y).sum(), (x * up(y)[0]).sum(), **EXACT)


# Memories


def slow_projection(block: Projection, vectors: Tensor) -> Tensor:
    """[N, C] -> [N, C]: place by place."""
    return torch.stack([block.project(F.relu(block.linear(vector))) for vector in vectors])


def slow_taps(weight: Tensor, projected: Tensor) -> Tensor:
    """[C, 1, order, 1], [N, C] -> [N, C]: what is projected here, and what was before by the taps."""
    order = weight.shape[2]
    results = []
    for place, result in enumerate(projected):
        for tap in range(order):
            earlier = place - (order - 1) + tap
            if earlier >= 0:
                result = result + weight[:, 0, tap, 0] * projected[earlier]
        results.append(result)
    return torch.stack(results)


def slow_memory(block: Memory, vectors: Tensor) -> Tensor:
    """[N, C] -> [N, C]: place by place, tap by tap."""
    return vectors + slow_taps(block.memory.weight, slow_projection(block, vectors))


def slow_fsmn(layer: FrequencyFsmn | TimeFsmn, re: Tensor, im: Tensor) -> tuple[Tensor, Tensor]:
    """[N, C] twice -> [N, C] twice: the complex product of two memory blocks."""
    return (
        slow_memory(layer.re, re) - slow_memory(layer.im, im),
        slow_memory(layer.re, im) + slow_memory(layer.im, re),
    )


@pytest.mark.parametrize("order", [1, 4, 20])
def test_frequency_fsmn_equals_a_loop(order: int) -> None:
    layer = FrequencyFsmn(3, 5, order).double()
    x = signal(2, 6, 9, 4)
    expected = torch.empty_like(x)
    for batch in range(2):
        for frame in range(4):
            re, im = x[batch, :, :, frame].T.chunk(2, dim=1)
            expected[batch, :, :, frame] = torch.cat(slow_fsmn(layer, re, im), dim=1).T
    assert_close(layer(x), expected, **EXACT)


@pytest.mark.parametrize("order", [1, 4, 20])
def test_time_fsmn_equals_a_loop(order: int) -> None:
    channels, bins, frames = 3, 2, 9
    layer = TimeFsmn(channels * bins, 5, order).double()
    x = signal(2, 2 * channels, bins, frames)
    expected = torch.empty_like(x)
    for batch in range(2):
        re, im = x[batch].flatten(0, 1).T.chunk(2, dim=1)
        expected[batch] = torch.cat(slow_fsmn(layer, re, im), dim=1).T.unflatten(0, (2 * channels, bins))
    assert_close(layer(x)[0], expected, **EXACT)


@pytest.mark.parametrize("order", [1, 4, 20])
def test_a_memory_in_each_bin_equals_a_loop(order: int) -> None:
    channels, bins, frames = 3, 4, 9
    layer = lively_memory(BinFsmn(channels, 5, order)).double()
    x = signal(2, 2 * channels, bins, frames)
    expected = torch.empty_like(x)
    for batch, at in itertools.product(range(2), range(bins)):
        parts = x[batch, :, at].T.chunk(2, dim=1)
        (f_re, g_re), (f_im, g_im) = ([slow_projection(block, z) for block in (layer.re, layer.im)] for z in parts)
        projected = torch.cat([f_re - g_im, f_im + g_re], dim=1)
        expected[batch, :, at] = x[batch, :, at] + slow_taps(layer.re.memory.weight.repeat(2, 1, 1, 1), projected).T
    assert_close(layer(x)[0], expected, **EXACT)


def test_an_untrained_memory_in_each_bin_changes_nothing() -> None:
    x = signal(1, 6, 4, 9).float()
    assert torch.equal(BinFsmn(3, 5, 4)(x)[0], x)


# Squeeze-excitation


def slow_gate(gate: nn.Sequential, means: Tensor) -> Tensor:
    first, _, second, _ = gate
    return torch.sigmoid(second.weight @ torch.relu(first.weight @ means + first.bias) + second.bias)


def slow_weights(layer: ComplexSE, re: Tensor, im: Tensor) -> Tensor:
    """[C], [C] -> [2 C]: the complex product of two gates."""
    return torch.cat(
        [slow_gate(layer.re, re) - slow_gate(layer.im, im), slow_gate(layer.re, im) + slow_gate(layer.im, re)]
    )


def test_squeeze_excitation_equals_the_slow_way() -> None:
    layer = ComplexSE(4, 2).double()
    x = signal(2, 8, 5, 6)
    expected = torch.empty_like(x)
    for batch in range(2):
        re, im = (torch.stack([channel.mean() for channel in part]) for part in x[batch].chunk(2))
        expected[batch] = x[batch] * slow_weights(layer, re, im)[:, None, None]
    assert_close(layer(x)[0], expected, **EXACT)


def test_causal_squeeze_excitation_equals_the_slow_way() -> None:
    layer = ComplexSE(4, 2, taps=3).double()
    with torch.no_grad():
        layer.pool.weight.copy_(signal(8, 1, 3, seed=3))
    x = signal(2, 8, 5, 6)
    expected = torch.empty_like(x)
    for batch in range(2):
        for frame in range(6):
            pooled = torch.zeros(8).double()
            for tap in range(3):
                if frame - 2 + tap >= 0:
                    pooled += layer.pool.weight[:, 0, tap] * x[batch, :, :, frame - 2 + tap].mean(dim=1)
            weights = slow_weights(layer, *pooled.chunk(2))
            expected[batch, :, :, frame] = x[batch, :, :, frame] * weights[:, None]
    assert_close(layer(x)[0], expected, **EXACT)


def test_pooling_starts_as_a_running_mean() -> None:
    pool = MaskedMean(3, taps=4).double()
    x = signal(2, 3, 9)
    pooled, _ = pool(x)
    for frame in range(9):
        expected = x[:, :, max(frame - 3, 0) : frame + 1].sum(dim=2) / 4
        assert_close(pooled[:, :, frame], expected, **EXACT)


def test_causal_pooling_over_a_whole_clip_ends_at_the_clips_mean() -> None:
    whole = ComplexSE(4, 2).double()
    causal = ComplexSE(4, 2, taps=6).double()
    causal.load_state_dict(whole.state_dict(), strict=False)
    x = signal(2, 8, 5, 6)
    assert_close(causal(x)[0][..., -1], whole(x)[0][..., -1], atol=1e-7, rtol=0)
    assert not torch.allclose(causal(x)[0][..., 0], whole(x)[0][..., 0])


# State


def causal_layers() -> dict[str, nn.Module]:
    block = lively_block(ComplexConv2d(4, 3, (3, 2), 2, 1, causal=True), 3)
    return {
        "convolution": ComplexConv2d(4, 3, (3, 2), 2, 1, causal=True),
        "long convolution": ComplexConv2d(4, 3, (3, 4), causal=True),
        "convolution without past": ComplexConv2d(4, 3, (3, 1), causal=True),
        "transposed convolution": ComplexConvTranspose2d(4, 3, (5, 2), 2, 0, 11, causal=True),
        "long transposed convolution": ComplexConvTranspose2d(4, 3, (4, 3), 2, 1, 10, causal=True),
        "block": block,
        "time memory": TimeFsmn(20, 6, 4),
        "time memory in each bin": lively_memory(BinFsmn(4, 6, 4)),
        "squeeze-excitation": ComplexSE(4, 2, taps=5),
    }


def lively_block(conv: ComplexConv2d | ComplexConvTranspose2d, channels: int) -> Block:
    block = Block(conv, channels)
    with torch.no_grad():
        block.norm.weight.uniform_(0.5, 1.5)
        block.norm.bias.uniform_(-1, 1)
        block.norm.running_mean.uniform_(-1, 1)
        block.norm.running_var.uniform_(0.5, 2)
    return block.eval()


@pytest.mark.parametrize("name", list(causal_layers()))
@given(pieces=PIECES)
def test_pieces_of_time_equal_the_whole(name: str, pieces: list[int]) -> None:
    layer = causal_layers()[name].double()
    x = signal(2, 8, 5, sum(pieces))
    with torch.no_grad():
        assert_close(in_pieces(layer, x, pieces), layer(x)[0], **EXACT)


@pytest.mark.parametrize("name", list(causal_layers()))
def test_no_layer_sees_the_next_frame(name: str) -> None:
    layer = causal_layers()[name].double()
    x = signal(1, 8, 5, 9)
    changed = x.clone()
    changed[..., 5:] += 1
    with torch.no_grad():
        y, z = layer(x)[0], layer(changed)[0]
    assert torch.equal(y[..., :5], z[..., :5])
    assert not torch.allclose(y[..., 5], z[..., 5])


def small_unet(causal: bool, **changes: Any) -> UNet:
    levels = (Level(4, se=False), Level(4, up_kernel=(6, 2), time=5), Level(6, kernel=(3, 2), up_kernel=(4, 2), time=3))
    values: dict[str, Any] = {"memory": 3, "time_memory": 3, "reduction": 2, "se_frames": 5 if causal else 0, **changes}
    unet = UNet(levels, UNetShape(bins=31, causal=causal, **values))
    return lively(unet, 2, 2 * unet.shape.channels_in, 31, 12).double()


@cache
def skipping_unet(add_skips: bool) -> UNet:
    return small_unet(causal=True, add_skips=add_skips, channels_in=2, head_channels=3)


@given(pieces=PIECES, add_skips=st.booleans())
def test_a_causal_unet_in_pieces_equals_whole(pieces: list[int], add_skips: bool) -> None:
    unet = skipping_unet(add_skips)
    x = signal(2, 4, 31, sum(pieces))
    with torch.no_grad():
        assert_close(in_pieces(unet, x, pieces), unet(x)[0], **EXACT)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("frames", [1, 2, 10])
def test_a_unet_gives_back_the_shape_of_its_input(causal: bool, frames: int) -> None:
    unet = small_unet(causal)
    assert unet(signal(3, 2, 31, frames))[0].shape == (3, 2, 31, frames)


# Fused


@given(
    frames=st.integers(1, 90),
    taps=st.integers(1, 4),
    padding=st.integers(0, 3),
    values=st.integers(1, 3000),
    last=st.booleans(),
)
def test_stretches_of_time_equal_the_whole(frames: int, taps: int, padding: int, values: int, last: bool) -> None:
    frames, padding = frames + taps, min(padding, taps - 1)
    layout = torch.channels_last if last else torch.contiguous_format
    x = noise(2, 3, 5, frames).contiguous(memory_format=layout)
    weight = noise(4, 3, 2, taps)
    seen: list[int] = []

    def layer(part: Tensor) -> Tensor:
        seen.append(part.shape[3])
        return F.conv2d(part, weight)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "VALUES", values)
        found = stretches.in_stretches(layer, x, taps, padding)
    assert_close(found, F.conv2d(x, weight, padding=(0, padding)), rtol=1e-5, atol=1e-5)
    assert max(seen) <= max(16, values // 30) + taps - 1
    assert sum(part - taps + 1 for part in seen) == found.shape[3]


@pytest.mark.parametrize("values", [1, 1 << 30], ids=["in stretches", "at once"])
def test_a_fused_unet_in_stretches_passes_gradients_on(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(stretches, "VALUES", values)
    unet = small_unet(False)
    x = signal(1, 2, 31, 50).requires_grad_(True)
    (expected,) = torch.autograd.grad(unet(x)[0].square().sum(), x)
    fuse(unet.requires_grad_(False))
    (found,) = torch.autograd.grad(unet(x)[0].square().sum(), x)
    assert_close(found, expected, **EXACT)


@pytest.fixture(params=[1, 1000], ids=["three products", "block"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every convolution be kept as three products, or none."""
    monkeypatch.setattr(fixed, "LEAST_CHANNELS", request.param)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("add_skips", [False, True])
def test_a_fused_unet_equals_the_plain_one(causal: bool, add_skips: bool) -> None:
    unet = small_unet(causal, add_skips=add_skips)
    x = signal(2, 2, 31, 9)
    with torch.no_grad():
        expected = unet(x)[0]
        fuse(unet)
        assert_close(unet(x)[0], expected, **EXACT)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("name", list(causal_layers()))
def test_a_fused_layer_equals_the_plain_one(name: str) -> None:
    layer = causal_layers()[name].double()
    x = signal(2, 8, 5, 9)
    with torch.no_grad():
        expected, expected_past = layer(x)
        fuse(layer)
        y, past = layer(x)
    assert_close(y, expected, **EXACT)
    assert_close(past, expected_past, **EXACT)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_a_fused_convolution_tells_the_block_weight_that_does_the_same(kernel: int) -> None:
    for layer in (ComplexConv2d(2, 3, (kernel, 2)), ComplexConvTranspose2d(2, 3, (kernel, 2), 2, 1, 9)):
        layer.double()
        weight, bias = layer.combined()
        scale, shift = (signal(6, seed=seed) for seed in (3, 4))
        layer.fix(scale, shift)
        repeats = len(bias) // 6
        told, offset = layer.weight_and_bias()
        assert_close(told, weight * scale.repeat(repeats)[:, None, None, None], **EXACT)
        assert_close(offset, bias * scale.repeat(repeats) + shift.repeat(repeats), **EXACT)


@pytest.mark.usefixtures("form")
def test_fusing_twice_changes_nothing() -> None:
    unet = small_unet(causal=True)
    x = signal(1, 2, 31, 9)
    with torch.no_grad():
        fuse(unet)
        expected = unet(x)[0]
        fuse(unet)
        assert torch.equal(unet(x)[0], expected)


def test_a_fused_network_has_no_batch_norm_left() -> None:
    unet = small_unet(causal=False)
    fuse(unet)
    assert not [layer for layer in unet.modules() if isinstance(layer, nn.BatchNorm2d)]


# Levels


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (Level(4, kernel=(40, 2)), "level 0: 31 bins become 0"),
        (Level(4, kernel=(6, 2)), r"level 0: 31 bins become 13 .* up kernel 5"),
        (Level(4, up_kernel=(2, 2)), "do not come back"),
    ],
)
def test_levels_that_cannot_be_undone_are_refused(level: Level, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UNet((level,), UNetShape(bins=31))
