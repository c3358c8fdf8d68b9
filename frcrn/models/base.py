"""The seam: what everything above the networks knows about a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

from torch import Tensor, nn

State = dict[str, Tensor]
"""What a causal network remembers between calls, one named tensor a layer; the batch is the first axis of each."""


class Stage(NamedTuple):
    """One estimate of the clean speech: spectrum and mask [B, 2, F, N] (real, imaginary), wave [B, T]."""

    spec: Tensor
    mask: Tensor
    wave: Tensor


class Estimate(NamedTuple):
    """All stages of one forward pass, first to last; `wave` is the last one's."""

    wave: Tensor
    stages: tuple[Stage, ...]


class Enhancer(nn.Module):
    """A network that takes a noisy wave to a clean one."""

    sample_rate: int
    hop: int
    window: int
    lookahead: int
    """Samples of future that the network itself needs; 0 = causal, and then it can stream."""
    level_dbfs: float | None = None
    """The loudness that the network was trained at; None where it was trained across levels."""
    trained: bool = False
    optimized: bool = False
    """Whether this is a copy that `optimize` returned."""
    config: Any

    # Bound by `frcrn.inference.enhance` and `frcrn.inference.streaming`, so that imports go downward only.
    enhance: ClassVar[Callable[..., Any]]
    stream: ClassVar[Callable[..., Any]]

    @property
    def latency(self) -> int:
        """Samples between a sound going in and coming out of a stream."""
        return self.window + self.lookahead

    def forward(self, wave: Tensor) -> Estimate:
        """[B, T] -> Estimate with wave [B, T]."""
        raise TypeError(f"{type(self).__name__} does not define forward")

    def initial_state(self, batch: int) -> State:
        """Return the state before the first sample; causal networks only."""
        raise TypeError(f"{type(self).__name__} looks ahead and cannot stream; build it with causal=True")

    def step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        """[B, k * hop] -> [B, k * hop], late by window - hop samples; causal networks only."""
        raise TypeError(f"{type(self).__name__} looks ahead and cannot stream; build it with causal=True")

    def optimize(self, precision: str = "fp32") -> Enhancer:
        """Return a copy for inference: same output, fewer operations; precision is fp32 or bf16."""
        raise TypeError(f"{type(self).__name__} does not define optimize")


MODELS: dict[str, tuple[type[Enhancer], type[Any]]] = {}
"""Model name -> (network class, configuration dataclass)."""

Network = TypeVar("Network", bound=type[Enhancer])


def register(name: str, config: type[Any]) -> Callable[[Network], Network]:
    """Enter a network class into the table under `name`, with the dataclass that configures it."""

    def enter(network: Network) -> Network:
        known = MODELS.get(name)
        # ModelScope imports a model directory's files once more under a longer name; these copies stay out
        if known is None or not network.__module__.endswith(f".{known[0].__module__}"):
            MODELS[name] = (network, config)
        return network

    return enter
