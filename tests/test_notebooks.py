"""The notebooks run from the first cell to the last, with the bundled weights and without a network."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

from notebooks.run import execute, notebooks, tidy

LARGEST = 300_000
SLOW = ("2_batch", "3_modelscope")
MINE = ("noisy.flac", "clean.flac", "clean.wav", "noisy/broken.flac", "clean/new.flac", "model/configuration.json")
"""Files of whoever opens the notebooks, by names that these use."""


def cases() -> list[object]:
    """Quick ones, and those that score or train."""
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(path, id=path.stem, marks=marks[path.stem in SLOW]) for path in notebooks()]


@pytest.mark.parametrize("path", cases())
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    if "modelscope" in path.stem:
        pytest.importorskip("modelscope")
    for proxy in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # whoever asks the network is refused
    copy = shutil.copy(path, tmp_path / path.name)
    for name in MINE:
        (place := tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        place.write_text("mine")
    done = tidy(execute(Path(copy), tmp_path / "work"))
    assert {(tmp_path / "work" / name).read_text() for name in MINE} == {"mine"}
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert [shown(cell) for cell in done.cells] == [shown(cell) for cell in kept["cells"]]


def shown(cell: Any) -> set[str]:
    """The kinds of output of a cell; what is printed may come in several pieces."""
    return {output["output_type"] for output in cell.get("outputs", [])}


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_what_is_written_goes_to_a_new_folder(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the first cell is run twice, and where folders and links of such names are there."""
    code = next(cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code")
    moving = [line for line in code["source"] if re.search(r"os\.|import os|tempfile|new_folder", line)]
    places = ("work", "work/frcrn-quick-start", "work/frcrn-batch", "elsewhere")
    for name in places:
        (tmp_path / name).mkdir()
    (tmp_path / "work/frcrn-modelscope").symlink_to(tmp_path / "elsewhere")
    before = set(tmp_path.rglob("*"))
    for place in places:
        monkeypatch.chdir(tmp_path / place)
        kernel: dict[str, Any] = {}
        for _ in range(2):
            exec("".join(moving), kernel)
        made = set(tmp_path.rglob("*")) - before
        before |= made
        assert made == ({Path.cwd()} if moving else set())


def test_there_are_four() -> None:
    assert [path.stem[0] for path in notebooks()] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_what_is_kept_is_small_and_whole(path: Path) -> None:
    """Outputs that people should see are there, and nothing of the machine that made them."""
    text = path.read_text(encoding="utf-8")
    assert len(text) < LARGEST
    code = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] == number for number, cell in enumerate(code, start=1))
    assert any("text/html" in output.get("data", {}) for cell in code for output in cell["outputs"])
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    plain = re.sub(r"base64,[^\"\\]+", "", text)
    assert not re.search(r"/(tmp|home|root|work)/", plain)
