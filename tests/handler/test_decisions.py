"""What is due and what may be revoked, case by case: each instant is worked out by hand from the formula."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from handler import decisions
from handler.ledger import Entry, Ledger, new_entry
from handler.model import Action, Policy, Reason, Token

T0 = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)


def at(**time: float) -> datetime:
    return T0 + timedelta(**time)


def policy(*, grace: int = 600, fraction: float = 0.33, minutes: float = 5) -> Policy:
    return Policy(timedelta(seconds=grace), fraction, timedelta(minutes=minutes))


def entry(
    name: str, published_at: datetime = T0, life_seconds: float = 3600, *, first: datetime | None = None
) -> Entry:
    new = new_entry(name, published_at, (first or published_at) + timedelta(seconds=life_seconds))
    return replace(new, first_published_at=first or published_at)


DEFAULTS = policy()
CURRENT = Ledger(entry("current"))
UNREADABLE = Entry("unreadable", labels=("LIVE_",))
SHARE, LITTLE = Reason.SHARE_OF_LIFE_USED, Reason.TOO_LITTLE_LIFE_LEFT


# Renewal


@pytest.mark.parametrize(
    ("life", "settings", "not_before", "needed_at", "renewed_at", "reason"),
    [
        # Columns: seconds from the publication. A third of an hour is before 15 + 5 + 1 minutes.
        pytest.param(3600, DEFAULTS, 900, 1860, 1260, SHARE, id="the defaults"),
        pytest.param(3599, DEFAULTS, 900, 1859, 1260, SHARE, id="an hour as Telenor counts it"),
        pytest.param(3600, policy(minutes=2), 900, 2400, 1188, SHARE, id="every two minutes"),
        pytest.param(3600, policy(minutes=1), 900, 2580, 1188, SHARE, id="every minute"),
        pytest.param(3600, policy(fraction=0.5), 900, 1860, 1800, SHARE, id="half the life"),
        pytest.param(3600, policy(fraction=0.9), 900, 1860, 1860, LITTLE, id="a share that leaves too little"),
        pytest.param(3600, policy(fraction=0.01), 900, 1860, 1260, SHARE, id="a share below the floor"),
        pytest.param(3600, policy(grace=1200), 900, 1260, 1260, SHARE, id="the longest grace that holds"),
        pytest.param(3600, policy(grace=3300), 900, -840, 1260, LITTLE, id="a grace that cannot hold"),
        pytest.param(7200, DEFAULTS, 900, 5460, 2376, SHARE, id="two hours"),
        pytest.param(1200, DEFAULTS, 800, -540, 1160, LITTLE, id="twenty minutes: two thirds of the life is the floor"),
        pytest.param(900, DEFAULTS, 600, -840, 960, LITTLE, id="a quarter of an hour"),
    ],
)
def test_a_token_is_renewed_at_a_time_that_the_settings_tell(
    life: float, settings: Policy, not_before: float, needed_at: float, renewed_at: float, reason: Reason
) -> None:
    times = decisions.renewal_times(T0, at(seconds=life), settings)
    assert times == decisions.RenewalTimes(
        at(seconds=not_before), at(seconds=needed_at), at(seconds=renewed_at), reason
    )
    assert times.are_in_order is (renewed_at <= needed_at)


@pytest.mark.parametrize(
    ("life", "settings", "last_fresh"),
    [
        # Due when the next run, a period and its latitude later, might come after the time.
        pytest.param(3600, DEFAULTS, 1260 - 360, id="the defaults"),
        pytest.param(3600, policy(fraction=0.5), 1800 - 360, id="half the life"),
        pytest.param(3600, policy(fraction=0.9), 1860 - 360, id="too little left"),
        pytest.param(3600, policy(minutes=2), 1188 - 180, id="every two minutes"),
        pytest.param(3600, policy(minutes=1), 1188 - 90, id="every minute, half of which is the latitude"),
        pytest.param(3600, policy(grace=3300), 1260 - 360, id="never sustained faster than the floor"),
        pytest.param(900, DEFAULTS, 960 - 360, id="a short life"),
    ],
)
def test_a_token_is_renewed_in_the_last_run_before_its_time(life: float, settings: Policy, last_fresh: float) -> None:
    ledger = Ledger(entry("current", life_seconds=life))
    reason = decisions.renewal_times(T0, at(seconds=life), settings).reason

    def renewal(now: datetime) -> tuple[bool, Reason]:
        return decisions.renewal(ledger, settings, now, Action.RENEW_IF_DUE, "id")

    assert renewal(at(seconds=last_fresh)) == (False, Reason.FRESH)
    assert renewal(at(seconds=last_fresh, microseconds=1)) == (True, reason)


def test_a_clock_that_runs_every_five_minutes_renews_every_twenty() -> None:
    due = [
        decisions.renewal(CURRENT, DEFAULTS, at(minutes=minutes), Action.RENEW_IF_DUE, "id")[0]
        for minutes in (0, 5, 10, 15, 20)
    ]
    assert due == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("ledger", "now", "action", "reason"),
    [
        pytest.param(Ledger(None), T0, Action.RENEW_IF_DUE, Reason.NO_CURRENT_VERSION, id="a secret without a value"),
        pytest.param(
            Ledger(Entry("current")), T0, Action.RENEW_IF_DUE, Reason.NOT_IN_LEDGER, id="a version without a label"
        ),
        pytest.param(Ledger(UNREADABLE), T0, Action.RENEW_IF_DUE, Reason.NOT_IN_LEDGER, id="a label nobody can read"),
        pytest.param(CURRENT, at(hours=1), Action.RENEW_IF_DUE, Reason.EXPIRED, id="an expired token"),
        pytest.param(
            Ledger(entry("current", life_seconds=60)),
            at(minutes=1),
            Action.RENEW_IF_DUE,
            Reason.EXPIRED,
            id="an expired token, whatever the floor",
        ),
        pytest.param(CURRENT, T0, Action.ROTATE_NOW, Reason.FORCED, id="an operator's wish"),
        pytest.param(CURRENT, T0, Action.ROTATE_AND_REVOKE_NOW, Reason.LEAKED, id="a leak"),
    ],
)
def test_due_at_once_is(ledger: Ledger, now: datetime, action: Action, reason: Reason) -> None:
    assert decisions.renewal(ledger, DEFAULTS, now, action, "id") == (True, reason)


def test_a_second_before_it_expires_a_token_has_not_expired() -> None:
    assert decisions.renewal(CURRENT, DEFAULTS, at(seconds=3599), Action.RENEW_IF_DUE, "id") == (True, SHARE)


@pytest.mark.parametrize("action", [Action.ROTATE_NOW, Action.ROTATE_AND_REVOKE_NOW])
@pytest.mark.parametrize("ledger", [CURRENT, Ledger(entry("newer", at(minutes=1)), (entry("current"),))])
def test_a_repeated_delivery_of_a_forced_rotation_mints_no_second_token(ledger: Ledger, action: Action) -> None:
    assert decisions.renewal(ledger, DEFAULTS, T0, action, "current") == (False, Reason.ALREADY_ROTATED)


def test_a_repeated_delivery_long_after_still_renews_what_is_due() -> None:
    assert decisions.renewal(CURRENT, DEFAULTS, at(hours=1), Action.RENEW_IF_DUE, "current")[0]


def test_a_token_that_became_current_again_is_renewed_by_its_own_age() -> None:
    """Rolled back to after 18 minutes, it is due in the run after 15 of its first 20, and not later."""
    ledger = Ledger(entry("current", at(minutes=18), first=T0))
    assert decisions.renewal(ledger, DEFAULTS, at(minutes=18), Action.RENEW_IF_DUE, "id") == (True, SHARE)


@pytest.mark.parametrize(
    ("current", "now", "may_be"),
    [
        pytest.param(entry("current"), at(seconds=899), False, id="not within a quarter of an hour"),
        pytest.param(entry("current"), at(seconds=900), True, id="after a quarter of an hour"),
        pytest.param(entry("current", life_seconds=900), at(seconds=600), True, id="after two thirds of a short life"),
        pytest.param(entry("current", life_seconds=900), at(seconds=599), False, id="and not before"),
        pytest.param(UNREADABLE, T0, True, id="where nothing says how old it is"),
    ],
)
def test_a_token_that_is_not_accepted_is_replaced(current: Entry, now: datetime, may_be: bool) -> None:
    assert decisions.may_replace_refused(Ledger(current), DEFAULTS, now) is may_be


@pytest.mark.parametrize(
    ("current", "now", "is_overdue"),
    [
        pytest.param(entry("current"), at(seconds=1320), False, id="the run that comes a minute late"),
        pytest.param(entry("current"), at(seconds=1321), True, id="no run by then: one must have failed"),
        pytest.param(entry("current", life_seconds=1500), at(seconds=900), False, id="the grace is just whole"),
        pytest.param(entry("current", life_seconds=1500), at(seconds=901), True, id="the grace is not whole any more"),
        pytest.param(Entry("current"), at(days=9), False, id="what is not in the ledger tells nothing"),
    ],
)
def test_a_renewal_is_overdue(current: Entry, now: datetime, is_overdue: bool) -> None:
    assert decisions.is_overdue(current, DEFAULTS, now) is is_overdue


@pytest.mark.parametrize(
    ("life", "settings", "slack"),
    [
        pytest.param(3600, DEFAULTS, 1440, id="24 minutes with the defaults"),
        pytest.param(3600, policy(fraction=0.5), 900, id="half the life"),
        pytest.param(3600, policy(fraction=0.9), 840, id="too little left"),
        pytest.param(3600, policy(minutes=1), 1752, id="every minute"),
        pytest.param(3600, policy(grace=1200), 840, id="a long grace"),
        pytest.param(900, DEFAULTS, -960, id="none, and less, for a short life"),
    ],
)
def test_the_slack_is_the_life_left_at_renewal_less_the_grace_and_one_period(
    life: float, settings: Policy, slack: float
) -> None:
    assert decisions.slack(timedelta(seconds=life), settings) == timedelta(seconds=slack)


@pytest.mark.parametrize(("seconds", "too_often"), [(899, True), (900, False), (3600, False)])
def test_a_life_of_which_two_thirds_are_less_than_ten_minutes_is_written_too_often(
    seconds: int, too_often: bool
) -> None:
    assert decisions.writes_too_often(timedelta(seconds=seconds)) is too_often


@pytest.mark.parametrize(
    ("minutes", "seconds"), [(5, 60), (2, 60), (1, 30), (0.5, 15)], ids=["five", "two", "one", "half a minute"]
)
def test_a_run_may_come_a_minute_late_or_half_a_period(minutes: float, seconds: float) -> None:
    assert decisions.latitude(policy(minutes=minutes)) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("told", "lives_longer"),
    [(at(seconds=3600), False), (at(seconds=3598), False), (at(seconds=3597), True), (None, True)],
)
def test_a_token_handed_out_again_is_published_only_for_a_really_longer_life(
    told: datetime | None, lives_longer: bool
) -> None:
    token = Token("CANARY", "Bearer", T0, at(seconds=3600))
    assert decisions.outlives(token, told) is lives_longer


# Revocation


OLD, MIDDLE, NEW = entry("old"), entry("middle", at(minutes=10)), entry("new", at(minutes=20))
ROLLED_BACK_TO = entry("old", at(minutes=20), first=T0)


@pytest.mark.parametrize(
    ("ledger", "superseded", "when"),
    [
        pytest.param(Ledger(MIDDLE, (OLD,)), OLD, at(minutes=10), id="when the current one was published"),
        pytest.param(Ledger(NEW, (OLD, MIDDLE)), OLD, at(minutes=10), id="by the next one and not by the last"),
        pytest.param(Ledger(NEW, (OLD, MIDDLE)), MIDDLE, at(minutes=20), id="each by its own next one"),
        pytest.param(
            Ledger(ROLLED_BACK_TO, (MIDDLE,)),
            MIDDLE,
            at(minutes=20),
            id="when somebody rolled back, by the second label",
        ),
        pytest.param(
            Ledger(entry("last", at(minutes=30)), (MIDDLE, ROLLED_BACK_TO)),
            ROLLED_BACK_TO,
            at(minutes=30),
            id="one that was rolled back to, when it was replaced again",
        ),
        pytest.param(
            Ledger(NEW, (replace(OLD, was_current_last=True), MIDDLE)),
            replace(OLD, was_current_last=True),
            at(minutes=20),
            id="one that was current until AWSCURRENT moved, then, also where a roll back left no label",
        ),
        pytest.param(
            Ledger(NEW, (UNREADABLE, MIDDLE)), UNREADABLE, at(minutes=20), id="unreadable: by the current one"
        ),
        pytest.param(Ledger(OLD, (UNREADABLE, MIDDLE)), UNREADABLE, None, id="unreadable, and the ledger out of order"),
        pytest.param(Ledger(OLD, (MIDDLE,)), MIDDLE, None, id="never, where nothing is later: rolled back, unlabelled"),
        pytest.param(Ledger(OLD, (entry("twin"),)), entry("twin"), None, id="never, where it ties"),
        pytest.param(
            Ledger(Entry("current"), (OLD, MIDDLE)), OLD, None, id="not known beside a current one unlabelled"
        ),
        pytest.param(Ledger(UNREADABLE, (OLD,)), OLD, None, id="not known beside a current one nobody can read"),
        pytest.param(Ledger(None, (OLD, MIDDLE)), OLD, None, id="not known where nothing is current"),
    ],
)
def test_a_token_was_superseded(ledger: Ledger, superseded: Entry, when: datetime | None) -> None:
    assert decisions.superseded_at(ledger, superseded) == when


@pytest.mark.parametrize(
    ("now", "revocable"),
    [
        (at(minutes=20, seconds=-1), ()),
        pytest.param(at(minutes=20), (OLD,), id="although another was published within its grace"),
        (at(minutes=30, seconds=-1), (OLD,)),
        (at(minutes=30), (OLD, MIDDLE)),
    ],
)
def test_a_superseded_token_may_be_revoked_when_its_own_grace_has_passed(
    now: datetime, revocable: tuple[Entry, ...]
) -> None:
    assert decisions.revocable(Ledger(NEW, (OLD, MIDDLE)), now, timedelta(minutes=10)) == revocable


def test_renewals_closer_than_the_grace_still_let_each_token_go_after_its_own() -> None:
    entries = tuple(entry(f"version-{n}", at(minutes=5 * n)) for n in range(7))
    ledger = Ledger(entries[-1], entries[:-1])
    assert decisions.revocable(ledger, at(minutes=30), timedelta(minutes=20)) == entries[:2]


def test_without_a_grace_the_rounded_time_of_publication_is_not_waited_for() -> None:
    ledger = Ledger(entry("current", at(seconds=1)), (OLD,))
    assert decisions.revocable(ledger, T0, timedelta(0)) == (OLD,)


def test_without_a_grace_nothing_goes_that_may_have_been_published_later() -> None:
    assert decisions.revocable(Ledger(OLD, (MIDDLE,)), at(days=1), timedelta(0)) == ()


def test_the_current_token_is_never_revocable_nor_dropped_as_expired() -> None:
    assert decisions.revocable(CURRENT, at(days=9), timedelta(0)) == ()
    assert decisions.expired(CURRENT, at(days=9)) == ()


@pytest.mark.parametrize(("seconds", "is_expired"), [(3599, False), (3600, True)])
def test_a_superseded_token_is_expired_from_the_second_on_that_its_label_names(seconds: int, is_expired: bool) -> None:
    assert (OLD in decisions.expired(Ledger(NEW, (OLD,)), at(seconds=seconds))) is is_expired


def test_one_with_an_unreadable_label_is_never_taken_for_expired() -> None:
    assert decisions.expired(Ledger(NEW, (UNREADABLE,)), at(days=9)) == ()


@pytest.mark.parametrize(
    ("ledger", "is_crowded"),
    [
        (Ledger(entry("current"), tuple(entry(f"old-{n}") for n in range(14))), False),
        (Ledger(entry("current"), tuple(entry(f"old-{n}") for n in range(15))), True),
        (Ledger(None, tuple(entry(f"old-{n}") for n in range(16))), True),
        pytest.param(Ledger(entry("current"), (OLD,), other_labels=13), False, id="fifteen, most of them others'"),
        pytest.param(Ledger(entry("current"), (OLD,), other_labels=14), True, id="labels of others count as well"),
    ],
)
def test_a_secret_is_crowded_at_sixteen_labels(ledger: Ledger, is_crowded: bool) -> None:
    assert decisions.is_crowded(ledger) is is_crowded
