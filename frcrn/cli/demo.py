"""`frcrn demo` and `frcrn info`."""

from __future__ import annotations

import argparse
import json
from itertools import zip_longest
from typing import Any

from frcrn.cli.common import add_model_option

UNTRAINED = "these weights are untrained: the model has learned nothing yet, and its output shows only that all runs"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands."""
    demo = commands.add_parser("demo", help="clean a bundled noisy sample and draw it before and after")
    demo.add_argument("-o", "--output", default="frcrn-demo", metavar="DIR", help="the folder to write (frcrn-demo)")
    add_model_option(demo)
    demo.set_defaults(run=run_demo)
    info = commands.add_parser("info", help="say what a model is: its size, latency, rate and configuration")
    info.add_argument("model", nargs="?", default="default", metavar="MODEL", help="as for --model (the bundled model)")
    info.add_argument("--json", action="store_true", help="print it as JSON")
    info.set_defaults(run=run_info)


def run_demo(args: argparse.Namespace) -> int:
    """Write the demonstration and say where it is."""
    from frcrn.audio.sample import demonstrate
    from frcrn.models.checkpoint import describe, load

    model = load(args.model)
    trained = describe(model)["trained"]
    demo = demonstrate(model.optimize(), args.output)
    print(f"noisy:    {demo.noisy}\nenhanced: {demo.enhanced}\npicture:  {demo.picture}")
    if not trained:
        print(f"note: {UNTRAINED}")
    return 0


def run_info(args: argparse.Namespace) -> int:
    """Print the facts about a model."""
    from frcrn.models.checkpoint import describe, load

    facts = describe(load(args.model))
    print(json.dumps(facts, indent=2) if args.json else as_table(facts))
    return 0


def as_table(facts: dict[str, Any]) -> str:
    """One line a fact; what belongs to the configuration is set in, and what is a list further in."""
    width = max(map(len, facts))
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            inner = max(map(len, value), default=0)
            lines.append(f"{name}:")
            for key, entry in value.items():
                shown = [_shown(part) for part in entry] if isinstance(entry, (list, tuple)) else [_shown(entry)]
                lines += [f"  {label:<{inner}}  {text}" for label, text in zip_longest([key], shown, fillvalue="")]
        else:
            lines.append(f"{name:<{width}}  {_shown(value)}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(part)}" for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return " x ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) and value >= 100_000 else str(value)
