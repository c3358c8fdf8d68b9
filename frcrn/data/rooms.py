"""A bank of simulated room responses, made once for a seed and kept in a file."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from frcrn.audio import MissingPackage, read, replacing, resample
from frcrn.data.cache import list_folders
from frcrn.data.speech_activity import Wave
from frcrn.files import sweep

logger = logging.getLogger(__name__)

SOUND = 343.0
"""Metres a second."""
TAIL_DB = 45.0
"""A response ends where it has decayed by this much."""
MAX_ORDER = 14
LONGEST = 4.0
"""Seconds of a recorded response that are used."""


class Room(NamedTuple):
    """A shoebox: size [3] in metres, source and microphone [3], reverberation time in seconds."""

    size: NDArray[np.float64]
    source: NDArray[np.float64]
    microphone: NDArray[np.float64]
    rt60: float


def draw_room(rng: np.random.Generator, rt60: tuple[float, float]) -> Room:
    """Draw a room of 2.5 to 9 m with a talker 0.3 to 3 m from the microphone."""
    size = np.array([rng.uniform(2.5, 9), rng.uniform(2.5, 7), rng.uniform(2.3, 3.6)])
    microphone = rng.uniform(0.4, size - 0.4)
    for _ in range(50):
        way = rng.standard_normal(3) * [1, 1, 0.3]
        source = microphone + way / np.linalg.norm(way) * rng.uniform(0.3, 3)
        if np.all(source > 0.3) and np.all(source < size - 0.3):
            break
    else:
        source = (microphone + size / 2) / 2
    return Room(size, source, microphone, rng.uniform(*rt60))


def _from_direct(response: NDArray[np.float64], length: int) -> Wave:
    """Cut so that the direct sound is sample 0 at amplitude one."""
    start = int(np.abs(response).argmax())
    cut = response[start : start + length] / response[start]
    padded: Wave = np.pad(cut, (0, length - len(cut))).astype(np.float32)
    return padded


def _tail(rng: np.random.Generator, length: int, rt60: float, rate: int) -> NDArray[np.float64]:
    """Noise that decays by 60 dB in `rt60` seconds, duller with time as air and walls make it."""
    noise = rng.standard_normal(length)
    dull = np.convolve(noise, np.ones(4) / 2, "same")
    age = np.minimum(np.arange(length) / (rate * rt60), 1)
    decay = np.exp(-3 * np.log(10) * np.arange(length) / (rate * rt60))
    tail: NDArray[np.float64] = (noise * (1 - age) + dull * age) * decay
    return tail


def simulate_decay(rng: np.random.Generator, room: Room, rate: int, length: int) -> Wave:
    """Direct sound, a few reflections from the walls' distances, and a decaying tail."""
    distance = float(np.linalg.norm(room.source - room.microphone))
    response = np.zeros(length)
    response[0] = 1.0
    extra = rng.uniform(0.3, 2 * float(room.size.max()), 12)
    delays = (extra / SOUND * rate).astype(int)
    inside = (delays > 0) & (delays < length)
    strengths = distance / (distance + extra) * rng.uniform(0.3, 0.9, 12) * rng.choice([-1, 1], 12)
    np.add.at(response, delays[inside], strengths[inside])
    volume = float(room.size.prod())
    # energy of the reverberant field against the direct sound, from the critical distance of a diffuse room
    ratio = distance**2 / (0.057**2 * volume / room.rt60)
    tail = _tail(rng, length, room.rt60, rate)
    tail[: min(length, int(rate * 0.005))] = 0
    response += tail * np.sqrt(ratio / max(float((tail**2).sum()), 1e-12))
    return response.astype(np.float32)


def simulate_images(rng: np.random.Generator, room: Room, rate: int, length: int) -> Wave:
    """Image sources by pyroomacoustics up to some order, joined to a decaying tail of the same power."""
    import pyroomacoustics

    absorption, order = pyroomacoustics.inverse_sabine(max(room.rt60, _least_rt60(room)), room.size)
    shoebox = pyroomacoustics.ShoeBox(
        room.size, fs=rate, materials=pyroomacoustics.Material(absorption), max_order=min(order, MAX_ORDER)
    )
    shoebox.add_source(room.source)
    shoebox.add_microphone(room.microphone)
    shoebox.compute_rir()
    response = _from_direct(np.asarray(shoebox.rir[0][0]), length).astype(np.float64)
    if order > MAX_ORDER:
        _continue(rng, response, room, rate)
    return response.astype(np.float32)


def _least_rt60(room: Room) -> float:
    """Return the reverberation time of the room with walls that swallow nine tenths."""
    x, y, z = room.size
    return float(24 * np.log(10) / SOUND * room.size.prod() / (0.9 * 2 * (x * y + y * z + x * z)))


def _continue(rng: np.random.Generator, response: NDArray[np.float64], room: Room, rate: int) -> None:
    """Replace what the last order leaves out: from the first moment that a missing image could arrive."""
    join = int(MAX_ORDER * room.size.min() / SOUND * rate * 0.9)
    overlap = rate // 50
    if join + overlap >= len(response):
        return
    level = np.sqrt(np.mean(response[join - overlap : join] ** 2))
    response[join:] = level * _tail(rng, len(response) - join, room.rt60, rate)


def make_bank(count: int, seed: int, rate: int, rt60: tuple[float, float], model: str = "auto") -> NDArray[np.float32]:
    """Simulate `count` responses [count, L] that start with the direct sound at amplitude one."""
    length = _length(rate, rt60)
    simulate = simulate_images if _use_images(model) else simulate_decay
    bank = np.empty((count, length), np.float32)
    fade = np.cos(np.linspace(0, np.pi / 2, length // 8)).astype(np.float32)
    for number in range(count):
        rng = np.random.default_rng(np.random.SeedSequence((seed, number)))
        bank[number] = simulate(rng, draw_room(rng, rt60), rate, length)
        bank[number, -len(fade) :] *= fade
    return bank


def _length(rate: int, rt60: tuple[float, float]) -> int:
    """Count the samples of a response of the longest reverberation."""
    return int(rate * rt60[1] * TAIL_DB / 60)


def _use_images(model: str) -> bool:
    if model == "decay" or find_spec("pyroomacoustics"):
        return model != "decay"
    if model == "pyroomacoustics":
        raise MissingPackage('room_model pyroomacoustics needs `pip install "frcrn[train]"`')
    logger.warning('rooms are simulated by the simpler decay model; `pip install "frcrn[train]"` brings image sources')
    return False


def way_of(model: str) -> str:
    """Return how rooms are simulated here."""
    return "images" if _use_images(model) else "decay"


def bank_of(path: str, count: int, seed: int, rate: int, rt60: tuple[float, float], model: str = "auto") -> Path:
    """Return where the bank of such rooms is kept."""
    made_of = (count, seed, rate, rt60, way_of(model), MAX_ORDER, TAIL_DB)
    return Path(f"{path}.rooms-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:12]}.npy")


def load_bank(
    path: str, count: int, seed: int, rate: int, rt60: tuple[float, float], model: str = "auto"
) -> NDArray[np.float32]:
    """Map the bank kept beside the cache at `path`, making it first where it is absent or damaged, [count, L]."""
    file = bank_of(path, count, seed, rate, rt60, model)
    if (kept := _kept(file, (count, _length(rate, rt60)))) is None:
        bank = make_bank(count, seed, rate, rt60, model)
        sweep([file])
        with replacing(file) as beside, beside.open("wb") as stream:
            np.save(stream, bank)
        kept = np.load(file, mmap_mode="r")
    return np.asarray(kept)


def _kept(file: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """Map a bank of this shape; None where it is absent, or something else."""
    try:
        bank = np.load(file, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError, ArithmeticError, BadZipFile, TokenError):
        return None
    return bank if isinstance(bank, np.ndarray) and bank.dtype == np.float32 and bank.shape == shape else None


def read_bank(folders: Sequence[str], rate: int) -> NDArray[np.float32]:
    """Read recorded responses [count, L], the first channel of each from its direct sound on."""
    found = []
    for item in list_folders(folders):
        samples, own, _ = read(item.path)
        response = resample(samples[0], own, rate).astype(np.float64)
        if not np.abs(response).max(initial=0) > 0:
            raise ValueError(f"{item.path}: expected the response of a room, found silence")
        found.append(response[: int(rate * LONGEST)])
    length = max(map(len, found))
    return np.stack([_from_direct(response, length) for response in found])
