"""The seam: what everything above the networks knows about a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from torch import Tensor, nn

if TYPE_CHECKING:
    from frcrn.audio.arrays import Wave
    from frcrn.inference.streaming import Stream

State = dict[str, Tensor]
"""What a causal network remembers between calls, one named tensor a layer; the batch is the first axis of each."""

SPEECH = "probability"
"""The name in a state of how probable speech was in the last frame, [B, 1], of networks that say so."""


class Stage(NamedTuple):
    """One estimate of the clean speech: spectrum and mask [B, 2, F, N] (real, imaginary), wave [B, T]."""

    spec: Tensor
    mask: Tensor
    wave: Tensor


class Estimate(NamedTuple):
    """All stages of one forward pass, first to last; `wave` is the last one's."""

    wave: Tensor
    stages: tuple[Stage, ...]
    speech: Tensor | None = None
    """How probable speech is in each frame, [B, N], of networks that say so."""


class Enhancer(nn.Module):
    """A network that takes a noisy wave to a clean one."""

    sample_rate: int
    hop: int
    window: int
    lookahead: int
    """Samples of future that the network itself needs; 0 = causal, and then it can stream as sound comes in."""
    level_dbfs: float | None = None
    """The loudness that the network was trained at; None where it was trained across levels."""
    trained: bool = False
    optimized: bool = False
    """Whether this is a copy that `optimize` returned."""
    config: Any

    @property
    def streams(self) -> bool:
        """Whether `step` can be called: the network is causal, or so but for frames by which it answers later."""
        return self.lookahead == 0

    @property
    def latency(self) -> int:
        """Samples between a sound going in and coming out of a stream."""
        return self.window + self.lookahead

    @property
    def lag(self) -> int:
        """Samples by which what comes out of `step` lies behind what goes in."""
        return self.latency - self.hop

    # These two are the only imports upward, at the time of the call: a person finds them where the network is.
    def enhance(
        self,
        wave: Wave,
        rate: int | None = None,
        *,
        strength: float = 1.0,
        max_attenuation_db: float | None = None,
        residual: bool = False,
        repair: bool = False,
        band: str = "full",
        passes: int | None = 1,
    ) -> Wave:
        """Return the clean form of a wave: numpy or torch, same shape, rate, level and dtype.

        Args:
            wave: [T], or [C, T] of several channels.
            rate: samples a second; None is the network's own rate.
            strength: how much of the noise is removed, 0 to 1.
            max_attenuation_db: attenuate by at most this many dB; None is unlimited.
            residual: return what was removed in place of what is left.
            repair: put zeros in place of NaN and Inf, which are an error otherwise.
            band: "full" keeps and cleans what lies above the network's band (8 kHz), "speech" leaves it out.
            passes: average over so many runs of the network, each with its frames elsewhere; None is what the model
                asks for, as for files (2 for the bundled ones). A stream gives what one pass gives.

        Example:
            >>> clean = frcrn.load().enhance(noisy, 16000)
        """
        from frcrn.inference.enhance import enhance

        return enhance(
            self,
            wave,
            rate,
            strength=strength,
            max_attenuation_db=max_attenuation_db,
            residual=residual,
            repair=repair,
            band=band,
            passes=passes,
        )

    def stream(self, rate: int | None = None, channels: int = 1, strength: float = 1.0, band: str = "full") -> Stream:
        """Open a stream, which takes sound in chunks of any size while it is recorded; causal networks only.

        Args:
            rate: samples a second of what is pushed; None is the network's own rate.
            channels: 1 for chunks [T], more for chunks [C, T].
            strength: how much of the noise is removed, 0 to 1; can be changed while the stream runs.
            band: "full" keeps and cleans what lies above the network's band (8 kHz), "speech" leaves it out.

        Example:
            >>> stream = frcrn.load().stream(rate=48000)
            >>> out = stream.push(chunk)
            >>> tail = stream.flush()
        """
        from frcrn.inference.streaming import Stream

        return Stream(self, rate, channels, strength, band)

    def forward(self, wave: Tensor) -> Estimate:
        """[B, T] -> Estimate with wave [B, T]."""
        raise TypeError(f"{type(self).__name__} does not define forward")

    def initial_state(self, batch: int) -> State:
        """Return the state before the first sample; causal networks only."""
        raise TypeError(f"{type(self).__name__} looks ahead and cannot stream; build it with causal=True")

    def step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        """[B, k * hop] -> [B, k * hop], late by window - hop samples; causal networks only."""
        raise TypeError(f"{type(self).__name__} looks ahead and cannot stream; build it with causal=True")

    def speech_of(self, state: State) -> Tensor | None:
        """Return how probable speech was in the last frame before a state, [B]; None of a network that does not say."""
        found = state.get(SPEECH)
        return None if found is None else found.flatten(1)[:, 0]

    def optimize(self, precision: str = "fp32") -> Enhancer:
        """Return a copy for inference: the same output from fewer operations.

        Args:
            precision: "fp32", or "bf16" where the processor or GPU has it.

        Example:
            >>> fast = frcrn.load().optimize()
        """
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
