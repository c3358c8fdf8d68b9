"""Graphs whose large matrices and convolutions are of whole numbers, and what that costs in quality."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frcrn.export.onnx.graph import require_onnx
from frcrn.export.onnx.sessions import Array

LARGE = 2**16  # weights of a convolution, below which whole numbers make it no faster


def quantized(content: bytes, feeds: Sequence[dict[str, Array]]) -> bytes:
    """Quantize the matrices, and the convolutions with many weights; the ranges come from the feeds.

    Of networks of frames the LSTMs are quantized, whose inputs are scaled anew at each step.
    """
    from onnxruntime import quantization

    onnx = require_onnx()
    graph = onnx.load_from_string(content).graph
    recurrent = [node.name for node in graph.node if node.op_type == "LSTM"]
    sizes = {weight.name: int(np.prod(weight.dims)) for weight in graph.initializer}
    chosen = [
        node.name
        for node in graph.node
        if node.op_type == "Gemm" or (node.op_type == "Conv" and sizes.get(node.input[1], 0) >= LARGE)
    ]
    if not chosen and not recurrent:
        raise ValueError("int8: this network has no matrix or convolution that is worth it")
    threshold = logging.root.manager.disable
    logging.disable(logging.WARNING)  # advice of the quantizer that does not concern these graphs
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
            source.write_bytes(content)
            if recurrent:
                quantization.quantize_dynamic(
                    source,
                    target,
                    op_types_to_quantize=["LSTM"],
                    per_channel=True,
                    weight_type=quantization.QuantType.QInt8,
                )
                return target.read_bytes()
            quantization.quantize_static(
                source,
                target,
                _reader(quantization, feeds),
                nodes_to_quantize=chosen,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            return target.read_bytes()
    finally:
        logging.disable(threshold)


def _reader(quantization: Any, feeds: Sequence[dict[str, Array]]) -> Any:
    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Gives one feed after the other, and then none."""

        def __init__(self) -> None:
            self.feeds = iter(feeds)

        def get_next(self) -> dict[str, Array] | None:
            """Return the next feed."""
            return next(self.feeds, None)

    return Reader()
