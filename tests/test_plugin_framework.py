"""What the framework's own code expects of a trainer: its test of this one, its files, its hooks, `predict`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("modelscope")
pytest.importorskip("accelerate")

import frcrn
from frcrn.models.checkpoint import save_directory
from tests import training_runs
from tests.networks import tiny
from tests.plugin_parts import TASK, official_directory, rows

SECONDS = 0.2
DATA = rows(4, SECONDS)
QUICK = {
    "train": {
        "dataloader": {"batch_size_per_gpu": 2, "workers_per_gpu": 0},
        "optimizer": {"type": "Adam", "lr": 0.001},
        "logging": {"interval": 1},
    },
    "evaluation": {"dataloader": {"batch_size_per_gpu": 2, "workers_per_gpu": 0}, "metrics": ["frcrn-ans-metric"]},
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory of a network of some hundred weights."""
    folder = tmp_path_factory.mktemp("model") / "small"
    save_directory(training_runs.network(), folder, extra=QUICK)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave PESQ and STOI out, which takes a process, and make examples a fifth of a second."""
    monkeypatch.setattr("frcrn.plugin.recipe.find_spec", lambda name: None)
    monkeypatch.setattr("frcrn.plugin.datasets.SECONDS", SECONDS)


def trainer(directory: Path, work_dir: Path | None, **arguments: Any) -> Any:
    from modelscope.trainers import build_trainer

    import frcrn.plugin  # noqa: F401

    usual = {"model": str(directory), "work_dir": work_dir, "train_dataset": DATA, "eval_dataset": DATA[:2]}
    lengths = {"max_epochs": 2, "train_iters_per_epoch": 2, "device": "cpu", "seed": 3}
    return build_trainer("frcrn-ans-16k", default_args={**usual, **lengths, **arguments})


def same_weights(one: Any, other: Any) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def log_of(made: Any) -> list[dict[str, Any]]:
    """The framework's log, found as its readers find it."""
    path = Path(made.work_dir) / f"{made.timestamp}.log.json"
    return [json.loads(line) for line in path.read_text().splitlines()]


# The framework's own test of its trainer, on the released network and this package's trainer


@pytest.mark.slow
def test_the_frameworks_test_of_its_trainer_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train two epochs of two batches by the official names, then look for its log and a file for each epoch."""
    from modelscope.metainfo import Trainers
    from modelscope.trainers import build_trainer

    import frcrn.plugin

    frcrn.plugin.replace_stock()
    monkeypatch.setattr("frcrn.plugin.datasets.SECONDS", 1.0)
    folder, data, work_dir = official_directory(tmp_path / "released"), rows(2), tmp_path / "work"
    given = {"model": str(folder), "train_dataset": data, "eval_dataset": data, "work_dir": str(work_dir)}
    lengths = {"max_epochs": 2, "train_iters_per_epoch": 2, "val_iters_per_epoch": 1, "device": "cpu"}
    made = build_trainer(Trainers.speech_frcrn_ans_cirm_16k, default_args={**given, **lengths})
    made.train()
    left = os.listdir(work_dir)
    assert f"{made.timestamp}.log.json" in left
    assert {"epoch_1.pth", "epoch_2.pth"} <= set(left)


# Its files


def test_the_log_is_one_object_a_line_as_the_frameworks_loggers_write(directory: Path, tmp_path: Path) -> None:
    made = trainer(directory, tmp_path)
    made.train()
    found = [(line["mode"], line["epoch"], line["iter"]) for line in log_of(made)]
    assert found == [("train", 1, 1), ("train", 1, 2), ("eval", 1, 1)] + [
        ("train", 2, 1),
        ("train", 2, 2),
        ("eval", 2, 1),
    ]
    train, evaluation = log_of(made)[0], log_of(made)[2]
    assert {"loss", "lr"} <= train.keys() and all(isinstance(train[name], float) for name in ("loss", "lr"))
    assert "evaluation/avg_sisnr" in evaluation


def test_a_file_for_each_epoch_is_stored_once_and_taken_everywhere(directory: Path, tmp_path: Path) -> None:
    """The released card says: choose the best of the trained models, copy it, rename it."""
    from modelscope.pipelines import pipeline

    made = trainer(directory, tmp_path / "run")
    made.train()
    for number in (1, 2):
        saved = tmp_path / "run" / "checkpoints" / f"step_{2 * number:09d}.ckpt"
        assert os.path.samefile(tmp_path / "run" / f"epoch_{number}.pth", saved)
    last = tmp_path / "run" / "epoch_2.pth"
    content = torch.load(last, map_location="cpu", weights_only=True)
    assert content["meta"] == {"epoch": 2, "iter": 4}
    chosen = tmp_path / "chosen"
    shutil.copytree(directory, chosen)
    (chosen / "model.safetensors").unlink()
    shutil.copy(last, chosen / "pytorch_model.bin")
    served = pipeline(TASK, model=str(chosen), device="cpu").model.model
    second = frcrn.load(last)
    assert same_weights(served, second)
    scores = trainer(directory, tmp_path / "other").evaluate(checkpoint_path=str(last))
    assert scores["avg_sisnr"] == pytest.approx(trainer(chosen, tmp_path / "third").evaluate()["avg_sisnr"])
    best = max(line["evaluation/avg_sisnr"] for line in log_of(made) if line["mode"] == "eval")
    assert best >= round(scores["avg_sisnr"], 5)


def test_a_run_goes_on_exactly_from_an_epochs_file(directory: Path, tmp_path: Path) -> None:
    whole = trainer(directory, tmp_path / "whole", max_epochs=3)
    whole.train()
    trainer(directory, tmp_path / "part", max_epochs=2).train()
    resumed = trainer(directory, tmp_path / "part", max_epochs=3)
    resumed.train(checkpoint_path=str(tmp_path / "part" / "epoch_2.pth"))
    assert same_weights(resumed.model, whole.model)
    assert (resumed.epoch, resumed.iter) == (3, 6)


def test_going_back_to_an_earlier_epoch_forgets_the_later_ones(directory: Path, tmp_path: Path) -> None:
    trainer(directory, tmp_path, max_epochs=3).train()
    again = trainer(directory, tmp_path, max_epochs=2)
    again.train(checkpoint_path=str(tmp_path / "epoch_1.pth"))
    assert sorted(path.name for path in tmp_path.glob("epoch_*.pth")) == ["epoch_1.pth", "epoch_2.pth"]


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_checkpoint_that_does_not_fit_costs_nothing(directory: Path, tmp_path: Path) -> None:
    save_directory(tiny(), tmp_path / "another", extra=QUICK)
    trainer(directory, tmp_path / "run", max_epochs=2).train()
    before = files_in(tmp_path / "run")
    with pytest.raises(ValueError, match="another network"):
        trainer(tmp_path / "another", tmp_path / "run").train(checkpoint_path=str(tmp_path / "run" / "epoch_1.pth"))
    assert files_in(tmp_path / "run") == before


def test_another_runs_checkpoint_costs_the_run_in_the_folder_nothing(directory: Path, tmp_path: Path) -> None:
    for name, epochs in (("run", 2), ("another", 1)):
        trainer(directory, tmp_path / name, max_epochs=epochs).train()
    before = files_in(tmp_path / "run")
    trainer(directory, tmp_path / "run", max_epochs=2).train(checkpoint_path=str(tmp_path / "another" / "epoch_1.pth"))
    assert files_in(tmp_path / "run" / "earlier-1") == before
    back = trainer(directory, tmp_path / "run", max_epochs=2)
    back.train(checkpoint_path=str(tmp_path / "run" / "earlier-1"))
    assert files_in(tmp_path / "run" / "earlier-1") == before


def test_as_many_epochs_stay_as_are_asked_for(directory: Path, tmp_path: Path) -> None:
    keep = {"train.checkpoint": {"period": {"interval": 1, "max_checkpoint_num": 1}}}
    trainer(directory, tmp_path, max_epochs=3, cfg_options=keep).train()
    assert [path.name for path in tmp_path.glob("epoch_*.pth")] == ["epoch_3.pth"]


def test_a_checkpoint_of_the_first_form_still_loads(directory: Path, tmp_path: Path) -> None:
    """Those had their mark and checksum in front of the PyTorch file."""
    from frcrn.training import checkpoints

    trainer(directory, tmp_path, max_epochs=1).train()
    (saved,) = (tmp_path / "checkpoints").iterdir()
    content = saved.read_bytes()
    behind = len(checkpoints.MAGIC) + checkpoints.DIGEST
    payload, digest = content[:-behind], content[-checkpoints.DIGEST :]
    old = tmp_path / "old.ckpt"
    old.write_bytes(checkpoints.FIRST_MAGIC + digest + payload)
    assert checkpoints.load(old)["progress"] == checkpoints.load(saved)["progress"]
    old.write_bytes(checkpoints.FIRST_MAGIC + digest + payload[:-1])
    with pytest.raises(checkpoints.Damaged, match="checksum"):
        checkpoints.load(old)


# Its hooks


class Noting:
    """Notes what the framework's counters are at each stage."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int, int]] = []

    def __getattr__(self, stage: str) -> Any:
        if not stage.startswith(("before_", "after_")):
            raise AttributeError(stage)
        return lambda made: self.seen.append((stage, made.epoch, made.iter, made.inner_iter))


def test_counters_are_those_of_the_base_class_at_every_stage(directory: Path, tmp_path: Path) -> None:
    from modelscope.trainers.hooks import Hook

    noting = Noting()
    made = trainer(directory, tmp_path, eval_dataset=None, callbacks=[noting])
    assert noting.seen == [("after_init", 0, 0, 0)]
    made.train()
    steps = [("before_train_iter", "after_train_iter")] * 2
    expected = [("after_init", 0, 0, 0), ("before_run", 0, 0, 0)]
    for epoch in range(2):
        expected.append(("before_train_epoch", epoch, 2 * epoch, 0))
        for inner, (before, after) in enumerate(steps):
            expected += [(before, epoch, 2 * epoch + inner, inner), (after, epoch, 2 * epoch + inner, inner)]
        expected.append(("after_train_epoch", epoch, 2 * epoch + 2, 1))
    assert noting.seen == [*expected, ("after_run", 2, 4, 0)]
    assert {stage for stage, *_ in expected} <= set(Hook.stages) | {"after_init"}


def test_a_hook_that_counts_epochs_and_one_that_stops_early(directory: Path, tmp_path: Path) -> None:
    from modelscope.trainers.hooks import Hook

    class Epochs(Hook):  # type: ignore[misc]
        count = 0

        def after_train_epoch(self, trainer: Any) -> None:
            self.count += 1
            if self.count == 2:
                trainer._stop_training = True  # as the framework's EarlyStopHook does

    counting = Epochs()
    made = trainer(directory, tmp_path, max_epochs=9)
    made.register_hook(counting)
    assert made.train().step == 4
    assert (counting.count, made.epoch, made.iter, made.max_epochs) == (2, 2, 4, 9)
    assert made.get_hook(Epochs) == [counting]


def test_hooks_are_called_by_priority(directory: Path, tmp_path: Path) -> None:
    from modelscope.trainers.hooks.priority import Priority

    order: list[str] = []

    class Named:
        def __init__(self, name: str, priority: Priority) -> None:
            self.name, self.PRIORITY = name, priority

        def before_run(self, trainer: Any) -> None:
            order.append(self.name)

    hooks = [Named("last", Priority.LOW), Named("first", Priority.HIGH), Named("middle", Priority.NORMAL)]
    trainer(directory, tmp_path, max_epochs=1, callbacks=hooks).train()
    assert order == ["first", "middle", "last"]


def test_a_registered_hook_of_the_configuration_is_built_and_called(directory: Path, tmp_path: Path) -> None:
    from modelscope.trainers.hooks import HOOKS, Hook

    calls: list[int] = []

    class Marked(Hook):  # type: ignore[misc]
        def __init__(self, every: int) -> None:
            self.every = every

        def after_train_iter(self, trainer: Any) -> None:
            calls.append(self.every)

    HOOKS.register_module(module_name="MarkedForThisTest", module_cls=Marked, force=True)
    hooks = {"train.hooks": [{"type": "MarkedForThisTest", "every": 7}]}
    trainer(directory, tmp_path, max_epochs=1, cfg_options=hooks).train()
    assert calls == [7, 7]


def test_a_function_changes_the_configuration(directory: Path, tmp_path: Path) -> None:
    def longer(configuration: Any) -> Any:
        configuration.train.max_epochs = 3
        configuration.train.train_iters_per_epoch = 1
        return configuration

    made = trainer(directory, tmp_path, max_epochs=None, train_iters_per_epoch=None, cfg_modify_fn=longer)
    assert made.train().step == 3
    with pytest.raises(ValueError, match="cfg_modify_fn: expected a function that returns the configuration"):
        trainer(directory, tmp_path, cfg_modify_fn=lambda configuration: None)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("optimizers", (torch.optim.Adam([torch.zeros(1)]), None), "optimizers: has no effect on this trainer"),
        ("wrong_name", 1, "unknown argument 'wrong_name' of the trainer"),
    ],
)
def test_arguments_without_effect_are_refused(
    directory: Path, tmp_path: Path, argument: str, value: Any, message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        trainer(directory, tmp_path, **{argument: value})
    assert trainer(directory, tmp_path, optimizers=(None, None), data_collator=None) is not None


# predict


def test_predict_hands_over_what_the_network_makes_of_each_row(directory: Path, tmp_path: Path) -> None:
    made = trainer(directory, tmp_path)
    batches: list[tuple[dict[str, Any], dict[str, Any]]] = []
    named = [{**row, "name": f"row {number}"} for number, row in enumerate(DATA[:3])]
    made.predict(named, lambda inputs, outputs: batches.append((inputs, outputs)))
    assert [inputs["name"] for inputs, _ in batches] == [["row 0", "row 1"], ["row 2"]]
    for inputs, outputs in batches:
        wave = made.model.eval()(inputs["noisy"]).wave
        torch.testing.assert_close(outputs["wav_l2"], wave)
    alone = [{"noisy": {"array": np.zeros(3000, np.float32), "sampling_rate": 16000}}]
    made.predict(alone, lambda inputs, outputs: batches.append((inputs, outputs)))
    assert batches[-1][1]["wav_l2"].shape == (1, 3000)


@pytest.mark.parametrize("plugins", [["pai-easycv"], "pai-easycv>0", ["evil"]])
def test_packages_that_a_directory_names_are_not_installed(
    plugins: Any, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelscope.models import Model
    from modelscope.models.base import base_model
    from modelscope.pipelines import builder as pipelines
    from modelscope.pipelines import pipeline
    from modelscope.trainers import builder as trainers

    import frcrn.plugin  # noqa: F401

    asked: list[Any] = []
    for module in (pipelines, trainers, base_model):
        monkeypatch.setattr(module, "register_plugins_repo", lambda names: asked.append(names))
    folder = Path(shutil.copytree(directory, tmp_path / "model"))
    about = json.loads((folder / "configuration.json").read_text()) | {"plugins": plugins}
    (folder / "configuration.json").write_text(json.dumps(about))
    pipeline(TASK, model=str(folder), device="cpu")
    trainer(folder, tmp_path / "run", cfg_file=str(directory / "configuration.json"))
    if hasattr(base_model, "_CONFIG_ONLY_MODELS"):
        Model.from_pretrained(str(folder), device="cpu")
    assert not any(asked)


@pytest.mark.parametrize("place", ["/tmp/elsewhere", "../elsewhere", "a/../../b"])
def test_a_directory_does_not_choose_where_elsewhere_to_train(place: str, directory: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(directory, tmp_path / "model"))
    about = json.loads((folder / "configuration.json").read_text())
    about["train"]["work_dir"] = place
    (folder / "configuration.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"train.work_dir: .* may not name"):
        trainer(folder, None)
    for work_dir, given in ((tmp_path, {}), (None, {"cfg_file": str(folder / "configuration.json")})):
        assert trainer(folder, work_dir, **given) is not None
