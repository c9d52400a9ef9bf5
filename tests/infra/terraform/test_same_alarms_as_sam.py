"""The module's arithmetic of alarms gives the template's, so the results of `make alarms` hold for the module too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.infra.alarms.cloudwatch import Alarm
from tests.infra.alarms.expiry_alarm_timing import GRACES, SCHEDULES, TEMPLATE
from tests.infra.resolved_template import stack_of
from tests.infra.terraform import module_as_stack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.infra.terraform.module_as_stack import Alarms

pytestmark = pytest.mark.terraform

COMPARED_GRACES = (GRACES[0], 1, 600, GRACES[-1])
CASES: dict[str, dict[str, Any]] = {
    f"every_{minutes}": {
        "schedule_minutes": minutes,
        "clients": {f"grace-{grace}": {"grace_seconds": grace} for grace in COMPARED_GRACES},
    }
    for minutes in SCHEDULES
}


@pytest.fixture(scope="module")
def alarms() -> dict[str, Alarms]:
    return module_as_stack.alarms(CASES)


@pytest.mark.parametrize("minutes", SCHEDULES)
@pytest.mark.parametrize("kind", ["TokenExpiryAlarm", "RevocationsPendingAlarm"])
def test_an_alarm_equals_the_templates_for_every_schedule_and_grace(
    alarms: dict[str, Alarms], minutes: int, kind: str
) -> None:
    for grace in COMPARED_GRACES:
        stack = stack_of(TEMPLATE, ClientName=f"grace-{grace}", ScheduleMinutes=str(minutes), GraceSeconds=grace)
        of_stack = stack.resources("AWS::CloudWatch::Alarm")[kind]
        assert comparable(alarms[f"every_{minutes}"][f"stack-grace-{grace}-{kind}"]) == comparable(of_stack), grace


def comparable(properties: Mapping[str, Any]) -> Alarm:
    """Return the alarm with its expression as text, so that two can be compared."""
    (expression,) = (each["Expression"] for each in properties["Metrics"] if "Expression" in each)
    return replace(Alarm.of(properties), expression=expression)
