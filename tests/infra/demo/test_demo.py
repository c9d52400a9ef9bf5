"""The demo's verdict fails for each promise that is broken, and its picture shows what the servers have seen."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from infra.demo import settings
from infra.demo.checks import Count, FaultRecord, Phase, Results, SeenToken, View, checks, exit_status
from infra.demo.faults import OUTAGE_SECONDS, PLAN
from infra.demo.timeline import (
    PAGE,
    Axis,
    Space,
    Span,
    checks_table,
    save_svg,
    spans,
    summary_table,
    timed_events,
    timeline,
    token_events,
)
from infra.promises.checker import Violation

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_000.0  # epoch seconds, as all times here
LOST = "dddddddd"
UNPUBLISHED = "no live token is unpublished"
CLAIMS = {
    "P1": "P1: every superseded token kept its grace",
    "P2": "P2: every published token always was current, in the ledger, revoked or expired",
    "P3": "P3: no current token was logged out",
    "P5": "P5: a live token is current at the end",
}


def view_of(*tokens: SeenToken) -> View:
    return View(at=NOW, tokens={token.short_id: token for token in tokens}, served=1_000)


MINTED = SeenToken(short_id="eeeeeeee", issued_at=900.0, expires_at=2_000.0)
CURRENT = replace(MINTED, short_id="aaaaaaaa", version_id="v3", is_current=True, is_in_ledger=True, published_at=901.0)
IN_GRACE = replace(CURRENT, short_id="bbbbbbbb", version_id="v2", is_current=False, superseded_at=910.0)
REVOKED = replace(IN_GRACE, short_id="cccccccc", version_id="v1", status="revoked", ended_at=914.0, is_in_ledger=False)
LOST_AND_EXPIRED = replace(MINTED, short_id=LOST, expires_at=920.0, status="expired", ended_at=920.0)

STRIKES = [FaultRecord(planned.name, 910.0, 912.0, "it was seen") for planned in PLAN]
STRIKES[0].lost_token = LOST

GOOD = Results(
    view=view_of(CURRENT, IN_GRACE, REVOKED, LOST_AND_EXPIRED),
    violations=[],
    counts=[Count("a cache", 1, served=500), Count("another cache", 1, served=500)],
    fault_records=STRIKES,
    planned=[planned.name for planned in PLAN],
    calls=Counter(DescribeSecret=60, PutSecretValue=3),
    is_log_clean=True,
)


def broken(results: Results) -> list[str]:
    return [finding.claim for finding in checks(results) if not finding.holds]


# The checks


def test_the_exit_status_is_0_when_all_is_well() -> None:
    assert broken(GOOD) == []
    assert exit_status(GOOD) == 0


@pytest.mark.parametrize(
    ("changes", "claims"),
    [
        ({"refused": 1}, ["no consumer was refused"]),
        ({"served": 0}, ["no consumer was refused"]),
        ({"unknown_versions": ("v9",)}, [CLAIMS["P2"]]),
    ],
)
def test_what_the_servers_counted_can_break_a_claim(changes: dict[str, Any], claims: list[str]) -> None:
    results = replace(GOOD, view=replace(GOOD.view, **changes))
    assert broken(results) == claims
    assert exit_status(results) == 1


@pytest.mark.parametrize(
    ("changed", "claims"),
    [
        pytest.param(MINTED, [UNPUBLISHED], id="a live token was never published"),
        pytest.param(replace(CURRENT, is_current=False), [CLAIMS["P5"]], id="there is no current token"),
        pytest.param(
            replace(REVOKED, status="killed"),
            [CLAIMS["P2"]],
            id="a published token was killed by Telenor",
        ),
        pytest.param(
            replace(MINTED, short_id=LOST),
            [
                UNPUBLISHED,
                "a killed run's token was never published and has expired",
            ],
            id="the killed run's token is still live",
        ),
        pytest.param(
            replace(REVOKED, short_id=LOST),
            ["a killed run's token was never published and has expired"],
            id="the killed run's token was published",
        ),
    ],
)
def test_one_token_can_break_a_claim(changed: SeenToken, claims: list[str]) -> None:
    results = replace(GOOD, view=replace(GOOD.view, tokens={**GOOD.view.tokens, changed.short_id: changed}))
    assert broken(results) == claims
    assert exit_status(results) == 1


@pytest.mark.parametrize(("promise", "claim"), CLAIMS.items())
def test_each_violation_that_the_checker_finds_breaks_its_claim(promise: str, claim: str) -> None:
    assert broken(replace(GOOD, violations=[Violation(promise, "how")])) == [claim]


def test_one_rotation_is_not_enough() -> None:
    assert broken(replace(GOOD, view=view_of(CURRENT, LOST_AND_EXPIRED))) == ["there were at least 2 rotations"]


@pytest.mark.parametrize("name", GOOD.planned)
def test_each_planned_fault_must_take_effect(name: str) -> None:
    without_evidence = [replace(each, evidence=None) if each.name == name else each for each in STRIKES]
    never_begun = [each for each in STRIKES if each.name != name]
    for fault_records in (without_evidence, never_begun):
        results = replace(GOOD, fault_records=fault_records)
        assert broken(results) == ["every fault took effect"]
        assert exit_status(results) == 1


@pytest.mark.parametrize(
    "counts",
    [[], [Count("a cache", 1, served=5), Count("a cache", 2)], [Count("a cache", 1, served=5, failed=1)]],
    ids=["nobody reported", "one was never served", "one call failed"],
)
def test_every_consumer_must_have_been_served(counts: list[Count]) -> None:
    assert broken(replace(GOOD, counts=counts)) == ["every consumer was served all the time"]


def test_a_secret_in_the_log_breaks_a_claim() -> None:
    assert broken(replace(GOOD, is_log_clean=False)) == ["no token and no secret is in the job's log"]


# The settings


def test_caches_end_a_second_before_the_grace_and_an_outage_before_the_slack() -> None:
    assert (max(settings.CACHE_SECONDS) + 1) * settings.SPEED <= settings.GRACE_SECONDS
    assert 0 < OUTAGE_SECONDS < settings.OUTAGE_TOLERANCE_SECONDS == 24 * 60  # as P1 says
    assert len(PLAN) == 5


# What the servers have seen, as phases and bars


@pytest.mark.parametrize(
    ("seen", "phase"),
    [
        (MINTED, Phase.UNPUBLISHED),
        (CURRENT, Phase.CURRENT),
        (IN_GRACE, Phase.IN_GRACE),
        (replace(IN_GRACE, is_in_ledger=False), Phase.UNTRACKED),
        (REVOKED, Phase.REVOKED),
        (LOST_AND_EXPIRED, Phase.EXPIRED),
        (replace(CURRENT, status="killed"), Phase.KILLED),
    ],
)
def test_the_phase_of_a_token(seen: SeenToken, phase: Phase) -> None:
    assert seen.phase is phase


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(MINTED, [(900, 1_000, "not published")], id="minted only"),
        pytest.param(CURRENT, [(900, 901, "not published"), (901, 1_000, "current")], id="current until now"),
        pytest.param(
            REVOKED,
            [(900, 901, "not published"), (901, 910, "current"), (910, 914, "in grace")],
            id="superseded, then revoked",
        ),
        pytest.param(
            replace(IN_GRACE, is_in_ledger=False),
            [(900, 901, "not published"), (901, 910, "current"), (910, 1_000, "untracked")],
            id="superseded and untracked",
        ),
        pytest.param(
            replace(CURRENT, status="revoked", ended_at=905.0),
            [(900, 901, "not published"), (901, 905, "current")],
            id="logged out while current",
        ),
    ],
)
def test_the_stretches_of_a_bar(seen: SeenToken, expected: list[tuple[float, float, str]]) -> None:
    assert spans(seen, NOW) == expected


def test_a_killed_runs_token_is_drawn_as_lost() -> None:
    assert spans(LOST_AND_EXPIRED, NOW, is_lost=True) == [(900, 920, "lost")]


@pytest.mark.parametrize(
    ("stretches", "cells"),
    [
        ([], ["", "", "", "", ""]),
        ([Span(100, 104, "a"), Span(104, 110, "b")], ["a", "a", "b", "b", "b"]),
        ([Span(100, 104, "a"), Span(104, 104.1, "b")], ["a", "a", "b", "", ""]),
        ([Span(100, 100.1, "a"), Span(100.1, 110, "b")], ["b", "b", "b", "b", "b"]),
        ([Span(90, 102, "a")], ["a", "", "", "", ""]),
        ([Span(108, 200, "a")], ["", "", "", "", "a"]),
    ],
    ids=["nothing", "one after the other", "a short one alone", "a short one beside", "from before", "beyond the end"],
)
def test_the_cells_of_a_bar(stretches: list[Span], cells: list[str]) -> None:
    assert Axis(100, 10).cells(stretches, columns=5) == cells


def test_what_happened_between_two_looks_is_printed_in_lines() -> None:
    before = view_of(replace(MINTED, short_id="aaaaaaaa"), IN_GRACE, replace(MINTED, short_id=LOST))
    after = view_of(CURRENT, replace(IN_GRACE, status="revoked"), LOST_AND_EXPIRED, MINTED)
    assert sorted(token_events(before, after)) == [
        "token aaaaaaaa published",
        "token bbbbbbbb revoked",
        "token dddddddd expired",
        "token eeeeeeee issued",
    ]
    assert list(token_events(after, after)) == []


def test_what_happened_between_two_looks_is_in_the_order_of_the_servers_times() -> None:
    # An emergency, within one look: Secrets Manager says whole seconds.
    before = view_of(replace(CURRENT, issued_at=800.0))
    revoked = replace(CURRENT, issued_at=800.0, status="revoked", ended_at=950.6, is_current=False)
    issued = replace(MINTED, short_id="ffffffff", issued_at=950.2, version_id="v9", created_at=950.0)
    assert [(at, line.split()[-1]) for at, line in timed_events(before, view_of(revoked, issued))] == [
        (950.2, "issued"),
        (950.2, "published"),
        (950.6, "revoked"),
    ]


def drawn(results: Results, space: Space = PAGE) -> str:
    console = Console(file=io.StringIO(), width=space.columns, record=True)
    console.print(timeline(results.view, results.counts, results.fault_records, Axis(890, 60), space))
    return console.export_text()


def told(results: Results) -> str:
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(summary_table(results), checks_table(results))
    return console.export_text()


def test_the_timeline_names_every_token_fault_and_consumer() -> None:
    text = drawn(GOOD)
    names = {*GOOD.view.tokens, *GOOD.planned, *(count.cache for count in GOOD.counts)}
    assert {name for name in names if name not in text} == set()


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (80, 40), (120, 24), (120, 40)])
def test_the_timeline_fits_on_the_terminal_and_says_what_a_second_stands_for(columns: int, rows: int) -> None:
    spares = [replace(REVOKED, short_id=f"{number:08}", version_id=None) for number in range(40)]
    unproven = [replace(GOOD.fault_records[0], evidence=None), *GOOD.fault_records[1:]]
    counts = [
        Count(cache, seconds, 1_234) for cache in ("Powertools parameters", "b") for seconds in settings.CACHE_SECONDS
    ]
    view = view_of(*spares, *GOOD.view.tokens.values())
    lines = drawn(replace(GOOD, view=view, fault_records=unproven, counts=counts), Space(columns, rows)).splitlines()
    assert len(lines) == rows - 1
    assert max(map(len, lines)) <= columns
    text = " ".join(lines)
    words = ("A second stands for 3 minutes", "valid for 60 min", "grace of 10 min", "runs every 5 min")
    assert [word for word in words if word not in text] == []
    assert [name for name in GOOD.view.tokens if name not in text] == []


def test_a_word_is_explained_while_it_is_to_be_seen() -> None:
    words = ("lost:", "spare:", "not proven yet:")
    assert [word for word in words if word in drawn(GOOD)] == ["lost:"]
    spare = replace(REVOKED, version_id=None)
    waiting = replace(GOOD, view=view_of(CURRENT, spare), fault_records=[FaultRecord("run killed", 910.0)])
    assert [word for word in words if word in drawn(waiting)] == ["spare:", "not proven yet:"]


def test_the_result_names_what_broke() -> None:
    assert "All promises held." in told(GOOD)
    text = told(replace(GOOD, view=replace(GOOD.view, refused=3)))
    assert "3 refused" in text
    assert "A promise was broken." in text


def test_the_saved_timeline_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "demo.svg"
    save_svg(path, timeline(GOOD.view, GOOD.counts, GOOD.fault_records, Axis(890, 60)))
    svg = path.read_text(encoding="utf-8")
    assert "aaaaaaaa" in svg
    assert "font-face" not in svg
    assert svg.count("http") == svg.count('xmlns="http://www.w3.org/2000/svg"') == 1
    # librsvg would trim the spaces around each piece of text.
    assert 'xml:space="preserve"' in svg
