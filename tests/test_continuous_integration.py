"""The workflow and the images try what the project claims, with the versions that are pinned."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
RUNTIME = (ROOT / "runtime" / "pyproject.toml").read_text(encoding="utf-8")
IMAGES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def pinned(path: Path) -> dict[str, list[str]]:
    """Return the versions of each package in a list; several where Pythons differ."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([\w.+!]+)", path.read_text(encoding="utf-8"), re.M):
        found.setdefault(name.lower().replace("_", "-"), []).append(version)
    return found


def names(text: str) -> set[str]:
    """Return the packages that a project needs in any case."""
    listed = re.findall(r"^dependencies = \[(.*?)\]", text, re.M | re.S)[0]
    return set(re.findall(r'"([\w-]+)', listed))


@pytest.mark.parametrize("name", ["runtime", "training"])
def test_the_locked_versions_are_the_tested_ones_and_have_hashes(name: str) -> None:
    lock, tested = pinned(ROOT / "docker" / f"{name}.lock"), pinned(ROOT / "constraints.txt")
    assert names(RUNTIME if name == "runtime" else PROJECT) <= lock.keys()
    for package, versions in lock.items():
        assert not (known := tested.get(package)) or set(known) & set(versions), f"{package}: make locks"
    text = (ROOT / "docker" / f"{name}.lock").read_text(encoding="utf-8")
    assert all("--hash=sha256:" in part for part in re.split(r"^(?=[\w.-]+==)", text, flags=re.M)[1:])


def test_the_oldest_and_newest_that_we_claim_are_tried() -> None:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    tried = workflow["jobs"]["versions"]["strategy"]["matrix"]["include"]
    pythons = re.findall(r"Python :: (3\.\d+)", PROJECT)
    least = {need: re.findall(rf'"{need}>=([\d.]+)"', PROJECT)[0] for need in ("torch", "numpy")}
    for system in ("ubuntu", "macos", "windows"):
        here = [each for each in tried if each["os"].startswith(system)]
        old, new = here
        assert (old["python"], new["python"]) == (pythons[0], pythons[-1])
        assert (old["torch"], old["numpy"]) == (f"{least['torch']}.*", f"{least['numpy']}.*")
        assert "torch" not in new and "numpy" not in new
    for command in re.findall(r"tests/test_\w+\.py", str(workflow["jobs"]["versions"]["steps"])):
        assert (ROOT / command).is_file()


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.stem)
def test_the_images_copy_what_is_there_and_pass_hadolint(image: Path) -> None:
    steps = list(runpy.run_path(str(ROOT / "docker" / "chroot.py"))["steps"](image.read_text(encoding="utf-8")))
    assert {name for name, _ in steps} <= {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "ENTRYPOINT", "CMD"}
    for name, rest in steps:
        if name == "COPY" and not rest.startswith("--from"):
            assert (ROOT / rest.split()[0]).exists()
        for lock in re.findall(r"docker/\w+\.lock", rest):
            assert (ROOT / lock).is_file()
    if (hadolint := shutil.which("hadolint")) is None:
        pytest.skip("needs the program hadolint")
    done = subprocess.run([hadolint, image], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
