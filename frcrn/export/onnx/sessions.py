"""Run graphs with ONNX Runtime or OpenVINO."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frcrn.audio import MissingPackage, Samples

Shapes = Mapping[str, tuple[int, ...]]


AUDIO, ENHANCED = "audio", "enhanced"

Array = NDArray[np.float32]
Values = dict[str, Array]
RUNTIMES = ("onnx", "openvino")


class Session(ABC):
    """A loaded graph."""

    inputs: list[str]
    outputs: list[str]

    def __init__(self, model: bytes, threads: int | None) -> None:
        self._made_of = model, threads

    def __reduce__(self) -> tuple[type[Session], tuple[bytes, int | None]]:
        """Copies, and those in other processes, load the graph again."""
        return type(self), self._made_of

    @abstractmethod
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name."""


def inference_session(model: bytes | str, threads: int | None, wanted_by: str) -> Any:
    """Open a graph, its bytes or its file, in ONNX Runtime on the processor; `wanted_by` says who needs the package."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackage(f'{wanted_by} needs onnxruntime: pip install "frcrn[onnx]"') from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads or 0, 1
    options.log_severity_level = 3
    if threads == 1:
        # waiting threads would only burn time
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxSession(Session):
    """A graph in ONNX Runtime."""

    def __init__(self, model: bytes, threads: int | None) -> None:
        super().__init__(model, threads)
        self.session = inference_session(model, threads, "the runtime onnx")
        self.shapes = {item.name: item.shape for item in self.session.get_inputs()}
        self.inputs = list(self.shapes)
        self.outputs = [item.name for item in self.session.get_outputs()]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name."""
        return dict(zip(self.outputs, self.session.run(None, feeds), strict=True))


class OpenVinoSession(Session):
    """A graph in OpenVINO, in single precision throughout."""

    def __init__(self, model: bytes, threads: int | None) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingPackage('the runtime openvino needs openvino: pip install "frcrn[openvino]"') from error
        super().__init__(model, threads)
        core = openvino.Core()
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        self.compiled = core.compile_model(core.read_model(model), "CPU", settings)
        self.request = self.compiled.create_infer_request()
        self.inputs = [item.any_name for item in self.compiled.inputs]
        self.outputs = [item.any_name for item in self.compiled.outputs]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name; inputs that nothing reads are no longer there."""
        results = self.request.infer({name: value for name, value in feeds.items() if name in self.inputs})
        return {name: np.array(results[name]) for name in self.outputs}


def open_session(model: Any, runtime: str = "onnx", threads: int | None = None) -> Session:
    """Load an ONNX model, or its bytes, with a runtime."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    if runtime == "onnx":
        return OnnxSession(content, threads)
    if runtime == "openvino":
        return OpenVinoSession(content, threads)
    raise ValueError(f"runtime {runtime!r}: choose {' or '.join(RUNTIMES)}")


def streamed(session: Session, states: Shapes, wave: Samples, delay: int, hop: int) -> Samples:
    """[T] -> [T] through the graph of one hop, its delay taken out."""
    length = len(wave)
    padded = np.pad(wave, (0, delay + -(length + delay) % hop))
    clean = np.concatenate([results[ENHANCED][0] for _, results in hops(session, states, padded, hop)])
    return clean[delay : delay + length]


def hops(session: Session, states: Shapes, wave: Samples, hop: int) -> Iterator[tuple[Values, Values]]:
    """Step through whole hops [n hop]; yield what went into the graph and what came out, for each."""
    past = {f"state.{name}": np.zeros(shape, np.float32) for name, shape in states.items()}
    for frame in wave.reshape(-1, 1, hop):
        feed = {AUDIO: frame, **past}
        results = session.run(feed)
        past = {name: results[f"{name}.next"] for name in past}
        yield feed, results
