"""What labels say at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handler.model import Entry, Ledger, Policy
from handler.terminal.status import as_json, duration, fate, headline, live, status_of

T0 = datetime(2026, 11, 23, 22, tzinfo=UTC)
POLICY = Policy(timedelta(seconds=600), 0.5, timedelta(minutes=5))


def entry(name: str, minutes: float = 0.0, life_minutes: float = 60.0) -> Entry:
    published_at = T0 + timedelta(minutes=minutes)
    return Entry(
        f"{name}-0000-0000", published_at, published_at + timedelta(minutes=life_minutes), (f"label of {name}",)
    )


CURRENT = entry("current")
UNLABELLED = Entry("current-0000-0000")
UNREADABLE = Entry("unreadable-0000", labels=("nonsense",))


@pytest.mark.parametrize(
    ("current", "minutes", "state", "says"),
    [
        (CURRENT, 0, "fresh", "fresh: renews in 30 min, with the first run from then on"),
        (CURRENT, 29.99, "fresh", "fresh: renews in 0 s"),
        (CURRENT, 30, "due", "due since 22:30:00, as RENEW_AT_FRACTION of its life is over: the next run renews it"),
        (CURRENT, 39.99, "due", "due since 22:30:00"),
        (CURRENT, 40, "overdue", "overdue since 22:30:00: runs fail or do not happen"),
        (CURRENT, 59.99, "overdue", "overdue"),
        (CURRENT, 60, "expired", "expired 0 s ago: consumers are refused"),
        (CURRENT, 60 * 25, "expired", "expired 1 d ago"),
        (entry("short", 0, 20), 5, "due", "due since 22:05:00, as no more of its life is left than GRACE_SECONDS and"),
        (entry("short", 0, 20), 10.01, "overdue", "overdue since 22:05:00"),
        (
            UNLABELLED,
            0,
            "not-in-ledger",
            "current version not in the ledger, as it has no label: the next run publishes",
        ),
        (UNREADABLE, 0, "not-in-ledger", "current version not in the ledger, as its label cannot be read"),
        (None, 0, "no-value", "no value: nothing has been published yet"),
    ],
)
def test_the_state_of_the_current_token(current: Entry | None, minutes: float, state: str, says: str) -> None:
    status = status_of(Ledger(current), POLICY, T0 + timedelta(minutes=minutes))
    assert status.state == state
    assert headline(status).startswith(says)


def test_a_secret_that_is_marked_for_deletion_says_so() -> None:
    status = status_of(None, POLICY, T0)
    assert status.state == "marked-for-deletion"
    assert "RestoreSecret" in headline(status)
    assert as_json(status)["version_id"] is None


@pytest.mark.parametrize(
    ("current", "superseded", "minutes", "state", "says"),
    [
        (CURRENT, entry("old", -30), 4, "in-grace", "in its grace, revoked in 6 min"),
        (CURRENT, entry("old", -55), 4, "in-grace", "in its grace, expires in 1 min"),
        (CURRENT, entry("old", -30), 10, "revocation-due", "its grace is over, revoked by the next run"),
        (CURRENT, entry("old", -30), 30, "expired", "expired, dropped by the next run"),
        (CURRENT, entry("new", 1), 4, "newer-than-current", "newer: rolled back from, expires in 57 min"),
        (CURRENT, UNREADABLE, 4, "in-grace", "in its grace, revoked in 6 min (label cannot be read)"),
        (UNLABELLED, entry("old", -30), 4, "unknown", "left alone until another token is published"),
        (None, entry("old", -30), 4, "unknown", "left alone until another token is published"),
    ],
)
def test_what_becomes_of_a_superseded_token(
    current: Entry | None, superseded: Entry, minutes: float, state: str, says: str
) -> None:
    now = T0 + timedelta(minutes=minutes)
    (seen,) = status_of(Ledger(current, (superseded,)), POLICY, now).superseded
    assert (seen.fate, fate(seen, now)) == (state, says)


def test_without_a_grace_a_superseded_token_is_due_at_once() -> None:
    policy = Policy(timedelta(0), 0.5, timedelta(minutes=5))
    (seen,) = status_of(Ledger(CURRENT, (entry("old", -30),)), policy, T0 - timedelta(seconds=0.5)).superseded
    assert seen.fate == "revocation-due"


def test_the_json_has_what_the_help_says() -> None:
    status = status_of(Ledger(CURRENT, (entry("old", -30),)), POLICY, T0 + timedelta(seconds=90.5))
    epoch = int(T0.timestamp())
    assert as_json(status) == {
        "state": "fresh",
        "reason": "fresh",
        "checked_at": epoch + 90,
        "version_id": "current-0000-0000",
        "published_at": epoch,
        "renews_at": epoch + 1800,
        "expires_at": epoch + 3600,
        "superseded": [
            {
                "version_id": "old-0000-0000",
                "state": "in-grace",
                "published_at": epoch - 1800,
                "expires_at": epoch + 1800,
                "ends_at": epoch + 600,
            }
        ],
    }


@pytest.mark.parametrize(
    ("ledger", "alive"),
    [
        (None, 0),
        (Ledger(None), 0),
        (Ledger(CURRENT, (entry("old", -30), entry("dead", -60), UNREADABLE)), 3),
        (Ledger(entry("dead", -60), (entry("older", -90),)), 0),
    ],
)
def test_what_may_be_alive_is_counted(ledger: Ledger | None, alive: int) -> None:
    assert live(status_of(ledger, POLICY, T0)) == alive


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min 59 s"),
        (3601, "1 h"),
        (3660, "1 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_duration_is_said_in_its_two_largest_units(seconds: float, says: str) -> None:
    assert duration(timedelta(seconds=seconds)) == says
