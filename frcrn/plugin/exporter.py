"""The framework's exporter for our models: ONNX as `frcrn export` writes it, and TorchScript."""

from __future__ import annotations

import copy
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from modelscope.exporters.torch_model_exporter import TorchModelExporter
from modelscope.utils.constant import ModelFile

from frcrn.export.onnx.folder import described, export
from frcrn.export.onnx.graph import OPSET
from frcrn.export.onnx.traced import WholeWave
from frcrn.export.parity import checked, expected, speech
from frcrn.files import refuse_links, refuse_others, replacing
from frcrn.models import Enhancer
from frcrn.plugin.framework_files import link
from frcrn.plugin.model import FRCRNModel
from frcrn.texts import digest

HARMLESS = (("device", "cpu"), ("validation", True))
"""What callers may ask for that is so anyway."""
USUAL_OPSET = 13
"""What the framework's own exporters write unless asked."""
MARK = "frcrn"
"""A file in a script that says that it is from here."""


class FRCRNExporter(TorchModelExporter):  # type: ignore[misc]
    """Writes a model for other runtimes; what is written has been compared with the network."""

    def export_onnx(
        self, output_dir: str | os.PathLike[str], opset: int = USUAL_OPSET, **others: Any
    ) -> dict[str, str]:
        """Write the folder of `frcrn export`, and return its graphs: `model` of a whole wave, `step` of one hop.

        `model.onnx` is `whole.onnx` by the framework's name; `step` is there where the network can stream.
        """
        if opset not in (USUAL_OPSET, OPSET):
            raise ValueError(f"opset: expected {OPSET}, which is what the graphs are written in, found {opset}")
        refuse_foreign(Path(output_dir) / ModelFile.ONNX_MODEL_FILE, is_whole)
        folder = export(network_of(self.model, others), output_dir).parent
        graphs = {name: graph["file"] for name, graph in described(folder)["graphs"].items()}
        link(folder / graphs.pop("whole"), folder, ModelFile.ONNX_MODEL_FILE)
        graphs["model"] = ModelFile.ONNX_MODEL_FILE
        return {name: str(folder / file) for name, file in graphs.items()}

    def export_torch_script(self, output_dir: str | os.PathLike[str], **others: Any) -> dict[str, str]:
        """Write `model.ts`, waves [B, T] -> [B, T], and return where it is.

        It is the network alone: one that wants a loudness (`level_dbfs`) wants it of what the script is given too.
        """
        path = Path(output_dir) / ModelFile.TS_MODEL_FILE
        refuse_foreign(path, is_script)
        network = network_of(self.model, others)
        script, wave = traced(network), speech(network.sample_rate)
        with torch.no_grad():
            got = script(torch.from_numpy(wave)[None])[0].numpy()
        checked("model.ts", got, expected(network, wave, levelled=False))
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            torch.jit.save(script, str(beside), _extra_files={MARK: ""})
        return {"model": str(path)}


def refuse_foreign(path: Path, is_ours: Callable[[Path], bool]) -> None:
    """Refuse to write over what has our file's name and is somebody else's, or a link."""
    refuse_links(path)
    refuse_others([path], lambda: is_ours(path))


def is_whole(path: Path) -> bool:
    """Say whether a graph is that of a whole wave by another name."""
    whole = path.with_name("whole.onnx")
    return path.is_file() and whole.is_file() and digest(path) == digest(whole)


def is_script(path: Path) -> bool:
    """Say whether a script was written here."""
    try:
        with zipfile.ZipFile(path) as script:
            return any(name.endswith(f"/extra/{MARK}") for name in script.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def network_of(model: FRCRNModel, others: dict[str, Any]) -> Enhancer:
    """Return a copy of the network to export, on the processor; arguments that have no effect are refused."""
    model = others.pop("model", model)
    useless = {name for name, value in others.items() if (name, value) not in HARMLESS}
    if useless:
        raise ValueError(f"{sorted(useless)[0]}: has no effect on this exporter; leave it out")
    network = copy.deepcopy(model.model if isinstance(model, FRCRNModel) else model)
    return network.cpu().eval().requires_grad_(False)


@torch.no_grad()
def traced(network: Enhancer) -> Any:
    """Follow the network through one wave; the script takes any length and batch."""
    example = torch.from_numpy(speech(network.sample_rate, 10 * network.window / network.sample_rate))[None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own later ways, and of lengths that it compares while it follows
        return torch.jit.trace(WholeWave(network), (example,), check_trace=False)
