"""The framework's hooks on our trainer: kept by priority, called by stage, and what they ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelscope.trainers.hooks.builder import HOOKS
from modelscope.trainers.hooks.priority import Priority, get_priority
from modelscope.utils.constant import ModeKeys
from modelscope.utils.registry import build_from_cfg

TRAIN, EVALUATION = ModeKeys.TRAIN, ModeKeys.EVAL


class Hooked:
    """Counts steps and epochs as the framework's base trainer does while hooks run, and calls them.

    While a step's hooks run, `iter`, `inner_iter` and `epoch` are the numbers of that step and epoch, from 0; after
    the run they are how many there were.
    """

    def __init__(self, hooks: Any) -> None:
        """Start with these hooks: one, a list, or None."""
        self._hooks: list[Any] = []
        self._iter = self._epoch = self._inner_iter = 0
        self._mode = TRAIN
        self.stop_training = self._stop_training = False
        self.in_step = False
        for hook in as_list(hooks):
            self.register_hook(hook)

    @property
    def iters_per_epoch(self) -> int:
        """Steps in an epoch."""
        raise TypeError(f"{type(self).__name__} does not define iters_per_epoch")

    @property
    def hooks(self) -> list[Any]:
        """The registered hooks, in the order in which they are called."""
        return self._hooks

    @property
    def epoch(self) -> int:
        """Epochs before this one."""
        return self._epoch

    @property
    def iter(self) -> int:
        """Steps before this one."""
        return self._iter

    @property
    def inner_iter(self) -> int:
        """Steps of this epoch before this one."""
        return self._inner_iter

    @property
    def mode(self) -> str:
        """Whether it trains or evaluates, in the framework's words."""
        return str(self._mode)

    def register_hook(self, hook: Any) -> None:
        """Add a hook behind those of the same or a more urgent priority."""
        place = sum(urgency(other) <= urgency(hook) for other in self._hooks)
        self._hooks.insert(place, hook)

    def register_hook_from_cfg(self, hook_cfg: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Build hooks from their tables, `{"type": a registered name, ...}`, and add them."""
        built = [build_from_cfg(dict(values), HOOKS) for values in hook_cfg]
        for hook in built:
            self.register_hook(hook)
        return built

    def get_hook(self, cls: type[Any]) -> list[Any]:
        """Return the hooks of a class."""
        return [hook for hook in self._hooks if type(hook) is cls]

    def invoke_hook(self, stage: str) -> None:
        """Call each hook that has something to do at a stage."""
        for hook in self._hooks:
            if (method := getattr(hook, stage, None)) is not None:
                method(self)

    def begin(self, step: int) -> None:
        """Tell hooks that training begins behind `step` steps."""
        self.stop_training = self._stop_training = False
        self._mode = TRAIN
        self._iter, self._epoch, self._inner_iter = step, *divmod(step, self.iters_per_epoch)
        self.invoke_hook("before_run")
        self.invoke_hook("before_train_epoch")
        self.begin_step()

    def begin_step(self) -> None:
        """Tell hooks that a step comes."""
        self.in_step = True
        self.invoke_hook("before_train_iter")

    def end_step(self) -> None:
        """Tell hooks that the step is done, once; then count it."""
        if self.in_step:
            self.in_step = False
            self.invoke_hook("after_train_iter")
            self._iter += 1

    def end_epoch(self, *, last: bool) -> None:
        """Count the step within its epoch, and tell hooks where that ends; with `last` nothing follows."""
        ended = self._inner_iter + 1 == self.iters_per_epoch
        if ended:
            self.invoke_hook("after_train_epoch")
        self._inner_iter = 0 if ended else self._inner_iter + 1
        self._epoch += ended
        if not last and not self.asked_to_stop():
            if ended:
                self.invoke_hook("before_train_epoch")
            self.begin_step()

    def asked_to_stop(self) -> bool:
        """Tell whether a hook ended the run: at once with `stop_training`, as the framework's own do after an epoch."""
        return bool(self.stop_training or (self._stop_training and self._inner_iter == 0))


def urgency(hook: Any) -> int:
    """Return a hook's priority as a number; less is earlier."""
    return int(get_priority(getattr(hook, "PRIORITY", Priority.NORMAL)))


def as_list(callbacks: Any) -> list[Any]:
    """Return callbacks as a list."""
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [] if callbacks is None else [callbacks]


def split(hooks: Iterable[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a configuration's hooks in two lists: those of the framework, and those that somebody registered."""
    theirs: list[dict[str, Any]] = []
    added: list[dict[str, Any]] = []
    for hook in hooks:
        (added if is_added(str(hook.get("type"))) else theirs).append(dict(hook))
    return theirs, added


def is_added(name: str) -> bool:
    """Tell whether a hook's class comes from elsewhere than the framework."""
    cls = HOOKS.get(name)
    return cls is not None and not cls.__module__.startswith("modelscope.")
