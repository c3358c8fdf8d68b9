"""Networks of torch for those who have arrays: to tensors, to the network's device, and back."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from frcrn.audio import Samples
from frcrn.models import Enhancer, State


class Tensors:
    """A network of torch that takes and returns arrays; its states are tensors where the network is."""

    def __init__(self, network: Enhancer) -> None:
        self.network = network

    def whole(self, waves: Samples) -> Samples:
        """[B, T] -> [B, T]."""
        with torch.inference_mode():
            clean: Samples = self.network(self._tensor(waves)).wave.cpu().numpy()
        return clean

    def initial_state(self, batch: int) -> State:
        """Return the state before the first sample."""
        with torch.inference_mode():
            return self.network.initial_state(batch)

    def step(self, frame: Samples, state: State) -> tuple[Samples, State]:
        """[B, k hop] -> [B, k hop], late by window - hop samples; the new state."""
        with torch.inference_mode():
            clean, state = self.network.step(self._tensor(frame), state)
            return clean.cpu().numpy(), state

    def speech(self, state: State) -> Samples | None:
        """Return how probable speech was in the last hop before a state, [B]; None of a network that does not say."""
        with torch.inference_mode():
            found = self.network.speech_of(state)
            return None if found is None else found.cpu().numpy()

    @staticmethod
    def joined(states: Sequence[State]) -> State:
        """Put the states of several batches into one batch."""
        with torch.inference_mode():
            return {name: torch.cat([state[name] for state in states]) for name in states[0]}

    @staticmethod
    def apart(state: State, sizes: Sequence[int]) -> list[State]:
        """Take a batch apart into batches of these sizes."""
        with torch.inference_mode():
            parts = {name: memory.split(list(sizes)) for name, memory in state.items()}
        return [{name: parts[name][number] for name in parts} for number in range(len(sizes))]

    def _tensor(self, samples: Samples) -> Tensor:
        weight = next(chain(self.network.parameters(), self.network.buffers()), None)
        device = torch.device("cpu") if weight is None else weight.device
        return torch.from_numpy(np.ascontiguousarray(samples)).to(device)


_forms: weakref.WeakKeyDictionary[Enhancer, tuple[list[tuple[int, int]], Enhancer]] = weakref.WeakKeyDictionary()


def checksum(weight: Tensor) -> int:
    """Return a number that changes with the values, also where they are written by `.data` or numpy."""
    values = weight.detach().cpu().contiguous().reshape(-1)
    return zlib.crc32(values.view(torch.uint8).numpy().data)


def optimized_form(network: Enhancer) -> Enhancer:
    """Return what `optimize` makes of a network, the same until its weights change; itself where it does not."""
    if type(network).optimize is Enhancer.optimize:
        return network
    weights = chain(network.parameters(), network.buffers())
    now = [(weight.data_ptr(), checksum(weight)) for weight in weights]
    if network not in _forms or _forms[network][0] != now:
        _forms[network] = now, network.optimize()
    return _forms[network][1]
