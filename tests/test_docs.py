"""Every command and every program in the README, its translation and docs/ does what it says: it runs.

A comment before a block says what else is needed: `<!-- check: slow -->`, `<!-- check: needs ffmpeg -->`, or
`<!-- check: parse, as ... -->` for what only the form is checked of.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import frcrn
from description import results
from frcrn.models.checkpoint import save_directory
from tests.docs_runner import RATE, ROOT, Block, blocks, lines, pages, parse, run_command, samples

BLOCKS = [block for page in pages() for block in blocks(page)]
KINDS = ("", "slow", "parse", "needs")
HEAVY = ("frcrn compare", "ffmpeg", "--format ladspa", "arm-linux-gnueabihf-gcc")


def cases() -> list[Any]:
    """The blocks; slow ones are marked, and a translation's come last, as they repeat what was run."""
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(block, id=block.name, marks=marks[is_slow(block)]) for block in BLOCKS]


def is_slow(block: Block) -> bool:
    """What takes long; the training of ModelScope and evaluations do. What a translation repeats need not run twice."""
    translated = block.page == "README_zh.md"
    heavy = block.page == "docs/modelscope.md" or any(word in block.code for word in HEAVY)
    return block.check.startswith("slow") or (not block.check.startswith("parse") and (translated or heavy))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples(tmp_path_factory.mktemp("docs"))


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the programs of the pages begin with; later ones use what earlier ones of the same page have made."""
    return {}


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("block", cases())
def test_it_runs(block: Block, folder: Path, names: dict[str, Any], request: pytest.FixtureRequest) -> None:
    need = block.check.removeprefix("needs ") if block.check.startswith("needs ") else None
    if need and not shutil.which(need):
        pytest.skip(f"{need} is not installed")
    if "that/folder" in block.code:
        released(folder)
    if "frcrn train" in block.code:
        shutil.rmtree("runs", ignore_errors=True)  # another page trains into the same folder
    if "film.mkv" in block.code:
        film(folder)
    if block.language == "python" and block.check == "parse":
        compile(block.code, block.name, "exec")
        return
    if block.language == "python":
        run_program(block, names.setdefault(block.page, prelude()))
        return
    if block.language == "js":
        check_javascript(block.code)
        return
    if block.language == "c":
        check_c(block.code)
        return
    for line in lines(block.code):
        (parse if block.check.startswith("parse") else run_command)(line)


def check_javascript(code: str) -> None:
    """Check the form of a module: what it speaks of is in a browser only."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    Path("block.mjs").write_text(code, encoding="utf-8")
    subprocess.run(["node", "--check", "block.mjs"], check=True)


def check_c(code: str) -> None:
    """Check statements of C against the headers that come with the package."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    headers = '#include <math.h>\n#include <stdlib.h>\n#include "denoiser.h"\n'
    Path("block.c").write_text(f"{headers}void f(const float *in, float *out, int count) {{\n{code}\n}}\n")
    command = ["cc", "-fsyntax-only", "-Wall", "-Werror", "-I", str(ROOT / "frcrn/export/native"), "block.c"]
    subprocess.run(command, check=True)


def prelude() -> types.ModuleType:
    """What every page may take for granted: a wave, its rate, a chunk of it, and the bundled model."""
    page = types.ModuleType("page")
    wave = np.random.default_rng(0).normal(0, 0.05, RATE).astype(np.float32)
    page.__dict__.update(wave=wave, rate=RATE, chunk=wave[:480], model=frcrn.load(), frcrn=frcrn)
    return page


def run_program(block: Block, page: types.ModuleType) -> None:
    code = "\n" * block.line + block.code
    exec(compile(code, str(ROOT / block.page), "exec"), page.__dict__)


def released(folder: Path) -> None:
    """A model directory in the place of the released one."""
    if not (folder / "that/folder").exists():
        model = frcrn.FRCRN(frcrn.FRCRNConfig.tiny(causal=False))
        save_directory(model, folder / "that/folder")


def film(folder: Path) -> None:
    if not (folder / "film.mkv").exists():
        picture = "-f lavfi -i color=size=32x32:rate=5:duration=1.5"
        command = f"ffmpeg -loglevel error {picture} -i noisy.wav -c:v mpeg4 -shortest film.mkv"
        assert os.system(command) == 0


@pytest.mark.parametrize("page", pages())
def test_every_block_says_its_language(page: str) -> None:
    """Otherwise nothing would run it."""
    for block in blocks(page):
        assert block.language in ("sh", "python", "json", "text", "js", "c"), block.name
        assert block.check.split(",")[0].split(" ")[0] in KINDS, block.name
    fences = (ROOT / page).read_text(encoding="utf-8").count("```")
    assert fences == 2 * len(list(blocks(page)))


@pytest.mark.parametrize("page", [*pages(), "description/model_card.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_the_tests_that_a_page_names_are_there() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs/modelscope.md").read_text(encoding="utf-8"))
    assert len(named) > 30
    missing = [pair for pair in named if f"\ndef {pair[1]}(" not in (ROOT / "tests" / pair[0]).read_text("utf-8")]
    assert not missing


def test_both_readmes_have_the_same_commands() -> None:
    """Comments aside, which are translated."""
    english, chinese = (
        [(block.language, [re.sub(r"\s*#.*", "", line) for line in block.code.splitlines()]) for block in blocks(page)]
        for page in ("README.md", "README_zh.md")
    )
    assert english == chinese


@pytest.mark.parametrize("page", results.PLACES)
def test_the_figures_are_those_of_the_one_place(page: str) -> None:
    """After new ones: python -m description.make."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text == results.replaced(text, results.section(results.read(), results.PLACES[page]))


def test_the_figures_speak_of_the_bundled_models() -> None:
    systems = {system["name"]: system for system in results.read()["systems"]}
    facts = {name: frcrn.models.checkpoint.describe(frcrn.load(model)) for name, model in results.BY_MODEL.items()}
    assert {name: systems[name]["parameters"] for name in facts} == {n: f["parameters"] for n, f in facts.items()}
    assert systems["streamed"]["latency_ms"] == facts["streamed"]["latency_ms"]
    assert systems["offline"]["latency_ms"] is None, "files are there as a whole"


def test_scores_are_taken_over_as_compare_writes_them(tmp_path: Path) -> None:
    column = {"mean": 1.23456, "low": 1.0, "high": 2.0}
    for label in ("noisy", "offline", *(system["name"] for system in results.read()["systems"][2:])):
        summary = {
            "label": label,
            "clips": 7,
            "seconds": 90.0,
            "metrics": dict.fromkeys(results.METRICS, column),
        }
        (tmp_path / label).mkdir()
        (tmp_path / label / "summary.json").write_text(json.dumps(summary))
    figures = results.read()
    results.take_over(figures, tmp_path, {"default": {"parameters": 5_000_000, "latency_ms": 20.0}})
    table = results.section(figures, "en")
    assert "over 7 pairs of real speech and noise (1.5 minutes" in table
    assert "| **frcrn, streamed (`default`)** | **1.235 ± 0.500** |" in table and " | 5.00 M | 20 ms | " in table
    with pytest.raises(ValueError, match="no scores of noisy"):
        results.take_over(figures, tmp_path / "offline", {})
