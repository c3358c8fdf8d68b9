"""One process or several: accelerate finds out which, wraps the network and carries values between them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from frcrn.audio import MissingPackage

Value = TypeVar("Value")


class FailedElsewhere(OSError):
    """Another process of the run met an error, which it says itself."""


class Processes:
    """The processes of a run; in a run of one, nothing is sent anywhere."""

    def __init__(self, device: str = "auto") -> None:
        try:
            from accelerate import Accelerator
        except ImportError:
            raise MissingPackage('training needs accelerate: pip install "frcrn[train]"') from None
        # accelerate joins several processes on processors only where it is told that there is nothing else
        alone = not torch.cuda.is_available() and not torch.backends.mps.is_available()
        # precision and accumulation are the loop's own: accelerate fixes them once for a whole program
        self.accelerator = Accelerator(mixed_precision="no", cpu=device == "cpu" or alone)
        self.count: int = self.accelerator.num_processes
        self.rank: int = self.accelerator.process_index
        self.first: bool = self.accelerator.is_main_process
        own = device == "auto" or self.count > 1
        self.device: torch.device = self.accelerator.device if own else usable(device)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the network in the form whose backward pass averages gradients over the processes."""
        if self.count > 1:
            # kernels with an axis of one have more than one right layout; torch speaks of it once a run and copies
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        wrapped: nn.Module = self.accelerator.prepare_model(model, device_placement=False)
        return wrapped

    def together(self, network: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Return a context in which gradients are averaged on the last batch of a step only."""
        context: contextlib.AbstractContextManager[Any] = (
            contextlib.nullcontext() if last else self.accelerator.no_sync(network)
        )
        return context

    def wait(self) -> None:
        """Wait until every process is here."""
        self.accelerator.wait_for_everyone()

    def all(self, value: Value) -> list[Value]:
        """Return every process's value, in order."""
        if self.count == 1:
            return [value]
        from accelerate.utils import gather_object

        gathered: list[Value] = gather_object([value])
        return gathered

    def agree(self, elapsed: float, number: float) -> tuple[float, float]:
        """Return the largest of each over the processes, so that all take the same decision."""
        if self.count == 1:
            return elapsed, number
        mine = torch.tensor([[elapsed, number]], dtype=torch.float64 if self.device.type == "cpu" else torch.float32)
        both = self.accelerator.gather(mine.to(self.device)).amax(dim=0).tolist()
        return both[0], both[1]

    def alike(self, act: Callable[[], Value], what: str) -> Value:
        """Return what `act` returns; where it fails in one process, raise in all, so that they stay together."""
        failed: Exception | SystemExit | None = None
        try:
            found = act()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - raised once the others know
            failed = error
        if self.agree(float(failed is not None), 0.0)[0] > 0:
            raise failed or FailedElsewhere(f"another process of this run could not {what}, and says why")
        return found

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of each value over the processes."""
        found = self.all(dict(values))
        return {name: sum(each[name] for each in found) / len(found) for name in values}


def usable(device: str) -> torch.device:
    """Return a device that is there, or refuse its name."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError):
        there = "auto, cpu" + ", cuda" * torch.cuda.is_available() + ", mps" * torch.backends.mps.is_available()
        raise ValueError(f"recipe.train.device: expected one of {there}, found {device!r}") from None
    return found
