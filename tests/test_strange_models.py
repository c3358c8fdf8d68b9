"""A stranger's model is refused in one sentence, in seconds and little memory, and no code of it runs."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import frcrn
from frcrn.evaluation.peers import describe
from frcrn.export.native.standalone import find_program, read_about
from frcrn.export.onnx.folder import described
from frcrn.models.checkpoint import CheckpointError
from frcrn.training import recipe
from tests.limits import bounded
from tests.strange_models import MODELS


@pytest.fixture
def limited() -> Iterator[None]:
    """A limit of time and of memory for this process."""
    with bounded(seconds=60, gigabytes=6):
        yield


@pytest.mark.parametrize("name", MODELS)
def test_it_is_refused_in_a_sentence(name: str, tmp_path: Path, limited: None) -> None:
    place = tmp_path / "model.bin"
    MODELS[name](place)
    with pytest.raises((ValueError, OSError)) as caught:
        frcrn.load(place)
    assert 0 < len(str(caught.value)) < 500 and "\n" not in str(caught.value)
    assert not isinstance(caught.value, TimeoutError) and not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("passes", 10**9, "passes 1000000000: accepted are whole numbers"),
        ("passes", "two", "passes two: accepted are whole numbers"),
        ("level_dbfs", 1e308, "program.json: not the description"),
        ("level_dbfs", float("nan"), "program.json: not the description"),
        ("level_dbfs", "loud", "program.json: not the description"),
    ],
)
def test_a_program_in_c_asks_for_nothing_without_measure(
    key: str, value: Any, words: str, tmp_path: Path, limited: None
) -> None:
    found = find_program("default")
    assert found is not None
    content, about = found
    (tmp_path / "model.frcrn").write_bytes(content)
    (tmp_path / "program.json").write_text(json.dumps({**about, "config": {**about["config"], key: value}}))
    with pytest.raises(ValueError, match=words):
        frcrn.load(tmp_path, runtime="native").enhance(np.zeros(100, np.float32), passes=None)


@pytest.mark.parametrize("text", ["[]", '{"trained": 1, "config": null}', '{"config": {}}', "{"])
def test_a_description_that_is_none_is_refused_in_words(text: str, tmp_path: Path) -> None:
    (tmp_path / "program.json").write_text(text)
    with pytest.raises(ValueError, match="program.json: not the description") as caught:
        read_about(tmp_path / "program.json")
    assert "Error" not in str(caught.value)


KERAS: dict[str, Callable[[Any], Any]] = {
    "terabytes of holes": lambda group: group.create_dataset("w", (2**20, 2**18), "f4", chunks=(1024, 1024)),
    "a gigabyte often": lambda group: group.create_dataset("w", (2**14, 2**14), "f4", chunks=(1024, 1024)),
    "bytes of another file": lambda group: group.create_dataset("w", (64,), "f4", external=[("/etc/passwd", 0, 256)]),
    "text": lambda group: group.create_dataset("w", data="text"),
    "nothing": lambda group: None,
}


@pytest.mark.parametrize("name", [*KERAS, "a link"])
def test_weights_of_keras_hold_no_more_than_their_file(name: str, tmp_path: Path, limited: None) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file.create_group("layer")
        file.attrs["layer_names"], group.attrs["weight_names"] = ["layer"], ["w"] * 4000
        if name == "a link":
            group["w"] = h5py.ExternalLink("/dev/zero", "/")
        else:
            KERAS[name](group)
    with pytest.raises(CheckpointError, match="not the weights of a DTLN") as caught:
        frcrn.load(tmp_path / "m.h5")
    assert "\n" not in str(caught.value)


def of_holes(path: Path) -> None:
    """A file of 100 GB that takes no room."""
    with path.open("wb") as file:
        file.truncate(100 << 30)


def endless(path: Path) -> None:
    """A device without an end."""
    path.symlink_to("/dev/zero")


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "configuration": ("configuration.json", frcrn.load),
    "program": ("program.json", lambda folder: read_about(folder / "program.json")),
    "export": ("frcrn.json", described),
    "peer": ("peer.json", lambda folder: describe(folder / "peer.json")),
    "recipe": ("recipe.json", lambda folder: recipe.read(folder / "recipe.json")),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("made", [of_holes, endless])
def test_no_description_fills_the_memory(
    name: str, made: Callable[[Path], None], tmp_path: Path, limited: None
) -> None:
    file, read = READERS[name]
    made(tmp_path / file)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="larger than 64 MB|expected a file in JSON") as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value)
        assert tracemalloc.get_traced_memory()[1] < 256 << 20
    finally:
        tracemalloc.stop()


def test_no_program_in_c_does_either(tmp_path: Path, limited: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frcrn.export.native.standalone.MOST_PROGRAM", 1 << 24)
    of_holes(tmp_path / "model.frcrn")
    (tmp_path / "program.json").write_text('{"trained": 1, "config": {}}')
    with pytest.raises(ValueError, match="larger than 16 MB"):
        find_program(tmp_path)
