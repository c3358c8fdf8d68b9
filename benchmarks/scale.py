"""How long a corpus takes on a cluster: a seeded simulation, and beside it a real run on this machine with --real.

python benchmarks/scale.py                                   # 100,000 files on 64 cores: skew, node failures, unit size
python benchmarks/scale.py --real --files 200 --workers 2    # Ray against --jobs on the same files, and the simulation
"""

from __future__ import annotations

import argparse
import heapq
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.folders import make, run

PACE = 55.0
"""Hours of audio per core hour; --pace changes it."""
A_FILE, A_UNIT, START = 0.004, 0.02, 8.0
"""Seconds for opening and storing a file, for handing out a unit, and for starting an actor."""


def lengths(files: int, mean: float, skew: float, seed: int = 0) -> np.ndarray:
    """Return seconds [files] of a log-normal law with this mean; skew 0 makes all alike."""
    return np.random.default_rng(seed).lognormal(np.log(mean) - skew**2 / 2, skew, files)


def simulate(seconds: np.ndarray, workers: int, unit: int, failures: float, pace: float, seed: int = 0) -> float:
    """Return the hours until all is done; `failures` is how often a worker dies in an hour, losing its unit's work."""
    random = np.random.default_rng(seed)
    order = np.sort(seconds)[::-1]
    work = [part.sum() / pace + A_FILE * len(part) + A_UNIT for part in np.split(order, range(unit, len(order), unit))]
    free = [START] * workers
    for cost in sorted(work, reverse=True):
        now = heapq.heappop(free)
        while failures and (dies := random.exponential(3600 / failures)) < cost:
            now += dies + START
        heapq.heappush(free, now + cost)
    return max(free) / 3600


def tables(files: int, workers: int, pace: float) -> None:
    """Print how skew, failures and unit size act, one at a time."""
    for name, cases in (
        ("skew of lengths", [(skew, 16, 0.0) for skew in (0.0, 1.0, 2.0, 3.0)]),
        ("files a unit", [(1.0, unit, 0.0) for unit in (1, 16, 64, 512, 4096)]),
        ("deaths a worker hour", [(1.0, 16, rate) for rate in (0.0, 0.1, 1.0, 10.0)]),
        ("deaths, 512 files a unit", [(1.0, 512, rate) for rate in (0.0, 0.1, 1.0, 10.0)]),
    ):
        print(name)
        for skew, unit, rate in cases:
            seconds = lengths(files, 6.0, skew)
            ideal = seconds.sum() / pace / workers / 3600
            found = simulate(seconds, workers, unit, rate, pace)
            print(f"  skew {skew}, unit {unit}, deaths {rate}: {found:.3f} h, {ideal / found:.0%} of the cores used")


def real(files: int, workers: int) -> None:
    """Measure Ray and processes on the same files in turn, and what the simulation says of the pace found."""
    from frcrn.scale.corpus import enhance_corpus

    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "in"
        seconds = make(source, files)
        plain = run(source, workers, "default")
        begin = time.perf_counter()
        counts = enhance_corpus(str(source), f"{temporary}/ray", actors=workers)
        whole = time.perf_counter() - begin
    if counts["enhanced"] != files:
        sys.exit(f"Ray: {counts}")
    print(f"--jobs {workers}: {plain:.1f} s; Ray, its start included: {whole:.1f} s; {plain / whole:.2f} times as fast")
    pace = seconds / plain / workers
    found = 3600 * simulate(np.full(files, seconds / files), workers, 8, 0.0, pace)
    print(f"simulated with {pace:.1f} hours of audio per process hour: {found:.1f} s")


def main() -> None:
    """Simulate, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--pace", type=float, default=PACE)
    parser.add_argument("--real", action="store_true")
    args = parser.parse_args()
    if args.real:
        real(args.files, args.workers)
    else:
        tables(args.files, args.workers, args.pace)


if __name__ == "__main__":
    main()
