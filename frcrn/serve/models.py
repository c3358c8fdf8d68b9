"""The models that the service offers: loaded once where threads may share them, else once a thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frcrn.export.native.standalone import NativeNetwork
from frcrn.inference.network import Network
from frcrn.inference.opening import open_network


class Models:
    """Networks by name, in the order in which they were given; the first one is the default.

    Args:
        sources: what `load` takes, each.
        runtime: what runs them, `device` where, and `precision` in what.

    Example:
        >>> Models(["default"]).get("default")
    """

    def __init__(
        self, sources: Sequence[str], runtime: str = "auto", device: str = "auto", precision: str = "fp32"
    ) -> None:
        self.sources = {name_of(source): source for source in sources}
        if not sources or len(self.sources) < len(sources):
            raise ValueError(f"models {', '.join(sources) or '(none)'}: give at least one, with different names")
        self._how = (runtime, device, precision)
        self._shared: dict[str, Network] = {}
        self._own = threading.local()
        self.about = [self._described(number, name) for number, name in enumerate(self.sources)]
        # where somebody waits for the answer: the model that gives it soonest
        late = {about["name"]: about["latency_ms"] for about in self.about if about["streams"]}
        self.for_streams = min(late, key=late.__getitem__, default=self.names[0])

    @property
    def names(self) -> list[str]:
        """The names, the default one first."""
        return list(self.sources)

    def get(self, name: str) -> Network:
        """Return a network for this thread: the one in C, which keeps nothing of a sound, is everybody's."""
        if name in self._shared:
            return self._shared[name]
        own: dict[str, Network] = self._own.__dict__
        if name not in own:
            own[name] = self._open(name)
        return own[name]

    def is_shared(self, name: str) -> bool:
        """Say whether a network is everybody's, whichever thread asks."""
        return name in self._shared

    def _open(self, name: str) -> Network:
        runtime, device, precision = self._how
        network = open_network(self.sources[name], runtime, 1, device, precision=precision)
        if isinstance(network, NativeNetwork):
            self._shared[name] = network
        return network

    def _described(self, number: int, name: str) -> dict[str, Any]:
        """Open a network, so that a wrong one is found before the service begins, and say what it is."""
        network = self.get(name)
        streams = network.streams
        return {
            "name": name,
            "default": number == 0,
            "rate": network.sample_rate,
            "streams": streams,
            "latency_ms": round(1000 * network.latency / network.sample_rate, 3) if streams else None,
            "runtime": str(getattr(network, "runtime", "torch")),
        }


def name_of(source: str) -> str:
    """Return what requests call a model: a bundled one's name, or that of its folder or file."""
    name = Path(os.path.abspath(source)).stem if os.path.exists(source) else source
    return os.fsencode(name).decode("utf-8", "replace")
