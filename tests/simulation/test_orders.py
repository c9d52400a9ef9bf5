"""Every order of two runs at once, down to the single call, and of three at random."""

from __future__ import annotations

import pytest

from handler.model import Action
from tests.simulation.explore import orders, orders_of_three
from tests.simulation.scenarios import SCENARIOS

# The rest takes minutes: make prove.
FIRST = ("first_run", "renewal", "rolled_back", "reissued_with_a_longer_life", "verification_refused")


@pytest.mark.parametrize("with_crash", [False, True])
@pytest.mark.parametrize("other", [Action.ROTATE_NOW, Action.ROTATE_AND_REVOKE_NOW])
@pytest.mark.parametrize("scenario", FIRST)
def test_no_order_of_two_runs_breaks_a_promise(scenario: str, other: Action, with_crash: bool) -> None:
    explored = orders(scenario, other, with_crash=with_crash)
    assert explored.violations == []
    assert explored.interleavings


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_order_of_three_runs_that_was_drawn_breaks_a_promise(scenario: str) -> None:
    explored = orders_of_three(scenario, seed=0, samples=10)
    assert explored.violations == []
    assert explored.states
