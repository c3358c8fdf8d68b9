"""The figures of the bundled model in one file, results.json, and the table that the READMEs and the model card show.

A measured set is taken over with `python -m description.make --scores OUT`, where OUT is what
`frcrn compare noisy default --data pairs/ -o OUT` has written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
METRICS = ("pesq", "stoi", "si_sdr")
DIGITS = {"pesq": 3, "stoi": 3, "si_sdr": 2}
BEGIN = "<!-- results, written by description/make.py -->\n"
END = "<!-- /results -->\n"
PLACES = {"README.md": "en", "README_zh.md": "zh", "description/model_card.md": "zh"}

WORDS: dict[str, dict[str, str]] = json.loads((HERE / "words.json").read_text(encoding="utf-8"))
"""What is said around the figures, in English (en) and Chinese (zh)."""


def read() -> dict[str, Any]:
    """Return the figures."""
    values: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return values


def take_over(results: dict[str, Any], scores: Path, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Put the scores of a comparison into the figures, and the facts of each model by its name."""
    summaries = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(scores.glob("*/summary.json"))]
    found = {summary["label"]: summary for summary in summaries}
    for system in results["systems"]:
        if system["name"] not in found:
            raise ValueError(f"{scores}: no scores of {system['name']}, only of {', '.join(found) or 'nothing'}")
        summary = found[system["name"]]
        for name in METRICS:
            column = summary["metrics"][name]
            system[name] = [round(column[key], DIGITS[name]) for key in ("mean", "low", "high")]
        system["failed"] = summary["failed_clips"]
        if model := facts.get(system["name"]):
            system["rtf"] = round(summary["real_time_factor"], 3)
            system |= {"parameters": model["parameters"], "latency_ms": model["latency_ms"]}
    results["data"] |= {"clips": summary["clips"], "minutes": round(summary["seconds"] / 60, 1)}


def write(results: Mapping[str, Any]) -> None:
    """Write the figures, one system or fact a line."""
    RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def section(results: Mapping[str, Any], language: str) -> str:
    """Return the table with what is said around it, in English (en) or Chinese (zh)."""
    words, data = WORDS[language], results["data"]
    low, high = data["snr_db"]
    best = {name: max(system[name][0] for system in results["systems"]) for name in METRICS}
    rows = [row(system, best, words) for system in results["systems"]]
    names = " ".join(system["name"] for system in results["systems"])
    intro = words["intro"].format(systems=names, clips=data["clips"], minutes=data["minutes"], low=low, high=high)
    peers = ("" if language == "zh" else " ").join(words["peer"].format(**peer) for peer in results["peers"])
    clean = words["clean"].format(pesq=results["clean_pesq"], fall=results["noise_falls_db"])
    notes = words["notes"].format(clean=clean, minutes=results["trained_minutes"], peers=peers).strip()
    return "\n".join([intro, "", words["columns"], "|---|---|---|---|---|---|", *rows, "", notes, ""])


def row(system: Mapping[str, Any], best: Mapping[str, float], words: Mapping[str, str]) -> str:
    """Return one line of the table."""
    name = words[system["name"]].format(
        millions=system.get("parameters", 0) / 1e6, latency=system.get("latency_ms", 0.0)
    )
    cells = []
    for metric in METRICS:
        mean, low, high = (f"{value:.{DIGITS[metric]}f}" for value in system[metric])
        text = f"{mean} ({low} to {high})" if words is WORDS["en"] else f"{mean} ({low} – {high})"
        cells.append(f"**{text}**" if system[metric][0] == best[metric] else text)
    speed = "" if system["rtf"] is None else f"{system['rtf']:.3f}"
    return f"| {name} | {' | '.join(cells)} | {system['failed']} | {speed} |"


def replaced(text: str, part: str) -> str:
    """Put the section between its marks."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"expected the marks {BEGIN.strip()} and {END.strip()} once")
    return pattern.sub(lambda _: BEGIN + part + END, text)
