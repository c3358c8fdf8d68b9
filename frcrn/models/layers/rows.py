"""Layers over rows: one row of features a frame, [B, N, features]. What a layer remembers is one tensor, [B, size].

An LSTM with the state (h, c) takes a row x to the gates i, f, g, o, four parts of W x + U h + b, and to

    c' = sigmoid(f) c + sigmoid(i) tanh(g)          h' = sigmoid(o) tanh(c')

A GRU takes it to r and z, two parts of W x + b + U h + d, and with the third parts of both sums, p and q, to

    n = tanh(p + sigmoid(r) q)                      h' = (1 - sigmoid(z)) n + sigmoid(z) h
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.models.layers.specs import Array, array

Activation = Literal["linear", "relu", "relu6", "sigmoid", "tanh"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
Memory = Tensor | None


class DenseSpec(NamedTuple):
    """A matrix over the last `frames` rows: activation(weight x + bias)."""

    weight: Array
    """[outputs, frames inputs], the oldest row first."""
    bias: Array | None
    frames: int
    activation: Activation


class RecurrentSpec(NamedTuple):
    """The matrices of a recurrent layer and their biases, one part of `hidden` rows a gate."""

    weight: Array
    """[gates hidden, inputs]; an LSTM's gates are i, f, g, o, a GRU's r, z, n."""
    recurrent: Array
    """[gates hidden, hidden]."""
    bias: Array
    recurrent_bias: Array


class NormSpec(NamedTuple):
    """A normalisation of each row: gain (x - mean) / sqrt(variance + epsilon) + bias."""

    gain: Array
    bias: Array
    epsilon: float


def activated(x: Tensor, kind: Activation) -> Tensor:
    """Apply an activation."""
    if kind == "linear":
        return x
    if kind == "relu6":
        return F.relu6(x)
    y: Tensor = getattr(torch, kind)(x)
    return y


class Dense(nn.Module):
    """A matrix over a row and, with `frames` above one, those before it: a causal convolution along time."""

    def __init__(
        self, inputs: int, outputs: int, activation: Activation = "linear", *, bias: bool = True, frames: int = 1
    ) -> None:
        super().__init__()
        self.inputs, self.frames, self.activation = inputs, frames, activation
        self.linear = nn.Linear(frames * inputs, outputs, bias=bias)

    def forward(self, x: Tensor, past: Memory = None) -> tuple[Tensor, Tensor]:
        """[B, N, inputs], past [B, (frames - 1) inputs] -> [B, N, outputs], new past."""
        rows, new = self.recent(x, past)
        return activated(self.linear(rows), self.activation), new

    def recent(self, x: Tensor, past: Memory = None) -> tuple[Tensor, Tensor]:
        """[B, N, inputs], past -> each row after those that are looked at with it [B, N, frames inputs], new past."""
        kept = (self.frames - 1) * self.inputs
        if kept:
            before = x.new_zeros(len(x), kept) if past is None else past
            longer = torch.cat([before.unflatten(1, (-1, self.inputs)), x], dim=1)
            x = torch.cat([longer[:, age : age + x.shape[1]] for age in range(self.frames)], dim=2)
            past = longer[:, 1 - self.frames :].flatten(1)
        return x, x.new_zeros(len(x), 0) if past is None or not kept else past

    def spec(self) -> DenseSpec:
        """Describe this layer."""
        bias = None if self.linear.bias is None else array(self.linear.bias)
        return DenseSpec(array(self.linear.weight), bias, self.frames, self.activation)


class Recurrent(nn.Module):
    """What an LSTM and a GRU have in common."""

    cells: nn.LSTM | nn.GRU

    def spec(self) -> RecurrentSpec:
        """Describe this layer."""
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        return RecurrentSpec(*(array(getattr(self.cells, name)) for name in names))


class Lstm(Recurrent):
    """A long short-term memory along the rows."""

    cells: nn.LSTM

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cells = nn.LSTM(inputs, hidden, batch_first=True)

    def forward(self, x: Tensor, past: Memory = None) -> tuple[Tensor, Tensor]:
        """[B, N, inputs], past [B, 2 hidden] (h, c) -> [B, N, hidden], new past."""
        state = None if past is None else tuple(part.contiguous()[None] for part in past.chunk(2, dim=1))
        y, (h, c) = self.cells(x, state)
        return y, torch.cat([h[0], c[0]], dim=1)


class Gru(Recurrent):
    """A gated recurrent unit along the rows."""

    cells: nn.GRU

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cells = nn.GRU(inputs, hidden, batch_first=True)

    def forward(self, x: Tensor, past: Memory = None) -> tuple[Tensor, Tensor]:
        """[B, N, inputs], past [B, hidden] -> [B, N, hidden], new past."""
        y, h = self.cells(x, None if past is None else past[None])
        return y, h[0]


class Stateless(nn.Module):
    """A layer that treats each row by itself and keeps nothing."""

    def forward(self, x: Tensor, past: Memory = None) -> tuple[Tensor, Tensor]:
        """[B, N, inputs] -> [B, N, outputs], and an empty past."""
        return self.apply_to(x), x.new_zeros(len(x), 0)

    def apply_to(self, x: Tensor) -> Tensor:
        """[B, N, inputs] -> [B, N, outputs]."""
        raise TypeError(f"{type(self).__name__} does not define apply_to")


class RowNorm(Stateless):
    """Bring each row to mean 0 and variance 1, then scale and shift each feature."""

    def __init__(self, features: int, epsilon: float = 1e-7) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.gain, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))

    def apply_to(self, x: Tensor) -> Tensor:
        """[B, N, features] -> the same."""
        return F.layer_norm(x, self.gain.shape, self.gain, self.bias, self.epsilon)

    def spec(self) -> NormSpec:
        """Describe this layer."""
        return NormSpec(array(self.gain), array(self.bias), self.epsilon)


class FixedMatrix(Stateless):
    """A matrix that is not trained, such as the weights of bands."""

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix.float().contiguous(), persistent=False)

    def apply_to(self, x: Tensor) -> Tensor:
        """[B, N, inputs] -> [B, N, outputs]."""
        return F.linear(x, self.matrix)

    def spec(self) -> DenseSpec:
        """Describe this layer."""
        return DenseSpec(array(self.matrix), None, 1, "linear")


class Log(Stateless):
    """The logarithm of each value, scaled: scale log(x + floor) + shift."""

    def __init__(self, floor: float, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.floor, self.scale, self.shift = floor, scale, shift

    def apply_to(self, x: Tensor) -> Tensor:
        """[B, N, features] -> the same."""
        return self.scale * (x + self.floor).log() + self.shift

    def spec(self) -> tuple[float, float, float]:
        """Return floor, scale and shift."""
        return self.floor, self.scale, self.shift
