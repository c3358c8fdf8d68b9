"""Write the plugins, a PipeWire configuration and instructions into a folder."""

from __future__ import annotations

import json
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from frcrn.audio import MissingPackage
from frcrn.export.ladspa.host import Plugin
from frcrn.export.native.compiling import TUNED
from frcrn.export.native.library import SOURCES, compiler, source
from frcrn.export.native.network import write_program
from frcrn.export.parity import checked, speech
from frcrn.files import write_together
from frcrn.models import Enhancer

PLUGINS = {1: "frcrn_mono.so", 2: "frcrn_stereo.so"}
MICROPHONE, README = "frcrn-microphone.conf", "README.md"

OPTIONS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-fvisibility=hidden", "-s"]
RATE, SECONDS = 48000, 2.0  # at which, and for how long, a plugin is compared with the network


def export_ladspa(model: Enhancer, folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Write a network as plugins into a folder; return how exact and how late they are.

    Args:
        model: a causal network.
        folder: where the files go; it is made where it is not there.

    Example:
        >>> export_ladspa(frcrn.load(), "in_ladspa")
    """
    place, content = Path(folder).absolute(), write_program(model.eval())
    with tempfile.TemporaryDirectory() as kitchen:
        made = {channels: compiled(Path(kitchen), content, channels) for channels in PLUGINS}
        checks = [compared(model, path, channels) for channels, path in made.items()]
        about = max(checks, key=lambda check: float(check["largest_difference"])) | {"rate": RATE}
        plugins = {PLUGINS[channels]: path.read_bytes() for channels, path in made.items()}
    facts = {"@LOWEST@": str(model.sample_rate), "@LATENCY@": f"{1000 * about['latency'] / RATE:.0f}"}
    readme = own(README).replace("@FOLDER@", str(place))
    for mark, fact in facts.items():
        readme = readme.replace(mark, fact)
    microphone = own("microphone.conf").replace("@PLUGIN@", _quoted(place / PLUGINS[1]))
    write_together(place, {README: readme.encode(), MICROPHONE: microphone.encode()} | plugins)
    return about


def _quoted(path: Path) -> str:
    """Return a name as it stands between the quotation marks of PipeWire's configuration, which are JSON's."""
    return json.dumps(str(path), ensure_ascii=False)[1:-1]


def own(name: str) -> str:
    """Return a file beside this one."""
    return resources.files("frcrn").joinpath("export", "ladspa", name).read_text(encoding="utf-8")


def compiled(folder: Path, content: bytes, channels: int) -> Path:
    """Compile a plugin with the model inside."""
    import subprocess

    program = compiler()
    if program is None:
        raise MissingPackage("a LADSPA plugin needs a C compiler, and there is none (cc, gcc, clang, or CC=...)")
    for name in SOURCES:
        (folder / name).write_bytes(source(name))
    for name in ("plugin.c", "plugin.h"):
        (folder / name).write_text(own(name), encoding="utf-8")
    (folder / "model.frcrn").write_bytes(content)
    parts = ["plugin.c", *(name for name in SOURCES if name.endswith(".c"))]
    target = folder / PLUGINS[channels]
    for tuned in (TUNED, []):
        command = [program, *OPTIONS, *tuned, f"-DCHANNELS={channels}", *parts, "-o", str(target), "-lm", "-lpthread"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return target
    reason = (done.stderr.strip().splitlines() or ["it says nothing"])[0]
    raise MissingPackage(f"a LADSPA plugin needs a C compiler that works; {program} does not: {reason}")


def compared(model: Enhancer, path: Path, channels: int) -> dict[str, Any]:
    """Return how far a plugin is from the library's stream; refuse one that does something else."""
    import numpy as np

    wave = np.stack([speech(RATE, SECONDS) / number for number in range(1, channels + 1)]).astype(np.float32)
    stream = model.stream(RATE, channels)
    wanted = np.reshape(stream.push(wave), (channels, -1))
    with Plugin(path, RATE) as plugin:
        got, late = plugin.run(wave, 480), plugin.latency
    count = min(wave.shape[1] - late, wanted.shape[1])
    return {"latency": late} | checked(path.name, got[:, late : late + count], wanted[:, :count])
