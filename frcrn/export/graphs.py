"""The graphs of a network: written node by node where we know how, traced otherwise."""

from __future__ import annotations

from typing import Any

from frcrn.export.onnx.network import Step, write_step, write_whole
from frcrn.export.onnx.traced import traced_step, traced_whole
from frcrn.models import Enhancer
from frcrn.models.masking import MaskEnhancer


def step_graph(model: Enhancer) -> Step:
    """One hop of a causal network with its states."""
    return write_step(model) if isinstance(model, MaskEnhancer) else traced_step(model)


def whole_graph(model: Enhancer, *, levelled: bool = False) -> Any:
    """A wave of any length; `levelled` where the graph itself brings it to the loudness that the network wants."""
    level = model.level_dbfs if levelled else None
    if isinstance(model, MaskEnhancer):
        return write_whole(model, level)
    if level is not None:
        raise ValueError(f"{type(model).__name__} wants waves at {level} dBFS; only FRCRN is exported with that")
    return traced_whole(model)
