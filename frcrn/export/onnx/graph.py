"""Write ONNX graphs node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from frcrn.audio import MissingPackage

OPSET = 17
_SHARED = 4096  # constants up to this size are looked up, so that equal ones are stored once


def require_onnx() -> Any:
    """Return the package onnx, or say how to install it."""
    try:
        import onnx
    except ImportError as error:
        raise MissingPackage('exporting needs onnx: pip install "frcrn[onnx]"') from error
    return onnx


class Graph:
    """Nodes, constants, inputs and outputs of a graph that grows; values go by their names."""

    def __init__(self) -> None:
        self.onnx = require_onnx()
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.inputs: dict[str, tuple[int | str, ...]] = {}
        self.outputs: dict[str, tuple[int | str, ...]] = {}
        self._known: dict[tuple[Any, ...], str] = {}
        self._renamed: dict[str, str] = {}
        self._count = 0

    def op(self, kind: str, *inputs: str | NDArray[Any], **attributes: Any) -> str:
        """Add a node with one output and return the output's name; arrays become constants."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str | NDArray[Any], **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names."""
        names = [f"{kind.lower()}_{self._count + number}" for number in range(outputs)]
        self._count += outputs
        given = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(self.onnx.helper.make_node(kind, given, names, name=names[0], **attributes))
        return names

    def constant(self, value: NDArray[Any]) -> str:
        """Keep an array in the graph, once where it is small and was kept before."""
        value = np.ascontiguousarray(value, dtype=np.float32 if value.dtype.kind == "f" else np.int64)
        key = (value.shape, value.dtype.str, value.tobytes() if value.size <= _SHARED else self._count)
        if key not in self._known or value.size > _SHARED:
            self._known[key] = f"constant_{len(self.constants)}"
            self.constants[self._known[key]] = value
        return self._known[key]

    def reshape(self, x: str, *shape: int) -> str:
        """The same values in another shape."""
        return self.op("Reshape", x, np.array(shape))

    def part(self, x: str, axis: int, start: int, end: int) -> str:
        """x[..., start:end, ...] along one axis."""
        return self.op("Slice", x, np.array([start]), np.array([end]), np.array([axis]))

    def input(self, name: str, *shape: int | str) -> str:
        """Declare an input."""
        self.inputs[name] = shape
        return name

    def output(self, x: str, name: str, *shape: int | str) -> None:
        """Declare that a value is an output, under this name."""
        if x in self.inputs or x in self._renamed:
            self.nodes.append(self.onnx.helper.make_node("Identity", [x], [name]))
        else:
            self._renamed[x] = name
        self.outputs[name] = shape

    def model(self) -> Any:
        """Return the finished, checked ONNX model."""
        helper, numpy_helper, kind = self.onnx.helper, self.onnx.numpy_helper, self.onnx.TensorProto.FLOAT
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [self._renamed.get(name, name) for name in names]
        graph = helper.make_graph(
            self.nodes,
            "frcrn",
            [helper.make_tensor_value_info(name, kind, shape) for name, shape in self.inputs.items()],
            [helper.make_tensor_value_info(name, kind, shape) for name, shape in self.outputs.items()],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="frcrn")
        model.ir_version = 8  # what runtimes of the last years read
        self.onnx.checker.check_model(model)
        return model


class States:
    """The states of a graph that is being written; each begins as zeros."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.shapes: dict[str, tuple[int | str, ...]] = {}

    def past(self, name: str, *shape: int | str) -> str:
        """Declare a state and return its value before this call."""
        self.shapes[name] = shape
        return self.graph.input(f"state.{name}", *shape)

    def keep(self, name: str, value: str) -> None:
        """Say what a state is after this call."""
        self.graph.output(value, f"state.{name}.next", *self.shapes[name])
