"""The masks of a network that looks ahead, computed in C for many frames at once, on any number of threads."""

from __future__ import annotations

import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from frcrn.export.native.frames import FramesWriter, Kind
from frcrn.export.native.layers import Image
from frcrn.export.native.library import library
from frcrn.export.native.network import u_net
from frcrn.export.native.program import Buffer, aligned, number, placed
from frcrn.models.frcrn import FRCRN


class Part(ctypes.Structure):
    """What each call works with, as `whole.c` has it."""

    _fields_ = [
        ("weights", ctypes.c_void_p),
        ("images", ctypes.c_void_p),
        ("frames", ctypes.c_int32),
        ("room", ctypes.c_int32),
        ("first", ctypes.c_int32),
        ("last", ctypes.c_int32),
        ("scratch", ctypes.c_void_p),
    ]


class NativeMasks:
    """All U-Nets of a network; called with a spectrum it returns the sum of their masks."""

    def __init__(self, model: FRCRN, threads: int | None) -> None:
        if model.optimized or model.lookahead == 0:
            raise ValueError("the runtime native hears whole waves with networks that look ahead, as they were trained")
        self._library, self.model, self.threads = library(), model, threads or torch.get_num_threads()
        writer, features = FramesWriter(), model.features
        channels = max(features.channels + 1, *(2 * level.channels for level in model.config.levels))
        writer.silence(2 * channels * features.bands)
        x = inputs = writer.image(features.channels, features.bands)
        heads = []
        for unet in model.unets:
            x = u_net(writer, unet, x)
            heads.append(x.buffer)
            if model.config.refine:
                x = writer.side_by_side([x, inputs])
        # what goes in is there before the first operation, and what comes out after the last
        lives = [(inputs.buffer,), *(operation.arguments for operation in writer.found), tuple(heads)]
        places, self._size = placed(lives)
        self._operations = [
            (each, np.array([number(argument, places) for argument in each.arguments], np.int32))
            for each in writer.found
        ]
        self._weights = torch.from_numpy(np.concatenate(writer.program.weights)).clone()
        self._inputs, self._heads = places[buffer_of(inputs)], [number(head, places) for head in heads]
        self._more, self._scratch = writer.most, max(each.scratch for each in writer.found)
        self._mine = threading.local()
        self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

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
        for operation, arguments in self._operations:
            self._run(operation.kind, arguments, frames, frames + operation.more, images, scratch)
        heads = [images[at * room : at * room + frames * bands * 2].view(frames, bands, 2) for at in self._heads]
        return self.model.config.mask_bound * torch.stack([head.tanh() for head in heads]).sum(dim=0)

    def _run(self, kind: Kind, arguments: Any, frames: int, count: int, images: Tensor, scratch: Tensor) -> None:
        """All of an operation's `count` frames, a share on each thread."""
        shares = list(pairwise(np.linspace(0, count, self.threads + 1).astype(int).tolist()))
        sums = np.zeros((len(shares), 2 * int(arguments[7]) if kind == Kind.GATE else 1))

        def some(share: int, ready: bool) -> None:
            part = Part(
                *(self._weights.data_ptr(), images.data_ptr(), frames, frames + self._more),
                *(*shares[share], scratch[share].data_ptr()),
            )
            self._library.frcrn_whole(
                ctypes.byref(part), int(kind), arguments.ctypes.data, sums[share].ctypes.data, ready, count
            )

        for ready in (False, True) if kind == Kind.GATE else (False,):
            if ready:
                sums[:] = sums.sum(axis=0)
            if self._pool is None:
                some(0, ready)
            else:
                list(self._pool.map(lambda share, ready=ready: some(share, ready), range(len(shares))))

    def _memory(self, room: int) -> tuple[Tensor, Tensor]:
        """This thread's memory for images of so many frames, which is kept, and scratch for each thread of ours."""
        if getattr(self._mine, "room", 0) < room:
            self._mine.images = None
            self._mine.images = torch.empty(self._size * room)
            self._mine.scratch, self._mine.room = torch.empty(self.threads, aligned(self._scratch)), room
        return self._mine.images, self._mine.scratch


def buffer_of(x: Image) -> Buffer:
    """Return the buffer of an image that is all of it."""
    assert isinstance(x.buffer, Buffer)
    return x.buffer
