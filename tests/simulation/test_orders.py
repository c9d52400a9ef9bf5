"""Every order of two runs at once, down to the single call."""

from __future__ import annotations

import pytest

from tests.simulation.explore import IS_FULL, orders
from tests.simulation.scenarios import SCENARIOS

# The rest takes minutes: SIMULATION=full.
FIRST = SCENARIOS if IS_FULL else ["first_run", "renewal", "rolled_back", "reissued_with_a_longer_life"]
SECOND = ["renewal", "forced", "leaked"] if IS_FULL else ["forced"]


@pytest.mark.parametrize("with_crash", [False, True])
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_no_order_of_two_runs_breaks_a_promise(first: str, second: str, with_crash: bool) -> None:
    explored = orders(first, second, with_crash=with_crash)
    assert explored.violations == []
    assert explored.histories


@pytest.mark.parametrize("first", ["renewal", "verification_refused"])
def test_no_order_of_a_run_and_an_emergency_breaks_a_promise(first: str) -> None:
    assert orders(first, "leaked", with_crash=False).violations == []
