"""Hops through a program in C: arrays in, arrays out, without torch."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frcrn.export.native.library import NativeModel

MEMORY, FRAME = "memory", "frame"
SPOKEN = 2
"""The value of a memory that says how probable speech was in the last hop; 0 where the network does not say."""

Floats = NDArray[np.float32]
Past = dict[str, NDArray[Any]]


class NativeStep:
    """One or more hops of a causal network, on one thread.

    A state is changed in place, as it is large. Its frame number says whether it is still what it was.
    """

    def __init__(self, content: bytes, precision: str = "fp32") -> None:
        self._made_of = content, precision
        self._model = NativeModel(content, precision)
        self.sample_rate, self.hop, self.delay = self._model.sample_rate, self._model.hop, self._model.delay
        self.lookahead = self._model.lookahead
        self._mine = threading.local()

    def __reduce__(self) -> tuple[type[NativeStep], tuple[bytes, str]]:
        """Copies, and those in other processes, open the program again."""
        return NativeStep, self._made_of

    def initial_state(self, batch: int) -> Past:
        """Return the state before the first sample."""
        return {MEMORY: np.zeros((batch, self._model.state_size), np.float32), FRAME: np.zeros(batch, np.int64)}

    def step(self, frame: Floats, state: Past) -> tuple[Floats, Past]:
        """[B, k hop] -> [B, k hop]; the state that goes in is used up."""
        self._check(frame, state)
        waves, memory = np.ascontiguousarray(frame, np.float32), np.require(state[MEMORY], requirements=["C", "W"])
        if memory[:, :2].copy().view(np.int64)[:, 0].tolist() != state[FRAME].tolist():
            raise ValueError("this state has been used up by a step; a copy of both its tensors would have kept it")
        clean, hop, scratch = np.empty_like(waves), self.hop, self._scratch()
        for row in range(len(waves)):
            kept, noisy, enhanced = (array[row].ctypes.data for array in (memory, waves, clean))
            for start in range(0, 4 * waves.shape[1], 4 * hop):
                self._model.step(kept, scratch, noisy + start, enhanced + start)
        return clean, {MEMORY: memory, FRAME: state[FRAME] + waves.shape[1] // hop}

    @staticmethod
    def speech_of(state: Past) -> Floats:
        """Return how probable speech was in the last hop, [batch]; 0 where the network does not say."""
        return np.array(state[MEMORY][:, SPOKEN])

    def _check(self, frame: Floats, state: Past) -> None:
        """Refuse what does not fit: the program in C takes addresses, and trusts them."""
        if frame.ndim != 2 or frame.shape[1] % self.hop:
            raise ValueError(f"frame of shape {frame.shape}: expected [batch, hops of {self.hop}]")
        if len(state) != 2 or MEMORY not in state or FRAME not in state:
            raise ValueError(f"state of {', '.join(state) or 'nothing'}: expected {MEMORY} and {FRAME}")
        self._check_array(state, MEMORY, (len(frame), self._model.state_size), np.float32)
        self._check_array(state, FRAME, (len(frame),), np.int64)
        if (least := min(state[FRAME].tolist(), default=0)) < 0:
            raise ValueError(f"state {FRAME}: expected numbers from 0, found {least}")

    @staticmethod
    def _check_array(state: Past, name: str, shape: tuple[int, ...], kind: type) -> None:
        value = state[name]
        if value.shape != shape or value.dtype != kind:
            raise ValueError(f"state {name} of shape {value.shape}, {value.dtype}: expected {shape}, {np.dtype(kind)}")

    def _scratch(self) -> int:
        """Return the address of this thread's scratch memory."""
        if not hasattr(self._mine, "scratch"):
            self._mine.scratch = np.empty(self._model.scratch_size, np.float32)
        address: int = self._mine.scratch.ctypes.data
        return address
