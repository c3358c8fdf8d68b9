"""What all tests share: repeatable random numbers, and property tests that never depend on the machine's speed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, settings

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
