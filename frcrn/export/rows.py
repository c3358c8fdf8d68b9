"""What the writers of ONNX and of C share for networks of frames: one rule for each class of layers on rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from torch import nn

from frcrn.models.layers.pitch import Comb, Delay, DelaySpec
from frcrn.models.layers.rows import Dense, DenseSpec, FixedMatrix, Gru, Log, Lstm, NormSpec, RecurrentSpec, RowNorm
from frcrn.models.layers.specs import Array
from frcrn.models.layers.transforms import Inverse, Magnitude, Spectrum

Row = TypeVar("Row")
Rule = Callable[[str, Any, Row], Row]


class RowRules(ABC, Generic[Row]):
    """Writes layers on rows from their descriptions."""

    def __init__(self) -> None:
        self.rules: dict[type[nn.Module], Rule[Row]] = {
            Dense: self.dense,
            FixedMatrix: self.dense,
            Lstm: self.lstm,
            Gru: self.gru,
            RowNorm: self.norm,
            Log: self.log,
            Spectrum: self.spectrum,
            Inverse: self.inverse,
            Magnitude: self.magnitude,
            Delay: self.delay,
            Comb: self.comb,
        }

    def layer(self, name: str, layer: nn.Module, x: Row) -> Row:
        """Write a layer by the rule for its class, or refuse it."""
        rule = self.rules.get(type(layer))
        if rule is None:
            known = ", ".join(kind.__name__ for kind in self.rules)
            raise ValueError(f"layer {name}: a {type(layer).__name__} cannot be exported; what can be are {known}")
        described: Any = layer
        return rule(name, described.spec(), x)

    @abstractmethod
    def speech(self, probability: Row) -> None:
        """Keep how probable speech is, for those who ask."""

    @abstractmethod
    def dense(self, name: str, spec: DenseSpec, x: Row) -> Row:
        """A matrix over the last rows, and its activation."""

    @abstractmethod
    def lstm(self, name: str, spec: RecurrentSpec, x: Row) -> Row:
        """A long short-term memory."""

    @abstractmethod
    def gru(self, name: str, spec: RecurrentSpec, x: Row) -> Row:
        """A gated recurrent unit."""

    @abstractmethod
    def norm(self, name: str, spec: NormSpec, x: Row) -> Row:
        """A normalisation of each row."""

    @abstractmethod
    def log(self, name: str, spec: tuple[float, float, float], x: Row) -> Row:
        """A scaled logarithm of each value."""

    @abstractmethod
    def delay(self, name: str, spec: DelaySpec, x: Row) -> Row:
        """A frame one period of its pitch earlier."""

    @abstractmethod
    def comb(self, name: str, spec: Array, x: Row) -> Row:
        """A comb filter over a spectrum, the one a period earlier, and the gains of bands."""

    @abstractmethod
    def spectrum(self, name: str, window: int, x: Row) -> Row:
        """Samples to a spectrum."""

    @abstractmethod
    def inverse(self, name: str, window: int, x: Row) -> Row:
        """A spectrum to samples."""

    @abstractmethod
    def magnitude(self, name: str, squared: bool, x: Row) -> Row:
        """The magnitude or power of each bin."""
