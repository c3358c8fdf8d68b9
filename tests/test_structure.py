"""The house: imports go downward only, and the core needs nothing but its five packages."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {  # filled below
    "audio copies halves level processes strict stft tensors": 0,
    "layers": 1,
    "models official checkpoint": 2,
    "blockwise enhance streaming spectra intelligibility quality losses objective metrics distortion ratios dnsmos": 3,
    "recognition scorers pairs data": 3,
    "training evaluation report summary journal systems sources peers compare charts gallery pictures harm tables": 4,
    "batch crew jobs manifest showing tasks demo export runtime benchmark": 4,
    "live devices pipes operations memory speeds machine subjects": 4,
    "cli plugin __main__": 5,
}
FLOOR = {module: floor for modules, floor in FLOORS.items() for module in modules.split()}
FACE = 4  # `frcrn` itself, which shows what floors 2 and 3 have

CORE = "torch numpy soundfile soxr safetensors"


@cache
def modules() -> dict[str, Path]:
    """Every module's full name and file."""
    found = {}
    for path in sorted((ROOT / "frcrn").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, nodes: list[ast.AST]) -> set[str]:
    """Which of our modules these statements import."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "frcrn"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import hides which floor it goes to"
            if node.module and node.module.split(".")[0] == "frcrn":
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {module if module in modules() else node.module for module in full}
    return found


def everywhere(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def floor(name: str) -> int:
    if name == "frcrn":
        return FACE
    room = name.split(".")[1]
    assert room in FLOOR, f"give frcrn/{room} a floor in tests/test_structure.py"
    return FLOOR[room]


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_downward_only(name: str) -> None:
    above = {other for other in imported(name, everywhere(modules()[name])) if floor(other) > floor(name)}
    assert not above, f"{name} (floor {floor(name)}) imports {sorted(above)} from above"


def test_no_two_modules_need_each_other() -> None:
    needs = {
        name: imported(name, list(ast.parse(path.read_text(encoding="utf-8")).body)) - {name}
        for name, path in modules().items()
    }
    while free := {name for name, others in needs.items() if not others & needs.keys()}:
        needs = {name: others for name, others in needs.items() if name not in free}
    circle = {name: sorted(others & needs.keys()) for name, others in needs.items()}
    assert not circle, f"these modules need each other: {circle}"


# What the five packages need themselves is let through; nothing else that is installed beside them is.
ALONE = """
import importlib, importlib.metadata as metadata, re, sys

def closure(names):
    seen = set()
    while names:
        name = re.sub(r"[-_.]+", "-", names.pop()).lower()
        if name not in seen:
            seen.add(name)
            try:
                needs = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                continue
            names += [re.match(r"[\\w.-]+", need)[0] for need in needs if "extra ==" not in need]
    return seen

allowed = closure(sys.argv[1].split()) | {"frcrn"}
tops = {
    top for top, owners in metadata.packages_distributions().items()
    if not any(re.sub(r"[-_.]+", "-", owner).lower() in allowed for owner in owners)
}

class Gate:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in tops:
            raise ModuleNotFoundError(f"{name} is not among the five packages", name=name)

sys.meta_path.insert(0, Gate())
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(f"{name}: {error}")
"""


def test_the_core_needs_only_its_five_packages() -> None:
    core = [name for name in modules() if not name.startswith(("frcrn.plugin", "frcrn.__main__"))]
    assert len(core) > 20
    done = subprocess.run(
        [sys.executable, "-c", ALONE, CORE, *core], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == ""


def test_the_gate_would_stop_what_is_not_among_them() -> None:
    pytest.importorskip("matplotlib")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, CORE, "numpy", "matplotlib"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "matplotlib: matplotlib is not among the five packages\n"


def test_setup_does_nothing_when_it_is_imported() -> None:
    """ModelScope imports every Python file of a model directory."""
    script = "import sys, setup; sys.exit('setuptools' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_every_command_group_is_a_module_with_a_register() -> None:
    from frcrn.cli import GROUPS

    files = {path.stem for path in (ROOT / "frcrn" / "cli").glob("*.py")} - {"__init__", "common"}
    registering = {stem for stem in files if "def register(" in (ROOT / "frcrn" / "cli" / f"{stem}.py").read_text()}
    assert set(GROUPS) == registering
