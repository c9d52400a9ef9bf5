"""The report says which goals were missed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.benchmarks.artifact_size import Package
from tests.benchmarks.report import Comparison, Origin, Results, document
from tests.benchmarks.run_cost import Kind
from tests.benchmarks.simulated_month import FaultRates, Outages, month
from tests.benchmarks.startup import Start
from tests.benchmarks.strategies import OVERWRITE_OFTEN, THIS_JOB


def start(name: str, seconds: float, against: str = "floor") -> Start:
    return Start(name, "", {}, "", against, [seconds, seconds], [seconds, seconds], [10_000, 10_000])


@pytest.fixture(scope="module")
def results() -> Results:
    calm = FaultRates({}, {}, twice=0)
    months = [month(strategy, calm, seed=1, days=1) for strategy in (THIS_JOB, OVERWRITE_OFTEN)]
    outages = Outages(15, timedelta(minutes=1), timedelta(minutes=20))
    not_due = Kind("not due", 1, 0, "state; nothing", Counter(DescribeSecret=1), Counter(), [1.3], [1.1], [1.2])
    return Results(
        Origin("2026-11-24", "0123456789ab", "make bench", "Python 3.11 and 2 cores"),
        {
            **{name: start(name, 1) for name in ("floor", "handler", "botocore")},
            **{name: start(name, seconds, "lambda-floor") for name, seconds in (("lambda-floor", 1), ("deployed", 2))},
            "stripped": start("stripped", 3, "lambda-floor"),
        },
        [not_due],
        [Package("handler", 1_000, 2_000), Package("requests", 500, 1_000)],
        1_700,
        20_000,
        Comparison("Outages within the tolerance", outages, months),
        Comparison("Longer outages", outages, months),
    )


def test_a_goal_that_is_missed_says_so(results: Results) -> None:
    text = document(results)
    assert "| cold start, CPU time, of the floor | 1.00 | ≤ 1.05 | yes |" in text
    assert "| the same of the artifact as it is deployed | 2.00 | ≤ 1.05 | **no** |" in text
    assert "| the same, CPU time of the job alone | 1.30 | ≤ 1.28 | **no** |" in text
    faster = replace(results, kinds=[replace(results.kinds[0], own_ratios=[1.28])])
    assert "| the same, CPU time of the job alone | 1.28 | ≤ 1.28 | yes |" in document(faster)
