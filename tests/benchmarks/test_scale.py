"""The arithmetic of many clients: what grows with them, what a job has once, and where a quota binds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks import prices, report
from tests.benchmarks.deployment import Deployment
from tests.benchmarks.month import Month
from tests.benchmarks.scale import Scale, bill, quotas

A_JOB = 50
LIVED = Month("this job", 2, invocations=20_000, busy_seconds=4_000)
LIVED.calls.update(DescribeSecret=30_000, PutSecretValue=10_000, token=8_000)

FEW = Deployment(10, 100, 63, 30, 100, 1_000, 2_000, 1_500, 900, 3_000, 10_000)
SOME = Deployment(20, 200, 123, 50, 190, 2_000, 3_000, 2_500, 1_700, 6_000, 20_000)


def test_a_client_more_costs_what_a_client_has_and_a_job_more_what_a_job_has() -> None:
    one, other, next_job = bill(49, A_JOB, LIVED), bill(50, A_JOB, LIVED), bill(51, A_JOB, LIVED)
    a_client = other.total - one.total
    assert (one.jobs, other.jobs, next_job.jobs) == (1, 1, 2)
    assert next_job.total - other.total == pytest.approx(
        a_client + prices.DASHBOARD_A_MONTH + prices.ALARMS_OF_A_JOB * prices.ALARM_A_MONTH
    )
    assert (other.runs, other.aws_calls, other.telenor_requests) == (500_000, 1_000_000, 200_000)


def test_one_client_of_a_function_costs_what_a_stack_costs() -> None:
    one = bill(1, A_JOB, LIVED)
    assert one.total == pytest.approx(one.stacks)
    assert prices.ALARMS_OF_A_CLIENT + prices.ALARMS_OF_A_JOB == prices.ALARMS


def test_metrics_beyond_ten_thousand_are_cheaper() -> None:
    assert prices.metrics_cost(10_000) == pytest.approx(3_000)
    assert prices.metrics_cost(10_010) == pytest.approx(3_001)
    assert prices.metrics_cost(250_001) == pytest.approx(3_000 + 24_000 + 0.05)


def test_a_quota_binds_where_what_all_share_and_what_each_takes_fill_it() -> None:
    binds = {quota.what: (quota.a_client, quota.clients) for quota in quotas(FEW, SOME, A_JOB)}
    # 500 characters in common and 100 for each: 6,144 hold 56 of them.
    assert binds["the operators' policy"] == ("100", 56)
    assert binds["the role's own policies together"] == ("100", 92)
    assert binds["metrics on a dashboard"] == ("9", 276)
    assert binds["alarms that one alarm widget shows"] == ("6", 16)
    larger = replace(SOME, operator_policy=3_500)
    assert {quota.what: quota.clients for quota in quotas(FEW, larger, A_JOB)}["the operators' policy"] == 33


def test_the_section_is_whole_and_its_paragraphs_fit_the_page() -> None:
    scale = Scale(
        [bill(clients, A_JOB, LIVED) for clients in (1, 1000)],
        quotas(FEW, SOME, A_JOB),
        FEW,
        SOME,
        A_JOB,
        bill(30, A_JOB, LIVED),
    )
    text = report.section(scale, "Measured for this test.")
    assert text.startswith("## 6. Many clients by the Terraform module\n\nMeasured for this test.\n")
    for block in text.split("\n\n"):
        lines = block.strip().splitlines()
        if block.startswith("|"):
            assert len({line.count(" | ") for line in lines}) == 1, lines[0]
        else:
            assert max(map(len, lines)) <= 120, block
