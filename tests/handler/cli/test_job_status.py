"""The status at a given time, computed from labels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handler.cli.job import PastRun, PastRuns
from handler.cli.job_status import as_json, count_active, ending_of, headline, runs_in_words, status_of
from handler.cli.time_format import duration
from handler.errors import IRREVOCABLE
from handler.ledger import Entry, Ledger
from handler.model import Policy

T0 = datetime(2026, 11, 23, 22, tzinfo=UTC)
POLICY = Policy(timedelta(seconds=600), 0.33, timedelta(minutes=5))


def entry(name: str, minutes: float = 0.0, lifetime_minutes: float = 60.0) -> Entry:
    published_at = T0 + timedelta(minutes=minutes)
    return Entry(
        f"{name}-0000-0000",
        published_at,
        published_at + timedelta(minutes=lifetime_minutes),
        (f"label of {name}",),
        first_published_at=published_at,
    )


CURRENT = entry("current")
UNLABELLED = Entry("current-0000-0000")
UNREADABLE = Entry("unreadable-0000", labels=("nonsense",))


@pytest.mark.parametrize(
    ("current", "minutes", "state", "says"),
    [
        (CURRENT, 0, "fresh", "fresh: renewed within 20 min, by 22:20:00"),
        (CURRENT, 13.99, "fresh", "fresh: renewed within 6 min, by 22:20:00"),
        (CURRENT, 14.01, "due", "due, since RENEW_AT_FRACTION of its lifetime is almost used: the next"),
        (CURRENT, 21, "due", "due"),
        (CURRENT, 21.01, "overdue", "overdue since 22:20:00: runs fail or do not happen"),
        *((CURRENT, 59.99, "overdue", "overdue"), (CURRENT, 60, "expired", "expired 0 s ago: consumers get 401")),
        (CURRENT, 60 * 25, "expired", "expired 1 d ago"),
        (entry("short", 0, 50), 15.01, "due", "due, since RENEW_AT_FRACTION"),
        (entry("short", 0, 30), 12, "fresh", "fresh: renewed within 8 min, by 22:20:00"),
        (entry("short", 0, 30), 20.01, "overdue", "overdue since 22:20:00"),
        (
            UNLABELLED,
            0,
            "not-in-ledger",
            "current version not in the ledger, since it has no label: the next run restores it",
        ),
        (UNREADABLE, 0, "not-in-ledger", "current version not in the ledger, since its label cannot be read"),
        (None, 0, "no-value", "no value: no token has been published yet"),
    ],
)
def test_the_state_of_the_current_token(current: Entry | None, minutes: float, state: str, says: str) -> None:
    status = status_of(Ledger(current), POLICY, T0 + timedelta(minutes=minutes))
    assert status.state == state
    assert headline(status).startswith(says)


def test_a_secret_marked_for_deletion_is_reported() -> None:
    status = status_of(None, POLICY, T0)
    assert status.state == "marked-for-deletion"
    assert "RestoreSecret" in headline(status)
    assert as_json(status)["version_id"] is None


@pytest.mark.parametrize(
    ("current", "superseded", "minutes", "state", "says"),
    [
        (CURRENT, entry("old", -30), 4, "in-grace", "in its grace period, revoked in 6 min"),
        (CURRENT, entry("old", -55), 4, "in-grace", "in its grace period, expires in 1 min"),
        (CURRENT, entry("old", -30), 10, "revocation-due", "its grace period is over, revoked by the next run"),
        (CURRENT, entry("old", -30), 30, "expired", "expired, removed by the next run"),
        (
            CURRENT,
            entry("new", 1),
            4,
            "newer-than-current",
            "newer than current (rolled back), grace period starts with the next run, expires in 57 min",
        ),
        (CURRENT, UNREADABLE, 4, "in-grace", "in its grace period, revoked in 6 min (label cannot be read)"),
        (UNLABELLED, entry("old", -30), 4, "unknown", "stays until another token is published"),
        (None, entry("old", -30), 4, "unknown", "stays until another token is published"),
    ],
)
def test_the_state_of_a_superseded_token(
    current: Entry | None, superseded: Entry, minutes: float, state: str, says: str
) -> None:
    now = T0 + timedelta(minutes=minutes)
    (seen,) = status_of(Ledger(current, (superseded,)), POLICY, now).superseded
    assert (seen.ending, ending_of(seen, now)) == (state, says)


@pytest.mark.parametrize("code", sorted(IRREVOCABLE))
@pytest.mark.parametrize("minutes", [4, 10])
def test_a_token_that_no_retry_revokes_is_shown_with_its_expiry(code: str, minutes: int) -> None:
    old, now = entry("old", -30), T0 + timedelta(minutes=minutes)
    runs = PastRuns(T0, (), failed_revocations={old.version_id: code})
    (seen,) = status_of(Ledger(CURRENT, (old,)), POLICY, now, runs=runs).superseded
    assert (seen.ending, seen.ends_at, seen.failed_with) == ("not-revocable", old.expires_at, code)
    assert ending_of(seen, now) == f"it cannot be revoked, expires in {30 - minutes} min [{code}]"


def test_without_a_grace_a_superseded_token_is_due_at_once() -> None:
    policy = Policy(timedelta(0), 0.33, timedelta(minutes=5))
    (seen,) = status_of(Ledger(CURRENT, (entry("old", -30),)), policy, T0 - timedelta(seconds=0.5)).superseded
    assert seen.ending == "revocation-due"


def test_the_json_has_the_fields_that_the_help_lists() -> None:
    status = status_of(Ledger(CURRENT, (entry("old", -30),)), POLICY, T0 + timedelta(seconds=90.5))
    epoch = int(T0.timestamp())
    assert as_json(status) == {
        "state": "fresh",
        "reason": "fresh",
        "accepted": None,
        "credentials_fallback": None,
        "last_run": None,
        "failed_runs": None,
        "checked_at": epoch + 90,
        "version_id": "current-0000-0000",
        "published_at": epoch,
        "renews_at": epoch + 1200,
        "expires_at": epoch + 3600,
        "superseded": [
            {
                "version_id": "old-0000-0000",
                "state": "in-grace",
                "published_at": epoch - 1800,
                "expires_at": epoch + 1800,
                "ends_at": epoch + 600,
                "failed_with": None,
            }
        ],
    }


@pytest.mark.parametrize(
    ("ledger", "active"),
    [
        *((None, 0), (Ledger(None), 0), (Ledger(CURRENT, (entry("old", -30), entry("expired", -60), UNREADABLE)), 3)),
        (Ledger(entry("expired", -60), (entry("older", -90),)), 0),
    ],
)
def test_possibly_active_tokens_are_counted(ledger: Ledger | None, active: int) -> None:
    assert count_active(status_of(ledger, POLICY, T0)) == active


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        *((-5, "0 s"), (0.9, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min 59 s"), (3601, "1 h")),
        *((3660, "1 h 1 min"), (90_000, "1 d 1 h")),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, says: str) -> None:
    assert duration(timedelta(seconds=seconds)) == says


def ran(minutes: float, outcome: str) -> PastRun:
    return PastRun(T0 + timedelta(minutes=minutes), outcome, f"run ended: {outcome}", None)


@pytest.mark.parametrize(
    ("ended", "state", "says"),
    [
        ([], "not-running", "no run has ended since 21:34:00: check that the schedule is enabled"),
        ([ran(0, "rotated")], "fresh", "the last run ended at 22:00:00: rotated"),
        # Two schedule periods and two minutes.
        ([ran(-8, "not-due")], "fresh", "the last run ended at 21:52:00: not-due"),
        ([ran(-8.1, "not-due")], "not-running", "the last run ended at 21:51:54: check that the schedule is enabled"),
        ([ran(-5, "not-due"), ran(0, "failed")], "failing", "the last run failed, the last at 22:00:00: run ended"),
        ([ran(-5, "failed"), ran(0, "failed")], "failing", "the last 2 runs failed, the last at 22:00:00: run ended"),
        ([ran(-5, "failed"), ran(0, "not-due")], "fresh", "the last run ended at 22:00:00: not-due"),
    ],
)
def test_the_outcomes_of_the_last_runs_set_the_state(ended: list[PastRun], state: str, says: str) -> None:
    runs = PastRuns(T0 - timedelta(minutes=26), tuple(ended))
    status = status_of(Ledger(CURRENT), POLICY, T0 + timedelta(minutes=4), runs=runs)
    assert status.state == state
    assert (runs_in_words(status) or "").startswith(says)
    assert "renewed within" in headline(status)


def test_a_rejected_token_is_unusable_whatever_its_label_says() -> None:
    status = status_of(Ledger(CURRENT), POLICY, T0, accepted=False)
    assert (status.state, as_json(status)["accepted"]) == ("not-accepted", False)
    assert "rejected by VERIFY_URL" in headline(status)


@pytest.mark.parametrize("ledger", [None, Ledger(None), Ledger(UNLABELLED)])
def test_failing_runs_are_reported_beside_any_other_problem(ledger: Ledger | None) -> None:
    runs = PastRuns(T0, (ran(0, "failed"),))
    status = status_of(ledger, POLICY, T0, runs=runs)
    assert status.state in {"marked-for-deletion", "no-value", "not-in-ledger"}
    assert "failed" in (runs_in_words(status) or "")
