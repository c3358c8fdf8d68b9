"""The interpreter in C, compiled for this machine when it is first wanted and kept for the next time."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path

from frcrn.audio import MissingPackage
from frcrn.files import replacing
from frcrn.machine import abilities

SOURCES = ("frcrn.c", "frcrn.h", "argument_checks.h", "checks.h", "kernels.h", "operations.h", "weights.h")
WHOLE = ("whole.c", "frames.h")
OPTIONS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]
TUNED = ["-march=native"]


def source(name: str) -> bytes:
    """Return a source file's content."""
    return resources.files("frcrn").joinpath("export", "native", name).read_bytes()


def compiler() -> str | None:
    """Return the C compiler that there is: the one the environment names as CC, else a usual one."""
    names = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    return next((found for name in names if (found := shutil.which(name))), None)


def kept_in() -> Path:
    """Return the folder of compiled libraries."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "frcrn"


@cache
def library() -> ctypes.CDLL:
    """Return the compiled interpreter."""
    program = compiler()
    if program is None:
        raise MissingPackage("the runtime native needs a C compiler, and there is none (cc, gcc, clang, or CC=...)")
    about = hashlib.sha256()
    for part in (program, platform.machine(), abilities(), *OPTIONS, *TUNED):
        about.update(part.encode() + b"\0")
    for name in (*SOURCES, *WHOLE):
        about.update(source(name))
    name = f"native-{about.hexdigest()[:16]}.so"
    try:
        return loaded(kept_in() / name, program)
    except (OSError, RuntimeError):  # no such folder and no home, or nothing may be run from there
        folder = tempfile.mkdtemp(prefix="frcrn-")
        weakref.finalize(library, shutil.rmtree, folder, ignore_errors=True)
        return loaded(Path(folder, name), program)


def loaded(path: Path, program: str) -> ctypes.CDLL:
    """Load the interpreter from a file, compiled where it is not there yet; refuse what others could have put there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_ours(path.parent)
    with alone(path.with_suffix(".lock")):
        if not path.exists():
            compile_to(path, program)
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


def compile_to(path: Path, program: str) -> None:
    """Compile the interpreter, for this processor where the compiler knows it."""
    with tempfile.TemporaryDirectory() as folder, replacing(path) as beside:
        for name in (*SOURCES, *WHOLE):
            Path(folder, name).write_bytes(source(name))
        files = [str(Path(folder, name)) for name in (*SOURCES, *WHOLE) if name.endswith(".c")]
        for tuned in (TUNED, []):
            command = [program, *OPTIONS, *tuned, *files, "-o", str(beside), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                beside.chmod(0o700)
                return
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[0]
        raise MissingPackage(f"the runtime native needs a C compiler that works; {program} does not: {reason}")


def prototyped(found: ctypes.CDLL) -> ctypes.CDLL:
    """Say what the functions take and return."""
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    found.frcrn_from.argtypes = [ctypes.c_char_p, size, ctypes.POINTER(ctypes.c_char_p)]
    found.frcrn_from.restype = pointer
    found.frcrn_close.argtypes, found.frcrn_close.restype = [pointer], None
    for name in ("frcrn_state_size", "frcrn_scratch_size"):
        getattr(found, name).argtypes, getattr(found, name).restype = [pointer], size
    for name in ("frcrn_sample_rate", "frcrn_hop", "frcrn_delay"):
        getattr(found, name).argtypes, getattr(found, name).restype = [pointer], ctypes.c_int
    found.frcrn_step.argtypes, found.frcrn_step.restype = [pointer] * 5, None
    found.frcrn_whole.argtypes = [pointer, ctypes.c_int, pointer]
    found.frcrn_whole.restype = None
    return found


class NativeModel:
    """An open model; states and scratch are memory of the caller's."""

    def __init__(self, content: bytes) -> None:
        self._library, why = library(), ctypes.c_char_p()
        self._model = self._library.frcrn_from(content, len(content), ctypes.byref(why))
        if not self._model:
            raise ValueError(f"a model for the runtime native: {(why.value or b'').decode()}")
        weakref.finalize(self, self._library.frcrn_close, self._model)
        names = ("sample_rate", "hop", "delay")
        self.facts = {name: int(getattr(self._library, f"frcrn_{name}")(self._model)) for name in names}
        self.state_size: int = self._library.frcrn_state_size(self._model) // 4
        self.scratch_size: int = self._library.frcrn_scratch_size(self._model) // 4

    def step(self, state: int, scratch: int, hop: int, out: int) -> None:
        """Enhance a hop; all are addresses."""
        self._library.frcrn_step(self._model, state, scratch, hop, out)
