"""The report names missed goals."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from tests.benchmarks.faults_of_a_month import FaultRates, Outages
from tests.benchmarks.report import document
from tests.benchmarks.rotation_strategies import OVERWRITE_OFTEN, THIS_JOB
from tests.benchmarks.run_cost import Kind
from tests.benchmarks.simulated_month import simulate
from tests.benchmarks.startup import Start, StartCost


def test_a_missed_goal_is_reported() -> None:
    took = {"baseline": 1, "handler": 1, "botocore": 1, "lambda-baseline": 1, "deployed": 2, "stripped": 3}
    months = {strategy.name: simulate(strategy, FaultRates(), (1,), days=1) for strategy in (THIS_JOB, OVERWRITE_OFTEN)}
    text = document(
        origin="on 2026-11-24",
        starts={name: Start(name, "", took=[StartCost(seconds, seconds, 10_000)]) for name, seconds in took.items()},
        kinds=[Kind("not due", 1, 0, "state", Counter(DescribeSecret=1), Counter(), [1.3], [1.28], [1.2])],
        packages=[("handler", 1_000, 2_000), ("requests", 500, 1_000)],
        zipped_bytes=1_700,
        rotation_peak_kib=20_000,
        outages=[Outages(15, timedelta(minutes=1), timedelta(minutes=20))] * 2,
        within=months,
        beyond=months,
    )
    assert "| cold start, CPU time relative to the baseline | 1.00 | ≤ 1.05 | yes |" in text
    assert "| the same of the artifact as deployed | 2.00 | ≤ 1.05 | **no** |" in text
    assert "time relative to one bare `DescribeSecret` | 1.28 | ≤ 1.28 | yes |" in text
    assert "| the same, CPU time of the job | 1.30 | ≤ 1.28 | **no** |" in text
