"""A network that trains as its tables will compute: weights of 8 bits, features, sums and activations of 16.

What is rounded passes its gradient on as if it were not. The scales are the exporter's own, found anew at each step.
Within an LSTM the gates and cells stay in floating point: their rounding is a hundred times finer than the weights'.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from frcrn.export.fixed.quantise import SUM_BITS, UNIT_BITS, finest, scaled
from frcrn.models import NNSE, Enhancer
from frcrn.models.frames import Rows
from frcrn.models.layers.rows import Dense, Lstm, activated
from frcrn.models.layers.specs import array


class RoundedRows(Rows):
    """The backend of torch in which the layers of an NNSE between features and gains are rounded."""

    bits = SUM_BITS

    def layer(self, name: str, layer: nn.Module, x: Tensor) -> Tensor:
        """Apply a layer."""
        if not name.startswith("layer"):
            return super().layer(name, layer, x)
        if name == "layer0":
            x = rounded_to(x, SUM_BITS)
        past = self.past.get(name)
        y, self.new[name] = self.lstm(layer, x, past) if isinstance(layer, Lstm) else self.dense(layer, x, past)
        return y

    def dense(self, layer: nn.Module, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Apply a dense layer, its sums in 16 bits."""
        assert isinstance(layer, Dense)
        rows, new = layer.recent(x, past)
        weight, bias = in_8_bits(layer.linear.weight, layer.linear.bias, self.bits)
        sums = rounded_to(nn.functional.linear(rows, weight, bias), SUM_BITS)
        self.bits = UNIT_BITS if layer.activation in ("tanh", "sigmoid") else SUM_BITS
        return rounded_to(activated(sums, layer.activation), self.bits), new

    def lstm(self, layer: Lstm, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Apply an LSTM with rounded matrices."""
        of_x, of_h, bias_x, bias_h = (value for _, value in layer.cells.named_parameters())
        weight, bias = in_8_bits(of_x, bias_x + bias_h, self.bits)
        recurrent, none = in_8_bits(of_h, torch.zeros_like(bias), UNIT_BITS)
        h, c = x.new_zeros(2, len(x), layer.cells.hidden_size) if past is None else torch.stack(past.chunk(2, dim=1))
        state = [h[None].contiguous(), c[None].contiguous()]
        y, h, c = torch.lstm(x, state, [weight, recurrent, bias, none], True, 1, 0.0, False, False, True)
        self.bits = UNIT_BITS
        return rounded_to(y, UNIT_BITS), torch.cat([h[0], c[0]], dim=1)


def rounded_to(x: Tensor, bits: int) -> Tensor:
    """Round to 16 bits, so many of them after the point; what is beyond their range has no gradient."""
    scale = 2.0**bits
    x = x.clamp(-(2**15) / scale, (2**15 - 1) / scale)
    return x + (torch.round(x.detach() * scale) / scale - x.detach())


def in_8_bits(weight: Tensor, bias: Tensor | None, bits: int) -> tuple[Tensor, Tensor]:
    """Return weights [outputs, inputs] and bias as the tables will have them."""
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    powers = finest(array(weight), array(bias), bits)
    numbers, biases = scaled(array(weight), array(bias), bits, powers)
    exact = torch.from_numpy(numbers * 2.0 ** -powers[:, None]).to(weight)
    shift = torch.from_numpy(biases * 2.0 ** -(powers + bits)).to(bias)
    return weight + (exact - weight).detach(), bias + (shift - bias).detach()


def train_rounded(model: Enhancer) -> None:
    """Let a network compute, in training and validation, as its tables will."""
    if not isinstance(model, NNSE):
        raise ValueError(
            f"recipe.train.whole_numbers: a {type(model).__name__} has no tables of whole numbers; an nnse has"
        )
    model.backend = RoundedRows
