"""DTLN as its authors' files have it, with random weights: two ONNX graphs, one with LSTM nodes and one in products."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
UNITS, WINDOW, BASIS = 8, 32, 12
BINS = WINDOW // 2 + 1


class Weights:
    """Random weights in Keras's form: matrices [inputs, outputs], gates i, f, g, o."""

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)

        def some(*shape: int) -> Array:
            return random.uniform(-0.6, 0.6, shape).astype(np.float32)

        cores = ((BINS, BINS), (BASIS, BASIS))
        self.lstms = [
            [(some(inputs, 4 * UNITS), some(UNITS, 4 * UNITS), some(4 * UNITS)) for inputs in (first, UNITS)]
            for first, _ in cores
        ]
        self.dense = [(some(UNITS, outputs), some(outputs)) for _, outputs in cores]
        self.norm = (1 + some(BASIS), some(BASIS))
        self.encode, self.decode = some(WINDOW, BASIS), some(BASIS, WINDOW)


def write_pair(folder: Path, weights: Weights) -> None:
    """Write dtln_1.onnx and dtln_2.onnx."""
    from onnx import TensorProto, helper, numpy_helper, save

    def written(name: str, nodes: list[Any], constants: dict[str, Array], sizes: tuple[int, int]) -> None:
        kind = TensorProto.FLOAT
        state = [1, 2, UNITS, 2]
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info(*each) for each in (("x", kind, [1, 1, sizes[0]]), ("past", kind, state))],
            [helper.make_tensor_value_info(*each) for each in (("y", kind, [1, 1, sizes[1]]), ("new", kind, state))],
            [numpy_helper.from_array(value, key) for key, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        save(model, str(folder / name))

    nodes, constants = first_graph(helper, weights)
    written("dtln_1.onnx", nodes, constants, (BINS, BINS))
    nodes, constants = second_graph(helper, weights)
    written("dtln_2.onnx", nodes, constants, (WINDOW, WINDOW))


def states_of(node: Any, constants: dict[str, Array]) -> list[Any]:
    """Cut the state [1, 2, H, 2] into h and c of two layers, [1, H] each."""
    nodes = []
    constants |= {"axes2": np.array([1, 3]), "one": np.array([1])}
    for layer in range(2):
        for part, name in enumerate("hc"):
            constants |= {f"from{layer}{part}": np.array([layer, part])}
            constants |= {f"to{layer}{part}": np.array([layer + 1, part + 1])}
            nodes += [
                node("Slice", ["past", f"from{layer}{part}", f"to{layer}{part}", "axes2"], [f"cut_{name}{layer}"]),
                node("Squeeze", [f"cut_{name}{layer}", "axes2"], [f"{name}{layer}"]),
            ]
    return nodes


def state_back(node: Any, h: list[str], c: list[str]) -> list[Any]:
    """Put h and c of two layers, [1, H] each, into one state."""
    constants = ["last", "one"]
    nodes = []
    for name, parts in (("H", h), ("C", c)):
        rows = [f"{part}_row" for part in parts]
        nodes += [node("Unsqueeze", [part, constants[1]], [row]) for part, row in zip(parts, rows, strict=True)]
        nodes.append(node("Concat", rows, [name], axis=1))
        nodes.append(node("Unsqueeze", [name, constants[0]], [f"{name}_last"]))
    return [*nodes, node("Concat", ["H_last", "C_last"], ["new"], axis=3)]


def first_graph(helper: Any, weights: Weights) -> tuple[list[Any], dict[str, Array]]:
    """The first core: LSTM nodes, whose gates are i, o, f, g."""
    node = helper.make_node
    constants: dict[str, Array] = {"last": np.array([3]), "zero": np.array([0])}
    nodes = [*states_of(node, constants), node("Transpose", ["x"], ["row0"], perm=[1, 0, 2])]
    order = [0, 3, 1, 2]
    for number, (w, u, b) in enumerate(weights.lstms[0]):
        parts = [np.concatenate([np.split(each.T, 4)[gate] for gate in order]) for each in (w, u, b)]
        constants |= {f"W{number}": parts[0][None], f"R{number}": parts[1][None]}
        constants |= {f"B{number}": np.concatenate([parts[2], np.zeros_like(parts[2])])[None]}
        nodes += [node("Unsqueeze", [f"{name}{number}", "zero"], [f"first_{name}{number}"]) for name in "hc"]
        taken = [f"row{number}", f"W{number}", f"R{number}", f"B{number}", "", f"first_h{number}", f"first_c{number}"]
        made = [f"Y{number}", f"Yh{number}", f"Yc{number}"]
        nodes += [
            node("LSTM", taken, made, hidden_size=UNITS),
            node("Squeeze", [made[0], "one"], [f"row{number + 1}"]),
            *(node("Squeeze", [f"Y{name}{number}", "zero"], [f"new_{name}{number}"]) for name in "hc"),
        ]
    constants |= {"dense": weights.dense[0][0], "dense_bias": weights.dense[0][1]}
    nodes += [
        node("MatMul", ["row2", "dense"], ["product"]),
        node("Add", ["product", "dense_bias"], ["biased"]),
        node("Sigmoid", ["biased"], ["y"]),
        *state_back(node, ["new_h0", "new_h1"], ["new_c0", "new_c1"]),
    ]
    return nodes, constants


def second_graph(helper: Any, weights: Weights) -> tuple[list[Any], dict[str, Array]]:
    """The second core, its LSTMs spelt out in products, all those with states first."""
    node = helper.make_node
    constants: dict[str, Array] = {"last": np.array([3]), "epsilon": np.array(1e-7, np.float32)}
    constants |= {"enc": weights.encode.T[:, :, None], "dec": weights.decode.T[:, :, None]}
    constants |= {"gain": weights.norm[0], "shift": weights.norm[1], "row": np.array([1, BASIS])}
    nodes = [*states_of(node, constants)]
    for number, (w, u, b) in enumerate(weights.lstms[1]):
        constants |= {f"w{number}": w, f"u{number}": u, f"b{number}": b}
        nodes.append(node("MatMul", [f"h{number}", f"u{number}"], [f"again{number}"]))
    nodes += [
        node("Transpose", ["x"], ["column"], perm=[0, 2, 1]),
        node("Conv", ["column", "enc"], ["coded"]),
        node("Transpose", ["coded"], ["basis"], perm=[0, 2, 1]),
        node("ReduceMean", ["basis"], ["mean"], axes=[-1]),
        node("Sub", ["basis", "mean"], ["centred"]),
        node("Mul", ["centred", "centred"], ["squares"]),
        node("ReduceMean", ["squares"], ["variance"], axes=[-1]),
        node("Add", ["variance", "epsilon"], ["safe"]),
        node("Sqrt", ["safe"], ["deviation"]),
        node("Div", ["centred", "deviation"], ["unit"]),
        node("Mul", ["unit", "gain"], ["scaled"]),
        node("Add", ["scaled", "shift"], ["normed"]),
        node("Reshape", ["normed", "row"], ["in0"]),
    ]
    for n in range(2):
        nodes += [
            node("MatMul", [f"in{n}", f"w{n}"], [f"fresh{n}"]),
            node("Add", [f"fresh{n}", f"again{n}"], [f"both{n}"]),
            node("Add", [f"both{n}", f"b{n}"], [f"gates{n}"]),
            node("Split", [f"gates{n}"], [f"{gate}{n}" for gate in ("ii", "ff", "gg", "oo")], axis=1),
            *(node("Sigmoid", [f"{gate}{n}"], [f"s{gate}{n}"]) for gate in ("ii", "ff", "oo")),
            node("Tanh", [f"gg{n}"], [f"sgg{n}"]),
            node("Mul", [f"sff{n}", f"c{n}"], [f"kept{n}"]),
            node("Mul", [f"sii{n}", f"sgg{n}"], [f"taken{n}"]),
            node("Add", [f"kept{n}", f"taken{n}"], [f"new_c{n}"]),
            node("Tanh", [f"new_c{n}"], [f"bent{n}"]),
            node("Mul", [f"soo{n}", f"bent{n}"], [f"in{n + 1}"]),
        ]
    constants |= {"dense": weights.dense[1][0], "dense_bias": weights.dense[1][1], "three": np.array([1, 1, BASIS])}
    nodes += [
        node("MatMul", ["in2", "dense"], ["product"]),
        node("Reshape", ["product", "three"], ["shaped"]),
        node("Add", ["shaped", "dense_bias"], ["biased"]),
        node("Sigmoid", ["biased"], ["gains"]),
        node("Mul", ["basis", "gains"], ["masked"]),
        node("Transpose", ["masked"], ["upright"], perm=[0, 2, 1]),
        node("Conv", ["upright", "dec"], ["decoded"]),
        node("Transpose", ["decoded"], ["y"], perm=[0, 2, 1]),
        *state_back(node, ["in1", "in2"], ["new_c0", "new_c1"]),
    ]
    return nodes, constants


def write_keras(path: Path, weights: Weights) -> None:
    """Write the weights as Keras's `save_weights` does."""
    import h5py

    layers: list[tuple[str, dict[str, Array]]] = [("input_1", {})]
    for core in range(2):
        if core:
            layers.append(("conv1d", {"kernel:0": weights.encode[None]}))
            layers.append(("instant_layer_normalization", dict(zip(("gamma:0", "beta:0"), weights.norm, strict=True))))
        for number, (w, u, b) in enumerate(weights.lstms[core]):
            named = {"lstm_cell/kernel:0": w, "lstm_cell/recurrent_kernel:0": u, "lstm_cell/bias:0": b}
            layers.append((f"lstm_{2 * core + number}", named))
        layers.append((f"dense_{core}", dict(zip(("kernel:0", "bias:0"), weights.dense[core], strict=True))))
    layers.append(("conv1d_1", {"kernel:0": weights.decode[None]}))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name, _ in layers]
        for name, values in layers:
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{key}".encode() for key in values]
            for key, value in values.items():
                group[f"{name}/{key}"] = value
