"""A layer that looks at a few frames only, computed over one stretch of time after the other.

What it needs in between then stays small: in the processor's cache, and under the size from which the C library asks
the system for fresh pages at every call, which costs a third of the time of a long clip.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

VALUES = 1 << 19
"""How many values of the input a stretch holds, about."""


def in_stretches(layer: Callable[[Tensor], Tensor], x: Tensor, taps: int = 1, padding: int = 0) -> Tensor:
    """[B, C, F, T] -> the layer's [B, C', F', T + 2 padding - taps + 1], for T long and short alike.

    The layer takes T frames to T - taps + 1; `padding` zeros, fewer than `taps`, go before and after.
    """
    batch, channels, bins, frames = x.shape
    count = frames + 2 * padding - taps + 1
    step = max(16, VALUES // (batch * channels * bins))
    if count <= step:
        return layer(F.pad(x, (padding, padding)) if padding else x)
    y: Tensor | None = None
    for start in range(0, count, step):
        stop = min(start + step, count)
        first, last = start - padding, stop - padding + taps - 1
        part = x[..., max(first, 0) : min(last, frames)]
        if first < 0 or last > frames:
            part = F.pad(part, (max(-first, 0), max(last - frames, 0)))
        found = layer(part)
        if y is None:
            size = (*found.shape[:3], count)
            y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        y[..., start:stop] = found
    assert y is not None
    return y
