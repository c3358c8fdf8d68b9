"""The house: imports go downward only, and the core needs nothing but its five packages."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import LATE, ROOMS, everywhere, floor, imported, modules, needs, table, written

ROOT = Path(__file__).parent.parent

CORE = "torch numpy soundfile soxr safetensors"


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_downward_only(name: str) -> None:
    above = {other for other in needs(name) if floor(other) > floor(name)}
    assert not above, f"{name} (floor {floor(name)}) imports {sorted(above)} from above"


def test_what_is_imported_late_is_imported_inside_a_function() -> None:
    for name, other in LATE:
        path = modules()[name]
        assert other in imported(name, everywhere(path)), f"{name} no longer imports {other}; take it out of LATE"
        assert other not in imported(name, [*ast.parse(path.read_text(encoding="utf-8")).body])


def test_no_two_modules_need_each_other() -> None:
    left = {name: needs(name) for name in modules()}
    while free := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in free}
    circle = {name: sorted(others & left.keys()) for name, others in left.items()}
    assert not circle, f"these modules need each other: {circle}"


def test_every_room_is_there_and_the_map_is_current() -> None:
    assert all(f"frcrn.{room}" in modules() for room in ROOMS)
    assert written() == table(), "make the map in CONTRIBUTING.md anew: python -m tests.house"


@pytest.mark.parametrize("command", [["-c", "import frcrn; dir(frcrn)"], ["-m", "frcrn", "--help"]])
def test_the_face_and_the_help_do_not_wait_for_torch(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "frcrn" in loaded
    assert not {"torch", "numpy", "soundfile"} & loaded


def test_the_face_shows_what_it_names() -> None:
    import frcrn

    assert all(getattr(frcrn, name).__name__ == name for name in frcrn.__all__)
    assert set(frcrn.__all__) <= set(dir(frcrn))
    with pytest.raises(AttributeError, match="nothing"):
        frcrn.nothing  # noqa: B018


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
    core = [name for name in modules() if not name.startswith(("frcrn.plugin", "frcrn.serve", "frcrn.__main__"))]
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
