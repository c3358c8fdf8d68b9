"""A network in whole numbers: the C and its reference agree number for number, and both are near the float network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from frcrn.cli import main
from frcrn.export.fixed.folder import export_fixed, in_whole_numbers
from frcrn.export.fixed.quantise import rounded
from frcrn.export.fixed.reference import TANH, Stream, as_features, sigmoid, tanh
from frcrn.export.fixed.tables import tanh_rows, vectors
from frcrn.export.fixed.training import RoundedRows, train_rounded
from frcrn.export.native.library import compiler, source
from frcrn.models import FRCRN, NNSE, FRCRNConfig, NNSEConfig
from frcrn.models.checkpoint import load, save
from frcrn.models.nnse import LayerConfig
from frcrn.training import train
from tests import microcontroller
from tests.networks import noise
from tests.training_runs import Tones

needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")
needs_arm = pytest.mark.skipif(
    not microcontroller.can_build(), reason="there is no arm-none-eabi-gcc or no qemu-system-arm"
)
ENDS = {"linear": LayerConfig("fc", 14, "linear"), "relu6": LayerConfig("fc", 14, "relu6")}


def network(seed: int = 0, scale: float = 2.0, **changes: object) -> NNSE:
    """Return a network with weights so large that activations and sums reach their ends."""
    torch.manual_seed(seed)
    model = NNSE(NNSEConfig.tiny(**changes)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight *= scale
    return model


def checked(folder: Path) -> str:
    """Compile a folder's C and return what its check says."""
    assert (cc := compiler())
    command = [
        cc,
        "-O1",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-Werror",
        "-fsanitize=undefined",
        "-fno-sanitize-recover",
    ]
    subprocess.run([*command, "-o", folder / "check", *sorted(folder.glob("*.c"))], check=True)
    return subprocess.run([folder / "check"], capture_output=True, text=True, check=False).stdout.strip()


@needs_compiler
@pytest.mark.parametrize("scale", [1.0, 2.0, 8.0])
def test_c_and_the_reference_agree_number_for_number(tmp_path: Path, scale: float) -> None:
    model = network(scale=scale)
    export_fixed(model, tmp_path, 3, "se")
    assert checked(tmp_path) == "exact"


@needs_compiler
def test_c_and_the_reference_agree_on_the_largest_inputs_and_on_noise(tmp_path: Path) -> None:
    """No sum overflows, whatever the inputs: the sanitizer would stop the check."""
    from frcrn.export.fixed.quantise import quantised

    model = network(scale=8.0)
    export_fixed(model, tmp_path)
    random = np.random.default_rng(0)
    ends = random.choice([-32768, 32767], (30, 12))
    given = np.concatenate([ends, random.integers(-32768, 32768, (30, 12))]).astype(np.int16)
    stream = Stream(quantised(model))
    made = np.stack([stream.step(row) for row in given])
    (tmp_path / "vectors.h").write_text(vectors("nn0_se", given, made))
    assert checked(tmp_path) == "exact"


@needs_compiler
def test_the_check_finds_a_number_that_is_wrong(tmp_path: Path) -> None:
    export_fixed(network(), tmp_path)
    tables = tmp_path / "def_nn0_se.c"
    text = tables.read_text()
    at = text.index("layer0_bias[] = {\n") + len("layer0_bias[] = {\n")
    tables.write_text(text[:at] + "    30000 +" + text[at:])
    assert checked(tmp_path).endswith("differs")


@needs_arm
@pytest.mark.parametrize("board", microcontroller.BOARDS, ids=lambda board: board.processor)
def test_it_is_exact_on_an_emulated_microcontroller(tmp_path: Path, board: microcontroller.Board) -> None:
    export_fixed(network(), tmp_path)
    found = microcontroller.run(tmp_path, board)
    assert found.said == "exact"
    assert found.code < 6000 and found.instructions > 0


def test_whole_numbers_are_near_the_network_in_floating_point() -> None:
    torch.manual_seed(0)
    model, wave = network(scale=2.0), noise(3200, level=0.1).numpy()
    with torch.no_grad():
        exact = model(torch.from_numpy(wave)[None]).wave[0].numpy()
    clean, _ = in_whole_numbers(model, wave)
    assert np.square(clean - exact).sum() < 1e-3 * np.square(exact).sum()
    assert np.abs(exact - wave).max() > 0.01


def test_training_in_whole_numbers_computes_nearly_what_the_tables_do() -> None:
    model, wave = network(scale=2.0), noise(3200, level=0.1)
    tables, _ = in_whole_numbers(model, wave.numpy())
    with torch.no_grad():
        exact = model(wave[None]).wave[0].numpy()
        train_rounded(model)
        rounded_off = model(wave[None]).wave[0].numpy()
    assert np.square(rounded_off - tables).sum() < 0.1 * np.square(exact - tables).sum()
    with torch.no_grad():
        parts, state = [], model.initial_state(1)
        for frame in wave[None].split(model.hop, dim=1):
            out, state = model.step(frame, state)
            parts.append(out)
    late = model.window - model.hop
    assert np.abs(torch.cat(parts, dim=1)[0, late:].numpy() - rounded_off[:-late]).max() < 1e-3
    model(wave[None]).wave.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in model.parameters())


def test_a_recipe_trains_in_whole_numbers(tmp_path: Path) -> None:
    recipe = {"model": {"name": "nnse", "preset": "tiny"}, "loss": {"snr": {}}}
    recipe["train"] = {"max_steps": 3, "batch_size": 2, "lr": 0.01, "whole_numbers": True}
    data = Tones()
    result = train(recipe, work_dir=tmp_path / "run", train_data=data)
    assert result.reason == "the budget is used"
    assert not isinstance(load(tmp_path / "run" / "output").backend, RoundedRows)
    with pytest.raises(ValueError, match="a FRCRN has no tables of whole numbers"):
        train(recipe | {"model": {"preset": "tiny"}}, work_dir=tmp_path / "other", train_data=data)


def test_the_functions_are_near_the_real_ones_and_never_leave_16_bits() -> None:
    z = np.arange(-50000, 50000)
    assert np.abs(tanh(z) / 2**15 - np.tanh(z / 2**12)).max() < 2e-4
    assert np.abs(sigmoid(z) / 2**15 - 1 / (1 + np.exp(-z / 2**12))).max() < 2e-4
    assert sigmoid(z).min() >= 0 and sigmoid(z).max() <= 32767 and np.abs(tanh(z)).max() <= 32767
    assert len(TANH) == 257
    assert as_features(np.array([100.0, -100.0, 1.0], np.float32)).tolist() == [32767, -32768, 4096]


def test_the_table_in_c_is_the_references() -> None:
    text = Path(__file__).parent.parent.joinpath("frcrn", "export", "fixed", "fixed.c").read_text()
    assert f"TANH[257] = {{\n{tanh_rows()}\n}};" in text
    assert source("frcrn.c")  # the float runtime is another file


def test_rows_have_scales_of_their_own_that_no_sum_can_leave() -> None:
    weight = np.array([[1e-3, 2e-3], [1.0, -2.0], [60.0, 90.0]], np.float32)
    matrix = rounded(weight, np.array([0.1, 0.0, -1.0], np.float32), 12)
    assert np.abs(matrix.weights / 2.0 ** matrix.shifts[:, None] - weight).max(axis=1).tolist() < [1e-4, 1e-1, 1.0]
    assert np.abs(matrix.weights).max() <= 127
    with pytest.raises(ValueError, match="too large for 8-bit weights"):
        rounded(np.full((1, 4), 1e4, np.float32), np.zeros(1, np.float32), 12)


def test_the_command_names_files_and_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(network(), tmp_path / "model.safetensors")
    command = ["export", str(tmp_path / "model.safetensors"), "--format", "c-int8", "-o", str(tmp_path / "out")]
    assert main([*command, "--net-id", "3", "--net-name", "se"]) == 0
    assert "def_nn3_se.c" in capsys.readouterr().out
    about = json.loads((tmp_path / "out" / "program.json").read_text())
    assert about["network"] == "nn3_se" and about["weight_bytes"] > 0
    assert main([*command, "--net-name", "Se!"]) == 2
    assert main([*command[:-1], str(tmp_path / "new"), "--net-name", 300 * "a"]) == 2
    assert "at most 63 letters" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_other_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="FRCRN has no program of whole numbers"):
        export_fixed(FRCRN(FRCRNConfig.tiny()), tmp_path)
