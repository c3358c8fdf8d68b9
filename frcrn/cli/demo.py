"""`frcrn demo` and `frcrn info`."""

from __future__ import annotations

import argparse
import json
import os
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any, NamedTuple

from frcrn.cli.common import add_model_option, named
from frcrn.config import FOR_RECORDINGS, FOR_STREAMS

if TYPE_CHECKING:
    from frcrn.audio import Samples
    from frcrn.inference.network import Network

UNTRAINED = "these weights are untrained: the model has learned nothing yet, and its output shows only that all runs"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands."""
    demo = commands.add_parser(
        "demo",
        help="enhance a bundled noisy sample",
        description="Enhance a bundled noisy sample and draw its spectrogram before and after.",
    )
    demo.add_argument(
        "-o",
        "--output",
        type=named,
        default="frcrn-demo",
        metavar="DIR",
        help="the folder to write (default: frcrn-demo)",
    )
    add_model_option(demo, FOR_RECORDINGS)
    demo.set_defaults(run=run_demo)
    info = commands.add_parser(
        "info",
        help="show facts about a model",
        description="Show a model's size, latency, sample rate and configuration.",
    )
    info.add_argument(
        "model",
        nargs="?",
        default=FOR_STREAMS,
        metavar="MODEL",
        help="a model's name, directory or checkpoint (default: bundled)",
    )
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(run=run_info)


def run_demo(args: argparse.Namespace) -> int:
    """Write the demonstration and say where it is."""
    from frcrn.inference.opening import open_network

    model = open_network(args.model)
    demo = demonstrate(model, args.output)
    print(f"noisy:    {demo.noisy}\nenhanced: {demo.enhanced}\npicture:  {demo.picture}")
    print(f"open the picture, and play both: {_player()} {demo.noisy}, then {_player()} {demo.enhanced}")
    print("to hear your own recordings on a page: frcrn serve")
    if not model.trained:
        print(f"note: {UNTRAINED}")
    return 0


def _player() -> str:
    """The program here that plays a wav, else what a desktop opens files with."""
    known = ("afplay", "aplay", "paplay", "ffplay", "play", "xdg-open", "open", "start")
    return next((name for name in known if which(name)), "open")


def run_info(args: argparse.Namespace) -> int:
    """Print the facts about a model."""
    from frcrn.models.checkpoint import describe, load

    facts = describe(load(args.model))
    print(json.dumps(facts, indent=2) if args.json else as_table(facts))
    return 0


def as_table(facts: dict[str, Any]) -> str:
    """One line a fact; what belongs to the configuration is set in, and what is a list further in."""
    width = max(map(len, facts))
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            inner = max(map(len, value), default=0)
            lines.append(f"{name}:")
            for key, entry in value.items():
                shown = [_shown(part) for part in entry] if isinstance(entry, (list, tuple)) else [_shown(entry)]
                lines += [f"  {label:<{inner}}  {text}" for label, text in zip_longest([key], shown, fillvalue="")]
        else:
            lines.append(f"{name:<{width}}  {_shown(value)}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(part)}" for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return " x ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) and value >= 100_000 else str(value)


class Demo(NamedTuple):
    """Where the files of the demonstration are."""

    noisy: Path
    enhanced: Path
    picture: Path


def demonstrate(model: Network, folder: str | os.PathLike[str]) -> Demo:
    """Write the noisy sample, what the model makes of it, and a picture of both."""
    from frcrn import audio
    from frcrn.audio.sample import sample
    from frcrn.files import refuse_links, refuse_others

    demo = Demo(*(Path(folder) / name for name in ("noisy.wav", "enhanced.wav", "before_after.png")))
    demo.enhanced.parent.mkdir(parents=True, exist_ok=True)
    noisy = sample()
    refuse_links(*demo)
    refuse_others(demo, lambda: holds(demo.noisy, noisy.samples))
    enhanced: Samples = model.enhance(noisy.samples, noisy.rate)
    for path, samples in ((demo.noisy, noisy.samples), (demo.enhanced, enhanced)):
        audio.write(path, samples, noisy.rate)
    draw(demo.picture, {"before": noisy.samples[0], "after": enhanced[0]}, noisy.rate)
    return demo


def holds(path: Path, noisy: Samples) -> bool:
    """Say whether a file is the sample, which is written first."""
    import numpy as np

    from frcrn import audio

    with suppress(ValueError, OSError):
        return bool(np.array_equal(audio.read(path).samples, noisy))
    return False


def draw(path: Path, waves: dict[str, Samples], rate: int) -> None:
    """Draw the spectrograms of waves [T] below each other, with one scale."""
    from frcrn.audio import MissingPackage, replacing

    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackage('the picture needs matplotlib: pip install "frcrn[eval]"') from error
    figure = Figure(figsize=(10, 3 * len(waves)), layout="constrained")
    axes = figure.subplots(len(waves), sharex=True)
    loudest = max(_level(wave).max() for wave in waves.values())
    for axis, (title, wave) in zip(axes, waves.items(), strict=True):
        image = _draw_one(axis, wave, rate, loudest)
        axis.set(title=title, ylabel="kHz")
    axes[-1].set_xlabel("s")
    figure.colorbar(image, ax=axes, label="dB")
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=110)


def _draw_one(axis: Any, wave: Samples, rate: int, loudest: float) -> Any:
    extent = (0, len(wave) / rate, 0, rate / 2000)
    limits = {"vmin": loudest - 80, "vmax": loudest}
    return axis.imshow(_level(wave), origin="lower", aspect="auto", extent=extent, cmap="magma", **limits)


def _level(wave: Samples) -> Samples:
    """[T] -> [257, N] in dB."""
    import numpy as np

    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, 256), 512)[::128]
    spectrum = np.fft.rfft(frames * np.hanning(512)).T
    return (20 * np.log10(np.maximum(np.abs(spectrum), 1e-6))).astype(np.float32)
