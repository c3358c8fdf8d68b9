"""One optimizer step: everything that it changes, and the sums that the next record is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from frcrn.machine import demand_bf16
from frcrn.models.base import Enhancer
from frcrn.training.batches import Batch
from frcrn.training.build import build_optimizer
from frcrn.training.distributed import Processes
from frcrn.training.ema import Average
from frcrn.training.losses.objective import Losses
from frcrn.training.recipe import Train


class Stepper:
    """A network, its optimizer and the average of its weights."""

    keeps_casts = True
    """Whether weights that were cast to half precision are kept for the rest of a pass."""

    def __init__(
        self, model: Enhancer, average: Average[Enhancer], losses: Losses, plan: Train, processes: Processes
    ) -> None:
        self.model, self.average, self.losses, self.plan, self.processes = model, average, losses, plan, processes
        if plan.precision == "bf16":
            demand_bf16(processes.device.type)
        self.optimizer = build_optimizer(model, plan)
        self.network = processes.wrap(model)
        self.sums: dict[str, Tensor] = {}
        self.counted = 0
        self.lr = plan.lr

    def step(self, parts: Sequence[Batch], rate: float, number: int) -> bool:
        """Take the `number`-th step over some batches; where the gradient is not finite, leave it out and say False."""
        self.lr = rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        values = self.gradients(parts)
        if finite := bool(torch.isfinite(values["grad_norm"])):
            self.optimizer.step()
            self.average.update(number)
            self.note(values)
        else:
            self.average.mend()
        self.optimizer.zero_grad(set_to_none=True)
        return finite

    def gradients(self, parts: Sequence[Batch]) -> dict[str, Tensor]:
        """Compute the gradients of some batches, clip them, and return the losses and their norm before."""
        values: dict[str, Tensor] = {}
        for place, batch in enumerate(parts, start=1):
            with self.processes.together(self.network, place == len(parts)):
                for name, value in self.accumulate(batch, len(parts)).items():
                    values[name] = values[name] + value if name in values else value
        limit = self.plan.clip_norm or math.inf
        values["grad_norm"] = torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        return values

    def accumulate(self, batch: Batch, parts: int) -> dict[str, Tensor]:
        """Add the gradients of one batch out of `parts`, and return its share of the losses."""
        device, bf16 = self.processes.device, self.plan.precision == "bf16"
        noisy, clean = (batch[key].to(device, non_blocking=True) for key in ("noisy", "clean"))
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16, cache_enabled=self.keeps_casts):
            estimate = self.network(noisy)
        value = self.losses(estimate, noisy, clean)
        (value.total / parts).backward()
        named = {f"loss_{name}": part / parts for name, part in value.parts.items()}
        return {"loss": value.total.detach() / parts, **named}

    def note(self, values: Mapping[str, Tensor], steps: int = 1) -> None:
        """Add to what the next record says, without waiting for the device."""
        self.counted += steps
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value.detach() if name in self.sums else value.detach()

    def gather(self) -> None:
        """Bring the sums up to date, where they are kept elsewhere."""

    def left_out(self) -> tuple[int, int] | None:
        """Return how many steps were left out since the last call, and in a row by now; None where `step` says so."""
        return None

    def totals(self) -> dict[str, float]:
        """Return the sums since the last record, as the mean over the processes."""
        return self.processes.mean({name: float(value) for name, value in self.sums.items()})

    def means(self) -> dict[str, float]:
        """Return the means since the last record, and start the next."""
        self.gather()
        totals, counted = self.totals(), self.counted
        self.sums, self.counted = {}, 0
        return {name: value / counted for name, value in totals.items()}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold; every process must call it."""
        self.gather()
        return {
            "sums": self.totals(),
            "counted": self.counted,
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` returned."""
        try:
            self.model.load_state_dict(state["model"])
            self.average.model.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError):
            raise ValueError("its checkpoint belongs to another network or optimizer than the recipe's") from None
        device = self.processes.device
        self.sums = {name: torch.tensor(value, device=device) for name, value in state["sums"].items()}
        self.counted = state["counted"]
