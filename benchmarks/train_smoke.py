"""Train a tiny network on made signals through the command line; the SI-SNR of unseen mixtures must rise by 2 dB.

python -m benchmarks.train_smoke [--steps N]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from frcrn.cli import main as frcrn
from tests.made_audio import corpus

RISE_DB = 2.0
RECIPE = Path(__file__).parent.parent / "configs" / "tiny_smoke.json"


def main() -> int:
    """Return 0 where the network has learnt enough."""
    parser = argparse.ArgumentParser(description="Train a tiny network on made signals.")
    parser.add_argument("--steps", type=int, default=json.loads(RECIPE.read_text())["train"]["max_steps"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        corpus(Path("smoke"), speakers=8, each=3)
        if code := frcrn(["train", str(RECIPE), "--work-dir", "run", "--set", f"train.max_steps={args.steps}"]):
            return code
        records = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
        os.chdir("/")
    scores = [record for record in records if record["kind"] == "eval"][-1]
    rise = scores["si_snr"] - scores["si_snr_noisy"]
    print(f"SI-SNR {scores['si_snr_noisy']:.2f} -> {scores['si_snr']:.2f} dB: {rise:.2f} dB more, {RISE_DB} wanted")
    return 0 if rise >= RISE_DB else 1


if __name__ == "__main__":
    raise SystemExit(main())
