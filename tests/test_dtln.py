"""DTLN: its authors' files give its authors' output, and it trains, at both rates, from a recipe."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from frcrn.models import DTLN, DTLNConfig
from frcrn.models.checkpoint import CheckpointError, load, save
from tests.dtln_files import BASIS, UNITS, WINDOW, Weights, write_keras, write_pair
from tests.networks import noise

pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")

PEERS = "FRCRN_PEERS"
"""Names a folder with the authors' dtln_1.onnx and dtln_2.onnx."""


def described(folder: Path, window: int, names: tuple[str, ...]) -> Path:
    """Describe a pair of graphs as a peer; the names are those of input, output, state in and out, of both."""
    graphs = [
        {"file": f"dtln_{number + 1}.onnx", "inputs": {names[at]: given}, "outputs": {names[at + 1]: made}}
        | {"states": {names[at + 2]: names[at + 3]}}
        for number, (at, given, made) in enumerate(((0, "magnitude", "mask"), (4, "frame", "frame")))
    ]
    about = {"name": "DTLN", "sample_rate": 16000, "window": window, "hop": window // 4, "taper": "rectangular"}
    path = folder / "peer.json"
    path.write_text(json.dumps({**about, "graphs": graphs}))
    return path


def agrees(folder: Path, peer: Path, wave: np.ndarray) -> None:
    """A folder's network gives the output of its graphs, over whole waves and streamed."""
    from frcrn.evaluation.peers import Peer

    model, wanted = load(folder), Peer(peer).run(wave)
    with torch.no_grad():
        assert_close(model(torch.from_numpy(wave)[None]).wave[0].numpy(), wanted, atol=1e-5, rtol=0)
    stream = model.stream()
    streamed = np.concatenate([*(stream.push(part) for part in np.array_split(wave, 7)), stream.flush()])
    assert_close(streamed, wanted, atol=1e-5, rtol=0)
    assert np.abs(wanted - wave).max() > 0.01


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    write_pair(tmp_path, Weights())
    return tmp_path


def test_a_pair_of_graphs_gives_their_output(pair: Path) -> None:
    wave = noise(50 * WINDOW + 3, level=0.3).numpy()
    agrees(pair, described(pair, WINDOW, ("x", "y", "past", "new") * 2), wave)
    assert load(pair).config == DTLNConfig(window=WINDOW, hop=WINDOW // 4, units=UNITS, basis=BASIS)
    assert load(pair).trained


def test_keras_weights_are_the_same_network(pair: Path) -> None:
    pytest.importorskip("h5py")
    write_keras(pair / "weights.h5", Weights())
    ours, theirs = load(pair / "weights.h5").state_dict(), load(pair).state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert_close(value, theirs[name], atol=0, rtol=0)


def test_what_was_read_is_saved_in_our_own_form(pair: Path) -> None:
    save(load(pair), pair / "model.safetensors")
    wave = noise(1, 500)
    with torch.no_grad():
        assert torch.equal(load(pair / "model.safetensors")(wave).wave, load(pair)(wave).wave)


def test_files_that_are_no_dtln_are_refused_by_name(pair: Path) -> None:
    (pair / "dtln_2.onnx").write_bytes((pair / "dtln_1.onnx").read_bytes())
    with pytest.raises(CheckpointError, match="dtln_2.onnx: not graph 2"):
        load(pair)
    (pair / "dtln_1.onnx").write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="not a readable ONNX graph"):
        load(pair)
    pytest.importorskip("h5py")
    (pair / "x.h5").write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="not a readable HDF5 file"):
        load(pair / "x.h5")


@pytest.mark.parametrize(
    ("value", "words"),
    [(np.float64(1e300), "not finite numbers in float32"), (np.float32("nan"), "not finite"), (np.int64(1), "int64")],
)
def test_weights_that_are_no_numbers_of_its_kind_are_refused(value: np.generic, words: str, tmp_path: Path) -> None:
    weights = Weights()
    weights.encode = np.full_like(weights.encode, value, dtype=value.dtype)
    write_pair(tmp_path, weights)
    with pytest.raises(CheckpointError, match=f"encode.linear.weight holds .*{words}"):
        load(tmp_path)


@pytest.mark.parametrize("rate", [16000, 32000])
def test_the_recipes_build_the_networks_of_both_rates(rate: int) -> None:
    from frcrn.training.recipe import build_model, read

    name = "dtln" if rate == 16000 else "dtln_32k"
    made = read(Path(__file__).parent.parent / "configs" / f"{name}.json")
    model = build_model(made.model)
    assert (model.sample_rate, model.window, model.hop) == (rate, rate * 32 // 1000, rate * 8 // 1000)
    assert made.train.schedule == "plateau" and made.train.plateau_factor == 0.5 and made.train.optimizer == "adam"


def test_the_size_is_the_published_one() -> None:
    assert 0.98e6 < sum(weight.numel() for weight in DTLN().parameters()) < 1e6


@pytest.mark.skipif(PEERS not in os.environ, reason=f"{PEERS} names no folder with dtln_1.onnx and dtln_2.onnx")
def test_the_authors_files_give_their_output(tmp_path: Path) -> None:
    from frcrn.export.parity import speech

    for name in ("dtln_1.onnx", "dtln_2.onnx"):
        (tmp_path / name).symlink_to(Path(os.environ[PEERS], name).resolve())
    names = ("input_2", "activation_2", "input_3", "tf_op_layer_stack_2")
    names += ("input_4", "conv1d_3", "input_5", "tf_op_layer_stack_5")
    agrees(tmp_path, described(tmp_path, 512, names), speech(16000, 8.0))
