"""The benchmark's own arithmetic, and what the strategies really do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from infra import artifact
from tests.benchmarks.prices import ALARMS, OWN_SECONDS_A_RUN, metrics_cost, running_cost
from tests.benchmarks.simulated_month import FaultRates, Month, fault_rates, felt_by_consumer, month
from tests.benchmarks.strategies import OTHERS, THIS_JOB, four_steps, overwrite, overwrite_and_log_out
from tests.simulation.world import BEGIN

NO_FAULTS = FaultRates({}, {}, twice=0)
SECOND = timedelta(seconds=1)


def test_a_consumer_is_refused_from_the_expiry_of_its_token_until_it_reads_again() -> None:
    published = [(BEGIN, BEGIN + 100 * SECOND), (BEGIN + 100 * SECOND, BEGIN + 10_000 * SECOND)]
    felt = felt_by_consumer(published, 60, BEGIN, BEGIN + 600 * SECOND)
    # Read at 60 s, expired at 100 s, read again at 120 s: the requests at 100 s and 110 s.
    assert (felt.requests, felt.refused, felt.longest_seconds) == (60, 2, 20)


def test_a_month_is_the_same_every_time() -> None:
    rates = fault_rates(timedelta(minutes=5), timedelta(minutes=20), count=2)
    assert month(THIS_JOB, rates, seed=1, days=2) == month(THIS_JOB, rates, seed=1, days=2)


def test_without_faults_only_this_job_keeps_cached_tokens_and_ends_replaced_ones() -> None:
    months: dict[object, Month] = {}
    for strategy in (THIS_JOB, *OTHERS):
        months[strategy.run] = month(strategy, NO_FAULTS, seed=1, days=2)
        assert months[strategy.run].felt[0].requests > 2 * 2 * 8000
        assert months[strategy.run].felt[0].refused == months[strategy.run].no_token_seconds == 0
    assert months[THIS_JOB.run].felt[600].refused == 0
    assert 660 <= max(months[THIS_JOB.run].spare_seconds) <= 660 + 301
    assert max(months[overwrite].spare_seconds) > 1790
    for run in (overwrite_and_log_out, four_steps):
        assert max(months[run].spare_seconds) < 2
        assert months[run].felt[600].refused > 0


def test_the_cost_is_of_one_month_and_counts_calls_runs_and_time() -> None:
    two_months = Month("any", months=2, invocations=2000, busy_seconds=200.0)
    two_months.calls.update(DescribeSecret=20_000, PutSecretValue=2_000, token=7)
    calls, runs = 11_000 * 0.05 / 10_000, 1000 * 0.20 / 1_000_000
    seconds = (100 + 1000 * OWN_SECONDS_A_RUN) * 0.25 * 0.0000133334
    assert running_cost(two_months) == pytest.approx(calls + runs + seconds)


def test_a_metric_costs_for_the_hours_in_which_it_is_sent() -> None:
    calm = month(THIS_JOB, NO_FAULTS, seed=1, days=2)
    often = {name for name, hours in calm.metric_hours.items() if hours >= 48}
    assert often == {"SecondsUntilExpiry", "TokenRotated", "TokenRevoked", "RevocationsPending"}
    two_months = Month("any", months=2)
    two_months.metric_hours.update(SecondsUntilExpiry=2 * 720, RotationFailed=72)
    assert metrics_cost(two_months) == pytest.approx(0.30 + 0.30 * 36 / 720)


def test_the_alarms_that_are_priced_are_the_templates() -> None:
    assert (artifact.ROOT / "template.yaml").read_text("utf-8").count("Type: AWS::CloudWatch::Alarm") == ALARMS
