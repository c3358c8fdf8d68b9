"""Count the multiplications with an addition (MACs) of what really runs, torch networks and ONNX graphs.

Matrix products, convolutions and recurrent layers count, transforms between time and frequency too where they are
products of matrices; what goes element by element (activations, gates, a numpy FFT around a graph) does not.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from frcrn.audio import MissingPackage

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Shapes = dict[str, tuple[int, ...]]


def macs(run: Callable[[], object]) -> int:
    """Count the MACs of what a call lets torch do."""
    from torch.utils.flop_counter import FlopCounterMode

    # oneDNN takes an LSTM as a whole, which nobody counts; switching it off can bring a warning about another processor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            run()
    return int(counter.get_total_flops()) // 2  # it counts the addition apart


def of_graph(file: Path) -> tuple[int, int | None]:
    """Return an ONNX graph's parameters, and its MACs for one call; None where a shape is not fixed."""
    try:
        import onnx
    except ImportError as error:
        raise MissingPackage('counting the operations of a peer needs onnx: pip install "frcrn[onnx]"') from error
    model = onnx.shape_inference.infer_shapes(onnx.load(file))
    weights = {item.name: tuple(item.dims) for item in model.graph.initializer}
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    shapes = weights | {value.name: shape for value in values if (shape := _shape(value)) is not None}
    counts = [_of_node(node, shapes) for node in model.graph.node]
    total = None if None in counts else sum(count for count in counts if count is not None)
    return sum(map(math.prod, weights.values())), total


def _shape(value: Any) -> tuple[int, ...] | None:
    """Return a value's shape, axes with a name (batch, frames) taken as 1; None where it is not known."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(axis.dim_value if axis.HasField("dim_value") else 1 for axis in tensor.shape.dim)


def _of_node(node: Any, shapes: Shapes) -> int | None:
    """Count one node; None where what is needed to count it is not known."""
    if node.op_type in ("If", "Loop", "Scan"):
        return None
    if node.op_type not in ("Conv", "ConvTranspose", "MatMul", "Gemm", *_GATES):
        return 0
    try:
        left, right = shapes[node.input[0]], shapes[node.input[1]]
        if node.op_type in _GATES:
            steps, batch, inputs = left
            directions, rows = right[:2]
            hidden = rows // _GATES[node.op_type]
            return steps * batch * directions * rows * (inputs + hidden)
        if node.op_type == "ConvTranspose":
            return math.prod(left) * math.prod(right[1:])
        out = math.prod(shapes[node.output[0]])
        if node.op_type == "Conv":
            return out * math.prod(right[1:])
        across = next((bool(item.i) for item in node.attribute if item.name == "transA"), False)
        return out * left[0 if across else -1]
    except KeyError:
        return None
