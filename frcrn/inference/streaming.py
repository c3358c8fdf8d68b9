"""Enhance sound in real time: chunks of any size, at any rate, with any number of channels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any, NoReturn, SupportsIndex

import numpy as np
import soxr

from frcrn.audio import AudioError, Samples, as_floats, checked_rate, exactly, finite, like, silence_after
from frcrn.audio.fifo import Fifo
from frcrn.export.native.band import NativeBand
from frcrn.inference.fullband import FullBand, checked_band, full_band
from frcrn.inference.network import Network, inference_form, runner, unlevelled

_log = logging.getLogger(__name__)

_MOST_HOPS = 64  # of one stream in one step, so that a long chunk needs no more memory than a short one
_LOUDEST = 1e12  # what is louder is no sound, and its square is infinite inside of the network
_TINY = 1e-20  # what is softer (-400 dBFS) is silence to the network: denormal numbers would make it slow


class Resampler:
    """A streaming resampler, or nothing at all where both rates are the same."""

    def __init__(self, rate: int, new_rate: int, channels: int) -> None:
        self._rates, self._channels = (rate, new_rate), channels
        self.reset()

    def reset(self) -> None:
        """Begin again with silence before."""
        rate, new_rate = self._rates
        self._stream: soxr.ResampleStream | None = None
        if rate != new_rate:
            self._stream = soxr.ResampleStream(rate, new_rate, self._channels, dtype="float32")

    def push(self, samples: Samples, last: bool = False) -> Samples:
        """[C, n] -> [C, as many as are ready]."""
        if self._stream is None or not (samples.shape[1] or last):
            return samples
        resampled: Samples = self._stream.resample_chunk(np.ascontiguousarray(samples.T), last=last).T
        return resampled


class SpeechBand:
    """The way to a network and back in which what lies above its band is left out."""

    def __init__(self, rate: int, low_rate: int, channels: int) -> None:
        self._rates = (rate, low_rate)
        self._down, self._up = Resampler(rate, low_rate, channels), Resampler(low_rate, rate, channels)

    def reset(self) -> None:
        """Begin another sound."""
        self._down.reset()
        self._up.reset()

    def split(self, sound: Samples, last: bool = False) -> Samples:
        """[C, n] -> what is ready for the network, [C, m]; with `last` all of it and what rings on."""
        after = silence_after(*self._rates) if last else 0
        return self._down.push(np.pad(sound, ((0, 0), (0, after))), last)

    def low_length(self, length: int) -> int:
        """Count the samples for the network in a sound of this length."""
        rate, low_rate = self._rates
        return -(-length * low_rate // rate)

    def join(self, clean: Samples, last: bool = False) -> Samples:
        """Take the network's answer [C, m] and return what is ready of it, [C, n]."""
        return self._up.push(clean, last)


def route(rate: int, low_rate: int, channels: int, band: str) -> FullBand | NativeBand | SpeechBand:
    """Return the way to a network and back; at the network's rate or below there is nothing above its band."""
    both = checked_band(band) == "full" and rate > low_rate
    return (full_band if both else SpeechBand)(rate, low_rate, channels)


class Stream:
    """One stream through a network; what comes out is in time with what went in, and as long in the end."""

    def __init__(
        self, model: Network, rate: int | None = None, channels: int = 1, strength: float = 1.0, band: str = "full"
    ) -> None:
        if not model.streams:
            raise ValueError(
                f"this {type(model).__name__} looks {model.lookahead} samples ahead and cannot stream; "
                "load it with causal=True, or use enhance"
            )
        if not isinstance(channels, int) or channels < 1:
            raise ValueError(f"channels {channels}: at least 1 is needed")
        if (left_out := unlevelled(model)) is not None:
            _log.warning("%s", left_out)
        self.rate = model.sample_rate if rate is None else checked_rate(rate)
        self.channels = channels
        self.model = inference_form(model)
        self._runner = runner(self.model)
        self.strength = strength
        self._overlap = model.lag
        self.band = band
        self.on_hop: Callable[[], None] | None = None
        """Called after each hop, which then goes through the network by itself: `speech` is that hop's."""
        self._route = route(self.rate, model.sample_rate, channels, band)
        self._pending, self._original = Fifo(channels), Fifo(channels)
        self._like: Any = np.zeros(0 if channels == 1 else (channels, 0), np.float32)
        self.reset()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be copied or pickled: the copy would take up what this one has in the middle of a sound."""
        raise TypeError("a stream cannot be copied or sent to another process; open another with model.stream()")

    @property
    def strength(self) -> float:
        """How much of the enhanced sound is in the output, 0 (the original) to 1; may change at any time."""
        return self._strength

    @strength.setter
    def strength(self, value: float) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f"strength {value}: choose from 0 (the original) to 1 (enhanced)")
        self._strength = float(value)

    @property
    def speech(self) -> Samples | None:
        """How probable speech is in the newest hop of each channel, [C]; None of a network that does not say."""
        return self._runner.speech(self._state)

    @property
    def position(self) -> int:
        """Samples that went in since the beginning."""
        return self._taken

    @property
    def latency(self) -> int:
        """Samples, at the stream's rate, after which a sample that went in has come out at the latest.

        At the network's rate they are counted one by one, at others in chunks of a millisecond.
        """
        return longest_delay(self.rate, self.model.sample_rate, self.model.latency, self.model.hop, self.band)

    def reset(self) -> None:
        """Forget everything received: the next push is the beginning of another sound."""
        self._state = self._runner.initial_state(self.channels)
        self._pending.clear()
        self._original.clear()
        self._route.reset()
        self._taken = self._given = self._fed = 0
        self._mixed = self._strength
        self._at_work = Lock()

    def push(self, chunk: Any) -> Any:
        """Take a chunk in, and return what is ready.

        Args:
            chunk: [T] of one channel, [C, T] of several; numpy or torch, of any length.

        Example:
            >>> out = stream.push(chunk)
        """
        return push_together([self], [chunk])[0]

    def flush(self) -> Any:
        """Return what is still inside, so that as much came out as went in, and begin anew.

        Example:
            >>> tail = stream.flush()
        """
        with at_work([self]):
            self._pending.append(self._route.split(np.zeros((self.channels, 0), np.float32), last=True))
            whole = self._route.low_length(self._taken)
            done, hop = self._fed, self.model.hop
            self._pending.cut(-(-(whole + self._overlap) // hop) * hop - done)
            clean = np.concatenate([np.zeros((self.channels, 0), np.float32), *advance([self])[0]], axis=1)
            clean = self._route.join(exactly(clean, whole - max(0, done - self._overlap)), last=True)
            result = self._mix(exactly(clean, self._taken - self._given))
        self.reset()
        return result

    def _take(self, samples: Samples, chunk: Any) -> None:
        """Let [C, n] in, the samples of a chunk."""
        self._like = chunk[..., :0]  # what it is made of, without its samples
        self._taken += samples.shape[1]
        self._original.append(samples)
        self._pending.append(self._route.split(np.where(np.abs(samples) < _TINY, np.float32(0), samples)))

    def _hops(self) -> int:
        """Whole hops that wait for the network, as many as may go into one step."""
        return min(len(self._pending) // self.model.hop, 1 if self.on_hop else _MOST_HOPS)

    def _heard(self, samples: Samples) -> Samples:
        """Take what the network returned; its first samples belong to the silence before the beginning."""
        early = max(0, self._overlap - self._fed)
        self._fed += samples.shape[1]
        return samples[:, early:]

    def _mix(self, clean: Samples) -> Any:
        """[C, n] -> with the original's share, in the form of the last chunk; a changed strength fades over."""
        count = clean.shape[1]
        original = self._original.take(count)
        self._given += count
        if self._mixed == self._strength == 1:
            mixed = clean.copy()
        else:
            mixed = original + np.linspace(self._mixed, self._strength, count, dtype=np.float32) * (clean - original)
        if count:
            self._mixed = self._strength
        return like(self._like, mixed if np.ndim(self._like) == 2 else mixed[0])


def push_together(streams: Sequence[Stream], chunks: Sequence[Any]) -> list[Any]:
    """Push one chunk into each of several streams of one model; what can go through the network together does.

    Args:
        streams: different streams that `model.stream` opened.
        chunks: one for each.

    Example:
        >>> outs = push_together([left, right], [chunk, other])
    """
    if len(streams) != len(chunks) or len({id(stream) for stream in streams}) != len(streams):
        raise ValueError(f"{len(streams)} streams, {len(chunks)} chunks: give one chunk for each of different streams")
    if any(stream.model is not streams[0].model for stream in streams):
        raise ValueError("the streams belong to different models; push them apart")
    # all are checked before any is taken, so that a refused chunk changes nothing
    checked = [as_samples(chunk, stream) for stream, chunk in zip(streams, chunks, strict=True)]
    results = []
    with at_work(streams):
        for stream, samples, chunk in zip(streams, checked, chunks, strict=True):
            stream._take(samples, chunk)
        for stream, parts in zip(streams, advance(streams), strict=True):
            clean = np.concatenate([np.zeros((stream.channels, 0), np.float32), *parts], axis=1)
            results.append(stream._mix(stream._route.join(clean)))
    return results


@contextmanager
def at_work(streams: Sequence[Stream]) -> Iterator[None]:
    """Keep others out of some streams meanwhile; what breaks off in here leaves samples lost, and them kept out."""
    taken: list[Lock] = []
    for stream in streams:
        lock = stream._at_work
        if not lock.acquire(blocking=False):
            for other in taken:
                other.release()
            raise ValueError(
                "this stream is at work in another thread, or was interrupted at work and has lost samples; "
                "push from one thread at a time, or begin anew with reset()"
            )
        taken.append(lock)
    yield
    for lock in taken:
        lock.release()


def advance(streams: Sequence[Stream]) -> list[list[Samples]]:
    """Let the network hear all whole hops that wait; return its answers [C, n] for each stream."""
    answers: list[list[Samples]] = [[] for _ in streams]
    while ready := [number for number, stream in enumerate(streams) if stream._hops()]:
        busy = [streams[number] for number in ready]
        at = busy[0]._runner
        count = min(stream._hops() for stream in busy) * busy[0].model.hop
        frames = np.concatenate([stream._pending.take(count) for stream in busy])
        states = [stream._state for stream in busy]
        out, state = at.step(frames, at.joined(states) if len(busy) > 1 else states[0])
        sizes = [stream.channels for stream in busy]
        each = np.split(out, np.cumsum(sizes)[:-1])
        for number, clean, kept in zip(ready, each, at.apart(state, sizes), strict=True):
            streams[number]._state = kept
            answers[number].append(streams[number]._heard(clean))
            if on_hop := streams[number].on_hop:
                on_hop()
    return answers


def as_samples(chunk: Any, stream: Stream) -> Samples:
    """A chunk in any accepted form -> float32 [C, T], all finite."""
    samples = as_floats(chunk)
    wave = samples[None] if samples.ndim == 1 and stream.channels == 1 else samples
    if wave.ndim != 2 or wave.shape[0] != stream.channels:
        accepted = "[T] or [1, T]" if stream.channels == 1 else f"[{stream.channels}, T]"
        raise AudioError(f"a chunk has the shape {list(samples.shape)}; this stream takes {accepted}")
    wave = finite(wave, "stream", stream.rate, start=stream.position)
    if wave.size and (loudest := float(np.abs(wave).max())) > _LOUDEST:
        raise AudioError(f"a chunk has samples of {loudest:.3g}; full scale is 1, accepted are at most {_LOUDEST:g}")
    return wave


@lru_cache
def longest_delay(rate: int, model_rate: int, latency: int, hop: int, band: str) -> int:
    """Samples at `rate` by which a stream's output trails its input at most, found by counting over silence.

    The network's own `latency` is in samples at its rate. Without the band above, what resamples gives blocks, which
    fall further and further out of step with the hops: the longest delay can come after half a minute.
    """
    if rate == model_rate:
        return latency
    way = route(rate, model_rate, 1, band)
    seconds = (60 if isinstance(way, SpeechBand) else 2) + latency / model_rate
    size = max(1, rate // 1000)
    taken = given = received = returned = longest = 0
    while taken < seconds * rate:
        taken += size
        longest = max(longest, taken - given)
        received += way.split(np.zeros((1, size), np.float32)).shape[1]
        ready = max(0, received // hop * hop - (latency - hop)) - returned
        returned += ready
        if ready:
            given += way.join(np.zeros((1, ready), np.float32)).shape[1]
    return longest
