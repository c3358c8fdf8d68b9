"""Ways of the framework's clients to call the pipeline, the model and the exporter: step by step, subclassed, moved."""

from __future__ import annotations

import base64
import io
import json
import pickle
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest
import soundfile
import torch
from numpy.testing import assert_allclose, assert_array_equal

pytest.importorskip("modelscope")

import frcrn
from tests.made_audio import save, speech
from tests.plugin_parts import ROOT, TASK, in_fresh_process, tiny_directory

STEP = 1 / 32768


def pipeline(**options: Any) -> Any:
    from modelscope.pipelines import pipeline

    import frcrn.plugin  # noqa: F401

    return pipeline(TASK, **{"device": "cpu", **options})


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_directory(tmp_path_factory.mktemp("models") / "causal")


@pytest.fixture(scope="module")
def ans(directory: Path) -> Any:
    return pipeline(model=str(directory))


def pcm(result: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(result["output_pcm"], "<i2")


# Steps


def test_the_steps_one_by_one_are_the_call(ans: Any, tmp_path: Path) -> None:
    wave = speech(0.3, seed=1)
    prepared = ans.preprocess(wave)
    assert prepared["nsamples"] == len(wave) == np.asarray(prepared["ndarray"]).shape[-1]
    cleaned = ans.forward(prepared)
    done = ans.postprocess(cleaned, output_path=str(tmp_path / "steps.wav"))
    assert done["output_pcm"] == ans(wave)["output_pcm"]
    ans(wave, output_path=str(tmp_path / "call.wav"))
    assert (tmp_path / "steps.wav").read_bytes() == (tmp_path / "call.wav").read_bytes()


def test_an_override_of_one_step_takes_effect(directory: Path, ans: Any) -> None:
    from frcrn.plugin.pipeline import FRCRNPipeline

    class Louder(FRCRNPipeline):
        def preprocess(self, inputs: Any, **parameters: Any) -> dict[str, Any]:
            prepared = super().preprocess(inputs, **parameters)
            return {**prepared, "ndarray": 2 * prepared["ndarray"]}

    class Silent(FRCRNPipeline):
        def forward(self, inputs: Any, **parameters: Any) -> dict[str, Any]:
            return {"output_pcm": bytes(2 * inputs["nsamples"])}

    class Named(FRCRNPipeline):
        def postprocess(self, inputs: Any, **parameters: Any) -> dict[str, Any]:
            return {**super().postprocess(inputs, **parameters), "name": "mine"}

    wave = speech(0.2, seed=2)
    assert_array_equal(pcm(Louder(str(directory), device="cpu")(wave)), pcm(ans(2 * wave)))
    silent = Silent(str(directory), device="cpu")
    assert not pcm(silent(wave)).any() and len(pcm(silent(wave))) == len(wave)
    named = Named(str(directory), device="cpu")
    assert [result["name"] for result in named([wave, wave], batch_size=2)] == ["mine", "mine"]


def test_what_a_step_changed_is_what_is_written(directory: Path, tmp_path: Path) -> None:
    from frcrn.plugin.pipeline import FRCRNPipeline

    class Halved(FRCRNPipeline):
        def forward(self, inputs: Any, **parameters: Any) -> dict[str, Any]:
            found = super().forward(inputs, **parameters)
            return {**found, "output_pcm": (np.frombuffer(found["output_pcm"], "<i2") // 2).tobytes()}

    result = Halved(str(directory), device="cpu")(speech(0.2, seed=3), output_path=str(tmp_path / "half.wav"))
    assert_allclose(frcrn.audio.read(tmp_path / "half.wav").samples[0], pcm(result) / 32768, atol=STEP)


def test_the_stock_steps_own_preparation_is_taken(ans: Any) -> None:
    """Stock hands a float tensor or array [1, T] and a length to `forward`."""
    wave = speech(0.2, seed=4).astype(np.float32)
    for given in (torch.from_numpy(wave)[None], wave[None], wave):
        found = ans.postprocess(ans.forward({"ndarray": given, "nsamples": len(wave)}))
        assert_array_equal(pcm(found), pcm(ans(wave)))


def test_code_that_imports_the_stock_class_gets_this_one(tmp_path: Path) -> None:
    tiny_directory(tmp_path / "model")
    found = in_fresh_process(
        """
        import frcrn.plugin
        frcrn.plugin.replace_stock()
        from modelscope.pipelines.audio.ans_pipeline import ANSPipeline
        from modelscope.trainers.audio.ans_trainer import ANSTrainer
        import numpy

        class Mine(ANSPipeline):
            def postprocess(self, inputs, **parameters):
                return {**super().postprocess(inputs, **parameters), "mine": True}

        ans = Mine(model=str(FOLDER / "model"), device="cpu")
        FOUND["classes"] = [ANSPipeline.__name__, ANSTrainer.__name__]
        FOUND["mine"] = ans(numpy.zeros(1600, "float32"))["mine"]
        """,
        tmp_path,
        librosa=True,
    )
    assert found["classes"] == ["FRCRNPipeline", "FRCRNTrainer"] and found["mine"]


# Many inputs


class Keyed:
    """A dataset that gives one column of another, as libraries of pipelines have them."""

    def __init__(self, rows: list[dict[str, Any]], key: str) -> None:
        self.rows, self.key = rows, key

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Any:
        return self.rows[number][self.key]


def test_datasets_rows_and_columns_are_inputs(ans: Any, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    waves = [speech(0.1, seed=number).astype(np.float32) for number in range(3)]
    alone = [pcm(ans(wave)) for wave in waves]
    paths = [str(save(tmp_path / f"{number}.wav", wave, subtype="FLOAT")) for number, wave in enumerate(waves)]
    rows = [{"audio": {"array": wave, "sampling_rate": 16000}} for wave in waves]
    keyed = Keyed(rows, "audio")
    hugging = datasets.Dataset.from_dict({"audio": paths}).cast_column("audio", datasets.Audio(decode=False))
    column = Keyed(hugging.to_list(), "audio")
    for given in (keyed, column, (row["audio"] for row in rows)):
        for result, expected in zip(ans(given, batch_size=2), alone, strict=True):
            assert_allclose(pcm(result).astype(int), expected.astype(int), atol=1)
    written = ans(column, output_path=tmp_path / "clean")
    assert len(written) == 3 and sorted(path.name for path in (tmp_path / "clean").iterdir()) == [
        "0.wav",
        "1.wav",
        "2.wav",
    ]


def test_a_row_that_says_nothing_is_refused_in_one_sentence(ans: Any) -> None:
    with pytest.raises(Exception, match="expected a row with array and sampling_rate, bytes or path, found dict"):
        ans({"text": "hello"})


# Devices and processes


@pytest.mark.parametrize("device", ["cpu", "gpu", "cuda", "gpu:1", "cuda:1", None])
def test_devices_by_the_frameworks_names(
    directory: Path, device: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where there is no GPU, its names mean the processor, as in the framework, which logs so."""
    from modelscope.utils.logger import get_logger

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(get_logger(), "propagate", True)
    with caplog.at_level("INFO", logger=get_logger().name):
        made = pipeline(model=str(directory), device=device)
    assert next(made.network.parameters()).device.type == made.device.type == "cpu"
    assert any("cuda is not available, using cpu instead" in line for line in caplog.messages) == (device != "cpu")


def test_a_device_that_is_none_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("quantum", "cuda:x", "cuda:1:2", "cpu:", "xpu"):
        with pytest.raises(ValueError, match=f"device: expected cpu, gpu, cuda, gpu:N or cuda:N, found '{device}'"):
            pipeline(model=str(directory), device=device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="this machine has 1 GPUs for PyTorch, counted from 0; found 'cuda:1'"):
        pipeline(model=str(directory), device="cuda:1")


@pytest.mark.parametrize("word", ["disable_pbar", "disable_progress_bar", "disable_log", "disable_update"])
def test_words_that_the_stock_pipeline_ignores_are_ignored(directory: Path, ans: Any, word: str) -> None:
    wave = speech(0.1, seed=10)
    assert ans(wave, **{word: True})["output_pcm"] == ans(wave)["output_pcm"]
    assert pipeline(model=str(directory), **{word: True})(wave)["output_pcm"] == ans(wave)["output_pcm"]


@pytest.mark.parametrize("word", ["normalize", "chunk_size", "sample_rate", "output_dir", "outputpath", "fs"])
def test_words_that_would_mean_something_are_refused_by_name(ans: Any, word: str) -> None:
    """The stock pipeline takes them and does nothing."""
    with pytest.raises(TypeError, match=f"unknown option '{word}'; accepted: strength, .*, output_path, batch_size"):
        ans(speech(0.1, seed=10), **{word: 1})


def test_without_a_model_it_says_what_to_give() -> None:
    with pytest.raises(
        ValueError, match="model: expected a directory, a hub name or a model of this package, found None"
    ):
        pipeline(pipeline_name="frcrn-ans-16k")


def test_a_pipeline_goes_to_another_process(ans: Any) -> None:
    wave = speech(0.2, seed=5)
    assert pickle.loads(pickle.dumps(ans))(wave)["output_pcm"] == ans(wave)["output_pcm"]


def test_forked_workers_of_a_process_that_has_computed_do_not_hang(directory: Path, tmp_path: Path) -> None:
    """`map(num_proc=2)` in a notebook forks a process whose torch has threads."""
    pytest.importorskip("datasets")
    script = f"""
        import numpy, torch, datasets
        datasets.disable_progress_bars()
        torch.set_num_threads(2)
        from modelscope.pipelines import pipeline
        import frcrn.plugin
        ans = pipeline({TASK!r}, model={str(directory)!r}, device="cpu")
        waves = [numpy.random.default_rng(n).standard_normal(4000).astype("float32") * 0.1 for n in range(6)]
        here = [ans(wave)["output_pcm"] for wave in waves]
        rows = datasets.Dataset.from_dict({{"wave": waves}}).with_format("numpy")
        there = rows.map(lambda row: {{"pcm": ans(row["wave"])["output_pcm"]}}, num_proc=2)
        same = [numpy.abs(numpy.frombuffer(a, "<i2") - numpy.frombuffer(bytes(b), "<i2")).max() <= 1
                for a, b in zip(here, there.with_format(None)["pcm"])]
        assert all(same) and len(same) == 6
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=400,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HF_HOME": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-3000:]


# The model


def test_a_model_by_from_pretrained_moves_and_computes_as_the_stock_one(directory: Path) -> None:
    from modelscope.models import Model

    import frcrn.plugin  # noqa: F401

    model = Model.from_pretrained(str(directory), device="cpu").to("cpu").eval()
    wave = torch.from_numpy(speech(0.3, seed=6).astype(np.float32))[None]
    with torch.no_grad():
        outputs = model({"noisy": wave})
        assert_array_equal(outputs["wav_l2"], model.model(wave).wave)
        losses = model.forward({"noisy": wave, "clean": wave})
    assert {"spec_l1", "wav_l1", "mask_l1", "spec_l2", "wav_l2", "mask_l2"} <= outputs.keys()
    assert {"loss", "amp_loss", "phase_loss", "sisnr"} <= losses.keys()


# A stream at another rate


def test_a_stream_of_bytes_at_48_khz(directory: Path) -> None:
    live = pipeline(model=str(directory), stream_mode=True, sample_rate=48000)
    wave = speech(0.4, seed=7, rate=48000)
    content = (wave * 32767).round().astype("<i2").tobytes()

    def out(size: int) -> bytes:
        parts: Iterator[bytes] = (content[start : start + size] for start in range(0, len(content), size))
        return b"".join(live(part)["output_pcm"] for part in parts) + live.flush()["output_pcm"]

    whole = np.frombuffer(out(len(content)), "<i2").astype(int)
    assert len(whole) == len(wave)
    assert np.abs(np.frombuffer(out(1001), "<i2").astype(int) - whole).max() <= 1


def test_the_rate_of_chunks_is_a_streams_alone(directory: Path) -> None:
    with pytest.raises(Exception, match="with stream_mode=True; files bring their own"):
        pipeline(model=str(directory), sample_rate=48000)


# The exporter


def test_the_frameworks_exporter_writes_what_the_library_writes(directory: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    from modelscope.exporters import Exporter
    from modelscope.models import Model

    import frcrn.plugin  # noqa: F401

    model = Model.from_pretrained(str(directory), device="cpu")
    wave = speech(0.5, seed=8).astype(np.float32)[None]
    with torch.no_grad():
        expected = model.model(torch.from_numpy(wave)).wave.numpy()
    graphs = Exporter.from_model(model).export_onnx(output_dir=str(tmp_path / "onnx"))
    session = runtime.InferenceSession(graphs["model"], providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: wave})
    assert_allclose(found, expected, atol=1e-5)
    assert Path(graphs["step"]).exists()
    script = Exporter.from_model(model).export_torch_script(output_dir=str(tmp_path / "ts"))
    assert_allclose(torch.jit.load(script["model"])(torch.from_numpy(wave)).numpy(), expected, atol=1e-5)
    Exporter.from_model(model).export_onnx(output_dir=str(tmp_path / "onnx"))
    with pytest.raises(ValueError, match="opset"):
        Exporter.from_model(model).export_onnx(output_dir=str(tmp_path / "onnx"), opset=9)


def exporter(directory: Path) -> Any:
    from modelscope.exporters import Exporter
    from modelscope.models import Model

    import frcrn.plugin  # noqa: F401

    return Exporter.from_model(Model.from_pretrained(str(directory), device="cpu"))


@pytest.mark.parametrize(("name", "write"), [("model.ts", "export_torch_script"), ("model.onnx", "export_onnx")])
def test_the_frameworks_exporter_writes_over_nothing_of_others(
    name: str, write: str, directory: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("mine")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / name).symlink_to(tmp_path / name)
    for folder, why in ((tmp_path, "is there already, and not from here"), (tmp_path / "linked", "is a link")):
        with pytest.raises(ValueError, match=f"{name}: {why}"):
            getattr(exporter(directory), write)(output_dir=str(folder))
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.slow
def test_the_frameworks_exporter_writes_over_what_it_wrote(directory: Path, tmp_path: Path) -> None:
    for _ in range(2):
        exporter(directory).export_torch_script(output_dir=str(tmp_path))
    assert (tmp_path / "model.ts").is_file()


# Its server


def test_the_frameworks_server_serves_a_directory(directory: Path, tmp_path: Path) -> None:
    """Real requests, without a network."""
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ["--model_id", str(directory), "--revision", "master", "--host", "127.0.0.1", "--port", str(port)]
    log = (tmp_path / "log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "frcrn.plugin", "server", *place], stdout=log, stderr=log, cwd=ROOT
    )
    try:
        address, wave = f"http://127.0.0.1:{port}", speech(0.3, seed=9)
        assert answer(f"{address}/health", server)["Success"]
        file = io.BytesIO()
        soundfile.write(file, wave, 16000, format="WAV", subtype="FLOAT")
        audio = base64.b64encode(file.getvalue()).decode()
        for parameters in ({}, {"strength": 0.5}):
            body = json.dumps({"input": {"audio": audio}, "parameters": parameters}).encode()
            found = answer(Request(f"{address}/call", body, {"Content-Type": "application/json"}), server)
            expected = pcm(pipeline(model=str(directory))(wave, **parameters)).astype(int)
            assert_allclose(np.frombuffer(base64.b64decode(found["output_pcm"]), "<i2").astype(int), expected, atol=1)
        assert answer(f"{address}/describe", server)["schema"]["task_name"] == TASK
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def answer(request: str | Request, server: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The JSON that comes back, once the server listens."""
    for _ in range(3000):  # five minutes, on a machine with much else to do
        try:
            with urlopen(request, timeout=60) as response:
                found: dict[str, Any] = json.loads(response.read())
                return found
        except URLError:
            assert server.poll() is None, "the server ended"
            time.sleep(0.1)
    raise AssertionError("the server does not answer")
