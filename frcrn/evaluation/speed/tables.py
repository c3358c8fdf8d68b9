"""The results of a benchmark as Markdown."""

from __future__ import annotations

from frcrn.evaluation.report.tables import number
from frcrn.evaluation.speed.benchmark import Measurements, Speed
from frcrn.evaluation.speed.candidates import Facts


def markdown(result: Measurements) -> str:
    """Return a table of the models, one of their speeds, and how both came about."""
    return "\n".join([models(result.models), speeds(result.speeds), conditions(result)])


def models(facts: list[Facts]) -> str:
    """Return what does not depend on the machine."""
    lines = ["| | parameters | GMAC a second | hop ms | latency ms |", "|---|---|---|---|---|"]
    for each in facts:
        hop, latency = (None if n is None else 1000 * n / each.sample_rate for n in (each.hop, each.latency))
        cells = [f"{each.parameters:,}", number(each.gmacs, 3), number(hop, 1), number(latency, 1)]
        lines.append(row([each.label, *cells]))
    return "\n".join(lines) + "\n"


def speeds(found: list[Speed]) -> str:
    """Return one row a model, runtime and number of threads."""
    titles = (
        "runtime | threads | RTF | RTF, core time | median ms | p99 ms | worst ms | under half a frame | memory MiB"
    )
    lines = [f"| | {titles} |", "|---" * 10 + "|"]
    for each in found:
        factors = [number(each.real_time_factor, 3), number(each.core_time_factor, 3)]
        times = [number(None if t is None else 1000 * t, 2) for t in (each.median, each.p99, each.worst)]
        half = "–" if each.under_half is None else f"{100 * each.under_half:.1f} %"
        memory = "–" if each.peak_memory is None else f"{each.peak_memory:.0f} ({each.own_memory:+.0f})"
        lines.append(row([each.label, each.runtime, str(each.threads), *factors, *times, half, memory]))
    return "\n".join(lines) + "\n"


def row(cells: list[str]) -> str:
    """Return one line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def conditions(result: Measurements) -> str:
    """Say what the figures mean and what they were measured on."""
    about = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    busy = f"; other work: load {number(about['load_before'], 1)} before" if about["load_before"] is not None else ""
    return (
        f"{about['processor']}, {about['cores']} cores{busy}; {versions}. All took turns in one run over "
        f"{about['seconds']:g} s of noisy speech. GMAC: what the inference form multiplies and adds in matrix "
        "products, convolutions and recurrent layers for one second of audio. RTF: time taken over time of audio, "
        "hop by hop where there are frame times, else over a whole clip. Median, p99, worst: of one frame, which "
        "lasts a hop. Memory: peak of a process of its own on one thread (what came after the libraries were loaded).\n"
    )
