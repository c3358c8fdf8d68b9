"""What is built from the tree: wheels with the C inside, one of everything and one of the runtime alone."""

from __future__ import annotations

import ast
import importlib.metadata as metadata
import os
import re
import runpy
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from ctypes import CDLL
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from frcrn.audio import read
from frcrn.cli import GROUPS, main
from frcrn.export.native import library
from frcrn.export.native.compiling import LEVELS, OPTIONS, compile_for_wheel, parts, platform_tag, shipped_name
from frcrn.export.native.standalone import find_program
from frcrn.export.native.stream import NativeStep

ROOT = Path(__file__).parent.parent
NATIVE = ROOT / "frcrn" / "export" / "native"
NOISY = ROOT / "frcrn" / "samples" / "noisy.flac"

needs_compiler = pytest.mark.skipif(library.compiler() is None, reason="there is no C compiler")

GATE = """
import sys

class Gate:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "safetensors", "onnx", "onnxruntime", "scipy", "matplotlib", "av"):
            raise ModuleNotFoundError(f"{name} is no part of the runtime", name=name)

sys.meta_path.insert(0, Gate())
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the runtime alone."""
    place = tmp_path_factory.mktemp("runtime")
    runpy.run_path(str(ROOT / "runtime" / "setup.py"))["copy"](place)
    return place


def alone(place: Path, program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    # what an editable install put there would find the rest of the package
    only = 'sys.meta_path[:] = [one for one in sys.meta_path if "__editable__" not in getattr(one, "__module__", "")]'
    program = f"{GATE}{only}\nsys.path.insert(0, {str(place)!r})\n{program}"
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)


def test_all_of_the_runtime_is_imported_without_the_rest(runtime: Path, tmp_path: Path) -> None:
    names = [
        ".".join(part for part in path.relative_to(runtime).with_suffix("").parts if part != "__init__")
        for path in sorted(runtime.rglob("*.py"))
        if path.name != "__main__.py"
    ]
    assert len(names) > 40
    done = alone(runtime, f"import importlib\nfor name in {names}: importlib.import_module(name)", tmp_path)
    assert done.returncode == 0, done.stderr
    assert not any("train" in name or "evaluation" in name or "models" in name for name in names)


@needs_compiler
def test_the_runtime_alone_enhances_streams_and_says_what_it_is_not(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.s16").write_bytes(bytes(16_000))
    (tmp_path / "x.m4a").write_bytes(b"\0\0\0\x1cftypM4A " + bytes(500))
    program = f"""
import contextlib, io, numpy as np, frcrn
from frcrn.cli import main
assert main(["enhance", {str(NOISY)!r}, "-o", "clean.flac"]) == 0
model = frcrn.load()
wave = np.random.default_rng(0).uniform(-0.1, 0.1, 4801).astype("f4")
stream = model.stream(rate=48000)
assert len(stream.push(wave)) + len(stream.flush()) == len(wave) == len(model.enhance(wave, 48000))
assert len(frcrn.enhance_folder({str(NOISY.parent)!r}, "out", jobs=1)) == 2
assert main([]) == 0
for command in ("train --recipe x", "info", "export -o x", "enhance raw.s16 --runtime torch"):
    assert main(command.split()) == 2
assert main(["enhance", {str(NOISY)!r}, "-o", "other.flac", "--model", "mine"]) == 2
sys.modules["av"] = sys.modules["sounddevice"] = None
assert main(["live"]) == main(["enhance", "x.m4a", "-o", "x.wav"]) == 2
assert main(["enhance", {str(NOISY)!r}, "-o", "y.m4a"]) == 2
assert main(["enhance", {str(NOISY)!r}, "-o", "x.wav", "--normalise", "-16"]) == 2
try:
    frcrn.FRCRN
except ImportError as error:
    print(error)
"""
    done = alone(runtime, program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "frcrn.FRCRN needs the full package: pip install frcrn" in done.stdout
    assert "frcrn: frcrn train needs the full package, and this is frcrn-runtime: pip install frcrn" in done.stderr
    assert "mine: frcrn-runtime runs, in C, the bundled models (default, offline)" in done.stderr
    assert done.stderr.count('pip install "frcrn-runtime[media]"') == 3
    assert 'pip install "frcrn-runtime[live]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert main(["enhance", str(NOISY), "-o", str(tmp_path / "whole.flac"), "-q"]) == 0
    assert_allclose(read(tmp_path / "clean.flac").samples, read(tmp_path / "whole.flac").samples, atol=1e-4)


def test_every_group_names_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    from frcrn.cli import build_parser

    (commands,) = (action for action in build_parser()._actions if hasattr(action, "choices") and action.choices)
    assert [name for names in GROUPS.values() for name in names] == list(commands.choices or {})


def test_the_two_projects_are_of_one_version_licence_and_python() -> None:
    parts = runpy.run_path(str(ROOT / "runtime" / "setup.py"))
    whole, alone = ((ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "runtime/pyproject.toml"))
    assert f'version = "{parts["version"]()}"' in whole
    assert (ROOT / "LICENSE").read_bytes() == (ROOT / "runtime" / "LICENSE").read_bytes()
    for line in ("requires-python", "license = "):
        assert re.findall(f"^{line}.*$", whole, re.M) == re.findall(f"^{line}.*$", alone, re.M)
    for need in re.findall(r'"((?:numpy|soundfile|soxr)>=[\d.]+)"', whole):
        assert need in alone


def test_what_builds_needs_nothing_but_python() -> None:
    """`setup.py` runs this file where nothing is installed."""
    tree = ast.parse((NATIVE / "compiling.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)


def test_every_file_of_c_belongs_to_the_library_but_programs() -> None:
    names = [path.name for path in NATIVE.iterdir()]
    assert {"frcrn.c", "whole.c", "levels.c"} <= set(parts(names))
    assert not any("int main(" in (NATIVE / name).read_text(encoding="utf-8") for name in parts(names))


@pytest.mark.slow
@needs_compiler
def test_all_forms_that_run_here_give_the_same_and_the_best_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    made = compile_quickly(tmp_path, monkeypatch)
    found = library.shipped()
    assert found is not None
    level = CDLL(str(made[0])).frcrn_level()
    assert Path(found._name).name == shipped_name(list(LEVELS)[min(level, len(made) - 1)])
    content, about = find_program("default")  # type: ignore[misc]
    wave = np.random.default_rng(0).uniform(-0.1, 0.1, (1, 20 * about["hop"])).astype(np.float32)
    results = []
    for path in made[: level + 1]:
        loaded = library.prototyped(CDLL(str(path)))
        monkeypatch.setattr(library, "library", lambda loaded=loaded: loaded)
        steps = NativeStep(content)
        results.append(steps.step(wave, steps.initial_state(1))[0])
    for other in results[1:]:
        assert_allclose(other, results[0], atol=1e-6)


def test_a_library_of_another_system_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    assert library.shipped() is None
    (tmp_path / shipped_name("base")).write_bytes(b"of another system")
    assert library.shipped() is None


def compile_quickly(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setitem(compile_for_wheel.__globals__, "OPTIONS", ["-O1", *OPTIONS[1:]])
    return compile_for_wheel(NATIVE, place)


def test_where_nothing_compiles_nothing_half_made_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    assert compile_for_wheel(NATIVE, tmp_path) == []
    monkeypatch.setenv("CC", "no-such-compiler")
    assert compile_for_wheel(NATIVE, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "system", "tag"),
    [
        (b"\0GLIBC_2.2.5\0GLIBC_2.27\0GLIBC_2.14\0", "linux_x86_64", "manylinux_2_27_x86_64"),
        (b"\0GLIBC_2.2.5\0", "linux_aarch64", "manylinux_2_17_aarch64"),
        (b"musl", "linux_x86_64", "linux_x86_64"),
        (b"", "macosx_11_0_arm64", "macosx_11_0_arm64"),
    ],
)
def test_a_wheel_is_named_after_the_oldest_system_that_it_runs_on(
    content: bytes, system: str, tag: str, tmp_path: Path
) -> None:
    (tmp_path / "a.so").write_bytes(content)
    assert platform_tag([tmp_path / "a.so"], system) == tag


# Slow: what a person gets, from the build to an environment of its own.


def built(project: Path, place: Path, **environment: str) -> Path:
    """Build a project's wheel, without a network."""
    pytest.importorskip("build")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "-o", str(place), str(project)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (wheel,) = place.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that no build meets what another left."""
    place = tmp_path_factory.mktemp("tree") / "frcrn"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "tests", "benchmarks")
    shutil.copytree(ROOT, place, ignore=ignored)
    return place


@pytest.fixture(scope="module")
def wheels(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    place = tmp_path_factory.mktemp("wheels")
    return SimpleNamespace(full=built(tree, place / "full"), runtime=built(tree / "runtime", place / "runtime"))


@pytest.fixture
def environment(tmp_path: Path) -> Callable[[Path, str], Path]:
    """An environment with a wheel, what that needs of what is installed here, and no compiler in reach."""

    def make(wheel: Path, needs: str) -> Path:
        place = tmp_path / "environment"
        venv.create(place, with_pip=False)
        (site,) = place.glob("lib/python*/site-packages")
        with zipfile.ZipFile(wheel) as content:
            content.extractall(site)
        for file in (file for name in needs.split() for file in metadata.files(name) or []):
            top = Path(str(file.locate())).parents[len(file.parts) - 1] / file.parts[0]
            if file.parts[0] != ".." and not (site / top.name).exists():
                (site / top.name).symlink_to(top)
        return place / "bin" / "python"

    return make


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", ["full", "runtime"])
def test_in_an_empty_environment_without_a_compiler_it_runs_in_c(
    name: str, wheels: SimpleNamespace, environment: Callable[[Path, str], Path], tmp_path: Path
) -> None:
    wheel = getattr(wheels, name)
    python = environment(wheel, "numpy soundfile soxr cffi pycparser typing_extensions")
    assert "manylinux" in wheel.name or not sys.platform.startswith("linux")
    assert name == "full" or wheel.stat().st_size < 11e6
    clear = {"PATH": str(tmp_path), "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(python), "-m", "frcrn", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=clear, capture_output=True, check=False)

    done = run("enhance", str(NOISY), "-o", "clean.flac", "-v")
    assert done.returncode == 0, done.stderr
    assert b"frcrn: offline: runtime native" in done.stderr
    assert not (tmp_path / "cache").exists()
    (tmp_path / "raw.s16").write_bytes(bytes(32_000))
    assert run("stream", "raw.s16").returncode == 0
    folder = run("enhance", str(NOISY.parent), "-o", "out", "-j", "2", "-q")
    assert folder.returncode == 0 and len(list((tmp_path / "out").glob("*.flac"))) == 2, folder.stderr
    assert main(["enhance", str(NOISY), "-o", str(tmp_path / "here.flac"), "-q"]) == 0
    assert_allclose(read(tmp_path / "clean.flac").samples, read(tmp_path / "here.flac").samples, atol=1e-4)


@pytest.mark.slow
def test_without_a_compiler_at_build_time_a_pure_wheel_is_built(tree: Path, tmp_path: Path) -> None:
    shutil.rmtree(tree / "build", ignore_errors=True)
    wheel = built(tree, tmp_path / "pure", CC="no-such-compiler")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not any(name.endswith(".so") for name in zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_the_wheels_pass_the_checks_of_those_who_publish(wheels: SimpleNamespace) -> None:
    pytest.importorskip("twine")
    pytest.importorskip("check_wheel_contents")
    for command in (["twine", "check", "--strict"], ["check_wheel_contents"]):
        done = subprocess.run(
            [sys.executable, "-m", *command, wheels.full, wheels.runtime], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
