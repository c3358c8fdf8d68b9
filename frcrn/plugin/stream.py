"""The pipeline's stream: chunks of sound in as they come, clean ones out."""

from __future__ import annotations

import threading

import numpy as np
import torch

from frcrn.audio import AudioError, Samples, as_floats
from frcrn.inference.streaming import Stream
from frcrn.models import Enhancer
from frcrn.plugin.sources import Sound

Chunk = bytes | bytearray | memoryview | np.ndarray | torch.Tensor
BYTES = ("B", "b", "c")
"""Formats of a memoryview of bytes; one of numbers is a wave."""
KINDS = (bytes, bytearray, memoryview, np.ndarray, torch.Tensor)


class PipelineStream:
    """One stream of mono sound, at the network's rate or another; calls from several threads take turns.

    A chunk is 16-bit little-endian PCM in bytes, or a wave [T]; any length. What comes out is in time with what went
    in, and `flush` returns the rest.
    """

    def __init__(self, network: Enhancer, strength: float, rate: int | None = None) -> None:
        """Open the stream; a network that looks ahead is refused."""
        self.stream = Stream(network, rate, strength=strength)
        self.rest = b""
        self.lock = threading.Lock()

    def push(self, chunk: Chunk, *, strength: float, repair: bool) -> Sound:
        """Let a chunk in, and return what is ready."""
        with self.lock:
            self.stream.strength = strength
            wave = self.samples(chunk)
            if repair:
                wave = np.nan_to_num(wave, nan=0.0, posinf=0.0, neginf=0.0)
            return Sound(np.atleast_2d(self.stream.push(wave)), self.stream.rate)

    def flush(self) -> Sound:
        """Return what is still inside; the next chunk begins another sound."""
        with self.lock:
            self.rest = b""
            try:
                return Sound(np.atleast_2d(self.stream.flush()), self.stream.rate)
            finally:
                self.stream.reset()  # also after a push that was interrupted

    def samples(self, chunk: Chunk) -> Samples:
        """A chunk -> [T]; half a sample at the end of bytes waits for its other half."""
        if isinstance(chunk, memoryview) and chunk.format not in BYTES:
            chunk = np.asanyarray(chunk)
        if isinstance(chunk, (np.ndarray, torch.Tensor)):
            return as_floats(chunk)
        if not isinstance(chunk, KINDS):
            raise AudioError(f"expected a chunk of 16-bit PCM in bytes, or a wave [time], found {type(chunk).__name__}")
        content = self.rest + bytes(chunk)
        whole = len(content) - len(content) % 2
        self.rest = content[whole:]
        return as_floats(np.frombuffer(content[:whole], "<i2").astype(np.int16))
