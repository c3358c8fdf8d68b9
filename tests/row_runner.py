"""The operations on rows in numpy, written after docs/model-format.md, for the runner of model files."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def alike(wave: Array, window: int, lag: int) -> float:
    then = wave[len(wave) - window - lag :][:window]
    return float(wave[-window:] @ then / np.sqrt(then @ then + 1e-12))


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

    def delay(self, a: Any) -> None:
        window, hop, size = self.head["window"], self.head["hop"], a.longest + self.head["window"]
        taper, past = self.w(a.taper, window), self.at(a.past, size - hop)
        wave = np.concatenate([past, self.at(a.x, window)[-hop:] / taper[-hop:]])
        past[:] = wave[hop:]
        rough = wave[size % 4 :].reshape(-1, 4).mean(axis=1)
        lags = range(len(rough) - window // 4, -(-a.shortest // 4) - 1, -1)
        about = 4 * max(lags, key=lambda lag: alike(rough, window // 4, lag))
        near = np.clip(np.arange(about - 3, about + 4), a.shortest, a.longest)
        lag = max(near, key=lambda each: alike(wave, window, each))
        self.at(a.out, window)[:] = taper * wave[a.longest - lag :][:window]

    def comb(self, a: Any) -> None:
        x, y = (self.at(place, a.bins, 2) for place in (a.x, a.earlier))
        shares, square = self.w(a.shares, a.bins, a.bands), self.at(a.gains, a.bands) ** 2
        own, other, both = ((one * two).sum(axis=1) @ shares for one, two in ((x, x), (y, y), (x, y)))
        like = np.clip(both / np.sqrt(own * other + 1e-12), 0, 1) ** 2
        strength = np.minimum(np.sqrt(like * (1 - square) / ((1 - like) * square + 1e-12) + 1e-12), 1)
        mixed = x + (shares @ (strength * np.sqrt(own / (other + 1e-12))))[:, None] * y
        after = (mixed**2).sum(axis=1) @ shares
        self.at(a.out, a.bins, 2)[:] = mixed * (shares @ np.sqrt(own / (after + 1e-12)))[:, None]

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
