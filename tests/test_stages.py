"""Recipes of several stages: what each trains, what it leaves, and that an interrupted one is as if it never was."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import frcrn
from frcrn.training import checkpoints, tables, train
from frcrn.training import run as runs
from frcrn.training.run import State
from frcrn.training.stages import stages_of
from frcrn.training.weights import kept_level, mean
from tests.made_audio import corpus
from tests.marks import slow
from tests.training_runs import MODEL, Tones, network, recipe, records, same

ROOT = Path(__file__).parent.parent
GROWN = {**MODEL, "levels": [MODEL["levels"][0], {**MODEL["levels"][1], "time": 2}]}
STAGES = [
    {"name": "one"},
    {"name": "two", "loss": {"si_snr": {"weight": 0.3}, "wave": {}}, "train": {"max_steps": 5, "set_level": True}},
    {
        "name": "grown",
        "model": {"levels": GROWN["levels"]},
        "loss": {"wave": None},
        "train": {"init_partial": True, "max_steps": 4, "seed": 4},
    },
    {"name": "mixed", "from_stage": "grown", "mean_with": {"grown": 0.25}, "train": {"seed": 5, "keep_last": True}},
]
PARTS = {"train_data": Tones(), "valid_data": Tones(2)}


def staged(**train: Any) -> dict[str, Any]:
    plan = {"max_steps": 6, "save_every": 2, "keep": 3, **train}
    return copy.deepcopy({**recipe({"every": 3, "examples": 2}, **plan), "stages": STAGES})


def start(folder: Path, *, resume: bool = False, watcher: Any = None, **train_changes: Any) -> Any:
    return train(staged(**train_changes), work_dir=folder, resume=resume, watcher=watcher, **PARTS)


class Cut(BaseException):
    """Stands for a power cut."""


def cut_at(*places: tuple[str, float]) -> Any:
    """Cut a run off in the middle of a stage, where its share passes a limit."""

    def watch(state: State) -> None:
        if any(state.stage == name and state.share >= limit for name, limit in places):
            raise Cut

    return watch


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    start(folder)
    return folder


def check_equal(folder: Path, whole: Path) -> None:
    names = sorted(path.relative_to(whole) for path in whole.rglob("model.safetensors"))
    assert sorted(path.relative_to(folder) for path in folder.rglob("model.safetensors")) == names
    for name in names:
        assert same(load_file(folder / name), load_file(whole / name)), name
        configurations = [
            json.loads((path / name).with_name("configuration.json").read_text()) for path in (folder, whole)
        ]
        assert configurations[0] == configurations[1], name
    for path in whole.glob("0*"):
        for kind in ("train", "eval"):
            assert records(folder / path.name, kind) == records(path, kind), path.name


@pytest.mark.parametrize("stages", [None, STAGES[:2]])
def test_a_run_stays_in_its_folder_where_a_watcher_goes_elsewhere(
    stages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = staged(max_steps=2) | {"stages": stages}
    if stages is None:
        del values["stages"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    result = train(values, work_dir="run", watcher=lambda state: os.chdir(elsewhere), **PARTS)
    assert result.output == tmp_path / "run" / "output"
    assert (result.output / "configuration.json").is_file()
    assert not list(elsewhere.iterdir())


# what a recipe says


def test_a_stage_has_all_settings_before_it_and_only_says_what_is_new() -> None:
    one, two, grown, mixed = (stage.recipe for stage in stages_of(staged()))
    assert one.loss == {"compressed_spectrum": {}, "si_snr": {"weight": 0.1}}
    assert two.loss == {"compressed_spectrum": {}, "si_snr": {"weight": 0.3}, "wave": {}}
    assert grown.loss == mixed.loss == {"compressed_spectrum": {}, "si_snr": {"weight": 0.3}}
    assert [each.train.max_steps for each in (one, two, grown, mixed)] == [6, 5, 4, 4]
    assert [each.train.set_level for each in (one, two, grown, mixed)] == [False, True, True, True]
    assert [each.train.init_partial for each in (one, two, grown, mixed)] == [False, False, True, False]
    assert grown.model == mixed.model == {**one.model, "levels": GROWN["levels"]}


def test_a_stage_can_have_other_data() -> None:
    values = {**staged(), "data": {"kind": "mixing", "speech": ["a"], "noise": ["b"]}}
    values["stages"][1]["data"] = {"speech": ["wide/a"], "noise": ["wide/b"]}
    found = [stage.recipe.data for stage in stages_of(values)]
    assert found[0] == {"kind": "mixing", "speech": ["a"], "noise": ["b"]}
    assert found[1:] == [{"kind": "mixing", "speech": ["wide/a"], "noise": ["wide/b"]}] * 3


def test_time_is_shared_in_proportion() -> None:
    by_steps = stages_of(staged(), max_minutes=38)
    assert [stage.recipe.train.max_minutes for stage in by_steps] == pytest.approx([12, 10, 8, 8])
    values = staged()
    for stage, minutes in zip(values["stages"], (1, 2, 3, 4), strict=True):
        stage["minutes"] = minutes
    assert [stage.recipe.train.max_minutes for stage in stages_of(values, max_minutes=5)] == [0.5, 1, 1.5, 2]
    del values["stages"][2]["minutes"]
    with pytest.raises(ValueError, match=r"recipe.stages\[2\].minutes: expected about how many minutes"):
        stages_of(values, max_minutes=5)


def test_values_of_a_stage_are_changed_by_number_or_name(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(staged()))
    values = tables(tmp_path / "r.json", ["stages.2.train.lr=0.5", "stages.two.loss.wave=null", "loss.si_snr.weight=2"])
    one, two, grown, mixed = (stage.recipe for stage in stages_of(values))
    assert (two.train.lr, grown.train.lr, mixed.train.lr) == (1e-3, 0.5, 0.5)
    assert "wave" not in two.loss and one.loss["si_snr"] == {"weight": 2}


def spoilt(place: int, **changes: Any) -> dict[str, Any]:
    values = staged()
    values["stages"][place] |= changes
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**staged(), "stages": []}, "recipe.stages: expected a list of stages, found []"),
        ({**staged(), "stages": {"one": {}}}, "recipe.stages: expected a list of stages"),
        (spoilt(0, trian={}), "recipe.stages[0]: unknown key 'trian'"),
        (spoilt(1, name="one"), "recipe.stages[1].name: two stages go by the name 'one'"),
        (spoilt(1, name="../x"), "recipe.stages[1].name: expected letters, digits, - and _, found '../x'"),
        (spoilt(1, from_stage="grown"), "recipe.stages[1].from_stage: expected the name of a stage before this one"),
        (spoilt(1, mean_with={"no": 0.5}), "recipe.stages[1].mean_with: expected the name of a stage before this one"),
        (spoilt(1, mean_with={"one": 1}), "recipe.stages[1].mean_with: expected shares above 0 that leave some of 1"),
        (spoilt(1, train={"lr": -1}), "recipe.stages[1]: recipe.train.lr: expected more than 0, found -1"),
        (spoilt(1, loss=[{"name": "wave"}]), "recipe.stages[1].loss: expected a table by name, found a list"),
        (spoilt(1, loss={"wav": {}}), "recipe.stages[1] (two): loss.wav: expected one of si_snr"),
        (spoilt(2, train={}), "recipe.stages[2] (grown): another network than its starting weights have"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_a_late_stage_cannot_do_is_refused_before_the_first_begins(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        train(values, work_dir=tmp_path / "run", **PARTS)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_sound_that_a_late_stage_needs_is_looked_for_before_the_first_begins(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    corpus(tmp_path, speakers=2, each=2)
    mixing = {"kind": "mixing", "speech": ["speech"], "noise": ["noise"], "seconds": 0.2, "length": 6, "split": "all"}
    values = {**spoilt(3, data={"speech": ["wide"]}), "data": mixing}
    with pytest.raises(ValueError, match=r"recipe.stages\[3\] \(mixed\): .*wide"):
        train(values, work_dir=tmp_path / "run", valid_data=Tones(2))
    assert not (tmp_path / "run").exists()


def test_the_bundled_models_recipe_is_one_chain() -> None:
    stages = stages_of(tables(ROOT / "configs" / "frcrn_small.json"), max_minutes=44.8)
    assert [stage.start for stage in stages][1:8] == [stage.name for stage in stages][:7]
    assert sum(stage.recipe.train.max_minutes or 0 for stage in stages) == pytest.approx(44.8)
    assert all(stage.recipe.train.max_steps for stage in stages)


# what it leaves


def test_each_stage_is_a_run_of_its_own_and_the_output_is_the_last_ones(whole: Path) -> None:
    folders = ["01_one", "02_two", "03_grown", "04_mixed"]
    assert sorted(path.name for path in whole.iterdir()) == [*folders, "output"]
    assert [len(records(whole / name)) for name in folders] == [6, 5, 4, 4]
    assert same(load_file(whole / "output/model.safetensors"), load_file(whole / "04_mixed/mean/model.safetensors"))
    seen = json.loads((whole / "output" / "configuration.json").read_text())["training"]
    assert seen == {"stage": "mixed", "step": 4, "weights": "mean", "mean_with": {"grown": 0.25}}


def test_each_stage_starts_from_what_the_one_before_left(whole: Path) -> None:
    best = records(whole / "01_one", "eval")
    start = records(whole / "02_two", "eval")[0]
    assert start["step"] == 0
    assert start["si_snr"] == pytest.approx(max(record["si_snr"] for record in best), abs=1e-4)
    assert all(record["start"]["si_snr"] == start["si_snr"] for record in records(whole / "02_two", "eval")[1:])
    grown = frcrn.load(whole / "03_grown" / "output")
    assert grown.config.levels[1].time == 2


def test_the_level_is_set_and_goes_on_to_the_next_stage(whole: Path) -> None:
    clean = [Tones(2)[0, index]["clean"] for index in range(2)]
    for name in ("02_two/output", "03_grown/output", "04_mixed/mean"):
        model = frcrn.load(whole / name)
        held = json.loads((whole / name / "configuration.json").read_text())["training"]["weights"]
        if held != "start":
            assert kept_level(model, clean) == pytest.approx(1, abs=1e-3), name
    assert frcrn.load(whole / "01_one/output").config.mask_bound == frcrn.FRCRNConfig.tiny().mask_bound
    two = json.loads((whole / "02_two/output/configuration.json").read_text())["model"]["mask_bound"]
    saved = checkpoints.newest(whole / "03_grown" / "checkpoints")
    assert saved is not None and saved["network"]["mask_bound"] == two != 1


def test_a_mean_is_the_mean_of_all_weights() -> None:
    networks = [network(seed=seed) for seed in range(3)]
    expected = [
        0.2 * a + 0.5 * b + 0.3 * c
        for a, b, c in zip(*(each.state_dict().values() for each in networks), strict=True)
        if a.is_floating_point()
    ]
    mean(networks[0], [(networks[1], 0.5), (networks[2], 0.3)])
    found = [value for value in networks[0].state_dict().values() if value.is_floating_point()]
    torch.testing.assert_close(found, expected)


# resumed


@pytest.mark.parametrize(
    "cuts",
    [
        slow([("one", 0.1)]),
        slow([("two", 0.5)]),
        slow([("grown", 0.65), ("mixed", 0.9)]),
        [("one", 0.31), ("two", 0.57), ("mixed", 1.0)],
    ],
)
def test_cut_off_in_any_stage_and_resumed_it_is_the_same(
    tmp_path: Path, whole: Path, cuts: list[tuple[str, float]]
) -> None:
    folder = tmp_path / "run"
    for number, cut in enumerate(cuts):
        with pytest.raises(Cut):
            start(folder, resume=number > 0, watcher=cut_at(cut))
    start(folder, resume=True)
    check_equal(folder, whole)


@pytest.mark.parametrize("call", [slow(1), slow(2), 3, slow(4), slow(5)])
@pytest.mark.parametrize("place", ["save_directory", "write_json"])
def test_cut_off_between_stages_and_resumed_it_is_the_same(
    tmp_path: Path, whole: Path, place: str, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "write_json" and call == 5:
        pytest.skip("there are four stages")
    original, count = getattr(runs, place), 0

    def deadly(*arguments: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if count == call:
            raise Cut
        original(*arguments, **options)

    monkeypatch.setattr(runs, place, deadly)
    with pytest.raises(Cut):
        start(tmp_path / "run")
    monkeypatch.setattr(runs, place, original)
    start(tmp_path / "run", resume=True)
    check_equal(tmp_path / "run", whole)


def test_a_finished_recipe_resumed_changes_nothing_and_says_the_same(tmp_path: Path, whole: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    first = train(staged(), work_dir=tmp_path / "again", **PARTS)
    again = start(tmp_path / "run", resume=True)
    assert again._replace(output=first.output) == first
    check_equal(tmp_path / "run", whole)


def test_the_time_left_counts_down_over_stages_and_a_resume(tmp_path: Path) -> None:
    seen: list[State] = []

    def watch(state: State) -> None:
        seen.append(state)
        if state.stage == "two" and not any(other.stage == "grown" for other in seen) and len(seen) == 9:
            raise Cut

    with pytest.raises(Cut):
        start(tmp_path / "run", watcher=watch)
    start(tmp_path / "run", resume=True, watcher=watch)
    shares = [state.share for state in seen]
    assert shares[:9] == sorted(shares[:9]) and shares[9:] == sorted(shares[9:])
    assert shares[9] > shares[6]  # goes on in the second stage, after its last checkpoint
    assert shares[-1] == pytest.approx(1) and seen[-1].seconds_left == pytest.approx(0)
    assert all(state.seconds_left is not None and state.seconds_left >= 0 for state in seen)


def test_an_early_stage_that_is_trained_again_is_not_the_output(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "02_two")
    result = start(folder, resume=True)
    seen = json.loads((folder / "output" / "configuration.json").read_text())["training"]
    assert seen == json.loads((whole / "output" / "configuration.json").read_text())["training"]
    assert same(load_file(folder / "output/model.safetensors"), load_file(whole / "output/model.safetensors"))
    assert result.output == folder / "output"


def test_a_signal_while_a_stage_is_scored_at_its_end_begins_no_other(tmp_path: Path) -> None:
    class Asking(Tones):
        """Asks to stop as soon as it is read for the last scoring of the first stage."""

        def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
            logs = list(tmp_path.glob("*/train.log"))
            if len(logs) == 1 and "the last one" in logs[0].read_text() and not list(tmp_path.glob("*/done.json")):
                os.kill(os.getpid(), signal.SIGTERM)
            return super().__getitem__(key)

    values = {**recipe({"every": 100}, max_steps=2), "stages": [{"name": "one"}, {"name": "two"}]}
    parts = {"train_data": Tones(), "valid_data": Asking(2)}
    assert train(copy.deepcopy(values), work_dir=tmp_path, **parts).reason == "SIGTERM"
    assert [path.parent.name for path in tmp_path.glob("*/done.json")] == ["01_one"]
    assert train(copy.deepcopy(values), work_dir=tmp_path, resume=True, **parts).reason == "the budget is used"
    assert len(list(tmp_path.glob("*/done.json"))) == 2
