"""Runs a model file in numpy, written after docs/model-format.md."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np

from frcrn.export.native.headers import c_name
from frcrn.export.native.row_operations import OPERATIONS
from frcrn.export.native.structs import Operation
from tests.row_runner import RowOperations

Array = np.ndarray


def read(content: bytes) -> tuple[dict[str, int], list[tuple[type[Operation], list[int]]], Array]:
    """Return the header, the operations with their arguments, and the weights."""
    assert content[:8] in (b"FRCRN 2\n", b"FRCRN 3\n")
    names = ["rate", "window", "hop", "state", "scratch", "words", "weights", "parts"]
    names += ["late"] if content[6:7] == b"3" else []
    head = dict(zip(names, np.frombuffer(content, "<i4", len(names), 8).tolist(), strict=True))
    start, stored = 8 + 4 * len(names), []
    words = np.frombuffer(content, "<i4", head["words"], start).tolist()
    start += 4 * head["words"]
    table = np.frombuffer(content, "<i4", 2 * head["parts"], start).reshape(-1, 2).tolist()
    start += 8 * head["parts"]
    for values, size in table:
        stored.append(np.frombuffer(content, {2: "<f2", 4: "<f4"}[size], values, start).astype(np.float32))
        start += values * size
    weights = np.concatenate(stored)
    assert len(content) == start and len(weights) == head["weights"]
    found = []
    while words:
        number, count = words[:2]
        found.append((OPERATIONS[number], words[2 : 2 + count]))
        words = words[2 + count :]
    return head, found, weights


def after(place: int, values: int) -> int:
    return place + values if place >= 0 else place - values


def activated(x: Array, kind: int) -> Array:
    return x if kind == 0 else np.where(x > 0, x, 0.01 * x if kind == 1 else 0)


class Runner(RowOperations):
    """One stream."""

    def __init__(self, content: bytes) -> None:
        self.head, operations, self.weights = read(content)
        self.state, self.scratch = (np.zeros(self.head[name], np.float32) for name in ("state", "scratch"))
        self.program = [(c_name(kind), self.named(kind, arguments)) for kind, arguments in operations]
        self.steps = 0

    def named(self, kind: type[Operation], arguments: list[int]) -> Any:
        fixed = [field.name for field in kind.fields() if not field.many]
        pairs = [(arguments[at], arguments[at + 1]) for at in range(len(fixed), len(arguments), 2)]
        return SimpleNamespace(**dict(zip(fixed, arguments, strict=False)), images=pairs)

    def at(self, place: int, *shape: int) -> Array:
        """Values of scratch or state, as a view that can be written."""
        memory, start = (self.scratch, place) if place >= 0 else (self.state, ~place)
        return memory[start : start + int(np.prod(shape))].reshape(shape)

    def w(self, place: int, *shape: int) -> Array:
        return self.weights[place : place + int(np.prod(shape))].reshape(shape)

    def ring(self, place: int, frames: int, size: int) -> Array:
        """The frames of a ring, the oldest first."""
        return np.roll(self.at(place, frames, size), -(self.steps % frames) if frames else 0, axis=0)

    def push(self, place: int, frames: int, newest: Array) -> None:
        if frames:
            self.at(place, frames, newest.size)[self.steps % frames] = newest.ravel()

    def step(self, hop: Array) -> Array:
        self.hop = hop
        for name, arguments in self.program:
            getattr(self, name)(arguments)
        self.steps += 1
        return self.out

    def later(self, a: Any) -> None:
        oldest = self.ring(a.past, a.frames, a.count)[0].copy()
        self.push(a.past, a.frames, self.at(a.x, a.count))
        self.at(a.out, a.count)[:] = oldest

    def analyse(self, a: Any) -> None:
        window = self.head["window"]
        past = self.at(a.past, window - self.head["hop"])
        wave = np.concatenate([past, self.hop])
        past[:] = wave[self.head["hop"] :]
        spectrum = np.fft.rfft(wave * self.w(a.taper, window))
        self.at(a.spectrum, window // 2 + 1, 2)[:] = np.stack([spectrum.real, spectrum.imag], axis=1)

    def features(self, a: Any) -> None:
        spectrum, power_of = self.at(a.spectrum, a.bins, 2), self.weights[a.compress]
        power = (spectrum**2).sum(axis=1, keepdims=True) + 1e-12
        x = [spectrum * power ** ((power_of - 1) / 2)]
        if a.magnitude:
            x.append(np.concatenate([power ** (power_of / 2), 0.1 * np.log(power)], axis=1))
        image = np.stack(x, axis=2).reshape(a.bins, -1)
        if a.shares >= 0:
            image, at = image.copy(), a.shares
            bands = []
            for _ in range(a.bands):
                first, count = self.weights[at : at + 2].astype(int)
                bands.append(self.w(at + 2, count) @ image[first : first + count])
                at += 2 + count
            image = np.stack(bands)
        self.at(a.out, a.bands, image.shape[1])[:] = image[: a.bands]

    def convolve(self, a: Any) -> None:
        channels = [count for _, count in a.images]
        out = np.zeros((a.total, 2 * a.outputs))
        taken = a.taps * sum(channels)
        if a.pack:
            packs = -(-a.outputs // a.pack)
            weight = self.w(a.weights, packs, taken, 2, a.pack).transpose(2, 0, 3, 1).reshape(2, -1, taken)
            real, imag = weight[:, : a.outputs]
            scale, bias = (self.w(w, 2, packs * a.pack)[:, : a.outputs].ravel() for w in (a.scale, a.bias))
        else:
            rows = self.w(a.weights, 2 * a.outputs, 2 * taken)[: a.outputs]
            blocks, at = [], 0
            for count in channels:
                blocks.append(rows[:, at : at + 2 * count * a.taps].reshape(a.outputs, a.taps, 2, count))
                at += 2 * count * a.taps
            real, imag = (
                np.concatenate([s * b[:, :, part].reshape(a.outputs, -1) for b in blocks], axis=1)
                for part, s in ((0, 1), (1, -1))
            )
            scale, bias = self.w(a.scale, 2 * a.outputs), self.w(a.bias, 2 * a.outputs)
        for bin in range(a.total):
            seen = []
            for place, count in a.images:
                image = self.at(place, a.bins, 2, count)
                for tap in range(a.taps):
                    at = bin * a.stride + tap - a.pad
                    seen.append(image[at] if 0 <= at < a.bins else np.zeros((2, count)))
            x_re, x_im = np.concatenate(seen, axis=1)
            out[bin] = np.concatenate([real @ x_re - imag @ x_im, imag @ x_re + real @ x_im])
        out = activated(out * scale + bias, a.activation)
        for bin, output in itertools.product(range(a.total), range(a.outputs)):
            place = output // a.group * 2 * a.group + output % a.group
            row = self.at(a.out + bin * a.row, place + a.group + 1)
            row[[place, place + a.group]] = out[bin, [output, a.outputs + output]]

    def product(self, a: Any) -> None:
        packs = -(-a.outputs // a.pack)
        matrix = self.w(a.weights, packs, a.inputs, a.pack).transpose(0, 2, 1).reshape(-1, a.inputs)[: a.outputs]
        bias = self.w(a.bias, a.outputs) if a.bias >= 0 else 0
        for row in range(a.rows):
            y = matrix @ self.at(a.x + row * a.stride, a.inputs) + bias
            self.at(a.out + row * a.row, a.outputs)[:] = activated(y, a.activation)

    def along_bins(self, a: Any) -> None:
        x, f, g = (self.at(place, a.bins, 2, a.channels) for place in (a.x, a.f, a.g))
        of_f, of_g = (self.weighted(part, self.w(w, a.order, a.channels)) for part, w in ((f, a.taps_f), (g, a.taps_g)))
        re, im = x[:, 0] - x[:, 1] + of_f[:, 0] - of_g[:, 1], x[:, 0] + x[:, 1] + of_f[:, 1] + of_g[:, 0]
        self.at(a.out, a.bins, 2, a.channels)[:] = np.stack([re, im], axis=1)

    def weighted(self, part: Array, taps: Array) -> Array:
        """[bins, 2, channels] -> the sum of the bins up to each, by taps [order, channels]."""
        longer = np.pad(part, ((len(taps) - 1, 0), (0, 0), (0, 0)))
        return sum(longer[number : number + len(part)] * tap for number, tap in enumerate(taps))

    def in_bins(self, a: Any) -> None:
        x, f, g = (self.at(place, a.bins, 2, a.channels) for place in (a.x, a.f, a.g))
        now = np.stack([f[:, 0] - g[:, 1], f[:, 1] + g[:, 0]], axis=1)
        past = self.ring(a.past, a.order - 1, now.size).reshape(-1, *now.shape)
        taps = self.w(a.taps, a.order, 1, 2, a.channels)
        self.at(a.out, a.bins, 2, a.channels)[:] = x + (np.concatenate([past, now[None]]) * taps).sum(axis=0)
        self.push(a.past, a.order - 1, now)

    def along_time(self, a: Any) -> None:
        x, f, g = (self.at(place, 2, a.features) for place in (a.x, a.f, a.g))
        now = np.concatenate([f, g])
        frames = np.concatenate([self.ring(a.past, a.order - 1, now.size).reshape(-1, 4, a.features), now[None]])
        taps = np.stack([self.w(a.taps_f, a.order, a.features)] * 2 + [self.w(a.taps_g, a.order, a.features)] * 2, 1)
        f_re, f_im, g_re, g_im = (frames * taps).sum(axis=0)
        self.at(a.out, 2, a.features)[:] = [x[0] - x[1] + f_re - g_im, x[0] + x[1] + f_im + g_re]
        self.push(a.past, a.order - 1, now)

    def gate(self, a: Any) -> None:
        n, x = a.channels, self.at(a.x, a.bins, 2, a.channels)
        now = x.mean(axis=0).ravel()
        means = np.concatenate([self.ring(a.past, a.frames, 2 * n), now[None]]) * self.w(a.taps, a.frames + 1, 2 * n)
        re, im = means.sum(axis=0).reshape(2, n)
        self.push(a.past, a.frames, now)
        gates, size = [], 2 * a.hidden * n + a.hidden + n
        for start, value in ((0, re), (0, im), (size, re), (size, im)):
            first = self.w(a.gates + start, a.hidden, n)
            bias, second = (
                self.w(a.gates + start + a.hidden * n, a.hidden),
                self.w(a.gates + start + a.hidden * n + a.hidden, a.hidden, n),
            )
            hidden = np.maximum(first @ value + bias, 0)
            gates.append(1 / (1 + np.exp(-(hidden @ second + self.w(a.gates + start + size - n, n)))))
        self.at(a.out, a.bins, 2, n)[:] = x * np.stack([gates[0] - gates[3], gates[1] + gates[2]])

    def add(self, a: Any) -> None:
        self.at(a.out, a.count)[:] = self.at(a.x, a.count) + self.at(a.y, a.count)

    def copy(self, a: Any) -> None:
        for row in range(a.rows):
            self.at(after(a.out, row * a.row_out), a.count)[:] = self.at(after(a.x, row * a.row), a.count)

    def bound(self, a: Any) -> None:
        out = self.at(a.out, a.count)
        out[:] = self.weights[a.bound] * np.tanh(self.at(a.x, a.count)) + (out if a.further else 0)

    def apply(self, a: Any) -> None:
        window, hop = self.head["window"], self.head["hop"]
        bins = window // 2 + 1
        bands = self.at(a.mask, a.bands, 2)
        mask = np.zeros((bins, 2))
        if a.shares >= 0:
            shares = self.w(a.shares, bins, 3)
            lower = shares[:, 0].astype(int)
            mask[:] = bands[lower] * shares[:, 1:2] + bands[lower + 1] * shares[:, 2:]
        else:
            mask[: a.bands] = bands[:bins]
        clean = (mask @ [1, 1j]) * (self.at(a.spectrum, bins, 2) @ [1, 1j])
        wave = np.fft.irfft(clean, window) * self.w(a.taper, window)
        past = self.at(a.past, window - hop)
        wave[: window - hop] += past
        self.out, past[:] = wave[:hop] * self.w(a.gain, hop), wave[hop:]
