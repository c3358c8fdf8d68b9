"""Steps that are taken on the device alone against those of the plain stepper; only the recording needs a GPU."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from frcrn.models import FRCRN
from frcrn.training import Trainer, graphed
from frcrn.training.batches import collate
from frcrn.training.distributed import Processes
from frcrn.training.ema import Average
from frcrn.training.graphed import Graphed
from frcrn.training.losses.objective import build_losses
from frcrn.training.recipe import Train, parse
from frcrn.training.step import Stepper
from tests.training_runs import Frozen, Tones, last_state, network, recipe, records, same, trainer


def stepper(kind: type[Stepper], cls: type[FRCRN] = Frozen, **options: Any) -> Stepper:
    model = network(cls)
    plan = Train(max_steps=9, optimizer="muon", lr=0.01, betas=(0.9, 0.99), ema_decay=0.9)
    losses = build_losses({"si_snr": {}, "compressed_spectrum": {}}, window=64, hop=32)
    return kind(model, Average(model, 0.9), losses, plan, Processes("cpu"), **options)


def taken(one: Stepper, bad: int, rate: float = 0.01) -> list[bool]:
    """Take five steps, of which one has no finite gradient."""
    data, found = Tones(), []
    for number in range(1, 6):
        batch = collate([data[0, 2 * number - 2], data[0, 2 * number - 1]])
        if number == bad:
            batch["noisy"] = torch.full_like(batch["noisy"], math.inf)
        found.append(one.step([batch], rate / number, number))
    return found


@pytest.mark.parametrize(
    # batch norms take the gradient from biases before them, and Adam makes steps of what rounding leaves
    ("cls", "rate", "bad"),
    [(Frozen, 0.01, 0), (Frozen, 0.01, 1), (Frozen, 0.01, 3), (FRCRN, 0.0, 3)],
)
def test_steps_are_those_of_the_plain_stepper(cls: type[FRCRN], rate: float, bad: int) -> None:
    plain, other = stepper(Stepper, cls), stepper(Graphed, cls, capture=False)
    assert taken(plain, bad, rate) == [number != bad for number in range(1, 6)]
    taken(other, bad, rate)
    assert other.left_out() == (int(bad > 0), 0)
    assert other.left_out() == (0, 0)
    one, two = plain.state(), other.state()
    assert one["counted"] == two["counted"] == 5 - (bad > 0)
    for key in ("sums", "model", "average"):
        torch.testing.assert_close(two[key], one[key], rtol=1e-5, atol=1e-6)
    assert one["optimizer"]["param_groups"] == two["optimizer"]["param_groups"]
    torch.testing.assert_close(two["optimizer"]["state"], one["optimizer"]["state"], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(other.means(), plain.means(), rtol=1e-5, atol=1e-6)
    assert other.means() == {}


def test_a_recorded_step_puts_back_what_its_trials_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the calls of CUDA: the recording is a stand-in that takes a few steps as the real one does."""

    def stand_in(work: Any, own: list[torch.Tensor]) -> Any:
        kept = [value.detach().clone() for value in own]
        for _ in range(4):
            work()
        with torch.no_grad():
            for value, before in zip(own, kept, strict=True):
                value.copy_(before)
        return work

    monkeypatch.setattr(graphed, "recorded", stand_in)
    monkeypatch.setattr(Graphed, "keep_up", lambda self: None)
    plain, other = stepper(Graphed, capture=False), stepper(Graphed, capture=True)
    taken(plain, 2)
    taken(other, 2)
    assert same(plain.state(), other.state())


def test_a_run_is_logged_counted_and_resumed_as_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frcrn.training.trainer.check_graph", lambda *_: None)
    for name, graphs in (("plain", (False, False)), ("in and out", (True, False)), ("graphed", (False, True))):
        for number, (steps, graph) in enumerate(zip((5, 8), graphs, strict=True)):
            values = recipe(max_steps=steps, optimizer="muon", decay_from=1.0, log_every=2, graph=graph)
            run = trainer(tmp_path / name, values, model=network(Frozen))
            run.train(resume=number > 0)
    kinds = {"loss", "grad_norm", "lr", "skipped"}
    for name in ("in and out", "graphed"):
        one, two = ([{k: r[k] for k in kinds} for r in records(tmp_path / each)] for each in ("plain", name))
        torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)
        weights, others = (last_state(tmp_path / each)["average"] for each in ("plain", name))
        torch.testing.assert_close(others, weights, rtol=1e-4, atol=1e-5)
    assert isinstance(run, Trainer) and isinstance(run.stepper, Graphed)


def test_many_steps_without_a_finite_gradient_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frcrn.training.trainer.check_graph", lambda *_: None)
    monkeypatch.setattr(Graphed, "gradients", lambda self, parts: infinite(self, parts))
    values = recipe(max_steps=50, optimizer="muon", graph=True, nonfinite_limit=4, log_every=3, save_every=99)
    with pytest.raises(ValueError, match="step 6: the gradient was not finite 6 times in a row"):
        trainer(tmp_path / "run", values).train()
    assert "loss" not in records(tmp_path / "run")[0]


def infinite(one: Stepper, parts: Any) -> dict[str, torch.Tensor]:
    """Return what a step finds, with a norm that is not finite."""
    values = Stepper.gradients(one, parts)
    return {**values, "grad_norm": values["grad_norm"] * math.inf}


def test_batches_of_other_sizes_are_refused() -> None:
    one, data = stepper(Graphed, capture=False), Tones()
    one.step([collate([data[0, 0], data[0, 1]])], 0.01, 1)
    with pytest.raises(ValueError, match=r"train.graph: expected batches of one size, found \(2, 640\) and \(1, 640\)"):
        one.step([collate([data[0, 2]])], 0.01, 2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "recipe.train.graph: expected one process on a CUDA device, found cpu"),
        ({"optimizer": "adamw"}, "graph: expected false unless optimizer is muon and accumulate is 1"),
        ({"accumulate": 2}, "graph: expected false unless optimizer is muon and accumulate is 1"),
    ],
)
def test_what_has_no_graph_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        trainer(
            tmp_path / "run",
            parse(recipe(**{"optimizer": "muon", "graph": True, "device": "cpu", **changes})).to_dict(),
        )
