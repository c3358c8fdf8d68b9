"""A network that runs as a program in C; it stays an `Enhancer`."""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from frcrn.export.native.library import NativeModel
from frcrn.export.native.network import write_program
from frcrn.models import Enhancer, State

MEMORY, FRAME = "memory", "frame"


class NativeStep:
    """One or more hops of a causal network, on one thread.

    A state is changed in place, as it is large. Its frame number says whether it is still what it was.
    """

    def __init__(self, model: Enhancer) -> None:
        self.hop, self._model = model.hop, NativeModel(write_program(model))
        self._mine = threading.local()

    def initial_state(self, batch: int) -> State:
        """Return the state before the first sample."""
        return {
            MEMORY: torch.zeros(batch, self._model.state_size),
            FRAME: torch.zeros(batch, dtype=torch.int64),
        }

    def step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        """[B, k hop] -> [B, k hop]; the state that goes in is used up."""
        self._check(frame, state)
        waves, memory = frame.detach().float().contiguous(), state[MEMORY].contiguous()
        if memory[:, :2].contiguous().view(torch.int64)[:, 0].tolist() != state[FRAME].tolist():
            raise ValueError("this state has been used up by a step; a copy of both its tensors would have kept it")
        clean, hop, scratch = torch.empty_like(waves), self.hop, self._scratch()
        for row in range(len(waves)):
            kept, noisy, enhanced = (tensor[row].data_ptr() for tensor in (memory, waves, clean))
            for start in range(0, 4 * waves.shape[1], 4 * hop):
                self._model.step(kept, scratch, noisy + start, enhanced + start)
        return clean, {MEMORY: memory, FRAME: state[FRAME] + waves.shape[1] // hop}

    def _check(self, frame: Tensor, state: State) -> None:
        """Refuse what does not fit: the program in C takes addresses, and trusts them."""
        if frame.ndim != 2 or frame.shape[1] % self.hop or not frame.is_cpu:
            raise ValueError(f"frame of shape {tuple(frame.shape)}: expected [batch, hops of {self.hop}] on the CPU")
        if len(state) != 2 or MEMORY not in state or FRAME not in state:
            raise ValueError(f"state of {', '.join(state) or 'nothing'}: expected {MEMORY} and {FRAME}")
        self._check_tensor(state, MEMORY, (len(frame), self._model.state_size), torch.float32)
        self._check_tensor(state, FRAME, (len(frame),), torch.int64)
        if (least := min(state[FRAME].tolist(), default=0)) < 0:
            raise ValueError(f"state {FRAME}: expected numbers from 0, found {least}")

    @staticmethod
    def _check_tensor(state: State, name: str, shape: tuple[int, ...], kind: torch.dtype) -> None:
        value = state[name]
        if value.shape != shape or value.dtype != kind or not value.is_cpu:
            found = f"{tuple(value.shape)}, {value.dtype}"
            raise ValueError(f"state {name} of shape {found}: expected {shape}, {kind}, on the CPU")

    def _scratch(self) -> int:
        """Return the address of this thread's scratch memory."""
        if not hasattr(self._mine, "scratch"):
            self._mine.scratch = torch.empty(self._model.scratch_size)
        address: int = self._mine.scratch.data_ptr()
        return address
