"""The figures of the networks, in networks.json, and their table in docs/networks.md: python -m description.networks

Measured anew from what `python -m benchmarks.networks` has trained and a comparison has scored:

    python -m benchmarks.peers pairs/noisy -o peers/
    frcrn compare noisy frcrn=RUNS/frcrn/output dtln=RUNS/dtln/output nnse=RUNS/nnse/output \
        rnnoise=RUNS/rnnoise/output "DTLN, its authors' weights"=dtln.json ... --data pairs/ -o SCORES/
    python -m description.networks --runs RUNS/ --scores SCORES/

Without options only the table is written. Hours are what the log of a run counts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frcrn.evaluation.speed.candidates import operations
from frcrn.export.native.network import write_program
from frcrn.export.native.stream import NativeStep
from frcrn.files import write_json
from frcrn.models.checkpoint import load

HERE = Path(__file__).parent
FIGURES, PAGE = HERE / "networks.json", HERE.parent / "docs" / "networks.md"
BEGIN, END = "<!-- scores: begin -->\n", "<!-- scores: end -->\n"
DIGITS = {"pesq": 3, "stoi": 3, "si_sdr": 2}
COLUMNS = (
    "network",
    "parameters",
    "operations",
    "latency",
    "real-time factor",
    "as C",
    "hours",
    "PESQ",
    "STOI",
    "SI-SDR",
)
SECONDS = 20.0


def facts(run: Path) -> dict[str, Any]:
    """Return what is known of a trained network without scores: its size and speed, and the hours of its training."""
    model = load(run / "output").eval()
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    hours = max(record["hours"] for record in map(json.loads, lines) if "hours" in record)
    program = write_program(model)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "mmac_a_second": round(operations(model.optimize()) / 1e6, 1),
        "latency_ms": round(1000 * model.latency / model.sample_rate, 1),
        "bytes_as_c": len(program),
        "real_time_factor": round(real_time_factor(program), 4),
        "hours": round(hours, 3),
    }


def real_time_factor(program: bytes) -> float:
    """Return the processor time of a program in C for a second of noise."""
    steps = NativeStep(program)
    hops = int(SECONDS * steps.sample_rate) // steps.hop
    wave = 0.05 * np.random.default_rng(0).standard_normal((1, hops * steps.hop)).astype(np.float32)
    steps.step(wave[:, : 20 * steps.hop], steps.initial_state(1))
    start = time.process_time()
    steps.step(wave, steps.initial_state(1))
    return (time.process_time() - start) / (wave.shape[1] / steps.sample_rate)


def measured(runs: Path, scores: Path) -> dict[str, Any]:
    """Return the figures of all that a comparison has scored; what has a run beside it is ours."""
    rows, data = [], {}
    for path in sorted(scores.glob("*/summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        label = summary["label"]
        own = facts(runs / label) if (runs / label / "output").is_dir() else {}
        means = {name: [round(summary["metrics"][name][key], 4) for key in ("mean", "low", "high")] for name in DIGITS}
        rows.append({"name": label, **own, **means})
        data = {"clips": summary["clips"], "minutes": round(summary["seconds"] / 60, 1)}
    comparison = json.loads((scores / "comparison.json").read_text(encoding="utf-8"))
    order = [comparison["reference"], *comparison["differences"]]
    return {"data": data, "systems": sorted(rows, key=lambda row: order.index(row["name"]))}


def section(figures: Mapping[str, Any]) -> str:
    """Return the table with a sentence before it."""
    data, systems = figures["data"], figures["systems"]
    hours = sorted({row["hours"] for row in systems if "hours" in row})
    said = " or ".join(f"{each:g}" for each in hours)
    intro = (
        f"Each trained by us for {said} hours of sound, the same clips for all; scored on {data['clips']} pairs of "
        f"speech and noise that no training contains ({data['minutes']} minutes).\n"
        if hours
        else ""
    )
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS), *(line(row) for row in systems)]
    return intro + "\n" + "\n".join(lines) + "\n"


def line(row: Mapping[str, Any]) -> str:
    """Return a row of the table."""
    forms: Sequence[tuple[str, str, float]] = (
        ("parameters", "{:,.0f}", 1),
        ("mmac_a_second", "{:.1f} MMAC/s", 1),
        ("latency_ms", "{:.0f} ms", 1),
        ("real_time_factor", "{:.4f}", 1),
        ("bytes_as_c", "{:.2f} MB", 1e6),
        ("hours", "{:.2g}", 1),
    )
    cells = [form.format(row[name] / unit) if name in row else "" for name, form, unit in forms]
    for name, digits in DIGITS.items():
        mean, low, high = row[name]
        cells.append(f"{mean:.{digits}f} ± {(high - low) / 2:.{digits}f}")
    return f"| {row['name']} | {' | '.join(cells)} |"


def page(figures: Mapping[str, Any]) -> str:
    """Return docs/networks.md with the table that belongs to the figures."""
    text = PAGE.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{PAGE}: expected the marks {BEGIN.strip()} and {END.strip()}")
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + section(figures) + END + rest.partition(END)[2]


def main() -> None:
    """Read the command line, and write figures and table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="what `benchmarks.networks` trained")
    parser.add_argument("--scores", type=Path, help="what `frcrn compare` wrote")
    args = parser.parse_args()
    if args.runs and args.scores:
        write_json(FIGURES, measured(args.runs, args.scores))
    PAGE.write_text(page(json.loads(FIGURES.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
