"""The opinion of listeners that DNSMOS P.808 predicts without the clean wave, as something that can be learned.

`frcrn.evaluation.metrics.dnsmos` has the measure itself, for scores; the network is the file that it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from frcrn.audio import MissingPackage
from frcrn.evaluation.metrics.dnsmos import MEL_HOP, MEL_WINDOW, RATE, mel_filters
from frcrn.texts import content_of

MOST_BYTES = 1 << 26
OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "Conv": lambda x, weight, bias: F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2),
    "Relu": F.relu,
    "MaxPool": lambda x: F.max_pool2d(x, 2),
    "ReduceMax": lambda x: x.amax(dim=(2, 3)),
    "MatMul": torch.matmul,
    "Add": torch.add,
}
LAYOUT = ("Unsqueeze", "Transpose")
"""What only moves the channels of a picture, which are first here throughout."""


class Listener(NamedTuple):
    """The network on one device."""

    steps: tuple[tuple[str, tuple[Tensor, ...]], ...]
    """Each operation with its weights."""
    mel: Tensor
    """[F, 120]."""
    taper: Tensor

    def opinion(self, wave: Tensor) -> Tensor:
        """[B, T] at 16 kHz -> [B], 1 to 5; the measure itself takes the mean over pieces of 9.01 s."""
        x = self.log_mel(wave)[:, None]
        for name, weights in self.steps:
            x = OPERATIONS[name](x, *weights)
        return x.squeeze(1)

    def log_mel(self, wave: Tensor) -> Tensor:
        """[B, T] -> [B, N, 120]: mel spectrum in dB under its peak, 80 dB deep, scaled around -40 dB."""
        frames = F.pad(wave, (MEL_WINDOW // 2, MEL_WINDOW // 2)).unfold(1, MEL_WINDOW, MEL_HOP)
        spectrum = torch.fft.rfft(frames * self.taper)
        power = (spectrum.real.square() + spectrum.imag.square()) @ self.mel
        level = 10 * power.clamp(min=1e-10).log10()
        under_peak: Tensor = (level - level.amax(dim=(1, 2), keepdim=True)).clamp(min=-80.0)
        return (under_peak + 40) / 40


@lru_cache(maxsize=4)
def listener(file: str, device: torch.device) -> Listener:
    """Read the network from its ONNX file."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise MissingPackage('the loss dnsmos needs onnx: pip install "frcrn[onnx]"') from error
    try:
        content = content_of(Path(file), MOST_BYTES)
    except FileNotFoundError:
        found_at = "microsoft/DNS-Challenge has it as DNSMOS/DNSMOS/model_v8.onnx"
        raise ValueError(f"{file}: no such file; {found_at}") from None
    try:
        graph = onnx.load_from_string(content).graph
        if any(each.external_data for each in graph.initializer):
            raise ValueError("weights in other files")
        weights = {each.name: torch.tensor(numpy_helper.to_array(each)) for each in graph.initializer}
        steps = tuple(
            (node.op_type, tuple(weights[name].to(device) for name in node.input if name in weights))
            for node in graph.node
            if node.op_type not in LAYOUT
        )
        taper = torch.hann_window(MEL_WINDOW, device=device)
        found = Listener(steps, torch.tensor(mel_filters().T, dtype=torch.float32, device=device), taper)
        if found.opinion(torch.zeros(1, RATE, device=device)).shape != (1,):
            raise ValueError("not one opinion")
    except Exception as error:
        raise ValueError(f"{file}: not the DNSMOS P.808 network (model_v8.onnx)") from error
    return found
