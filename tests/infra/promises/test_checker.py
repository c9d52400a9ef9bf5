"""The checker finds violations in short histories, and accepts the documented exceptions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from infra.promises.checker import violations
from infra.promises.history import EMERGENCY, History, Logout, RunRecord, State, render_events


def seen(name: str = "run", at: float = 0, action: str = "rotate-now", **more: Any) -> RunRecord:
    return RunRecord(name=name, request_id=name, action=action, began_at=at, ended_at=at + 0.1, **more)


def state(at: float, by: RunRecord | None, *versions: str, current: str) -> State:
    """Return a state in which all versions are tracked."""
    stages = {version: frozenset({f"LIVE_{version}"}) for version in versions}
    return State(at, by, stages | {current: frozenset({"AWSCURRENT", f"LIVE_{current}"})})


def without_label(at: float, **more: Any) -> State:
    """Return a state in which the version of token a has no label."""
    return State(at, seen(at=at - 0.1, **more), {"b": frozenset({"AWSCURRENT", "LIVE_b"}), "a": frozenset()})


def logout(at: float, version: str = "a", **more: Any) -> dict[str, Any]:
    return {"logouts": [Logout(at, f"token-{version}", seen(at=at - 0.1, **more), at - 0.05)]}


FIRST, SECOND = seen("first", 0, put_at=0.05), seen("second", 5, put_at=5.05)
STATES = [state(0.1, FIRST, current="a"), state(5.1, SECOND, "a", current="b")]
# Two runs have published tokens a and b; the lifetime is eighteen seconds and the grace two.
HISTORY = History(
    grace=2,
    runs=[FIRST, SECOND],
    states=STATES,
    values={"a": "token-a", "b": "token-b"},
    issued_at={"token-a": 0, "token-b": 5},
    expires_at={"token-a": 18, "token-b": 23},
    documented_until={"a": 18, "b": 23},
)


def with_run(**changes: Any) -> dict[str, Any]:
    return {"runs": [*HISTORY.runs, seen("third", 8, **changes)]}


def with_states(*states: State) -> dict[str, Any]:
    return {"states": [*STATES, *states]}


def rolled_back(compared_at: float | None) -> dict[str, Any]:
    logouts = [Logout(8.2, "token-a", seen(at=6.8), compared_at)]
    return {"logouts": logouts, **with_states(state(8.0, None, "b", current="a"))}


RECOVERING = {"recovery_from": 10, "ended_at": 12}
LOGOUT_FAILED, TOKEN_FAILED = Counter(logout=1), Counter(token=1)
RECOVERED = seen("second", 5, put_at=5.05, is_recovery=True)


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        pytest.param(logout(7.2), [], id="logged out after its grace"),
        pytest.param(logout(6.0), ["P1"], id="logged out within its grace"),
        pytest.param(logout(6.0, action=EMERGENCY), [], id="an emergency may cut the grace short"),
        pytest.param(logout(6.0, "b"), ["P3"], id="the current token is logged out"),
        pytest.param(rolled_back(7.9), [], id="no run can see a roll-back after its last comparison"),
        pytest.param(rolled_back(8.1), ["P3"], id="a run can see a roll-back before its last comparison"),
        pytest.param(rolled_back(None), ["P3"], id="a run that compares nothing sees no roll-back"),
        pytest.param(with_states(without_label(6.0)), ["P2"], id="a live token loses its label"),
        pytest.param(
            with_states(without_label(6.0, abandoned=1), without_label(7.0)), [], id="a run has reported that for good"
        ),
        pytest.param(with_states(without_label(18.0)), [], id="an expired token loses its label"),
        pytest.param(with_states(without_label(7.3)) | logout(7.2), [], id="a revoked token loses its label"),
        pytest.param({"documented_until": {"a": 18, "b": 24}}, ["P1"], id="a document overstates a lifetime"),
        pytest.param(with_run(left_active=1), ["P2"], id="a run leaves a token active"),
        pytest.param(with_run(left_active=1, abandoned=1), [], id="a run reports that"),
        pytest.param(with_run(left_active=1, is_killed=True), [], id="a killed run cannot report that"),
        pytest.param(with_run(failure="it failed"), ["P5"], id="a run fails without a fault"),
        pytest.param(with_run(failure="it failed", faults=LOGOUT_FAILED), ["P6"], id="a run fails for its logouts"),
        pytest.param(with_run(failure="it failed", faults=TOKEN_FAILED), [], id="a run fails with a fault"),
        pytest.param(RECOVERING | {"ended_at": 24}, ["P5"], id="no token is active at the end"),
        pytest.param(RECOVERING, ["P2"], id="a superseded token is active long after its grace"),
        pytest.param(
            logout(7.2) | {"recovery_from": 4, "ended_at": 22, "states": [STATES[0], replace(STATES[1], by=RECOVERED)]},
            ["P1"],
            id="a token of the recovery is current until it expires",
        ),
    ],
)
def test_the_promises_that_a_history_breaks(changes: dict[str, Any], broken: list[str]) -> None:
    assert [violation.promise for violation in violations(replace(HISTORY, **changes))] == broken


def test_rendered_events_name_versions_instead_of_tokens() -> None:
    rendered = render_events(replace(HISTORY, logouts=[Logout(7.2, "token-a", FIRST, 7.15)]))
    assert "run first logged out the token of a" in rendered
    assert "token-a" not in rendered
