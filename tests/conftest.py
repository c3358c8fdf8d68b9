"""What all tests share: repeatable random numbers, and property tests that never depend on the machine's speed."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from hypothesis import HealthCheck, settings

# bf16 is computed where matrix units are announced and not there, and alike where they are
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

# what is computed in two processes, one of them this one, is the same only on as many threads
torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "1")))

# nohup has all processes ignore a hang-up, and a shell's & an interrupt, which is kept, and which some tests send
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

settings.register_profile(
    "frcrn",
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("frcrn")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start every test from the same random numbers."""
    torch.manual_seed(0)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A file whose tests are all slow has nothing to run among the quick ones, which is no failure of `make test`."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    left_out = bool(reporter and reporter.stats.get("deselected"))
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and left_out and not session.config.option.keyword:
        session.exitstatus = pytest.ExitCode.OK
