"""DTLN's weights in the files of its authors: a pair of ONNX graphs, one a core, or the weights of a Keras model.

The rates and sizes of a network are those of its tensors; where a graph spells a recurrent layer out in products,
the product with a state is the recurrent one. Keras and ONNX know one bias a gate; ours are two, whose sum counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frcrn.audio import MissingPackage
from frcrn.models.dtln import DTLN, DTLNConfig
from frcrn.models.weight_files import CheckpointError, refuse_other_numbers

Array = NDArray[Any]
Entries = dict[str, Array]
PAIRS = (("dtln_1.onnx", "dtln_2.onnx"), ("model_1.onnx", "model_2.onnx"))
RATES = {512: 16000, 1024: 32000}
"""Samples a second, by the window."""


def found(path: Path) -> DTLN | None:
    """Return the network that a folder with a pair of graphs, or a Keras file, holds; None where it is neither."""
    if pair := pair_in(path):
        return from_onnx(*pair)
    return from_keras(path) if path.suffix in (".h5", ".hdf5") else None


def pair_in(folder: Path) -> tuple[Path, Path] | None:
    """Return the two graphs in a folder, if they are there."""
    pairs = (tuple(folder / name for name in names) for names in PAIRS)
    return next(((one, two) for one, two in pairs if one.is_file() and two.is_file()), None)


def from_onnx(first: Path, second: Path) -> DTLN:
    """Return the network that two graphs hold."""
    try:
        import onnx
    except ImportError as error:
        raise MissingPackage('reading a DTLN from ONNX files needs onnx: pip install "frcrn[onnx]"') from error
    entries: Entries = {}
    for number, (core, path) in enumerate((("first", first), ("second", second)), start=1):
        try:
            found = of_graph(Graph(onnx, path), core)
        except (LookupError, ValueError) as error:
            raise CheckpointError(f"{path}: not graph {number} of a DTLN ({error})") from error
        entries |= found
    if "encode.linear.weight" not in entries:
        raise CheckpointError(f"{second}: not graph 2 of a DTLN, which has a learned basis ({first} is beside it)")
    return assembled(entries, str(first))


class Graph:
    """A graph of one core: its nodes in order, its constants by name, and which values come from its state."""

    def __init__(self, onnx: Any, path: Path) -> None:
        try:
            graph = onnx.load(str(path)).graph
        except Exception as error:  # of protobuf, which has no error of its own that can be named here
            raise CheckpointError(f"{path}: not a readable ONNX graph") from error
        self.nodes = list(graph.node)
        self.constants: Entries = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
        self.states = {each.name for each in graph.input if len(each.type.tensor_type.shape.dim) == 4}
        for node in self.nodes:
            if node.op_type in ("Slice", "Squeeze", "Unsqueeze", "Reshape", "Transpose"):
                self.states |= set(node.output) if node.input[0] in self.states else set()

    def operands(self, kind: str, ndim: int) -> Iterator[tuple[str, Array]]:
        """Yield what each node of a kind takes beside a constant of so many axes, and the constant."""
        for node in self.nodes:
            for name, other in zip(node.input, reversed(node.input), strict=True):
                if node.op_type == kind and name in self.constants and self.constants[name].ndim == ndim:
                    yield other, self.constants[name]


def of_graph(graph: Graph, core: str) -> Entries:
    """Return a core's weights under our names."""
    products = list(graph.operands("MatMul", 2))
    entries: Entries = {}
    recurrent = [matrix for name, matrix in products if name in graph.states]
    plain = [matrix for name, matrix in products if name not in graph.states]
    biases = [bias for _, bias in graph.operands("Add", 1)]
    if lstms := [node for node in graph.nodes if node.op_type == "LSTM"]:
        cells = [gates_of_node(graph, node) for node in lstms]
    else:
        sums = [bias for bias in biases if len(bias) == recurrent[0].shape[1]]
        cells = [(w.T, u.T, b) for w, u, b in zip(plain[:-1], recurrent, sums, strict=True)]
    for number, (weight, again, bias) in enumerate(cells):
        entries |= of_lstm(f"{core}.lstms.{number}", weight, again, bias)
    entries |= {f"{core}.gains.linear.weight": plain[-1].T, f"{core}.gains.linear.bias": biases[-1]}
    kernels = [graph.constants[node.input[1]] for node in graph.nodes if node.op_type == "Conv"]
    scales = [scale for _, scale in graph.operands("Mul", 1)]
    if kernels:
        encode, decode = kernels
        entries |= {"encode.linear.weight": encode[:, :, 0], "decode.linear.weight": decode[:, :, 0]}
    if scales:
        name = "norm" if kernels else "logs.1"
        entries |= {f"{name}.gain": scales[-1], f"{name}.bias": biases[0]}
    return entries


def gates_of_node(graph: Graph, node: Any) -> tuple[Array, Array, Array]:
    """Return an ONNX LSTM's matrices and bias with the gates i, f, g, o in place of i, o, f, g."""
    weight, recurrent, bias = (graph.constants[name][0] for name in node.input[1:4])
    order = [0, 2, 3, 1]
    total = bias.reshape(2, -1).sum(axis=0)
    w, u, b = (np.split(each, 4) for each in (weight, recurrent, total))
    return tuple(np.concatenate([part[gate] for gate in order]) for part in (w, u, b))  # type: ignore[return-value]


def of_lstm(name: str, weight: Array, recurrent: Array, bias: Array) -> Entries:
    """Return an LSTM's matrices [4 H, inputs] and [4 H, H] and its bias under our names."""
    values = {"weight_ih": weight, "weight_hh": recurrent, "bias_ih": bias, "bias_hh": np.zeros_like(bias)}
    return {f"{name}.cells.{key}_l0": value for key, value in values.items()}


def from_keras(path: Path) -> DTLN:
    """Return the network whose Keras weights (.h5) a file holds."""
    try:
        import h5py
    except ImportError as error:
        raise MissingPackage('reading a DTLN from Keras weights needs h5py: pip install "frcrn[keras]"') from error
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a file of weights, found a pipe, a device or a folder")
    try:
        with h5py.File(path, "r") as file:
            named = file.get("model_weights", getlink=True) is not None
            layers = list(keras_layers(inside(file, "model_weights") if named else file, path.stat().st_size))
        return assembled(of_layers(layers), str(path))
    except OSError as error:
        raise CheckpointError(f"{path}: not a readable HDF5 file") from error
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: not the weights of a DTLN ({error})") from error


def keras_layers(group: Any, size: int) -> Iterator[list[Array]]:
    """Yield the weights of each layer that has any, in the order in which Keras kept them; `size` is the file's."""
    left = size
    for layer in group.attrs["layer_names"]:
        inner = inside(group, layer)
        weights = []
        for each in (inside(inner, name) for name in inner.attrs["weight_names"]):
            left -= each.nbytes
            if left < 0 or each.external or each.dtype.kind != "f":
                raise ValueError("expected weights that the file itself holds")
            weights.append(np.asarray(each))
        if weights:
            yield weights


def inside(group: Any, name: str | bytes) -> Any:
    """Return what is called so in a group of this file; links, which may lead to any file, are not followed."""
    for part in (name.decode() if isinstance(name, bytes) else name).split("/"):
        if type(group.get(part, getlink=True)).__name__ != "HardLink":
            raise ValueError(f"{part[:40]!r} is not in it")
        group = group[part]
    return group


def of_layers(layers: Sequence[list[Array]]) -> Entries:
    """Return Keras layers' weights under our names: they are known by how many tensors they have, and of which axes."""
    entries: Entries = {}
    lstms = [each for each in layers if len(each) == 3]
    # a core may be kept as one layer of all its weights
    dense = [each for each in layers if len(each) == 2 and each[0].ndim == 2]
    norms = [each for each in layers if len(each) == 2 and each[0].ndim == 1]
    kernels = [each[0] for each in layers if len(each) == 1 and each[0].ndim == 3]
    if len(dense) != 2 or len(kernels) != 2 or not lstms or len(lstms) % 2 or not norms:
        raise ValueError("two cores of LSTMs, two dense layers, two convolutions and a normalisation were expected")
    for number, (weight, recurrent, bias) in enumerate(lstms):
        core, place = ("first", "second")[2 * number // len(lstms)], number % (len(lstms) // 2)
        entries |= of_lstm(f"{core}.lstms.{place}", weight.T, recurrent.T, bias)
    for core, (weight, bias) in zip(("first", "second"), dense, strict=True):
        entries |= {f"{core}.gains.linear.weight": weight.T, f"{core}.gains.linear.bias": bias}
    for name, (gain, bias) in zip(["logs.1", "norm"][-len(norms) :], norms, strict=True):
        entries |= {f"{name}.gain": gain, f"{name}.bias": bias}
    for name, kernel in zip(("encode", "decode"), kernels, strict=True):
        entries[f"{name}.linear.weight"] = kernel[0].T
    return entries


def assembled(entries: Entries, source: str) -> DTLN:
    """Build the network that has these weights, and fill it."""
    basis, window = entries["encode.linear.weight"].shape
    model = DTLN(
        DTLNConfig(
            sample_rate=RATES.get(window, 16000),
            window=window,
            hop=window // 4,
            units=entries["first.lstms.0.cells.weight_hh_l0"].shape[1],
            layers=sum(name.startswith("first.lstms") and name.endswith("weight_hh_l0") for name in entries),
            basis=basis,
            normalise="logs.1.gain" in entries,
        )
    )
    weights = {name: tensor(value, f"{source}: {name}") for name, value in entries.items()}
    refuse_other_numbers(weights, source)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{source}: its weights do not fit a DTLN ({reason})") from error
    model.trained = True
    return model.eval()


def tensor(value: Array, name: str) -> Tensor:
    """Return an array of floating-point numbers as a tensor of its own."""
    if value.dtype.kind in "biuc":
        raise CheckpointError(f"{name} holds {value.dtype} values; weights are floating-point numbers")
    with np.errstate(over="ignore"):  # what overflows is refused afterwards
        return torch.from_numpy(np.array(value, dtype=np.float32))
