"""Put a trained model into the package: python description/bundle.py runs/frcrn_small/output --clean speech/

Writes frcrn/weights/NAME.safetensors in half precision and refuses weights that do not survive it. With clean speech at
hand it first sets the mask's bound so that clean speech keeps its level, which some losses leave free. With another
model that went on from this one, or both from a third, the weights can be a mean: --with runs/other/output 0.35.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import torch

from frcrn import audio
from frcrn.models import Enhancer
from frcrn.models.checkpoint import load, save

WEIGHTS = Path(__file__).parent.parent / "frcrn" / "weights"
LARGEST_CHANGE = 1e-3
CLIPS = 40


def level_kept(model: Enhancer, folder: Path) -> float:
    """Return the median ratio of output to input amplitude over some files of clean speech."""
    files = audio.find([folder])
    ratios = []
    for file in files[:: max(1, len(files) // CLIPS)][:CLIPS]:
        clean = torch.from_numpy(audio.read(file).samples[:1])
        with torch.inference_mode():
            ratios.append(float(model(clean).wave.norm() / clean.norm()))
    return statistics.median(ratios)


def mean(model: Enhancer, other: Enhancer, share: float) -> None:
    """Move all weights and statistics of a model this share of the way to those of another of its shape."""
    for mine, theirs in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(theirs, share)


def bundle(source: str, name: str, clean: Path | None, other: tuple[str, float] | None = None) -> Path:
    """Write the weights, and compare the halved network's output with the whole one's."""
    model, target = load(source), WEIGHTS / f"{name}.safetensors"
    if other is not None:
        mean(model, load(other[0]), other[1])
    if clean is not None:
        kept = level_kept(model, clean)
        weights, model = model.state_dict(), load(source, mask_bound=round(model.config.mask_bound / kept, 4))
        model.load_state_dict(weights)
        print(f"clean speech came out at {kept:.3f} of its level; mask_bound is now {model.config.mask_bound}")
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
    return target


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model directory or checkpoint")
    parser.add_argument("--name", default="default")
    parser.add_argument("--clean", type=Path, help="a folder of clean speech at the model's rate")
    parser.add_argument("--with", nargs=2, metavar=("MODEL", "SHARE"), dest="other", help="another model's share")
    args = parser.parse_args()
    bundle(args.model, args.name, args.clean, args.other and (args.other[0], float(args.other[1])))


if __name__ == "__main__":
    main()
