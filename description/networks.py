"""The figures of the networks, in networks.json, and their table in docs/networks.md: python -m description.networks

Measured anew from what `python -m benchmarks.networks` has trained and a comparison has scored:

    python -m benchmarks.peers pairs/noisy -o peers/
    frcrn compare noisy frcrn=RUNS/frcrn/output dtln=RUNS/dtln/output nnse=RUNS/nnse/output \
        rnnoise=RUNS/rnnoise/output "DTLN, its authors' weights"=dtln.json ... --data pairs/ -o SCORES/
    python -m description.networks --runs RUNS/ --scores SCORES/

and for an NNSE and its tables, before and after fine-tuning in whole numbers:

    python -m benchmarks.whole_numbers RUNS/nnse/output pairs/noisy -o tables/
    frcrn compare float=RUNS/nnse/output tables=tables/ ... --data pairs/ -o ROUNDED/
    python -m description.networks --rounded ROUNDED/

Without options only the tables are written. Hours are what the log of a run counts. What `frcrn compare --gate` found
is taken over with `--gate OUT`.
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


def measured(runs: Path | None, scores: Path) -> dict[str, Any]:
    """Return the figures of all that a comparison has scored; what has a run beside it is ours."""
    rows, data = [], {}
    for path in sorted(scores.glob("*/summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        label = summary["label"]
        own = facts(runs / label) if runs and (runs / label / "output").is_dir() else {}
        means = {name: [round(summary["metrics"][name][key], 4) for key in ("mean", "low", "high")] for name in DIGITS}
        rows.append({"name": label, **own, **means})
        data = {"clips": summary["clips"], "minutes": round(summary["seconds"] / 60, 1)}
    comparison = json.loads((scores / "comparison.json").read_text(encoding="utf-8"))
    order = [comparison["reference"], *comparison["differences"]]
    worse = comparison["worse"]
    return {"data": data, "systems": sorted(rows, key=lambda row: order.index(row["name"])), "worse": worse}


def section(figures: Mapping[str, Any]) -> str:
    """Return the table of all networks with a sentence before it."""
    data, systems = figures["data"], figures["systems"]
    hours = sorted({row["hours"] for row in systems if "hours" in row})
    said = " or ".join(f"{each:g}" for each in hours)
    intro = (
        f"Ours were trained for {said} h of sound each, all on the same clips; scored on {data['clips']} pairs of "
        f"speech and noise that no training contains ({data['minutes']} minutes). Training so short only compares "
        "networks; it does not tell what they can do.\n\n"
    )
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS), *(line(row) for row in systems)]
    return intro + "\n".join(lines) + "\n"


def rounded(figures: Mapping[str, Any]) -> str:
    """Return the table of a network and its tables of whole numbers."""
    lines = ["| | PESQ | STOI | SI-SDR |", "|---|---|---|---|"]
    lines += [f"| {row['name']} | {' | '.join(scores_of(row))} |" for row in figures["systems"]]
    return f"Over {figures['data']['clips']} pairs:\n\n" + "\n".join(lines) + "\n"


def gate(figures: Mapping[str, Any]) -> str:
    """Return what a comparison's gate found."""
    names = [row["name"] for row in figures["systems"]]
    found = [f"- {line}" for line in figures["worse"]] or ["- nothing is worse"]
    others = " and ".join(names[1:])
    clips = figures["data"]["clips"]
    intro = f"`frcrn compare --gate` of {others} against {names[0]}, on {clips} pairs, says what is worse:"
    return intro + "\n\n" + "\n".join(found) + "\n"


PARTS = {"scores": section, "rounded": rounded, "gate": gate}
"""What stands between the marks of these names, from the figures of the same name."""


def scores_of(row: Mapping[str, Any]) -> list[str]:
    """Return means and half their intervals."""
    return [f"{row[name][0]:.{n}f} ± {(row[name][2] - row[name][1]) / 2:.{n}f}" for name, n in DIGITS.items()]


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
    return f"| {row['name']} | {' | '.join(cells + scores_of(row))} |"


def page(figures: Mapping[str, Any]) -> str:
    """Return docs/networks.md with the tables that belong to the figures."""
    text = PAGE.read_text(encoding="utf-8")
    for name, values in figures.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        if begin not in text or end not in text:
            raise ValueError(f"{PAGE}: expected the marks {begin.strip()} and {end.strip()}")
        before, _, rest = text.partition(begin)
        text = before + begin + PARTS[name](values) + end + rest.partition(end)[2]
    return text


def main() -> None:
    """Read the command line, and write figures and tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="what `benchmarks.networks` trained")
    for name in PARTS:
        parser.add_argument(f"--{name}", type=Path, metavar="OUT", help="what `frcrn compare` wrote")
    args = parser.parse_args()
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {}
    figures |= {name: measured(args.runs, place) for name in PARTS if (place := getattr(args, name))}
    write_json(FIGURES, figures)
    PAGE.write_text(page(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
