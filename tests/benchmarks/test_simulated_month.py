"""A consumer's reads, and the behaviour of the strategies."""

from __future__ import annotations

from datetime import timedelta

from tests.benchmarks.faults_of_a_month import FaultRates
from tests.benchmarks.rotation_strategies import OTHERS, THIS_JOB
from tests.benchmarks.simulated_month import consume, simulate
from tests.simulated_clock import BEGIN

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
