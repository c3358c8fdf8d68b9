"""The comb filter at the pitch as nodes of a graph: frames one period earlier, and what their bands tell."""

from __future__ import annotations

import numpy as np

from frcrn.export.onnx.graph import Graph
from frcrn.models.layers.pitch import COARSE, TINY, DelaySpec
from frcrn.models.layers.specs import Array

END = 2**31


def delayed(graph: Graph, recent: str, spec: DelaySpec) -> str:
    """Samples [B, N, longest + window] -> frames [B, N, window], one period before the last ones."""
    window = len(spec.taper)
    near = np.arange(1 - COARSE, COARSE)
    periods = graph.op("Add", graph.op("Unsqueeze", roughly(graph, recent, spec), np.array([2])), near)
    periods = graph.op("Clip", periods, np.array(spec.shortest), np.array(spec.longest))
    waves = before(graph, recent, periods, spec)
    last = graph.op("Unsqueeze", graph.part(recent, 2, -window, END), np.array([2]))
    best = graph.op("ArgMax", likeness(graph, waves, last), axis=2, keepdims=1)
    period = graph.op("GatherElements", periods, best, axis=2)
    wave = graph.op("Squeeze", before(graph, recent, period, spec), np.array([2]))
    return graph.op("Mul", wave, spec.taper)


def roughly(graph: Graph, recent: str, spec: DelaySpec) -> str:
    """Samples [B, N, longest + window] -> periods [B, N], found at a quarter of the rate."""
    total = spec.longest + len(spec.taper)
    size, length = len(spec.taper) // COARSE, total // COARSE
    fours = graph.reshape(graph.part(recent, 2, total % COARSE, END), 0, 0, length, COARSE)
    y = graph.op("ReduceSum", graph.op("Mul", fours, np.array(1 / COARSE)), np.array([3]), keepdims=0)
    lags = np.arange(length - size, -(-spec.shortest // COARSE) - 1, -1)
    places = length - size - lags[:, None] + np.arange(size)
    waves = graph.op("Gather", y, places, axis=2)
    last = graph.op("Unsqueeze", graph.part(y, 2, -size, END), np.array([2]))
    best = graph.op("ArgMax", likeness(graph, waves, last), axis=2, keepdims=0)
    return graph.op("Gather", COARSE * lags, best, axis=0)


def likeness(graph: Graph, waves: str, last: str) -> str:
    """Windows [B, N, K, T] and the last one [B, N, 1, T] -> how alike they are, [B, N, K]."""
    product = graph.op("ReduceSum", graph.op("Mul", waves, last), np.array([3]), keepdims=0)
    energy = graph.op("ReduceSum", graph.op("Mul", waves, waves), np.array([3]), keepdims=0)
    return graph.op("Div", product, graph.op("Sqrt", graph.op("Add", energy, np.array(TINY))))


def before(graph: Graph, recent: str, periods: str, spec: DelaySpec) -> str:
    """Samples [B, N, longest + window], periods [B, N, K] -> windows so many samples earlier, [B, N, K, window]."""
    window = len(spec.taper)
    first = graph.op("Sub", np.array(spec.longest), graph.op("Unsqueeze", periods, np.array([3])))
    places = graph.reshape(graph.op("Add", first, np.arange(window)), 0, 0, -1)
    found = graph.op("GatherElements", recent, places, axis=2)
    return graph.reshape(found, 0, 0, -1, window)


def combed(graph: Graph, x: str, bands: Array) -> str:
    """[B, N, spectrum 2 F, earlier one 2 F, gains of bands] -> [B, N, 2 F]."""
    bins, count = bands.shape
    spectrum, earlier = graph.part(x, 2, 0, 2 * bins), graph.part(x, 2, 2 * bins, 4 * bins)
    gains = graph.part(x, 2, 4 * bins, 4 * bins + count)
    one, tiny, both = np.array(1.0), np.array(TINY), np.concatenate([bands, bands])

    def energy(y: str, z: str) -> str:
        return graph.op("MatMul", graph.op("Mul", y, z), both)

    def root_of_ratio(y: str, z: str) -> str:
        return graph.op("Sqrt", graph.op("Div", y, graph.op("Add", z, tiny)))

    def by_bin(y: str) -> str:
        return graph.op("MatMul", y, both.T)

    own, other = energy(spectrum, spectrum), energy(earlier, earlier)
    norm = graph.op("Sqrt", graph.op("Add", graph.op("Mul", own, other), tiny))
    alike = graph.op("Clip", graph.op("Div", energy(spectrum, earlier), norm), np.array(0.0), one)
    alike, square = graph.op("Mul", alike, alike), graph.op("Mul", gains, gains)
    wanted = graph.op("Mul", alike, graph.op("Sub", one, square))
    known = graph.op("Add", graph.op("Mul", graph.op("Sub", one, alike), square), tiny)
    strength = graph.op("Sqrt", graph.op("Add", graph.op("Div", wanted, known), tiny))
    strength = graph.op("Min", strength, one)
    added = graph.op("Mul", by_bin(graph.op("Mul", strength, root_of_ratio(own, other))), earlier)
    mixed = graph.op("Add", spectrum, added)
    return graph.op("Mul", mixed, by_bin(root_of_ratio(own, energy(mixed, mixed))))
