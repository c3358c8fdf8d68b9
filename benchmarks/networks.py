"""Train each network for the same hours of the same data: python -m benchmarks.networks TRAIN/ VALID/ -o RUNS/

TRAIN and VALID are sets in the layout of the DNS Challenge, as `frcrn data mix` writes them; a network at another rate
gets the same clips, resampled. Each network keeps the losses, the optimizer and the learning rate of its own recipe in
configs/; FRCRN has the shape of the bundled model, and no weights of it. An interrupted run continues.

    frcrn data mix --config mixing.json --hours 2 -o TRAIN/
    python -m benchmarks.networks TRAIN/ VALID/ -o RUNS/ --hours 2
    frcrn compare noisy frcrn=RUNS/frcrn/output dtln=RUNS/dtln/output ... --data PAIRS/ -o SCORES/
    python -m description.networks --scores SCORES/
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from frcrn.models.checkpoint import load
from frcrn.training import tables, train

CONFIGS = Path(__file__).parent.parent / "configs"
RECIPES = {"nnse": "nnse", "dtln": "dtln", "rnnoise": "rnnoise", "frcrn": "frcrn_small"}
"""Each network's recipe, the fastest to train first."""
SECONDS, BATCH = 3.0, 4
OWN = ("optimizer", "lr", "betas", "weight_decay")
"""What a network keeps of its recipe's way to train."""
LOOP = {
    "batch_size": BATCH,
    "schedule": "cosine",
    "decay_from": 0.3,
    "final_lr": 0.02,
    "warmup_steps": 20,
    "ema_decay": 0.98,
    "clip_norm": 3.0,
    "log_every": 20,
    "save_every": 50,
    "keep": 1,
}


def recipe(name: str, data: Path, valid: Path, hours: float) -> dict[str, Any]:
    """Return the tables that train a network for some hours of sound."""
    values = tables(CONFIGS / f"{RECIPES[name]}.json")
    steps = round(hours * 3600 / SECONDS / BATCH)
    model = values["model"]
    if name == "frcrn":
        # its output's level was set after training, for weights that are not used here
        model = {key: value for key, value in load().config.to_dict().items() if key != "mask_bound"}
    loop = {key: values["train"][key] for key in OWN if key in values["train"]} | LOOP | {"max_steps": steps}
    return {
        "model": {"name": name, **model},
        "data": {"kind": "dns", "folder": str(data), "seconds": SECONDS},
        "valid": {"kind": "dns", "folder": str(valid), "seconds": SECONDS},
        "loss": values["loss"],
        # the losses of the others determine the level
        "train": loop | {"set_level": name == "frcrn"},
        "evaluation": {"every": max(1, steps // 4), "best": "si_snr"},
    }


def main() -> None:
    """Read the command line, and train one network after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a set to train on")
    parser.add_argument("valid", type=Path, help="a set to validate on")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--hours", type=float, default=2.0, help="hours of sound for each network (default: 2)")
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES), help="which networks")
    args = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("frcrn.training").setLevel(logging.INFO)
    for name in args.only:
        values = recipe(name, args.data, args.valid, args.hours)
        result = train(values, work_dir=args.output / name, resume=True)
        print(f"{name}: {result.reason}, {args.hours:g} h", flush=True)


if __name__ == "__main__":
    main()
