"""Our networks in the framework's form: a model directory in, dicts of tensors through."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from modelscope.models import TorchModel
from torch import Tensor

from frcrn.models import Enhancer, Estimate
from frcrn.models.checkpoint import CheckpointError, load, load_for_streams, save_directory
from frcrn.models.directories import read_configuration
from frcrn.training.losses.losses import ideal_mask
from frcrn.training.losses.objective import Losses, build_losses
from frcrn.training.losses.spectra import frames

logger = logging.getLogger(__name__)

RELEASED_LOSS = {"mask": {"stages": "last", "bound": 2.0}, "si_snr": {"stages": "last"}}
UNTRAINED = "%s: there are no trained weights yet, so what comes out is not clean speech"


class FRCRNModel(TorchModel):  # type: ignore[misc]
    """An enhancer whose forward takes and returns dicts with the stock model's keys."""

    def __init__(
        self, model_dir: str | os.PathLike[str], *, device: str = "gpu", stream_mode: bool = False, **arguments: Any
    ) -> None:
        """Load the network of a model directory; `arguments` are its configuration, with the changes of the caller."""
        super().__init__(os.fspath(model_dir), device=device)
        self.model = open_network(model_dir, arguments, stream_mode=stream_mode)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
        """Noisy (and clean) [B, T] -> spec_l1, mask_l1 [B, 2F, N], wav_l1 [B, T], the last stage's _l2 (and losses)."""
        estimate: Estimate = self.model(inputs["noisy"])
        outputs = outputs_of(estimate)
        if "clean" in inputs:
            outputs |= losses_of(estimate, inputs["noisy"], inputs["clean"], self.losses)
        return outputs

    @cached_property
    def losses(self) -> Losses:
        """The released recipe's loss."""
        return build_losses(RELEASED_LOSS, window=self.model.window, hop=self.model.hop)

    def save_pretrained(self, target_folder: str | os.PathLike[str], *_: Any, **__: Any) -> None:
        """Write a complete model directory."""
        save_directory(self.model, target_folder, trained=self.model.trained)


def outputs_of(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate under the stock model's keys: `_l1` is the first stage, `_l2` the last."""
    outputs: dict[str, Any] = {}
    for number, stage in ((1, estimate.stages[0]), (2, estimate.stages[-1])):
        outputs[f"spec_l{number}"] = stage.spec.flatten(1, 2)
        outputs[f"wav_l{number}"] = stage.wave
        outputs[f"mask_l{number}"] = stage.mask.flatten(1, 2)
    return outputs


def losses_of(estimate: Estimate, noisy: Tensor, clean: Tensor, losses: Losses) -> dict[str, Any]:
    """Return the released recipe's losses under the stock model's keys, and as numbers for the log."""
    value = losses(estimate, noisy, clean)
    amplitude, phase = mask_errors(estimate, noisy, clean, losses.parts["mask"][0])
    found = {"loss": value.total, "amp_loss": amplitude, "phase_loss": phase}
    found |= {"mask_loss": value.parts["mask"], "sisnr": value.parts["si_snr"]}
    return {**found, "log_vars": {name: float(part.detach()) for name, part in found.items()}}


@torch.no_grad()
def mask_errors(estimate: Estimate, noisy: Tensor, clean: Tensor, loss: Any) -> tuple[Tensor, Tensor]:
    """Return the two parts of the mask's loss that the stock model names amplitude and phase: real and imaginary."""
    mask = estimate.stages[-1].mask
    bins, count = mask.shape[2:]
    of_noisy, of_clean = (frames(wave, loss.window, loss.hop, count)[:, :, :bins] for wave in (noisy, clean))
    real, imaginary = 2 * bins * (mask - ideal_mask(of_noisy, of_clean, loss.bound)).square().mean(dim=(0, 2, 3))
    return real, imaginary


def open_network(
    model_dir: str | os.PathLike[str], arguments: Mapping[str, Any], *, stream_mode: bool = False
) -> Enhancer:
    """Return the network of a model directory; arguments that differ from its configuration change it."""
    folder = existing(model_dir)
    stored = read_configuration(folder)
    changes = {key: value for key, value in arguments.items() if key not in stored or stored[key] != value}
    network = load_for_streams(folder, changes) if stream_mode else load(folder, **changes)
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
