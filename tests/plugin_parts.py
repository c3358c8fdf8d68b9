"""What the plugin's tests share: model directories, rows of training data, processes of their own, a closed network."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from frcrn import FRCRN, FRCRNConfig
from frcrn.models.checkpoint import save, save_directory
from frcrn.models.released import ARGUMENTS
from tests import networks
from tests.made_audio import noise, speech

ROOT = Path(__file__).parent.parent
TASK = "acoustic-noise-suppression"

OFFICIAL = {
    "framework": "pytorch",
    "task": TASK,
    "model": {"type": "speech_frcrn_ans_cirm_16k", **ARGUMENTS},
    "preprocessor": {},
    "pipeline": {"type": "speech_frcrn_ans_cirm_16k"},
    "train": {
        "max_epochs": 1,
        "train_iters_per_epoch": 1,
        "seed": 20,
        "dataloader": {"batch_size_per_gpu": 1, "workers_per_gpu": 0},
        "optimizer": {"type": "Adam", "lr": 1e-5, "weight_decay": 1e-5, "options": {"grad_clip": {"max_norm": 3.0}}},
        "lr_scheduler": {"type": "ReduceLROnPlateau", "mode": "min", "factor": 0.98, "patience": 2, "verbose": True},
        "lr_scheduler_hook": {"type": "PlateauLrSchedulerHook", "metric_key": "avg_loss"},
        "hooks": [{"type": "EvaluationHook", "interval": 1}],
    },
    "evaluation": {
        "val_iters_per_epoch": 1,
        "dataloader": {"batch_size_per_gpu": 1, "workers_per_gpu": 0},
        "metrics": ["audio-noise-metric"],
    },
}
"""A configuration of the released form, but for how long it trains."""


def tiny_directory(folder: Path, *, causal: bool = True, **extra: Any) -> Path:
    """Write a model directory of a network of a few thousand weights."""
    save_directory(networks.tiny(causal=causal), folder, extra=extra)
    return folder


def official_directory(folder: Path, network: nn.Module | None = None) -> Path:
    """Write a model directory as the released one is, with the weights of a stock network or random ones."""
    folder.mkdir(parents=True)
    (folder / "configuration.json").write_text(json.dumps(OFFICIAL))
    if network is None:
        save(FRCRN(FRCRNConfig()), folder / "pytorch_model.bin", official_form=True)
    else:
        torch.save(network.state_dict(), folder / "pytorch_model.bin")
    return folder


def rows(count: int, seconds: float = 1.0) -> list[dict[str, dict[str, np.ndarray]]]:
    """Return rows as DNS sets have them: speech-like sound, with and without noise."""
    clean = [speech(seconds, seed=number) for number in range(count)]
    noisy = [wave + noise(seconds, seed=100 + number) for number, wave in enumerate(clean)]
    return [
        {"noisy": {"array": dirty, "sampling_rate": 16000}, "clean": {"array": wave, "sampling_rate": 16000}}
        for dirty, wave in zip(noisy, clean, strict=True)
    ]


@contextmanager
def closed_network() -> Iterator[list[str]]:
    """Refuse every connection to another machine and every look-up of a name, and list what was tried."""
    tried: list[str] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        tried.append(repr(arguments[-1]))
        raise OSError("the network is closed")

    def unless_local(connect: Any) -> Any:
        """Processes of one machine talk through a file, whose path is the address."""
        return lambda self, address: (refuse if isinstance(address, tuple) else connect)(self, address)

    kept = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo
    socket.socket.connect, socket.socket.connect_ex = map(unless_local, kept[:2])  # type: ignore[method-assign]
    socket.getaddrinfo = refuse
    try:
        yield tried
    finally:
        socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo = kept  # type: ignore[method-assign]


LIBROSA = """
import soxr

def resample(y, orig_sr, target_sr):
    return soxr.resample(y, orig_sr, target_sr)
"""
"""What the stock pipelines use of it, for where it is not installed."""

HEAD = """
import json, logging, sys
from pathlib import Path
from tests.plugin_parts import TASK, closed_network, without
FOLDER, FOUND = Path(sys.argv[1]), {}
"""
TAIL = """
Path(sys.argv[2]).write_text(json.dumps(FOUND))
"""


def in_fresh_process(script: str, folder: Path, *, librosa: bool = False, cwd: Path | None = None) -> dict[str, Any]:
    """Run a script that fills `FOUND` in a new interpreter; it must leave standard output alone."""
    answer = folder / "found.json"
    stubs = folder / "stubs"
    stubs.mkdir(exist_ok=True)
    if librosa:
        (stubs / "librosa.py").write_text(LIBROSA)
    # what is really installed comes before the stub
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STUBS": str(stubs), "HF_HOME": str(folder / "hf")}
    code = HEAD + "sys.path.append(__import__('os').environ['STUBS'])\n" + textwrap.dedent(script) + TAIL
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(answer)],
        capture_output=True,
        text=True,
        cwd=cwd or folder,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    assert done.stdout == ""
    found: dict[str, Any] = json.loads(answer.read_text())
    return {**found, "stderr": done.stderr}


class Without:
    """A finder that finds all that another one does, but for the named packages."""

    def __init__(self, finder: Any, names: tuple[str, ...]) -> None:
        self.finder, self.names = finder, names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.split(".")[0] in self.names else self.finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


def without(*names: str) -> None:
    """Make packages not importable in this process, as if they were not installed."""
    sys.meta_path[:] = [Without(finder, names) for finder in sys.meta_path]
