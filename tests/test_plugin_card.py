"""The three programs of the released model's card, on local stand-ins for its model, its data and its sound file.

What is changed: one line in front, the numbers that follow the size of the data, and the host of the address.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("modelscope")
pytest.importorskip("six")
pytest.importorskip("accelerate")
pytest.importorskip("datasets")

import frcrn
from tests.made_audio import save, speech
from tests.plugin_parts import in_fresh_process, official_directory, rows

INFERENCE = """
from modelscope.pipelines import pipeline
from modelscope.utils.constant import Tasks

ans = pipeline(
    Tasks.acoustic_noise_suppression,
    model='damo/speech_frcrn_ans_cirm_16k')
result = ans(
    'ADDRESS/test/audios/speech_with_noise1.wav',
    output_path='output.wav')
"""

TRAINING = """
import os
from datasets import load_dataset
from modelscope.metainfo import Trainers
from modelscope.msdatasets import MsDataset
from modelscope.trainers import build_trainer
from modelscope.utils.audio.audio_utils import to_segment

tmp_dir = './checkpoint'
if not os.path.exists(tmp_dir):
    os.makedirs(tmp_dir)
hf_ds = load_dataset(
    'your_local_path/ICASSP_2021_DNS_Challenge',
    'train',
    split='train')
mapped_ds = hf_ds.map(
    to_segment,
    remove_columns=['duration'],
    num_proc=8,
    batched=True,
    batch_size=36)
mapped_ds = mapped_ds.train_test_split(test_size=TEST_SIZE)
mapped_ds = mapped_ds.shuffle()
dataset = MsDataset.from_hf_dataset(mapped_ds)
kwargs = dict(
    model='your_local_path/speech_frcrn_ans_cirm_16k',
    train_dataset=dataset['train'],
    eval_dataset=dataset['test'],
    work_dir=tmp_dir)
trainer = build_trainer(
    Trainers.speech_frcrn_ans_cirm_16k, default_args=kwargs)
trainer.train()
"""

EVALUATION = """
import os
import tempfile
from modelscope.metainfo import Trainers
from modelscope.msdatasets import MsDataset
from modelscope.trainers import build_trainer
from modelscope.utils.audio.audio_utils import to_segment

tmp_dir = tempfile.TemporaryDirectory().name
if not os.path.exists(tmp_dir):
    os.makedirs(tmp_dir)
hf_ds = MsDataset.load(
    'ICASSP_2021_DNS_Challenge', split='test').to_hf_dataset()
mapped_ds = hf_ds.map(
    to_segment,
    remove_columns=['duration'],
    # num_proc=5, # Comment this line to avoid error in Jupyter notebook
    batched=True,
    batch_size=36)
dataset = MsDataset.from_hf_dataset(mapped_ds)
kwargs = dict(
    model='damo/speech_frcrn_ans_cirm_16k',
    model_revision='beta',
    train_dataset=None,
    eval_dataset=dataset,
    val_iters_per_epoch=125,
    work_dir=tmp_dir)
trainer = build_trainer(
    Trainers.speech_frcrn_ans_cirm_16k, default_args=kwargs)
eval_res = trainer.evaluate()
"""

TAKE_OVER = "import frcrn.plugin; frcrn.plugin.replace_stock()\n"
README = """---
configs:
- config_name: default
  data_files: [{split: test, path: test.parquet}]
- config_name: train
  data_files: [{split: train, path: train.parquet}]
---
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the card's names mean something."""
    from datasets import Dataset

    folder = tmp_path_factory.mktemp("card")
    official_directory(folder / "damo" / "speech_frcrn_ans_cirm_16k")
    (folder / "your_local_path").mkdir()
    (folder / "your_local_path" / "speech_frcrn_ans_cirm_16k").symlink_to(folder / "damo" / "speech_frcrn_ans_cirm_16k")
    data = folder / "ICASSP_2021_DNS_Challenge"
    data.mkdir()
    (data / "README.md").write_text(README)
    for name, count in (("train", 8), ("test", 2)):
        table = [{**row, "duration": 1.2} for row in rows(count, seconds=1.2)]
        Dataset.from_list(table).to_parquet(data / f"{name}.parquet")
    (folder / "your_local_path" / data.name).symlink_to(data)
    save(folder / "test" / "audios" / "speech_with_noise1.wav", speech(1.0, seed=5))
    return folder


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(place)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_cards_inference(place: Path, address: str) -> None:
    script = TAKE_OVER + INFERENCE.replace("ADDRESS", address) + "FOUND['bytes'] = len(result['output_pcm'])\n"
    found = in_fresh_process(script, place)
    wave, rate = soundfile.read(place / "output.wav")
    assert (len(wave), rate, found["bytes"]) == (16000, 16000, 32000)
    assert np.abs(wave).max() > 0.01


def test_the_cards_training_and_evaluation(place: Path) -> None:
    report = "FOUND.update(eval_res)\nFOUND['tried'] = tried\n"
    closed = "closing = closed_network()\ntried = closing.__enter__()\n"
    script = closed + TAKE_OVER + TRAINING.replace("TEST_SIZE", "2") + EVALUATION + report
    found = in_fresh_process(script, place)
    assert found["tried"] == []
    assert isinstance(found["avg_sisnr"], float) and np.isfinite(found["avg_sisnr"])
    assert (found["examples"], found["failed"]) == (2, [])
    work = place / "checkpoint"
    kinds = [json.loads(line)["kind"] for line in (work / "log.jsonl").read_text().splitlines()]
    assert {"train", "eval"} == set(kinds)
    # as the card says: the best model's file, renamed, in the copy of the model's directory
    trained = frcrn.load(work / "output")
    (work / "output" / "model.safetensors").replace(place / "damo" / "speech_frcrn_ans_cirm_16k" / "pytorch_model.bin")
    copied = frcrn.load(place / "damo" / "speech_frcrn_ans_cirm_16k")
    assert all((one == other).all() for one, other in zip(trained.parameters(), copied.parameters(), strict=True))
