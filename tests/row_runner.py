"""The operations on rows in numpy, written after docs/model-format.md, for the runner of model files."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


class RowOperations:
    """What `Runner` does with rows; it has memory, weights and the header."""

    head: dict[str, int]
    hop: Array
    out: Array
    weights: Array

    def at(self, place: int, *shape: int) -> Array:
        raise NotImplementedError

    def w(self, place: int, *shape: int) -> Array:
        raise NotImplementedError

    def matrix(self, place: int, outputs: int, inputs: int, pack: int) -> Array:
        """A packed matrix [outputs, inputs]."""
        packs = -(-outputs // pack)
        return self.w(place, packs, inputs, pack).transpose(0, 2, 1).reshape(-1, inputs)[:outputs]

    def cut(self, a: Any) -> None:
        window, hop = self.head["window"], self.head["hop"]
        past = self.at(a.past, window - hop)
        wave = np.concatenate([past, self.hop])
        past[:] = wave[hop:]
        self.at(a.out, window)[:] = wave * self.w(a.taper, window)

    def transform(self, a: Any) -> None:
        spectrum = np.fft.rfft(self.at(a.x, self.head["window"]))
        self.at(a.out, len(spectrum), 2)[:] = np.stack([spectrum.real, spectrum.imag], axis=1)

    def restore(self, a: Any) -> None:
        window = self.head["window"]
        x = self.at(a.x, window // 2 + 1, 2)
        self.at(a.out, window)[:] = np.fft.irfft(x[:, 0] + 1j * x[:, 1], window)

    def join(self, a: Any) -> None:
        window, hop = self.head["window"], self.head["hop"]
        frame, past = self.at(a.x, window) * self.w(a.taper, window), self.at(a.past, window - hop)
        frame[: window - hop] += past
        past[:] = frame[hop:]
        self.out = frame[:hop] * self.w(a.gain, hop)

    def magnitude(self, a: Any) -> None:
        power = (self.at(a.x, a.bins, 2) ** 2).sum(axis=1)
        self.at(a.out, a.bins)[:] = power if a.squared else np.sqrt(power + 1e-20)

    def mask(self, a: Any) -> None:
        self.at(a.out, a.bins, 2)[:] = self.at(a.x, a.bins, 2) * self.at(a.gains, a.bins)[:, None]

    def multiply(self, a: Any) -> None:
        self.at(a.out, a.count)[:] = self.at(a.x, a.count) * self.at(a.y, a.count)

    def log(self, a: Any) -> None:
        floor, scale, shift = self.w(a.terms, 3)
        self.at(a.out, a.count)[:] = scale * np.log(self.at(a.x, a.count) + floor) + shift

    def normalise(self, a: Any) -> None:
        x = self.at(a.x, a.count)
        y = (x - x.mean()) / np.sqrt(x.var() + self.weights[a.epsilon])
        self.at(a.out, a.count)[:] = y * self.w(a.gain, a.count) + self.w(a.bias, a.count)

    def sigmoid(self, a: Any) -> None:
        self.at(a.out, a.count)[:] = sigmoid(self.at(a.x, a.count))

    def tanh(self, a: Any) -> None:
        self.at(a.out, a.count)[:] = np.tanh(self.at(a.x, a.count))

    def relu6(self, a: Any) -> None:
        self.at(a.out, a.count)[:] = np.clip(self.at(a.x, a.count), 0, 6)

    def speech(self, a: Any) -> None:
        self.at(~2, 1)[:] = self.at(a.x, 1)

    def lstm(self, a: Any) -> None:
        n, (h, c) = a.hidden, self.at(a.past, 2, a.hidden)
        row = np.concatenate([self.at(a.x, a.inputs), h])
        gates = self.matrix(a.weights, 4 * n, a.inputs + n, a.pack) @ row + self.w(a.bias, 4 * n)
        i, f, g, o = gates.reshape(4, n)
        c[:] = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h[:] = sigmoid(o) * np.tanh(c)
        self.at(a.out, n)[:] = h

    def gru(self, a: Any) -> None:
        n, h = a.hidden, self.at(a.past, a.hidden)
        by_x = self.matrix(a.weights, 3 * n, a.inputs, a.pack) @ self.at(a.x, a.inputs) + self.w(a.bias, 3 * n)
        by_h = self.matrix(a.recurrent, 3 * n, n, a.pack) @ h + self.w(a.recurrent_bias, 3 * n)
        r, z, _ = sigmoid(by_x + by_h).reshape(3, n)
        h[:] = (1 - z) * np.tanh(by_x[2 * n :] + r * by_h[2 * n :]) + z * h
        self.at(a.out, n)[:] = h
