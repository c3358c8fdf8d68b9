"""Many threads and processes on one model, long streams and many small calls: the same answers, flat memory."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import frcrn
from frcrn import enhance_file
from frcrn.export.native import library
from frcrn.export.runtime import with_runtime
from frcrn.inference.network import Network
from tests.made_audio import save
from tests.marks import slow
from tests.networks import tiny

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is counted by /proc")
HOURS = float(os.environ.get("FRCRN_HOURS", "1"))
"""Of sound through one stream."""
WAVES = [(0.1 * np.random.default_rng(n).standard_normal(3000 + 97 * n)).astype(np.float32) for n in range(16)]


def used() -> tuple[int, int]:
    """Bytes of memory and open files of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))


def flat(before: tuple[int, int], megabytes: float = 4) -> None:
    memory, files = used()
    assert files <= before[1]
    assert memory - before[0] < megabytes * 2**20, f"{(memory - before[0]) / 2**20:.1f} MiB more"


@pytest.fixture(scope="module", params=["torch", "native"])
def model(request: pytest.FixtureRequest) -> Network:
    if request.param == "native" and library.compiler() is None:
        pytest.skip("there is no C compiler")
    return with_runtime(tiny(causal=True), request.param, threads=1)


def streamed(model: Network, wave: np.ndarray) -> np.ndarray:
    stream = model.stream()
    return np.concatenate([*(stream.push(part) for part in np.array_split(wave, 9)), stream.flush()])


@pytest.mark.parametrize(
    "act",
    [lambda model, wave: model.enhance(wave), slow(streamed)],
    ids=["waves", "streams"],
)
def test_sixteen_threads_on_one_model_get_what_one_gets(model: Network, act: Callable[..., np.ndarray]) -> None:
    alone = [act(model, wave) for wave in WAVES]
    found: list[list[np.ndarray]] = [[] for _ in WAVES]

    def work(number: int) -> None:
        for _ in range(3):
            found[number].append(act(model, WAVES[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each, expected in zip(found, alone, strict=True):
        assert len(each) == 3
        for clean in each:
            np.testing.assert_array_equal(clean, expected)


def answer(number: int, results: Any) -> None:
    """Enhance with the bundled network, in a process that loads it itself."""
    results.put((number, frcrn.load(runtime="auto").enhance(WAVES[number], 16_000)))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_eight_processes_get_what_one_gets(way: str) -> None:
    context = multiprocessing.get_context(way)
    results = context.Queue()
    model = frcrn.load(runtime="auto")
    model.enhance(WAVES[0], 16_000)  # what is forked has been in use
    processes = [context.Process(target=answer, args=(number, results)) for number in range(8)]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=600) for _ in processes)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for number, clean in found.items():
        np.testing.assert_allclose(clean, model.enhance(WAVES[number], 16_000), atol=1e-5)


@pytest.mark.slow
def test_ten_thousand_small_calls_take_no_more_than_a_thousand(model: Network, tmp_path: Path) -> None:
    path = save(tmp_path / "in.wav", WAVES[0][:200])

    def some(count: int) -> None:
        for number in range(count):
            model.enhance(WAVES[0][: 50 + number % 300], 16_000)
            model.stream(48_000).push(WAVES[0][:100])
            if number % 10 == 0:
                enhance_file(path, tmp_path / "out.wav", model=model)

    some(1000)
    before = used()
    some(9000)
    flat(before)


def test_a_stream_holds_nothing_of_what_went_through_it(model: Network) -> None:
    """Counted by Python, to the object: 2 kB a second of sound were 190 MB a day."""
    stream, second, held = model.stream(), np.resize(WAVES[0], 16_000), []
    tracemalloc.start()
    try:
        for _ in range(3):
            for _ in range(30):
                stream.push(second)
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
        assert held[2] - held[1] < 20_000
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_hours_through_one_stream_take_no_more_than_minutes(model: Network) -> None:
    second = np.tile(WAVES[0], 15)[:44_100]
    stream = model.stream(44_100)
    for _ in range(200):
        stream.push(second)
    before = used()
    total = returned = 0
    for _ in range(int(HOURS * 3600)):
        clean = stream.push(second)
        total, returned = total + len(second), returned + len(clean)
        assert np.isfinite(clean).all()
    print(f"{total / 44_100 / 3600:.2f} hours")
    assert total - returned <= stream.latency
    flat(before)


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "in.wav", np.tile(WAVES[0], 300))
    network, threads = tiny(causal=True), threading.active_count()
    pushed: list[float] = []

    def interrupt(share: float) -> None:
        pushed.append(share)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # programs in the background ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            enhance_file(path, tmp_path / "out.wav", model=network, progress=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path) == ["in.wav"] and len(pushed) == 1 and threading.active_count() == threads
