"""Microphones and loudspeakers, through PortAudio: which there are, and one that is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from frcrn.audio import MissingPackage, Samples
from frcrn.audio.formats import installing

Exchange = Callable[[Samples], Samples]
"""[C, n] recorded -> [C, n] to play, at once."""

KINDS = ("input", "output")


class DeviceError(ValueError):
    """A sound device that is not there or does not do what is asked; the message is one sentence."""


class Device(NamedTuple):
    """A sound device as PortAudio numbers it."""

    number: int
    name: str
    inputs: int
    outputs: int
    rate: int
    default: tuple[bool, bool]
    """Whether it is the default one for input, for output."""

    def channels(self, kind: str) -> int:
        """Return how many channels it has for a kind."""
        return self.inputs if kind == "input" else self.outputs


class Flow:
    """An open device: how late it is by itself, what it lost, and whether it still runs."""

    def __init__(self, stream: Any, failure: type[Exception]) -> None:
        self._stream, self._failure = stream, failure
        self.lost = 0
        """Blocks at which the device itself says that it lost sound."""

    def start(self) -> None:
        """Let the sound run."""
        try:
            self._stream.start()
        except self._failure as error:
            raise DeviceError(f"the sound device does not start: {error}") from error

    @property
    def active(self) -> bool:
        """Whether it still runs; a device that was pulled out does not."""
        return bool(self._stream.active)

    @property
    def latency(self) -> float:
        """Seconds that the device adds, in and out together."""
        return float(np.sum(self._stream.latency))


def portaudio() -> Any:
    """Return the package that speaks to PortAudio."""
    try:
        import sounddevice
    except ImportError as error:
        raise MissingPackage(f"live sound needs sounddevice: {installing('live')}") from error
    except OSError as error:
        raise DeviceError(
            "live sound needs the PortAudio library, which is not installed here "
            "(Debian and Ubuntu: apt install libportaudio2)"
        ) from error
    return sounddevice


def devices() -> list[Device]:
    """List all sound devices."""
    sound = portaudio()
    try:
        found, defaults = sound.query_devices(), tuple(sound.default.device)
    except sound.PortAudioError as error:
        raise DeviceError(f"the sound devices cannot be listed: {error}") from error
    return [
        Device(
            number,
            str(each["name"]),
            int(each["max_input_channels"]),
            int(each["max_output_channels"]),
            round(each["default_samplerate"]),
            (number == defaults[0], number == defaults[1]),
        )
        for number, each in enumerate(found)
    ]


def choose(kind: str, wanted: str | None = None) -> Device:
    """Return the default device of a kind, or the one with this number or with this in its name."""
    able = [device for device in devices() if device.channels(kind)]
    if not able:
        what = "microphone or other input" if kind == "input" else "loudspeaker or other output"
        raise DeviceError(f"no {what} device was found on this machine")
    if wanted is None:
        return next((device for device in able if device.default[KINDS.index(kind)]), able[0])
    exact = [device for device in able if wanted in (str(device.number), device.name)]
    found = exact or [device for device in able if wanted.lower() in device.name.lower()]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{device.number} {device.name}" for device in found or able)
    raise DeviceError(f"{kind} {wanted!r} is {'several devices' if found else 'no device here'}; choose from {names}")


def accepts(kind: str, device: Device, rate: int, channels: int) -> bool:
    """Tell whether a device says that it takes a rate."""
    sound = portaudio()
    check = getattr(sound, f"check_{kind}_settings")
    try:
        check(device=device.number, channels=channels, dtype="float32", samplerate=rate)
    except (sound.PortAudioError, ValueError):
        return False
    return True


def common_rate(source: Device, target: Device, channels: int, wanted: int) -> int:
    """Return the rate that is wanted where both devices take it, otherwise the microphone's own."""
    played = played_channels(target, channels)
    if accepts("input", source, wanted, channels) and accepts("output", target, wanted, played):
        return wanted
    return source.rate


def played_channels(target: Device, channels: int) -> int:
    """Return on how many channels to play: mono on both loudspeakers."""
    return channels if channels > 1 else min(2, target.outputs)


def checked(recorded: Any) -> Samples:
    """[n, C] in the device's memory -> [C, n] of our own, whatever a driver puts there: finite and in full scale."""
    return np.nan_to_num(np.clip(np.asarray(recorded, np.float32).T, -1, 1), copy=False)


@contextmanager
def duplex(source: Device, target: Device, rate: int, block: int, channels: int, exchange: Exchange) -> Iterator[Flow]:
    """Run blocks from one device to another; mono is played on both loudspeakers."""

    def callback(recorded: Any, out: Any, frames: int, time: Any, status: Any) -> None:
        flow.lost += bool(status)
        out[:] = exchange(checked(recorded)).T  # mono spreads over the channels

    with _opened(
        "Stream",
        device=(source.number, target.number),
        channels=(channels, played_channels(target, channels)),
        samplerate=rate,
        blocksize=block,
        callback=callback,
    ) as flow:
        flow.start()
        yield flow


@contextmanager
def microphone(source: Device, rate: int, block: int, channels: int, hear: Callable[[Samples], None]) -> Iterator[Flow]:
    """Run blocks from a device."""

    def callback(recorded: Any, frames: int, time: Any, status: Any) -> None:
        flow.lost += bool(status)
        hear(checked(recorded))

    with _opened(
        "InputStream",
        device=source.number,
        channels=channels,
        samplerate=rate,
        blocksize=block,
        callback=callback,
    ) as flow:
        flow.start()
        yield flow


@contextmanager
def _opened(kind: str, **settings: Any) -> Iterator[Flow]:
    sound = portaudio()
    try:
        stream = getattr(sound, kind)(dtype="float32", latency="low", **settings)
    except (sound.PortAudioError, ValueError) as error:
        what = f"{settings['samplerate']} Hz with {settings['channels']} channels"
        raise DeviceError(f"the sound device does not open at {what}: {error}") from error
    try:
        yield Flow(stream, sound.PortAudioError)
    finally:
        stream.close()
