"""Noisy speech mixed on the fly: every example is a pure function of (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from frcrn.config import fits, require
from frcrn.data import degrade, events, noises, rooms, spectrum
from frcrn.data.cache import AudioCache, fingerprint, list_folders, open_cache
from frcrn.data.identity import digest, of_files
from frcrn.data.sampling import Shelf, groups_of, held_out
from frcrn.data.speech import babble, faded, talk
from frcrn.data.speech_activity import Wave, active_power, power


@dataclass(frozen=True)
class MixingConfig:
    """What is mixed and how often; every `*_share` is a probability, every `*_db` and `*_s` pair a range."""

    speech: tuple[str, ...]
    noise: tuple[str, ...] = ()
    cache: str = "audio.cache"
    seconds: float = 3.0
    length: int = 2000
    """Examples in an epoch."""
    split: Literal["train", "valid", "all"] = "train"
    valid_share: float = 0.1
    speaker: str = ""
    """Regular expression on `source/name`: its first group is the speaker. Empty: the directory within the source."""
    speech_range_db: float = 20.0
    """Least distance from active speech down to the quietest frames; noisier and clipped speech files are left out."""
    exclude: tuple[str, ...] = ()
    """Patterns such as `source/name*` of files to leave out, say what `frcrn data check` finds in the test set."""
    source_weights: dict[str, float] = field(default_factory=dict)
    snr_db: tuple[float, float] = (-5.0, 20.0)
    level_dbfs: tuple[float, float] = (-50.0, -5.0)
    """Power of the noisy wave; a peak over full scale turns it down."""
    noise_count: tuple[int, int] = (1, 3)
    noise_only_share: float = 0.04
    clean_only_share: float = 0.04
    pause_share: float = 0.15
    made_noise_share: float = 0.2
    babble_share: float = 0.1
    event_share: float = 0.15
    """Of keyboards, hands on the microphone, things that fall, and music, all made."""
    gust_share: float = 0.2
    turn_share: float = 0.15
    """Of a noise that gives way to another one in mid-clip."""
    noise_colour_share: float = 0.4
    speed_share: float = 0.3
    speech_speed: tuple[float, float] = (0.88, 1.14)
    noise_speed: tuple[float, float] = (0.75, 1.35)
    tilt_share: float = 0.3
    tilt_db: float = 8.0
    band_share: float = 0.1
    room_share: float = 0.3
    rooms: tuple[str, ...] = ()
    """Folders of recorded room responses, in place of simulated ones."""
    room_count: int = 200
    room_model: Literal["auto", "pyroomacoustics", "decay"] = "auto"
    room_target: Literal["early", "dry"] = "early"
    """`early`: the target keeps the first `early_ms` of the room; `dry`: nothing of it."""
    early_ms: float = 50.0
    rt60_s: tuple[float, float] = (0.1, 0.8)
    clip_share: float = 0.03
    codec_share: float = 0.04
    lost_share: float = 0.02
    """Of calls that lose packets."""
    step_share: float = 0.05
    """Of scenes whose level changes in mid-clip, speech and noise alike."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(len(self.speech) > 0, "speech", "at least one folder", list(self.speech))
        for name in self.__dataclass_fields__:
            if name.endswith("_share"):
                require(0 <= getattr(self, name) <= 1, name, "0 to 1", getattr(self, name))
        for name in ("length", "room_count", "early_ms"):
            require(getattr(self, name) > 0, name, "more than 0", getattr(self, name))
        require(0.05 <= self.seconds <= 3600, "seconds", "0.05 to 3600", self.seconds)
        require(0 <= self.tilt_db <= 60, "tilt_db", "0 to 60", self.tilt_db)
        for name, weight in self.source_weights.items():
            require(fits(weight, float) and weight >= 0, f"source_weights.{name}", "a number, 0 or more", weight)
        for name, least, most in RANGES:
            low, high = getattr(self, name)
            require(least <= low <= high <= most, name, f"two rising numbers, {least} to {most}", (low, high))
        pure = self.noise_only_share + self.clean_only_share
        require(pure <= 1, "noise_only_share", "at most 1 together with clean_only_share", pure)


RANGES = (
    ("snr_db", -100, 100),
    ("level_dbfs", -90, 0),
    ("noise_count", 1, 10),
    ("speech_speed", 0.25, 4),
    ("noise_speed", 0.25, 4),
    ("rt60_s", 0.05, 5),
)
MOST_CLIPPED = 0.0005
"""Share of samples at full scale above which a speech file is no target to learn from."""


class Example(NamedTuple):
    """One mix, all waves [T]; without damage noisy - clean - reverberation = noise."""

    noisy: Wave
    clean: Wave
    noise: Wave
    snr_db: float
    """As drawn; inf for pure speech, -inf for pure noise."""
    damaged: bool


class Mixing(Dataset[dict[str, Tensor]]):
    """Examples of noisy and clean speech; `dataset[epoch, index]` -> dict(noisy [T], clean [T])."""

    def __init__(self, config: MixingConfig, sample_rate: int, seed: int) -> None:
        """Decode the folders into the cache, where it is not there yet, and simulate the rooms."""
        self.config, self.sample_rate, self.seed = config, sample_rate, seed
        self.samples = round(config.seconds * sample_rate)
        cache = open_cache(config.cache, [*config.speech, *config.noise], sample_rate)
        self.fingerprint = cache.fingerprint
        known = sorted(set(cache.sources))
        for name in config.source_weights:
            require(name in known, f"source_weights.{name}", f"one of the sources {', '.join(known)}", name)
        is_speech = cache.folders < len(config.speech)
        kept = np.array([not any(fnmatchcase(name, pattern) for pattern in config.exclude) for name in cache.names])
        fit = kept & (cache.ranges >= config.speech_range_db) & (cache.clipped <= MOST_CLIPPED)
        spoken = f"speech whose level varies by speech_range_db, {config.speech_range_db:g} dB, and is not clipped"
        self.speech = _shelf(cache, is_speech & fit, config, config.speaker, (config.speech, spoken))
        self.speakers_known = self.speech.knows_voices
        self.noise = _shelf(cache, ~is_speech & kept, config, "", (config.noise, "sound")) if config.noise else None
        self.rooms: NDArray[np.float32] | None = None
        if config.room_share and config.rooms:
            self.rooms = rooms.read_bank(config.rooms, sample_rate)
        elif config.room_share:
            self.rooms = rooms.load_bank(
                config.cache, config.room_count, seed, sample_rate, config.rt60_s, config.room_model
            )

    def __len__(self) -> int:
        """Return the examples in an epoch."""
        return self.config.length

    def recordings(self) -> set[Path]:
        """Return the files that examples are made of, speech and noise."""
        return {Path(path).resolve() for files in self._files() for _, path in files}

    def identity(self) -> str:
        """Return a hash of the recordings that examples are made of, those of rooms too."""
        listing = list_folders(self.config.rooms) if self.config.room_share else []
        return digest([*map(of_files, self._files()), of_files([(item.inside, item.path) for item in listing])])

    def responses(self) -> str:
        """Return what tells the rooms' responses from others: a hash of recordings, or how rooms are simulated."""
        if self.rooms is None:
            return ""
        if self.config.rooms:
            return fingerprint(list_folders(self.config.rooms), self.sample_rate)
        return rooms.way_of(self.config.room_model)

    def _files(self) -> list[list[tuple[str, str]]]:
        shelves = [shelf for shelf in (self.speech, self.noise) if shelf is not None]
        return [[shelf.cache.files[number] for number in shelf.files.tolist()] for shelf in shelves]

    def __getitem__(self, key: tuple[int, int] | int) -> dict[str, Tensor]:
        """Mix example (epoch, index); a bare index is of epoch 0."""
        example = self.example(*(key if isinstance(key, tuple) else (0, key)))
        return {"noisy": torch.from_numpy(example.noisy), "clean": torch.from_numpy(example.clean)}

    def example(self, epoch: int, index: int) -> Example:
        """Mix example (epoch, index) with its noise and SNR."""
        if not 0 <= index < len(self):
            raise IndexError(f"example {index}: expected 0 to {len(self) - 1}")
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, epoch, index))))
        config, kind = self.config, rng.random()
        if kind < config.noise_only_share:
            noise = self._microphone(rng, self._noises(rng))[0]
            silence = np.zeros_like(noise)
            return self._finish(rng, silence, silence, noise, float("-inf"))
        spoken, target = self._speech(rng)
        if kind < config.noise_only_share + config.clean_only_share:
            (target,) = self._microphone(rng, target)
            return self._finish(rng, target, target, np.zeros_like(target), float("inf"))
        spoken, target, noise = self._microphone(rng, spoken, target, self._noises(rng))
        snr = rng.uniform(*config.snr_db)
        gain = (active_power(spoken, self.sample_rate) / max(power(noise), 1e-20) * 10 ** (-snr / 10)) ** 0.5
        return self._finish(rng, spoken, target, noise * np.float32(gain), snr)

    def _speech(self, rng: np.random.Generator) -> tuple[Wave, Wave]:
        """Draw speech as it sounds in a room, and the target [T] each."""
        config = self.config
        speed = rng.uniform(*config.speech_speed) if rng.random() < config.speed_share else 1.0
        dry = at_speed(talk(self.speech, rng, round(self.samples * speed), config.pause_share), speed, self.samples)
        if self.rooms is None or rng.random() >= config.room_share:
            return dry, dry
        return in_room(dry, self.rooms[int(rng.integers(len(self.rooms)))], self.sample_rate, config)

    def _noises(self, rng: np.random.Generator) -> Wave:
        """Draw one to three noises and sum them at different levels, [T] of about unit power."""
        low, high = self.config.noise_count
        total = noises.unit(self._one_noise(rng))
        if rng.random() < self.config.turn_share:
            total = noises.in_turn(rng, total, noises.unit(self._one_noise(rng)), self.sample_rate)
        for _ in range(int(rng.integers(int(low), int(high) + 1)) - 1):
            total = total + np.float32(10 ** (-rng.uniform(0, 15) / 20)) * noises.unit(self._one_noise(rng))
        return total

    def _one_noise(self, rng: np.random.Generator) -> Wave:
        config, kind = self.config, rng.random()
        if kind < config.babble_share:
            wave = babble(self.speech, rng, self.samples)
        elif kind < config.babble_share + config.event_share:
            return events.KINDS[int(rng.integers(len(events.KINDS)))](rng, self.samples, self.sample_rate)
        elif self.noise is None or kind < config.babble_share + config.event_share + config.made_noise_share:
            return noises.made(rng, self.samples, self.sample_rate)
        else:
            wave = self._recorded(rng, self.noise)
        if rng.random() < config.noise_colour_share:
            gains = spectrum.colour(rng, 6) + spectrum.tilt(rng, config.tilt_db, self.sample_rate)
            wave = spectrum.filtered(wave, gains, self.sample_rate)
        if rng.random() < config.gust_share:
            wave = wave * noises.gusts(rng, self.samples, self.sample_rate, rng.uniform(3, 20))
        return wave if power(wave) > 1e-12 else noises.made(rng, self.samples, self.sample_rate)

    def _recorded(self, rng: np.random.Generator, shelf: Shelf) -> Wave:
        """Cut [T] from recorded noise; short files follow one another."""
        speed = rng.uniform(*self.config.noise_speed) if rng.random() < self.config.speed_share else 1.0
        wanted = round(self.samples * speed)
        out, place = np.zeros(wanted, np.float32), 0
        file = shelf.pick(rng)
        while place < wanted:
            spare = int(shelf.cache.lengths[file]) - (wanted - place)
            start = int(rng.integers(spare + 1)) if spare > 0 else 0
            piece = shelf.cache.wave(file, start, start + wanted - place)
            out[place : place + len(piece)] = piece if len(piece) == wanted else faded(piece, 160)
            place += max(len(piece), 1)
        return at_speed(out, speed, self.samples)

    def _microphone(self, rng: np.random.Generator, *waves: Wave) -> tuple[Wave, ...]:
        """Pass all waves of one scene through the same random microphone and band limits."""
        config, rate = self.config, self.sample_rate
        gains = np.zeros(spectrum.GRID)
        if rng.random() < config.tilt_share:
            gains += spectrum.tilt(rng, config.tilt_db, rate) + spectrum.colour(rng, config.tilt_db / 3)
        if rng.random() < config.band_share:
            gains += spectrum.band(rng.uniform(30, 400), rng.uniform(0.2, 0.48) * rate, rate)
        if not gains.any():
            return waves
        seen: dict[int, Wave] = {id(wave): spectrum.filtered(wave, gains, rate) for wave in waves}
        return tuple(seen[id(wave)] for wave in waves)

    def _finish(self, rng: np.random.Generator, spoken: Wave, target: Wave, noise: Wave, snr: float) -> Example:
        """Set the level of the scene, and damage what the microphone delivers."""
        config, noisy = self.config, spoken + noise
        wanted = 10 ** (rng.uniform(*config.level_dbfs) / 20)
        peak = max(float(np.abs(noisy).max()), float(np.abs(target).max()), 1e-9)
        gain = np.float32(min(wanted / max(power(noisy), 1e-20) ** 0.5, 0.99 / peak))
        gains = gain * degrade.level_step(rng, len(noisy), self.sample_rate, config.step_share)
        noisy, target, noise = noisy * gains, target * gains, noise * gains
        broken, pure = noisy, np.isposinf(snr)
        if not pure and rng.random() < config.clip_share:
            broken = degrade.clipped(rng, broken)
        if not pure and rng.random() < config.codec_share:
            broken = np.clip(degrade.coded(rng, broken), -1, 1)
        if not pure and rng.random() < config.lost_share:
            broken = degrade.packets_lost(rng, broken, self.sample_rate)
        return Example(broken, target, noise, snr, broken is not noisy)


def _shelf(
    cache: AudioCache,
    among: NDArray[np.bool_],
    config: MixingConfig,
    pattern: str,
    expected: tuple[Sequence[str], str],
) -> Shelf:
    """Put the files of one kind and one side of the split on a shelf; `expected` is in which folders there is what."""
    groups = groups_of(cache.names, cache.sources, pattern)
    files = np.flatnonzero(among)
    seconds = cache.lengths / cache.rate
    valid = np.zeros(len(cache), bool)
    valid[files] = held_out(
        [groups[f] for f in files], [cache.sources[f] for f in files], seconds[files], config.valid_share
    )
    side = np.ones(len(cache), bool) if config.split == "all" else valid == (config.split == "valid")
    voices = [
        source if group == name else group
        for group, source, name in zip(groups, cache.sources, cache.names, strict=True)
    ]
    usable = among & (cache.active_seconds() > 0)
    if not (usable & side).any():
        few = " on this side of the split; where there are few files, raise valid_share, in data and valid alike"
        raise ValueError(f"{', '.join(expected[0])}: expected {expected[1]}, found none{few if usable.any() else ''}")
    return Shelf(cache, np.flatnonzero(usable & side), voices, config.source_weights)


def at_speed(wave: Wave, speed: float, length: int) -> Wave:
    """[T * speed] -> [T]: play faster or slower, pitch and all."""
    if speed == 1.0:
        return wave
    out: Wave = soxr.resample(wave, 1.0, length / len(wave), quality="LQ")
    return np.pad(out, (0, max(0, length - len(out))))[:length]


def in_room(dry: Wave, response: Wave, rate: int, config: MixingConfig) -> tuple[Wave, Wave]:
    """[T] -> the wave with all of the room, and the target with its early part or nothing of it."""
    size = spectrum.good_size(len(dry) + len(response))
    speech = spectrum.rfft(dry, size)
    spoken = spectrum.irfft(speech * spectrum.rfft(response, size), size, len(dry))
    if config.room_target == "dry":
        return spoken, dry
    early = early_part(response, round(config.early_ms * rate / 1000))
    return spoken, spectrum.irfft(speech * spectrum.rfft(early, size), size, len(dry))


def early_part(response: Wave, length: int) -> Wave:
    """Keep `length` samples, the last fifth of them fading out; a response that is not longer stays whole."""
    if length >= len(response):
        return response
    early = response[:length].copy()
    fade = max(len(early) // 5, 1)
    early[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)).astype(np.float32)
    return early
