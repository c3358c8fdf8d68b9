"""The trainer: the framework's calls on our loop, and what they leave behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("modelscope")
pytest.importorskip("accelerate")

import frcrn
from frcrn.models import FRCRN, FRCRNConfig
from frcrn.models.checkpoint import save, save_directory
from tests import training_runs
from tests.plugin_parts import OFFICIAL, ROOT, TASK, closed_network, rows

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
def unscored(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave PESQ and STOI out, which takes a process, but where a test is about them."""
    if "scored" not in request.fixturenames:
        monkeypatch.setattr("frcrn.plugin.recipe.find_spec", lambda name: None)


@pytest.fixture(autouse=True)
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make examples a fifth of a second, but where a test is about whole ones or about scores of these."""
    if not {"scored", "whole_seconds"} & set(request.fixturenames):
        monkeypatch.setattr("frcrn.plugin.datasets.SECONDS", SECONDS)


@pytest.fixture
def whole_seconds() -> None:
    """Ask for examples as long as the released recipe's."""


@pytest.fixture
def scored() -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")


SECONDS = 0.2
DATA, SECOND_LONG = rows(4, SECONDS), rows(4)


def trainer(directory: Path, work_dir: Path, **arguments: Any) -> Any:
    from modelscope.trainers import build_trainer

    import frcrn.plugin  # noqa: F401

    usual = {"model": str(directory), "work_dir": str(work_dir), "train_dataset": DATA, "eval_dataset": DATA[:2]}
    lengths = {"max_epochs": 2, "train_iters_per_epoch": 2, "device": "cpu", "seed": 3}
    return build_trainer("frcrn-ans-16k", default_args={**usual, **lengths, **arguments})


def weights(source: Any) -> dict[str, Tensor]:
    """The tensors of a network, or of the one that a directory holds."""
    model = frcrn.load(source) if isinstance(source, Path) else source
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# What the stock trainer does with a run


def test_what_it_saves_loads_back(directory: Path, tmp_path: Path) -> None:
    from modelscope.pipelines import pipeline

    made = trainer(directory, tmp_path, eval_dataset=None)
    made.train()
    after = weights(made.model)
    assert not equal(after, weights(directory)), "nothing was learnt"
    output = tmp_path / "output"
    assert equal(weights(output), after)
    assert equal(weights(pipeline(TASK, model=str(output), device="cpu").model.model), after)
    again = trainer(output, tmp_path / "again")
    assert equal(weights(again.model), after)
    assert again.plan.train.max_epochs == 2, "the sections that training needs travel along"
    # as a file renamed to what the model card asks for
    card = tmp_path / "card"
    save_directory(training_runs.network(seed=5), card)
    (card / "model.safetensors").unlink()
    save(frcrn.load(output), card / "pytorch_model.bin")
    assert equal(weights(card), after)


def test_its_folder_has_both_logs_checkpoints_and_a_model(directory: Path, tmp_path: Path) -> None:
    trainer(directory, tmp_path).train()
    steps = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in steps if line["kind"] == "train"] == [1, 2, 3, 4]
    assert [line["step"] for line in steps if line["kind"] == "eval"] == [2, 4]
    assert "train step 4" in (tmp_path / "train.log").read_text()
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    configuration = json.loads((tmp_path / "output" / "configuration.json").read_text())
    assert configuration["pipeline"] == {"type": "frcrn-ans-16k"}
    assert configuration["framework"] == "pytorch"
    assert "plugins" not in configuration


@pytest.mark.parametrize("point", ["folder", "file"])
def test_a_resumed_run_is_the_uninterrupted_one(directory: Path, tmp_path: Path, point: str) -> None:
    whole = trainer(directory, tmp_path / "whole", max_epochs=3)
    whole.train()
    trainer(directory, tmp_path / "part", max_epochs=2).train()
    start = tmp_path / "part" if point == "folder" else tmp_path / "part" / "checkpoints" / "step_000000002.ckpt"
    resumed = trainer(directory, tmp_path / "part", max_epochs=3)
    result = resumed.train(checkpoint_path=str(start))
    assert result.step == 6
    assert equal(weights(resumed.model), weights(whole.model))
    assert resumed.evaluate() == whole.evaluate()


def test_files_of_others_by_the_names_of_epochs_stay(directory: Path, tmp_path: Path) -> None:
    trainer(directory, tmp_path).train()
    for name in ("epoch_3.pth", "epoch_50.pth"):
        torch.save({"state_dict": {"theirs": torch.ones(3)}}, tmp_path / name)
    trainer(directory, tmp_path, max_epochs=3).train(checkpoint_path=tmp_path / "epoch_1.pth")
    found = {path.name: "theirs" in torch.load(path)["state_dict"] for path in tmp_path.glob("epoch_*.pth")}
    ours = {f"epoch_{number}.pth": False for number in (1, 2, 3)}
    assert found == ours | {"epoch_3.1.pth": True, "epoch_50.pth": True}


@pytest.mark.parametrize("place", [".", "checkpoints", "checkpoints/step_000000004.ckpt"])
def test_weights_alone_start_a_new_run(directory: Path, tmp_path: Path, place: str) -> None:
    trainer(directory, tmp_path / "first").train()
    second = trainer(directory, tmp_path / "second", max_epochs=1, cfg_options={"train.optimizer.lr": 1e-12})
    second.train(checkpoint_path=tmp_path / "first" / place, load_all_state=False)
    assert second.iter == 2
    near = zip(second.model.parameters(), frcrn.load(tmp_path / "first" / "output").parameters(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in near)
    with pytest.raises(ValueError, match="model.safetensors: expected a checkpoint of this trainer .*, found weights"):
        second.train(checkpoint_path=tmp_path / "first" / "output" / "model.safetensors")
    with pytest.raises(ValueError, match="nowhere: expected a checkpoint of this trainer .*, found nothing"):
        second.train(checkpoint_path=tmp_path / "nowhere")


class Counting:
    """A callback that counts."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.batches: list[int] = []

    def before_train_epoch(self, trainer: Any) -> None:
        self.stages.append(f"epoch {trainer.epoch}")
        self.batches.append(0)

    def after_train_iter(self, trainer: Any) -> None:
        self.batches[-1] += 1

    def after_val(self, trainer: Any) -> None:
        self.stages.append(f"scored {trainer.metric_values['examples']}")

    def after_run(self, trainer: Any) -> None:
        self.stages.append(f"end {trainer.iter} of {trainer.max_iters}")


def test_every_epoch_has_all_its_batches(directory: Path, tmp_path: Path) -> None:
    # four rows in batches of two: the stock loop has nothing left after the first two batches
    seen = Counting()
    trainer(directory, tmp_path, max_epochs=3, train_iters_per_epoch=3, callbacks=[seen]).train()
    assert seen.batches == [3, 3, 3]
    assert seen.stages == ["epoch 0", "scored 2", "epoch 1", "scored 2", "epoch 2", "scored 2", "end 9 of 9"]


def test_a_callback_can_end_the_run(directory: Path, tmp_path: Path) -> None:
    class Enough:
        def after_train_iter(self, trainer: Any) -> None:
            trainer.stop_training = trainer.iter == 2  # the third step, counted from 0 as the framework does

    result = trainer(directory, tmp_path, max_epochs=9, callbacks=Enough()).train()
    assert (result.step, result.reason) == (3, "a callback asked for it")
    assert (tmp_path / "output").exists()


class Failing:
    """Fails at one stage of the third step."""

    def __init__(self, stage: str) -> None:
        setattr(self, stage, self.fail)

    def fail(self, trainer: Any) -> None:
        if trainer.iter >= 2:
            raise OSError("full")


@pytest.mark.parametrize(
    ("stage", "step"), [("before_train_iter", 2), ("after_train_iter", 3), ("before_val", 2), ("after_val", 2)]
)
def test_what_was_learnt_outlasts_a_hook_that_fails(directory: Path, tmp_path: Path, stage: str, step: int) -> None:
    """And the resumed run scores what is due, and counts only steps that were taken."""
    rare = {"train.checkpoint": {"period": {"by_epoch": True, "interval": 100}}}
    with pytest.raises(OSError, match="full"):
        trainer(directory, tmp_path, cfg_options=rare, callbacks=Failing(stage)).train()
    state = training_runs.last_state(tmp_path)
    assert state["progress"]["step"] == step
    seen = Counting()
    resumed = trainer(directory, tmp_path, cfg_options=rare, callbacks=seen)
    assert resumed.train(checkpoint_path=tmp_path).step == resumed.iter == 4
    assert sum(seen.batches) == 4 - step
    assert [line["step"] for line in training_runs.records(tmp_path, "eval")] == [2, 4]


def test_the_best_weights_come_back_where_it_is_asked_for(directory: Path, tmp_path: Path) -> None:
    best = {"train.checkpoint": {"best": {"metric_key": "avg_sisnr", "rule": "max", "restore_best": True}}}
    # steps so large that later ones are worse
    made = trainer(directory, tmp_path, max_epochs=3, cfg_options=best | {"train.optimizer.lr": 3.0})
    result = made.train()
    assert equal(weights(made.model), weights(tmp_path / "output"))
    assert made.evaluate()["avg_sisnr"] == pytest.approx(result.best)
    scores = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert result.best == max(line["si_snr"] for line in scores if line["kind"] == "eval")


@pytest.mark.parametrize(
    "choice",
    [
        {"use_fp16": True},
        {"cfg_options": {"train.lr_scheduler": {"type": "ReduceLROnPlateau", "mode": "min"}}},
        {"cfg_options": {"train.hooks": [{"type": "EvaluationHook", "interval": 1}]}},
        {"launcher": "pytorch"},
        {"eval_dataset": None},
    ],
    ids=["fp16", "plateau", "hooks", "launcher", "no eval set"],
)
def test_what_the_stock_trainer_stumbles_over(directory: Path, tmp_path: Path, choice: dict[str, Any]) -> None:
    made = trainer(directory, tmp_path, max_epochs=1, **choice)
    assert made.train().step == 2
    assert (tmp_path / "output").is_dir()
    if choice.get("use_fp16"):
        assert json.loads((tmp_path / "recipe.json").read_text())["train"]["precision"] == "bf16"


def test_a_second_trainer_in_one_process_does_all_that_the_first_did(directory: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        trainer(directory, tmp_path / name).train()
    one, two = (
        sorted(re.sub(r"^\d{8}_\d{6}", "", str(p.relative_to(tmp_path / name))) for p in (tmp_path / name).rglob("*"))
        for name in ("one", "two")
    )
    assert one == two
    assert equal(weights(tmp_path / "one" / "output"), weights(tmp_path / "two" / "output"))


def test_a_script_that_is_run_again_loses_nothing(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    trainer(directory, tmp_path, max_epochs=1, seed=1).train()
    first = weights(tmp_path / "output")
    # the same seed sees the same rows, so the second run learns at another rate
    trainer(directory, tmp_path, max_epochs=1, seed=1, cfg_options={"train.optimizer.lr": 0.01}).train()
    assert equal(weights(tmp_path / "earlier-1" / "output"), first)
    assert not equal(weights(tmp_path / "output"), first)
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_a_run_stays_in_its_folder_where_a_callback_goes_elsewhere(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Going:
        def after_train_iter(self, trainer: Any) -> None:
            os.chdir(elsewhere)

    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    trainer(directory, Path("run"), max_epochs=1, callbacks=[Going()]).train()
    assert (tmp_path / "run" / "output" / "configuration.json").is_file()
    assert not list(elsewhere.iterdir())


def test_nothing_is_asked_of_the_network_and_nothing_printed(
    directory: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory.parent.parent)
    with closed_network() as tried:
        # the form owner/name, which the framework takes for one of the hub's
        made = trainer(Path(directory.parent.name) / directory.name, tmp_path, max_epochs=1)
        made.train()
        made.evaluate()
    assert tried == []
    assert capfd.readouterr().out == ""


# Evaluation


def test_evaluation_alone_needs_no_training_set(directory: Path, tmp_path: Path, scored: None) -> None:
    made = trainer(directory, tmp_path / "none", train_dataset=None, eval_dataset=SECOND_LONG, val_iters_per_epoch=1)
    found = made.evaluate()
    assert {"avg_sisnr", "avg_loss", "total_loss", "pesq", "stoi", "pesq_clips", "stoi_clips", "failed"} <= found.keys()
    assert 1 <= found["pesq"] <= 4.7 and 0 <= found["stoi"] <= 1
    assert (found["examples"], found["pesq_clips"]) == (2, 2)
    assert made.metric_values == found
    assert not (tmp_path / "none").exists(), "evaluating leaves nothing behind"
    with pytest.raises(ValueError, match="train_dataset: expected a set to train on"):
        made.train()


@pytest.mark.parametrize(("given", "message"), [(5, "expected a path, found int"), ("a\0", "character of code 0")])
def test_what_is_no_checkpoint_is_refused_in_one_sentence(
    directory: Path, tmp_path: Path, given: Any, message: str
) -> None:
    made = trainer(directory, tmp_path / "run")
    for call in (made.evaluate, made.train, lambda path: made.predict(DATA, lambda *both: None, path)):
        with pytest.raises(ValueError, match=f"checkpoint_path.*{message}|no such model|found nothing"):
            call(given)
    with pytest.raises(ValueError, match="checkpoint_path: expected a checkpoint or a folder, found ''"):
        made.train("")
    assert not (tmp_path / "run").exists()


def test_scores_are_those_of_the_network(directory: Path, tmp_path: Path) -> None:
    found = trainer(directory, tmp_path).evaluate()
    model = frcrn.load(directory)
    pairs = [[torch.from_numpy(row[key]["array"])[None] for key in ("noisy", "clean")] for row in DATA[:2]]
    with torch.no_grad():
        ratios = [float(frcrn.evaluation.metrics.scores.si_snr(model(noisy).wave, clean)) for noisy, clean in pairs]
    assert found["avg_sisnr"] == pytest.approx(np.mean(ratios), abs=1e-4)
    from frcrn.plugin.model import RELEASED_LOSS
    from frcrn.training.losses.objective import build_losses

    losses = build_losses(RELEASED_LOSS, window=model.window, hop=model.hop)
    with torch.no_grad():
        values = [losses(model(noisy), noisy, clean) for noisy, clean in pairs]
    parts = [float(part) for value in values for part in value.parts.values()]
    assert found["total_loss"] == found["avg_loss"] == pytest.approx(sum(parts) / 2, rel=1e-5), "no part counts twice"


def test_scores_are_those_of_an_evaluation(tmp_path: Path, scored: None) -> None:
    from frcrn.evaluation.evaluate import evaluate

    model = training_runs.network()
    model.config = replace(model.config, passes=2)
    save_directory(model, tmp_path / "model", extra=QUICK)
    data = rows(2, 2.5) + rows(1)
    saved: list[int] = []
    made = trainer(tmp_path / "model", tmp_path, train_dataset=None, eval_dataset=data)
    found = made.evaluate(saving_fn=lambda inputs, outputs: saved.extend(map(len, outputs["wav_l2"])))
    pairs = [(f"{number}", row["noisy"]["array"], row["clean"]["array"]) for number, row in enumerate(data)]
    wanted = evaluate(frcrn.load(tmp_path / "model"), pairs, names=("si_snr", "pesq", "stoi"), workers=1)
    means, ours = wanted.summary["metrics"], {"avg_sisnr": "si_snr", "pesq": "pesq", "stoi": "stoi"}
    assert {name: found[name] for name in ours} == pytest.approx(
        {theirs: means[name]["mean"] for theirs, name in ours.items()}, rel=1e-5
    )
    assert found["examples"] == found["pesq_clips"] == means["pesq"]["count"] == len(pairs)
    assert saved == [40000, 40000, 16000]


def test_the_loss_of_a_long_recording_is_that_of_its_pieces(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = {
        name: {**cell, "array": np.concatenate([row[name]["array"] for row in DATA[:2]])}
        for name, cell in DATA[0].items()
    }
    pieces = trainer(directory, tmp_path / "pieces").evaluate()["avg_loss"]
    monkeypatch.setattr("frcrn.training.validation.LONGEST_SECONDS", SECONDS)
    found = trainer(directory, tmp_path / "whole", eval_dataset=[joined]).evaluate()
    assert (found["avg_loss"], found["examples"]) == (pytest.approx(pieces), 1)


def test_any_checkpoint_can_be_evaluated(directory: Path, tmp_path: Path) -> None:
    made = trainer(directory, tmp_path)
    before = made.evaluate()
    made.train()
    after = made.evaluate()
    assert before != after
    assert trainer(directory, tmp_path / "x").evaluate(str(tmp_path / "output")) == made.evaluate("best")
    assert made.evaluate("last") == made.evaluate(tmp_path / "checkpoints" / "step_000000004.ckpt") == after
    assert made.evaluate(directory)["avg_sisnr"] == pytest.approx(before["avg_sisnr"])
    with pytest.raises(ValueError, match="nowhere"):
        made.evaluate(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="eval_dataset: expected a set to evaluate on"):
        trainer(directory, tmp_path / "y", eval_dataset=None).evaluate()


def test_every_weight_of_the_released_network_is_trained() -> None:
    model = FRCRN(FRCRNConfig()).train()
    sound = torch.randn(1, 3200, generator=torch.Generator().manual_seed(0))
    estimate = model(sound)
    (estimate.stages[-1].spec.square().mean() + estimate.wave.square().mean()).backward()
    idle = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert idle == []


# Data


def datasets_of(kind: str, folder: Path) -> Any:
    """The same rows in one of the forms that users have them in."""
    if kind == "rows":
        return SECOND_LONG
    if kind in ("folder", "settings"):
        import soundfile

        for key in ("noisy", "clean"):
            (folder / key).mkdir(parents=True)
            for number, row in enumerate(SECOND_LONG):
                soundfile.write(folder / key / f"fileid_{number}.wav", row[key]["array"], 16000, subtype="FLOAT")
        return str(folder) if kind == "folder" else {"kind": "dns", "folder": str(folder), "seconds": 1.0}
    datasets = pytest.importorskip("datasets")
    from modelscope.msdatasets import MsDataset
    from modelscope.utils.audio.audio_utils import to_segment

    whole = datasets.Dataset.from_list([{**row, "duration": 1.0} for row in SECOND_LONG])
    cut = whole.map(to_segment, remove_columns=["duration"], batched=True, batch_size=36)
    return {
        "hugging face": whole,
        "cut": cut,
        "framework": MsDataset.to_ms_dataset(cut),
        "one split": datasets.DatasetDict(train=cut),
        "one split of the framework": {"train": MsDataset.to_ms_dataset(cut)},
        "deprecated": MsDataset.from_hf_dataset(datasets.DatasetDict(train=cut)),
    }[kind]


KINDS = ["rows", "folder", "settings", "hugging face", "cut", "framework", "one split", "one split of the framework"]


@pytest.mark.parametrize("kind", [*KINDS, "deprecated"])
def test_data_come_in_many_forms_and_say_the_same(
    directory: Path, tmp_path: Path, kind: str, whole_seconds: None
) -> None:
    made = trainer(directory, tmp_path / "run", train_dataset=None, eval_dataset=datasets_of(kind, tmp_path / "data"))
    for index, row in enumerate(SECOND_LONG):
        example = made.eval_dataset[0, index]
        for key in ("noisy", "clean"):
            assert np.allclose(example[key], row[key]["array"], atol=1e-6), (kind, key)


def test_the_callers_dataset_stays_as_it_is(directory: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    from modelscope.msdatasets import MsDataset

    given = datasets_of("cut", tmp_path).with_format("pandas")
    before = given.format
    wrapped = MsDataset.to_ms_dataset(given)
    trainer(directory, tmp_path / "run", train_dataset=wrapped, eval_dataset=given, max_epochs=1).train()
    assert given.format == before == wrapped.ds_instance.format


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_dataset": []}, "train_dataset|dataset"),
        ({"train_dataset": [{"loud": 1}]}, "expected the columns noisy and clean, found loud"),
        ({"train_dataset": "no/such/folder"}, "no/such/folder"),
        ({"launcher": "slurm"}, "launcher: expected None or 'pytorch'"),
        ({"device": "tpu"}, "device: expected cpu, gpu, cuda, gpu:N or cuda:N, found 'tpu'"),
        ({"device": "cuda:99"}, "device: this machine has [0-9]+ GPUs for PyTorch, counted from 0; found 'cuda:99'"),
        ({"max_epochs": 0}, "max_epochs: expected 1 or more, found 0"),
        ({"cfg_options": {"train.max_epoch": 3}}, "unknown key 'max_epoch'"),
        ({"model": "/no/such/model"}, "/no/such/model: no such model directory"),
        ({"trian_dataset": DATA}, "trian_dataset"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    directory: Path, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as error:
        trainer(directory, tmp_path / "run", **arguments)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


# Where it starts from


def test_a_directory_without_weights_is_trained_from_scratch(tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    save_directory(training_runs.network(), folder, extra=QUICK)
    before = weights(folder)
    (folder / "model.safetensors").unlink()
    made = trainer(folder, tmp_path / "run", max_epochs=1)
    assert not equal(weights(made.model), before)
    assert made.train().step == 2


def test_a_network_or_a_model_can_be_given(directory: Path, tmp_path: Path) -> None:
    from frcrn.plugin.model import FRCRNModel

    given = FRCRNModel(directory)
    assert trainer(directory, tmp_path, model=given).model is given.model
    file = str(directory / "configuration.json")
    network = frcrn.load(directory)
    assert trainer(directory, tmp_path, model=network, cfg_file=file).model is network
    with pytest.raises(ValueError, match="cfg_file: expected a configuration for a model that has no directory"):
        trainer(directory, tmp_path, model=network)


def test_the_configuration_can_be_changed_in_every_way(directory: Path, tmp_path: Path) -> None:
    def modify(configuration: Any) -> Any:
        configuration.train.optimizer.lr = 0.5
        return configuration

    other = tmp_path / "other.json"
    other.write_text(
        json.dumps({**OFFICIAL, "model": json.loads((directory / "configuration.json").read_text())["model"]})
    )
    made = trainer(directory, tmp_path, cfg_file=str(other), cfg_modify_fn=modify, max_epochs=7, seed=None)
    assert (made.plan.train.optimizer.lr, made.plan.train.optimizer.weight_decay) == (0.5, 1e-5)
    assert (made.max_epochs, made.max_iters, made.seed) == (7, 14, 20)
    made = trainer(directory, tmp_path, cfg_options={"train.optimizer.lr": 0.25}, max_epochs=None)
    assert (made.plan.train.optimizer.lr, made.max_epochs) == (0.25, 200)


@pytest.mark.slow
def test_two_processes_train_together(directory: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.test_plugin_trainer import trainer\n"
        "made = trainer(Path(sys.argv[1]), Path(sys.argv[2]), launcher='pytorch')\n"
        "made.train()\n"
        "found = made.evaluate()\n"
        "assert found['examples'] == 2, found\n"
    )
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = [sys.executable, *command, str(directory), str(tmp_path / "run")]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [1, 2, 3, 4]
    assert not equal(weights(tmp_path / "run" / "output"), weights(directory))
