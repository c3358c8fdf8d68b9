"""The figures of the bundled models in one file, results.json, and the table that the READMEs and the model card show.

A measured set is taken over with `python -m description.make --scores OUT`, where OUT is what a comparison has written:

    python -m benchmarks.peers pairs/noisy -o peers/ --clean pairs/clean
    frcrn enhance pairs/noisy -o streamed/ --model default --passes 1
    frcrn compare noisy offline streamed=streamed/ RNNoise=peers/rnnoise DeepFilterNet3=peers/deepfilternet3 \
        DTLN=dtln.json GTCRN=gtcrn.json --data pairs/ --dnsmos DNSMOS/ -o OUT

What a comparison does not tell stands in results.json by hand: sizes, latencies and speeds of the peers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
METRICS = ("pesq", "stoi", "si_sdr", "dnsmos_ovrl")
DIGITS = {"pesq": 3, "stoi": 3, "si_sdr": 2, "dnsmos_ovrl": 2}
BEGIN = "<!-- results, written by description/make.py -->\n"
END = "<!-- /results -->\n"
BY_MODEL = {"offline": "offline", "streamed": "default"}
"""The bundled model of a system: on whole files, and hop by hop."""
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
        if model := facts.get(BY_MODEL.get(system["name"], "")):
            system |= {key: model[key] for key in ("parameters", "latency_ms") if system.get(key) is not None}
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
    intro = words["intro"].format(clips=data["clips"], minutes=data["minutes"], low=low, high=high)
    clean = words["clean"].format(pesq=results["clean_pesq"], fall=results["noise_falls_db"])
    trained = {key: results[f"trained_{key}"] for key in ("minutes", "seconds", "hours")}
    notes = words["notes"].format(clean=clean, **trained)
    return "\n".join([intro, "", words["columns"], "|---|---|---|---|---|---|---|---|", *rows, "", notes.strip(), ""])


def row(system: Mapping[str, Any], best: Mapping[str, float], words: Mapping[str, str]) -> str:
    """Return one line of the table."""
    cells = []
    for metric in METRICS:
        mean, low, high = system[metric]
        text = f"{mean:.{DIGITS[metric]}f} ± {(high - low) / 2:.{DIGITS[metric]}f}"
        cells.append(f"**{text}**" if system[metric][0] == best[metric] else text)
    facts = [
        "" if system.get(name) is None else form.format(system[name] / unit)
        for name, form, unit in (("parameters", "{:.2f} M", 1e6), ("latency_ms", "{:.0f} ms", 1), ("rtf", "{:.3f}", 1))
    ]
    return f"| {words.get(system['name'], system['name'])} | {' | '.join(cells + facts)} |"


def replaced(text: str, part: str) -> str:
    """Put the section between its marks."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"expected the marks {BEGIN.strip()} and {END.strip()} once")
    return pattern.sub(lambda _: BEGIN + part + END, text)
