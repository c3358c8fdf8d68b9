"""Which clips a report lets one see and hear, and their pictures and players."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from frcrn.audio import Samples
from frcrn.audio.spectrogram import data_uri, flac, loudest_bin, png, spectrogram
from frcrn.evaluation.metrics.scores import HEADLINE
from frcrn.evaluation.report.tables import about, number
from frcrn.evaluation.statistics import Row
from frcrn.evaluation.systems import System, Unprocessed

PANELS = 80
"""At most in one page, so that it opens at once; more systems, fewer clips."""
MOST_AT_AN_END = 10
SECONDS = 12.0


class Choice(NamedTuple):
    """A clip worth hearing, and why."""

    place: int
    why: str


def choose(values: Mapping[int, float], better: int, count: int, what: str) -> tuple[list[Choice], list[Choice]]:
    """Return the clips with the worst and the best values, none twice, the most extreme first."""
    ordered = sorted(values, key=lambda place: values[place], reverse=better < 0)
    low = ordered[: min(count, (len(ordered) + 1) // 2)]
    high = ordered[max(len(low), len(ordered) - count) :][::-1]
    worst, best = ([Choice(place, f"{what} {number(values[place], 2)}") for place in part] for part in (low, high))
    return worst, best


def clips_at_each_end(systems: int) -> int:
    """Return how many worst, and how many best, clips fit on a page."""
    return max(2, min(MOST_AT_AN_END, PANELS // 2 // (2 + 2 * systems)))


def card(choice: Choice, pair: tuple[str, Samples, Samples], found: Sequence[tuple[System, Row]], rate: int) -> str:
    """Return the pictures and players of one clip: noisy, enhanced by each system, clean, removed by each system."""
    name, noisy, clean = pair
    gain = 1 / max(1.0, float(np.abs(noisy).max(initial=0)), float(np.abs(clean).max(initial=0)))
    loudest = max(loudest_bin(noisy), loudest_bin(clean)) if len(noisy) and len(clean) else 1.0
    panels = [_panel("noisy", noisy, "", gain, loudest, rate)]
    removed = [_panel("clean", clean, "", gain, loudest, rate)]
    for system, row in found:
        if type(system) is Unprocessed:
            continue
        try:
            enhanced = system.enhance(name, noisy, rate)
        except ValueError as error:
            panels.append(f"<p class=bad>{escape(f'{system.label}: {error}')}</p>")
            continue
        panels.append(_panel(_called(system, found, "enhanced"), enhanced, _scores(row), gain, loudest, rate))
        removed.append(_panel(_called(system, found, "removed"), noisy - enhanced, "", gain, loudest, rate))
    ratio = number(None if np.isnan(found[0][1].input_snr) else found[0][1].input_snr, 1)
    cut = f", the first {SECONDS:.0f} s of" if len(noisy) > SECONDS * rate else ","
    facts = f"{escape(choice.why)}; input SNR {ratio} dB{cut} {len(noisy) / rate:.1f} s"
    head, body = f"<h4>{escape(name)} <small>{facts}</small></h4>", "".join(panels + removed)
    return f"<article>{head}<div class=panels>{body}</div></article>"


def _called(system: System, found: Sequence[object], what: str) -> str:
    return what if len(found) == 1 else f"{system.label} {what}"


def _scores(row: Row) -> str:
    values = row.scores.values
    return " · ".join(f"{about(name).title} {number(values[name], 2)}" for name in HEADLINE if name in values)


def _panel(title: str, wave: Samples, scores: str, gain: float, loudest: float, rate: int) -> str:
    shown = wave[: round(SECONDS * rate)]
    image = data_uri("image/png", png(spectrogram(shown, loudest)))
    sound = data_uri("audio/flac", flac(shown * np.float32(gain), rate))
    return (
        f"<figure><figcaption>{escape(title)}<small>{escape(scores)}</small></figcaption>"
        f'<div class=picture><img src="{image}" alt="spectrogram, {escape(title)}"><i></i></div>'
        f'<audio controls preload=none data-seconds="{len(shown) / rate:.3f}" src="{sound}"></audio></figure>'
    )
