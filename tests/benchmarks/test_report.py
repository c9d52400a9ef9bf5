"""The report says what was measured, and which goals were missed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.benchmarks.artifact_size import Package
from tests.benchmarks.month import Climate, Outages, month
from tests.benchmarks.report import Origin, Results, Weathered, document
from tests.benchmarks.run_cost import Kind
from tests.benchmarks.startup import Start
from tests.benchmarks.ways import OVERWRITE_OFTEN, THIS_JOB, THIS_JOB_EARLIER


def start(name: str, seconds: float, against: str = "floor") -> Start:
    return Start(name, "", {}, "", against, [seconds, seconds], [seconds, seconds], [10_000, 10_000])


@pytest.fixture(scope="module")
def results() -> Results:
    calm = Climate({}, {}, twice=0)
    months = [month(way, calm, seed=1, days=1) for way in (THIS_JOB, THIS_JOB_EARLIER, OVERWRITE_OFTEN)]
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
        Weathered("Outages within the slack", outages, months),
        Weathered("Longer outages", outages, months),
    )


def test_a_goal_that_is_missed_says_so(results: Results) -> None:
    text = document(results)
    assert "| cold start, CPU time, of the floor | 1.00 | ≤ 1.05 | yes |" in text
    assert "| the same of the artifact as it is deployed | 2.00 | ≤ 1.05 | **no** |" in text
    assert "| the same, CPU time of the job alone | 1.30 | ≤ 1.2 | **no** |" in text
    faster = replace(results, kinds=[replace(results.kinds[0], own_ratios=[1.2])])
    assert "| the same, CPU time of the job alone | 1.20 | ≤ 1.2 | yes |" in document(faster)


def test_sums_and_ratios_are_those_of_the_figures(results: Results) -> None:
    text = document(results)
    assert "| **all**, zipped with the directory of the file | 1,700 | 3,000 |" in text
    assert "| the handler, started and one rotation | 19.5 | 2.00 |" in text


def test_tables_are_whole_and_paragraphs_fit_the_page(results: Results) -> None:
    for block in document(results).split("\n\n"):
        lines = block.strip().splitlines()
        if block.startswith("|"):
            assert len({line.count(" | ") for line in lines}) == 1, lines[0]
        else:
            assert max(map(len, lines)) <= 120, block
