"""Measure the peak memory of `enhance_file` over files of several lengths, each in a process of its own.

    python benchmarks/memory.py --seconds 60 300 3600 --model official
    python benchmarks/memory.py --seconds 300 36000 --model default --rate 48000 --channels 2

`official` is the released offline network (14 million parameters) with random weights; anything else is what
`frcrn.load` takes. The peak is that of the whole process: Python, torch, the network and the audio.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import frcrn
from frcrn import audio
from frcrn.inference import blockwise
from frcrn.machine import peak_memory


def write_noise(path: Path, seconds: float, rate: int, channels: int) -> None:
    """Write noise under a slow envelope, block by block."""
    random = np.random.default_rng(0)
    with audio.writer(path, rate, channels) as append:
        for start in range(0, int(seconds * rate), audio.BLOCK):
            size = min(audio.BLOCK, int(seconds * rate) - start)
            envelope = 0.1 + 0.08 * np.sin(2 * np.pi * (start + np.arange(size)) / (7 * rate))
            append((random.standard_normal((channels, size)) * envelope).astype(np.float32))


def network(name: str) -> frcrn.Enhancer:
    """Build the network in its inference form, and let go of the other one."""
    model = frcrn.FRCRN(frcrn.FRCRNConfig()).eval() if name == "official" else frcrn.load(name)
    return model.optimize()


def measure(seconds: float, model: str, rate: int, channels: int) -> str:
    """Enhance one file here and return a row of the table."""
    enhancer = network(model)
    before = peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        noisy, clean = Path(folder, "noisy.flac"), Path(folder, "clean.flac")
        write_noise(noisy, seconds, rate, channels)
        started, spent = time.perf_counter(), time.process_time()
        frcrn.enhance_file(noisy, clean, model=enhancer)
        took, used = time.perf_counter() - started, time.process_time() - spent
    return f"{seconds:>8.0f} {before:>10.0f} {peak_memory():>10.0f} {took:>10.1f} {used:>10.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[60, 300, 3600])
    parser.add_argument("--model", default="default")
    parser.add_argument("--rate", type=int, default=16000)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.here:
        print(measure(args.seconds[0], args.model, args.rate, args.channels))
        return
    settings = [f"--{name}={getattr(args, name)}" for name in ("model", "rate", "channels", "threads")]
    allocator = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")} or "as installed"
    print(f"{args.model}, {args.rate} Hz, {args.channels} channels, {args.threads} threads, allocator {allocator}")
    print(f"pieces of {blockwise.PIECE:g} s, where the network looks ahead: whole up to {blockwise.WHOLE:g} s")
    print(f"{'audio s':>8} {'before MiB':>10} {'peak MiB':>10} {'wall s':>10} {'cpu s':>10}")
    for seconds in args.seconds:
        command = [sys.executable, __file__, "--here", "--seconds", str(seconds), *settings]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


if __name__ == "__main__":
    main()
