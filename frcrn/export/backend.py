"""What the writers of ONNX and of C have in common as backends of a wiring: one rule for each class of layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from torch import nn

from frcrn.models.layers.attention import ComplexSE
from frcrn.models.layers.complex import ComplexConvolution
from frcrn.models.layers.fsmn import BinFsmn, FrequencyFsmn, TimeFsmn
from frcrn.models.layers.specs import AttentionSpec, ConvolutionSpec, MemorySpec
from frcrn.models.layers.unet import Block

Image = TypeVar("Image")
Rule = Callable[[str, Any, tuple[Image, ...]], Image]


class Writer(ABC, Generic[Image]):
    """Writes layers from their descriptions. Images that stand side by side stay apart until a layer wants one."""

    def __init__(self) -> None:
        self.rules: dict[type[nn.Module], Rule[Image]] = {
            Block: self.convolution,
            ComplexConvolution: self.convolution,
            FrequencyFsmn: self.of_one(self.along_frequency),
            TimeFsmn: self.of_one(self.along_time),
            BinFsmn: self.of_one(self.in_bins),
            ComplexSE: self.of_one(self.weigh),
        }

    def layer(self, name: str, layer: nn.Module, x: tuple[Image, ...]) -> tuple[Image, ...]:
        """Write a layer by the rule for its class, or refuse it."""
        for kind in type(layer).__mro__:
            if kind in self.rules:
                described: Any = layer
                return (self.rules[kind](name, described.spec(), x),)
        known = ", ".join(kind.__name__ for kind in self.rules)
        raise ValueError(f"layer {name}: a {type(layer).__name__} cannot be exported; what can be are {known}")

    def add(self, x: tuple[Image, ...], y: tuple[Image, ...]) -> tuple[Image, ...]:
        """Add two images."""
        return (self.sum(self.one(x), self.one(y)),)

    def beside(self, x: tuple[Image, ...], y: tuple[Image, ...]) -> tuple[Image, ...]:
        """Put images after those that are there."""
        return x + y

    def later(self, name: str, x: tuple[Image, ...], frames: int) -> tuple[Image, ...]:
        """Hold an image back for some frames."""
        return (self.delayed(name, self.one(x), frames),)

    def one(self, images: Sequence[Image]) -> Image:
        """Images as one, whatever their number."""
        return images[0] if len(images) == 1 else self.joined(images)

    def of_one(self, rule: Callable[[str, Any, Image], Image]) -> Rule[Image]:
        """Return a rule for one image as a rule for any number side by side."""
        return lambda name, spec, x: rule(name, spec, self.one(x))

    def convolution(self, name: str, spec: ConvolutionSpec, x: tuple[Image, ...]) -> Image:
        """A complex convolution, down or up; only a way up takes images side by side."""
        return self.up(name, spec, x) if spec.size else self.down(name, spec, self.one(x))

    @abstractmethod
    def delayed(self, name: str, x: Image, frames: int) -> Image:
        """An image as it was some frames earlier; zeros before the first."""

    @abstractmethod
    def sum(self, x: Image, y: Image) -> Image:
        """Two images, added."""

    @abstractmethod
    def joined(self, images: Sequence[Image]) -> Image:
        """Several images as one, all real channels first."""

    @abstractmethod
    def down(self, name: str, spec: ConvolutionSpec, x: Image) -> Image:
        """A complex convolution down in frequency."""

    @abstractmethod
    def up(self, name: str, spec: ConvolutionSpec, images: Sequence[Image]) -> Image:
        """A complex transposed convolution: for each phase of its stride a plain one, whose results take turns."""

    @abstractmethod
    def along_frequency(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along frequency."""

    @abstractmethod
    def along_time(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along time, over all channels and bins of a frame."""

    @abstractmethod
    def in_bins(self, name: str, spec: MemorySpec, x: Image) -> Image:
        """Memory along time in each bin."""

    @abstractmethod
    def weigh(self, name: str, spec: AttentionSpec, x: Image) -> Image:
        """Weigh the channels of an image by what their means say."""
