"""An outage within the tolerance affects no consumer, and one beyond it may."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from handler.decisions import outage_tolerance
from tests.simulation.checked_world import LIFETIME
from tests.simulation.outage_tolerance import POLICIES, SECOND, outages
from tests.simulation.stepped_run import POLICY

if TYPE_CHECKING:
    from handler.model import Policy

STEPS = 1


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_an_outage_just_within_the_tolerance_leaves_every_consumer_its_grace(policy: Policy) -> None:
    outage = outage_tolerance(LIFETIME, policy) - SECOND
    assert outage > timedelta(0)
    assert outages(policy, outage, STEPS).violations == []


def test_an_outage_just_beyond_the_tolerance_may_break_p1() -> None:
    # The retries of one run outlast a few seconds of an outage.
    assert outages(POLICY, outage_tolerance(LIFETIME, POLICY) + timedelta(minutes=1), STEPS).violations
