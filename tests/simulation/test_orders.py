"""Every order of two runs at once, down to the single call, and of three at random."""

from __future__ import annotations

import pytest

from handler.model import Action
from tests.simulation.model_checker import orders, orders_of_three
from tests.simulation.scenarios import SCENARIOS

# The rest takes minutes: make prove.
PAIRS = [
    ("first_run", Action.ROTATE_NOW),
    ("renewal", Action.ROTATE_AND_REVOKE_NOW),
    ("rolled_back", Action.ROTATE_NOW),
]


@pytest.mark.parametrize(("scenario", "other"), PAIRS)
def test_no_order_of_two_runs_breaks_a_promise(scenario: str, other: Action) -> None:
    explored = orders(scenario, other, with_crash=True)
    assert explored.violations == []
    assert explored.interleavings
    assert explored.crash_points


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_order_of_three_runs_that_was_drawn_breaks_a_promise(scenario: str) -> None:
    explored = orders_of_three(scenario, seed=0, samples=10)
    assert explored.violations == []
    assert explored.states
