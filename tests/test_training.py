"""The training loop: what it computes, what it leaves behind, what it refuses."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import frcrn
from frcrn import config
from frcrn.cli import main
from frcrn.data import BlendConfig, DnsConfig, MixingConfig
from frcrn.models import FRCRN, Estimate, FRCRNConfig
from frcrn.models.checkpoint import save_directory
from frcrn.models.layers.unet import Level
from frcrn.training import Train, Trainer, checkpoints, parse, tables
from frcrn.training.batches import BatchOrder, batches, collate
from frcrn.training.build import choose_model
from frcrn.training.logs import Tracker
from frcrn.training.losses.objective import build_losses
from frcrn.training.recipe import build_model
from frcrn.training.schedule import Progress, learning_rate, note_score, share
from frcrn.training.stages import stages_of
from frcrn.training.validation import validate
from tests.judge import judge_network
from tests.made_audio import corpus
from tests.marks import slow
from tests.networks import noise, tiny
from tests.training_runs import (
    MODEL,
    SAMPLES,
    Frozen,
    Tones,
    free_port,
    last_state,
    network,
    recipe,
    records,
    same,
    together,
    trainer,
)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


# what it computes


def test_the_average_is_the_moving_average_of_the_weights(tmp_path: Path):
    seen: list[dict[str, torch.Tensor]] = []
    run = trainer(
        tmp_path / "run", recipe(max_steps=25, save_every=100), watcher=lambda *_: seen.append(weights(run.model))
    )
    expected = weights(run.model)
    run.train()
    for number, now in enumerate(seen, start=1):
        decay = min(0.9, number / (number + 10))
        for name, value in now.items():
            expected[name] = decay * expected[name] + (1 - decay) * value if value.is_floating_point() else value
    for name, value in run.average.model.state_dict().items():
        assert_close(value, expected[name], msg=name)
    assert not same(weights(run.average.model), weights(run.model))


def test_batch_norms_of_an_average_fit_what_it_makes_of_the_last_examples(tmp_path: Path):
    run = trainer(tmp_path / "run", recipe(max_steps=30))
    run.train()
    kept = run.settled()
    norm = next(layer for layer in kept.modules() if isinstance(layer, nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    plan = run.recipe.train
    stream = BatchOrder(
        len(run.train_data), plan.batch_size, seed=plan.seed, start=run.progress.examples - 20 * plan.batch_size
    )
    loaded = batches(run.train_data, stream, 0)
    with torch.no_grad():
        for _ in range(20):
            kept(next(loaded)["noisy"])
    assert_close(norm.running_mean, torch.stack([x.mean(dim=(0, 2, 3)) for x in seen]).mean(dim=0))
    assert_close(norm.running_var, torch.stack([x.var(dim=(0, 2, 3)) for x in seen]).mean(dim=0))
    average = weights(run.average.model)
    own = {name for name, value in weights(kept).items() if not torch.equal(value, average[name])}
    assert own and all("running" in name or "num_batches" in name for name in own)
    assert run.settled() is kept


def test_accumulated_batches_are_one_large_batch(tmp_path: Path):
    ends = []
    for name, batch_size, accumulate in (("whole", 4, 1), ("parts", 2, 2)):
        values = recipe(max_steps=4, batch_size=batch_size, accumulate=accumulate)
        run = trainer(tmp_path / name, values, model=network(Frozen))
        run.train()
        ends.append(weights(run.model))
    whole, parts = (records(tmp_path / name) for name in ("whole", "parts"))
    for one, other in zip(whole, parts, strict=True):
        assert_close(one["loss"], other["loss"], rtol=1e-5, atol=1e-5)
        assert_close(one["grad_norm"], other["grad_norm"], rtol=1e-3, atol=1e-4)
    assert_close(ends[0], ends[1], rtol=1e-3, atol=1e-5)


def test_gradients_are_clipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    norms: list[float] = []
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, *arguments: Any) -> Any:
        gradients = [
            weight.grad for group in self.param_groups for weight in group["params"] if weight.grad is not None
        ]
        norms.append(float(torch.stack([gradient.norm() for gradient in gradients]).norm()))
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    trainer(tmp_path / "run", recipe(max_steps=3, clip_norm=0.01)).train()
    assert all(record["grad_norm"] > 0.02 for record in records(tmp_path / "run"))
    assert_close(norms, [0.01] * 3, rtol=1e-3, atol=0)


def test_weight_decay_leaves_biases_and_scales_alone(tmp_path: Path):
    run = trainer(tmp_path / "run", recipe(max_steps=1))
    run.train()
    decays = {
        id(weight): group["weight_decay"] for group in run.stepper.optimizer.param_groups for weight in group["params"]
    }
    for name, weight in run.model.named_parameters():
        assert decays[id(weight)] == (0.01 if weight.ndim > 1 else 0.0), name


def test_bf16_trains_weights_that_stay_in_single_precision_beside_a_trainer_in_fp32(tmp_path: Path):
    ends = {}
    for precision in ("fp32", "bf16"):
        run = trainer(tmp_path / precision, recipe(max_steps=4, precision=precision))
        run.train()
        assert {weight.dtype for weight in run.model.parameters()} == {torch.float32}
        ends[precision] = [record["loss"] for record in records(tmp_path / precision)]
    assert ends["fp32"] != ends["bf16"]
    assert_close(ends["bf16"], ends["fp32"], rtol=0.05, atol=0)


def test_muon_makes_matrices_orthogonal_and_resumes_exactly(tmp_path: Path):
    from frcrn.training.muon import orthogonal

    values = torch.linalg.svdvals(orthogonal(torch.randn(12, 30)))
    assert 0.6 < values.min() <= values.max() < 1.3
    for name, stops in (("whole", (8,)), ("parts", (5, 8))):
        for number, steps in enumerate(stops):
            trainer(tmp_path / name, recipe(max_steps=steps, optimizer="muon", decay_from=1.0)).train(resume=number > 0)
    whole, parts = (last_state(tmp_path / name) for name in ("whole", "parts"))
    assert same(whole["optimizer"], parts["optimizer"])
    assert same(whole["model"], parts["model"])


class Bursting(FRCRN):
    """Gives something that is not finite in some passes."""

    passes = 0
    bad: tuple[int, ...] = ()

    def forward(self, wave: torch.Tensor) -> Estimate:
        self.passes += self.training
        return super().forward(wave * math.nan if self.training and self.passes in self.bad else wave)


def test_taps_of_memories_can_learn_faster_than_the_rest():
    from frcrn.training.muon import Muon

    taps, scale = (nn.Parameter(torch.zeros(shape)) for shape in ((6, 1, 5, 1), (6,)))
    for factor in (1.0, 3.0):
        for weight in (taps, scale):
            weight.data.zero_()
            weight.grad = torch.ones_like(weight)
        Muon([taps, scale], 0.01, (0.9, 0.99), 0.0, factor).step()
        assert_close(taps.data, torch.full_like(taps, -0.01 * factor))
        assert_close(scale.data, torch.full_like(scale, -0.01))


def test_a_step_without_a_finite_gradient_is_left_out_and_counted(tmp_path: Path):
    model = network(Bursting)
    model.bad = (3, 6, 7)
    seen: list[dict[str, torch.Tensor]] = []
    trainer(tmp_path / "run", recipe(max_steps=9), model=model, watcher=lambda *_: seen.append(weights(model))).train()
    parameters = [name for name, _ in model.named_parameters()]
    unchanged = [
        all(torch.equal(a[name], b[name]) for name in parameters) for a, b in zip(seen, seen[1:], strict=False)
    ]
    assert unchanged == [False, True, False, False, True, True, False, False]
    assert [record["skipped"] for record in records(tmp_path / "run")] == [0, 0, 1, 1, 1, 2, 3, 3, 3]
    assert all(torch.isfinite(value).all() for now in seen for value in now.values())
    assert [record["step"] for record in records(tmp_path / "run") if "loss" not in record] == [3, 6, 7]


def test_many_steps_without_a_finite_gradient_in_a_row_end_the_run_in_one_sentence(tmp_path: Path):
    model = network(Bursting)
    model.bad = tuple(range(4, 99))
    with pytest.raises(ValueError, match="step 6: the gradient was not finite 3 times in a row") as caught:
        trainer(tmp_path / "run", recipe(nonfinite_limit=3), model=model).train()
    assert "\n" not in str(caught.value)


def test_samples_that_are_no_numbers_become_silence():
    broken = {"noisy": torch.tensor([1.0, math.nan, math.inf]), "clean": torch.tensor([1.0, 2.0, -math.inf])}
    assert collate([broken])["noisy"].tolist() == [[1.0, 0.0, 0.0]]
    assert collate([broken])["clean"].tolist() == [[1.0, 2.0, 0.0]]
    with pytest.raises(ValueError, match="expected examples of one length, found 2 and 3"):
        collate([broken, {"noisy": torch.zeros(2), "clean": torch.zeros(2)}])


# the stream of examples


def test_every_epoch_has_every_example_once_in_an_order_of_its_own():
    taken = iter(BatchOrder(7, 3, seed=1))
    places = [place for _ in range(14) for place in next(taken)]
    epochs = [[index for epoch, index in places if epoch == number] for number in range(6)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert epochs[0] != [index for _, index in [BatchOrder(7, 3, seed=2).example(place) for place in range(7)]]


@pytest.mark.parametrize("parts", [2, 3])
def test_processes_share_the_batches_that_one_would_take(parts: int):
    whole = iter(BatchOrder(7, 2 * parts, seed=1, start=5))
    shares = [iter(BatchOrder(7, 2, seed=1, start=5, part=part, parts=parts)) for part in range(parts)]
    for _ in range(9):
        assert next(whole) == [place for share_of in shares for place in next(share_of)]


# the learning rate


def test_the_rate_warms_up_stays_and_falls_to_its_end():
    plan = Train(max_steps=100, lr=2.0, warmup_steps=10, decay_from=0.5, final_lr=0.1)
    rates = [learning_rate(plan, Progress(step=step)) for step in range(100)]
    assert_close(rates[:10], [0.2 * step for step in range(1, 11)])
    assert set(rates[9:51]) == {2.0}
    assert all(a > b for a, b in zip(rates[50:], rates[51:], strict=False))
    assert_close(rates[75], 2.0 * 0.55)
    assert_close(learning_rate(plan, Progress(step=100)), 0.2)


def test_a_run_by_the_clock_decays_to_its_end_too():
    plan = Train(max_minutes=10, max_steps=1000)
    assert learning_rate(plan, Progress(step=1, elapsed=300)) == pytest.approx(0.5e-3)
    assert learning_rate(plan, Progress(step=750, elapsed=300)) < 0.15e-3
    assert share(plan, Progress(step=1, elapsed=600)) == 1
    assert learning_rate(plan, Progress(step=1, elapsed=600)) == 0


def test_a_plateau_lowers_the_rate_as_torch_does():
    plan = Train(max_steps=99, schedule="plateau", plateau_factor=0.5, plateau_patience=2, lr=1.0)
    progress, optimizer = Progress(), torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=2, threshold=0)
    for score in (1, 2, 2, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1):
        note_score(plan, progress, score)
        reference.step(score)
        assert learning_rate(plan, progress) == optimizer.param_groups[0]["lr"]


def test_a_score_that_is_no_number_is_never_the_best():
    progress = Progress()
    assert [note_score(Train(max_steps=1), progress, score) for score in (math.nan, 1.0, math.nan, 2.0)] == [0, 1, 0, 1]


# evaluation


class Rising(Tones):
    """A validation set on which nothing can be learnt: its clean waves are noise."""

    def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
        example = super().__getitem__(key)
        return {"noisy": example["clean"], "clean": torch.randn(SAMPLES, generator=torch.Generator().manual_seed(7))}


def test_the_output_has_the_best_weights_and_early_stop_ends_a_run_that_gets_no_better(tmp_path: Path):
    plan = recipe({"every": 2, "best": "loss"}, max_steps=60, patience=2, lr=0.05)
    result = trainer(tmp_path / "run", plan, valid_data=Rising(3)).train()
    judged = records(tmp_path / "run", "eval")
    assert result.reason == "no better after 2 evaluations"
    assert result.best == min(record["loss"] for record in judged) == judged[-3]["loss"]
    scorer = trainer(tmp_path / "run", plan, valid_data=Rising(3))
    assert_close(scorer.evaluate("best")["loss"], result.best, rtol=1e-5, atol=0)
    assert_close(scorer.evaluate("last")["loss"], judged[-1]["loss"], rtol=1e-5, atol=0)
    newest = checkpoints.found(tmp_path / "run" / "checkpoints")[0]
    assert scorer.evaluate(newest) == scorer.evaluate("last")


def test_evaluation_means_are_over_the_examples_with_a_value(tmp_path: Path):
    class Half(Tones):
        def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
            example = super().__getitem__(key)
            return {**example, "clean": example["clean"] * (key[1] % 2)}

    run = trainer(tmp_path / "run", recipe({"examples": 4}), valid_data=Half(9), model=network())
    totals, samples = validate(run.average.model, Half(9), run.losses, run.recipe.evaluation)
    assert totals.sums["loss"][1] == 4
    assert totals.sums["si_snr"][1] == 2
    assert len(samples) == 2
    split = [
        validate(run.average.model, Half(9), run.losses, run.recipe.evaluation, part=p, parts=2)[0] for p in (0, 1)
    ]
    split[0].merge(split[1])
    merged, whole = split[0].means(), totals.means()
    silent = [f"example {number}: the clean clip is silent" for number in (0, 2)]
    assert merged.pop("failed") == whole.pop("failed") == silent
    assert_close(merged, whole)


def test_clips_get_pesq_and_stoi_and_those_that_have_none_are_named(tmp_path: Path):
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    from tests.made_audio import noise, speech

    class Speech(Tones):
        def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
            if key[1]:
                return super().__getitem__(key)
            clean = torch.from_numpy(speech(2.0, seed=1))
            return {"clean": clean, "noisy": clean + torch.from_numpy(noise(2.0, seed=2))}

    run = trainer(tmp_path / "run", recipe({"clips": 2}), valid_data=Speech(3))
    scores = run.evaluate()
    assert 1 <= scores["pesq"] <= 4.7
    assert 0 <= scores["stoi"] <= 1
    assert (scores["pesq_clips"], scores["examples"]) == (1, 3)
    assert all(reason.startswith("example 1: ") for reason in scores["failed"])


# what it leaves behind


def test_the_output_loads_by_load_and_by_the_trainer_again(tmp_path: Path):
    run = trainer(tmp_path / "run", recipe(max_steps=3))
    output = run.train().output
    loaded = frcrn.load(output)
    wave = 0.1 * torch.randn(1, SAMPLES)
    with torch.no_grad():
        assert_close(loaded(wave).wave, run.settled()(wave).wave)
    assert loaded.trained
    values = recipe(max_steps=1, init_from=str(output))
    assert same(weights(trainer(tmp_path / "again", values).model), weights(run.settled()))
    del values["model"]
    again = trainer(tmp_path / "again", values)
    assert same(weights(again.model), weights(run.settled()))
    assert again.train().step == 1
    assert not same(weights(again.model), weights(run.average.model))


def test_the_output_loads_by_the_pipeline(tmp_path: Path):
    pipelines = pytest.importorskip("modelscope.pipelines")
    plugin = pytest.importorskip("frcrn.plugin")
    assert plugin is not None
    run = trainer(tmp_path / "run", recipe(max_steps=2))
    output = run.train().output
    from tests.made_audio import save, speech

    noisy = save(tmp_path / "noisy.wav", speech(0.5, seed=1))
    found = pipelines.pipeline("acoustic-noise-suppression", model=str(output))(str(noisy))["output_pcm"]
    assert len(found) == 2 * 8000


def test_a_run_leaves_logs_checkpoints_the_recipe_and_nothing_half_written(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    folder = tmp_path / "run"
    before = list(logging.getLogger("frcrn.training").handlers)
    trainer(folder, recipe(max_steps=17, keep=2), valid_data=Tones(2)).train()
    assert {path.name for path in folder.iterdir()} == {
        "checkpoints",
        "output",
        "log.jsonl",
        "train.log",
        "recipe.json",
    }
    assert [path.name for path in checkpoints.found(folder / "checkpoints")] == [
        "step_000000017.ckpt",
        "step_000000016.ckpt",  # scored better
    ]
    assert not [path for path in folder.rglob("*") if "part" in path.name]
    assert [record["step"] for record in records(folder)] == list(range(1, 18))
    assert [record["step"] for record in records(folder, "eval")] == [4, 8, 12, 16, 17]
    lines = (folder / "train.log").read_text().splitlines()
    assert sum(" train step " in line for line in lines) == 17
    assert json.loads((folder / "recipe.json").read_text()) == parse(recipe(max_steps=17, keep=2)).to_dict()
    assert records(folder)[-1]["hours"] == pytest.approx(17 * 3 * SAMPLES / 16000 / 3600)
    assert logging.getLogger("frcrn.training").handlers == before
    assert capsys.readouterr() == ("", "")


def test_tensorboard_gets_numbers_sound_and_spectrograms(tmp_path: Path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "run"
    trainer(folder, recipe(max_steps=4, tensorboard=True), valid_data=Tones(3)).train()
    board = events.EventAccumulator(str(folder / "tensorboard"))
    board.Reload()
    tags = board.Tags()
    assert {"train/loss", "train/lr", "eval/si_snr"} <= set(tags["scalars"])
    sounds = {f"example_{number}/{name}" for number in (0, 1) for name in ("noisy", "clean", "enhanced")}
    assert set(tags["audio"]) == set(tags["images"]) == sounds
    assert [event.value for event in board.Scalars("train/loss")] == pytest.approx(
        [record["loss"] for record in records(folder)]
    )


# several processes


def train_frozen(folder: Path, batch_size: int, accumulate: int = 1) -> None:
    """Batch norm is frozen here: over processes its statistics would be those of each process's own share."""
    values = recipe({"every": 2}, max_steps=5, batch_size=batch_size, accumulate=accumulate, save_every=2)
    trainer(folder, values, model=network(Frozen), valid_data=Tones(3)).train()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_are_one_with_the_doubled_batch(tmp_path: Path, accumulate: int):
    assert together(train_frozen, tmp_path / "two", 2, accumulate) == [0, 0]
    train_frozen(tmp_path / "one", 4, accumulate)
    one, two = (records(tmp_path / name) for name in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert_close(b["loss"], a["loss"], rtol=1e-5, atol=1e-5)
        assert_close(b["grad_norm"], a["grad_norm"], rtol=1e-4, atol=1e-5)
    judged = (records(tmp_path / name, "eval") for name in ("one", "two"))
    for a, b in zip(*judged, strict=True):
        assert_close(b["si_snr"], a["si_snr"], rtol=1e-3, atol=1e-3)
        assert b["examples"] == a["examples"] == 3
    states = [last_state(tmp_path / name) for name in ("one", "two")]
    assert_close(states[1]["model"], states[0]["model"], rtol=1e-3, atol=1e-5)
    assert_close(states[1]["average"], states[0]["average"], rtol=1e-3, atol=1e-5)
    assert len(states[1]["generators"]) == 2
    assert states[0]["progress"]["examples"] == states[1]["progress"]["examples"] == 5 * 4 * accumulate


# what it refuses


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def act(values: dict[str, Any]) -> None:
        *sections, last = path.split(".")
        for section in sections:
            values = values[section]
        values[last] = value

    return act


REFUSALS = [
    (change("trian", {}), "recipe: unknown key 'trian'; accepted: train, loss, model, data, valid, evaluation"),
    (change("train.max_step", 3), "recipe.train: unknown key 'max_step'"),
    (change("train.max_steps", None), "recipe.train.max_steps: expected a number here or in train.max_minutes"),
    (change("train.max_steps", 0), "recipe.train.max_steps: expected more than 0, found 0"),
    (change("train.max_steps", 2.5), "recipe.train.max_steps: expected a whole number or null, found 2.5"),
    (change("train.batch_size", 0), "recipe.train.batch_size: expected 1 or more, found 0"),
    (change("train.lr", "fast"), "recipe.train.lr: expected a number, found 'fast'"),
    (change("train.lr", -1), "recipe.train.lr: expected more than 0, found -1"),
    (change("train.lr", math.nan), "recipe.train.lr: expected a number, found nan"),
    (change("train.betas", [0.9]), "recipe.train.betas: expected two"),
    (change("train.ema_decay", 1), "recipe.train.ema_decay: expected 0 or more, below 1"),
    (change("train.tensorboard", 1), "recipe.train.tensorboard: expected true or false, found 1"),
    (change("train.precision", "fp16"), "recipe.train.precision: expected 'fp32' or 'bf16', found 'fp16'"),
    (change("train.schedule", "plateau"), "recipe.train.schedule: needs a validation set"),
    (change("train.patience", 2), "recipe.train.patience: needs a validation set"),
    (change("train.device", "tpu"), "recipe.train.device: expected one of auto, cpu"),
    (change("train.init_from", "/nowhere"), "/nowhere: no such model"),
    (change("evaluation.clips", -1), "recipe.evaluation.clips: expected 0 or more"),
    (change("evaluation.best", "pesq"), "recipe.evaluation.clips: expected 1 or more, for best = pesq, found 0"),
    (change("model.preset", "huge"), "recipe.model.preset: expected one of official, compact, tiny, found 'huge'"),
    (change("model.name", "unet"), "recipe.model.name: expected one of dtln, frcrn"),
    (change("model.depth", 3), "unknown key 'depth'; accepted: sample_rate"),
    (change("model.levels", [[2, [99, 2]]]), "recipe.model: level 0"),
    (change("model", {}), "recipe.model: expected a network here, or weights in train.init_from"),
    (change("loss", {}), "loss: expected a table by name"),
    (change("loss", 3), "recipe.loss: expected a table, found 3"),
    (
        change("loss", [{"name": "si_snr", "weight": 2}]),
        'recipe.loss: expected a table by name, found a list; write it as {"si_snr": {"weight": 2}}',
    ),
    (change("train", []), "recipe.train: expected a table of settings"),
    (change("data", {"kind": "dsn"}), "recipe.data.kind: expected one of"),
    (change("data", {"kind": "dns", "folder": "/nowhere"}), "/nowhere"),
    (change("data", {}), "recipe.data: expected a training set, found none"),
]


@pytest.mark.parametrize(("spoil", "message"), REFUSALS, ids=[message[:48] for _, message in REFUSALS])
def test_an_impossible_recipe_is_refused_in_one_sentence_before_anything_starts(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], message: str
):
    values = json.loads(json.dumps(recipe()))
    spoil(values)
    with pytest.raises(ValueError) as caught:
        Trainer(values, work_dir=tmp_path / "run", train_data=None if "data" in values else Tones())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Tones(0), "recipe.data: the set is empty"),
        ([], "recipe.data: the set is empty"),
        ({(0, 0): torch.zeros(9)}, "recipe.data: expected examples with noisy and clean, found Tensor"),
        ({(0, 0): {"noisy": torch.zeros(9), "clean": torch.zeros(8)}}, "found shapes (9,) and (8,)"),
        ({(0, 0): {"noisy": torch.zeros(1, 9), "clean": torch.zeros(1, 9)}}, "found shapes (1, 9) and (1, 9)"),
    ],
)
def test_an_impossible_set_is_refused_in_one_sentence(tmp_path: Path, data: Any, message: str):
    with pytest.raises(ValueError) as caught:
        trainer(tmp_path / "run", train_data=data)
    assert message in str(caught.value)


def test_weights_that_do_not_fit_are_refused_or_taken_in_part(tmp_path: Path):
    output = trainer(tmp_path / "run", recipe(max_steps=1)).train().output
    values = recipe(init_from=str(output))
    values["model"] = {**MODEL, "stages": 2}
    with pytest.raises(ValueError, match="recipe.model.stages: expected 1, as the weights of"):
        trainer(tmp_path / "two", values)
    values["train"]["init_partial"] = True
    model, first = trainer(tmp_path / "two", values).model, frcrn.load(output)
    assert torch.equal(model.unets[0].head.re.weight, first.unets[0].head.re.weight)


def test_a_larger_network_starts_by_doing_what_the_smaller_one_did(tmp_path: Path):
    tiny = FRCRNConfig.tiny(add_skips=True, time_hidden=5).to_dict()
    plain = [{**level, "se": False} for level in tiny["levels"]]
    small = FRCRN(FRCRNConfig.from_dict({**tiny, "levels": plain})).eval()
    for layer in small.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    save_directory(small, tmp_path / "small")
    config = small.config.to_dict()
    levels = [{**level, "channels": level["channels"] + 3} for level in config["levels"]]
    larger = {**config, "levels": levels, "head_channels": 3, "time_hidden": 9}
    values = {**recipe(init_from=str(tmp_path / "small"), init_grown=True), "model": larger}
    model = choose_model(parse(values), None).eval()
    wave = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(wave).wave, small(wave).wave, atol=1e-5, rtol=0)
    model.train()(wave).wave.square().sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())
    refused = [
        ({"stages": 3}, "has no such layer"),
        ({"time_hidden": 2}, "does not fit into"),
        ({"add_skips": False}, "add_skips: expected true"),
    ]
    for wrong, message in refused:
        with pytest.raises(ValueError, match=message):
            choose_model(parse({**values, "model": {**larger, **wrong}}), None)


def test_a_network_that_is_to_look_ahead_starts_by_doing_what_the_causal_one_did(tmp_path: Path):
    levels = (Level(4, (8, 1), (8, 1), 8, se=False), Level(6, (3, 2), (3, 2), padding=1, se=False, time=5))
    causal = tiny(levels=levels, stages=1, add_skips=True)
    save_directory(causal, tmp_path / "causal")
    larger = {**causal.config.to_dict(), "ahead": 3}
    values = {**recipe(init_from=str(tmp_path / "causal"), init_grown=True), "model": larger}
    model, wave = choose_model(parse(values), None).eval(), noise(1, 12000)
    # at the beginning its later layers have already answered for frames before the first
    same = slice(4 * model.late * model.hop, None)
    with torch.no_grad():
        torch.testing.assert_close(model(wave).wave[:, same], causal(wave).wave[:, same], atol=1e-5, rtol=0)
    model.train()(wave).wave.square().sum().backward()
    assert model.unets[0].bottleneck[0].re.memory.weight.grad[:, :, -3:].abs().min() > 0


def test_a_folder_with_another_run_is_refused(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="not empty; resume the run in it"):
        trainer(tmp_path / "run").train()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"mine.txt"}


def test_resume_in_a_fresh_folder_starts(tmp_path: Path):
    assert trainer(tmp_path / "run", recipe(max_steps=1)).train(resume=True).step == 1


# the command line


RECIPES = [path for path in (Path(__file__).parent.parent / "configs").glob("*.json") if "train" in path.read_text()]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_configurations_are_whole(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "dnsmos").mkdir(parents=True)
    judge_network(tmp_path / "data" / "dnsmos" / "model_v8.onnx")
    for stage in stages_of(tables(path)):
        recipe = stage.recipe
        model = build_model(recipe.model) if recipe.model else frcrn.load(recipe.train.init_from or "")
        assert build_losses(recipe.loss, window=model.window, hop=model.hop).parts
        for table in (recipe.data, *recipe.data.get("parts", ()), recipe.valid):
            values = {key: value for key, value in table.items() if key != "kind"}
            kinds = {"mixing": MixingConfig, "dns": DnsConfig, "blend": BlendConfig}
            assert config.build(kinds[table["kind"]], values, "data")


def mixing_recipe(folder: Path, **train: Any) -> None:
    """Write small.json and the made speech and noise that it mixes."""

    corpus(folder, speakers=2, each=2)
    mixing = {"kind": "mixing", "speech": ["speech"], "noise": ["noise"], "seconds": 0.2, "length": 6, "split": "all"}
    (folder / "small.json").write_text(json.dumps({**recipe(**train), "data": mixing}))


def test_frcrn_train_trains_resumes_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    mixing_recipe(tmp_path, max_steps=2, save_every=1)
    assert main(["train", "small.json"]) == 0
    assert (
        capsys.readouterr().out
        == f"{Path('runs/small/output')}: step 2, the budget is used; it holds the last weights\n"
    )
    assert main(["train", "small.json", "--resume", "--set", "train.max_steps=3"]) == 0
    assert (
        capsys.readouterr().out
        == f"{Path('runs/small/output')}: step 3, the budget is used; it holds the last weights\n"
    )
    # a checkpoint is a model too, of the averaged weights
    saved, output = frcrn.load("runs/small/checkpoints/step_000000003.ckpt"), frcrn.load("runs/small/output")
    assert saved.config == output.config
    assert all(torch.equal(*pair) for pair in zip(saved.parameters(), output.parameters(), strict=True))
    assert (
        main(
            ["train", "small.json", "-w", "other", "--init-from", "runs/small/output", "--set", "loss.si_snr.weight=2"]
        )
        == 0
    )
    assert json.loads(Path("other/recipe.json").read_text())["loss"]["si_snr"]["weight"] == 2
    capsys.readouterr()
    for arguments, message in (
        (["small.json"], "runs/small: not empty; resume the run in it (--resume) or choose another folder"),
        (["none.json"], "none.json: expected a recipe in JSON, found no such file"),
        (["small.json", "-w", "x", "--set", "train.lr"], "'train.lr': expected SECTION.KEY=VALUE"),
        (["small.json", "-w", "x", "--set", "loss.stio.weight=1"], "loss.stio: expected one of si_snr, snr, stoi"),
        (["small.json", "-w", "x", "--set", "data.speech.7=a"], "data.speech.7: nothing there to change at '7'"),
        (["small.json", "-w", "x", "--set", "train.max_steps.x=1"], "train.max_steps.x: train.max_steps is a single"),
        (["small.json", "-w", "x", "--set", "data.speech=[]"], "recipe.data.speech: expected at least one folder"),
        (["small.json", "-w", "x", "--max-minutes", "0"], "recipe.train.max_minutes: expected more than 0"),
    ):
        assert main(["train", *arguments]) == 2
        said = capsys.readouterr()
        assert message in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""
    assert not Path("x").exists()


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(tmp_path, 1, {"step": 1}, keep=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_accelerate_launch_runs_the_command_in_two_processes(tmp_path: Path):
    import subprocess
    import sys

    mixing_recipe(tmp_path, max_steps=4, save_every=2)
    root = str(Path(__file__).parent.parent)
    # on processors, too, this is what starts several processes by torchrun; with --cpu they want MPI
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(free_port())]
    done = subprocess.run(
        [*launch, "-m", "frcrn", "train", "small.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 4, the budget is used") == 1
    assert last_state(tmp_path / "runs" / "small")["progress"]["examples"] == 4 * 2 * 3


SHARED, UNKNOWN = "are in both recipe.data and recipe.valid", "nothing tells who speaks in which recording"


@pytest.mark.parametrize(
    ("share", "folder", "said"),
    [(0.4, "speech", set()), (0.1, "speech", {SHARED}), (0.4, "speech/alpha", {UNKNOWN})],
    ids=["the same", "another", "unknown speakers"],
)
def test_recordings_of_both_sides_are_said(share: float, folder: str, said: set[str], tmp_path: Path):
    corpus(tmp_path)
    data = {
        "kind": "mixing",
        "speech": [str(tmp_path / folder)],
        "noise": [str(tmp_path / "noise")],
        "cache": str(tmp_path / "audio.cache"),
        "seconds": 0.1,
        "length": 4,
        "room_share": 0,
        "valid_share": share,
    }
    table = recipe(max_steps=1) | {"data": data, "valid": data | {"split": "valid", "valid_share": 0.4}}
    Trainer(table, work_dir=tmp_path / "run").train()
    log = (tmp_path / "run" / "train.log").read_text()
    assert {words for words in (SHARED, UNKNOWN) if words in log} == said


class Spoiled(Tones):
    """A set with a sample that is no number in its first example."""

    def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
        example = super().__getitem__(key)
        if key[1] == 0:
            example["noisy"][7] = math.nan
        return example


def test_a_validation_example_that_is_no_sound_is_left_out_and_said_once(tmp_path: Path):
    plan = recipe({"every": 2, "best": "loss"}, max_steps=4)
    result = trainer(tmp_path / "run", plan, valid_data=Spoiled(3)).train()
    assert result.held == "best" and result.best is not None and math.isfinite(result.best)
    said = "validation examples left out: 1, such as example 0: it has samples that are no finite numbers"
    assert (tmp_path / "run" / "train.log").read_text().count(said) == 1
    for record in records(tmp_path / "run", "eval"):
        assert record["examples"] == 2 and len(record["failed"]) == 1


def test_what_is_no_number_is_null_in_the_log(tmp_path: Path):
    with Tracker(tmp_path, step=-1, tensorboard=False) as tracker:
        tracker.record("eval", 1, {"loss": math.nan, "start": {"loss": math.inf, "si_snr": 1.0}})
    assert '"loss": null, "start": {"loss": null, "si_snr": 1.0}' in (tmp_path / "log.jsonl").read_text()


@pytest.mark.parametrize("workers", [0, slow(1)])
def test_examples_that_are_no_sound_are_counted_and_said_once(tmp_path: Path, workers: int):
    trainer(tmp_path / "run", recipe(max_steps=6, workers=workers), train_data=Spoiled()).train()
    said = " examples have samples that are no finite numbers, which are taken for silence"
    assert (tmp_path / "run" / "train.log").read_text().count(said) == 1


def test_a_set_in_which_nothing_is_a_sound_is_refused(tmp_path: Path):
    class Silent(Tones):
        def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
            return {**super().__getitem__(key), "noisy": torch.full((SAMPLES,), math.nan)}

    with pytest.raises(ValueError, match=r"recipe.data: all of the first 18 examples have samples that are no finite"):
        trainer(tmp_path / "run", recipe(max_steps=12), train_data=Silent()).train()
