"""The benchmark's arithmetic, and the behaviour of the strategies."""

from __future__ import annotations

from datetime import timedelta

import pytest

from infra import artifact
from tests.benchmarks.costs import ALARMS, OWN_SECONDS_A_RUN, metrics_cost, running_cost
from tests.benchmarks.random_faults import FaultRates
from tests.benchmarks.simulated_month import Months, consume, simulate
from tests.benchmarks.strategies import OTHERS, THIS_JOB
from tests.simulation.world import BEGIN

SECOND = timedelta(seconds=1)


def test_a_consumer_is_rejected_from_expiry_until_its_next_read() -> None:
    published = [(BEGIN, BEGIN + 100 * SECOND), (BEGIN + 100 * SECOND, BEGIN + 10_000 * SECOND)]
    # Read at 60 s, expired at 100 s, read again at 120 s: the requests at 100 s and 110 s.
    assert consume(published, 60, BEGIN, BEGIN + 600 * SECOND) == (60, 2, 20)


def test_without_faults_only_this_job_keeps_cached_tokens_and_revokes_replaced_ones() -> None:
    months = {strategy.name: simulate(strategy, FaultRates(), (1,), days=1) for strategy in (THIS_JOB, *OTHERS)}
    for strategy, result in months.items():
        assert result.requests > 8 * 8000
        assert result.refused[0] == result.no_token_seconds == 0
        if strategy == THIS_JOB.name:
            assert result.refused[600] == 0
            assert 660 <= max(result.surplus_seconds) <= 660 + 301
            often = {name for name, hours in result.metric_hours.items() if hours >= 24}
            assert often == {"SecondsUntilExpiry", "TokenRotated", "TokenRevoked", "RevocationsPending"}
        elif strategy.startswith("overwrite") and "log out" not in strategy:
            assert result.refused[600] == 0
            assert max(result.surplus_seconds) > 1790
        else:
            assert result.refused[600] > 0
            assert max(result.surplus_seconds) < 2


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
