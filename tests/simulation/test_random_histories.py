"""Random faults affect no consumer, and the job recovers by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from handler.decisions import outage_tolerance
from handler.model import Action
from tests.simulation.random_histories import (
    LIFETIME,
    Consumers,
    RandomHistory,
    drop_old_versions,
    fault_bursts,
    long_histories,
    outages,
)
from tests.simulation.telenor import Issue
from tests.simulation.world import CREDENTIALS, POLICY, Run, World

if TYPE_CHECKING:
    from handler.model import Policy

RandomHistory.TestCase.settings = long_histories(max_examples=30, steps=30)
TestRandomHistory = RandomHistory.TestCase


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


@pytest.mark.parametrize("seed", range(3))
def test_fault_bursts_within_the_tolerance_affect_no_consumer(seed: int) -> None:
    explored = fault_bursts(seed, days=1)
    assert explored.violations == []
    assert explored.faults


POLICIES = {
    "default": POLICY,
    "a-minute-more-grace": POLICY._replace(grace=timedelta(seconds=660)),
    "late": POLICY._replace(renew_at_fraction=0.7, grace=timedelta(seconds=120)),
    "often": POLICY._replace(schedule=timedelta(minutes=1)),
    "as-much-grace-as-fits": POLICY._replace(grace=timedelta(minutes=20), schedule=timedelta(minutes=2)),
}
STEPS = 1
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_an_outage_just_within_the_tolerance_leaves_every_consumer_its_grace(policy: Policy) -> None:
    outage = outage_tolerance(LIFETIME, policy) - SECOND
    assert outage > timedelta(0)
    assert outages(policy, outage, STEPS).violations == []


def test_an_outage_just_beyond_the_tolerance_may_break_p1() -> None:
    # The retries of one run outlast a few seconds of an outage.
    assert outages(POLICY, outage_tolerance(LIFETIME, POLICY) + timedelta(minutes=1), STEPS).violations


# The day's writes


def world_with_two_pairs(other: str) -> World:
    world = World()
    world.put(CREDENTIALS, other)
    return world


def change_credentials_all_day(world: World, minutes_apart: int = 1) -> None:
    """Move AWSCURRENT back and forth between two pairs, like a tool in a loop. An emergency ends the day."""
    consumers = Consumers(world)
    for minute in range(0, 24 * 60, minutes_apart):
        world.roll_back(CREDENTIALS)
        world.run(Action.CREDENTIALS_CHANGED)
        if minute % 5 == 0:
            assert world.run().outcome is not None
        world.clock.advance(minutes=minutes_apart)
        consumers.check()
    before = world.secret.current
    assert world.run(Action.ROTATE_AND_REVOKE_NOW).has_published
    assert world.secret.current != before
    drop_old_versions(world)


def ages(world: World) -> tuple[object, ...]:
    """Return everything that later runs depend on, as ages instead of times."""
    now, credentials = world.clock.now(), world.secretsmanager.secrets[CREDENTIALS]
    entries = [(now - (entry.published_at or now), now - (entry.expires_at or now)) for entry in world.ledger().entries]
    written = sorted(now - at for at in world.secret.written_at.values())
    active = sorted(now - world.telenor.tokens[token].expires_at for token in world.telenor.live())
    return entries, written, active, credentials.content[str(credentials.current)]


PAIRS = {
    "the same": '{"client_id": "client", "client_secret": "CANARY-secret"}',
    "another": '{"client_id": "another", "client_secret": "CANARY-secret"}',
    "a mistyped one": '{"client_id": "client", "client_secret": "CANARY-mistyped"}',
}


def test_credentials_that_change_all_day_block_no_consumer_and_no_emergency() -> None:
    # Twice as often as the write quota allows.
    change_credentials_all_day(world_with_two_pairs(PAIRS["another"]), minutes_apart=5)


@pytest.mark.long
@pytest.mark.parametrize("other", PAIRS.values(), ids=PAIRS)
def test_a_year_of_credentials_changes_every_minute_blocks_none_either(other: str) -> None:
    world = world_with_two_pairs(other)
    change_credentials_all_day(world)
    after_one_day = ages(world)
    change_credentials_all_day(world)
    # Each further day repeats this one.
    assert ages(world) == after_one_day


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
