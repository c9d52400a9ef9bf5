"""P7: TokenExpiryAlarm fires before a consumer has less than the grace, and not otherwise. `make alarms` tries more."""

from __future__ import annotations

import random

import pytest

from tests.infra.alarms import expiry_alarm_timing as timing
from tests.infra.alarms.cloudwatch import CloudWatch, State
from tests.infra.alarms.job_model import Job, Run, RunOutcome, Settings

CASES = [(minutes, grace) for minutes in timing.SCHEDULES for grace in (timing.GRACES[0], 600, timing.GRACES[-1])]

# The time left for the notification to arrive.
A_MINUTE = 60


@pytest.mark.parametrize(("minutes", "grace"), CASES)
def test_the_expiry_alarm_fires_a_minute_before_a_consumer_has_less_than_the_grace(minutes: int, grace: int) -> None:
    seconds, how = timing.least_margin(
        minutes, grace, fractions=(0.001, 0.33, 0.999), lifetimes=(3600,), phases=(0, 59)
    )
    assert seconds >= A_MINUTE, how


@pytest.mark.parametrize(("minutes", "grace"), CASES)
def test_the_lead_time_covers_detection_after_any_history(minutes: int, grace: int) -> None:
    """The calculation behind the template's numbers, for every history instead of a sample."""
    alarm = timing.expiry_alarm(minutes, grace)
    lead = -alarm.expression({"left": [0.0]})[0] - grace  # type: ignore[index,operator]
    window = alarm.rule.evaluation_periods * alarm.period
    assert alarm.rule.datapoints_to_alarm == alarm.rule.evaluation_periods
    # The last good reading is at any time in a minute, and CloudWatch evaluates at any time in the next one.
    assert lead >= window + 2 * 60 + A_MINUTE
    # The longest gap between two readings: one run is lost, and the next one starts late and its metric arrives late.
    assert window >= 2 * minutes * 60 + 60 + timing.LATEST_METRIC + 60
    # Every run before a renewal still sends a good value.
    settings = Settings(minutes * 60, grace, 0.999)
    schedule_jitter = min(60, settings.period / 2)
    assert settings.lifetime - settings.renewed_at() + settings.period + schedule_jitter > grace + lead


@pytest.mark.parametrize(("minutes", "grace"), CASES)
@pytest.mark.parametrize("fills_nothing", [False, True])
def test_the_expiry_alarm_does_not_fire_in_healthy_days(minutes: int, grace: int, *, fills_nothing: bool) -> None:
    alarm = timing.expiry_alarm(minutes, grace, fills_nothing=fills_nothing)
    # `make alarms` simulates months.
    seconds = 10 * timing.DAY if (minutes, grace) == (5, 600) else 2 * timing.DAY
    for seed, fraction in enumerate((0.001, 0.33, 0.999)):
        assert timing.false_alarms(alarm, Settings(minutes * 60, grace, fraction), seed, seconds, lost_every=10) == []


@pytest.mark.parametrize("fills_nothing", [False, True])
@pytest.mark.parametrize("more", [0, 2, 10])
@pytest.mark.parametrize("minutes", timing.SCHEDULES)
def test_missing_data_fires_the_alarm_under_any_reading_of_the_documentation(
    minutes: int, more: int, *, fills_nothing: bool
) -> None:
    """AWS does not document the width of the evaluation range, or whether FILL fills an empty series."""
    alarm = timing.expiry_alarm(minutes, 600, fills_nothing=fills_nothing)
    cloudwatch = CloudWatch()
    (metric,) = alarm.metrics
    last = 30 * minutes * 60
    for at in range(0, last + 1, minutes * 60):
        cloudwatch.put(metric, at, 3600, at)
    ((alarmed_at, state),) = cloudwatch.changes(alarm, 20 * 60, last + timing.DAY, more)
    assert state is State.ALARM
    assert alarmed_at == last + 60 + alarm.rule.evaluation_periods * alarm.period


@pytest.mark.parametrize("minutes", timing.SCHEDULES)
def test_a_single_bad_reading_does_not_fire_the_alarm(minutes: int) -> None:
    alarm = timing.expiry_alarm(minutes, 600)
    (metric,) = alarm.metrics
    dice = random.Random(7)  # noqa: S311  to be repeated, not kept secret
    for wrong_at in range(3600, 3600 + minutes * 60, 7):
        readings = [(at, 3000) for at in range(0, 7200, minutes * 60)] + [(wrong_at, 0)]
        cloudwatch = CloudWatch()
        for at, value in sorted(readings):
            cloudwatch.put(metric, at, value, at + dice.uniform(0, timing.LATEST_METRIC))
        assert list(cloudwatch.changes(alarm, 1800, 7200)) == []


def test_the_alarm_clears_after_a_renewal() -> None:
    alarm = timing.expiry_alarm(5, 600)
    (metric,) = alarm.metrics
    cloudwatch = CloudWatch()
    outcomes = [RunOutcome.SUCCEEDS] + [RunOutcome.FAILS] * 10 + [RunOutcome.SUCCEEDS] * 5
    for sent in Job(Settings(300, 600, 0.33)).simulate(
        Run(300 * number, outcome) for number, outcome in enumerate(outcomes)
    ):
        cloudwatch.put(metric, sent.at, sent.seconds_until_expiry, sent.at)
    changes = list(cloudwatch.changes(alarm, 900, 4500))
    assert [state for _, state in changes] == [State.ALARM, State.OK]
    assert changes[1][0] == 11 * 300 + 60
