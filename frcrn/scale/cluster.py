"""Ray as it is used here: connecting, and a stream of results that survives workers and nodes that die."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from frcrn.audio import MissingPackage
from frcrn.inference.one_file import Settings
from frcrn.machine import available_cores
from frcrn.scale.work import Order, Row, Worker

STORE_BYTES = 200 << 20
"""Ray's own memory on a single machine; only orders and results pass through it, no sound."""
OWN = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_worker_register_timeout_seconds": "120",
}
"""How Ray is started here: silent, its workers as urgent as those of --jobs, with time to start on a busy machine."""
RETRIES = 2
"""How often a unit is given to another actor after one died of it."""


@contextmanager
def connected(address: str | None, cores: int | None) -> Iterator[Any]:
    """Give Ray: as it is where the caller has started it, else joined at an address, else started here for a while."""
    ray = imported()
    if ray.is_initialized():
        yield ray
        return
    for name, value in OWN.items():
        os.environ.setdefault(name, value)
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    own = {"num_cpus": cores or available_cores(), "object_store_memory": STORE_BYTES, "include_dashboard": False}
    try:
        with own_sigterm():
            started(ray, {"address": address, **quiet} if address else {**own, **quiet})
    except Exception as error:  # noqa: BLE001 - Ray has no class of its own for a start that fails
        raise ValueError(f"Ray {address or 'on this machine'}: {error}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def own_sigterm() -> Iterator[None]:
    """Keep what SIGTERM does; as Ray sets it, the process is aborted three seconds later, whatever it is finishing."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def started(ray: Any, options: dict[str, Any], attempts: int = 3) -> None:
    """Start or join Ray; on a busy machine its own processes can be too slow for its time limit, so try again."""
    for attempt in range(attempts):
        try:
            ray.init(**options)
            return
        except Exception:  # noqa: BLE001 - see `connected`
            ray.shutdown()
            if attempt == attempts - 1 or "address" in options:
                raise


def imported() -> Any:
    """Return Ray with its data."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingPackage('a corpus on Ray needs Ray Data: pip install "frcrn[ray]"') from None
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def results(
    ray: Any, units: Sequence[Sequence[Order]], settings: Settings, mark: str, destination: str, actors: int | None
) -> Iterator[Row]:
    """Yield the rows of all units as they come; units that no actor survived, or whose rows were lost, are missing."""
    import pyarrow

    if not units:
        return
    ray.data.DataContext.get_current().max_errored_blocks = -1
    blocks = [pyarrow.table({"unit": [pickle.dumps(list(unit))]}) for unit in units]
    with unwarned():
        done = ray.data.from_arrow(blocks).map_batches(
            Actor,
            fn_constructor_args=(settings, mark, destination),
            batch_size=None,
            batch_format="pyarrow",
            **pool(ray, settings, actors),
        )
    for batch in done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for packed in batch["rows"].to_pylist():
            yield from pickle.loads(packed)


@contextmanager
def unwarned() -> Iterator[None]:
    """Hide that the limit of retries will be given otherwise in a later Ray; this one knows no other way."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
        yield


class Actor:
    """A worker as Ray Data calls it: a table of packed units in, a table of packed rows out."""

    def __init__(self, settings: Settings, mark: str, destination: str) -> None:
        self.worker = Worker(settings, mark, destination)

    def __call__(self, table: Any) -> Any:
        """Do the units of a table."""
        import pyarrow

        units = [pickle.loads(packed) for packed in table["unit"].to_pylist()]
        rows = [[row for order in unit for row in self.worker.rows(order)] for unit in units]
        return pyarrow.table({"rows": [pickle.dumps(each) for each in rows]})


def pool(ray: Any, settings: Settings, actors: int | None) -> dict[str, Any]:
    """Return how many actors there may be, and what each needs: a core, and a GPU where torch can use one."""
    there = ray.cluster_resources()
    gpu = settings.runtime == "torch" and settings.device != "cpu" and there.get("GPU", 0) > 0
    most = actors or max(1, int(there.get("GPU" if gpu else "CPU", 1)))
    return {
        # the second unit of an actor is on its way while it does the first
        "compute": ray.data.ActorPoolStrategy(min_size=1, max_size=most, max_tasks_in_flight_per_actor=2),
        "num_cpus": 1,
        **({"num_gpus": 1} if gpu else {}),
        "max_task_retries": RETRIES,
    }
