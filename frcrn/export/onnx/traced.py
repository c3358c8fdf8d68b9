"""Any other network as ONNX graphs, by following it through one call."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from frcrn.export.onnx.graph import OPSET, require_onnx
from frcrn.export.onnx.network import Step, write_piece, write_step, write_whole
from frcrn.export.onnx.rows import write_frames, write_wave
from frcrn.export.onnx.sessions import AUDIO, ENHANCED
from frcrn.models import Enhancer
from frcrn.models.frames import FrameEnhancer
from frcrn.models.masking import MaskEnhancer


class OneHop(nn.Module):
    """`step` with its states as arguments and results of their own."""

    def __init__(self, model: Enhancer, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, frame: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """[1, hop] and states -> [1, hop] and states."""
        clean, new = self.model.step(frame, dict(zip(self.names, states, strict=True)))
        return clean, *(new[name] for name in self.names)


class WholeWave(nn.Module):
    """`forward` without anything but the wave."""

    def __init__(self, model: Enhancer) -> None:
        super().__init__()
        self.model = model

    def forward(self, wave: Tensor) -> Tensor:
        """[B, T] -> [B, T]."""
        clean: Tensor = self.model(wave).wave
        return clean


def traced_step(model: Enhancer) -> Step:
    """Return the graph of one hop; its states must begin as zeros."""
    initial = model.initial_state(1)
    if loud := [name for name, value in initial.items() if value.any()]:
        raise ValueError(f"{type(model).__name__}: the state {loud[0]} does not begin as zeros; exports need that")
    names = [f"state.{name}" for name in initial]
    frame = torch.zeros(1, model.hop)
    results = [ENHANCED, *(f"{name}.next" for name in names)]
    graph = traced(OneHop(model, list(initial)), (frame, *initial.values()), [AUDIO, *names], results, {})
    return Step(graph, {name: tuple(value.shape) for name, value in initial.items()})


def traced_whole(model: Enhancer) -> Any:
    """Return the graph of a wave, [batch, samples] -> [batch, samples]."""
    axes = {name: {0: "batch", 1: "samples"} for name in (AUDIO, ENHANCED)}
    return traced(WholeWave(model), (torch.zeros(1, 10 * model.window),), [AUDIO], [ENHANCED], axes)


def traced(
    module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str], axes: dict[str, Any]
) -> Any:
    """Return what torch's exporter makes of a module."""
    onnx = require_onnx()
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            file = Path(folder, "graph.onnx")
            torch.onnx.export(
                module.eval(),
                example,
                file,
                input_names=inputs,
                output_names=outputs,
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
            return onnx.load(file)
    finally:
        exporter.setLevel(level)


def step_graph(model: Enhancer) -> Step:
    """One hop of a causal network with its states."""
    if isinstance(model, FrameEnhancer):
        return write_frames(model, single=True)
    return write_step(model) if isinstance(model, MaskEnhancer) else traced_step(model)


def piece_graph(model: Enhancer) -> Step | None:
    """Any number of hops of a causal network with its states, where its layers are known."""
    if isinstance(model, FrameEnhancer):
        return write_frames(model, single=False)
    return write_piece(model) if isinstance(model, MaskEnhancer) else None


def whole_graph(model: Enhancer, *, levelled: bool = False) -> Any:
    """A wave of any length; `levelled` where the graph itself brings it to the loudness that the network wants."""
    level = model.level_dbfs if levelled else None
    if isinstance(model, MaskEnhancer):
        return write_whole(model, level)
    if level is not None:
        name = type(model).__name__
        raise ValueError(
            f"{name} wants waves at {level} dBFS; only networks that mask a spectrum are exported with that"
        )
    return write_wave(model) if isinstance(model, FrameEnhancer) else traced_whole(model)
