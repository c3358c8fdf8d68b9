"""Networks of every shape that a configuration can describe, small."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from frcrn import FRCRN
from frcrn.models.layers.unet import Level
from tests.networks import lively, tiny, two_levels

FOUR_HOPS = {"window": 128, "hop": 32}
THREE_FRAMES = (Level(4, (8, 3), (8, 3), stride=8, se=False), Level(6, (3, 3), (3, 3), padding=1))
WIDE = tuple(Level(18, stride=4, padding=1, kernel=(5, kt), up_kernel=(5, kt)) for kt in (2, 1, 2))
REMEMBERING = (Level(4, (8, 1), (8, 1), stride=8, se=False), Level(6, (3, 2), (3, 2), padding=1, time=5))
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "one stage, skips added": {"stages": 1, "add_skips": True, "mask_bound": 1.6},
    "second stage refines, magnitude seen": {"refine": True, "magnitude": True, "mask_bound": 1.25},
    "four hops a window": FOUR_HOPS,
    "three frames a kernel": {"levels": THREE_FRAMES, "bands": 64},
    "wide": {"levels": WIDE, "reduction": 1, "time_hidden": 5, "head_channels": 3},
    "no memory": {"time_layers": 0, "memory": 1, "se_frames": 1},
    "one tap of memory": {"time_memory": 1, "compress": 1.0},
    "bands": {"bands": 48},
    "memory in each bin": {"levels": REMEMBERING, "bands": 64, "add_skips": True},
    "memory that looks ahead": {"levels": REMEMBERING, "bands": 64, "add_skips": True, "stages": 1, "ahead": 3},
    "memory that looks ahead, skips beside": {"levels": THREE_FRAMES, "bands": 64, "stages": 1, "ahead": 1},
    "memory in each bin, skips beside": {"levels": REMEMBERING, "bands": 64, "time_memory": 1},
}
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES)
EVERY_OFFLINE_SHAPE = pytest.mark.parametrize("shape", [name for name, what in SHAPES.items() if "ahead" not in what])
"""Those that a network without causal kernels can have."""


@cache
def network(shape: str = "tiny", causal: bool = True) -> FRCRN:
    return tiny(causal=causal, **SHAPES[shape])


@cache
def released() -> FRCRN:
    """Return a small network of the released kind: all bins, both stages, a level of its own."""
    torch.manual_seed(0)
    model = FRCRN(two_levels(640, 320, level_dbfs=-25.0))
    return lively(model, 2, 20 * model.hop)
