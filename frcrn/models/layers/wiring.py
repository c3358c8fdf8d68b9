"""The order of a network's layers, written once: torch, ONNX and C each follow it with layers of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from frcrn.models.layers.complex import complex_cat, delayed, last
from frcrn.models.layers.fsmn import BinFsmn, FrequencyFsmn
from frcrn.models.layers.taps import fits

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

    def later(self, name: str, x: X, frames: int) -> X:
        """Hold an image back for some frames; what is held goes by its name."""


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
    """Wire a `UNet`: down, along time, and up again beside what was there on the way down, held back for as long."""
    late = 0

    def place(name: str, layer: nn.Module, x: X) -> X:
        nonlocal late
        late += ahead_of(layer)
        return at.layer(f"{prefix}{name}", layer, x)

    def apply(kind: str, number: int, x: X) -> X:
        layers, name = getattr(unet, kind), str(number)
        return place(f"{kind}{name}", layers[name], x) if name in layers else x

    skips: list[tuple[X, int]] = []
    for number, encoder in enumerate(unet.encoders):
        x = apply("time_enc", number, x)
        skips.append((apply("se_enc", number, x), late))
        x = apply("fsmn_enc", number, x)
        x = place(f"encoder{number}", encoder, x)
    for number, memory in enumerate(unet.bottleneck):
        x = place(f"bottleneck{number}", memory, x)
    for number in reversed(range(len(unet.decoders))):
        x = place(f"decoder{number}", unet.decoders[number], x)
        x = apply("fsmn_dec", number, x)
        x = apply("se_dec", number, x)
        skip, since = skips.pop()  # here and not by index, so that its memory is free for the levels above
        if number:
            skip = at.later(f"{prefix}skip{number}", skip, late - since) if late > since else skip
            x = at.add(x, skip) if unet.shape.add_skips else at.beside(x, skip)
        del skip
        x = apply("time_dec", number, x)
    return place("head", unet.head, x)


def ahead_of(layer: nn.Module) -> int:
    """Return how many frames later a layer answers than it is asked."""
    return int(getattr(layer, "ahead", 0))


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
        past, ahead = self.past.get(name), ahead_of(layer)
        late: list[Tensor] = []
        if ahead and isinstance(layer, BinFsmn) and fits(x, past):  # it holds x back itself
            self.new[f"{name}.late"] = last(x, ahead)
        elif ahead:
            late = [self.later(f"{name}.late", x, ahead)]
        y: Tensor
        y, self.new[name] = layer(x, past, *late)
        return y

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Add two images."""
        return x + y

    def beside(self, x: Tensor, y: Tensor) -> Tensor:
        """[B, 2C, F, T], [B, 2D, F, T] -> [B, 2(C + D), F, T]."""
        return complex_cat(x, y)

    def later(self, name: str, x: Tensor, frames: int) -> Tensor:
        """Hold an image back for some frames."""
        x, self.new[name] = delayed(x, self.past.get(name), frames)
        return x


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

    def later(self, name: str, x: None, frames: int) -> None:
        """Do nothing."""
