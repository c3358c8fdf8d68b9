"""Enhancers that take one frame of samples to one frame of samples, which are then added up: all but the layers."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.models.base import SPEECH, Enhancer, Estimate, Stage, State
from frcrn.models.layers.transforms import Frames
from frcrn.models.layers.wiring import Layers, Memories

X = TypeVar("X")
Network = TypeVar("Network", bound="FrameEnhancer")


class RowBackend(Protocol[X]):
    """What a frame's wiring needs of a backend, whose rows may be tensors, names in a graph, or places in memory."""

    def layer(self, name: str, layer: nn.Module, x: X) -> X:
        """Apply a layer, by the rule for its class; what it keeps from frame to frame goes by its name."""

    def times(self, x: X, y: X) -> X:
        """Multiply two rows of one size."""

    def beside(self, x: X, y: X) -> X:
        """Put the values of y after those of x."""

    def masked(self, spectrum: X, gains: X) -> X:
        """Multiply a spectrum [2 F] by a real gain for each bin [F]."""

    def speech(self, probability: X) -> None:
        """Note how probable speech is [1]."""


class Rows:
    """The backend of torch: rows are [B, N, size]; it keeps what layers remember and the last masked spectrum."""

    spectrum: Tensor
    gains: Tensor
    probability: Tensor | None = None

    def __init__(self, past: Mapping[str, Tensor] | None = None) -> None:
        self.past: Mapping[str, Tensor] = past or {}
        self.new: Memories = {}

    def layer(self, name: str, layer: nn.Module, x: Tensor) -> Tensor:
        """Apply a layer."""
        y: Tensor
        y, self.new[name] = layer(x, self.past.get(name))
        return y

    def times(self, x: Tensor, y: Tensor) -> Tensor:
        """Multiply."""
        return x * y

    def beside(self, x: Tensor, y: Tensor) -> Tensor:
        """[B, N, D], [B, N, E] -> [B, N, D + E]."""
        return torch.cat([x, y], dim=-1)

    def masked(self, spectrum: Tensor, gains: Tensor) -> Tensor:
        """[B, N, 2 F], [B, N, F] -> [B, N, 2 F]."""
        self.spectrum, self.gains = spectrum * torch.cat([gains, gains], dim=-1), gains
        return self.spectrum

    def speech(self, probability: Tensor) -> None:
        """[B, N, 1]: keep it."""
        self.probability = probability[:, :, 0]


class RowListing:
    """A backend that computes nothing: it lists the layers in their order."""

    def __init__(self) -> None:
        self.layers: Layers = []

    def layer(self, name: str, layer: nn.Module, x: None) -> None:
        """Note a layer."""
        self.layers.append((name, layer))

    def times(self, x: None, y: None) -> None:
        """Do nothing."""

    def beside(self, x: None, y: None) -> None:
        """Do nothing."""

    def masked(self, spectrum: None, gains: None) -> None:
        """Do nothing."""

    def speech(self, probability: None) -> None:
        """Do nothing."""


def says_speech(model: Enhancer) -> bool:
    """Say whether a network tells how probable speech is."""
    return isinstance(model, FrameEnhancer) and model.says_speech


class FrameEnhancer(Enhancer):
    """A causal network that says in `wire` how it makes a frame of a frame; it then streams, and runs in ONNX and C.

    Its one stage has the spectrum and the mask of what is masked last, the imaginary part of the mask being zero.
    """

    causal = True
    lookahead = 0
    says_speech = False
    """Whether its estimate says how probable speech is in each frame."""
    backend: type[Rows] = Rows
    """What computes its layers; training may put another one there."""

    def __init__(self, frames: Frames, sample_rate: int) -> None:
        super().__init__()
        self.frames, self.sample_rate = frames, sample_rate
        self.hop, self.window = frames.hop, frames.window

    def wire(self, at: RowBackend[X], x: X) -> X:
        """Frame [window] -> frame [window]."""
        raise TypeError(f"{type(self).__name__} does not define wire")

    def wired(self) -> Layers:
        """Return the name of each layer and the layer, in their order."""
        listing = RowListing()
        self.wire(listing, None)
        return listing.layers

    def margins(self, samples: int) -> tuple[int, int]:
        """Return how many zeros go before and after a wave so that every sample is fully covered by windows."""
        return self.frames.overlap, -samples % self.hop + self.frames.overlap

    def forward(self, wave: Tensor) -> Estimate:
        """[B, T] -> Estimate with wave [B, T]."""
        front, back = self.margins(wave.shape[1])
        at = self.backend()
        frames = self.wire(at, self.frames.cut(F.pad(wave, (front, back))))
        clean, _ = self.frames.join(frames, None)
        clean = clean[:, front : front + wave.shape[1]]
        spectrum = at.spectrum.unflatten(2, (2, -1)).permute(0, 2, 3, 1)
        mask = at.gains.transpose(1, 2)
        stage = Stage(spectrum, torch.stack([mask, torch.zeros_like(mask)], dim=1), clean)
        return Estimate(clean, (stage,), at.probability)

    def initial_state(self, batch: int) -> State:
        """Return the state before the first sample: silence."""
        quiet = self.frames.taper.new_zeros(batch, self.frames.overlap)
        at = Rows()
        with torch.no_grad():
            self.wire(at, self.frames.taper.new_zeros(batch, 1, self.window))
        kept = {name: torch.zeros_like(memory) for name, memory in at.new.items() if memory.numel()}
        said = {SPEECH: quiet.new_zeros(batch, 1)} if self.says_speech else {}
        return {"analysis": quiet, "synthesis": quiet.clone()} | kept | said

    def step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        """[B, k hop] -> [B, k hop], late by window - hop samples."""
        out, state, _ = self.step_with_speech(frame, state)
        return out, state

    def step_with_speech(self, frame: Tensor, state: State) -> tuple[Tensor, State, Tensor | None]:
        """The same, and how probable speech is in each of the frames that end there, [B, k]."""
        wave, at = torch.cat([state["analysis"], frame], dim=1), self.backend(state)
        out, tail = self.frames.join(self.wire(at, self.frames.cut(wave)), state["synthesis"])
        kept = {name: at.new[name] for name in state if name in at.new}
        said = {} if at.probability is None else {SPEECH: at.probability[:, -1:]}
        return out, {"analysis": wave[:, -self.frames.overlap :], "synthesis": tail} | kept | said, at.probability

    def optimize(self: Network, precision: str = "fp32") -> Network:
        """Return a copy for inference; there is nothing to fold, and single precision is what it computes in."""
        if precision != "fp32":
            raise ValueError(f"precision {precision!r}: a {type(self).__name__} computes in fp32")
        model = copy.deepcopy(self).eval().requires_grad_(False)
        model.optimized = True
        return model
