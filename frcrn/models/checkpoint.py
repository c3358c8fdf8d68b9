"""Load and save networks: safetensors, model directories, official and trainer-made checkpoints; always strict."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialized
from torch import Tensor

from frcrn.config import FOR_STREAMS, is_name
from frcrn.files import refuse_links, replacing, write_text
from frcrn.models import MODELS, Enhancer, FRCRNConfig, dtln_weights, released
from frcrn.models.budget import Budget
from frcrn.models.directories import (
    BUNDLED,
    CONFIGURATION,
    STREAMING,
    WEIGHT_FILES,
    known_name,
    read_configuration,
    stands_for_bundled,
    weights_in,
)
from frcrn.models.directories import names as names
from frcrn.models.released import OFFICIAL_TYPE as OFFICIAL_TYPE
from frcrn.models.weight_files import METADATA, read_entries
from frcrn.models.weight_files import CheckpointError as CheckpointError

MODEL_TYPE = "frcrn-ans-16k"
WRAPPER = "ms_wrapper.py"


def load(source: str | os.PathLike[str] = FOR_STREAMS, **changes: Any) -> Enhancer:
    """Return the network, ready for use, that a name, a model directory or a checkpoint file holds.

    Args:
        source: a bundled model's name, a model directory, or a file of weights; one of the released form implies its
            configuration, and so do the files of DTLN's authors (dtln_1.onnx and dtln_2.onnx in a folder, or .h5).
        **changes: values that replace those of its configuration; `causal=True` makes an offline network causal.

    Example:
        >>> model = frcrn.load()
        >>> model = frcrn.load("path/to/model", causal=True)
    """
    if not isinstance(source, (str, os.PathLike)):
        raise CheckpointError(
            f"expected the name of a model, a directory or a checkpoint file, found {type(source).__name__}"
        )
    if not os.fspath(source):
        raise CheckpointError("expected the name of a model, a directory or a checkpoint file, found an empty name")
    if str(source) in names() and is_name(source):
        return load_bundled(str(source), changes)
    path = Path(source)
    if not path.exists():
        raise CheckpointError(
            f"{path}: no such model; give a directory, a checkpoint file, or one of {', '.join(names())}"
        )
    if (theirs := dtln_weights.found(path)) is not None:
        return assemble(str(path), theirs.state_dict(), arguments_of(theirs), changes)
    arguments: Mapping[str, Any] = {}
    if path.is_dir():
        arguments = read_configuration(path)
        if stands_for_bundled(path, arguments):
            return load_bundled(known_name(path, arguments[BUNDLED]), changes)
        path = weights_in(path)
    entries, metadata = read_entries(path)
    return assemble(str(path), entries, metadata or arguments, changes)


def load_for_streams(folder: Path, changes: Mapping[str, Any]) -> Enhancer:
    """Return the network of a model directory, or the one that it names for streams."""
    arguments = read_configuration(folder)
    if STREAMING in arguments and stands_for_bundled(folder, arguments):
        return load_bundled(known_name(folder, arguments[STREAMING]), changes)
    return load(folder, **changes)


def load_bundled(name: str, changes: Mapping[str, Any]) -> Enhancer:
    """Return a bundled network; while there are no weights for the default one, an untrained one."""
    file = resources.files("frcrn") / "weights" / f"{name}.safetensors"
    if file.is_file():
        with resources.as_file(file) as path:
            entries, metadata = read_entries(path)
        return assemble(name, entries, metadata, changes)
    return untrained(name, FRCRNConfig.compact().to_dict(), changes).eval()


def build(arguments: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Enhancer:
    """Return the untrained network that the `model` part of a configuration describes."""
    values = {
        key: value for key, value in arguments.items() if key not in ("type", "network", "trained", BUNDLED, STREAMING)
    }
    kind = arguments.get("network", "frcrn")
    if kind not in MODELS:
        raise ValueError(f"network {kind!r}: choose {' or '.join(MODELS)}")
    network, config_class = MODELS[kind]
    if arguments.get("type") == OFFICIAL_TYPE or set(values) & set(released.ARGUMENTS):
        config: Any = released.config_from_arguments(values)
    else:
        config = config_class.from_dict(values)
    config = config_class.from_dict({**config.to_dict(), **changes}) if changes else config
    with Budget():
        return network(config)


def untrained(source: str, arguments: Mapping[str, Any], changes: Mapping[str, Any]) -> Enhancer:
    """Build the network, the same at every call; anything wrong with its configuration is an error of `source`."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build(arguments, changes)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: {error}") from error


def assemble(
    source: str, entries: Mapping[str, Tensor], arguments: Mapping[str, Any], changes: Mapping[str, Any]
) -> Enhancer:
    """Build the network and fill it; anything missing or left over is an error that lists it."""
    bare = released.is_official(entries) and not arguments
    model = untrained(source, {"type": OFFICIAL_TYPE} if bare else arguments, changes)
    fill(model, entries, source, new=bool(changes))
    model.trained = bool(arguments.get("trained", True))
    return model.eval()


def fill(model: Enhancer, entries: Mapping[str, Tensor], source: str, *, new: bool = False) -> None:
    """Put a checkpoint's tensors into a network; the causal pooling may be `new`, and then keeps its running mean."""
    ours = model.state_dict()
    try:
        values, unexpected = in_our_names(entries, ours)
    except ValueError as error:
        raise CheckpointError(f"{source}: {error}") from error
    missing = [name for name in ours if name not in values and not name.endswith("num_batches_tracked")]
    problems = {
        "missing": [name for name in missing if not (new and name.endswith(".pool.weight"))],
        "unexpected": unexpected,
        "of another shape": released.foreign_stft(entries) + misshapen(values, ours),
    }
    if found := [f"{len(names)} {kind}: {some_of(names)}" for kind, names in problems.items() if names]:
        raise CheckpointError(f"{source}: does not fit the network; {'; '.join(found)}")
    model.load_state_dict(values, strict=False)


def some_of(names: list[str], most: int = 5) -> str:
    """Return a list in words, cut where it is long."""
    return ", ".join([*names[:most], "..."] if len(names) > most else names)


def in_our_names(entries: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return a checkpoint's tensors under our names, and the names of those that are nothing of ours."""
    if released.is_official(entries):
        return released.from_official(entries, ours)
    values = released.without_prefix(entries)
    return values, [name for name in values if name not in ours]


def misshapen(values: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> list[str]:
    """List the tensors whose shape is not the network's."""
    pairs = [(name, tuple(values[name].shape), tuple(ours[name].shape)) for name in values if name in ours]
    return [f"{name} {found} not {expected}" for name, found, expected in pairs if found != expected]


def arguments_of(model: Enhancer, trained: bool = True) -> dict[str, Any]:
    """Return the `model` part of a configuration that describes this network."""
    kind = next(name for name, (network, _) in MODELS.items() if isinstance(model, network))
    return {"type": MODEL_TYPE, "network": kind, "trained": trained, **model.config.to_dict()}


def save(
    model: Enhancer,
    path: str | os.PathLike[str],
    *,
    official_form: bool = False,
    half: bool = False,
    trained: bool = True,
) -> None:
    """Write a network's weights to a file, which `load` reads.

    Args:
        model: a network as it was trained, not one that `optimize` returned.
        path: where to; `.safetensors` holds the configuration too, any other name is written by torch.
        official_form: write the form of the released checkpoint, of the released network only.
        half: store matrices and kernels in half precision.
        trained: whether the file is to say that its weights were trained.

    Example:
        >>> save(model, "model.safetensors", half=True)
    """
    path = Path(path)
    refuse_to_save(model, official_form)
    entries = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    if half:
        entries = {name: halved(value) for name, value in entries.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        if official_form:
            torch.save(released.to_official(entries), beside)
        elif path.suffix == ".safetensors":
            metadata = {"format": "pt", METADATA: json.dumps(arguments_of(model, trained))}
            beside.write_bytes(serialized(entries, metadata))  # not save_file, whose files nobody else can read
        else:
            torch.save({"state_dict": entries, METADATA: arguments_of(model, trained)}, beside)


def refuse_to_save(model: Enhancer, official_form: bool) -> None:
    """Refuse to write what could not be loaded again."""
    if model.optimized:
        raise CheckpointError("an optimized copy cannot be saved; save the network that it was made from")
    if official_form and model.config != FRCRNConfig():
        raise CheckpointError(
            "the official form holds the released network only: FRCRNConfig() with its defaults, offline"
        )


def halved(value: Tensor) -> Tensor:
    """Halve matrices and kernels; vectors weigh little, and a batch norm's statistics can leave the range of fp16."""
    return value.half() if value.is_floating_point() and value.ndim > 1 else value


def save_directory(
    model: Enhancer, directory: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None, trained: bool = True
) -> None:
    """Write a complete model directory, for `load`, the pipeline and the trainer.

    Args:
        model: a network as it was trained, not one that `optimize` returned.
        directory: the folder; it is made where it is missing.
        extra: sections that join its configuration.json.
        trained: whether it is to say that its weights were trained.

    Example:
        >>> save_directory(frcrn.load(), "model")
    """
    refuse_to_save(model, official_form=False)
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    refuse_links(*(folder / name for name in (WEIGHT_FILES[0], CONFIGURATION, WRAPPER)))
    configuration = {
        "framework": "pytorch",
        "task": "acoustic-noise-suppression",
        "allow_remote": True,
        "model": arguments_of(model, trained),
        "pipeline": {"type": MODEL_TYPE},
        **(extra or {}),
    }
    save(model, folder / WEIGHT_FILES[0], trained=trained)
    for name, text in (
        (CONFIGURATION, json.dumps(configuration, indent=2) + "\n"),
        (WRAPPER, "import frcrn.plugin  # noqa: F401\n"),
    ):
        write_text(folder / name, text)


def describe(model: Enhancer) -> dict[str, Any]:
    """Return the facts about a network: its size, rate, window, latency and configuration.

    Args:
        model: any network.

    Example:
        >>> describe(frcrn.load())["latency_ms"]
        40.0
    """
    return {
        "network": arguments_of(model)["network"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trained": model.trained,
        "sample_rate": model.sample_rate,
        "window": model.window,
        "hop": model.hop,
        "causal": model.lookahead == 0,
        "latency_ms": 1000 * model.latency / model.sample_rate,
        "config": model.config.to_dict(),
    }


def fingerprint(model: Enhancer) -> str:
    """Hash a network's configuration and weights."""
    state = hashlib.sha256(f"{type(model).__name__} {getattr(model, 'config', None)}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return state.hexdigest()
