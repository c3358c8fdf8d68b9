"""Write anew what the bundled models make of a fixed sound: python -m description.goldens

To be run after their weights have changed; tests/test_goldens.py compares every runtime and processor with it.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from frcrn.export.parity import speech
from frcrn.files import replacing
from frcrn.models.checkpoint import load, names

GOLDENS = Path(__file__).parent.parent / "tests" / "goldens"
SECONDS = 0.5


def golden(name: str) -> Path:
    """Return the file with what a bundled model makes of the sound."""
    return GOLDENS / f"{name}.npy"


def sound(rate: int) -> NDArray[np.float32]:
    """Return the sound that goes in, [T]."""
    return speech(rate, SECONDS)


def write_goldens() -> None:
    """Compute in double precision, as no runtime does, and keep float32."""
    GOLDENS.mkdir(exist_ok=True)
    for name in names():
        model = load(name).double()
        with torch.inference_mode():
            clean = model(torch.from_numpy(sound(model.sample_rate)).double()[None]).wave[0]
        content = io.BytesIO()
        np.save(content, clean.float().numpy())
        with replacing(golden(name)) as beside:
            beside.write_bytes(content.getvalue())
        print(f"{golden(name)}: {len(clean)} samples")


if __name__ == "__main__":
    write_goldens()
