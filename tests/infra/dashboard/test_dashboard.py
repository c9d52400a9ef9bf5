"""Every widget of the dashboard names metrics, a log group and fields that exist."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.infra.alarms.cloudwatch import Metric
from tests.infra.cloudformation_stack import Template
from tests.infra.dashboard.simulated_day import simulate
from tests.infra.dashboard.widgets import unknown_names
from tests.test_metrics import DEFINED

STACK = Template.read().deployed()
(FUNCTION,) = STACK.resources("AWS::Serverless::Function").items()
(DASHBOARD,) = STACK.resources("AWS::CloudWatch::Dashboard").values()
BODY = json.loads(DASHBOARD["DashboardBody"])
ENVIRON = {name: str(value) for name, value in FUNCTION[1]["Environment"]["Variables"].items()}
LOG_GROUP = FUNCTION[1]["LoggingConfig"]["LogGroup"]

BEGIN = datetime(2026, 11, 24, 9, tzinfo=UTC)
OUTAGE = BEGIN + timedelta(hours=2)
END = OUTAGE + timedelta(hours=1, minutes=30)

AWS_METRICS = {
    *(
        Metric("AWS/Lambda", name, frozenset({("FunctionName", FUNCTION[0])}))
        for name in ("Invocations", "Errors", "Throttles", "AsyncEventAge")
    ),
    Metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", frozenset({("QueueName", "UndeliveredQueue.QueueName")})),
}

Day = list[dict[str, Any]]


@pytest.fixture(scope="module")
def day() -> Day:
    """Simulate two hours with an outage of the token endpoint that is longer than a token's lifetime."""
    return simulate(ENVIRON, BEGIN, END, [(OUTAGE, END)])


def problems(body: dict[str, Any], day: Day) -> list[tuple[str, str]]:
    """Return the unknown names; check that each metric of the job has the dimensions that the job emits."""
    emitted = next(line for line in day if "_aws" in line)
    (directive,) = emitted["_aws"]["CloudWatchMetrics"]
    (names,) = directive["Dimensions"]
    dimensions = frozenset((name, emitted[name]) for name in names)
    metrics = {Metric(directive["Namespace"], name, dimensions) for name in DEFINED} | AWS_METRICS
    fields = {name for line in day if "_aws" not in line for name in line}
    return [(title, name) for title, name in unknown_names(body, metrics, LOG_GROUP, fields)]


def test_every_widget_names_existing_metrics_logs_and_fields(day: Day) -> None:
    assert problems(BODY, day) == []


def test_the_token_stays_fresh_until_an_outage_outlasts_it(day: Day) -> None:
    """The runbook's charts show the same."""
    left = {line["at"]: line["SecondsUntilExpiry"][0] for line in day if "_aws" in line}
    assert min(seconds for at, seconds in left.items() if at < OUTAGE.timestamp()) >= 44 * 60
    assert left[max(left)] == 0
    assert {line["outcome"] for line in day if "outcome" in line} == {"rotated", "not-due", "failed"}
