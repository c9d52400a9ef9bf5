"""The pictures of the dashboard: every widget is drawn from what a simulated deployment puts out."""

from __future__ import annotations

import copy
import html
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.handler.test_report import COUNTS
from tests.infra.alarms.template import Template
from tests.infra.dashboard.deployed import Deployed
from tests.infra.dashboard.insights import ask
from tests.infra.dashboard.widgets import NothingToShowError, View, drawings, lines

DOCS = Path(__file__).parents[3] / "docs"
DEPLOYED = Deployed.of(Template.read().deployed())
BEGIN = datetime(2026, 11, 24, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
OUTAGE = BEGIN + 3 * HOUR
END = OUTAGE + 2 * HOUR


@pytest.fixture(scope="module")
def view() -> View:
    """Hours of a deployment; in the last two of them Telenor's token endpoint is out."""
    return DEPLOYED.seen(BEGIN, END, [(OUTAGE.timestamp(), END.timestamp())], before=HOUR)


def titled(found: list[dict[str, Any]], title: str) -> dict[str, Any]:
    (widget,) = [each for each in found if each["title"].startswith(title)]
    return widget


def points(widget: dict[str, Any], label: str) -> dict[float, float]:
    (line,) = [each for each in widget["lines"] if each["label"] == label]
    return dict(line["points"])


def states(view: View) -> dict[str, str]:
    return {alarm["name"]: alarm["state"] for alarm in titled(drawings(DEPLOYED.body, view), "Alarms")["alarms"]}


def test_every_metric_of_every_widget_is_put_out(view: View) -> None:
    found = drawings(DEPLOYED.body, view)
    assert len(found) == len(DEPLOYED.body["widgets"])
    for widget in found:
        for line in widget.get("lines", ()):
            # A counter that is zero all day is not sent.
            assert line["points"] or line["label"] in COUNTS, (widget["title"], line["label"])


def test_every_table_has_rows_in_an_outage(view: View) -> None:
    tables = [widget for widget in drawings(DEPLOYED.body, view) if widget["kind"] == "table"]
    assert len(tables) == 3
    assert all(table["rows"] for table in tables)


@pytest.mark.parametrize(
    ("title", "said", "instead", "because"),
    [
        (
            "Rotations",
            "TokenReissued",
            "TokenReIssued",
            "nothing puts out TelenorToken TokenReIssued of client default",
        ),
        ("Rotations", '"default"', '"other"', "nothing puts out TelenorToken TokenRotated of client other"),
        ("Runs", "Throttles", "Throttled", "nothing puts out AWS/Lambda Throttled of FunctionName TokenFunction"),
        (
            "Runs",
            "MessagesVisible",
            "MessagesSeen",
            "nothing puts out AWS/SQS ApproximateNumberOfMessagesSeen of Queue",
        ),
        ("Alarms", "WaitingAlarm.Arn", "SleepingAlarm.Arn", "there is no alarm SleepingAlarm.Arn"),
        ("How often", "by error_code", "by error_codes", "no such column: error_codes"),
        (
            "What went wrong",
            "TokenFunctionLogGroup",
            "OtherLogGroup",
            "SOURCE 'OtherLogGroup' is not the function's log",
        ),
        ("Runs that did", "| limit 100", "| dedup outcome", "does not know dedup"),
    ],
)
def test_a_widget_that_names_what_is_not_there_is_told_by_its_title(
    view: View, title: str, said: str, instead: str, because: str
) -> None:
    body: Any = copy.deepcopy(DEPLOYED.body)
    place = next(n for n, each in enumerate(body["widgets"]) if each["properties"].get("title", "").startswith(title))
    text = json.dumps(body["widgets"][place])
    assert said in text
    body["widgets"][place] = json.loads(text.replace(said, instead))
    with pytest.raises(NothingToShowError) as told:
        drawings(body, view)
    assert title in str(told.value)
    assert because in str(told.value)


def test_the_graphs_count_what_the_log_tells(view: View) -> None:
    rotations = titled(drawings(DEPLOYED.body, view), "Rotations")
    outcomes = [
        record["outcome"] for record in view.seen.log if "outcome" in record and record["@timestamp"] >= view.begin
    ]
    assert sum(points(rotations, "TokenRotated").values()) == outcomes.count("rotated") > 0
    assert sum(points(rotations, "RotationFailed").values()) == outcomes.count("failed") > 0


def test_the_page_rings_in_an_outage_that_outlasts_the_slack(view: View) -> None:
    ringing = {name for name, state in states(view).items() if state == "ALARM"}
    assert ringing == {"stack-default-TokenExpiryAlarm", "stack-default-RunsFailingAlarm"}
    seconds = points(titled(drawings(DEPLOYED.body, view), "Seconds until"), "SecondsUntilExpiry")
    assert min(seconds.values()) == 0


def test_nothing_rings_before_an_outage(view: View) -> None:
    assert set(states(replace(view, end=OUTAGE.timestamp())).values()) == {"OK"}


def test_a_dashboard_of_many_clients_draws_each_with_its_own_metrics() -> None:
    names = ("mobile", "broadband")
    events = [
        {"client": name, "credentials_secret_id": f"{name}/credentials", "token_secret_id": f"{name}/token"}
        for name in names
    ]
    (graph,) = [each for each in DEPLOYED.body["widgets"] if each["properties"].get("title", "").startswith("Seconds")]
    graph = copy.deepcopy(graph)
    graph["properties"]["metrics"] = [
        ["TelenorToken", "SecondsUntilExpiry", "service", "stack", "client", name, {"label": name}] for name in names
    ]
    environ = {**DEPLOYED.environ, "SERVES_CLIENTS": "true"}
    many = replace(DEPLOYED, body={"widgets": [graph]}, environ=environ, events=events)
    (drawn,) = drawings(many.body, many.seen(BEGIN, BEGIN + HOUR))
    assert {len(points(drawn, name)) for name in names} == {12}


def test_the_pictures_in_the_documents_have_every_widget_that_the_template_has() -> None:
    """`make dashboard` draws them again."""
    for name in ("healthy", "outage"):
        picture = html.unescape((DOCS / f"dashboard-{name}.svg").read_text(encoding="utf-8"))
        for widget in DEPLOYED.body["widgets"]:
            properties = {"title": "", "metrics": []} | widget["properties"]
            labels = [line.options.get("label", line.metric.name) for line in lines(properties)]
            for text in (properties["title"], *labels):
                assert text in picture, f"{text}: run make dashboard"


# --- Logs Insights

LOG = [
    {"@timestamp": 0.0, "level": "INFO", "outcome": "rotated", "attempts": 1},
    {"@timestamp": 60.0, "level": "WARNING", "error_code": "retry"},
    {"@timestamp": 3600.0, "level": "ERROR", "error_code": "retry", "outcome": "failed", "attempts": 5},
    {"@timestamp": 3660.0, "level": "ERROR", "error_code": "write-refused", "outcome": "failed", "attempts": 2},
    {"@timestamp": 3720.0, "level": "INFO", "outcome": "not-due", "attempts": 0},
]


@pytest.mark.parametrize(
    ("query", "columns", "rows"),
    [
        ("filter attempts > 1 | fields @timestamp, attempts", ["@timestamp", "attempts"], [(3600.0, 5), (3660.0, 2)]),
        (
            "filter ispresent(outcome) and outcome != 'not-due' | fields outcome | sort @timestamp desc | limit 2",
            ["outcome"],
            [("failed",), ("failed",)],
        ),
        ("filter level in ['WARNING'] | fields @timestamp", ["@timestamp"], [(60.0,)]),
        (
            "stats count(*) as times, latest(@timestamp) as last by error_code | sort last desc | limit 2",
            ["error_code", "times", "last"],
            [(None, 2, 3720.0), ("write-refused", 1, 3660.0)],
        ),
        ("stats max(attempts) as most by bin(1h)", None, [(0.0, 1), (3600.0, 5)]),
    ],
)
def test_a_query_is_answered_as_aws_describes_it(query: str, columns: list[str] | None, rows: list[Any]) -> None:
    answer = ask(query, LOG)
    assert answer.rows == rows
    assert columns is None or list(answer.columns) == columns


@pytest.mark.parametrize("query", ["parse @message '*'", "fields nowhere", "filter strlen(level) > 4"])
def test_what_a_query_asks_that_is_not_known_is_told(query: str) -> None:
    with pytest.raises(ValueError, match="this reader of queries"):
        ask(query, LOG)
