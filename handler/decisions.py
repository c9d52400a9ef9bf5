"""Decides what is due, what may be revoked, and why. Pure: takes `now`, does no I/O, logs nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from handler.ledger import LABEL_QUOTA
from handler.model import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handler.ledger import Entry, Ledger
    from handler.model import Policy, Token

# Secrets Manager asks for at most one write every ten minutes, 144 a day, and keeps all versions of the last 24 hours
# (AWS, "PutSecretValue" and "AWS Secrets Manager quotas"). Scheduled renewals make at most 96 a day, unless tokens live
# for less than 22.5 minutes. Rotations that are not due may raise that to 128. The other 16 are for emergencies.
_MIN_WRITE_INTERVAL = timedelta(minutes=10)
_MIN_RENEWAL_INTERVAL = timedelta(minutes=15)
_DAY = timedelta(days=1)
_WRITES_A_DAY = 128

# A short-lived token is renewed after this share of its lifetime at the earliest.
_MIN_SHARE_OF_LIFETIME = 2 / 3

# EventBridge Scheduler runs within a minute of the time (AWS, "Schedule types in EventBridge Scheduler").
_MAX_SCHEDULER_DELAY = timedelta(minutes=1)

# The margin of the expiry alarm, before a reader has less than the grace: one missed run, one unnoticed failure, one
# badly timed run, and CloudWatch's delay (AWS, "Evaluating an alarm").
_SPARE_RUNS = 3
_ALARM_DELAY = timedelta(minutes=4)

# Room for AWSCURRENT, AWSPREVIOUS, the label of the next version, and one to spare.
_LEDGER_LIMIT = LABEL_QUOTA - 4

# The job counts the lifetime from before the request and in whole seconds, so the expiry is early by the response time
# and up to a second. A token that is issued again with a faster response seems to expire later.
_EXPIRY_TOLERANCE = timedelta(seconds=2)

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


# Renewal


class RenewalTimes(NamedTuple):
    """The times of a renewal: the earliest, the latest that keeps P1 and P7 (docs/guarantees.md), and the planned one.

    The job renews in the last run before `due_at`. If `due_at` is after `safe_until`, the job warns.
    """

    not_before: datetime
    safe_until: datetime
    due_at: datetime
    reason: Reason

    @property
    def is_in_time(self) -> bool:
        """Whether the token is renewed in time for P1 and P7."""
        return self.due_at <= self.safe_until


def schedule_jitter(policy: Policy) -> timedelta:
    """Return by how much a scheduled run may be late."""
    return min(_MAX_SCHEDULER_DELAY, policy.schedule / 2)


def _min_time_to_renewal(policy: Policy) -> timedelta:
    """Return the minimum time from a publication to a renewal, unless the lifetime of the token is short."""
    # A publication comes some seconds after the start of its run. Without the jitter, the run a quarter of an hour
    # later would always be those seconds too early.
    return (
        _MIN_RENEWAL_INTERVAL
        if _MIN_RENEWAL_INTERVAL % policy.schedule
        else _MIN_RENEWAL_INTERVAL - schedule_jitter(policy)
    )


def renewal_times(published_at: datetime, expires_at: datetime, policy: Policy) -> RenewalTimes:
    """Return the renewal times of a token published and expiring at the given times."""
    lifetime = expires_at - published_at
    not_before = published_at + min(_min_time_to_renewal(policy), _MIN_SHARE_OF_LIFETIME * lifetime)
    safe_until = expires_at - policy.grace - _SPARE_RUNS * policy.schedule - _ALARM_DELAY
    share_used_at = published_at + policy.renew_at_fraction * lifetime
    wanted_at, reason = min((share_used_at, Reason.SHARE_OF_LIFE_USED), (safe_until, Reason.TOO_LITTLE_LIFE_LEFT))
    # The last run before due_at may come a period and its jitter earlier, and even that one not before not_before.
    due_at = max(not_before + policy.schedule + schedule_jitter(policy), wanted_at)
    return RenewalTimes(not_before, safe_until, due_at, reason)


def times_of(entry: Entry | None, policy: Policy) -> RenewalTimes | None:
    """Return the renewal times of an entry; None if it has no readable label."""
    if entry is None or entry.first_published_at is None or entry.expires_at is None:
        return None
    # Count from the first publication: a rollback does not extend the lifetime of the token.
    return renewal_times(entry.first_published_at, entry.expires_at, policy)


def is_renewal_due(
    ledger: Ledger, policy: Policy, now: datetime, action: Action, version_id: str
) -> tuple[bool, Reason]:
    """Return whether a new token is due, and why or why not."""
    current = ledger.current
    if action is not Action.RENEW_IF_DUE:
        # The version id is the request id, which Lambda repeats with an event. Do nothing that the first delivery did.
        if ledger.find(version_id) is not None:
            return False, Reason.ALREADY_ROTATED
        return True, Reason.LEAKED if action is Action.ROTATE_AND_REVOKE_NOW else Reason.FORCED
    if current is None:
        return True, Reason.NO_CURRENT_VERSION
    times = times_of(current, policy)
    if times is None or current.expires_at is None:
        return True, Reason.NOT_IN_LEDGER
    if now >= current.expires_at:
        return True, Reason.EXPIRED
    # Renew now if the next run may come after `due_at`.
    next_run_may_come_at = now + policy.schedule + schedule_jitter(policy)
    return (True, times.reason) if next_run_may_come_at > times.due_at else (False, Reason.FRESH)


def may_replace_rejected(ledger: Ledger, policy: Policy, now: datetime) -> bool:
    """Return whether a rejected token may be replaced yet.

    Two jobs that revoke each other's tokens would otherwise write until the quota of versions stops both.
    """
    times = times_of(ledger.current, policy)
    return times is None or now >= times.not_before


def is_usable(current: Entry | None, now: datetime) -> bool:
    """Return whether a version is current and has not expired, as far as its label says."""
    return current is not None and (current.expires_at is None or now < current.expires_at)


def is_overdue(current: Entry, policy: Policy, now: datetime) -> bool:
    """Return whether a run must have failed, or the token expires within the grace period."""
    times = times_of(current, policy)
    if times is None or current.expires_at is None:
        return False
    return now > times.due_at + schedule_jitter(policy) or now > current.expires_at - policy.grace


def planned_interval(current: Entry | None, policy: Policy) -> timedelta:
    """Return the shortest interval at which scheduled runs renew tokens like the current one.

    A rejected token may be replaced earlier.
    """
    times = times_of(current, policy)
    if times is None or current is None or current.first_published_at is None:
        return _MIN_RENEWAL_INTERVAL
    earliest = times.due_at - policy.schedule - schedule_jitter(policy) - current.first_published_at
    return max(_MIN_RENEWAL_INTERVAL, earliest)


def earliest_forced_rotation(written: Iterable[datetime], now: datetime, interval: timedelta) -> datetime:
    """Return the earliest time of a forced rotation that leaves enough writes for the next day's renewals.

    `written` has the times of the writes until now, and `interval` is the time between two renewals. Counting only the
    writes of the last day would let a burst use up the writes of later renewals.
    """
    earlier = sorted(min(written_at, now) for written_at in written)
    # Two days of renewals cover all 24 hours around a candidate. The last candidate fits: earlier writes are a day old
    # by then.
    days = 2  # pragma: no mutate  more days change nothing
    renewals = [now + number * interval for number in range(1, days * _DAY // interval)]
    writes = [*earlier, *renewals]
    candidates = (now, *(max(now, written_at + _DAY) for written_at in earlier))
    return next(candidate for candidate in candidates if _leaves_room(writes, candidate))


def _leaves_room(writes: list[datetime], at: datetime) -> bool:
    """Return whether one more write at this time keeps every later 24 hours within 128 writes."""
    times = sorted((at, *(written_at for written_at in writes if written_at > at - _DAY)))
    pairs = zip(times, times[_WRITES_A_DAY:], strict=False)  # pragma: no mutate  strict=False is the default
    return all(later - earlier >= _DAY for earlier, later in pairs)


def is_in_time(lifetime: timedelta, policy: Policy) -> bool:
    """Return whether tokens of this lifetime are renewed in time for P1 and P7."""
    return renewal_times(_ANY_TIME, _ANY_TIME + lifetime, policy).is_in_time


def outage_tolerance(lifetime: timedelta, policy: Policy) -> timedelta:
    """Return how long an outage of the token endpoint may last without harm to consumers (P1)."""
    expires_at = _ANY_TIME + lifetime
    life_left = expires_at - renewal_times(_ANY_TIME, expires_at, policy).due_at
    # The first run after the outage may be later in its period than the last one that failed.
    return life_left - policy.grace - policy.schedule - schedule_jitter(policy)


def writes_too_often(lifetime: timedelta) -> bool:
    """Return whether a token of this lifetime is renewed more often than Secrets Manager allows."""
    return _MIN_SHARE_OF_LIFETIME * lifetime < _MIN_WRITE_INTERVAL


def outlives(token: Token, expires_at: datetime | None) -> bool:
    """Return whether a token that was issued again expires later than its published expiry."""
    return expires_at is None or token.expires_at > expires_at + _EXPIRY_TOLERANCE


# Revocation


def superseded_at(ledger: Ledger, entry: Entry) -> datetime | None:
    """Return when a token was superseded; None if that is unknown.

    A version is superseded when the next one is published. The one under AWSPREVIOUS was current until AWSCURRENT
    moved, even after a rollback. One without a readable label counts from the publication of the current version.
    """
    current = ledger.current
    if current is None or current.published_at is None:
        return None
    if entry.published_at is None:
        return current.published_at if ledger.is_current_latest else None
    later = [
        other.published_at
        for other in ledger.entries
        if other.published_at is not None and other.published_at > entry.published_at
    ]
    if not later:
        return None
    return max(min(later), current.published_at) if entry.is_previous else min(later)


def revocable(ledger: Ledger, now: datetime, grace: timedelta) -> tuple[Entry, ...]:
    """Return the superseded tokens that no consumer may still be using."""
    # Without a grace there is no wait at all: the publication time is rounded up, so it may lie a second ahead.
    return tuple(
        entry
        for entry in ledger.superseded
        if (at := superseded_at(ledger, entry)) is not None and (not grace or now >= at + grace)
    )


def expired(ledger: Ledger, now: datetime) -> tuple[Entry, ...]:
    """Return the superseded tokens that have expired."""
    return tuple(entry for entry in ledger.superseded if entry.expires_at is not None and now >= entry.expires_at)


def is_piling_up(pending: int, policy: Policy) -> bool:
    """Return whether more superseded tokens are tracked than the usual ones, as RevocationsPendingAlarm computes it."""
    return (pending - 2) * _MIN_RENEWAL_INTERVAL >= policy.grace + 2 * policy.schedule


def is_near_label_quota(ledger: Ledger) -> bool:
    """Return whether labels must be removed before the next publication."""
    return ledger.label_count >= _LEDGER_LIMIT
