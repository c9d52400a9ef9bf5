"""The demo fails for each claim that does not hold, and its timeline shows what the servers recorded."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console, ConsoleDimensions

from infra.demo import settings
from infra.demo.checks import Results, checks, exit_status
from infra.demo.consumers import Count
from infra.demo.faults import OUTAGE_SECONDS, PLAN, FaultRecord
from infra.demo.summary import checks_table, summary_table
from infra.demo.timeline import PAGE, Axis, save_svg, timeline
from infra.demo.token_states import SeenToken, TokenStates
from infra.promises.checker import Violation

if TYPE_CHECKING:
    from pathlib import Path

LOST = "dddddddd"


def states_of(*tokens: SeenToken) -> TokenStates:
    return TokenStates(at=1_000.0, tokens={token.short_id: token for token in tokens}, served=1_000)


ISSUED = SeenToken(short_id="eeeeeeee", issued_at=900.0)
CURRENT = replace(ISSUED, short_id="aaaaaaaa", published_at=901.0)
IN_GRACE = replace(CURRENT, short_id="bbbbbbbb", superseded_at=910.0)
REVOKED = replace(IN_GRACE, short_id="cccccccc", status="revoked", ended_at=914.0)
LOST_AND_EXPIRED = replace(ISSUED, short_id=LOST, status="expired", ended_at=920.0)
FAULTS = [FaultRecord(planned.name, 910.0, 912.0, "it was seen") for planned in PLAN]
FAULTS[0].lost_token = LOST

GOOD = Results(
    states=states_of(CURRENT, IN_GRACE, REVOKED, LOST_AND_EXPIRED),
    violations=[],
    counts=[Count("a cache", served=500), Count("another cache", served=500)],
    fault_records=FAULTS,
    planned=[planned.name for planned in PLAN],
    calls=Counter(DescribeSecret=60, PutSecretValue=3),
    is_log_clean=True,
)


def with_token(token: SeenToken) -> dict[str, Any]:
    return {"states": replace(GOOD.states, tokens={**GOOD.states.tokens, token.short_id: token})}


@pytest.mark.parametrize(
    ("changes", "claims"),
    [
        ({}, []),
        ({"states": replace(GOOD.states, refused=1)}, ["no consumer was refused"]),
        ({"states": replace(GOOD.states, served=0)}, ["no consumer was refused"]),
        ({"states": states_of(CURRENT, LOST_AND_EXPIRED)}, ["there were at least 2 rotations"]),
        (with_token(ISSUED), ["no active token is unpublished"]),
        (with_token(replace(CURRENT, superseded_at=911.0)), ["a token is current"]),
        (with_token(replace(ISSUED, short_id=LOST)), ["no active token is unpublished", "a killed run's token"]),
        (with_token(replace(REVOKED, short_id=LOST)), ["a killed run's token"]),
        *(({"violations": [Violation(promise, "how")]}, [promise]) for promise in ("P1", "P2", "P3", "P5", "P6")),
        ({"fault_records": FAULTS[:-1]}, ["every fault took effect"]),
        ({"fault_records": [*FAULTS[:-1], replace(FAULTS[-1], evidence=None)]}, ["every fault took effect"]),
        ({"counts": []}, ["every consumer was served"]),
        ({"counts": [Count("a cache")]}, ["every consumer was served"]),
        ({"counts": [Count("a cache", served=5, failed=1)]}, ["every consumer was served"]),
        ({"is_log_clean": False}, ["no token and no secret"]),
    ],
)
def test_each_claim_can_fail(changes: dict[str, Any], claims: list[str]) -> None:
    results = replace(GOOD, **changes)
    broken = [check.claim for check in checks(results) if not check.holds]
    assert len(broken) == len(claims)
    assert all(claim.startswith(start) for claim, start in zip(broken, claims, strict=True))
    assert exit_status(results) == bool(claims)
    assert ("A promise was broken." in printed(summary_table(results), checks_table(results))) == bool(claims)


def test_caches_end_before_the_grace_and_the_outage_before_the_tolerance() -> None:
    assert (max(settings.CACHE_SECONDS) + 1) * settings.SPEED <= settings.GRACE_SECONDS
    assert 0 < OUTAGE_SECONDS < settings.OUTAGE_TOLERANCE_SECONDS == 24 * 60  # as P1 states


def printed(*what: Any, space: ConsoleDimensions = PAGE) -> str:
    console = Console(file=io.StringIO(), width=space.width, record=True)
    console.print(*what)
    return console.export_text()


def picture(results: Results, space: ConsoleDimensions = PAGE) -> Any:
    return timeline(results.states, results.counts, results.fault_records, Axis(890, 60), space)


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (80, 40), (120, 24), (120, 40)])
def test_the_timeline_fits_on_the_terminal_and_names_each_token(columns: int, rows: int) -> None:
    spares = [replace(REVOKED, short_id=f"{number:08}", published_at=None) for number in range(40)]
    counts = [Count(cache, 1_234) for cache in ("Powertools", "b") for _ in settings.CACHE_SECONDS]
    states = states_of(*spares, *GOOD.states.tokens.values())
    space = ConsoleDimensions(columns, rows)
    text = printed(picture(replace(GOOD, states=states, counts=counts), space), space=space)
    assert len(text.splitlines()) == rows - 1
    assert max(map(len, text.splitlines())) <= columns
    assert [name for name in (*GOOD.states.tokens, *GOOD.planned) if name not in text] == []


def test_the_saved_timeline_loads_no_external_resource(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "demo.svg"
    save_svg(path, picture(GOOD))
    svg = path.read_text(encoding="utf-8")
    assert "aaaaaaaa" in svg
    assert "font-face" not in svg
    assert svg.count("http") == svg.count('xmlns="http://www.w3.org/2000/svg"') == 1
    # Without this attribute librsvg trims the spaces around each piece of text.
    assert 'xml:space="preserve"' in svg
