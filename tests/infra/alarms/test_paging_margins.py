"""P7, tried: the page rings before a consumer has less than the grace, and not otherwise. `make alarms` tries more."""

from __future__ import annotations

import random

import pytest

from tests.infra.alarms.cloudwatch import Alarm, CloudWatch, Metric, State
from tests.infra.alarms.job_model import Fate, Job, Run, Settings
from tests.infra.alarms.paging_margins import (
    DAY,
    GRACES,
    LATEST_METRIC,
    MONTH,
    SCHEDULES,
    TEMPLATE,
    false_pages,
    first_due,
    least_margin,
    margin,
    page,
    trouble,
)

CASES = [(minutes, grace) for minutes in SCHEDULES for grace in (GRACES[0], 600, GRACES[-1])]

# What is left for the message to reach somebody.
A_MINUTE = 60


@pytest.mark.parametrize(("minutes", "grace"), CASES)
def test_the_page_rings_a_minute_before_a_consumer_has_less_than_the_grace(minutes: int, grace: int) -> None:
    seconds, how = least_margin(minutes, grace, fractions=(0.001, 0.33, 0.999), lives=(3600,), phases=(0, 59))
    assert seconds >= A_MINUTE, how


@pytest.mark.parametrize(("minutes", "grace"), CASES)
def test_the_lead_outlasts_the_minutes_whatever_happened_before(minutes: int, grace: int) -> None:
    """The sum behind the numbers in the template, for every course of events and not only for those that were tried."""
    alarm = page(minutes, grace)
    lead = -alarm.expression({"left": [0.0]})[0] - grace  # type: ignore[index,operator]
    window = alarm.rule.evaluation_periods * alarm.period
    assert alarm.rule.datapoints_to_alarm == alarm.rule.evaluation_periods
    # The last good reading falls somewhere into a minute, and CloudWatch looks somewhere in the next one.
    assert lead >= window + 2 * 60 + A_MINUTE
    # From one reading to the next if a run between them is lost, the later one starts late and its reading comes late.
    assert window >= 2 * minutes * 60 + 60 + LATEST_METRIC + 60
    # The last run before a renewal reads a good value, and so does every one before.
    settings = Settings(minutes * 60, grace, 0.999)
    schedule_jitter = min(60, settings.period / 2)
    assert settings.life - settings.renewed_at() + settings.period + schedule_jitter > grace + lead


@pytest.mark.parametrize(("minutes", "grace"), CASES)
@pytest.mark.parametrize("fills_nothing", [False, True])
def test_the_page_is_silent_in_a_healthy_month(minutes: int, grace: int, *, fills_nothing: bool) -> None:
    alarm = page(minutes, grace, fills_nothing=fills_nothing)
    # A month of the default, and days of the rest: make alarms lives through months of all.
    seconds = MONTH if (minutes, grace) == (5, 600) else 2 * DAY
    for seed, fraction in enumerate((0.001, 0.33, 0.999)):
        assert false_pages(alarm, Settings(minutes * 60, grace, fraction), seed, seconds, lost_every=10) == []


@pytest.mark.parametrize("fills_nothing", [False, True])
@pytest.mark.parametrize("more", [0, 2, 10])
@pytest.mark.parametrize("minutes", SCHEDULES)
def test_silence_rings_whatever_aws_leaves_unsaid(minutes: int, more: int, *, fills_nothing: bool) -> None:
    """How wide the evaluation range is, and what FILL makes of nothing."""
    alarm = page(minutes, 600, fills_nothing=fills_nothing)
    cloudwatch = CloudWatch()
    (metric,) = alarm.metrics
    last = 30 * minutes * 60
    for at in range(0, last + 1, minutes * 60):
        cloudwatch.put(metric, at, 3600, at)
    ((rung, state),) = cloudwatch.changes(alarm, 20 * 60, last + DAY, more)
    assert state is State.ALARM
    assert rung == last + 60 + alarm.rule.evaluation_periods * alarm.period


@pytest.mark.parametrize("minutes", SCHEDULES)
def test_one_reading_alone_does_not_ring(minutes: int) -> None:
    alarm = page(minutes, 600)
    (metric,) = alarm.metrics
    dice = random.Random(7)  # noqa: S311  to be repeated, not kept secret
    for wrong_at in range(3600, 3600 + minutes * 60, 7):
        readings = [(at, 3000) for at in range(0, 7200, minutes * 60)] + [(wrong_at, 0)]
        cloudwatch = CloudWatch()
        for at, value in sorted(readings):
            cloudwatch.put(metric, at, value, at + dice.uniform(0, LATEST_METRIC))
        assert list(cloudwatch.changes(alarm, 1800, 7200)) == []


@pytest.mark.parametrize("other", [{"client": "other"}, {"service": "other"}])
def test_no_silence_hides_behind_the_data_of_another_client(other: dict[str, str]) -> None:
    alarm = page(5, 600)
    (metric,) = alarm.metrics
    dimensions = frozenset((dict(metric.dimensions) | other).items())
    assert dimensions != metric.dimensions
    cloudwatch = CloudWatch()
    for at in range(0, 7200, 300):
        cloudwatch.put(Metric(metric.namespace, metric.name, dimensions), at, 3600, at)
        if at <= 3600:
            cloudwatch.put(metric, at, 3600, at)
    ((_, state),) = cloudwatch.changes(alarm, 1200, 7200)
    assert state is State.ALARM


def test_it_is_over_when_a_run_has_renewed() -> None:
    alarm = page(5, 600)
    (metric,) = alarm.metrics
    cloudwatch = CloudWatch()
    fates = [Fate.WELL] + [Fate.FAILS] * 10 + [Fate.WELL] * 5
    for told in Job(Settings(300, 600, 0.33)).live(Run(300 * number, fate) for number, fate in enumerate(fates)):
        cloudwatch.put(metric, told.at, told.seconds_until_expiry, told.at)
    changes = list(cloudwatch.changes(alarm, 900, 4500))
    assert [state for _, state in changes] == [State.ALARM, State.OK]
    assert changes[1][0] == 11 * 300 + 60


def test_the_evaluator_would_notice_a_page_without_metric_math() -> None:
    """The page as it once was: it cannot pass here."""
    stack = TEMPLATE.deployed()
    dimensions = [{"Name": "service", "Value": "stack"}, {"Name": "client", "Value": "default"}]
    once = Alarm.of(
        {
            "Namespace": "TelenorToken",
            "MetricName": "SecondsUntilExpiry",
            "Dimensions": dimensions,
            "Statistic": "Minimum",
            "Period": 300,
            "EvaluationPeriods": 2,
            "DatapointsToAlarm": 2,
            "Threshold": int(stack.values["GraceSeconds"]),
            "ComparisonOperator": "LessThanOrEqualToThreshold",
            "TreatMissingData": "breaching",
        }
    )
    settings = Settings(300, 600, 0.33)
    assert margin(once, settings, trouble(first_due(settings, (0,)), (Fate.FAILS,)), (0,), 0, 0) < 0
