"""The masks of a network that looks ahead, computed in C for many frames at once, on any number of threads."""

from __future__ import annotations

import ctypes
import threading
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frcrn.export.native.frame_operations import FRAMES, Gate
from frcrn.export.native.frames import FramesWriter
from frcrn.export.native.library import NoBfloat16, library
from frcrn.export.native.program import aligned, number, placed
from frcrn.export.native.structs import Operation
from frcrn.models.masking import MaskEnhancer
from frcrn.threads import Threads


class Part(ctypes.Structure):
    """What each call works with, as `whole.c` has it."""

    _fields_ = [
        ("weights", ctypes.c_void_p),
        ("pairs", ctypes.c_void_p),
        ("images", ctypes.c_void_p),
        ("frames", ctypes.c_int32),
        ("room", ctypes.c_int32),
        ("first", ctypes.c_int32),
        ("last", ctypes.c_int32),
        ("scratch", ctypes.c_void_p),
        ("silence", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("ready", ctypes.c_int32),
        ("count", ctypes.c_int32),
    ]


class Step(NamedTuple):
    """An operation as C takes it: its number, its arguments, and for how many more frames than the spectrum has."""

    kind: int
    arguments: NDArray[np.int32]
    more: int
    means: int
    """How many means over all frames it finds first, where it is a gate."""


class NativeMasks:
    """All stages of a network; called with a spectrum it returns the sum of their masks."""

    def __init__(self, model: MaskEnhancer, threads: int | None, precision: str = "fp32") -> None:
        if model.optimized or model.causal:
            raise ValueError("the runtime native hears whole waves with networks that look ahead, as they were trained")
        self._library, self.model, self.threads = library(), model, threads or torch.get_num_threads()
        writer, features = FramesWriter(), model.features.spec()
        inputs = writer.image(features.channels, features.bands)
        heads = [writer.one(head).buffer for head in model.wire(writer, (inputs,))]
        # frames before the first and after the last: zeros, as many as the largest image has
        self._silence = writer.program.weight(np.zeros(writer.widest))
        # what goes in is there before the first operation, and what comes out after the last
        lives = [(inputs.buffer,), *(tuple(each.operation.arguments()) for each in writer.found), tuple(heads)]
        places, self._size = placed(lives)
        self._steps = [
            step(each.operation, np.array([number(x, places) for x in arguments], np.int32), each.more)
            for each, arguments in zip(writer.found, lives[1:-1], strict=True)
        ]
        self._weights = torch.from_numpy(np.concatenate(writer.program.weights)).clone()
        self._inputs, *self._heads = (number(each, places) for each in (inputs.buffer, *heads))
        self._more, self._scratch = writer.most, max(each.scratch for each in writer.found)
        self._precision = precision
        self._pairs = self._paired() if precision == "bf16" else None
        self._mine = threading.local()
        self._pool = Threads(self.threads) if self.threads > 1 else None

    def __reduce__(self) -> tuple[type[NativeMasks], tuple[MaskEnhancer, int, str]]:
        """Copies, and those in other processes, write the program again."""
        return NativeMasks, (self.model, self.threads, self._precision)

    def _paired(self) -> Tensor:
        """Weights in bfloat16, two in each number."""
        pairs = torch.zeros(len(self._weights) // 2 + 1, dtype=torch.int32)
        places = self._weights.data_ptr(), pairs.data_ptr()
        for each in self._steps:
            if not self._library.frcrn_whole_pairs(places[0], each.kind, each.arguments.ctypes.data, places[1]):
                raise NoBfloat16
        return pairs

    def __call__(self, spec: Tensor) -> Tensor:
        """Spectrum [B, 2, F, N] -> mask [B, 2, F, N]."""
        features = self.model.features
        rows = features(spec.float()).permute(0, 3, 2, 1)
        masks = torch.stack([self._mask(frames) for frames in rows])
        return features.to_bins(masks.permute(0, 3, 2, 1))

    def _mask(self, x: Tensor) -> Tensor:
        """Features [N, bands, 2 channels] -> mask [N, bands, 2]."""
        frames, bands, width = x.shape
        room = frames + self._more
        images, scratch = self._memory(room)
        start = self._inputs * room
        images[start : start + x.numel()].view(x.shape).copy_(x)
        for each in self._steps:
            self._run(each, frames, frames + each.more, images, scratch)
        heads = [images[at * room : at * room + frames * bands * 2].view(frames, bands, 2) for at in self._heads]
        return self.model.mask_bound * torch.stack([head.tanh() for head in heads]).sum(dim=0)

    def _run(self, step: Step, frames: int, count: int, images: Tensor, scratch: Tensor) -> None:
        """All of an operation's `count` frames, a share on each thread."""
        shares = list(pairwise(np.linspace(0, count, self.threads + 1).astype(int).tolist()))
        sums = np.zeros((len(shares), max(step.means, 1)))
        weights, pairs = self._weights.data_ptr(), None if self._pairs is None else self._pairs.data_ptr()

        def some(share: int, ready: bool) -> None:
            part = Part(
                *(weights, pairs, images.data_ptr(), frames, frames + self._more, *shares[share]),
                *(scratch[share].data_ptr(), weights + 4 * self._silence, sums[share].ctypes.data, ready, count),
            )
            self._library.frcrn_whole(ctypes.byref(part), step.kind, step.arguments.ctypes.data)

        for ready in (False, True) if step.means else (False,):
            if ready:
                sums[:] = sums.sum(axis=0)
            if self._pool is None:
                some(0, ready)
            else:
                list(self._pool.map(partial(some, ready=ready), range(len(shares))))

    def _memory(self, room: int) -> tuple[Tensor, Tensor]:
        """This thread's memory for images of so many frames, which is kept, and scratch for each thread of ours."""
        if getattr(self._mine, "room", 0) < room:
            self._mine.images = None
            self._mine.images = torch.empty(self._size * room)
            self._mine.scratch, self._mine.room = torch.empty(self.threads, aligned(self._scratch)), room
        return self._mine.images, self._mine.scratch


def step(operation: Operation, arguments: NDArray[np.int32], more: int) -> Step:
    """Return an operation as C takes it."""
    means = 2 * operation.channels if isinstance(operation, Gate) else 0
    return Step(FRAMES.index(type(operation)), arguments, more, means)
