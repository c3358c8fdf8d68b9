"""Each network's recipe trains as it stands: its model, losses, optimizer and kinds of data, on a small corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frcrn.models.checkpoint import load
from frcrn.training import tables, train
from tests import made_audio
from tests.training_runs import Tones, records

CONFIGS = Path(__file__).parent.parent / "configs"
REVERBERANT = {"room_share": 1.0, "room_target": "dry", "room_model": "decay", "room_count": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with speech/, noise/ and data/train in the layout of the DNS Challenge, as the recipes expect it."""
    root = made_audio.corpus(tmp_path_factory.mktemp("corpus"))
    for number in range(2):
        clean, noise = made_audio.speech(1.0, number), made_audio.noise(1.0, number)
        for kind, wave in (("clean", clean), ("noise", noise), ("noisy", clean + noise)):
            made_audio.save(root / "data" / "train" / kind / f"fileid_{number}.wav", wave)
    return root


def smaller(data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a table of data with half a second of sound an example, from a corpus of seconds."""
    if data["kind"] == "blend":
        return {**data, "parts": [smaller(part, **changes) for part in data["parts"]]}
    if data["kind"] == "dns":
        return {**data, "seconds": 0.5}
    return {**data, "seconds": 0.5, "length": 4, "valid_share": 0.5, "room_share": 0, **changes}


def trained(name: str, folder: Path, **changes: Any) -> dict[str, Any]:
    """Train a recipe for two steps of two examples; return its tables."""
    values = tables(CONFIGS / f"{name}.json")
    values["data"], values["valid"] = (smaller(values[side], **changes) for side in ("data", "valid"))
    values["train"] |= {"max_steps": 2, "batch_size": 2, "workers": 0, "log_every": 1}
    values["evaluation"] |= {"every": 2, "examples": 2}
    result = train(values, work_dir=folder)
    assert result.reason == "the budget is used"
    return values


@pytest.mark.parametrize(("name", "rate"), [("dtln", 16000), ("dtln_32k", 32000), ("nnse", 16000), ("rnnoise", 48000)])
def test_a_recipe_trains_as_it_stands(
    name: str, rate: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    values = trained(name, tmp_path / "run")
    model = load(tmp_path / "run" / "output")
    assert (type(model).__name__.lower(), model.sample_rate) == (values["model"]["name"], rate)
    assert model.trained
    steps = records(tmp_path / "run")
    assert {f"loss_{loss}" for loss in values["loss"]} <= steps[-1].keys()
    assert all(step["grad_norm"] > 0 for step in steps)


def test_dereverberation_is_a_change_of_the_data(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    trained("nnse", tmp_path / "run", **REVERBERANT)
    data = json.loads((tmp_path / "run" / "recipe.json").read_text())["data"]
    assert data.items() >= REVERBERANT.items()


COMPARED: dict[str, dict[str, Any]] = {
    f"{measure} of {part}, power {power}": {
        "kind": "compressed_spectrum",
        "measure": measure,
        "power": power,
        "magnitude": float(part != "spectra"),
        "complex": float(part != "magnitudes"),
    }
    for measure in ("mse", "l1", "ratio", "correlation")
    for part in ("magnitudes", "spectra", "both")
    for power in (1.0, 0.3)
}
COMPARED |= {"log": {"kind": "log_power", "norm": "mse"}, "si_snr": {}, "snr": {}}


def test_a_recipe_can_name_every_loss_of_a_comparison(tmp_path: Path) -> None:
    """Magnitudes, spectra or both; squared, absolute, as a ratio or a correlation; compressed or not."""
    recipe = {"model": {"name": "nnse", "preset": "tiny"}, "loss": COMPARED, "train": {"max_steps": 2, "log_every": 1}}
    result = train(recipe, work_dir=tmp_path / "run", train_data=Tones())
    assert result.reason == "the budget is used"
    assert {f"loss_{name}" for name in COMPARED} <= records(tmp_path / "run")[-1].keys()
