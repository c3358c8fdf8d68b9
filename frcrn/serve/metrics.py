"""Counts and durations, in the text format of Prometheus."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper ends of the classes of a histogram, in seconds."""

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """How often which duration came up."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def lines(self, name: str, labels: Labels) -> Iterable[str]:
        """Yield its lines."""
        total = 0
        for bound, count in zip((*BOUNDS, "+Inf"), self.counts, strict=True):
            total += count
            yield f"{name}_bucket{_inside((*labels, ('le', str(bound))))} {total}"
        yield f"{name}_sum{_inside(labels)} {self.sum:.6f}"
        yield f"{name}_count{_inside(labels)} {total}"


class Metrics:
    """What the service has done since it began; used by the thread of its event loop only."""

    def __init__(self) -> None:
        self.requests: Counter[Labels] = Counter()
        self.audio: Counter[Labels] = Counter()
        self.durations: dict[Labels, Histogram] = {}
        self.pushes = Histogram()

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests[("route", route), ("method", method), ("status", str(status))] += 1
        self.durations.setdefault((("route", route),), Histogram()).add(seconds)

    def enhanced(self, kind: str, seconds: float) -> None:
        """Count sound of a `file` or a `stream`."""
        self.audio[(("kind", kind),)] += seconds  # type: ignore[assignment]

    def text(self, now: Mapping[str, tuple[float, str]]) -> str:
        """Return all of it, with what is counted elsewhere: a name, its value, and what it is."""
        lines = [*_head("frcrn_requests_total", "counter", "Answered requests.")]
        lines += [f"frcrn_requests_total{_inside(key)} {count}" for key, count in sorted(self.requests.items())]
        lines += _head("frcrn_audio_seconds_total", "counter", "Seconds of enhanced sound.")
        lines += [f"frcrn_audio_seconds_total{_inside(key)} {count:.3f}" for key, count in sorted(self.audio.items())]
        lines += _head("frcrn_request_seconds", "histogram", "From a request's headers to the end of its answer.")
        for labels, histogram in sorted(self.durations.items()):
            lines += histogram.lines("frcrn_request_seconds", labels)
        lines += _head("frcrn_stream_push_seconds", "histogram", "From a piece of a stream to its answer.")
        lines += self.pushes.lines("frcrn_stream_push_seconds", ())
        for name, (value, about) in now.items():
            lines += [*_head(f"frcrn_{name}", "gauge", about), f"frcrn_{name} {value:g}"]
        return "\n".join(lines) + "\n"


def resident_bytes() -> float:
    """Return how much memory this process uses; 0 where the system does not say so."""
    statm = Path("/proc/self/statm")
    return 4096.0 * int(statm.read_text().split()[1]) if statm.is_file() else 0.0


def _head(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _inside(labels: Labels) -> str:
    escaped = (f'{key}="{value}"' for key, value in labels)
    return f"{{{','.join(escaped)}}}" if labels else ""
