"""A network as a folder that runs without torch: graphs, a description beside them, and programs to copy."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from frcrn import config
from frcrn.export.onnx.sessions import AUDIO, ENHANCED, Shapes, open_session, streamed
from frcrn.export.onnx.traced import step_graph, whole_graph
from frcrn.export.parity import checked, expected, speech
from frcrn.files import write_together
from frcrn.models import Enhancer
from frcrn.texts import from_json, text_of

ABOUT = "frcrn.json"
FORMAT = 1
MOST_VALUES = 1 << 28  # of a state
RUNNERS = ("run.py", "run.js")


class Written(NamedTuple):
    """A graph's bytes, the shapes of its states, and what the description says besides."""

    content: bytes
    states: Shapes
    more: dict[str, Any]


Graphs = dict[str, Written]


def export(model: Enhancer, folder: str | os.PathLike[str], *, more: Callable[[Graphs], Graphs] | None = None) -> Path:
    """Write a network into a folder and return the description's path; a graph that is not the network is refused.

    `more` makes further graphs of those that are there.
    """
    place, found = Path(folder), written(model)
    if more is not None:
        found |= more(found)
    contents = {ABOUT: (json.dumps(description(model, found), indent=2) + "\n").encode()}
    contents |= {name: resources.files("frcrn.export.onnx.runners").joinpath(name).read_bytes() for name in RUNNERS}
    # the last is the mark of an export, and every one has the graph of a whole wave
    contents |= {f"{name}.onnx": found[name].content for name in sorted(found, key=lambda name: name == "whole")}
    stale = graphs_in(place) - contents.keys()
    write_together(place, contents)
    for name in stale:
        (place / name).unlink(missing_ok=True)
    return place / ABOUT


def graphs_in(folder: Path) -> set[str]:
    """Return the names of the graphs that an older export left in a folder."""
    try:
        graphs = from_json(text_of(folder / ABOUT))["graphs"]
        names = {Path(graph["file"]) for graph in graphs.values()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return set()  # none, or not a description of ours
    return {str(name) for name in names if name.suffix == ".onnx" and name.name == str(name)}


def written(model: Enhancer) -> Graphs:
    """Return the graph of a whole wave, and of one hop where the network can stream, compared with the network."""
    model = model.eval()
    wave = speech(model.sample_rate)
    made: Graphs = {}
    if model.streams:
        step = step_graph(model)
        content = step.model.SerializeToString()
        states = {name: tuple(int(size) for size in shape) for name, shape in step.states.items()}
        got = streamed(open_session(content, "onnx", 1), states, wave, model.lag, model.hop)
        made["step"] = Written(content, states, {"parity": checked("step", got, expected(model, wave, levelled=False))})
    content = whole_graph(model, levelled=True).SerializeToString()
    got = open_session(content, "onnx").run({AUDIO: wave[None]})[ENHANCED][0]
    made["whole"] = Written(content, {}, {"parity": checked("whole", got, expected(model, wave, levelled=True))})
    return made


def described(folder: Path) -> dict[str, Any]:
    """Return the description of an exported folder."""
    try:
        about: dict[str, Any] = from_json(text_of(folder / ABOUT))
    except ValueError as error:
        raise ValueError(f"{folder / ABOUT}: expected the description of an export in JSON ({error})") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(f"{folder / ABOUT}: expected the description of an export, of format {FORMAT}")
    try:
        require_known(about)
    except ValueError as error:
        raise ValueError(f"{folder / ABOUT}: {error}; export again") from None
    return about


def require_known(about: dict[str, Any]) -> None:
    """Refuse a description that lacks something, or whose graphs lie elsewhere."""
    for name, kind in {"sample_rate": int, "window": int, "hop": int, "graphs": dict}.items():
        config.require(config.fits(about.get(name), kind), name, config.describe(kind), about.get(name))
    for name in ("sample_rate", "window", "hop"):
        config.require(0 < about[name] < 2**24, name, f"a number above 0 and below {2**24}", about[name])
    for name, graph in about["graphs"].items():
        config.require(isinstance(graph, dict), name, "a table", graph)
        for key in ("file", "sha256"):
            config.require(isinstance(graph.get(key), str), f"{name}.{key}", "text", graph.get(key))
        config.require(Path(graph["file"]).name == graph["file"], f"{name}.file", "a name beside it", graph["file"])
        config.require(isinstance(states := graph.get("states", {}), dict), f"{name}.states", "a table", states)
        config.require(not states or config.fits(about.get("latency"), int), "latency", "samples", about.get("latency"))
        for state, value in states.items():
            require_state(f"{name}.states.{state}", value)


def require_state(name: str, value: Any) -> None:
    """Refuse a state that lacks something or is beyond reason."""
    config.require(isinstance(value, dict) and isinstance(value.get("next"), str), name, "a table with next", value)
    shape = value.get("shape")
    sized = isinstance(shape, list) and all(config.fits(size, int) and size >= 0 for size in shape)
    config.require(sized and math.prod(shape) <= MOST_VALUES, f"{name}.shape", "sizes", shape)
    config.require(config.fits(value.get("initial"), float), f"{name}.initial", "a number", value.get("initial"))


def description(model: Enhancer, graphs: Graphs) -> dict[str, Any]:
    """Return what a program needs to know of the folder."""
    from frcrn import __version__

    shape = model.config.to_dict() if hasattr(model.config, "to_dict") else None
    return {
        "format": FORMAT,
        "made_by": f"frcrn {__version__}",
        "network": type(model).__name__,
        "trained": model.trained,
        "sample_rate": model.sample_rate,
        "window": model.window,
        "hop": model.hop,
        "lookahead": model.lookahead,
        "latency": model.latency,
        "level_dbfs": model.level_dbfs,
        "graphs": {name: of_graph(name, graph, model.hop) for name, graph in graphs.items()},
        "config": shape,
    }


def of_graph(name: str, graph: Written, hop: int) -> dict[str, Any]:
    """Return what the description says of one graph."""
    shape: list[int | str] = [1, hop] if graph.states else ["batch", "samples"]
    states = {
        f"state.{state}": {"shape": list(size), "initial": 0.0, "next": f"state.{state}.next"}
        for state, size in graph.states.items()
    }
    return {
        "file": f"{name}.onnx",
        "sha256": hashlib.sha256(graph.content).hexdigest(),
        "inputs": {AUDIO: shape},
        "outputs": {ENHANCED: shape},
        **({"states": states} if states else {}),
        **graph.more,
    }
