"""Small training runs: a network of some hundred weights, tones in noise, and what a run leaves behind."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from frcrn.models import FRCRN, Estimate, FRCRNConfig
from frcrn.models.layers.unet import Level
from frcrn.training import Trainer, checkpoints

SAMPLES = 640
LEVELS = [Level(2, stride=4, padding=1, se=False)._asdict(), Level(2, stride=4, padding=1)._asdict()]
MODEL = {"preset": "tiny", "window": 64, "hop": 32, "bands": 32, "stages": 1, "levels": LEVELS}
LONGEST = 100
"""Seconds that several processes may take."""
TIMING = ("seconds", "seconds_left", "audio_per_second")


class Tones:
    """Chopped tones in noise, a function of (epoch, index)."""

    def __init__(self, length: int = 10, samples: int = SAMPLES) -> None:
        self.length, self.samples = length, samples

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key
        generator = torch.Generator().manual_seed(1000 * epoch + index)
        time = torch.arange(self.samples) / 16000
        pitch = 300 + 2000 * torch.rand(1, generator=generator)
        clean = 0.2 * torch.sin(2 * math.pi * pitch * time)
        return {"clean": clean, "noisy": clean + 0.1 * torch.randn(self.samples, generator=generator)}


class Dropping(FRCRN):
    """Drops samples at random while it trains, so that a run depends on the random numbers too."""

    def forward(self, wave: Tensor) -> Estimate:
        return super().forward(nn.functional.dropout(wave, 0.1, self.training))


class Frozen(FRCRN):
    """Batch norm never in training mode: then examples do not depend on each other."""

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self


def network(cls: type[FRCRN] = FRCRN, seed: int = 0) -> FRCRN:
    """Return a small network with its own weights for every seed."""
    torch.manual_seed(seed)
    values = {key: value for key, value in MODEL.items() if key != "preset"}
    return cls(FRCRNConfig.from_dict({**FRCRNConfig.tiny().to_dict(), **values})).train()


def recipe(evaluation: Mapping[str, Any] | None = None, **train: Any) -> dict[str, Any]:
    """Return a recipe of a dozen steps that logs each."""
    plan = {"max_steps": 12, "batch_size": 3, "log_every": 1, "save_every": 5, "warmup_steps": 3, "ema_decay": 0.9}
    return {
        "model": MODEL,
        "loss": {"compressed_spectrum": {}, "si_snr": {"weight": 0.1}},
        "train": {**plan, **train},
        "evaluation": {"every": 4, **(evaluation or {})},
    }


def trainer(folder: Path, values: Mapping[str, Any] | None = None, **parts: Any) -> Trainer:
    """Return a trainer of the small network on tones."""
    parts.setdefault("train_data", Tones())
    return Trainer(values or recipe(), work_dir=folder, **parts)


def records(folder: Path, kind: str = "train") -> list[dict[str, Any]]:
    """Return what a run logged, less what depends on the clock."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMING} for line in lines if line["kind"] == kind]


def last_state(folder: Path) -> dict[str, Any]:
    """Return the newest checkpoint, less what depends on the clock."""
    state = checkpoints.newest(folder / "checkpoints")
    assert state is not None
    state["progress"].pop("elapsed")
    return state


def same(one: Any, other: Any) -> bool:
    """Tell whether two checkpoints are equal, bit for bit."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def elsewhere(act: Callable[..., None], *arguments: Any, environment: Mapping[str, str] | None = None) -> Any:
    """Start a function in a process of its own that has the library loaded already, and return the process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["frcrn.training", "accelerate", "tests.training_runs"])
    process = context.Process(target=within, args=(act, arguments, dict(environment or {})))
    process.start()
    return process


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def together(act: Callable[..., None], *arguments: Any, count: int = 2) -> list[int | None]:
    """Run a function in the processes of one training, as torchrun would; return how each ended."""
    common = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    ranks = [{**common, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": 1} for rank in range(count)]
    processes = [
        elsewhere(act, *arguments, environment={name: str(value) for name, value in rank.items()}) for rank in ranks
    ]
    for process in processes:
        process.join(LONGEST)
        process.kill()
        process.join()
    return [process.exitcode for process in processes]


def within(act: Callable[..., None], arguments: tuple[Any, ...], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    act(*arguments)
