"""The hub's side, without a hub: its caches on this machine, its cards, its plugins and its command line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("modelscope")

from frcrn.models import Enhancer
from tests.made_audio import speech
from tests.plugin_parts import ROOT, TASK, closed_network, tiny_directory

NAME = "some-org/denoiser-1.5"
OURS = "frcrn-ans-16k"


# Caches


def new_layout(cache: Path, model: Path) -> None:
    """As ModelScope 1.38 and later store it."""
    shutil.copytree(model, cache / "modelscope" / "models" / NAME.replace("/", "--") / "snapshots" / "master")


def of_a_version(cache: Path, model: Path) -> None:
    """The same, but downloaded with `model_revision="v2"`."""
    shutil.copytree(model, cache / "modelscope" / "models" / NAME.replace("/", "--") / "snapshots" / "v2")


def old_layout(cache: Path, model: Path) -> None:
    """As ModelScope up to 1.37 stored it."""
    shutil.copytree(model, cache / "modelscope" / "hub" / "models" / NAME.replace(".", "___"))


def oldest_layout(cache: Path, model: Path) -> None:
    """As the released card has it: ~/.cache/modelscope/hub/damo/speech_frcrn_ans_cirm_16k."""
    shutil.copytree(model, cache / "modelscope" / "hub" / NAME)


def hugging_face(cache: Path, model: Path) -> None:
    """Files are links to blobs whose names tell nothing."""
    place = cache / "hf" / f"models--{NAME.replace('/', '--')}"
    snapshot = place / "snapshots" / ("a" * 40)
    for folder in (place / "blobs", place / "refs", snapshot):
        folder.mkdir(parents=True)
    (place / "refs" / "main").write_text("a" * 40)
    for number, file in enumerate(sorted(path for path in model.rglob("*") if path.is_file())):
        shutil.copy(file, place / "blobs" / str(number))
        link = snapshot / file.relative_to(model)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(place / "blobs" / str(number))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_directory(tmp_path_factory.mktemp("models") / "causal")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of either hub, in a process that has asked for nothing yet and has no network."""
    from huggingface_hub import constants
    from modelscope.utils import automodel_utils

    import frcrn.plugin.kept

    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "modelscope"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("modelscope_hub.config._default_config", None)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(frcrn.plugin.kept, "in_use", {})
    monkeypatch.setattr("frcrn.plugin.hub.in_use", frcrn.plugin.kept.in_use)
    automodel_utils._is_model_from_trusted_source.cache_clear()
    return tmp_path


def pipeline(model: str, **options: Any) -> Any:
    from modelscope.pipelines import pipeline

    import frcrn.plugin  # noqa: F401

    return pipeline(TASK, model=model, device="cpu", **options)


def hears(network: Enhancer) -> bytes:
    return network.enhance(speech(0.2, seed=1), 16000).tobytes()


LAYOUTS = (new_layout, old_layout, oldest_layout, hugging_face)


@pytest.mark.parametrize("put", LAYOUTS)
def test_a_name_is_found_in_every_layout_of_a_cache(put: Callable[..., None], cache: Path, model: Path) -> None:
    put(cache, model)
    with closed_network() as tried:
        made = pipeline(NAME)
        by_name = pipeline(NAME, pipeline_name=OURS)
    assert tried == []
    assert hears(made.network) == hears(by_name.network) == hears(pipeline(str(model)).network)


def test_a_trainer_finds_it_too(cache: Path, model: Path) -> None:
    pytest.importorskip("accelerate")
    from modelscope.trainers import build_trainer

    import frcrn.plugin  # noqa: F401

    new_layout(cache, model)
    with closed_network() as tried:
        made = build_trainer(OURS, default_args={"model": NAME, "work_dir": str(cache / "run"), "device": "cpu"})
    assert tried == []
    assert hears(made.model.eval()) == hears(frcrn.load(model))


def test_a_model_alone_is_found_too(cache: Path, model: Path) -> None:
    from modelscope.models import Model

    import frcrn.plugin  # noqa: F401

    new_layout(cache, model)
    with closed_network() as tried:
        made = Model.from_pretrained(NAME, device="cpu")
    assert tried == []
    assert hears(made.model.eval()) == hears(frcrn.load(model))


def test_without_the_switch_the_hub_is_asked_first(cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelscope.hub.api import HubApi

    asked: list[str] = []

    def fail(self: Any, name: str, *_: Any, **__: Any) -> Any:
        asked.append(name)
        raise ConnectionError("no route to host")

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(HubApi, "get_model", fail)
    new_layout(cache, model)
    for _ in range(2):
        assert hears(pipeline(NAME).network) == hears(pipeline(str(model)).network)
    assert asked and set(asked) == {NAME}


def test_a_version_is_found_by_its_name_and_by_none(cache: Path, model: Path) -> None:
    of_a_version(cache, model)
    with closed_network() as tried:
        for revision in ({}, {"model_revision": "v2"}):
            assert pipeline(NAME, **revision).network.lookahead == 0
        with pytest.raises(ValueError, match=f"{NAME}: no such model directory here, and the hub gave none"):
            pipeline(NAME, model_revision="v3")
    assert tried == []


def test_a_download_that_never_ended_is_none(cache: Path, model: Path) -> None:
    new_layout(cache, model)
    next(cache.rglob("configuration.json")).unlink()
    with pytest.raises(ValueError, match="no such model directory here, and the hub gave none .HF_HUB_OFFLINE is set"):
        pipeline(NAME)


# The card


CARD = ROOT / "description" / "model_card.md"


def front_matter() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found = re.match(r"---\n(.*?)\n---\n", CARD.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    values: dict[str, Any] = yaml.safe_load(found[1])
    return values


def values_of(names: type) -> set[str]:
    """The values of a class of names and of the classes that it inherits from."""
    values = [getattr(names, name) for name in dir(names) if not name.startswith("_")]
    return {value for value in values if isinstance(value, str)}


def test_the_card_uses_the_words_that_the_hub_knows() -> None:
    from modelscope.hub.constants import Licenses
    from modelscope.utils.constant import Fields, Frameworks, Tasks

    card = front_matter()
    assert set(card["tasks"]) <= values_of(Tasks)
    assert set(card["domain"]) <= values_of(Fields)
    assert set(card["frameworks"]) <= values_of(Frameworks)
    assert card["license"] in Licenses.to_list()
    title, which = (ROOT / "LICENSE").read_text().split("\n")[:2]
    assert card["license"] == f"{title.strip()} {which.split()[1].rstrip(',')}"
    assert all(re.fullmatch("[a-z]{2}", language) for language in card["language"])
    assert isinstance(card["customized-quickstart"], bool) and isinstance(card["finetune-support"], bool)


def test_the_card_says_what_the_configuration_says() -> None:
    from modelscope.metrics.builder import METRICS

    import frcrn.plugin  # noqa: F401

    card, configuration = front_matter(), json.loads((ROOT / "configuration.json").read_text())
    assert card["tasks"] == [configuration["task"]] == [TASK]
    assert card["frameworks"] == [configuration["framework"]]
    registered = METRICS.modules["default"]
    assert all(name in registered for name in configuration["evaluation"]["metrics"])
    reported = (ROOT / "description" / "model_card.md").read_text().replace("PESQ-WB", "PESQ")
    assert all(f"| {name} " in reported for name in card["metrics"])


def test_the_cards_widget_takes_what_the_pipeline_takes() -> None:
    from modelscope.pipeline_inputs import TASK_INPUTS

    (widget,) = front_matter()["widgets"]
    assert widget["task"] == TASK
    (asked,) = widget["inputs"]
    assert asked["type"] == TASK_INPUTS[TASK]
    for example in widget["examples"]:
        (given,) = example["inputs"]
        assert given["name"] == asked["name"]
        assert (ROOT / given["data"].removeprefix("git://")).is_file()


# Plugins and the command line


def test_the_list_of_plugins_has_it_once_it_was_installed_by_that_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`modelscope plugins install frcrn`, `list` and `uninstall frcrn`, but for pip."""
    from modelscope.utils.plugins import PluginsManager

    manager = PluginsManager(cache_dir=str(tmp_path))
    manager.file_path = str(tmp_path / ".modelscope_plugins")
    calls: list[list[str]] = []

    def instead_of_pip(command: list[str]) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", instead_of_pip)
    assert "frcrn" not in manager.list_plugins()
    assert manager.install_plugins(["frcrn"])[0] == 0
    assert manager.list_plugins()["frcrn"]["version"] == version("frcrn")
    assert re.search(rf"^frcrn +\|{re.escape(version('frcrn'))}", capsys.readouterr().out, re.MULTILINE)
    assert manager.uninstall_plugins(["frcrn"])[0] == 0
    assert "frcrn" not in manager.list_plugins()
    assert [call[3] for call in calls] == ["install", "uninstall"] and all("frcrn" in call for call in calls)


def test_the_frameworks_command_line_makes_a_template_that_works_with_this_package(tmp_path: Path) -> None:
    """`modelscope pipeline` runs nothing: it writes the beginning of a pipeline of one's own."""
    place = ["-s", str(tmp_path), "-f", "mine.py", "-config", str(tmp_path)]
    ask = [sys.executable, "-m", "frcrn.plugin", "pipeline", "--action", "create", "-t", "my-task", *place]
    done = subprocess.run(ask, capture_output=True, text=True, check=False, cwd=ROOT, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    compile((tmp_path / "mine.py").read_text(), "mine.py", "exec")
