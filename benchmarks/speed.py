"""Ours against the stock ModelScope FRCRN, in turn in one process: same weights, same clip, medians.

python benchmarks/speed.py                  # 4-s and 10-s clips, one thread, both allocators
python benchmarks/speed.py --seconds 30 --threads 2 --allocator default
python benchmarks/speed.py --seconds 10 --precision fp32 --runtimes torch onnx openvino native

`calm` sets glibc's malloc to keep freed pages, which spares page faults; `default` is what a fresh installation does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from frcrn import FRCRN
from frcrn.export.runtime import RUNTIMES, with_runtime
from frcrn.models import Enhancer, released
from frcrn.models.checkpoint import fill

CALM = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}


def stock_network() -> nn.Module:
    """Return modelscope's own network with random weights and batch-norm statistics of real size."""
    from modelscope.models.audio.ans.frcrn import FRCRN as Stock

    torch.manual_seed(0)
    stock = Stock(**released.ARGUMENTS).train()
    with torch.no_grad():
        stock(0.1 * torch.randn(2, 16000))
    return stock.eval()


def ours(stock: nn.Module) -> FRCRN:
    """Return our network with the stock network's weights."""
    model = FRCRN()
    fill(model, stock.state_dict(), "stock")
    return model.eval()


def all_of_ours(stock: nn.Module, precisions: list[str], runtimes: list[str], threads: int) -> dict[str, Enhancer]:
    """Return ours by name: in torch with each precision, and in other runtimes in single precision."""
    found: dict[str, Enhancer] = {}
    if "torch" in runtimes:
        found |= {f"ours {precision}": ours(stock).optimize(precision) for precision in precisions}
    for runtime in sorted(set(runtimes) - {"torch"}):
        found[f"ours in {runtime}"] = with_runtime(ours(stock), runtime, threads)
    return found


def stage_two_wave(run: Callable[[Tensor], list[Tensor]]) -> Callable[[Tensor], Tensor]:
    """Pick the last stage's wave from the stock network's list."""
    return lambda wave: run(wave)[4]


def interleaved(runs: dict[str, Callable[[Tensor], Tensor]], wave: Tensor, repeats: int) -> dict[str, float]:
    """Time every candidate once a round, after one round to warm up; return medians in seconds."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_number in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run(wave)
            if round_number:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def measure(
    seconds: float, threads: int, repeats: int, allocator: str, precisions: list[str], runtimes: list[str]
) -> None:
    """Print one table."""
    torch.set_num_threads(threads)
    wave = 0.1 * torch.randn(1, 640 + 320 * round((seconds * 16000 - 640) / 320))
    stock = stock_network()
    candidates = all_of_ours(stock, precisions, runtimes, threads)
    runs: dict[str, Callable[[Tensor], Tensor]] = {"stock": stage_two_wave(stock)}
    runs |= {name: (lambda x, model=model: model(x).wave) for name, model in candidates.items()}
    with torch.inference_mode():
        truth = runs["stock"](wave)[:, 640:-640]
        errors = {name: float((run(wave)[:, 640:-640] - truth).abs().max()) for name, run in runs.items()}
        medians = interleaved(runs, wave, repeats)
    conditions = f"{seconds:g} s clip, {threads} thread(s), {allocator} allocator, median of {repeats}"
    print(f"\n{conditions}, torch {torch.__version__}\n")
    print("| network | seconds | times stock | largest difference |\n|---|---|---|---|")
    for name, median in medians.items():
        print(f"| {name} | {median:.3f} | {medians['stock'] / median:.2f} | {errors[name]:.1e} |")


def main() -> None:
    """Measure in child processes, as an allocator is chosen before a process starts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[4.0, 10.0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--allocator", choices=("calm", "default"), nargs="+", default=["calm", "default"])
    parser.add_argument("--precision", choices=("fp32", "bf16"), nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--runtimes", choices=RUNTIMES, nargs="+", default=["torch"], help="others than torch: fp32")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        for seconds in args.seconds:
            measure(seconds, args.threads, args.repeats, args.allocator[0], args.precision, args.runtimes)
        return
    for allocator in args.allocator:
        environment = {name: value for name, value in os.environ.items() if name not in CALM}
        command = [sys.executable, __file__, "--child", "--allocator", allocator, "--threads", str(args.threads)]
        command += ["--repeats", str(args.repeats), "--seconds", *map(str, args.seconds)]
        command += ["--precision", *args.precision, "--runtimes", *args.runtimes]
        subprocess.run(command, check=True, env=environment | (CALM if allocator == "calm" else {}))


if __name__ == "__main__":
    main()
