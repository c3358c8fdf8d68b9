"""Run a network with ONNX Runtime, OpenVINO or as a program in C in place of torch; it stays an `Enhancer`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from frcrn.config import checked_precision
from frcrn.export.native.network import write_program
from frcrn.export.native.stream import NativeStep
from frcrn.export.native.whole import NativeMasks
from frcrn.export.onnx.sessions import AUDIO, ENHANCED, Array, Session, open_session
from frcrn.export.onnx.traced import piece_graph, step_graph, whole_graph
from frcrn.models import Enhancer, Estimate, State
from frcrn.models.frames import FrameEnhancer, says_speech
from frcrn.models.masking import MaskEnhancer

RUNTIMES = ("torch", "onnx", "openvino", "native")
"""All but "auto", which is the first of native, onnx and torch that works."""

Past = dict[str, Array]

_log = logging.getLogger(__name__)


class Exported(Enhancer):
    """A network whose waves go through another runtime; it has no weights of its own, and no stages to show."""

    optimized = True

    def __init__(self, model: Enhancer, runtime: str, precision: str = "fp32") -> None:
        super().__init__()
        self.sample_rate, self.window, self.hop = model.sample_rate, model.window, model.hop
        self.lookahead, self.level_dbfs = model.lookahead, model.level_dbfs
        self.trained, self.config, self.runtime, self.precision = model.trained, model.config, runtime, precision
        self.eval()

    def optimize(self, precision: str = "fp32") -> Enhancer:
        """Return the same: there is nothing left to do."""
        if precision != self.precision:
            raise ValueError(f"precision {precision!r}: what runs with {self.runtime} here is {self.precision}")
        return self


class ExportedWhole(Exported):
    """Hears whole waves."""

    def __init__(self, model: Enhancer, runtime: str, threads: int | None = None) -> None:
        super().__init__(model, runtime)
        self._session = open_session(whole_graph(model), runtime, threads)

    def forward(self, wave: Tensor) -> Estimate:
        """[B, T] -> Estimate with wave [B, T]."""
        return Estimate(torch.from_numpy(self._session.run({AUDIO: wave.cpu().numpy()})[ENHANCED]), ())


class Steps(Exported):
    """Hears pieces of a wave one after the other, and so whole waves."""

    @property
    def streams(self) -> bool:
        """Whether it can be run hop by hop."""
        return True

    def forward(self, wave: Tensor) -> Estimate:
        """[B, T] -> Estimate with wave [B, T]."""
        length, late = wave.shape[1], self.lag
        padded = torch.nn.functional.pad(wave, (0, late + -(length + late) % self.hop))
        clean, _ = self.step(padded, self.initial_state(len(wave)))
        return Estimate(clean[:, late : late + length], ())


class NativeStream(Steps):
    """Hears pieces of a wave as a program in C does, on one thread."""

    def __init__(self, model: Enhancer, precision: str = "fp32") -> None:
        super().__init__(model, "native", precision)
        self._steps, self._says = NativeStep(write_program(model), precision), says_speech(model)

    def initial_state(self, batch: int) -> State:
        """Return the state before the first sample."""
        return _tensors(self._steps.initial_state(batch))

    def step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        """[B, k hop] -> [B, k hop], late by `lag` samples; the state that goes in is used up."""
        if not all(each.is_cpu for each in (frame, *state.values())):
            raise ValueError("frame and state: the runtime native expects both on the CPU")
        past = _arrays(state)
        clean, after = self._steps.step(frame.detach().float().numpy(), past)
        # a tensor of an array of a tensor holds them all: what stayed in its place stays the tensor that it was
        kept = {name: state[name] for name in after if after[name] is past[name]}
        return torch.from_numpy(clean), _tensors(after) | kept

    def speech_of(self, state: State) -> Tensor | None:
        """Return how probable speech was in the last frame before a state, [B]; None of a network that does not say."""
        return torch.from_numpy(self._steps.speech_of(_arrays(state))) if self._says else None


class NativeWhole(Exported):
    """Hears whole waves with masks that are computed in C."""

    def __init__(self, model: MaskEnhancer, threads: int | None = None, precision: str = "fp32") -> None:
        super().__init__(model, "native", precision)
        self._masks = NativeMasks(model, threads, precision)

    def forward(self, wave: Tensor) -> Estimate:
        """[B, T] -> Estimate with wave [B, T]."""
        model = self._masks.model
        front, back = model.margins(wave.shape[1])
        spec = model.stft.analyse(torch.nn.functional.pad(wave, (front, back)))
        edge = model.stft.overlap // model.hop
        mask = self._masks(spec[..., edge : spec.shape[-1] - edge])
        return Estimate(model.estimate(spec, [mask], edge, front, wave.shape[1]).wave, ())


class ExportedStream(Steps):
    """Hears pieces of a wave one after the other: any number of hops at once, or hop by hop where that is faster."""

    def __init__(self, model: Enhancer, runtime: str, threads: int | None = None, *, live: bool = False) -> None:
        super().__init__(model, runtime)
        piece = None if live else piece_graph(model)
        self._live, graph = piece is None, piece or step_graph(model)
        self._shapes = graph.states
        self._session: Session = open_session(graph.model, runtime, threads)

    def initial_state(self, batch: int) -> State:
        """Return the state before the first sample: zeros."""
        return {name: torch.zeros(batch, *self._after_batch(name)) for name in self._shapes}

    def step(self, frame: Tensor, state: State) -> tuple[Tensor, State]:
        """[B, k hop] -> [B, k hop], late by `lag` samples."""
        waves = np.ascontiguousarray(frame.cpu().numpy())
        past = {name: value.numpy() for name, value in state.items()}
        if not self._live:
            clean, past = self._run(waves, past)
        else:
            rows = [
                self._hop_by_hop(wave[None], {name: value[row] for name, value in past.items()})
                for row, wave in enumerate(waves)
            ]
            clean = rows[0][0] if len(rows) == 1 else np.concatenate([row for row, _ in rows])
            past = {name: stacked([kept[name] for _, kept in rows]) for name in past}
        return torch.from_numpy(clean), {name: torch.from_numpy(value) for name, value in past.items()}

    def _after_batch(self, name: str) -> tuple[int, ...]:
        """A state's shape without the batch; one of a single hop's graph has none and gets one in front."""
        shape = self._shapes[name]
        return tuple(int(size) for size in (shape if self._live else shape[1:]))

    def _hop_by_hop(self, wave: Array, past: Past) -> tuple[Array, Past]:
        """[1, k hop] and states as the graph knows them."""
        done = []
        for start in range(0, wave.shape[1], self.hop):
            clean, past = self._run(wave[:, start : start + self.hop], past)
            done.append(clean)
        return done[0] if len(done) == 1 else np.concatenate(done, axis=1), past

    def _run(self, wave: Array, past: Past) -> tuple[Array, Past]:
        results = self._session.run({AUDIO: wave, **{f"state.{name}": value for name, value in past.items()}})
        return results[ENHANCED], {name: results[f"state.{name}.next"] for name in past}


def _arrays(state: State) -> Past:
    """The same memory, as arrays."""
    return {name: value.detach().numpy() for name, value in state.items()}


def _tensors(past: Past) -> State:
    """The same memory, as tensors."""
    return {name: torch.from_numpy(value) for name, value in past.items()}


def stacked(values: Sequence[Array]) -> Array:
    """Arrays with a new axis in front, without a copy where there is one."""
    return values[0][None] if len(values) == 1 else np.stack(values)


def with_runtime(
    model: Enhancer,
    runtime: str = "torch",
    threads: int | None = None,
    *,
    live: bool = False,
    precision: str = "fp32",
) -> Enhancer:
    """Return a network in the form that a runtime runs, to use like any other.

    Args:
        model: a network as it was loaded.
        runtime: "torch", "onnx", "openvino", or "native" (in C); "auto" takes the first of native, onnx and torch that
            works here.
        threads: how many threads it may use; None leaves it to the runtime.
        live: run hop by hop, as streams do; native runs causal networks so in any case.
        precision: "fp32", or "bf16", which native and torch multiply in, where the processor can.

    Example:
        >>> fast = with_runtime(frcrn.load(), "native", threads=1)
        >>> clean = fast.enhance(noisy, 16000)
    """
    if threads is not None and not (isinstance(threads, int) and threads >= 1):
        raise ValueError(f"threads {threads!r}: expected a whole number from 1, or None")
    checked_precision(precision)
    if runtime == "auto":
        return _first_that_works(model, threads, live=live, precision=precision)
    if runtime not in RUNTIMES:
        raise ValueError(f"runtime {runtime!r}: choose auto, {', '.join(RUNTIMES)}")
    if runtime == "torch":
        return model.optimize(precision)
    if runtime == "native":
        if isinstance(model, MaskEnhancer) and not model.causal:
            return NativeWhole(model, threads, precision)
        return NativeStream(model, precision)
    if precision != "fp32":
        raise ValueError(f"precision {precision}: the runtime {runtime} computes in fp32; choose native or torch")
    if not model.streams:
        return ExportedWhole(model, runtime, threads)
    return ExportedStream(model, runtime, threads, live=live)


def _first_that_works(model: Enhancer, threads: int | None, *, live: bool, precision: str) -> Enhancer:
    """Run a network with native, else onnx, else torch; networks of others, and what is optimized, stay with torch."""
    if isinstance(model, (MaskEnhancer, FrameEnhancer)) and not model.optimized:
        for runtime in ("native", "onnx"):
            try:
                return with_runtime(model, runtime, threads, live=live, precision=precision)
            except (ImportError, OSError, ValueError) as error:  # a package or compiler is missing, or a layer unknown
                _log.info("runtime %s: %s", runtime, error)
    return model if type(model).optimize is Enhancer.optimize else model.optimize(precision)
