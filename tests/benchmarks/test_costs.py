"""The arithmetic of costs."""

from __future__ import annotations

import pytest

from infra import artifact
from tests.benchmarks.costs import ALARMS, OWN_SECONDS_A_RUN, metrics_cost, running_cost
from tests.benchmarks.simulated_month import Months


def test_the_cost_of_a_month_includes_calls_runs_and_time() -> None:
    two_months = Months("any", count=2, invocations=2000, busy_seconds=200.0)
    two_months.calls.update(DescribeSecret=20_000, PutSecretValue=2_000, token=7)
    calls, runs = 11_000 * 0.05 / 10_000, 1000 * 0.20 / 1_000_000
    seconds = (100 + 1000 * OWN_SECONDS_A_RUN) * 0.25 * 0.0000133334
    assert running_cost(two_months) == pytest.approx(calls + runs + seconds)


def test_a_metric_is_billed_for_the_hours_in_which_it_is_sent() -> None:
    two_months = Months("any", count=2)
    two_months.metric_hours.update(SecondsUntilExpiry=2 * 720, RotationFailed=72)
    assert metrics_cost(two_months) == pytest.approx(0.30 + 0.30 * 36 / 720)


def test_the_priced_alarms_are_those_of_the_template() -> None:
    assert (artifact.ROOT / "template.yaml").read_text("utf-8").count("Type: AWS::CloudWatch::Alarm") == ALARMS
