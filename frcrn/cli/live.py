"""`frcrn live` and `frcrn record`."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from frcrn.cli.common import place
from frcrn.cli.signals import noted_signals
from frcrn.cli.stream import add_model, load_model

if TYPE_CHECKING:
    from frcrn.audio import Samples
    from frcrn.audio.devices import Flow
    from frcrn.cli.keys import Wait
    from frcrn.inference.live import Live, Recorder, Status, Tap

LIVE = """Remove noise from the microphone and play the result, until q or Ctrl-C. Keys: space switches the
enhancement off and on, + and - change its strength."""
RECORD = """Record from a microphone; --enhance removes the noise. Ctrl-C stops early and keeps the recording, as
whatever else ends it does."""

BAR = 12  # characters of a level meter
FLOOR_DB = -60  # where it begins
LOOK = 0.1  # seconds between two looks
STEP = 0.1  # of the strength, for one key
PATIENCE = 2.0  # seconds without a sample after which a microphone has stopped


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands."""
    live = commands.add_parser("live", help="remove noise from a microphone and play the result", description=LIVE)
    live.add_argument("--list", action="store_true", help="list the sound devices and exit")
    _add_microphone(live, "the model's if both devices support it, else the microphone's")
    live.add_argument(
        "--output", metavar="D", help="the loudspeaker: a number of --list or part of a name (default: the system's)"
    )
    live.add_argument(
        "--cushion", type=float, default=0.0, metavar="MS", help="additional delay against underruns (default: 0.0)"
    )
    live.add_argument(
        "--record", type=place, metavar="FILE", help="save input and output: NAME.noisy.EXT and NAME.clean.EXT"
    )
    live.add_argument("--force", action="store_true", help="replace recordings of the same names")
    live.add_argument(
        "--seconds", type=float, default=math.inf, metavar="S", help="stop after this time (default: never)"
    )
    add_model(live)
    live.set_defaults(run=run_live)

    record = commands.add_parser("record", help="record from a microphone", description=RECORD)
    record.add_argument("seconds", type=float, metavar="SECONDS", help="duration in seconds")
    record.add_argument("-o", "--output", type=place, required=True, metavar="FILE", help="the audio file to write")
    record.add_argument("--force", action="store_true", help="replace a file of the same name")
    record.add_argument("--enhance", action="store_true", help="remove the noise")
    _add_microphone(record, "the microphone's")
    add_model(record)
    record.set_defaults(run=run_record)


def _add_microphone(parser: argparse.ArgumentParser, rate: str) -> None:
    parser.add_argument(
        "--input", metavar="D", help="the microphone: a number of live --list or part of a name (default: the system's)"
    )
    parser.add_argument("--rate", type=int, metavar="HZ", help=f"sample rate of the devices (default: {rate})")
    parser.add_argument("--channels", type=int, default=1, metavar="N", help="channels of the microphone (default: 1)")


def _check_channels(count: int) -> None:
    if count < 1:
        raise ValueError(f"--channels {count}: expected 1 or more")


def run_live(args: argparse.Namespace) -> int:
    """Run a microphone through the network to a loudspeaker."""
    from frcrn.audio.devices import DeviceError, choose, common_rate, duplex
    from frcrn.inference.live import Live

    if args.list:
        return _list()
    if not args.seconds > 0:
        raise ValueError(f"--seconds {args.seconds:g}: expected more than 0")
    if not 0 <= args.cushion < math.inf:
        raise ValueError(f"--cushion {args.cushion:g}: expected milliseconds from 0")
    _check_channels(args.channels)
    source, target = choose("input", args.input), choose("output", args.output)
    model = load_model(args)
    # at the network's own rate nothing is resampled, which would add latency
    rate = args.rate or common_rate(source, target, args.channels, model.sample_rate)
    stream = model.stream(rate, args.channels, args.strength, args.band)
    block = max(1, round(model.hop * rate / model.sample_rate))
    sides = _sides(args.record, force=args.force) if args.record else []
    with noted_signals() as came, ExitStack() as stack:
        tap = _both_sides(stack, sides, rate, args.channels, force=args.force) if sides else None
        live = stack.enter_context(Live(stream, block, cushion=round(args.cushion * rate / 1000), tap=tap))
        flow = stack.enter_context(duplex(source, target, rate, block, args.channels, live.exchange))
        print(f"{source.name} -> {target.name}, {rate} Hz, {args.channels} channels", file=sys.stderr)
        own = 1000 * live.delay / rate
        print(f"added latency {own:.0f} ms, and {1000 * flow.latency:.0f} ms of the devices", file=sys.stderr)
        _until_stopped(live, flow, args.seconds, came)
        stopped = not flow.active
    status = live.status()  # raises what stopped the network, now that the recordings are complete
    print(
        f"{live.underruns} underruns, {flow.lost} blocks lost by the devices, load {status.load:.0%}", file=sys.stderr
    )
    if stopped:
        raise DeviceError("the sound device stopped; was it pulled out?")
    return _code(came)


def _list() -> int:
    """Print the sound devices."""
    from frcrn.audio.devices import DeviceError, devices

    found = devices()
    if not found:
        raise DeviceError("no sound device was found on this machine")
    for device in found:
        marks = "".join(mark if is_default else " " for mark, is_default in zip("<>", device.default, strict=True))
        print(f"{device.number:>3} {marks} {device.name} ({device.inputs} in, {device.outputs} out, {device.rate} Hz)")
    print("\n< default input, > default output")
    return 0


def _sides(path: Path, *, force: bool) -> list[Path]:
    """Name a file for what is recorded and one for what is made of it; nobody has named those that are there."""
    sides = [path.with_name(f"{path.stem}.{side}{path.suffix}") for side in ("noisy", "clean")]
    if not force:
        _refuse_there(sides, "--record")
    if len({os.path.realpath(side) for side in sides}) < len(sides):
        raise ValueError(f"{sides[0]} and {sides[1]}: are links to one file, which cannot hold both; remove one")
    return sides


def _refuse_there(paths: Iterable[Path], option: str) -> None:
    """Refuse names that are taken: what was recorded cannot be made again."""
    for path in paths:
        if os.path.lexists(path):
            raise ValueError(f"{path}: is there already; --force replaces it, and {option} names another file")


def _both_sides(stack: ExitStack, sides: Iterable[Path], rate: int, channels: int, *, force: bool) -> Tap:
    """Open both files."""
    from frcrn.audio import writer

    noisy, clean = (stack.enter_context(writer(side, rate, channels, keep=True, new=not force)) for side in sides)

    def tap(recorded: Samples, made: Samples) -> None:
        noisy(recorded)
        clean(made)

    return tap


def _until_stopped(live: Live, flow: Flow, seconds: float, came: Sequence[int]) -> None:
    """Show how it goes and obey keys; whoever ends it still wants what was recorded."""
    from frcrn.cli.keys import keys

    try:
        with keys() as wait:
            _watch(live, flow, seconds, wait, came)
    finally:
        _draw("")


def _watch(live: Live, flow: Flow, seconds: float, wait: Wait, came: Sequence[int]) -> None:
    end, strength = time.monotonic() + seconds, live.stream.strength
    while not came and flow.active and live.error is None and (left := end - time.monotonic()) > 0:
        key = wait(min(LOOK, left))
        if key == "q":
            return
        if key == " ":
            live.stream.strength = 0.0 if live.stream.strength else strength
        elif key in ("+", "-"):
            strength = min(1.0, max(0.0, round(strength + (STEP if key == "+" else -STEP), 3)))
            live.stream.strength = strength
        if live.error is None:
            _draw(_line(live.status(), live.stream.strength))


def _line(status: Status, strength: float) -> str:
    """Say how it goes in one line."""
    mode = f"strength {strength:.1f}" if strength else "bypassed"
    return (
        f"in {_meter(status.recorded)}  out {_meter(status.played)}  load {status.load:4.0%}  "
        f"underruns {status.underruns}  {mode}"
    )


def _meter(level: float) -> str:
    """Draw a level in dBFS."""
    share = min(1.0, max(0.0, 1 - level / FLOOR_DB))
    return f"{level:4.0f} dB [{'#' * round(BAR * share):<{BAR}}]"


def _draw(text: str) -> None:
    """Replace the line on stderr, where a person watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def run_record(args: argparse.Namespace) -> int:
    """Record from a microphone into a file."""
    from frcrn.audio import checked_rate, writer
    from frcrn.audio.devices import DeviceError, choose, microphone
    from frcrn.inference.live import Recorder

    if not 0 < args.seconds < math.inf:
        raise ValueError(f"{args.seconds:g} seconds: expected more than 0, and an end")
    _check_channels(args.channels)
    poured = args.output.exists() and not args.output.is_file()  # into a pipe or a device
    if not (poured or args.force):
        _refuse_there([args.output], "-o")
    source = choose("input", args.input)
    rate = checked_rate(args.rate or source.rate)
    length = round(args.seconds * rate)
    if not length:
        raise ValueError(f"{args.seconds:g} seconds: expected a sample or more, of which there are {rate} in a second")
    stream = load_model(args).stream(rate, args.channels, args.strength, args.band) if args.enhance else None
    recorder = Recorder(length)
    with ExitStack() as signals:
        came = signals.enter_context(noted_signals())
        with writer(args.output, rate, args.channels, frames=recorder.length, keep=True, new=not args.force) as append:

            def take() -> None:
                block = recorder.take()
                append(stream.push(block) if stream else block)

            with microphone(source, rate, rate // 50, args.channels, recorder.hear) as flow:
                _hear(recorder, take, rate, came)
            _finish(recorder, take, rate, came)
            if not recorder.taken:
                raise _unheard(source.name, came)
            if stream:
                append(stream.flush().reshape(args.channels, -1))
            if poured:
                signals.close()  # a pipe that nobody reads would be waited for without end
    recorded = recorder.taken
    print(f"{args.output}: {recorded / rate:.1f} s, {flow.lost} blocks lost by the device", file=sys.stderr)
    if recorded < recorder.length and not came:
        raise DeviceError(f"{source.name} stopped after {recorded / rate:.1f} s; was it pulled out?")
    return _code(came, missing=bool(recorder.waiting))


def _hear(recorder: Recorder, take: Callable[[], None], rate: int, came: Sequence[int]) -> None:
    """Take in what comes, until all of it or a signal is there, or the device has stopped."""
    from frcrn.inference.live import dbfs

    silent = 0.0
    try:
        while not came and recorder.taken < recorder.length and silent < PATIENCE:
            if recorder.wait(LOOK):
                silent = 0.0
                take()
                _draw(f"{_meter(dbfs(recorder.peak))}  {recorder.taken / rate:.1f} s")
            else:
                silent += LOOK
    finally:
        _draw("")


def _finish(recorder: Recorder, take: Callable[[], None], rate: int, came: Sequence[int]) -> None:
    """Take in what came before the end, for which the network had no time yet, unless told again to end."""
    if recorder.waiting > LOOK * rate and len(came) < 2:
        print(f"finishing {recorder.waiting / rate:.1f} s; Ctrl-C leaves them out", file=sys.stderr)
    while recorder.waiting and len(came) < 2:
        take()
    if recorder.waiting:
        print(f"the last {recorder.waiting / rate:.1f} s are missing", file=sys.stderr)


def _unheard(name: str, came: Sequence[int]) -> BaseException:
    """Return what ends a recording of nothing."""
    from frcrn.audio.devices import DeviceError

    if not came:
        return DeviceError(f"{name} gave no sound; nothing is written")
    return KeyboardInterrupt() if came[-1] == signal.SIGINT else SystemExit(128 + came[-1])


def _code(came: Sequence[int], *, missing: bool = False) -> int:
    """Return the exit code after these signals; Ctrl-C is how one ends, and no failure where nothing is missing."""
    if not missing and all(number == signal.SIGINT for number in came):
        return 0
    return 128 + came[-1]
