"""Every order of two runs, random orders of three, and orders that once broke a promise."""

from __future__ import annotations

import pytest

from handler.model import Action
from tests.simulation.authorization_server import Issue
from tests.simulation.checked_world import World
from tests.simulation.model_checker import orders, orders_of_three
from tests.simulation.random_histories import RandomHistory
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.stepped_run import Run


# All pairs take minutes, in `make prove`.
@pytest.mark.parametrize(
    ("scenario", "other"), [("first_run", Action.ROTATE_AND_REVOKE_NOW), ("renewal", Action.ROTATE_NOW)]
)
def test_no_order_of_two_runs_breaks_a_promise(scenario: str, other: Action) -> None:
    explored = orders(scenario, other, with_crash=True)
    assert explored.violations == []
    assert explored.interleavings
    assert explored.crash_points


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_random_order_of_three_runs_breaks_a_promise(scenario: str) -> None:
    explored = orders_of_three(scenario, seed=0, samples=5)
    assert explored.violations == []
    assert explored.states


def test_with_verify_url_overlapping_runs_recover_if_a_new_token_revokes_the_old_one() -> None:
    world = World(verify_url="https://localhost/verify")
    world.telenor.issue = Issue.NEW_REVOKES_OLD
    first, second = Run(world), Run(world)
    while first.pending != "PutSecretValue":
        first.step()
    second.finish()
    first.finish()
    assert not world.telenor.is_live(str(world.current))
    # A token is replaced after 15 minutes at the earliest, in the next run.
    world.clock.advance(minutes=15)
    world.check_recovery()


def test_overlapping_runs_and_a_value_by_hand_leave_a_token_its_grace() -> None:
    history = RandomHistory()
    history.first_run(issue=Issue.NEW)
    history.operator_puts_a_value(content="")
    moves = [(False, None), *[(True, None)] * 6]
    history.two_runs_overlap(Action.RENEW_IF_DUE, Action.RENEW_IF_DUE, is_duplicate=False, skew=1, moves=moves)
    history.time_passes(seconds=300)
    history.operator_puts_a_value(content="")
    history.scheduled_tick_with_faults(call_faults=[], skew=1)
    history.promises_hold()
    history.teardown()
