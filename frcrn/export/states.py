"""States of a graph: inputs `state.NAME`, outputs `state.NAME.next`."""

from __future__ import annotations

from frcrn.export.onnx.graph import Graph


class States:
    """The states of a graph that is being written; each begins as zeros."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.shapes: dict[str, tuple[int | str, ...]] = {}

    def past(self, name: str, *shape: int | str) -> str:
        """Declare a state and return its value before this call."""
        self.shapes[name] = shape
        return self.graph.input(f"state.{name}", *shape)

    def keep(self, name: str, value: str) -> None:
        """Say what a state is after this call."""
        self.graph.output(value, f"state.{name}.next", *self.shapes[name])
