"""Choose what runs a network and open it; where its program in C is at hand and can run, torch is never loaded."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from frcrn.audio import MissingPackage
from frcrn.config import FOR_STREAMS
from frcrn.export.native.library import NoBfloat16, library
from frcrn.export.native.standalone import NativeNetwork, find_program, names
from frcrn.inference.choices import passes_of
from frcrn.inference.network import Network

if TYPE_CHECKING:
    from frcrn.models import Enhancer

RUNTIMES = ("auto", "torch", "onnx", "openvino", "native")
DEVICES = ("auto", "cpu", "cuda")

_log = logging.getLogger(__name__)


class Identity(NamedTuple):
    """What a result depends on: the runtime that is used, a hash of the network, and how many passes it asks for."""

    runtime: str
    model: str
    passes: int


@overload
def load(source: str | os.PathLike[str] = FOR_STREAMS, *, runtime: None = None, **changes: Any) -> Enhancer: ...


@overload
def load(
    source: str | os.PathLike[str] = FOR_STREAMS, *, runtime: str, precision: str = "fp32", **changes: Any
) -> Network: ...


def load(
    source: str | os.PathLike[str] = FOR_STREAMS,
    *,
    runtime: str | None = None,
    precision: str = "fp32",
    **changes: Any,
) -> Network:
    """Return the network, ready for use, that a name, a model directory or a checkpoint file holds.

    Args:
        source: a bundled model's name, a model directory, a file of weights (one of the released form implies its
            configuration), or a folder that `frcrn export --format c` wrote.
        runtime: None returns the network in torch, which can also be trained, changed and exported; "auto", "native",
            "onnx", "openvino" or "torch" returns one that only enhances and streams, faster.
        precision: "bf16" is faster with native and torch where the processor has AVX512-BF16, and less exact.
        **changes: values that replace those of its configuration; `causal=True` makes an offline network causal.

    Example:
        >>> model = frcrn.load()
        >>> model = frcrn.load("path/to/model", causal=True)
        >>> model = frcrn.load(runtime="auto")
    """
    if runtime is None and precision == "fp32" and _has_torch():
        return _in_torch(source, changes)
    return open_network(source, runtime or "auto", precision=precision, **changes)


def open_network(
    source: str | os.PathLike[str],
    runtime: str = "auto",
    threads: int | None = None,
    device: str = "auto",
    *,
    live: bool = False,
    precision: str = "fp32",
    **changes: Any,
) -> Network:
    """Return a network in the form that a runtime runs: native, else onnx, else torch where that is left to `auto`.

    Only torch computes on another device than the processor; `cuda` means torch.
    """
    runtime = for_device(checked_runtime(runtime), device)
    program = None if changes else _program(source, runtime, precision)
    network = program or _from_torch(_in_torch(source, changes), runtime, threads, device, live, precision)
    _log.info("%s: runtime %s", source, _runtime_of(network))
    return network


def identify(source: str | os.PathLike[str], runtime: str, device: str, precision: str = "fp32") -> Identity:
    """Return what `open_network` would run."""
    runtime = for_device(checked_runtime(runtime), device)
    if program := _program(source, runtime, precision):
        return Identity("native", program.fingerprint, passes_of(program, None))
    network = _in_torch(source, {})
    from frcrn.export.runtime import with_runtime
    from frcrn.models.checkpoint import fingerprint

    used = _runtime_of(with_runtime(network, runtime, precision=precision)) if runtime == "auto" else runtime
    return Identity(used, fingerprint(network), passes_of(network, None))


def checked_runtime(name: str) -> str:
    """Return the name of a runtime, or refuse it."""
    if name not in RUNTIMES:
        raise ValueError(f"runtime {name!r}: choose {', '.join(RUNTIMES)}")
    return name


def for_device(runtime: str, device: str) -> str:
    """Return the runtime for a device, or refuse the two together."""
    if device not in DEVICES:
        raise ValueError(f"device {device!r}: choose {', '.join(DEVICES)}")
    if device == "cuda" and runtime not in ("auto", "torch"):
        raise ValueError(f"device cuda: runs with the runtime torch, not {runtime}")
    return "torch" if device == "cuda" else runtime


def placed(network: Enhancer, device: str) -> Enhancer:
    """Put a network on `cpu` or `cuda`; `auto` is cuda where there is one."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device cuda: torch finds no CUDA device here; choose cpu or auto")
    found = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    return network.to(found)


def _program(source: str | os.PathLike[str], runtime: str, precision: str) -> NativeNetwork | None:
    """Open a program in C, where the network has one at hand and it is to run and can."""
    if runtime not in ("auto", "native") or not isinstance(source, (str, os.PathLike)):
        return None
    if (found := find_program(source)) is None:
        return None
    try:
        library()
    except (MissingPackage, OSError):
        if runtime == "native" or not _has_torch():
            raise
        return None
    try:
        return NativeNetwork(*found, precision)
    except NoBfloat16:
        if runtime == "native" or not _has_torch():
            raise
        return None
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _from_torch(
    network: Enhancer, runtime: str, threads: int | None, device: str, live: bool, precision: str
) -> Enhancer:
    """Return a network of torch in the form that a runtime runs, where that is to be."""
    import torch

    from frcrn.export.runtime import with_runtime

    if live and not network.streams:
        return network  # a stream refuses it, and says why
    network = with_runtime(network, runtime, threads or torch.get_num_threads(), live=live, precision=precision)
    return placed(network, device) if _runtime_of(network) == "torch" else network


def _in_torch(source: str | os.PathLike[str], changes: dict[str, Any]) -> Enhancer:
    if not _has_torch():
        raise MissingPackage(
            f"{source}: frcrn-runtime runs, in C, the bundled models ({', '.join(names())}) and folders that "
            '"frcrn export --format c" wrote; other models and runtimes need the full package: pip install frcrn'
        )
    from frcrn.models.checkpoint import load as in_torch

    return in_torch(source, **changes)


def _has_torch() -> bool:
    """Say whether this is the full package, and not the runtime alone."""
    from importlib.util import find_spec

    return all(find_spec(name) for name in ("frcrn.models", "torch"))


def _runtime_of(network: Network) -> str:
    return str(getattr(network, "runtime", "torch"))
