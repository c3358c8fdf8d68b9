"""The interpreter in C: as a wheel brought it, else compiled when it is first wanted and kept for the next time."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import stat
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from importlib import resources
from pathlib import Path

from frcrn.audio import MissingPackage
from frcrn.config import checked_precision
from frcrn.export.native.compiling import LEVELS, OPTIONS, TUNED, compile_library, parts, shipped_name
from frcrn.export.native.compiling import compiler as compiler
from frcrn.files import replacing
from frcrn.machine import abilities

_log = logging.getLogger(__name__)

SOURCES = (
    *("frcrn.c", "frcrn.h", "argument_checks.h", "blocks.h", "checks.h", "kernels.h", "operations.h"),
    *("pairs.h", "rows.h", "vectors.h", "weights.h"),
    *("band.c", "band.h", "denoiser.c", "denoiser.h", "fourier.h", "highband.h", "resampler.h"),
)
"""What an exported program for streams consists of; the library is all of the C beside this file."""


def source(name: str) -> bytes:
    """Return a source file's content."""
    return resources.files("frcrn").joinpath("export", "native", name).read_bytes()


def sources() -> dict[str, bytes]:
    """Return all C files and headers."""
    folder = resources.files("frcrn").joinpath("export", "native")
    names = sorted(item.name for item in folder.iterdir())
    headers = [name for name in names if name.endswith(".h")]
    return {name: source(name) for name in (*parts(names), *headers)}


def places() -> list[Path]:
    """Return the folders in which a compiled library may be kept, the best first.

    A cache that the environment names by a relative path would be another one in each working folder; it is ignored.
    """
    caches = (os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache"))
    found = [Path(cache, "frcrn") for cache in caches if os.path.isabs(cache)][:1]
    with suppress(OSError):  # there is no temporary folder either
        found.append(Path(tempfile.gettempdir(), f"frcrn-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"))
    return found


def file_name(program: str) -> str:
    """Return what the library is called that this compiler makes of these sources for this machine."""
    about = hashlib.sha256()
    for part in (program, platform.machine(), abilities(), *OPTIONS, *TUNED):
        about.update(part.encode() + b"\0")
    for name, content in sources().items():
        about.update(name.encode() + b"\0" + content)
    return f"native-{about.hexdigest()[:16]}.so"


def is_there() -> bool:
    """Say whether the library is loaded, shipped or kept, so that nobody has to wait for a compiler."""
    if library.cache_info().currsize or (Path(__file__).parent / shipped_name("base")).is_file():
        return True
    return (program := compiler()) is not None and any(map(os.path.exists, paths(program)))


def paths(program: str) -> list[Path]:
    """Return where the library may be kept: where it is already comes first, then the best."""
    name = file_name(program)
    return sorted((place / name for place in places()), key=lambda path: not os.path.exists(path))


@cache
def library() -> ctypes.CDLL:
    """Return the compiled interpreter."""
    if (found := shipped()) is not None:
        return found
    program = compiler()
    if program is None:
        raise MissingPackage("the runtime native needs a C compiler, and there is none (cc, gcc, clang, or CC=...)")
    content = cache(partial(compiled, program))  # once, also where the first place has no room for it
    for path in paths(program):
        with suppress(OSError):  # no such folder, no room, or nothing may be run from there
            return loaded(path, content)
    _log.warning("the runtime native is compiled at each start, as no folder can keep it; set XDG_CACHE_HOME to one")
    folder = tempfile.mkdtemp(prefix="frcrn-")
    weakref.finalize(library, shutil.rmtree, folder, ignore_errors=True)
    return loaded(Path(folder, file_name(program)), content)


def shipped() -> ctypes.CDLL | None:
    """Return the library that came with the package, in the best form that this processor runs; None without one."""
    folder = Path(__file__).parent
    try:
        level = ctypes.CDLL(str(folder / shipped_name("base"))).frcrn_level()
        there = [name for name in list(LEVELS)[: level + 1] if (folder / shipped_name(name)).is_file()]
        return prototyped(ctypes.CDLL(str(folder / shipped_name(there[-1]))))
    except OSError:  # nothing came along, or what came was made for another system
        return None


def loaded(path: Path, content: Callable[[], bytes]) -> ctypes.CDLL:
    """Load the interpreter from a file, written where it is not there yet; refuse what others could have put there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_ours(path.parent)
    with alone(path.with_suffix(".lock")):
        if not path.exists():
            with replacing(path) as beside:
                beside.write_bytes(content())
                beside.chmod(0o700)
    require_ours(path)
    return prototyped(ctypes.CDLL(str(path)))


def require_ours(path: Path) -> None:
    """Refuse a file or folder that is a link, or that another user owns or may change: code is run from there."""
    if not hasattr(os, "getuid"):
        return
    found = path.lstat()
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid() or shared:
        raise PermissionError(f"{path}: not loaded, as others may have put it there")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time pass; where files cannot be locked, all of them."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, flags, 0o600), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compiled(program: str) -> bytes:
    """Compile the interpreter, for this processor where the compiler knows it."""
    _log.info("compiling the runtime native, once")
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write("frcrn: compiling for this processor, once; some seconds\n")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "made.so")
        for name, content in sources().items():
            Path(folder, name).write_bytes(content)
        for tuned in (TUNED, []):
            reason = compile_library(Path(folder), target, program, [*OPTIONS, *tuned])
            if reason is None:
                return target.read_bytes()
        raise MissingPackage(f"the runtime native needs a C compiler that works; {program} does not: {reason}")


def prototyped(found: ctypes.CDLL) -> ctypes.CDLL:
    """Say what the functions take and return."""
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    found.frcrn_from.argtypes = [ctypes.c_char_p, size, ctypes.POINTER(ctypes.c_char_p)]
    found.frcrn_from.restype = pointer
    found.frcrn_close.argtypes, found.frcrn_close.restype = [pointer], None
    for name in ("frcrn_state_size", "frcrn_scratch_size"):
        getattr(found, name).argtypes, getattr(found, name).restype = [pointer], size
    for name in ("frcrn_sample_rate", "frcrn_hop", "frcrn_delay", "frcrn_lookahead"):
        getattr(found, name).argtypes, getattr(found, name).restype = [pointer], ctypes.c_int
    found.frcrn_step.argtypes, found.frcrn_step.restype = [pointer] * 5, None
    found.frcrn_whole.argtypes = [pointer, ctypes.c_int, pointer]
    found.frcrn_whole.restype = None
    found.frcrn_use_bfloat16.argtypes, found.frcrn_use_bfloat16.restype = [pointer], ctypes.c_int
    found.frcrn_whole_pairs.argtypes = [pointer, ctypes.c_int, pointer, pointer]
    found.frcrn_whole_pairs.restype = ctypes.c_int
    return with_bands(found)


def with_bands(found: ctypes.CDLL) -> ctypes.CDLL:
    """Say the same of what splits and joins bands, and of what takes blocks of any size."""
    pointer, size, number, real = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_float
    for kind in ("band", "denoiser"):
        for what in ("state_size", "scratch_size"):
            get = getattr(found, f"frcrn_{kind}_{what}")
            get.argtypes, get.restype = [pointer], size
        close = getattr(found, f"frcrn_{kind}_close")
        close.argtypes, close.restype = [pointer], None
    found.frcrn_band_open.argtypes, found.frcrn_band_open.restype = [number, number], pointer
    found.frcrn_band_split.argtypes = [*([pointer] * 4), number, number, *([pointer] * 3)]
    found.frcrn_band_join.argtypes = [*([pointer] * 5), number, number, *([pointer] * 3)]
    found.frcrn_denoiser_open.argtypes = [pointer, number, ctypes.POINTER(ctypes.c_char_p)]
    found.frcrn_denoiser_open.restype = pointer
    found.frcrn_denoiser_latency.argtypes = [pointer]
    found.frcrn_denoise.argtypes, found.frcrn_denoise.restype = [*([pointer] * 5), number, real, real], None
    return found


class NoBfloat16(ValueError):
    """This processor, or what was compiled for it, cannot do it."""

    def __init__(self) -> None:
        super().__init__("precision bf16: the runtime native needs a processor with AVX512-BF16 for it; choose fp32")


class NativeModel:
    """An open model; states and scratch are memory of the caller's."""

    def __init__(self, content: bytes, precision: str = "fp32") -> None:
        self._library, why = library(), ctypes.c_char_p()
        self._model = self._library.frcrn_from(content, len(content), ctypes.byref(why))
        if not self._model:
            raise ValueError(f"a model for the runtime native: {(why.value or b'').decode()}")
        weakref.finalize(self, self._library.frcrn_close, self._model)
        if checked_precision(precision) == "bf16" and not self._library.frcrn_use_bfloat16(self._model):
            raise NoBfloat16
        self.state_size: int = self._library.frcrn_state_size(self._model) // 4
        self.sample_rate: int = self._library.frcrn_sample_rate(self._model)
        self.hop: int = self._library.frcrn_hop(self._model)
        self.delay: int = self._library.frcrn_delay(self._model)
        self.lookahead: int = self._library.frcrn_lookahead(self._model)
        self.scratch_size: int = self._library.frcrn_scratch_size(self._model) // 4

    @property
    def address(self) -> int:
        """Where C has it."""
        return int(self._model)

    def step(self, state: int, scratch: int, hop: int, out: int) -> None:
        """Enhance a hop; all are addresses."""
        self._library.frcrn_step(self._model, state, scratch, hop, out)
