"""Renewals and revocations that are due, case by case, with times calculated manually from the formula."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from handler import decisions
from handler.ledger import Entry, Ledger, new_entry
from handler.model import Action, Policy, Reason, Token

if TYPE_CHECKING:
    from collections.abc import Sequence

T0 = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)


def at(**time: float) -> datetime:
    return T0 + timedelta(**time)


def policy(*, grace: int = 600, fraction: float = 0.33, minutes: float = 5) -> Policy:
    return Policy(timedelta(seconds=grace), fraction, timedelta(minutes=minutes))


def entry(
    name: str, published_at: datetime = T0, lifetime_seconds: float = 3600, *, first: datetime | None = None
) -> Entry:
    new = new_entry(name, published_at, (first or published_at) + timedelta(seconds=lifetime_seconds))
    return new._replace(first_published_at=first or published_at)


DEFAULTS = policy()
CURRENT = Ledger(entry("current"))
UNREADABLE = Entry("unreadable", labels=("LIVE_",))
SHARE, LITTLE = Reason.SHARE_OF_LIFE_USED, Reason.TOO_LITTLE_LIFE_LEFT


# Renewal


@pytest.mark.parametrize(
    ("lifetime", "settings", "not_before", "safe_until", "due_at", "last_fresh", "reason"),
    [
        # Columns: seconds from the publication. A third of an hour is before 15 + 5 minutes. A token is due if the next
        # run, a period and its jitter later, may come after the due time.
        pytest.param(3600, DEFAULTS, 840, 1860, 1200, 840, SHARE, id="the defaults"),
        pytest.param(3599, DEFAULTS, 840, 1859, 1200, 840, SHARE, id="an hour less a second"),
        pytest.param(3600, policy(minutes=2), 900, 2400, 1188, 1008, SHARE, id="every two minutes"),
        pytest.param(3600, policy(minutes=1), 870, 2580, 1188, 1098, SHARE, id="every minute"),
        pytest.param(3600, policy(fraction=0.5), 840, 1860, 1800, 1440, SHARE, id="half the lifetime"),
        pytest.param(3600, policy(fraction=0.9), 840, 1860, 1860, 1500, LITTLE, id="a fraction that leaves too little"),
        pytest.param(3600, policy(fraction=0.01), 840, 1860, 1200, 840, SHARE, id="a fraction below the floor"),
        pytest.param(3600, policy(grace=1200), 840, 1260, 1200, 840, SHARE, id="the longest possible grace"),
        pytest.param(3600, policy(grace=3300), 840, -840, 1200, 840, LITTLE, id="a grace that is too long"),
        pytest.param(7200, DEFAULTS, 840, 5460, 2376, 2016, SHARE, id="two hours"),
        pytest.param(1200, DEFAULTS, 800, -540, 1160, 800, LITTLE, id="two thirds of twenty minutes are the floor"),
        pytest.param(900, DEFAULTS, 600, -840, 960, 600, LITTLE, id="15 minutes"),
    ],
)
def test_a_token_is_renewed_in_the_last_run_before_its_due_time(
    lifetime: float,
    settings: Policy,
    not_before: float,
    safe_until: float,
    due_at: float,
    last_fresh: float,
    reason: Reason,
) -> None:
    times = decisions.renewal_times(T0, at(seconds=lifetime), settings)
    assert times == decisions.RenewalTimes(at(seconds=not_before), at(seconds=safe_until), at(seconds=due_at), reason)
    assert times.is_in_time is decisions.is_in_time(timedelta(seconds=lifetime), settings) is (due_at <= safe_until)
    ledger = Ledger(entry("current", lifetime_seconds=lifetime))
    for now, due in (
        (at(seconds=last_fresh), (False, Reason.FRESH)),
        (at(seconds=last_fresh, microseconds=1), (True, reason)),
    ):
        assert decisions.is_renewal_due(ledger, settings, now, Action.RENEW_IF_DUE, "id") == due


DUE = Action.RENEW_IF_DUE
SHORT_LIVED = Ledger(entry("current", lifetime_seconds=60))
ROLLED_BACK = Ledger(entry("current", at(minutes=18), first=T0))


@pytest.mark.parametrize(
    ("ledger", "now", "action", "reason"),
    [
        pytest.param(Ledger(None), T0, DUE, Reason.NO_CURRENT_VERSION, id="a secret without a value"),
        pytest.param(Ledger(Entry("current")), T0, DUE, Reason.NOT_IN_LEDGER, id="a version without a label"),
        pytest.param(Ledger(UNREADABLE), T0, DUE, Reason.NOT_IN_LEDGER, id="an unreadable label"),
        pytest.param(CURRENT, at(seconds=3599), DUE, SHARE, id="a token that expires in a second"),
        pytest.param(CURRENT, at(hours=1), DUE, Reason.EXPIRED, id="an expired token"),
        pytest.param(SHORT_LIVED, at(minutes=1), DUE, Reason.EXPIRED, id="an expired token despite the floor"),
        pytest.param(ROLLED_BACK, at(minutes=18), DUE, SHARE, id="a rolled-back token by its own age"),
        pytest.param(CURRENT, T0, Action.ROTATE_NOW, Reason.FORCED, id="a forced rotation"),
        pytest.param(CURRENT, T0, Action.ROTATE_AND_REVOKE_NOW, Reason.LEAKED, id="a leak"),
    ],
)
def test_a_renewal_is_due_at_once(ledger: Ledger, now: datetime, action: Action, reason: Reason) -> None:
    assert decisions.is_renewal_due(ledger, DEFAULTS, now, action, "id") == (True, reason)


@pytest.mark.parametrize("action", [Action.ROTATE_NOW, Action.ROTATE_AND_REVOKE_NOW])
@pytest.mark.parametrize("ledger", [CURRENT, Ledger(entry("newer", at(minutes=1)), (entry("current"),))])
def test_a_duplicate_delivery_of_a_forced_rotation_requests_no_second_token(ledger: Ledger, action: Action) -> None:
    assert decisions.is_renewal_due(ledger, DEFAULTS, T0, action, "current") == (False, Reason.ALREADY_ROTATED)


def test_a_late_duplicate_delivery_still_renews_a_due_token() -> None:
    assert decisions.is_renewal_due(CURRENT, DEFAULTS, at(hours=1), Action.RENEW_IF_DUE, "current")[0]


@pytest.mark.parametrize(
    ("current", "now", "may_be"),
    [
        pytest.param(entry("current"), at(seconds=839), False, id="not within 15 minutes less a minute"),
        pytest.param(entry("current"), at(seconds=840), True, id="after 15 minutes less a minute"),
        pytest.param(
            entry("current", lifetime_seconds=900), at(seconds=600), True, id="after two thirds of a short lifetime"
        ),
        pytest.param(entry("current", lifetime_seconds=900), at(seconds=599), False, id="and not before"),
        pytest.param(UNREADABLE, T0, True, id="unknown age"),
    ],
)
def test_a_rejected_token_is_replaced_after_its_minimum_age(current: Entry, now: datetime, may_be: bool) -> None:
    assert decisions.may_replace_rejected(Ledger(current), DEFAULTS, now) is may_be


@pytest.mark.parametrize(
    ("current", "now", "is_overdue"),
    [
        pytest.param(entry("current"), at(seconds=1260), False, id="a run a minute late"),
        pytest.param(entry("current"), at(seconds=1261), True, id="no run by then, so one has failed"),
        pytest.param(entry("current", lifetime_seconds=1500), at(seconds=900), False, id="exactly the grace left"),
        pytest.param(entry("current", lifetime_seconds=1500), at(seconds=901), True, id="less than the grace left"),
        pytest.param(Entry("current"), at(days=9), False, id="not in the ledger: unknown"),
    ],
)
def test_a_renewal_is_overdue(current: Entry, now: datetime, is_overdue: bool) -> None:
    assert decisions.is_overdue(current, DEFAULTS, now) is is_overdue


@pytest.mark.parametrize(
    ("lifetime", "settings", "outage_tolerance"),
    [
        pytest.param(3600, DEFAULTS, 1440, id="24 minutes with the defaults"),
        pytest.param(3600, policy(fraction=0.5), 840, id="half the lifetime"),
        pytest.param(3600, policy(fraction=0.9), 780, id="too little left"),
        pytest.param(3600, policy(minutes=1), 1722, id="every minute"),
        pytest.param(3600, policy(grace=1200), 840, id="a long grace"),
        pytest.param(900, DEFAULTS, -1020, id="negative for a short lifetime"),
    ],
)
def test_the_tolerance_is_the_lifetime_left_at_renewal_less_grace_period_and_jitter(
    lifetime: float, settings: Policy, outage_tolerance: float
) -> None:
    assert decisions.outage_tolerance(timedelta(seconds=lifetime), settings) == timedelta(seconds=outage_tolerance)


# The outage tolerance and the writes of a day, searched over all settings


def publications_of_a_day(settings: Policy, lifetime: float, phase: float, lateness: Sequence[float]) -> list[datetime]:
    """Return the publication times of 25 hours of runs. A publication comes five seconds after its run."""
    written: list[datetime] = []
    period, number = settings.schedule, 0
    while (now := at(seconds=phase + lateness[number % len(lateness)]) + number * period) < at(hours=25):
        current = entry("current", written[-1], lifetime) if written else None
        if decisions.is_renewal_due(Ledger(current), settings, now, Action.RENEW_IF_DUE, "id")[0]:
            written.append(now + timedelta(seconds=5))
        number += 1
    return written


def shortest_remaining_seconds(settings: Policy, lifetime: float, step: int) -> float:
    """Return the shortest remaining lifetime of the current token when the first run after an outage begins.

    The outage is a second shorter than the tolerance. It begins with the run that would have renewed the token: a later
    outage meets a newer token, and an earlier one ends earlier. The schedule's phase changes in steps of `step`
    seconds, and each of three runs is on time or as late as possible: the last one that finds the token fresh, the
    first one in the outage, and the first one after it.
    """
    outage = decisions.outage_tolerance(timedelta(seconds=lifetime), settings).total_seconds() - 1
    latest, period = decisions.schedule_jitter(settings).total_seconds(), settings.schedule.total_seconds()
    ledger = Ledger(entry("current", lifetime_seconds=lifetime))

    def is_due(seconds: float) -> bool:
        return decisions.is_renewal_due(ledger, settings, at(seconds=seconds), Action.RENEW_IF_DUE, "id")[0]

    left = lifetime
    for phase in range(1, int(period) + 1, step):
        planned = next(time for time in itertools.count(phase, period) if is_due(time + latest))
        # If on time, this run may still find the token fresh, and then the next run is the first one in the outage.
        on_time = planned if is_due(planned) else planned + period
        for begins in {planned + latest, on_time, on_time + latest}:
            # Every run scheduled within the outage comes on time and fails.
            after = next(time for time in itertools.count(planned, period) if time > begins + outage)
            left = min(left, lifetime - after - latest)
    return left


@pytest.mark.parametrize("minutes", [1, 2, 5])
@pytest.mark.parametrize("lifetime", [900, 1800, 3599, 7200])
def test_an_outage_shorter_than_the_tolerance_leaves_every_reader_the_grace(lifetime: int, minutes: int) -> None:
    for grace in (0, 1, 10, 350, 550, 570, 860, 1150, 1200):
        for fraction in (0.01, 0.25, 0.33, 0.5, 0.75, 0.99):
            settings = policy(grace=grace, fraction=fraction, minutes=minutes)
            if decisions.outage_tolerance(timedelta(seconds=lifetime), settings) > timedelta(seconds=1):
                assert shortest_remaining_seconds(settings, lifetime, step=29) >= grace


@pytest.mark.parametrize("minutes", [1, 2, 5])
@pytest.mark.parametrize("lifetime", [900, 3599])
def test_no_settings_exceed_the_daily_write_quota(lifetime: int, minutes: int) -> None:
    late = decisions.schedule_jitter(policy(minutes=minutes)).total_seconds()
    for fraction, grace in ((0.01, 0), (0.99, 1200)):
        for lateness in ([0, late], [late, late / 2, 0]):
            settings = policy(grace=grace, fraction=fraction, minutes=minutes)
            written = publications_of_a_day(settings, lifetime, 1, lateness)
            for first, last in zip(written, written[144:], strict=False):
                assert last - first >= timedelta(days=1)


@pytest.mark.parametrize("phase", [1, 60, 299])
def test_the_defaults_write_96_times_a_day(phase: int) -> None:
    written = publications_of_a_day(DEFAULTS, 3599, phase, [0, 30, 60, 15])
    assert sum(then < written[0] + timedelta(days=1) for then in written) == 96


def test_a_current_token_is_usable_until_it_expires() -> None:
    current = entry("current")
    assert current.expires_at is not None
    assert decisions.is_usable(current, current.expires_at - timedelta(microseconds=1))
    assert decisions.is_usable(current._replace(expires_at=None), T0)
    assert not decisions.is_usable(current, current.expires_at)
    assert not decisions.is_usable(None, T0)


# The budget of writes


def every(minutes: float, count: int) -> list[datetime]:
    """Return the times of `count` writes, the last of them now."""
    return [at(minutes=-minutes * number) for number in range(count)]


@pytest.mark.parametrize(
    ("written", "possible_at"),
    [
        pytest.param([], T0, id="nothing written"),
        pytest.param(every(15, 96), T0, id="only renewals"),
        pytest.param([*every(15, 96), *every(0, 31)], T0, id="renewals and a usual day's other writes"),
        pytest.param(every(0, 32), T0, id="a burst that leaves the writes of coming renewals"),
        pytest.param(every(0, 33), at(days=1), id="a burst that does not leave them"),
        pytest.param(every(0, 127), at(days=1), id="a burst that only the past day would allow"),
        pytest.param([at(hours=-23, minutes=-50)] * 127, T0, id="a burst nearly a day ago"),
        pytest.param([at(hours=-23, minutes=-50)] * 128, at(minutes=10), id="a burst a day ago"),
        pytest.param([at(hours=-23, minutes=-40)] * 127, at(minutes=20), id="the next renewal needs the last write"),
        pytest.param([at(days=-2)] * 200 + every(0, 33), at(days=1), id="versions that count no more"),
        pytest.param([at(seconds=3)] * 33, at(days=1), id="AWS's clock is ahead"),
    ],
)
def test_a_forced_rotation_is_allowed_while_writes_remain_for_renewals(
    written: list[datetime], possible_at: datetime
) -> None:
    assert decisions.earliest_forced_rotation(written, T0, timedelta(minutes=15)) == possible_at


@pytest.mark.parametrize(("lifetime_seconds", "interval"), [(600, 900), (3599, 900), (86_400, 0.33 * 86_400 - 360)])
def test_writes_are_reserved_for_the_renewals_of_tokens_of_this_lifetime(
    lifetime_seconds: float, interval: float
) -> None:
    planned = decisions.planned_interval(entry("current", lifetime_seconds=lifetime_seconds), DEFAULTS)
    assert planned == timedelta(seconds=interval)
    free = 127 - timedelta(seconds=86_399) // planned
    assert decisions.earliest_forced_rotation([T0] * free, T0, planned) == T0
    assert decisions.earliest_forced_rotation([T0] * (free + 1), T0, planned) > T0


@pytest.mark.parametrize("current", [None, UNREADABLE])
def test_without_a_lifetime_the_shortest_interval_between_renewals_counts(current: Entry | None) -> None:
    assert decisions.planned_interval(current, DEFAULTS) == timedelta(minutes=15)


@pytest.mark.parametrize("forced_every", [5, 20])
def test_days_of_forced_rotations_leave_writes_for_renewals_and_emergencies(forced_every: int) -> None:
    """In any 24 hours, 16 of the 144 writes are left for emergencies."""
    written: list[datetime] = []
    for minute in range(2 * 24 * 60):
        now = at(minutes=minute)
        recent = [then for then in written[-144:] if then > now - timedelta(days=1)]
        is_renewed = not written or now - written[-1] >= timedelta(minutes=15)
        is_forced = (
            minute % forced_every == 0 and decisions.earliest_forced_rotation(recent, now, timedelta(minutes=15)) == now
        )
        written += [now] if is_renewed or is_forced else []
    assert len(written) > 2 * 96
    assert all(last - first >= timedelta(days=1) for first, last in zip(written, written[128:], strict=False))


@pytest.mark.parametrize(
    ("published_expiry", "lives_longer"),
    [(at(seconds=3600), False), (at(seconds=3598), False), (at(seconds=3597), True), (None, True)],
)
def test_a_reissued_token_is_published_only_if_its_lifetime_is_longer(
    published_expiry: datetime | None, lives_longer: bool
) -> None:
    token = Token("CANARY", "Bearer", T0, at(seconds=3600))
    assert decisions.outlives(token, published_expiry) is lives_longer


# Revocation


OLD, MIDDLE, NEW = entry("old"), entry("middle", at(minutes=10)), entry("new", at(minutes=20))
AGAIN, LAST = entry("old", at(minutes=20), first=T0), entry("last", at(minutes=30))
PREVIOUS = OLD._replace(is_previous=True)


@pytest.mark.parametrize(
    ("ledger", "superseded", "when"),
    [
        pytest.param(Ledger(MIDDLE, (OLD,)), OLD, at(minutes=10), id="when the current one was published"),
        pytest.param(Ledger(NEW, (OLD, MIDDLE)), OLD, at(minutes=10), id="by the next one, not the last"),
        pytest.param(Ledger(NEW, (OLD, MIDDLE)), MIDDLE, at(minutes=20), id="each by the next one"),
        pytest.param(Ledger(AGAIN, (MIDDLE,)), MIDDLE, at(minutes=20), id="at a roll-back, by the label"),
        pytest.param(Ledger(LAST, (MIDDLE, AGAIN)), AGAIN, at(minutes=30), id="rolled back to, and replaced again"),
        # Even if a roll-back left no label.
        pytest.param(Ledger(NEW, (PREVIOUS, MIDDLE)), PREVIOUS, at(minutes=20), id="when AWSCURRENT moved"),
        pytest.param(Ledger(NEW, (UNREADABLE, MIDDLE)), UNREADABLE, at(minutes=20), id="unreadable: by the current"),
        pytest.param(Ledger(OLD, (UNREADABLE, MIDDLE)), UNREADABLE, None, id="unreadable, and the ledger out of order"),
        pytest.param(Ledger(OLD, (MIDDLE,)), MIDDLE, None, id="never, if nothing is later: rolled back, unlabelled"),
        pytest.param(Ledger(OLD, (entry("duplicate"),)), entry("duplicate"), None, id="never, at the same time"),
        pytest.param(Ledger(Entry("current"), (OLD, MIDDLE)), OLD, None, id="unknown: the current one is unlabelled"),
        pytest.param(Ledger(UNREADABLE, (OLD,)), OLD, None, id="unknown beside an unreadable current one"),
        pytest.param(Ledger(None, (OLD, MIDDLE)), OLD, None, id="unknown if nothing is current"),
    ],
)
def test_when_a_token_was_superseded(ledger: Ledger, superseded: Entry, when: datetime | None) -> None:
    assert decisions.superseded_at(ledger, superseded) == when


@pytest.mark.parametrize(
    ("now", "revocable"),
    [
        (at(minutes=20, seconds=-1), ()),
        pytest.param(at(minutes=20), (OLD,), id="despite a publication within its grace"),
        *((at(minutes=30, seconds=-1), (OLD,)), (at(minutes=30), (OLD, MIDDLE))),
    ],
)
def test_a_superseded_token_may_be_revoked_when_its_own_grace_has_passed(
    now: datetime, revocable: tuple[Entry, ...]
) -> None:
    assert decisions.revocable(Ledger(NEW, (OLD, MIDDLE)), now, timedelta(minutes=10)) == revocable


def test_with_renewals_closer_than_the_grace_each_token_keeps_its_own_grace() -> None:
    entries = tuple(entry(f"version-{n}", at(minutes=5 * n)) for n in range(7))
    ledger = Ledger(entries[-1], entries[:-1])
    assert decisions.revocable(ledger, at(minutes=30), timedelta(minutes=20)) == entries[:2]


@pytest.mark.parametrize(
    ("ledger", "now", "revocable"),
    [
        pytest.param(Ledger(entry("current", at(seconds=1)), (OLD,)), T0, (OLD,), id="not delayed by rounding"),
        pytest.param(Ledger(OLD, (MIDDLE,)), at(days=1), (), id="not one that may have been published later"),
        pytest.param(CURRENT, at(days=9), (), id="never the current one"),
    ],
)
def test_revocable_tokens_without_a_grace(ledger: Ledger, now: datetime, revocable: tuple[Entry, ...]) -> None:
    assert decisions.revocable(ledger, now, timedelta(0)) == revocable


def test_the_current_token_is_never_dropped_as_expired() -> None:
    assert decisions.expired(CURRENT, at(days=9)) == ()


@pytest.mark.parametrize(
    ("superseded", "seconds", "is_expired"), [(OLD, 3599, False), (OLD, 3600, True), (UNREADABLE, 86_400, False)]
)
def test_a_superseded_token_expires_as_its_label_says(superseded: Entry, seconds: int, is_expired: bool) -> None:
    assert (superseded in decisions.expired(Ledger(NEW, (superseded,)), at(seconds=seconds))) is is_expired


@pytest.mark.parametrize(
    ("grace", "pending", "is_piling_up"),
    [(300, 2, False), (300, 3, True), (301, 3, False), (600, 3, False), (600, 4, True), (1200, 4, True)],
)
def test_pending_revocations_pile_up_at_the_alarms_threshold(grace: int, pending: int, is_piling_up: bool) -> None:
    # 900 * (pending - 2) - (grace + 2 * 300) >= 0, as in template.yaml.
    policy = Policy(timedelta(seconds=grace), 0.33, timedelta(minutes=5))
    assert decisions.is_piling_up(pending, policy) is is_piling_up


@pytest.mark.parametrize(
    ("ledger", "is_near_label_quota"),
    [
        (Ledger(entry("current"), tuple(entry(f"old-{n}") for n in range(14))), False),
        (Ledger(entry("current"), tuple(entry(f"old-{n}") for n in range(15))), True),
        (Ledger(None, tuple(entry(f"old-{n}") for n in range(16))), True),
        pytest.param(Ledger(entry("current"), (OLD,), other_labels=13), False, id="fifteen, mostly foreign"),
        pytest.param(Ledger(entry("current"), (OLD,), other_labels=14), True, id="foreign labels count too"),
    ],
)
def test_a_secret_is_near_its_label_quota_at_sixteen_labels(ledger: Ledger, is_near_label_quota: bool) -> None:
    assert decisions.is_near_label_quota(ledger) is is_near_label_quota
