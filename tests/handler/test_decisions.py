"""What is due and what may be revoked, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handler import decisions
from handler.model import Action, Entry, Ledger, Policy, Reason, Token

T0 = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)
POLICY = Policy(grace=timedelta(seconds=600), renew_at_fraction=0.5, schedule=timedelta(minutes=5))


def at(**time: float) -> datetime:
    return T0 + timedelta(**time)


def entry(name: str, published: datetime | None = T0, life_seconds: float = 3600, labels: int = 1) -> Entry:
    expires_at = published + timedelta(seconds=life_seconds) if published else None
    return Entry(name, published, expires_at, tuple(f"LIVE_{name}_{number}" for number in range(labels)))


CURRENT = Ledger(entry("current"))


@pytest.mark.parametrize(
    ("now", "is_due", "reason"),
    [
        pytest.param(at(), False, Reason.FRESH, id="a token just published is fresh"),
        pytest.param(at(seconds=1799), False, Reason.FRESH, id="a second before half its life it is fresh"),
        pytest.param(at(seconds=1800), True, Reason.SHARE_OF_LIFE_USED, id="at half its life it is due"),
        pytest.param(at(seconds=4000), True, Reason.SHARE_OF_LIFE_USED, id="an expired token is due"),
    ],
)
def test_a_token_is_renewed_at_its_share_of_life(now: datetime, is_due: bool, reason: Reason) -> None:
    assert decisions.renewal(CURRENT, POLICY, now, Action.RENEW_IF_DUE, "id") == (is_due, reason)


@pytest.mark.parametrize(
    ("now", "is_due", "reason"),
    [
        pytest.param(at(seconds=299), False, Reason.FRESH, id="a second before it would be too late"),
        pytest.param(at(seconds=300), True, Reason.TOO_LITTLE_LIFE_LEFT, id="when grace and one period are left"),
    ],
)
def test_a_short_token_is_renewed_while_its_grace_and_one_period_are_left(
    now: datetime,
    is_due: bool,
    reason: Reason,
) -> None:
    ledger = Ledger(entry("current", life_seconds=1200))
    policy = Policy(timedelta(seconds=600), 0.9, timedelta(minutes=5))
    assert decisions.renewal(ledger, policy, now, Action.RENEW_IF_DUE, "id") == (is_due, reason)


@pytest.mark.parametrize(
    ("ledger", "action", "reason"),
    [
        pytest.param(Ledger(None), Action.RENEW_IF_DUE, Reason.NO_CURRENT_VERSION, id="a secret without a value"),
        pytest.param(
            Ledger(Entry("current")), Action.RENEW_IF_DUE, Reason.NOT_IN_LEDGER, id="a current version without a label"
        ),
        pytest.param(
            Ledger(entry("current", None)), Action.RENEW_IF_DUE, Reason.NOT_IN_LEDGER, id="a label nobody can read"
        ),
        pytest.param(CURRENT, Action.ROTATE_NOW, Reason.FORCED, id="an operator's wish"),
        pytest.param(CURRENT, Action.ROTATE_AND_REVOKE_NOW, Reason.LEAKED, id="a leak"),
    ],
)
def test_also_due_is(ledger: Ledger, action: Action, reason: Reason) -> None:
    assert decisions.renewal(ledger, POLICY, T0, action, "id") == (True, reason)


@pytest.mark.parametrize("action", [Action.ROTATE_NOW, Action.ROTATE_AND_REVOKE_NOW])
def test_a_repeated_delivery_of_a_forced_rotation_mints_no_second_token(action: Action) -> None:
    assert decisions.renewal(CURRENT, POLICY, T0, action, "current") == (False, Reason.ALREADY_ROTATED)


def test_a_repeated_delivery_long_after_still_renews_what_is_due() -> None:
    assert decisions.renewal(CURRENT, POLICY, at(hours=1), Action.RENEW_IF_DUE, "current")[0]


OLD = entry("old", at(hours=-1))
UNREADABLE = entry("unreadable", None)


@pytest.mark.parametrize(
    ("superseded", "now", "revocable"),
    [
        pytest.param(OLD, at(seconds=599), False, id="not a second before its grace has passed"),
        pytest.param(OLD, at(seconds=600), True, id="when its grace has passed"),
        pytest.param(entry("twin", T0), at(seconds=600), True, id="also if published in the same second"),
        pytest.param(entry("newer", at(seconds=1)), at(hours=1), False, id="never one that is newer: rolled back"),
        pytest.param(UNREADABLE, at(seconds=599), False, id="one with an unreadable label has its grace too"),
        pytest.param(UNREADABLE, at(seconds=600), True, id="and is not kept for ever"),
    ],
)
def test_a_superseded_token_may_be_revoked(superseded: Entry, now: datetime, revocable: bool) -> None:
    ledger = Ledger(entry("current"), (superseded,))
    assert (superseded in decisions.revocable(ledger, now, POLICY.grace)) is revocable


@pytest.mark.parametrize("current", [None, Entry("current"), entry("current", None)])
def test_nothing_is_revoked_while_it_is_unknown_when_it_was_superseded(current: Entry | None) -> None:
    assert decisions.revocable(Ledger(current, (OLD,)), at(days=1), POLICY.grace) == ()


def test_without_a_grace_the_rounded_time_of_publication_is_not_waited_for() -> None:
    ledger = Ledger(entry("current", at(seconds=1)), (OLD,))
    assert decisions.revocable(ledger, T0, timedelta(0)) == (OLD,)


def test_the_current_token_is_never_revocable_nor_dropped_as_expired() -> None:
    assert decisions.revocable(CURRENT, at(days=9), timedelta(0)) == ()
    assert decisions.expired(CURRENT, at(days=9)) == ()


@pytest.mark.parametrize(("seconds", "is_expired"), [(-1, False), (0, True)])
def test_a_superseded_token_is_expired_from_the_second_on_that_its_label_names(seconds: int, is_expired: bool) -> None:
    assert OLD.expires_at is not None
    now = OLD.expires_at + timedelta(seconds=seconds)
    assert (OLD in decisions.expired(Ledger(entry("current"), (OLD,)), now)) is is_expired


def test_one_with_an_unreadable_label_is_never_taken_for_expired() -> None:
    assert decisions.expired(Ledger(entry("current"), (UNREADABLE,)), at(days=9)) == ()


@pytest.mark.parametrize(
    ("ledger", "is_full"),
    [
        (Ledger(entry("current"), tuple(entry(f"old-{n}") for n in range(14))), False),
        (Ledger(entry("current"), tuple(entry(f"old-{n}") for n in range(15))), True),
        (Ledger(entry("current", labels=16)), True),
        (Ledger(None, tuple(entry(f"old-{n}") for n in range(16))), True),
    ],
)
def test_the_ledger_is_full_at_sixteen_labels(ledger: Ledger, is_full: bool) -> None:
    assert decisions.is_full(ledger) is is_full


@pytest.mark.parametrize(
    ("told", "lives_longer"),
    [(at(seconds=3600), False), (at(seconds=3598), False), (at(seconds=3597), True), (None, True)],
)
def test_a_token_handed_out_again_is_published_only_for_a_really_longer_life(
    told: datetime | None,
    lives_longer: bool,
) -> None:
    token = Token("CANARY", "Bearer", T0, at(seconds=3600))
    assert decisions.outlives(token, told) is lives_longer


@pytest.mark.parametrize(("seconds", "slack_seconds"), [(3600, 900), (2400, 300), (1800, 0), (901, 0), (600, 0)])
def test_the_slack_is_what_is_left_after_the_renewal_the_grace_and_one_period(seconds: int, slack_seconds: int) -> None:
    assert decisions.slack(timedelta(seconds=seconds), POLICY) == timedelta(seconds=slack_seconds)


@pytest.mark.parametrize(
    ("life_minutes", "minutes", "is_overdue"),
    [(60, 39.99, False), (60, 40, True), (20, 10, False), (20, 10.01, True), (10, 5, False), (10, 5.01, True)],
)
def test_a_renewal_is_overdue_when_runs_must_have_failed_or_the_grace_is_not_whole(
    life_minutes: float, minutes: float, is_overdue: bool
) -> None:
    current = Entry("current", T0, at(minutes=life_minutes), ("label",))
    assert decisions.is_overdue(current, POLICY, at(minutes=minutes)) is is_overdue


def test_what_is_not_in_the_ledger_is_not_overdue() -> None:
    assert not decisions.is_overdue(Entry("current"), POLICY, at(days=9))


@pytest.mark.parametrize(("seconds", "is_too_short"), [(900, True), (901, False)])
def test_a_life_of_grace_and_one_period_is_too_short(seconds: int, is_too_short: bool) -> None:
    assert decisions.is_life_too_short(timedelta(seconds=seconds), POLICY) is is_too_short
