"""Depthwise convolutions along one dimension, for training on CUDA: without copies into other layouts.

    y[r, l, g, c] = shortcut[r, l - ahead, g, c] + sum_k taps[c, k] x[r, l + k - (K - 1), g, c]    zeros before l = 0

Kernels in Triton, which comes with torch where that is made for CUDA. With torch's own convolutions a step of the
network of 1.3 M parameters, recorded as a graph, takes 1.8 times as long on an H200.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from frcrn.models.layers.taps_kernels import filter_kernel, taps_kernel

logger = logging.getLogger("frcrn")

PARTS = 256
"""Sums over r and g that the gradient of taps is added up from."""


@cache
def works(device: torch.device) -> bool:
    """Say whether kernels can be made here: it takes Triton, a GPU that it knows, and a C compiler."""
    if find_spec("triton") is None:
        return False
    try:
        x, taps = torch.ones(1, 3, 1, 1, device=device), torch.ones(2, 1, device=device)
        return filtered(x, taps, None, off=-1, ahead=0).flatten().tolist() == [1.0, 2.0, 2.0]
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        logger.warning("training goes on without the faster kernels, which Triton could not make: %s", reason)
        return False


def fits(x: Tensor, past: Tensor | None = None) -> bool:
    """Say whether `along` is the way to go: for x that is trained on, on CUDA, and has no past."""
    return x.is_cuda and x.requires_grad and past is None and x.dtype != torch.float64 and works(x.device)


def along(x: Tensor, taps: Tensor, shortcut: Tensor | None = None, ahead: int = 0) -> Tensor:
    """[R, L, G, C] with taps [C, 1, K, 1] of single precision, and a shortcut like x -> [R, L, G, C] as above."""
    y: Tensor = Along.apply(x, taps[:, 0, :, 0].T, shortcut, ahead)  # type: ignore[no-untyped-call]
    return y


class Along(torch.autograd.Function):
    """The same with taps [K, C]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, shortcut: Tensor | None, ahead: int) -> Tensor:
        """Keep what the way back needs, and return the sum."""
        x, taps = x.contiguous(), taps.contiguous()
        short = None if shortcut is None else shortcut.to(x.dtype).contiguous()
        ctx.save_for_backward(x, taps)
        ctx.ahead, ctx.short = ahead, short is not None
        return filtered(x, taps, short, off=1 - len(taps), ahead=ahead)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, of the taps and of the shortcut."""
        x, taps = ctx.saved_tensors
        d = gradients[0].to(x.dtype).contiguous()
        of_x = filtered(d, taps.flip(0).contiguous(), None, off=0, ahead=0)
        of_shortcut = shifted(d, ctx.ahead) if ctx.short and ctx.ahead else d if ctx.short else None
        return of_x, of_taps(x, d, len(taps)), of_shortcut, None


def filtered(x: Tensor, taps: Tensor, short: Tensor | None, *, off: int, ahead: int) -> Tensor:
    """[R, L, G, C] with taps [K, C], the first of which is `off` places on -> [R, L, G, C]."""
    r, l, g, c = x.shape  # noqa: E741
    long, wide = block(l, c)
    y, shortcut = torch.empty_like(x), x if short is None else short
    grid = (r * g, -(-c // wide), -(-l // long))
    with torch.cuda.device_of(x):
        filter_kernel()[grid](x, taps, y, shortcut, l, g, c, len(taps), off, ahead, long, wide, short is not None)
    return y


def shifted(x: Tensor, by: int) -> Tensor:
    """Return x [R, L, G, C] as it is `by` places on, zeros after the end."""
    return filtered(x, torch.ones(1, x.shape[3], device=x.device), None, off=by, ahead=0)


def of_taps(x: Tensor, d: Tensor, order: int) -> Tensor:
    """Return the gradient [order, C] of taps, from x and the gradient d of the sum, [R, L, G, C] both."""
    r, l, g, c = x.shape  # noqa: E741
    pairs, (long, _), wide = r * g, block(l, c), 32
    each = max(1, -(-pairs // PARTS))
    parts = -(-pairs // each)
    out = torch.empty(parts, order, c, device=x.device)
    with torch.cuda.device_of(x):
        taps_kernel()[(parts, -(-c // wide), -(-order // 4))](x, d, out, pairs, l, g, c, order, each, long, wide)
    return out.sum(0)


def block(long: int, channels: int) -> tuple[int, int]:
    """Return how many places and channels a program takes: powers of two."""
    return min(64, 1 << (long - 1).bit_length()), 64 if channels >= 96 or channels == 64 else 32
