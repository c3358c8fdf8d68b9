"""Networks of the form of DNSMOS P.808 with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def judge_network(path: Path, **changed: np.ndarray) -> Path:
    """Write a network of the measure's form with random weights."""
    import onnx

    random, values, nodes, last = np.random.default_rng(0), {}, [], "x"

    def weight(name: str, *shape: int) -> str:
        scale = np.sqrt(2 / np.prod(shape[1:] if len(shape) > 2 else shape[:1]))
        values[name] = changed.get(name, random.standard_normal(shape).astype("f4") * np.float32(scale))
        return name

    def node(kind: str, *weights: str, **how: object) -> None:
        nonlocal last
        nodes.append(onnx.helper.make_node(kind, [last, *weights], [last := f"{kind}{len(nodes)}"], **how))

    values["three"] = np.array([3])
    node("Unsqueeze", "three")
    node("Transpose", perm=[0, 3, 1, 2])
    for number, (width, before) in enumerate(((8, 1), (6, 8), (4, 6))):
        pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        node("Conv", weight(f"w{number}", width, before, 3, 3), weight(f"b{number}", width), **pads)
        node("Relu")
        if number < 2:
            node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    node("Transpose", perm=[0, 2, 3, 1])
    node("ReduceMax", axes=[1, 2], keepdims=0)
    node("MatMul", weight("m0", 4, 5))
    node("Add", weight("a0", 5))
    node("Relu")
    node("MatMul", weight("m1", 5, 1))
    node("Add", weight("a1", 1))
    tensor, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    ends = [tensor("x", kinds.FLOAT, ["N", 900, 120])], [tensor(last, kinds.FLOAT, ["N", 1])]
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = onnx.helper.make_graph(nodes, "judge", *ends, weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path
