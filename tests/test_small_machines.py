"""The C program on other processors, under an emulator; and the table of sizes."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import frcrn
from description.sizes import PAGE, TARGETS, Target, compile_to, model_rows
from frcrn.export.native.network import write_program
from frcrn.export.parity import speech
from frcrn.models import Enhancer
from tests.networks import noise
from tests.shapes import network

CASES = ["default", "tiny", "wide", "bands", "memory in each bin", "second stage refines, magnitude seen"]


def model_of(name: str) -> Enhancer:
    return frcrn.load() if name == "default" else network(name)


@cache
def expected(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy wave [T], and what torch makes of it."""
    model = model_of(name)
    wave = speech(16000, 1.0) if name == "default" else noise(1, 3001).numpy()[0]
    with torch.inference_mode():
        return wave, model(torch.from_numpy(wave)[None]).wave[0].numpy()


@pytest.fixture(scope="module", params=TARGETS, ids=lambda target: target.name)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    target: Target = request.param
    for tool, package in ((target.compiler, target.compiler.replace("-gcc", "")), (target.emulator, "qemu-user")):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here: apt-get install {package if package == 'qemu-user' else f'gcc-{package}'}")
    path = tmp_path_factory.mktemp("cross") / "run"
    compile_to(target, path, "-static", "-Wall", "-Wextra", "-Werror")
    return [target.emulator, str(path)]


@pytest.mark.parametrize("name", CASES)
def test_another_processor_gives_the_same_sound(program: list[str], name: str, tmp_path: Path) -> None:
    wave, wanted = expected(name)
    (tmp_path / "model.frcrn").write_bytes(write_program(model_of(name)))
    command = [*program, str(tmp_path / "model.frcrn")]
    done = subprocess.run(command, input=wave.tobytes(), capture_output=True, check=True)
    assert_allclose(np.frombuffer(done.stdout, np.float32), wanted, atol=1e-5)


def test_a_damaged_model_is_refused_there_too(program: list[str], tmp_path: Path) -> None:
    content = write_program(network())
    (tmp_path / "model.frcrn").write_bytes(content[:-1])
    command = [*program, str(tmp_path / "model.frcrn")]
    done = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert done.returncode == 2 and b"not as long as it says" in done.stderr


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_the_kernels_are_made_of_vector_instructions(target: Target, tmp_path: Path) -> None:
    if shutil.which(target.compiler) is None:
        pytest.skip(f"no {target.compiler} here")
    compile_to(target, tmp_path / "frcrn.o", "-c")
    tool = target.compiler.removesuffix("gcc") + "objdump"
    listed = subprocess.run([tool, "-d", tmp_path / "frcrn.o"], capture_output=True, text=True, check=True).stdout
    of_four_floats = {"aarch64": r"\tfmla\tv\d+\.4s", "arm": r"\tvmla\.f32\tq\d+"}[target.compiler.split("-")[0]]
    assert len(re.findall(of_four_floats, listed)) > 100


def test_the_table_of_sizes_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "\n".join(model_rows()) in text, "run python -m description.sizes"
