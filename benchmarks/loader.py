"""Measure the loader: seconds of audio mixed per second by one worker, against what a training step takes.

    python benchmarks/loader.py [--speech DIR --noise DIR --cache FILE] [--workers 1] [--seconds 3] [--no-step]

Without folders it mixes made signals. The step is the compact causal network with a log-error loss and AdamW on two
threads; the loader must be at least ten times faster. Both are measured in turns, and the medians are told. On a busy
machine `loaded_s_per_cpu_s`, from the time that the mixing itself was on a core, is the figure to trust.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch

from frcrn.data import Mixing, build
from frcrn.training.batches import Batch, BatchOrder, batches

RATE = 16000


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description="Measure the loader against a training step.")
    parser.add_argument("--speech", action="append", default=[])
    parser.add_argument("--noise", action="append", default=[])
    parser.add_argument("--cache")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="change a key of the mixing")
    parser.add_argument("--no-step", action="store_true", help="do not measure the training step")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(measure(args, Path(temporary)), indent=1))


def measure(args: argparse.Namespace, temporary: Path) -> dict[str, float]:
    """Measure loading and training in turns."""
    loaded = loader(args, temporary)
    for _ in range(3):
        next(loaded)
    load_rates, step_rates = [], []
    step = None if args.no_step else training_step()
    for _ in range(args.rounds):
        load_rates.append(rate_of(partial(next, loaded), args, least_seconds=4.0))
        if step is not None:
            # the loader's workers fill their queue and then rest, so they take nothing from the step
            batch = next(loaded)
            time.sleep(1.0)
            step_rates.append(rate_of(partial(step, batch), args, least_seconds=4.0))
    result = {
        "workers": args.workers,
        "seconds": args.seconds,
        "loaded_s_per_s": round(statistics.median(load_rates), 1),
    }
    result["loaded_s_per_cpu_s"] = round(statistics.median(per_core(args, temporary) for _ in range(args.rounds)), 1)
    if step_rates:
        result["trained_s_per_s"] = round(statistics.median(step_rates), 1)
        result["loader_over_step"] = round(result["loaded_s_per_s"] / result["trained_s_per_s"], 2)
    return result


def rate_of(work: Callable[[], object], args: argparse.Namespace, least_seconds: float) -> float:
    """Return the seconds of audio per second of wall time."""
    started, done = time.perf_counter(), 0
    while done < 2 or time.perf_counter() - started < least_seconds:
        work()
        done += 1
    return done * args.batch * args.seconds / (time.perf_counter() - started)


def per_core(args: argparse.Namespace, temporary: Path) -> float:
    """Return the seconds of audio mixed per second on a core, in this process."""
    data = dataset(args, temporary)
    for index in range(20):
        data[0, index]
    started = time.process_time()
    for index in range(100):
        data[1, index]
    return 100 * args.seconds / (time.process_time() - started)


def loader(args: argparse.Namespace, temporary: Path) -> Iterator[Batch]:
    """Return endless batches of mixed examples."""
    data = dataset(args, temporary)
    return batches(data, BatchOrder(len(data), args.batch, seed=0), args.workers)


def dataset(args: argparse.Namespace, temporary: Path) -> Mixing:
    """Return the mixing of the given folders, or of made ones."""
    if not args.speech:
        make_corpus(temporary)
        args.speech, args.noise = [str(temporary / "speech")], [str(temporary / "noise")]
    table = {
        "kind": "mixing",
        "speech": args.speech,
        "noise": args.noise,
        "cache": args.cache or str(temporary / "audio.cache"),
        "seconds": args.seconds,
        "length": 20000,
    }
    table |= {key: json.loads(value) for key, value in (change.split("=", 1) for change in args.set)}
    return build(table, sample_rate=RATE, seed=0)


def make_corpus(root: Path) -> None:
    """Write some minutes of speech-like bursts and of noise."""
    rng = np.random.default_rng(0)
    for number in range(60):
        time_axis = np.arange(int(RATE * rng.uniform(2, 6))) / RATE
        tone = sum(np.sin(2 * np.pi * k * 120 * time_axis) / k for k in range(1, 30))
        speech = 0.1 * tone * np.clip(np.sin(2 * np.pi * 3 * time_axis), 0, 1)
        for folder, wave in (("speech", speech), ("noise", 0.05 * rng.standard_normal(10 * RATE))):
            (root / folder).mkdir(exist_ok=True)
            soundfile.write(root / folder / f"{number}.wav", wave, RATE)


def training_step() -> Callable[[Batch], object]:
    """Return one step of the compact causal network."""
    from frcrn.models.frcrn import FRCRN, FRCRNConfig

    torch.set_num_threads(2)
    model = FRCRN(FRCRNConfig.compact()).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def step(batch: Batch) -> None:
        estimate = model(batch["noisy"])
        error = (estimate.wave - batch["clean"]).square().sum(1) + 1e-8
        loss = (error / (batch["clean"].square().sum(1) + 1e-3)).log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
