"""The checker against histories of a few lines: what is a violation, and what is excused."""

from __future__ import annotations

import pytest

from infra.chaos.event_log import render_events
from infra.promises.checker import violations
from infra.promises.history import EMERGENCY, History, Logout, RunRecord, State


def seen(name: str = "run", at: float = 0, action: str = "rotate-now", **more: object) -> RunRecord:
    run = RunRecord(name=name, request_id=name, action=action, began_at=at, ended_at=at + 0.1)
    for field, value in more.items():
        setattr(run, field, value)
    return run


def state(at: float, by: RunRecord | None, *versions: str, current: str) -> State:
    """All versions are tracked."""
    stages = {version: frozenset({f"LIVE_{version}"}) for version in versions}
    return State(at, by, stages | {current: frozenset({"AWSCURRENT", f"LIVE_{current}"})})


@pytest.fixture
def history() -> History:
    """Two runs have published the tokens of a and b; each lives eighteen seconds, and the grace is two."""
    first, second = seen("first", 0, put_at=0.05), seen("second", 5, put_at=5.05)
    history = History(grace=2, runs=[first, second])
    history.states = [state(0.1, first, current="a"), state(5.1, second, "a", current="b")]
    history.values = {"a": "token-a", "b": "token-b"}
    history.expires_at = {"token-a": 18, "token-b": 23}
    history.documented_until = {"a": 18, "b": 23}
    return history


def promises(history: History) -> list[str]:
    return [violation.promise for violation in violations(history)]


def test_a_token_that_is_logged_out_after_its_grace_breaks_nothing(history: History) -> None:
    history.logouts = [Logout(7.2, "token-a", seen(at=7.1), 7.15)]
    assert promises(history) == []


def test_a_token_that_is_logged_out_within_its_grace_breaks_p1(history: History) -> None:
    history.logouts = [Logout(6.0, "token-a", seen(at=5.9), 5.95)]
    assert promises(history) == ["P1"]


def test_an_emergency_may_cut_the_grace_short(history: History) -> None:
    history.logouts = [Logout(6.0, "token-a", seen(at=5.9, action=EMERGENCY), 5.95)]
    assert promises(history) == []


def test_a_logout_of_the_current_token_breaks_p3(history: History) -> None:
    history.logouts = [Logout(6.0, "token-b", seen(at=5.9), 5.95)]
    assert promises(history) == ["P3"]


@pytest.mark.parametrize(("compared_at", "broken"), [(6.9, []), (7.1, ["P3"]), (None, ["P3"])])
def test_a_roll_back_after_the_last_comparison_is_one_that_no_run_can_see(
    history: History, compared_at: float | None, broken: list[str]
) -> None:
    history.states.append(state(7.0, None, "b", current="a"))
    history.logouts = [Logout(7.2, "token-a", seen(at=6.8), compared_at)]
    assert [promise for promise in promises(history) if promise == "P3"] == broken


def test_a_live_token_that_loses_its_label_breaks_p2(history: History) -> None:
    history.states.append(State(6.0, seen(at=5.9), {"b": frozenset({"AWSCURRENT", "LIVE_b"}), "a": frozenset()}))
    assert promises(history) == ["P2"]


def test_a_live_token_that_a_run_has_reported_may_lose_its_label_for_good(history: History) -> None:
    stages = {"b": frozenset({"AWSCURRENT", "LIVE_b"}), "a": frozenset[str]()}
    history.states += [State(6.0, seen(at=5.9, abandoned=1), stages), State(7.0, seen(at=6.9), stages)]
    assert promises(history) == []


def test_an_expired_token_may_lose_its_label(history: History) -> None:
    history.states.append(State(18.0, seen(at=17.9), {"b": frozenset({"AWSCURRENT", "LIVE_b"}), "a": frozenset()}))
    assert promises(history) == []


def test_a_document_that_overstates_a_lifetime_breaks_p1(history: History) -> None:
    history.documented_until["b"] = 24
    assert promises(history) == ["P1"]


def test_a_revoked_token_may_lose_its_label(history: History) -> None:
    history.logouts = [Logout(7.2, "token-a", seen(at=7.1), 7.15)]
    history.states.append(State(7.3, seen(at=7.1), {"b": frozenset({"AWSCURRENT", "LIVE_b"}), "a": frozenset()}))
    assert promises(history) == []


@pytest.mark.parametrize(("abandoned", "is_killed", "broken"), [(0, False, ["P2"]), (1, False, []), (0, True, [])])
def test_a_token_that_a_run_leaves_active_must_be_counted_unless_the_run_was_killed(
    history: History, *, abandoned: int, is_killed: bool, broken: list[str]
) -> None:
    history.runs.append(seen("third", 8, left_active=1, abandoned=abandoned, is_killed=is_killed))
    assert promises(history) == broken


def test_a_run_that_fails_without_a_fault_breaks_p5_and_for_its_logouts_p6(history: History) -> None:
    history.runs.append(seen("third", 8, failure="it failed"))
    history.runs.append(seen("fourth", 9, failure="it failed"))
    history.runs[-1].faults["logout"] += 1
    assert promises(history) == ["P5", "P6"]


def test_a_run_that_fails_with_a_fault_breaks_nothing(history: History) -> None:
    history.runs.append(seen("third", 8, failure="it failed"))
    history.runs[-1].faults["token"] += 1
    assert promises(history) == []


def test_without_an_active_token_at_the_end_p5_is_broken(history: History) -> None:
    history.recovery_from, history.ended_at = 10, 24
    assert "P5" in promises(history)


def test_a_superseded_token_that_is_active_long_after_its_grace_breaks_p2(history: History) -> None:
    history.recovery_from, history.ended_at = 10, 12
    assert promises(history) == ["P2"]


def test_a_token_of_the_recovery_that_is_current_until_it_expires_breaks_p1(history: History) -> None:
    history.runs[1].is_recovery = True
    history.recovery_from, history.ended_at = 4, 22
    history.logouts = [Logout(7.2, "token-a", seen(at=7.1), 7.15)]
    assert promises(history) == ["P1"]


def test_the_events_of_an_experiment_name_versions_and_no_token(history: History) -> None:
    history.logouts = [Logout(7.2, "token-a", history.runs[0], 7.15)]
    told = render_events(history)
    assert "run first logged out the token of a" in told
    assert "token-a" not in told
