"""The demo's verdict fails for each promise that is broken, and its picture shows what the servers have seen."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from infra.local import terms
from infra.local.faults import OUTAGE_SECONDS, PLAN
from infra.local.picture import (
    PAGE,
    Axis,
    Space,
    Span,
    events,
    figures,
    findings_table,
    happenings,
    picture,
    save_svg,
    spans,
)
from infra.local.verdict import Account, Count, Phase, SeenToken, Strike, View, exit_status, findings

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_000.0  # epoch seconds, as all times here
LOST = "dddddddd"
LIVE = "every live token is current or in the ledger"
PUBLISHED = "every published token always was current, in the ledger, revoked or expired"


def view_of(*tokens: SeenToken) -> View:
    return View(at=NOW, tokens={token.short_id: token for token in tokens}, served=1_000)


MINTED = SeenToken(short_id="eeeeeeee", issued_at=900.0, expires_at=2_000.0)
CURRENT = replace(MINTED, short_id="aaaaaaaa", version_id="v3", is_current=True, is_in_ledger=True, published_at=901.0)
IN_GRACE = replace(CURRENT, short_id="bbbbbbbb", version_id="v2", is_current=False, superseded_at=910.0)
REVOKED = replace(IN_GRACE, short_id="cccccccc", version_id="v1", status="revoked", ended_at=914.0, is_in_ledger=False)
LOST_AND_EXPIRED = replace(MINTED, short_id=LOST, expires_at=920.0, status="expired", ended_at=920.0)

STRIKES = [Strike(planned.name, 910.0, 912.0, "it was seen") for planned in PLAN]
STRIKES[0].lost_token = LOST

GOOD = Account(
    view=view_of(CURRENT, IN_GRACE, REVOKED, LOST_AND_EXPIRED),
    counts=[Count("a cache", 1, served=500), Count("another cache", 1, served=500)],
    strikes=STRIKES,
    planned=[planned.name for planned in PLAN],
    calls=Counter(DescribeSecret=60, PutSecretValue=3),
    is_log_clean=True,
)


def broken(account: Account) -> list[str]:
    return [finding.claim for finding in findings(account) if not finding.holds]


# The verdict


def test_the_exit_status_is_0_when_all_is_well() -> None:
    assert broken(GOOD) == []
    assert exit_status(GOOD) == 0


@pytest.mark.parametrize(
    ("changes", "claims"),
    [
        ({"refused": 1}, ["no consumer was refused"]),
        ({"served": 0}, ["no consumer was refused"]),
        ({"unknown_versions": ("v9",)}, [PUBLISHED]),
        ({"once_forgotten": frozenset({"cccccccc"})}, [LIVE, PUBLISHED]),
    ],
)
def test_what_the_servers_counted_can_break_a_claim(changes: dict[str, Any], claims: list[str]) -> None:
    account = replace(GOOD, view=replace(GOOD.view, **changes))
    assert broken(account) == claims
    assert exit_status(account) == 1


@pytest.mark.parametrize(
    ("changed", "claims"),
    [
        pytest.param(
            replace(IN_GRACE, is_in_ledger=False),
            [
                LIVE,
                PUBLISHED,
            ],
            id="a live token has lost its place in the ledger",
        ),
        pytest.param(MINTED, [LIVE], id="a live token was never published"),
        pytest.param(
            replace(CURRENT, status="revoked"), ["the current token is live"], id="the current token was logged out"
        ),
        pytest.param(replace(CURRENT, is_current=False), ["the current token is live"], id="there is no current token"),
        pytest.param(
            replace(REVOKED, status="killed"),
            [PUBLISHED],
            id="a published token was killed by Telenor",
        ),
        pytest.param(
            replace(MINTED, short_id=LOST),
            [
                LIVE,
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
    account = replace(GOOD, view=replace(GOOD.view, tokens={**GOOD.view.tokens, changed.short_id: changed}))
    assert broken(account) == claims
    assert exit_status(account) == 1


def test_a_token_that_the_ledger_let_go_in_its_last_second_is_not_forgotten() -> None:
    dying = replace(IN_GRACE, is_in_ledger=False, expires_at=NOW + 1)
    assert broken(replace(GOOD, view=view_of(CURRENT, dying, LOST_AND_EXPIRED))) == []


def test_one_rotation_is_not_enough() -> None:
    assert broken(replace(GOOD, view=view_of(CURRENT, LOST_AND_EXPIRED))) == ["there were at least 2 rotations"]


@pytest.mark.parametrize("name", GOOD.planned)
def test_each_planned_fault_must_have_struck(name: str) -> None:
    without_evidence = [replace(each, evidence=None) if each.name == name else each for each in STRIKES]
    never_begun = [each for each in STRIKES if each.name != name]
    for strikes in (without_evidence, never_begun):
        account = replace(GOOD, strikes=strikes)
        assert broken(account) == ["every fault struck"]
        assert exit_status(account) == 1


@pytest.mark.parametrize(
    "counts",
    [[], [Count("a cache", 1, served=5), Count("a cache", 2)], [Count("a cache", 1, served=5, failed=1)]],
    ids=["nobody reported", "one was never served", "one call failed"],
)
def test_every_consumer_must_have_been_served(counts: list[Count]) -> None:
    assert broken(replace(GOOD, counts=counts)) == ["every consumer was served all the time"]


def test_a_secret_in_the_log_breaks_a_claim() -> None:
    assert broken(replace(GOOD, is_log_clean=False)) == ["no token and no secret is in the job's log"]


# The terms


def test_caches_end_a_second_before_the_grace_and_an_outage_before_the_slack() -> None:
    assert (max(terms.CACHE_SECONDS) + 1) * terms.SPEED <= terms.GRACE_SECONDS
    assert 0 < OUTAGE_SECONDS < terms.SLACK_SECONDS == 24 * 60  # as P1 says
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
            [(900, 901, "not published"), (901, 910, "current"), (910, 1_000, "forgotten")],
            id="superseded and forgotten",
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


def test_what_happened_between_two_looks_is_told_in_lines() -> None:
    before = view_of(replace(MINTED, short_id="aaaaaaaa"), IN_GRACE, replace(MINTED, short_id=LOST))
    after = view_of(CURRENT, replace(IN_GRACE, status="revoked"), LOST_AND_EXPIRED, MINTED)
    assert list(happenings(before, after)) == [
        "token aaaaaaaa published",
        "token bbbbbbbb revoked",
        "token dddddddd expired",
        "token eeeeeeee issued",
    ]
    assert list(happenings(after, after)) == []


def test_what_happened_between_two_looks_is_in_the_order_of_the_servers_times() -> None:
    # An emergency, within one look: Secrets Manager says whole seconds.
    before = view_of(replace(CURRENT, issued_at=800.0))
    revoked = replace(CURRENT, issued_at=800.0, status="revoked", ended_at=950.6, is_current=False)
    issued = replace(MINTED, short_id="ffffffff", issued_at=950.2, version_id="v9", created_at=950.0)
    assert [(at, line.split()[-1]) for at, line in events(before, view_of(revoked, issued))] == [
        (950.2, "issued"),
        (950.2, "published"),
        (950.6, "revoked"),
    ]


def drawn(account: Account, space: Space = PAGE) -> str:
    console = Console(file=io.StringIO(), width=space.columns, record=True)
    console.print(picture(account.view, account.counts, account.strikes, Axis(890, 60), space))
    return console.export_text()


def told(account: Account) -> str:
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(figures(account), findings_table(account))
    return console.export_text()


def test_the_picture_names_every_token_fault_and_consumer() -> None:
    text = drawn(GOOD)
    names = {*GOOD.view.tokens, *GOOD.planned, *(count.cache for count in GOOD.counts)}
    assert {name for name in names if name not in text} == set()


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (80, 40), (120, 24), (120, 40)])
def test_the_picture_fits_on_the_terminal_and_says_what_a_second_stands_for(columns: int, rows: int) -> None:
    spares = [replace(REVOKED, short_id=f"{number:08}", version_id=None) for number in range(40)]
    unproven = [replace(GOOD.strikes[0], evidence=None), *GOOD.strikes[1:]]
    counts = [
        Count(cache, seconds, 1_234) for cache in ("Powertools parameters", "b") for seconds in terms.CACHE_SECONDS
    ]
    view = view_of(*spares, *GOOD.view.tokens.values())
    lines = drawn(replace(GOOD, view=view, strikes=unproven, counts=counts), Space(columns, rows)).splitlines()
    assert len(lines) == rows - 1
    assert max(map(len, lines)) <= columns
    text = " ".join(lines)
    words = ("A second stands for 3 minutes", "lives 60 min", "grace of 10 min", "run every 5 min")
    assert [word for word in words if word not in text] == []
    assert [name for name in GOOD.view.tokens if name not in text] == []


def test_a_word_is_explained_while_it_is_to_be_seen() -> None:
    words = ("lost:", "spare:", "not proven yet:")
    assert [word for word in words if word in drawn(GOOD)] == ["lost:"]
    spare = replace(REVOKED, version_id=None)
    waiting = replace(GOOD, view=view_of(CURRENT, spare), strikes=[Strike("run killed", 910.0)])
    assert [word for word in words if word in drawn(waiting)] == ["spare:", "not proven yet:"]


def test_the_verdict_says_what_broke() -> None:
    assert "All promises held." in told(GOOD)
    text = told(replace(GOOD, view=replace(GOOD.view, refused=3)))
    assert "3 refused" in text
    assert "A promise was broken." in text


def test_the_saved_picture_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "demo.svg"
    save_svg(path, picture(GOOD.view, GOOD.counts, GOOD.strikes, Axis(890, 60)))
    svg = path.read_text(encoding="utf-8")
    assert "aaaaaaaa" in svg
    assert "font-face" not in svg
    assert svg.count("http") == svg.count('xmlns="http://www.w3.org/2000/svg"') == 1
