"""What enhancing asks of a network, with torch or without: numpy arrays in, numpy arrays out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from frcrn.audio import Samples
from frcrn.export.native.standalone import NativeNetwork

if TYPE_CHECKING:
    from frcrn.models import Enhancer

Network: TypeAlias = "Enhancer | NativeNetwork"
"""What `enhance`, `enhance_file` and `Stream` take."""


def unlevelled(network: Network) -> str | None:
    """Say what hop by hop is left out of a network that wants a loudness; None of one that takes sound as it is."""
    if network.level_dbfs is None:
        return None
    return (
        f"the network is used to speech at {network.level_dbfs:g} dBFS: files are brought there as a whole, but what "
        "comes hop by hop is not, and gives another result unless it is that loud"
    )


class Runner(Protocol):
    """A network that takes arrays; what its states are is its own affair."""

    def whole(self, waves: Samples) -> Samples:
        """[B, T] -> [B, T]."""

    def initial_state(self, batch: int) -> Any:
        """Return the state before the first sample."""

    def step(self, frame: Samples, state: Any) -> tuple[Samples, Any]:
        """[B, k hop] -> [B, k hop], late by window - hop samples; the new state."""

    def speech(self, state: Any) -> Samples | None:
        """Return how probable speech was in the last hop before a state, [B]; None of a network that does not say."""

    def joined(self, states: Sequence[Any]) -> Any:
        """Put the states of several batches into one batch."""

    def apart(self, state: Any, sizes: Sequence[int]) -> Sequence[Any]:
        """Take a batch apart into batches of these sizes."""


def runner(network: Network) -> Runner:
    """Return a network in the form that takes arrays."""
    if isinstance(network, NativeNetwork):
        return network
    from frcrn.inference.tensors import Tensors

    return Tensors(network)


def is_network(value: object) -> bool:
    """Say whether this is a network, without loading torch where nobody has: then no network of torch can be."""
    base = sys.modules.get("frcrn.models.base")
    return isinstance(value, NativeNetwork) or (base is not None and isinstance(value, base.Enhancer))


_modes: dict[int, tuple[int, bool]] = {}
"""Of networks in use, by their identity: how often they are, and whether they were training before."""
_turn = RLock()


@contextmanager
def evaluating(model: Network) -> Iterator[None]:
    """Put a network into evaluation mode until the last thread that uses it is done; one in C knows no other."""
    if isinstance(model, NativeNetwork):
        yield
        return
    with _turn:
        users, training = _modes.get(id(model), (0, model.training))
        _modes[id(model)] = users + 1, training
        model.eval()
    try:
        yield
    finally:
        with _turn:
            users, training = _modes.pop(id(model))
            if users > 1:
                _modes[id(model)] = users - 1, training
            else:
                model.train(training)


def inference_form(network: Network) -> Network:
    """Return the form for inference, the same one for all streams of a network until its weights change."""
    if isinstance(network, NativeNetwork) or network.optimized:
        return network
    from frcrn.inference.tensors import optimized_form

    return optimized_form(network)
