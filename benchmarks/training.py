"""Training steps, ours against the stock ModelScope FRCRN and its loss, at full size: speed and memory.

    python benchmarks/training.py                         # 4 clips of 1 s, one thread
    python benchmarks/training.py --rounds 9 --threads 2
    python benchmarks/training.py --device cuda --batch 16

A step is forward, loss, backward, clip and Adam on equal weights and batches. Speed is measured in turns in one
process: medians of seconds of audio trained per second, by the clock and by the time that the process was on a core.
Memory is the growth of a fresh process's peak from a batch of half the size to the whole, per second of audio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from frcrn import FRCRN
from frcrn.machine import demand_bf16, peak_memory
from frcrn.models import released
from frcrn.models.checkpoint import fill
from frcrn.training.losses.objective import build_losses

RATE = 16000
VARIANTS = ("stock", "ours", "ours bf16")
RELEASED = [{"name": "mask"}, {"name": "si_snr"}]
Step = Callable[[Tensor, Tensor], float]


def main() -> None:
    """Print two tables, or the peak of one variant for the process that asks for it."""
    parser = argparse.ArgumentParser(description="Measure training steps against the stock model.")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak:
        print(peak_of(args))
        return
    print_speed(args)
    print_memory(args)


def waves(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Return noisy and clean [B, T]."""
    torch.manual_seed(1)
    clean = 0.1 * torch.randn(args.batch, round(args.seconds * RATE))
    return (clean + 0.05 * torch.randn_like(clean)).to(args.device), clean.to(args.device)


def stock_step(device: str) -> tuple[Step, torch.nn.Module]:
    """Return a training step of modelscope's own network and loss."""
    from modelscope.models.audio.ans.frcrn import FRCRN as Stock

    torch.manual_seed(0)
    model = Stock(**released.ARGUMENTS).to(device).train()
    optimizer = torch.optim.Adam(model.get_params(1e-5), lr=1e-3)

    def step(noisy: Tensor, clean: Tensor) -> float:
        loss = model.loss(noisy, clean, model(noisy), mode="Mix")["loss"]
        return finish(loss, model, optimizer)

    return step, model


def our_step(stock: torch.nn.Module, device: str, *, bf16: bool) -> Step:
    """Return a training step of our network with the stock weights and the released loss."""
    if bf16:
        demand_bf16(device)
    model = FRCRN()
    fill(model, stock.state_dict(), "stock")
    model = model.to(device).to(memory_format=model.memory_format).train()
    losses = build_losses(RELEASED, window=model.window, hop=model.hop)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(noisy: Tensor, clean: Tensor) -> float:
        with torch.autocast(noisy.device.type, torch.bfloat16, enabled=bf16):
            estimate = model(noisy)
        return finish(losses(estimate, noisy, clean).total, model, optimizer)

    return step


def finish(loss: Tensor, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """Take the gradient's step and return the loss."""
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 3.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def steps_of(device: str, names: tuple[str, ...] = VARIANTS) -> dict[str, Step]:
    """Return the steps to measure, all from the same weights."""
    stock, model = stock_step(device)
    made: dict[str, Callable[[], Step]] = {
        "stock": lambda: stock,
        "ours": lambda: our_step(model, device, bf16=False),
        "ours bf16": lambda: our_step(model, device, bf16=True),
    }
    return {name: made[name]() for name in names}


def print_speed(args: argparse.Namespace) -> None:
    """Measure the steps in turns and print medians."""
    noisy, clean = waves(args)
    clock: dict[str, list[float]] = {name: [] for name in VARIANTS}
    core: dict[str, list[float]] = {name: [] for name in VARIANTS}
    steps = steps_of(args.device)
    first = {name: step(noisy, clean) for name, step in steps.items()}
    for _ in range(args.rounds):
        for name, step in steps.items():
            began, busy = time.perf_counter(), time.process_time()
            step(noisy, clean)
            clock[name].append(time.perf_counter() - began)
            core[name].append(time.process_time() - busy)
    audio = args.batch * args.seconds
    print(
        f"batch {args.batch} x {args.seconds:g} s, {args.threads} thread(s), {args.device}, torch {torch.__version__}\n"
    )
    print(
        "| step | first loss | audio s/s | times stock | audio s per core s | times stock |\n|---|---|---|---|---|---|"
    )
    for name in VARIANTS:
        by_clock, by_core = statistics.median(clock[name]), statistics.median(core[name])
        against = statistics.median(clock["stock"]) / by_clock, statistics.median(core["stock"]) / by_core
        print(
            f"| {name} | {first[name]:.4f} | {audio / by_clock:.3f} | {against[0]:.2f} "
            f"| {audio / by_core:.3f} | {against[1]:.2f} |",
            flush=True,
        )


def print_memory(args: argparse.Namespace) -> None:
    """Measure each variant in processes of its own and print the memory of a second of audio."""
    half = max(1, args.batch // 2)
    print("\n| step | peak MiB | MiB per second of audio | times stock |\n|---|---|---|---|")
    growth: dict[str, float] = {}
    for name in VARIANTS:
        peaks = [ask_peak(args, name, batch) for batch in (half, args.batch)]
        growth[name] = (peaks[1] - peaks[0]) / ((args.batch - half) * args.seconds)
        print(f"| {name} | {peaks[1]:.0f} | {growth[name]:.0f} | {growth[name] / growth['stock']:.2f} |", flush=True)


def ask_peak(args: argparse.Namespace, name: str, batch: int) -> float:
    """Return the peak of one variant, MiB."""
    options = ["--peak", name, "--batch", str(batch), "--seconds", str(args.seconds), "--device", args.device]
    command = [sys.executable, __file__, *options, "--threads", str(args.threads)]
    return float(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def peak_of(args: argparse.Namespace) -> float:
    """Return the peak of this process over two steps, MiB; on a GPU, of its memory there."""
    step = steps_of(args.device, (args.peak,))[args.peak]
    batch = waves(args)
    for _ in range(2):
        step(*batch)
    if args.device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_memory()


if __name__ == "__main__":
    main()
