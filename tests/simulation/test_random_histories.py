"""Random faults affect no consumer, and the job recovers by itself."""

from __future__ import annotations

import pytest

from tests.simulation.random_histories import RandomHistory, fault_bursts, long_histories

RandomHistory.TestCase.settings = long_histories(max_examples=30, steps=30)
TestRandomHistory = RandomHistory.TestCase


@pytest.mark.parametrize("seed", range(3))
def test_fault_bursts_within_the_tolerance_affect_no_consumer(seed: int) -> None:
    explored = fault_bursts(seed, days=1)
    assert explored.violations == []
    assert explored.faults
