"""P7 for many clients of one function: each has its own expiry alarm, and no other client's data hides missing data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.infra.alarms.cloudwatch import Alarm, CloudWatch, Metric, State
from tests.infra.alarms.expiry_alarm_timing import HOUR, LATEST_METRIC
from tests.infra.alarms.job_model import Job, Run, RunOutcome, Settings
from tests.infra.terraform import module_as_stack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.infra.terraform.module_as_stack import Alarms

pytestmark = pytest.mark.terraform

PERIOD = 300

# Many clients with different graces.
CLIENTS = {f"client-{number:02}": (600, 0, 1200)[number % 3] for number in range(12)}


@pytest.fixture(scope="module")
def alarms() -> Alarms:
    clients = {name: {"grace_seconds": grace} for name, grace in CLIENTS.items()}
    return module_as_stack.alarms({"many": {"clients": clients}})["many"]


def put(cloudwatch: CloudWatch, name: str, outcomes: Sequence[RunOutcome]) -> None:
    """Send the metrics of a client's runs, each run on time and its metrics a minute late."""
    runs = [Run(number * PERIOD, outcome) for number, outcome in enumerate(outcomes)]
    dimensions = frozenset({("service", "stack"), ("client", name)})
    for sent in Job(Settings(PERIOD, CLIENTS[name], 0.33)).simulate(runs):
        values = {
            "SecondsUntilExpiry": sent.seconds_until_expiry,
            "RevocationsPending": sent.pending,
            "RotationFailed": outcomes[int(sent.at // PERIOD)] in {RunOutcome.FAILS, RunOutcome.TIMES_OUT},
            "RevocationFailed": 0,
            "RevocationAbandoned": 0,
            "CredentialsFallback": 0,
        }
        for metric, value in values.items():
            cloudwatch.put(Metric("TelenorToken", metric, dimensions), sent.at, float(value), sent.at + LATEST_METRIC)


def first_alarms(alarms: Alarms, outcomes: Mapping[str, Sequence[RunOutcome]]) -> dict[str, float]:
    """Return the alarms that fire within six hours, and when each first does. Clients without outcomes succeed."""
    cloudwatch = CloudWatch()
    for name in CLIENTS:
        put(cloudwatch, name, outcomes.get(name, [RunOutcome.SUCCEEDS] * (6 * HOUR // PERIOD)))
    found = {}
    for name, alarm in alarms.items():
        changes = cloudwatch.changes(Alarm.of(alarm), HOUR, 6 * HOUR)
        if times := [at for at, state in changes if state is State.ALARM]:
            found[name] = times[0]
    return found


@pytest.mark.parametrize("silent", ["client-00", "client-01", "client-11"])
def test_one_silent_client_fires_only_its_own_expiry_alarm(alarms: Alarms, silent: str) -> None:
    last_well = 3 * HOUR // PERIOD
    outcomes = [RunOutcome.SUCCEEDS] * last_well + [RunOutcome.LOST] * (6 * HOUR // PERIOD - last_well)
    assert first_alarms(alarms, {}) == {}
    found = first_alarms(alarms, {silent: outcomes})
    assert found.keys() == {f"stack-{silent}-TokenExpiryAlarm"}
    # Before the first consumer of the last published token has less than the grace.
    runs = (Run(number * PERIOD) for number in range(last_well))
    published = list(Job(Settings(PERIOD, CLIENTS[silent], 0.33)).simulate(runs))
    broken_at = max(sent.at for sent in published if sent.has_published) + 3600 - CLIENTS[silent]
    assert last_well * PERIOD < found[f"stack-{silent}-TokenExpiryAlarm"] < broken_at


def test_one_failing_client_fires_only_its_own_alarms(alarms: Alarms) -> None:
    outcomes = [RunOutcome.SUCCEEDS] * 36 + [RunOutcome.FAILS] * 36
    found = first_alarms(alarms, {"client-07": outcomes})
    assert found.keys() == {"stack-client-07-RunsFailingAlarm", "stack-client-07-TokenExpiryAlarm"}
    assert found["stack-client-07-RunsFailingAlarm"] <= (36 + 5) * PERIOD
