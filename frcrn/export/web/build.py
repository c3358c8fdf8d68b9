"""Compile the browser's WebAssembly: python -m frcrn.export.web.build

It needs clang, lld, wasi-libc and libclang-rt-dev-wasm32. The compiled file is kept beside, so that users need no
compiler; a hash in it says which sources it was made from.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from frcrn.export.native.library import SOURCES, source

OPTIONS = [
    *("--target=wasm32-wasi", "-msimd128", "-O3", "-fno-math-errno", "-fno-trapping-math", "-DFRCRN_BRIEF"),
    *("-mexec-model=reactor", "-Wl,--strip-all", "-Wl,--gc-sections", "-Wl,-z,stack-size=65536"),
]
NEEDED = ("clang", "wasm-ld")
SECTION = b"frcrn sources"


def own(name: str) -> bytes:
    """Return the content of a file beside this one."""
    return resources.files("frcrn").joinpath("export", "web", name).read_bytes()


def sources() -> dict[str, bytes]:
    """Return what is compiled, by name."""
    return {name: source(name) for name in SOURCES} | {"web.c": own("web.c")}


def fingerprint() -> str:
    """Return a hash of the sources and of how they are compiled."""
    state = hashlib.sha256(" ".join(OPTIONS).encode())
    for name, content in sources().items():
        state.update(name.encode() + b"\0" + content + b"\0")
    return state.hexdigest()


def can_build() -> bool:
    """Say whether there is a compiler for WebAssembly."""
    return all(shutil.which(name) for name in NEEDED) and Path("/usr/include/wasm32-wasi").is_dir()


def build() -> bytes:
    """Return the compiled WebAssembly, with the hash of its sources in a section of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in sources().items():
            Path(folder, name).write_bytes(content)
        command = ["clang", *OPTIONS, "web.c", *(name for name in SOURCES if name.endswith(".c")), "-o", "frcrn.wasm"]
        subprocess.run(command, cwd=folder, check=True)
        return Path(folder, "frcrn.wasm").read_bytes() + section(fingerprint().encode())


def section(content: bytes) -> bytes:
    """Return a custom section: what it is called, and some bytes that no program reads."""
    body = bytes([len(SECTION)]) + SECTION + content
    assert len(body) < 128  # the length is then one byte
    return bytes([0, len(body)]) + body


def built_from(wasm: bytes) -> str:
    """Return the hash of the sources that a file was made from."""
    _, found, rest = wasm.rpartition(SECTION)
    return rest.decode() if found else ""


if __name__ == "__main__":
    Path(__file__).with_name("package").joinpath("frcrn.wasm").write_bytes(build())
