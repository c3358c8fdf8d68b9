"""Kernels in Triton for depthwise convolutions along one dimension of [R, L, G, C]; made at their first use.

Each program has a block of BL places along L and BC channels, of one r and one g. Sums are in single precision.
"""

# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False

from functools import cache
from typing import Any


@cache
def filter_kernel() -> Any:
    """Return the kernel y[l] = sum_k w[k] x[l + k + off], plus s[l - ahead] where SHORT; zeros outside."""
    import triton
    import triton.language as tl

    @triton.jit
    def kernel(
        x, w, y, s, L, G, C, K: tl.constexpr, off, ahead, BL: tl.constexpr, BC: tl.constexpr, SHORT: tl.constexpr
    ):
        pair = tl.program_id(0).to(tl.int64)
        r, g = pair // G, pair % G
        c = tl.program_id(1) * BC + tl.arange(0, BC)
        l = tl.program_id(2) * BL + tl.arange(0, BL)  # noqa: E741
        base = (r * L * G + g) * C
        stride = G * C
        inside = (l[:, None] < L) & (c[None, :] < C)
        total = tl.zeros((BL, BC), tl.float32)
        for k in range(K):
            m = l + k + off
            tap = tl.load(w + k * C + c, mask=c < C, other=0.0)
            known = (m[:, None] >= 0) & (m[:, None] < L) & (c[None, :] < C)
            v = tl.load(x + base + m[:, None] * stride + c[None, :], mask=known, other=0.0)
            total += v.to(tl.float32) * tap[None, :]
        if SHORT:
            m = l - ahead
            known = (m[:, None] >= 0) & (m[:, None] < L) & (c[None, :] < C)
            v = tl.load(s + base + m[:, None] * stride + c[None, :], mask=known, other=0.0)
            total += v.to(tl.float32)
        tl.store(y + base + l[:, None] * stride + c[None, :], total.to(y.dtype.element_ty), mask=inside)

    return kernel


@cache
def taps_kernel() -> Any:
    """Return the kernel of the taps' gradient: out[part, k] = sum of d[l] x[l + k - (K - 1)] over N pairs r, g.

    A program has four taps, as each place of d then serves four products.
    """
    import triton
    import triton.language as tl

    @triton.jit
    def kernel(x, d, out, pairs, L, G, C, K: tl.constexpr, N, BL: tl.constexpr, BC: tl.constexpr):
        part = tl.program_id(0).to(tl.int64)
        c = tl.program_id(1) * BC + tl.arange(0, BC)
        k = tl.program_id(2) * 4
        t0 = tl.zeros((BL, BC), tl.float32)
        t1 = tl.zeros((BL, BC), tl.float32)
        t2 = tl.zeros((BL, BC), tl.float32)
        t3 = tl.zeros((BL, BC), tl.float32)
        stride = G * C
        known = c[None, :] < C
        for i in range(N):
            pair = part * N + i
            r, g = pair // G, pair % G
            base = (r * L * G + g) * C
            for first in range(0, L, BL):
                l = (first + tl.arange(0, BL))[:, None]  # noqa: E741
                here = (l < L) & known & (pair < pairs)
                m = l + k - (K - 1)
                place = base + m * stride + c[None, :]
                dy = tl.load(d + base + l * stride + c[None, :], mask=here, other=0.0).to(tl.float32)
                x0 = tl.load(x + place, mask=here & (m >= 0), other=0.0)
                x1 = tl.load(x + place + stride, mask=here & (m >= -1) & (m + 1 < L), other=0.0)
                x2 = tl.load(x + place + 2 * stride, mask=here & (m >= -2) & (m + 2 < L), other=0.0)
                x3 = tl.load(x + place + 3 * stride, mask=here & (m >= -3) & (m + 3 < L), other=0.0)
                t0 += dy * x0.to(tl.float32)
                t1 += dy * x1.to(tl.float32)
                t2 += dy * x2.to(tl.float32)
                t3 += dy * x3.to(tl.float32)
        to = out + (part * K + k) * C + c
        tl.store(to, tl.sum(t0, axis=0), mask=c < C)
        tl.store(to + C, tl.sum(t1, axis=0), mask=(c < C) & (k + 1 < K))
        tl.store(to + 2 * C, tl.sum(t2, axis=0), mask=(c < C) & (k + 2 < K))
        tl.store(to + 3 * C, tl.sum(t3, axis=0), mask=(c < C) & (k + 3 < K))

    return kernel
