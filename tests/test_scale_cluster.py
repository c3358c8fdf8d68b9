"""A corpus on two nodes of which a worker and then a node is killed: nothing lost, doubled or different."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from frcrn import audio
from frcrn.inference.folder import enhance_folder
from frcrn.scale.cluster import OWN
from frcrn.scale.corpus import enhance_corpus

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
FILES = int(os.environ.get("FRCRN_CORPUS_FILES", "1000"))


SLOW = {
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_raylet_start_wait_time_s": "300",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "30000",
    "RAY_AUTH_MODE": "disabled",
}
"""Patience, for cores that do other things as well."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Any, Any]]:
    """Give a cluster of two nodes with a core each, and the one of them that may be killed."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'frcrn[ray]'")
    with pytest.MonkeyPatch.context() as change:
        for name, value in {**OWN, **SLOW}.items():
            change.setenv(name, value)
        import ray
        from ray._private import node
        from ray.cluster_utils import Cluster

        # a node has 30 s of this clock to start, which is too little where all cores are busy
        change.setattr(node, "time", SimpleNamespace(sleep=time.sleep, monotonic=lambda: time.monotonic() / 8))
        head = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
        cluster = Cluster(initialize_head=True, head_node_args={**head, **node_options()})
        second = cluster.add_node(include_log_monitor=False, **node_options())
        try:
            ray.init(address=cluster.address, log_to_driver=False)
            yield cluster, second
        finally:
            ray.shutdown()
            cluster.shutdown()


def node_options() -> dict[str, int]:
    """Return what a node is started with; it waits 15 s and no longer for ports that are not given."""
    names = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port", "dashboard_agent_listen_port")
    with ExitStack() as stack:
        free = [stack.enter_context(socket.socket()) for _ in names]
        for each in free:
            each.bind(("", 0))
        ports = {name: each.getsockname()[1] for name, each in zip(names, free, strict=True)}
    return {"num_cpus": 1, "object_store_memory": 90 << 20, **ports}


def recordings(folder: Path) -> Path:
    """Write a thousand short recordings, of many lengths."""
    random = np.random.default_rng(0)
    for number in range(FILES):
        path = folder / f"{number % 10}" / f"{number:04}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = 0.1 * random.standard_normal((1, int(random.integers(2000, 12000)))).astype(np.float32)
        audio.write(path, wave, 16000)
    return folder


def actors() -> list[int]:
    """Return the processes of the actors that enhance."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = place.read_text()
        except OSError:
            continue
        if text.startswith("ray::MapWorker"):
            found.append(int(place.parent.name))
    return found


def test_a_worker_and_a_node_are_killed(tmp_path: Path, nodes: tuple[Any, Any]) -> None:
    cluster, second = nodes
    source, out = recordings(tmp_path / "in"), tmp_path / "out"
    (source / "bad.wav").write_bytes(b"nothing")
    rows: list[Any] = []
    events: list[str] = []

    def disturb() -> None:
        for share, act in ((0.15, kill_worker), (0.4, kill_node)):
            while len(rows) < share * FILES:
                time.sleep(0.05)
            events.append(act())

    def kill_worker() -> str:
        os.kill(actors()[0], signal.SIGKILL)
        return f"worker after {len(rows)}"

    def kill_node() -> str:
        cluster.remove_node(second, allow_graceful=False)
        return f"node after {len(rows)}"

    thread = threading.Thread(target=disturb, daemon=True)
    thread.start()
    counts = enhance_corpus(str(source), str(out), progress=rows.append)
    thread.join(60)
    print(counts, events)
    assert [event.split()[0] for event in events] == ["worker", "node"]
    assert counts["failed"] == 1
    assert Counter(row.name for row in rows).most_common(1)[0][1] == 1
    alone = tmp_path / "alone"
    enhance_folder(source, alone, jobs=1)
    names = {str(path.relative_to(alone)) for path in alone.rglob("*.wav")}
    assert (
        {row.name for row in rows if row.error is None}
        == names
        == {str(path.relative_to(out)) for path in out.rglob("*.wav")}
    )
    assert len(names) == FILES
    assert all((alone / name).read_bytes() == (out / name).read_bytes() for name in names)
    assert not [path for path in out.rglob("*") if path.name.endswith(".part")]
    again = enhance_corpus(str(source), str(out))
    assert (again["done before"], again["failed"]) == (FILES, 1)


def test_a_dataset_keeps_its_rows(nodes: tuple[Any, Any], tmp_path: Path) -> None:
    import ray

    import frcrn

    path = next(iter(sorted(recordings(tmp_path / "in").rglob("*.wav"))))
    content = path.read_bytes()
    rows = ray.data.from_items(
        [{"id": 0, "audio": content}, {"id": 1, "audio": b"broken"}, {"id": 2, "audio": content}]
    )
    clean = sorted(frcrn.enhance_dataset(rows, actors=1).take_all(), key=lambda row: row["id"])
    enhance_folder(path, tmp_path / "one", jobs=1)
    alone = (tmp_path / "one" / path.name).read_bytes()
    assert [row["audio"] for row in clean] == [alone, None, alone]
    assert "accepted are" in clean[1]["error"]
