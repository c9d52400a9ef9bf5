"""Each code that the job can log has a row, and each figure in the documents is the job's own."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from markdown_it.token import Token

from handler import decisions
from handler.config import settings_from
from handler.errors import ErrorCode
from infra import docs, template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handler.model import Policy
    from tests.conftest import World

RUNBOOK = docs.ROOT / "docs" / "runbook.md"
ERROR_CODES = docs.ROOT / "docs" / "error-codes.md"
DEPLOY = docs.ROOT / "docs" / "deploy.md"


def document(text: str, name: str = "docs/made-up.md") -> docs.Document:
    return docs.Document.parse(docs.ROOT / name, text)


def test_a_command_ends_where_its_line_does_not_go_on() -> None:
    text = "```console\n$ one \\\n>   two\nits output\n$ three\n```\n\n```text\n$ four\n```\n"
    commands = document(text).commands()
    assert [(command.line, command.text) for command in commands] == [(2, "one \\\n  two"), (5, "three")]


# The job's codes


def rows(page: docs.Document) -> Iterator[tuple[str, list[str]]]:
    """Yield the rows of the tables of codes: the code, and the other cells."""
    is_of_codes, row = False, list[Token]()
    for before, token in zip(page.tokens, page.tokens[1:], strict=False):
        if before.type == "tr_open":
            row = []
        elif before.type == "th_open":
            row.append(token)
            is_of_codes = row[0].content == "error_code"
        elif before.type == "td_open":
            row.append(token)
        elif before.type == "tr_close" and row and is_of_codes and row[0].content != "error_code":
            (code,) = (child.content for child in row[0].children or () if child.type == "code_inline")
            yield code, [cell.content for cell in row[1:]]


def test_each_code_of_the_job_has_one_row_and_there_are_no_others() -> None:
    assert sorted(code for code, _ in rows(docs.read(ERROR_CODES))) == sorted(ErrorCode)


def test_each_row_says_what_it_means_and_what_to_do() -> None:
    assert [code for code, cells in rows(docs.read(ERROR_CODES)) if len(cells) != 2 or not all(cells)] == []


def test_a_code_that_stands_anywhere_but_in_its_row_has_none() -> None:
    text = "| error_code | means | do |\n|-|-|-|\n| `one` | `two` | x |\n\n`three`\n\n| other |\n|-|\n| `four` |\n"
    assert list(rows(document(text))) == [("one", ["`two`", "x"])]


def test_codes_are_kebab_case() -> None:
    assert [code for code in ErrorCode if not re.fullmatch(r"[a-z]+(-[a-z]+)*", code)] == []


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
