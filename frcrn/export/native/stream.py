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
        if not torch.equal(memory[:, :2].contiguous().view(torch.int64)[:, 0], state[FRAME]):
            raise ValueError("this state has been used up by a step; a copy of both its tensors would have kept it")
        clean, hop, scratch = torch.empty_like(waves), self.hop, self._scratch()
        for row in range(len(waves)):
            kept, noisy, enhanced = (tensor[row].data_ptr() for tensor in (memory, waves, clean))
            for start in range(0, 4 * waves.shape[1], 4 * hop):
                self._model.step(kept, scratch, noisy + start, enhanced + start)
        return clean, {MEMORY: memory, FRAME: state[FRAME] + waves.shape[1] // hop}

    def _check(self, frame: Tensor, state: State) -> None:
        """Refuse what does not fit: the program in C takes addresses, and trusts them."""
        if frame.ndim != 2 or frame.shape[1] % self.hop or frame.device.type != "cpu":
            raise ValueError(f"frame of shape {tuple(frame.shape)}: expected [batch, hops of {self.hop}] on the CPU")
        wanted = {MEMORY: ((len(frame), self._model.state_size), torch.float32), FRAME: ((len(frame),), torch.int64)}
        if state.keys() != wanted.keys():
            raise ValueError(f"state of {', '.join(state) or 'nothing'}: expected {MEMORY} and {FRAME}")
        for name, (shape, kind) in wanted.items():
            value = state[name]
            if tuple(value.shape) != shape or value.dtype != kind or value.device.type != "cpu":
                raise ValueError(
                    f"state {name} of shape {tuple(value.shape)}, {value.dtype}: expected {shape}, {kind}, on the CPU"
                )
        if bool((state[FRAME] < 0).any()):
            raise ValueError(f"state {FRAME}: expected numbers from 0, found {int(state[FRAME].min())}")

    def _scratch(self) -> int:
        """Return the address of this thread's scratch memory."""
        if not hasattr(self._mine, "scratch"):
            self._mine.scratch = torch.empty(self._model.scratch_size)
        address: int = self._mine.scratch.data_ptr()
        return address
