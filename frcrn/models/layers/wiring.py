"""The order of a network's layers, written once: torch, ONNX and C each follow it with layers of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from frcrn.models.layers.complex import complex_cat
from frcrn.models.layers.fsmn import FrequencyFsmn

X = TypeVar("X")
Layers = list[tuple[str, nn.Module]]
Memories = dict[str, Tensor]


class Backend(Protocol[X]):
    """What a wiring needs of a backend, whose values may be tensors, names in a graph, or places in memory."""

    def layer(self, name: str, layer: nn.Module, x: X) -> X:
        """Apply a layer, by the rule for its class; what it keeps from frame to frame goes by its name."""

    def add(self, x: X, y: X) -> X:
        """Add two images of one size."""

    def beside(self, x: X, y: X) -> X:
        """Put the channels of y after those of x."""


class Levels(Protocol):
    """What is wired of a `UNet`: layers by the number of their level, which has some of them and not others."""

    @property
    def encoders(self) -> nn.ModuleList:
        """The blocks on the way down."""

    @property
    def bottleneck(self) -> nn.ModuleList:
        """The memories at the bottom."""

    @property
    def decoders(self) -> nn.ModuleList:
        """The blocks on the way up."""

    @property
    def head(self) -> nn.Module:
        """The last layer."""

    @property
    def shape(self) -> Any:
        """Whether skips are added."""


def u_net(at: Backend[X], unet: Levels, x: X, prefix: str = "") -> X:
    """Wire a `UNet`: down, along time, and up again beside what was there on the way down."""

    def apply(kind: str, number: int, x: X) -> X:
        layers, name = getattr(unet, kind), str(number)
        return at.layer(f"{prefix}{kind}{name}", layers[name], x) if name in layers else x

    skips: list[X] = []
    for number, encoder in enumerate(unet.encoders):
        x = apply("time_enc", number, x)
        skips.append(apply("se_enc", number, x))
        x = apply("fsmn_enc", number, x)
        x = at.layer(f"{prefix}encoder{number}", encoder, x)
    for number, memory in enumerate(unet.bottleneck):
        x = at.layer(f"{prefix}bottleneck{number}", memory, x)
    for number in reversed(range(len(unet.decoders))):
        x = at.layer(f"{prefix}decoder{number}", unet.decoders[number], x)
        x = apply("fsmn_dec", number, x)
        x = apply("se_dec", number, x)
        skip = skips.pop()  # here and not by index, so that its memory is free for the levels above
        if number:
            x = at.add(x, skip) if unet.shape.add_skips else at.beside(x, skip)
        del skip
        x = apply("time_dec", number, x)
    return at.layer(f"{prefix}head", unet.head, x)


def cascade(at: Backend[X], unets: Sequence[Any], x: X, refine: bool) -> Iterator[X]:
    """Wire U-Nets, each after the one before, and beside the first one's input where it refines; yield each output."""
    inputs = x
    for number, unet in enumerate(unets, start=1):
        x = u_net(at, unet, x, f"unet{number}.")
        yield x
        if refine and number < len(unets):
            x = at.beside(x, inputs)


class Eager:
    """The backend of torch: applies layers to tensors [B, 2C, F, T] at once; `new` is what they keep."""

    def __init__(self, past: Mapping[str, Tensor] | None = None) -> None:
        self.past: Mapping[str, Tensor] = past or {}
        self.new: Memories = {}

    def layer(self, name: str, layer: nn.Module, x: Tensor) -> Tensor:
        """Apply a layer; all but a memory along frequency look along time."""
        if isinstance(layer, FrequencyFsmn):
            along: Tensor = layer(x)
            return along
        y: Tensor
        y, self.new[name] = layer(x, self.past.get(name))
        return y

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Add two images."""
        return x + y

    def beside(self, x: Tensor, y: Tensor) -> Tensor:
        """[B, 2C, F, T], [B, 2D, F, T] -> [B, 2(C + D), F, T]."""
        return complex_cat(x, y)


class Listing:
    """A backend that computes nothing: it lists the layers in their order."""

    def __init__(self) -> None:
        self.layers: Layers = []

    def layer(self, name: str, layer: nn.Module, x: None) -> None:
        """Note a layer."""
        self.layers.append((name, layer))

    def add(self, x: None, y: None) -> None:
        """Do nothing."""

    def beside(self, x: None, y: None) -> None:
        """Do nothing."""
