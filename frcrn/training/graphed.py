"""An optimizer step as one CUDA graph: recorded once, then started by one call, without waiting for the device.

Thousands of small kernels make up a step of a small network, and starting them one by one takes longer than they do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from frcrn.models.base import Enhancer
from frcrn.training.batches import Batch
from frcrn.training.distributed import Processes
from frcrn.training.ema import Average, tensors
from frcrn.training.losses.objective import Losses
from frcrn.training.muon import Muon
from frcrn.training.recipe import Train
from frcrn.training.step import Stepper

WARM = 3
"""Steps before the one that is recorded, in which kernels are compiled and chosen."""

AHEAD = 3
"""Steps that may wait on the device before the next one is handed to it."""


class Graphed(Stepper):
    """A stepper all of whose values stay on the device; without `capture`, it takes the same steps one by one.

    A step is left out on the device, so that `step` cannot tell and `left_out` does so later.
    """

    optimizer: Muon
    keeps_casts = False  # what is kept in a graph's pool is made anew in every pass

    def __init__(
        self,
        model: Enhancer,
        average: Average[Enhancer],
        losses: Losses,
        plan: Train,
        processes: Processes,
        *,
        capture: bool = True,
    ) -> None:
        super().__init__(model, average, losses, plan, processes)
        self.capture, device = capture, processes.device
        self.rate, self.share, self.row = (torch.zeros((), device=device) for _ in range(3))
        self.names = ["loss", *(f"loss_{name}" for name in losses.parts), "grad_norm"]
        self.total = torch.zeros(len(self.names) + 2, dtype=torch.float64, device=device)
        self.inputs: dict[str, Tensor] = {}
        self.replay: Callable[[], None] | None = None
        self.pending: deque[Any] = deque()
        self.missed = 0

    def step(self, parts: Sequence[Batch], rate: float, number: int) -> bool:
        """Hand the `number`-th step over one batch to the device."""
        (batch,) = parts
        self.lr = rate
        self.rate.fill_(rate)
        self.share.fill_(self.average.share(number))
        if self.replay is None:
            self.inputs = {key: batch[key].to(self.processes.device, copy=True) for key in ("noisy", "clean")}
            self.replay = self.prepare()
        for key, value in self.inputs.items():
            if batch[key].shape != value.shape:
                sizes = f"{tuple(value.shape)} and {tuple(batch[key].shape)}"
                raise ValueError(f"recipe.train.graph: expected batches of one size, found {sizes}; leave it out")
            value.copy_(batch[key], non_blocking=True)
        self.replay()
        self.keep_up()
        return True

    def prepare(self) -> Callable[[], None]:
        """Return what takes a step: a graph that was recorded, or `work` itself."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        moments = self.optimizer.prepare()
        if not self.capture:
            return self.work
        own = [*tensors(self.model), *tensors(self.average.model), *moments, self.total, self.row]
        try:
            return recorded(self.work, own)
        except RuntimeError as error:
            why = str(error).partition("\n")[0]
            raise ValueError(f"recipe.train.graph: a step could not be recorded ({why}); leave it out") from error

    def work(self) -> None:
        """Take a step over what lies in `inputs`, by values on the device alone."""
        self.optimizer.zero_grad(set_to_none=True)
        values = self.gradients([self.inputs])
        fine = torch.isfinite(values["grad_norm"])
        self.optimizer.update(fine)
        self.average.mend()
        self.average.update_where(fine, self.share)
        with torch.no_grad():
            seen = torch.stack([values[name].detach().float() for name in self.names])
            self.total[:-2].add_(torch.where(fine, seen, 0.0))
            self.total[-2:].add_(torch.stack([fine, ~fine]))
            self.row.copy_(torch.where(~fine, self.row + 1, 0.0))

    def keep_up(self) -> None:
        """Wait for the device where it is some steps behind."""
        if not self.capture:
            return
        event = torch.cuda.Event()
        event.record()
        self.pending.append(event)
        while len(self.pending) > AHEAD:
            self.pending.popleft().synchronize()

    def gather(self) -> None:
        """Bring the sums up to date."""
        *values, counted, missed = self.total.tolist()
        self.total.zero_()
        self.missed += round(missed)
        if counted:
            self.note(dict(zip(self.names, map(torch.tensor, values), strict=True)), round(counted))

    def left_out(self) -> tuple[int, int]:
        """Return how many steps were left out since the last call, and in a row by now."""
        self.gather()
        missed, self.missed = self.missed, 0
        return missed, int(self.row)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must hold, as a stepper without a graph would."""
        state = super().state()
        for group in state["optimizer"]["param_groups"]:
            group["lr"] = self.lr
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` returned, and record anew what works on it."""
        self.replay = None
        super().restore(state)


def check_graph(plan: Train, processes: Processes) -> None:
    """Refuse a graph where none can be recorded."""
    found = f"{processes.count} processes" if processes.count > 1 else processes.device.type
    if plan.graph and found != "cuda":
        raise ValueError(f"recipe.train.graph: expected one process on a CUDA device, found {found}; leave it out")


def build_stepper(
    model: Enhancer, average: Average[Enhancer], losses: Losses, plan: Train, processes: Processes
) -> Stepper:
    """Return what takes the steps of a run."""
    if not plan.graph:
        return Stepper(model, average, losses, plan, processes)
    return Graphed(model, average, losses, plan, processes, capture=processes.device.type == "cuda")


def recorded(work: Callable[[], None], own: Sequence[Tensor]) -> Callable[[], None]:
    """Return what does some work on a CUDA device again; what it changed of its `own` tensors so far is put back."""
    torch.cuda.set_device(own[0].device)  # streams and events are the current device's
    kept = [value.detach().clone() for value in own]
    search, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
    side, here = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(here)
    with torch.cuda.stream(side):
        for _ in range(WARM):
            work()
    here.wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    # other threads, which pin the next batches, may go on meanwhile
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    torch.cuda.synchronize()
    torch.backends.cudnn.benchmark = search
    with torch.no_grad():
        for value, before in zip(own, kept, strict=True):
            value.copy_(before)
    torch.cuda.synchronize()
    replay: Callable[[], None] = graph.replay
    return replay
