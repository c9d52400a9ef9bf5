"""P7 for many clients of one function: each has a page of its own, and no other's data hides its silence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.alarms.cloudwatch import Alarm, CloudWatch, Metric, State
from tests.infra.alarms.job_model import Fate, Job, Run, Settings
from tests.infra.alarms.paging_margins import GRACES, HOUR, LATEST_METRIC, SCHEDULES, TEMPLATE
from tests.infra.terraform import module

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Alarms = Mapping[str, dict[str, Any]]

pytestmark = pytest.mark.terraform

PERIOD = 300

# Graces of which the module's arithmetic is compared with the template's.
COMPARED = (GRACES[0], 1, 600, GRACES[-1])

# Many clients, whose graces are not all the same.
CLIENTS = {f"client-{number:02}": (600, 0, 1200)[number % 3] for number in range(12)}
CASES: dict[str, dict[str, Any]] = {
    "many": {"clients": {name: {"grace_seconds": grace} for name, grace in CLIENTS.items()}},
    **{
        f"every_{minutes}": {
            "schedule_minutes": minutes,
            "clients": {f"grace-{grace}": {"grace_seconds": grace} for grace in COMPARED},
        }
        for minutes in SCHEDULES
    },
}


@pytest.fixture(scope="module")
def alarms() -> dict[str, Alarms]:
    """Return for each set of variables the alarms by name, as a template would have them."""
    return {
        case: {
            values["alarm_name"]: module.properties(values)
            for address, values in state.resources.items()
            if address.startswith("aws_cloudwatch_metric_alarm.")
        }
        for case, state in module.applied(CASES).items()
    }


def put(cloudwatch: CloudWatch, name: str, fates: Sequence[Fate]) -> None:
    """Put out what a client's runs tell, each on time and its metrics a minute late."""
    runs = [Run(number * PERIOD, fate) for number, fate in enumerate(fates)]
    dimensions = frozenset({("service", "stack"), ("client", name)})
    for told in Job(Settings(PERIOD, CLIENTS[name], 0.33)).live(runs):
        values = {
            "SecondsUntilExpiry": told.seconds_until_expiry,
            "RevocationsPending": told.pending,
            "RotationFailed": fates[int(told.at // PERIOD)] in {Fate.FAILS, Fate.TIMES_OUT},
            "RevocationFailed": 0,
            "RevocationAbandoned": 0,
            "CredentialsFallback": 0,
        }
        for metric, value in values.items():
            cloudwatch.put(Metric("TelenorToken", metric, dimensions), told.at, float(value), told.at + LATEST_METRIC)


def rung(alarms: Alarms, fates: Mapping[str, Sequence[Fate]]) -> dict[str, float]:
    """Return which alarms ring over six hours, and when each first does. All is well at first."""
    cloudwatch = CloudWatch()
    for name in CLIENTS:
        put(cloudwatch, name, fates.get(name, [Fate.WELL] * (6 * HOUR // PERIOD)))
    found = {}
    for name, alarm in alarms.items():
        changes = cloudwatch.changes(Alarm.of(alarm), HOUR, 6 * HOUR)
        if times := [at for at, state in changes if state is State.ALARM]:
            found[name] = times[0]
    return found


def test_every_client_has_each_alarm_once_and_named_after_it(alarms: dict[str, Alarms]) -> None:
    kinds = {"TokenExpiry", "RunsFailing", "RevocationFailed", "RevocationsPending", "RevocationAbandoned"}
    kinds |= {"CredentialsFallback"}
    of_the_function = {"stack-UndeliveredAlarm", "stack-ThrottledAlarm", "stack-WaitingAlarm"}
    assert (
        alarms["many"].keys() == {f"stack-{name}-{kind}Alarm" for name in CLIENTS for kind in kinds} | of_the_function
    )
    for name in CLIENTS:
        for kind in kinds:
            alarm = alarms["many"][f"stack-{name}-{kind}Alarm"]
            assert alarm["AlarmDescription"].startswith(f"Client {name} of job stack: ")
            (metric,) = Alarm.of(alarm).metrics
            assert metric.dimensions == {("service", "stack"), ("client", name)}


@pytest.mark.parametrize("silent", ["client-00", "client-01", "client-11"])
def test_one_silent_client_among_many_rings_its_own_page_and_no_other_alarm(
    alarms: dict[str, Alarms], silent: str
) -> None:
    last_well = 3 * HOUR // PERIOD
    fates = [Fate.WELL] * last_well + [Fate.LOST] * (6 * HOUR // PERIOD - last_well)
    assert rung(alarms["many"], {}) == {}
    found = rung(alarms["many"], {silent: fates})
    assert found.keys() == {f"stack-{silent}-TokenExpiryAlarm"}
    # Before the first of its consumers has less than the grace: of the token that was published last.
    runs = (Run(number * PERIOD) for number in range(last_well))
    published = list(Job(Settings(PERIOD, CLIENTS[silent], 0.33)).live(runs))
    broken_at = max(told.at for told in published if told.has_published) + 3600 - CLIENTS[silent]
    assert last_well * PERIOD < found[f"stack-{silent}-TokenExpiryAlarm"] < broken_at


def test_one_failing_client_among_many_rings_its_own_alarms_and_no_other(alarms: dict[str, Alarms]) -> None:
    fates = [Fate.WELL] * 36 + [Fate.FAILS] * 36
    found = rung(alarms["many"], {"client-07": fates})
    assert found.keys() == {"stack-client-07-RunsFailingAlarm", "stack-client-07-TokenExpiryAlarm"}
    assert found["stack-client-07-RunsFailingAlarm"] <= (36 + 3) * PERIOD


@pytest.mark.parametrize("minutes", SCHEDULES)
def test_the_page_is_the_templates_page_for_every_schedule_and_grace(alarms: dict[str, Alarms], minutes: int) -> None:
    """So what `make alarms` shows of the template goes for the module."""
    for grace in COMPARED:
        stack = TEMPLATE.deployed(ClientName=f"grace-{grace}", ScheduleMinutes=str(minutes), GraceSeconds=grace)
        for kind in ("TokenExpiryAlarm", "RevocationsPendingAlarm"):
            of_stack = stack.resources("AWS::CloudWatch::Alarm")[kind]
            assert judged(alarms[f"every_{minutes}"][f"stack-grace-{grace}-{kind}"]) == judged(of_stack), (grace, kind)


def judged(properties: Mapping[str, Any]) -> Alarm:
    """Return the alarm with its expression as text, so that two can be compared."""
    (expression,) = (each["Expression"] for each in properties["Metrics"] if "Expression" in each)
    return replace(Alarm.of(properties), expression=expression)
