"""The figures in the documents are the job's own."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from handler import decisions
from handler.config import settings_from
from tests.docs.documents import ROOT, files, rows

if TYPE_CHECKING:
    from handler.model import Policy
    from tests.world import World


def policy_and_tolerance(lifetime: int, variables: dict[str, str]) -> tuple[Policy, timedelta]:
    """Return the policy of some variables, and its outage tolerance for a token lifetime in seconds."""
    policy = settings_from({"CREDENTIALS_SECRET_ID": "one", "TOKEN_SECRET_ID": "two", **variables}, {}).policy
    return policy, decisions.outage_tolerance(timedelta(seconds=lifetime), policy)


@pytest.mark.parametrize(
    ("lifetime", "variables", "result"),
    [
        (3599, {"SCHEDULE_MINUTES": "1"}, " = 1721 s"),
        *((3599, {"SCHEDULE_MINUTES": "1", "RENEW_AT_FRACTION": "0.25"}, " = 1949 s"), (3600, {}, " s = 24 minutes")),
    ],
)
def test_each_calculated_outage_tolerance_is_the_jobs(lifetime: int, variables: dict[str, str], result: str) -> None:
    policy, outage_tolerance = policy_and_tolerance(lifetime, variables)
    number, unit = result.partition(" = ")[2].split()
    assert outage_tolerance // timedelta(**{{"s": "seconds"}.get(unit, unit): 1}) == int(number)
    parts = (policy.grace, policy.schedule, decisions.schedule_jitter(policy))
    renewed_at = timedelta(seconds=lifetime) - outage_tolerance - sum(parts, timedelta(0))
    taken_off = [f"{part.total_seconds():.0f}" for part in (renewed_at, *parts)]
    calculated = " \N{MINUS SIGN} ".join([str(lifetime), *taken_off]) + result
    pages = [(ROOT / "docs" / name).read_text("utf-8") for name in ("runbook.md", "guarantees.md")]
    assert any(calculated in " ".join(page.split()) for page in pages), calculated


def test_the_outage_tolerance_is_the_same_in_all_documents() -> None:
    _, outage_tolerance = policy_and_tolerance(3600, {})
    pages = "".join(path.read_text("utf-8") for path in files() if path.suffix == ".md")
    named = re.findall(r"\[(\d+)\sminutes\]\([^)]*#outage-tolerance\)", pages)
    assert len(named) >= 2
    assert {timedelta(minutes=int(minutes)) for minutes in named} == {outage_tolerance}


def test_the_costs_add_up() -> None:
    *costs, total = rows("deploy.md", "## Cost\n")
    assert round(sum(float(cost) for *_, cost in costs), 2) == float(total[-1])


def test_the_calls_match_the_cost_table(world: World) -> None:
    for _ in range(12):
        world.run()
        world.clock.advance(minutes=5)
    before, requests = world.aws.calls(), len(world.telenor.requests)
    for _ in range(24):
        world.run()
        world.clock.advance(minutes=5)
    calls = world.aws.calls() - before
    assert calls == {"DescribeSecret": 32, "GetSecretValue": 32, "PutSecretValue": 8, "UpdateSecretVersionStage": 8}
    assert sorted(request.operation for request in world.telenor.requests[requests:]) == ["logout"] * 8 + ["token"] * 8
    two_hours_a_month = 30 * 12
    calculated = rows("deploy.md", "## Cost\n")[1][1]
    assert f"= {calls.total() * two_hours_a_month:,} calls" in calculated
    assert f"{8 * two_hours_a_month:,} rotations" in calculated


def test_the_overview_quotes_the_benchmarks_and_the_costs() -> None:
    short, long = (
        {row[0]: row[3] for row in rows("benchmarks.md", after)} for after in ("### Outages within", "### Longer")
    )
    quoted = {row[0]: row[1:] for row in rows("overview.md", "## Comparison")}
    assert quoted == {strategy: [short[strategy], long[strategy]] for strategy in quoted}
    assert rows("overview.md", "## Cost")[0][1] == rows("deploy.md", "## Cost\n")[-1][-1]
