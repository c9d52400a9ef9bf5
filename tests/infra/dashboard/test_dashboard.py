"""Every widget of the dashboard names metrics, a log group and fields that exist."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from infra.load_template import load
from tests.infra.alarms.cloudwatch import Metric, metrics_of
from tests.infra.dashboard.simulated_day import simulate
from tests.infra.resolved_template import stack_of
from tests.test_metrics import DEFINED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

STACK = stack_of(load())
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

# The words of a query, by the CloudWatch Logs User Guide, "Supported commands".
_COMMANDS = {"fields", "filter", "sort", "stats", "limit"}
_WORDS = {"ispresent", "strcontains", "count", "sum", "max", "latest", "bin", "as", "by", "and", "in", "asc", "desc"}
_FIELDS_OF_AWS = {"@timestamp", "@logStream", "@message"}
_NAME = re.compile(r"[@A-Za-z_]\w*")
_LITERAL = re.compile(r"'[^']*'|\b\d+[mhd]?\b")

Day = list[dict[str, Any]]


@pytest.fixture(scope="module")
def day() -> Day:
    """Simulate two hours with an outage of the token endpoint that is longer than a token's lifetime."""
    return simulate(ENVIRON, BEGIN, END, [(OUTAGE, END)])


def unknown_names(
    body: Mapping[str, Any], metrics: Collection[Metric], log_group: str, fields: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield the title of each widget that names an unknown metric, log group, command or field, and that name."""
    for widget in body["widgets"]:
        properties = widget["properties"]
        if widget["type"] == "metric":
            names = [metric.name for metric in metrics_of(properties) if metric not in metrics]
        elif widget["type"] == "log":
            names = list(_unknown_in_query(properties["query"], log_group, fields))
        else:
            continue
        yield from ((properties["title"], name) for name in names)


def _unknown_in_query(query: str, log_group: str, fields: Collection[str]) -> Iterator[str]:
    source, *commands = (part.strip() for part in query.split("|"))
    if source != f"SOURCE '{log_group}'":
        yield source
    known = _WORDS | _FIELDS_OF_AWS | set(fields)
    for text in commands:
        command, _, words = text.partition(" ")
        if command not in _COMMANDS:
            yield command
            continue
        known |= set(re.findall(r"\bas (\w+)", words))
        yield from (name for name in _NAME.findall(_LITERAL.sub("", words)) if name not in known)


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
