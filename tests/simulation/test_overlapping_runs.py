"""Runs that overlap, in orders that once broke a promise."""

from __future__ import annotations

from handler.model import Action
from tests.simulation.authorization_server import Issue
from tests.simulation.checked_world import Run, World
from tests.simulation.random_histories import RandomHistory


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
