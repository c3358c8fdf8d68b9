"""Refuse to build a network that no machine needs, before any memory is taken for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

MOST_VALUES = 2**28
"""Of a network in all, and of whatever is computed for it at once; 1 GiB of float32."""
MOST_TENSORS = 2**14

_SHAPED = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)
_COUNTED = {torch.arange: 0, torch.eye: 0, torch.linspace: 2}  # which argument says how many


class Budget(TorchFunctionMode):
    """While this is active, tensors are made up to a limit; what would go beyond is a ValueError."""

    def __init__(self) -> None:
        super().__init__()
        self.values = self.tensors = 0

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Look at what a function is about to make, then let it."""
        if function in _SHAPED:
            self._spend(math.prod(shape_of(args, kwargs or {})))
        elif function in _COUNTED:
            self._spend(int(args[_COUNTED[function]]))
        elif self._at_once(args) > MOST_VALUES:
            self._refuse()
        return function(*args, **(kwargs or {}))

    def _spend(self, values: int) -> None:
        self.values += values
        self.tensors += 1
        if self.values > MOST_VALUES or self.tensors > MOST_TENSORS:
            self._refuse()

    def _at_once(self, args: Sequence[Any]) -> int:
        """Bound what comes of operands that are spread over each other, or multiplied row by column."""
        shapes = [arg.shape for arg in args if isinstance(arg, Tensor)]
        if len(shapes) == 2 and all(len(shape) == 1 for shape in shapes) and shapes[0] != shapes[1]:
            return math.prod(shape[0] for shape in shapes)  # an outer product
        return math.prod(max(sizes) for sizes in zip_longest(*map(reversed, shapes), fillvalue=1))

    def _refuse(self) -> None:
        raise ValueError(
            f"its configuration asks for a network of more than {MOST_VALUES} values or {MOST_TENSORS} tensors, "
            "which is taken for an error"
        )


def shape_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Sequence[int]:
    """Return the shape that a function of torch is asked for, given as one sequence or as numbers."""
    size = args[0] if args else kwargs.get("size", ())
    return size if isinstance(size, Sequence) else [each for each in args if isinstance(each, int)]
