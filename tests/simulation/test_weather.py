"""Bad weather hurts no consumer, and the job recovers by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from handler.decisions import slack
from tests.simulation.telenor import Issue
from tests.simulation.weather import LIFE, Weather, long_histories, outages, storms
from tests.simulation.world import POLICY, Run, World

if TYPE_CHECKING:
    from handler.model import Policy

Weather.TestCase.settings = long_histories(max_examples=30, steps=30)
TestWeather = Weather.TestCase


def test_overlapping_runs_recover_by_verify_url_where_a_new_token_kills_the_old_one() -> None:
    world = World(verify_url="https://telenor.example/verify")
    world.telenor.issue = Issue.NEW_KILLS_OLD
    first, second = Run(world), Run(world)
    while first.pending != "PutSecretValue":
        first.step()
    second.finish()
    first.finish()
    assert not world.telenor.is_live(str(world.current))
    # No token is replaced within a quarter of an hour, and a run comes a period after that.
    world.clock.advance(minutes=15)
    world.check_recovery()


@pytest.mark.parametrize("seed", range(3))
def test_storms_within_the_slack_hurt_no_consumer(seed: int) -> None:
    explored = storms(seed, days=2)
    assert explored.violations == []
    assert explored.faults


POLICIES = {
    "default": POLICY,
    "a-minute-more-grace": replace(POLICY, grace=timedelta(seconds=660)),
    "late": replace(POLICY, renew_at_fraction=0.7, grace=timedelta(seconds=120)),
    "often": replace(POLICY, schedule=timedelta(minutes=1)),
    "as-much-grace-as-fits": replace(POLICY, grace=timedelta(minutes=20), schedule=timedelta(minutes=2)),
}
STEPS = 3
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_an_outage_just_within_the_slack_leaves_every_consumer_its_grace(policy: Policy) -> None:
    outage = slack(LIFE, policy) - SECOND
    assert outage > timedelta(0)
    assert outages(policy, outage, STEPS).violations == []


def test_an_outage_just_beyond_the_slack_may_hurt() -> None:
    # The attempts of one run outlast some seconds of it.
    assert outages(POLICY, slack(LIFE, POLICY) + timedelta(minutes=1), STEPS).violations
