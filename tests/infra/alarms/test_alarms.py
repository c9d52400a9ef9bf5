"""The template's alarms, their recipients, and the dashboard."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handler.decisions import is_piling_up
from handler.model import Policy
from tests.infra.alarms.cloudwatch import Alarm, CloudWatch, Metric, State, metrics_of
from tests.infra.alarms.expiry_alarm_timing import DAY, GRACES, HOUR, LATEST_METRIC, SCHEDULES, TEMPLATE
from tests.infra.alarms.job_model import Job, Run, RunOutcome, Settings
from tests.infra.resolved_template import PSEUDO, stack_of
from tests.test_metrics import DEFINED, SHOWN_FROM_THE_LOG

if TYPE_CHECKING:
    from collections.abc import Mapping


OWN = frozenset({("service", "stack"), ("client", "broadband")})
DIMENSIONS = {
    "TelenorToken": OWN,
    "AWS/Lambda": frozenset({("FunctionName", "TokenFunction")}),
    "AWS/SQS": frozenset({("QueueName", "UndeliveredQueue.QueueName")}),
}
PARAMETERS = [(minutes, grace) for minutes in SCHEDULES for grace in GRACES]


def properties(**parameters: object) -> dict[str, dict[str, Any]]:
    return stack_of(TEMPLATE, ClientName="broadband", **parameters).resources("AWS::CloudWatch::Alarm")


def alarm(name: str, minutes: int = 5, grace: int = 600) -> Alarm:
    return Alarm.of(properties(ScheduleMinutes=str(minutes), GraceSeconds=grace)[name])


def changes(
    watching: Alarm, values: Mapping[int, float] | Mapping[float, float], until: float
) -> list[tuple[float, State]]:
    """Return the state changes of an alarm whose metric has these values at these seconds, each a minute late."""
    cloudwatch = CloudWatch()
    (metric,) = watching.metrics
    for at, value in sorted(values.items()):
        cloudwatch.put(metric, at, value, at + LATEST_METRIC)
    return list(cloudwatch.changes(watching, 0, until))


def states(found: list[tuple[float, State]]) -> list[State]:
    return [state for _, state in found]


# --- The metric and description of each alarm


@pytest.mark.parametrize("name", properties())
def test_each_alarm_names_its_client_and_runbook_section_and_watches_an_emitted_metric(name: str) -> None:
    deployed, elsewhere = properties()[name], properties(RunbookUrl="https://wiki.example.com/token")[name]
    assert deployed["AlarmName"] == f"stack-broadband-{name}"
    assert deployed["AlarmDescription"].startswith("Client broadband of stack stack: ")
    assert deployed["AlarmDescription"].endswith(f'See docs/runbook.md, "{name}".')
    assert elsewhere["AlarmDescription"].endswith(f'See https://wiki.example.com/token, "{name}".')
    (metric,) = alarm(name).metrics
    if metric.namespace == "TelenorToken":
        assert metric.name in DEFINED
    assert metric.dimensions == DIMENSIONS[metric.namespace]


def test_the_longest_names_and_values_fit_into_what_aws_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A description of 1,024 characters, and an environment of 4,096 bytes (AWS, "Lambda quotas")."""
    monkeypatch.setitem(PSEUDO, "AWS::StackName", "s" * 128)
    accepted = TEMPLATE["Parameters"]
    given = {name: "x" * each["MaxLength"] for name, each in accepted.items() if "MaxLength" in each}
    secret = f"arn:aws-us-gov:secretsmanager:us-gov-west-1:{'0' * 12}:secret:{'x' * 512}-a1b2c3"
    stack = stack_of(TEMPLATE, ClientName="c" * 32, CredentialsSecretArn=secret, **given)
    for name, each in stack.resources("AWS::CloudWatch::Alarm").items():
        assert len(each["AlarmDescription"]) <= 1024, name
    (function,) = stack.resources("AWS::Serverless::Function").values()
    environment = function["Environment"]["Variables"] | {"TOKEN_SECRET_ID": secret[:300]}
    assert {"x" * 400, "x" * 512} <= set(environment.values())
    assert sum(len(f"{name}{value}") for name, value in environment.items()) <= 4096


def test_there_is_an_alarm_for_each_kind_of_failure() -> None:
    watched = {metric.name for name in properties() for metric in alarm(name).metrics}
    assert watched == {
        *("SecondsUntilExpiry", "Errors", "RevocationFailed", "RevocationsPending", "RevocationAbandoned"),
        *("CredentialsFallback", "ApproximateNumberOfMessagesVisible", "Throttles", "AsyncEventAge"),
    }


# --- Recipients

NO_RECIPIENTS: dict[str, str] = {}
ALARM_MAIL, PAGER_MAIL = {"AlarmEmail": "a@example.com"}, {"PagerEmail": "p@example.com"}
ALARM_TOPIC = {"AlarmTopicArn": "arn:aws:sns:eu-north-1:000000000000:alarms"}
PAGER_TOPIC = {"PagerTopicArn": "arn:aws:sns:eu-north-1:000000000000:pager"}


@pytest.mark.parametrize(
    ("given", "expiry", "others"),
    [
        *((NO_RECIPIENTS, [], []), (ALARM_MAIL, ["AlarmTopic"], ["AlarmTopic"])),
        *((ALARM_TOPIC, [*ALARM_TOPIC.values()], [*ALARM_TOPIC.values()]), (PAGER_MAIL, ["PagerTopic"], [])),
        (PAGER_TOPIC | ALARM_MAIL, [*PAGER_TOPIC.values()], ["AlarmTopic"]),
        (PAGER_MAIL | ALARM_TOPIC, ["PagerTopic"], [*ALARM_TOPIC.values()]),
        (PAGER_TOPIC | PAGER_MAIL, [*PAGER_TOPIC.values(), "PagerTopic"], []),
        (ALARM_MAIL | ALARM_TOPIC, [*ALARM_TOPIC.values(), "AlarmTopic"], [*ALARM_TOPIC.values(), "AlarmTopic"]),
    ],
)
def test_the_expiry_alarm_has_its_own_recipients_if_configured(
    given: dict[str, str], expiry: list[str], others: list[str]
) -> None:
    for name, deployed in properties(**given).items():
        recipients = expiry if name == "TokenExpiryAlarm" else others
        assert deployed["AlarmActions"] == recipients, name
        assert deployed["OKActions"] == recipients, name
    outputs = stack_of(TEMPLATE, **given).outputs()
    assert ("UntoldAlarms" in outputs) == (not others)
    if not others:
        assert ("not even TokenExpiryAlarm" in outputs["UntoldAlarms"]) == (not expiry)
    topics = stack_of(TEMPLATE, **given).resources("AWS::SNS::Topic")
    addressed = {topic["Subscription"][0]["Endpoint"] for topic in topics.values()}
    assert addressed == {value for name, value in given.items() if name.endswith("Email")}


# --- When alarms fire


def runs_of(settings: Settings, seconds: int, *, lost_every: int | None = None) -> list[Run]:
    """Return runs of which some are lost; the others start on time and a minute late in turn."""
    return [
        Run(
            number * settings.period + (0, 60, 30)[number % 3],
            RunOutcome.LOST if lost_every and number % lost_every == lost_every - 1 else RunOutcome.SUCCEEDS,
        )
        for number in range(seconds // settings.period)
    ]


@pytest.mark.parametrize(
    ("name", "value", "within"),
    [
        *(("RunsFailingAlarm", 1, 3), ("ThrottledAlarm", 1, 3), ("WaitingAlarm", 31_000, 3)),
        ("RevocationFailedAlarm", 1, 7),
    ],
)
@pytest.mark.parametrize("minutes", SCHEDULES)
@pytest.mark.parametrize("phase", [0, 0.3, 0.5])
def test_repeated_failures_fire_an_alarm_once_and_a_single_one_does_not(
    name: str, value: int, within: int, minutes: int, phase: float
) -> None:
    period = minutes * 60
    runs = [(number + phase) * period + (0, 30, 10)[number % 3] for number in range(80)]
    healthy = dict.fromkeys(runs, 0.0)
    assert changes(alarm(name, minutes), healthy, 80 * period) == []
    assert changes(alarm(name, minutes), healthy | {runs[20]: value}, 80 * period) == []
    often = healthy | dict.fromkeys(runs[20:60], float(value))
    (alarmed_at, first), (_, last) = changes(alarm(name, minutes), often, 80 * period)
    assert (first, last) == (State.ALARM, State.OK)
    assert alarmed_at <= runs[20] + within * period + LATEST_METRIC + 60


def test_metrics_that_lambda_sends_only_on_failure_fire_their_alarms_too() -> None:
    """Throttles and the event age have no value while nothing happens."""
    for name, value in (("ThrottledAlarm", 3), ("WaitingAlarm", 45_000)):
        assert changes(alarm(name), {}, DAY) == []
        assert changes(alarm(name), {6000: value}, DAY) == []
        assert states(changes(alarm(name), {6000: value, 6300: value}, DAY)) == [State.ALARM, State.OK], name


def test_one_abandoned_token_fires_its_alarm_once() -> None:
    values = dict.fromkeys(range(0, DAY, 300), 0.0) | {7200: 2.0}
    (alarmed_at, first), (over, last) = changes(alarm("RevocationAbandonedAlarm"), values, DAY)
    assert (first, last) == (State.ALARM, State.OK)
    assert alarmed_at <= 7200 + LATEST_METRIC + 120
    assert over <= 7200 + HOUR + 60


@pytest.mark.parametrize(("minutes", "grace"), [(1, 0), (5, 600), (5, 1200)])
@pytest.mark.parametrize("fraction", [0.001, 0.33, 0.999])
def test_rejected_credentials_fire_an_alarm_at_once_without_flapping(minutes: int, grace: int, fraction: float) -> None:
    settings = Settings(minutes * 60, grace, fraction)
    begin, end = DAY / 4, DAY / 2
    sent_metrics = Job(settings).simulate(runs_of(settings, DAY))
    values = {sent.at: float(sent.has_published and begin <= sent.at < end) for sent in sent_metrics}
    (alarmed_at, first), (over, last) = changes(alarm("CredentialsFallbackAlarm", minutes, grace), values, DAY)
    assert (first, last) == (State.ALARM, State.OK)
    counted = [at for at, value in values.items() if value]
    assert alarmed_at <= counted[0] + LATEST_METRIC + 120
    assert over <= counted[-1] + HOUR + 120


def test_an_undelivered_event_keeps_its_alarm_active_until_the_queue_is_empty() -> None:
    values = dict.fromkeys(range(0, 3000, 60), 0.0) | dict.fromkeys(range(3000, 9000, 60), 1.0)
    found = changes(alarm("UndeliveredAlarm"), values | dict.fromkeys(range(9000, DAY, 60), 0.0), DAY)
    assert states(found) == [State.ALARM, State.OK]


def pending(job: Job, runs: list[Run]) -> dict[float, float]:
    return {sent.at: float(sent.pending) for sent in job.simulate(runs)}


@pytest.mark.parametrize(("minutes", "grace"), PARAMETERS)
def test_tokens_in_their_grace_do_not_fire_the_pending_alarm(minutes: int, grace: int) -> None:
    for fraction in (0.001, 0.33, 0.999):
        settings = Settings(minutes * 60, grace, fraction)
        values = pending(Job(settings), runs_of(settings, DAY // 2, lost_every=17))
        assert max(values.values()) <= 1 + -(-(grace + 2 * settings.period) // 900)
        assert changes(alarm("RevocationsPendingAlarm", minutes, grace), values, DAY // 2) == []


@pytest.mark.parametrize(("minutes", "grace"), PARAMETERS)
def test_the_job_has_the_same_threshold_as_the_pending_alarm(minutes: int, grace: int) -> None:
    """Without routine metrics the job sends the metric only from that threshold on."""
    policy = Policy(timedelta(seconds=grace), 0.33, timedelta(minutes=minutes))
    for count in range(1, 8):
        values = dict.fromkeys(range(0, 3 * HOUR, 60), float(count))
        fires = changes(alarm("RevocationsPendingAlarm", minutes, grace), values, 3 * HOUR) != []
        assert fires is is_piling_up(count, policy)


@pytest.mark.parametrize("count", [4, 14])
@pytest.mark.parametrize("minutes", SCHEDULES)
def test_a_pile_of_an_hour_rings_nothing_wherever_it_begins(minutes: int, count: int) -> None:
    """Nor where nothing else is sent, as without routine metrics."""
    for begin in range(DAY, DAY + HOUR, 300):
        values = dict.fromkeys(range(begin, begin + HOUR, minutes * 60), float(count))
        assert changes(alarm("RevocationsPendingAlarm", minutes), values, DAY + 6 * HOUR) == []


@pytest.mark.parametrize("minutes", SCHEDULES)
def test_a_pile_that_stays_rings_within_two_hours_and_until_it_is_gone(minutes: int) -> None:
    """Some runs are lost, and the others late by turns."""
    settings = Settings(minutes * 60, 600, 0.33)
    runs = [run for run in runs_of(settings, 6 * HOUR, lost_every=17) if run.outcome is RunOutcome.SUCCEEDS]
    ((rung, first), (over, last)) = changes(
        alarm("RevocationsPendingAlarm", minutes), {run.at: 4.0 for run in runs}, 12 * HOUR
    )
    assert (first, last) == (State.ALARM, State.OK)
    assert HOUR < rung <= 2 * HOUR
    assert over <= 7 * HOUR


@pytest.mark.parametrize(("minutes", "grace"), PARAMETERS)
def test_the_pending_alarm_fires_before_the_ledger_is_full(minutes: int, grace: int) -> None:
    """Labels of tokens with a longer lifetime, or of expired ones that keep their labels."""
    for fraction in (0.001, 0.33, 0.999):
        settings = Settings(minutes * 60, grace, fraction)
        values = pending(Job(settings, revokes=False), runs_of(settings, DAY))
        full_at = next(at for at, value in values.items() if value == 15)
        ((_, state),) = changes(alarm("RevocationsPendingAlarm", minutes, grace), values, full_at - 1)
        assert state is State.ALARM


# --- The dashboard


def widgets(kind: str = "", **parameters: object) -> list[dict[str, Any]]:
    stack = stack_of(TEMPLATE, ClientName="broadband", **parameters)
    (dashboard,) = stack.resources("AWS::CloudWatch::Dashboard").values()
    # One dashboard for each region.
    assert dashboard["DashboardName"] == "stack-eu-north-1"
    return [widget for widget in json.loads(dashboard["DashboardBody"])["widgets"] if kind in {"", widget["type"]}]


def test_the_dashboard_can_be_left_out() -> None:
    assert stack_of(TEMPLATE, Dashboard="false").resources("AWS::CloudWatch::Dashboard") == {}


@pytest.mark.parametrize(
    ("given", "runbook"),
    [({}, "docs/runbook.md"), ({"RunbookUrl": "https://wiki.example.com/token"}, "https://wiki.example.com/token")],
)
def test_the_dashboard_names_the_runbook(given: dict[str, str], runbook: str) -> None:
    (text,) = widgets("text", **given)
    assert f"Runbook: {runbook}." in text["properties"]["markdown"]


def test_the_dashboard_shows_every_metric_of_this_client_and_undelivered_events() -> None:
    drawn = {metric for widget in widgets("metric") for metric in metrics_of(widget["properties"])}
    own = {Metric("TelenorToken", name, OWN) for name in DEFINED - SHOWN_FROM_THE_LOG}
    assert {metric for metric in drawn if metric.namespace == "TelenorToken"} == own
    of_lambda = {metric.name for metric in drawn if metric.namespace == "AWS/Lambda"}
    assert of_lambda >= {"Invocations", "Errors", "Throttles", "AsyncEventAge"}


def test_the_dashboard_shows_every_alarm() -> None:
    (shown,) = widgets("alarm")
    assert set(shown["properties"]["alarms"]) == {f"{name}.Arn" for name in properties()}


def test_the_dashboard_counts_tokens_and_lists_runs_and_failures_from_the_log() -> None:
    queries = [widget["properties"]["query"] for widget in widgets("log")]
    (tokens,) = (query for query in queries if "published" in query)
    assert "strcontains(outcome, 'rotated')" in tokens
    assert "count(revoked.0)" in tokens
    # A failed run's version id is the current token's, which another run has published.
    (runs,) = (query for query in queries if "outcome != 'not-due'" in query)
    assert "function_request_id" in runs
    assert sum("error_code" in query for query in queries) == 2


def test_no_two_widgets_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in widgets():
        columns = range(widget["x"], widget["x"] + widget["width"])
        cells = set(itertools.product(columns, range(widget["y"], widget["y"] + widget["height"])))
        assert not taken & cells
        assert max(columns) < 24
        taken |= cells
