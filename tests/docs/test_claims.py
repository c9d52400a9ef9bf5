"""The documents explain every alarm, permission and parameter, and their figures are the job's own."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from handler import decisions
from handler.config import settings_from
from infra import docs, template

if TYPE_CHECKING:
    from handler.model import Policy
    from tests.conftest import World

RUNBOOK = docs.ROOT / "docs" / "runbook.md"
DEPLOY = docs.ROOT / "docs" / "deploy.md"


def document(text: str, name: str = "docs/made-up.md") -> docs.Document:
    return docs.Document.parse(docs.ROOT / name, text)


def test_a_command_ends_where_its_line_does_not_go_on() -> None:
    text = "```console\n$ one \\\n>   two\nits output\n$ three\n```\n\n```text\n$ four\n```\n"
    commands = document(text).commands()
    assert [(command.line, command.text) for command in commands] == [(2, "one \\\n  two"), (5, "three")]


@pytest.mark.parametrize(
    ("path", "pattern"),
    [("template.yaml", r"(?m)^  (\w+Alarm):"), ("template.yaml", r'\$\{Runbook\},\s+"(\w+)"')],
)
def test_each_alarm_has_its_section(path: str, pattern: str) -> None:
    named = {
        name for match in re.finditer(pattern, (docs.ROOT / path).read_text("utf-8")) for name in match.groups() if name
    }
    assert len(named) == 9
    assert {name.lower() for name in named} <= docs.read(RUNBOOK).anchors()


def test_each_permission_of_the_template_has_its_reason() -> None:
    text = (docs.ROOT / "template.yaml").read_text("utf-8")
    actions = set(re.findall(r"(?m)^ +(?:- |Action: )([a-z0-9]+:[A-Z]\w+)$", text))
    assert len(actions) >= 15
    security = docs.read(docs.ROOT / "docs" / "security.md")
    assert actions - {child.content for _, child in security.inlines() if child.type == "code_inline"} == set()


def test_each_parameter_of_the_template_is_explained() -> None:
    pages = [docs.read(docs.ROOT / "docs" / name) for name in ("deploy.md", "configuration.md")]
    named = {child.content for page in pages for _, child in page.inlines() if child.type == "code_inline"}
    assert set(template.parameters(template.load())) - named == set()


# The figures


def policy_and_slack(lifetime: int, variables: dict[str, str]) -> tuple[Policy, timedelta]:
    """Return the policy of some variables, and the slack of P1 for a token of so many seconds."""
    policy = settings_from({"CREDENTIALS_SECRET_ID": "one", "TOKEN_SECRET_ID": "two", **variables}, {}).policy
    return policy, decisions.outage_tolerance(timedelta(seconds=lifetime), policy)


@pytest.mark.parametrize(
    ("lifetime", "variables", "result"),
    [
        (3599, {"SCHEDULE_MINUTES": "1"}, " = 1721 s"),
        (3599, {"SCHEDULE_MINUTES": "1", "RENEW_AT_FRACTION": "0.25"}, " = 1949 s"),
        (3600, {}, " s = 24 minutes"),
    ],
)
def test_each_slack_that_a_page_calculates_is_the_jobs_own(
    lifetime: int, variables: dict[str, str], result: str
) -> None:
    policy, outage_tolerance = policy_and_slack(lifetime, variables)
    number, unit = result.partition(" = ")[2].split()
    assert outage_tolerance // timedelta(**{{"s": "seconds"}.get(unit, unit): 1}) == int(number)
    parts = (policy.grace, policy.schedule, decisions.schedule_jitter(policy))
    renewed_at = timedelta(seconds=lifetime) - outage_tolerance - sum(parts, timedelta(0))
    taken_off = [f"{part.total_seconds():.0f}" for part in (renewed_at, *parts)]
    calculated = " \N{MINUS SIGN} ".join([str(lifetime), *taken_off]) + result
    pages = [docs.ROOT / "docs" / name for name in ("runbook.md", "guarantees.md")]
    assert any(calculated in " ".join(page.read_text("utf-8").split()) for page in pages), calculated


def test_the_slack_is_the_same_wherever_it_is_named() -> None:
    _, outage_tolerance = policy_and_slack(3600, {})
    named = [
        minutes
        for document in docs.documents()
        for minutes in re.findall(
            r"\[(\d+)\sminutes\]\([^)]*#outage-tolerance\)", document.path.read_text(encoding="utf-8")
        )
    ]
    assert len(named) >= 2
    assert {timedelta(minutes=int(minutes)) for minutes in named} == {outage_tolerance}


def costs() -> list[list[str]]:
    """Return the rows of the first table of costs."""
    text = DEPLOY.read_text("utf-8").partition("## Cost\n")[2].partition("\n\nA test counts")[0]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"][
        2:
    ]


def test_the_costs_add_up() -> None:
    *rows, total = costs()
    assert round(sum(float(cost) for *_, cost in rows), 2) == float(total[-1])


def test_the_calls_are_those_of_the_table_of_costs(world: World) -> None:
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
    assert f"= {calls.total() * two_hours_a_month:,} calls" in costs()[1][1]
    assert f"{8 * two_hours_a_month:,} rotations" in costs()[1][1]


def cells(page: str, after: str) -> list[list[str]]:
    """Return the rows of the first table after a text."""
    lines = (docs.ROOT / "docs" / page).read_text("utf-8").partition(after)[2].splitlines()
    table = itertools.takewhile(lambda line: line[:1] == "|", itertools.dropwhile(lambda line: line[:1] != "|", lines))
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table][2:]


def test_the_overview_quotes_the_benchmarks_and_the_costs() -> None:
    short, long = (
        {row[0]: row[3] for row in cells("benchmarks.md", after)} for after in ("### Outages within", "### Longer")
    )
    quoted = {row[0]: row[1:] for row in cells("overview.md", "## Comparison")}
    assert quoted == {strategy: [short[strategy], long[strategy]] for strategy in quoted}
    assert cells("overview.md", "## Cost")[0][1] == costs()[-1][-1]
