"""Credentials that change all day use up no write that a renewal or an emergency needs."""

from __future__ import annotations

import pytest

from handler.model import Action
from tests.simulation.checked_world import World
from tests.simulation.consumers import Consumers
from tests.simulation.stepped_run import CREDENTIALS


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
    world.drop_old_versions()


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
