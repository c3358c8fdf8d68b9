"""Put a trained model into the package: python -m description.bundle runs/frcrn_small/output --clean speech/

Writes frcrn/weights/NAME.safetensors in half precision, refuses weights that do not survive it, and writes its program
in C beside it, which `python -m description.programs` does alone, and what tests expect of it (`python -m
description.goldens`). With clean speech at hand it first sets the mask's
bound so that clean speech keeps its level, which some losses leave free. With another model that went on from this one,
or both from a third, the weights can be a mean: --with runs/other/output 0.35.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from description.goldens import write_goldens
from description.programs import write_programs
from frcrn import audio
from frcrn.models.checkpoint import load, save
from frcrn.training.weights import LEVEL_CLIPS, mean, set_level

WEIGHTS = Path(__file__).parent.parent / "frcrn" / "weights"
LARGEST_CHANGE = 1e-3


def speech(folder: Path) -> Iterator[Tensor]:
    """Yield some files of clean speech as waves [T], at the model's rate as they are."""
    files = audio.find([folder])
    for file in files[:: max(1, len(files) // LEVEL_CLIPS)][:LEVEL_CLIPS]:
        yield torch.from_numpy(audio.read(file).samples[0])


def bundle(source: str, name: str, clean: Path | None, other: tuple[str, float] | None = None, passes: int = 1) -> Path:
    """Write the weights, and compare the halved network's output with the whole one's."""
    model, target = load(source), WEIGHTS / f"{name}.safetensors"
    if other is not None:
        mean(model, [(load(other[0]), other[1])])
    if clean is not None:
        kept = set_level(model, speech(clean))
        print(f"clean speech came out at {kept:.3f} of its level; mask_bound is now {model.config.mask_bound}")
    model.config = replace(model.config, passes=passes)
    beside = target.with_suffix(".new.safetensors")
    save(model, beside, half=True)
    wave = 0.1 * torch.randn(1, 5 * model.sample_rate, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        change = float((load(beside)(wave).wave - model(wave).wave).abs().max())
    if not change < LARGEST_CHANGE:
        beside.unlink()
        sys.exit(f"{source}: half precision changes the output by {change:.1e}, more than {LARGEST_CHANGE:g}")
    beside.replace(target)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, output changed by at most {change:.1e}")
    write_programs()
    write_goldens()
    return target


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model directory or checkpoint")
    parser.add_argument("--name", default="default")
    parser.add_argument("--clean", type=Path, help="a folder of clean speech at the model's rate")
    parser.add_argument("--with", nargs=2, metavar=("MODEL", "SHARE"), dest="other", help="another model's share")
    parser.add_argument("--passes", type=int, default=2, help="runs that recordings are averaged over (default: 2)")
    args = parser.parse_args()
    other = args.other and (args.other[0], float(args.other[1]))
    bundle(args.model, args.name, args.clean, other, args.passes)


if __name__ == "__main__":
    main()
