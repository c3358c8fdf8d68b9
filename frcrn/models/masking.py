"""Enhancers that multiply a spectrum by a mask: all but the network between its features and its mask."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import accumulate, chain
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frcrn.config import checked_precision
from frcrn.machine import demand_bf16
from frcrn.models.base import Enhancer, Estimate, Stage, State
from frcrn.models.layers.complex import delayed
from frcrn.models.layers.features import Features
from frcrn.models.layers.fuse import fuse
from frcrn.models.layers.stft import STFT
from frcrn.models.layers.wiring import Backend, Eager, Layers, Listing, X

Network = TypeVar("Network", bound="MaskEnhancer")


def complex_multiply(x: Tensor, y: Tensor) -> Tensor:
    """[B, 2, F, N] times [B, 2, F, N]."""
    (x_re, x_im), (y_re, y_im) = x.chunk(2, dim=1), y.chunk(2, dim=1)
    return torch.cat([x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re], dim=1)


class MaskEnhancer(Enhancer):
    """Each stage of a network adds its bounded output to the mask; the last sum is the mask that is used.

    A network of known layers says in `wire` which comes after which; it then trains, streams, and runs in ONNX and C.
    """

    memory_format = torch.channels_last
    causal: bool
    late = 0
    """How many frames later than it is asked the network answers, one that is causal but for that."""

    @property
    def streams(self) -> bool:
        """Whether it can be run hop by hop."""
        return self.causal

    def __init__(self, stft: STFT, features: Features) -> None:
        super().__init__()
        self.stft, self.features = stft, features
        self.hop, self.window = stft.hop, stft.window

    @property
    def mask_bound(self) -> float:
        """What the mask's magnitude stays below; the configuration's, so that it can be set anew after training."""
        return float(getattr(self.config, "mask_bound", 1.0))

    def wire(self, at: Backend[X], x: X) -> Iterator[X]:
        """Features [2 channels, bands] -> what each stage returns, [2, bands], before it is bounded, one by one."""
        raise TypeError(f"{type(self).__name__} does not define wire")

    def wired(self) -> Layers:
        """Return the name of each layer and the layer, in their order."""
        listing = Listing()
        list(self.wire(listing, None))
        return listing.layers

    def masks(self, spec: Tensor, past: State | None = None) -> tuple[list[Tensor], State]:
        """[B, 2, F, N] -> the mask [B, 2, F, N] after each stage, `late` frames later; new past."""
        at = Eager(past)
        x = self.features(spec).contiguous(memory_format=self.memory_format).to(self.dtype)
        masks = (self.features.to_bins(self.mask_bound * torch.tanh(head.to(spec.dtype))) for head in self.wire(at, x))
        return list(accumulate(masks)), at.new

    def parts(self) -> Iterator[nn.Module]:
        """All that has weights."""
        return (part for part in self.children() if part is not self.stft and part is not self.features)

    @property
    def dtype(self) -> torch.dtype:
        """The type that the network computes in."""
        values = chain.from_iterable(chain(part.parameters(), part.buffers()) for part in self.parts())
        return next(value.dtype for value in values if value.is_floating_point())

    def forward(self, wave: Tensor) -> Estimate:
        """[B, T] -> Estimate with wave [B, T]."""
        front, back = self.margins(wave.shape[1])
        spec = self.stft.analyse(F.pad(wave, (front, back)))
        edge = 0 if self.causal else self.stft.overlap // self.hop
        seen = spec[..., edge : spec.shape[-1] - edge]
        masks, _ = self.masks(seen)
        spec, masks = spec[..., : spec.shape[-1] - self.late], [mask[..., self.late :] for mask in masks]
        return self.estimate(spec, masks, edge, front, wave.shape[1])

    def margins(self, samples: int) -> tuple[int, int]:
        """Return how many zeros go before and after a wave so that every sample is fully covered by windows.

        A network that answers late is asked for as many frames more.
        """
        overlap = self.stft.overlap
        whole = samples if self.causal else max(samples, self.window)
        ragged = -(whole - (0 if self.causal else self.window)) % self.hop
        return overlap, whole - samples + ragged + overlap + self.late * self.hop

    def estimate(self, spec: Tensor, masks: list[Tensor], edge: int, front: int, samples: int) -> Estimate:
        """Apply each mask; the `edge` outermost frames, which the network has not seen, borrow their neighbour's."""
        stages = []
        for mask in masks:
            wide = F.pad(mask, (edge, edge, 0, 0), mode="replicate") if edge else mask
            clean = complex_multiply(spec, wide)
            wave = self.stft.synthesise(clean)[:, front : front + samples]
            stages.append(Stage(clean[..., edge : clean.shape[-1] - edge], mask, wave))
        return Estimate(stages[-1].wave, tuple(stages))

    def initial_state(self, batch: int) -> State:
        """Return the state before the first sample: silence."""
        if not self.causal:
            return super().initial_state(batch)
        weight = self.stft.forward_basis
        quiet = weight.new_zeros(batch, self.stft.overlap)
        state = {"analysis": quiet, "synthesis": quiet.clone()}
        if self.late:
            state["spectrum"] = weight.new_zeros(batch, 2, self.stft.bins, self.late)
        with torch.no_grad():
            _, past = self.masks(weight.new_zeros(batch, 2, self.stft.bins, 1))
        return state | {name: torch.zeros_like(memory) for name, memory in past.items() if memory.numel()}

    def step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        """[B, k hop] -> [B, k hop], late by window - hop samples and `late` hops."""
        if not self.causal:
            return super().step(frame, state)
        wave = torch.cat([state["analysis"], frame], dim=1)
        spec = self.stft.analyse(wave)
        masks, past = self.masks(spec, state)
        if self.late:
            spec, past["spectrum"] = delayed(spec, state["spectrum"], self.late)
        out, tail = self.stft.overlap_add(complex_multiply(spec, masks[-1]), state["synthesis"])
        kept = {name: past[name] for name in state if name in past}
        return out, {"analysis": wave[:, -self.stft.overlap :], "synthesis": tail} | kept

    def optimize(self: Network, precision: str = "fp32") -> Network:
        """Return a copy for inference: block weights built once, batch norm folded in; precision fp32 or bf16."""
        if checked_precision(precision) == "bf16":
            demand_bf16(self.stft.forward_basis.device.type)
        model = copy.deepcopy(self).eval().requires_grad_(False)
        if not self.optimized:
            for part in model.parts():
                fuse(part)
            model.optimized = True
        if precision == "bf16":
            for part in model.parts():
                part.to(torch.bfloat16)
        return model
