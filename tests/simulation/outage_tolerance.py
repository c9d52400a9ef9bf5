"""Outages of the token endpoint, beginning at any time around a renewal: the outage tolerance of P1."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING

from handler import decisions
from tests.simulated_clock import BEGIN
from tests.simulation.checked_world import LIFETIME, World
from tests.simulation.consumers import Consumers
from tests.simulation.model_checker import Explored
from tests.simulation.stepped_run import POLICY, Run

if TYPE_CHECKING:
    from handler.model import Policy

POLICIES = {
    "default": POLICY,
    "a-minute-more-grace": POLICY._replace(grace=timedelta(seconds=660)),
    "late": POLICY._replace(renew_at_fraction=0.7, grace=timedelta(seconds=120)),
    "often": POLICY._replace(schedule=timedelta(minutes=1)),
    "as-much-grace-as-fits": POLICY._replace(grace=timedelta(minutes=20), schedule=timedelta(minutes=2)),
}
SECOND = timedelta(seconds=1)


def _least_left(
    policy: Policy, phase: float, start: float, late: timedelta, outage: timedelta, explored: Explored
) -> timedelta:
    """Return the shortest time that a consumer's token was accepted after it was read.

    The token is published `phase` seconds after a scheduled run, and the outage of the token endpoint begins `start`
    seconds after that scheduled run. The runs right before the outage and right after it are late.
    """
    world = World(policy=policy)
    consumers = Consumers(world)
    begin, end = BEGIN + timedelta(seconds=start), BEGIN + timedelta(seconds=start) + outage
    world.clock.advance(seconds=phase)
    world.run()
    for tick in range(1, 30):
        at = BEGIN + tick * policy.schedule
        if at <= begin <= at + late or at - policy.schedule < end <= at:
            at += late
        world.clock.time = max(world.clock.time, at)
        run = Run(world)
        while run.pending:
            is_out = run.pending == "token" and begin <= world.clock.now() < end
            run.step("503" if is_out else None)
            explored.faults += is_out
        consumers.read()
        consumers.use()
        if at > end + policy.grace + 2 * policy.schedule:
            break
    explored.simulated_hours += (world.clock.now() - BEGIN).total_seconds() / 3600
    return consumers.least_left


def outages(policy: Policy, outage: timedelta, steps: int) -> Explored:
    """Let the token endpoint fail for a while, beginning at any time around the renewal.

    The token is published at any time between two scheduled runs. `steps` is how many parts of a period are tried.
    """
    explored = Explored()
    schedule = policy.schedule.total_seconds()
    renewal = (decisions.renewal_times(BEGIN, BEGIN + LIFETIME, policy).due_at - BEGIN).total_seconds()
    first, step = renewal // schedule * schedule, schedule / steps
    latest = decisions.schedule_jitter(policy)
    # In one phase a run comes just too early to renew, and the next one as late as possible.
    phases = [0, 0.5, 1, latest.total_seconds(), *(number * step + 1 for number in range(1, steps))]
    starts = [first + number * step for number in range(-steps, steps + 1)] + [first + latest.total_seconds()]
    for phase, start, late in itertools.product(phases, starts, (timedelta(0), latest)):
        left = _least_left(policy, phase, start, late, outage, explored)
        explored.histories += 1
        if left < policy.grace:
            explored.violations.append(
                f"P1: published {phase} s after a run, an outage of {outage} from {start} s on: accepted for {left}"
            )
    return explored
