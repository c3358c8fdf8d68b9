"""Our networks in the framework's form: a model directory in, dicts of tensors through."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from modelscope.models import TorchModel
from torch import Tensor

from frcrn.models import Enhancer, Estimate
from frcrn.models.checkpoint import CheckpointError, load, read_configuration, save_directory
from frcrn.training.losses.objective import Losses, build_losses

logger = logging.getLogger(__name__)

RELEASED_LOSS = ({"name": "mask", "stages": "last", "bound": 2.0}, {"name": "si_snr", "stages": "last"})
UNTRAINED = "%s: there are no trained weights yet, so what comes out is not clean speech"


class FRCRNModel(TorchModel):  # type: ignore[misc]
    """An enhancer whose forward takes and returns dicts with the stock model's keys."""

    def __init__(self, model_dir: str | os.PathLike[str], *, device: str = "gpu", **arguments: Any) -> None:
        """Load the network of a model directory; `arguments` are its configuration, with the changes of the caller."""
        super().__init__(os.fspath(model_dir), device=device)
        self.model = open_network(model_dir, arguments)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
        """Noisy (and clean) [B, T] -> spec_l1, mask_l1 [B, 2F, N], wav_l1 [B, T], the last stage's _l2 (and losses)."""
        estimate: Estimate = self.model(inputs["noisy"])
        outputs: dict[str, Any] = {}
        for number, stage in ((1, estimate.stages[0]), (2, estimate.stages[-1])):
            outputs[f"spec_l{number}"] = stage.spec.flatten(1, 2)
            outputs[f"wav_l{number}"] = stage.wave
            outputs[f"mask_l{number}"] = stage.mask.flatten(1, 2)
        if "clean" in inputs:
            value = self.losses(estimate, inputs["noisy"], inputs["clean"])
            outputs |= {"loss": value.total, "mask_loss": value.parts["mask"], "sisnr": value.parts["si_snr"]}
            outputs["log_vars"] = {name: float(outputs[name].detach()) for name in ("loss", "mask_loss", "sisnr")}
        return outputs

    @cached_property
    def losses(self) -> Losses:
        """The released recipe's loss."""
        return build_losses(RELEASED_LOSS, window=self.model.window, hop=self.model.hop)

    def save_pretrained(self, target_folder: str | os.PathLike[str], *_: Any, **__: Any) -> None:
        """Write a complete model directory."""
        save_directory(self.model, target_folder, trained=self.model.trained)


def open_network(model_dir: str | os.PathLike[str], arguments: Mapping[str, Any]) -> Enhancer:
    """Return the network of a model directory; arguments that differ from its configuration change it."""
    folder = existing(model_dir)
    stored = read_configuration(folder)
    changes = {key: value for key, value in arguments.items() if key not in stored or stored[key] != value}
    network = load(folder, **changes)
    if not network.trained:
        logger.warning(UNTRAINED, folder)
    return network


def existing(model_dir: str | os.PathLike[str]) -> Path:
    """Return the directory, or say plainly that there is none."""
    folder = Path(model_dir)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise CheckpointError(f"{folder}: expected a model directory, found {found}")
    return folder
