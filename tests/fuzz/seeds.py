"""Small model files of every kind of operation, to begin fuzzing with: python -m tests.fuzz.seeds FOLDER"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import torch

from frcrn import FRCRN, FRCRNConfig
from frcrn.export.native.network import write_program
from frcrn.models import DTLN, NNSE, DTLNConfig, Enhancer, NNSEConfig, RNNoise, RNNoiseConfig
from frcrn.models.layers.unet import Level
from frcrn.models.nnse import LayerConfig
from tests.networks import lively

ONE = Level(2, (3, 2), (3, 2), padding=1)
SMALL = {"sample_rate": 8000, "window": 16, "hop": 8, "stages": 1, "causal": True, "memory": 2, "time_memory": 2}
SMALL |= {"reduction": 1, "se_frames": 2, "level_dbfs": None, "time_layers": 1, "time_hidden": 2}
KINDS: dict[str, FRCRNConfig] = {
    "plain": FRCRNConfig(**SMALL, levels=(ONE,)),
    "gates": FRCRNConfig(**SMALL, levels=(ONE, ONE._replace(channels=3))),
    "bands": FRCRNConfig(**{**SMALL, "window": 64, "hop": 32}, levels=(ONE,), bands=20, magnitude=True, compress=0.3),
    "in_bins": FRCRNConfig(**SMALL, levels=(ONE, ONE._replace(time=2)), add_skips=True),
    "ahead": FRCRNConfig(**SMALL, levels=(ONE, ONE._replace(time=2)), add_skips=True, ahead=2),
    "vectors": FRCRNConfig(**SMALL, levels=(ONE._replace(channels=9), ONE._replace(channels=9))),
    "stages": FRCRNConfig(**{**SMALL, "stages": 2, "hop": 4}, levels=(ONE,), refine=True),
}

UNITS = {"dense": 2, "voice_units": 2, "noise_units": 2, "gain_units": 3}


@cache
def seeds() -> dict[str, bytes]:
    """Return model files by what is particular of them."""
    torch.manual_seed(0)
    found = {name: write_program(lively(FRCRN(config), 2, 20 * config.hop)) for name, config in KINDS.items()}
    return found | {name: write_program(network.eval()) for name, network in rows().items()}


def rows() -> dict[str, Enhancer]:
    """Return networks that take frames to frames."""
    shape = {"sample_rate": 8000, "window": 32, "hop": 16}
    layers = (LayerConfig("conv1d", 4, "relu6", 2), LayerConfig("lstm", 3), LayerConfig("fc", 17, "sigmoid"))
    return {
        "dtln": DTLN(DTLNConfig(**shape, units=3, layers=1, basis=4, normalise=True)),
        "nnse": NNSE(NNSEConfig(**shape, features="pspec", layers=layers)),
        "rnnoise": RNNoise(RNNoiseConfig.tiny(**UNITS)),
        "pitch": RNNoise(RNNoiseConfig.tiny(**UNITS, sample_rate=4000, pitch=True)),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in seeds().items():
        (folder / f"{name}.frcrn").write_bytes(content)
