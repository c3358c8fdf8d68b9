"""Scatter plots and histograms as plain SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 42, 8, 8, 34
BINS = 24
MOST_POINTS = 1000


class Point(NamedTuple):
    """One clip."""

    x: float
    y: float
    name: str


class Axis(NamedTuple):
    """A range of values along one side of the plot."""

    low: float
    high: float
    start: float
    """Where the low end lies, in pixels."""
    end: float
    title: str
    least: float = 0.0
    """Between two ticks: 1 for counts."""

    def place(self, value: float) -> float:
        """Return where a value lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, least: float = 0.0) -> list[float]:
    """Return about five round numbers from low to high, at least `least` apart."""
    raw = max((high - low) / 5, least)
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def scatter(series: Sequence[Sequence[Point]], x_title: str, y_title: str) -> str:
    """Draw one mark a clip and, for each series, a line through the means of equal shares of its clips."""
    points = [point for each in series for point in each]
    if not points:
        return ""
    x, y = _x_axis([point.x for point in points], x_title), _y_axis([point.y for point in points], y_title)
    marks = [_marks(each, number, x, y) for number, each in enumerate(series)]
    lines = [_trend(each, number, x, y) for number, each in enumerate(series)]
    return _svg([_axes(x, y), *marks, *lines], f"{y_title} against {x_title}")


def histogram(series: Sequence[Sequence[float]], title: str) -> str:
    """Draw how many clips of each series have which value."""
    values = [value for each in series for value in each]
    if not values:
        return ""
    x = _x_axis(values, title)
    edges = np.linspace(x.low, x.high, BINS + 1)
    counts = [np.histogram(each, edges)[0] for each in series]
    y = Axis(0, max(1.0, float(max(count.max() for count in counts)) * 1.05), HEIGHT - BOTTOM, TOP, "clips", least=1)
    bars = [_bars(count, edges, number, x, y) for number, count in enumerate(counts)]
    return _svg([_axes(x, y), *bars], f"histogram of {title}")


def _x_axis(values: Sequence[float], title: str) -> Axis:
    return Axis(*_range(values), LEFT, WIDTH - RIGHT, title)


def _y_axis(values: Sequence[float], title: str) -> Axis:
    return Axis(*_range(values), HEIGHT - BOTTOM, TOP, title)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or max(abs(low) * 0.1, 0.5)
    return low - margin, high + margin


def _marks(points: Sequence[Point], number: int, x: Axis, y: Axis) -> str:
    shown = points[:: -(-len(points) // MOST_POINTS) or 1]
    dots = "".join(
        f'<circle cx="{x.place(point.x):.1f}" cy="{y.place(point.y):.1f}" r="2.2">'
        f"<title>{escape(point.name)}: {point.y:.3g}</title></circle>"
        for point in shown
    )
    return f'<g class="dots s{number}">{dots}</g>'


def _trend(points: Sequence[Point], number: int, x: Axis, y: Axis) -> str:
    if len(points) < 8:
        return ""
    ordered = sorted(points)
    shares = np.array_split(np.array([(point.x, point.y) for point in ordered]), min(8, len(points) // 4))
    means = [part.mean(axis=0).tolist() for part in shares]
    places = " ".join(f"{x.place(across):.1f},{y.place(up):.1f}" for across, up in means)
    return f'<polyline class="trend s{number}" points="{places}"/>'


def _bars(counts: np.ndarray, edges: np.ndarray, number: int, x: Axis, y: Axis) -> str:
    bars = "".join(
        f'<rect x="{x.place(left):.1f}" y="{y.place(count):.1f}" width="{x.place(right) - x.place(left) - 0.6:.1f}" '
        f'height="{y.start - y.place(count):.1f}"><title>{count} clips, {left:.3g} to {right:.3g}</title></rect>'
        for count, left, right in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        if count
    )
    return f'<g class="bars s{number}">{bars}</g>'


def _axes(x: Axis, y: Axis) -> str:
    bottom = HEIGHT - BOTTOM
    parts = [f'<path class="frame" d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}"/>']
    for value in ticks(x.low, x.high, x.least):
        parts.append(f'<text x="{x.place(value):.1f}" y="{bottom + 13}" text-anchor="middle">{value:g}</text>')
    for value in ticks(y.low, y.high, y.least):
        place = y.place(value)
        parts.append(f'<path class="grid" d="M{LEFT} {place:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{place + 3.5:.1f}" text-anchor="end">{value:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="name" x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">{escape(x.title)}</text>')
    parts.append(
        f'<text class="name" transform="translate(10 {(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.title)}</text>"
    )
    return "".join(parts)


def _svg(parts: Sequence[str], label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
