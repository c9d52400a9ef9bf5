"""Decides what is due, what may be revoked, and why. Pure: takes `now`, does no I/O, logs nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from handler.model import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handler.ledger import Entry, Ledger
    from handler.model import Policy, Token

# Secrets Manager keeps every version of the last 24 hours, and refuses a write if that makes too many: a hundred are
# safe on any reading of its quotas (AWS, "AWS Secrets Manager quotas" and "PutSecretValue"). This makes 96 a day.
_MIN_RENEWAL_INTERVAL = timedelta(minutes=15)

# A short-lived token is renewed after this share of its lifetime at the earliest.
_MIN_SHARE_OF_LIFETIME = 2 / 3

# Secrets Manager asks for no more than a write every ten minutes, which are 144 a day, and keeps the versions of that
# day (AWS, "PutSecretValue"). Sixteen are left for emergencies.
_DAY = timedelta(days=1)
_WRITES_A_DAY = 128

# With a write more often than every ten minutes, a day's versions may be more than Secrets Manager keeps.
_MIN_WRITE_INTERVAL = timedelta(minutes=10)

# EventBridge Scheduler runs within a minute of the time (AWS, "Schedule types in EventBridge Scheduler").
_MAX_SCHEDULER_DELAY = timedelta(minutes=1)

# The margin of the expiry alarm, before a reader has less than the grace: one missed run, one unnoticed failure, one
# badly timed run, and CloudWatch's delay (AWS, "Evaluating an alarm").
_SPARE_RUNS = 3
_ALARM_DELAY = timedelta(minutes=4)

# A secret can carry 20 labels in all. Sixteen leave room for AWSCURRENT, AWSPREVIOUS and the next version's.
_LEDGER_LIMIT = 16

# An expiry is counted from before the request, so it is early by the time that the answer took, and by up to a second
# of rounding. A token that is handed out again with a quicker answer seems to live longer by that much.
_SAME_LIFETIME = timedelta(seconds=2)

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


# Renewal


class RenewalTimes(NamedTuple):
    """The times of a renewal: the earliest, the latest that keeps P1 and P7 (docs/guarantees.md), and the planned one.

    The job renews in the last run before `due_at`. `safe_until` may lie before `not_before`: the job then warns.
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


def _min_renewal_interval(policy: Policy) -> timedelta:
    """Return the minimum time between two renewals, unless the lifetime of the token is short."""
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
    not_before = published_at + min(_min_renewal_interval(policy), _MIN_SHARE_OF_LIFETIME * lifetime)
    safe_until = expires_at - policy.grace - _SPARE_RUNS * policy.schedule - _ALARM_DELAY
    share_used_at = published_at + policy.renew_at_fraction * lifetime
    wanted_at, reason = min((share_used_at, Reason.SHARE_OF_LIFE_USED), (safe_until, Reason.TOO_LITTLE_LIFE_LEFT))
    # A run comes up to a period and its jitter before due_at, and must not come before not_before.
    due_at = max(not_before + policy.schedule + schedule_jitter(policy), wanted_at)
    return RenewalTimes(not_before, safe_until, due_at, reason)


def times_of(entry: Entry | None, policy: Policy) -> RenewalTimes | None:
    """Return the renewal times of an entry; None if it has no readable label."""
    if entry is None or entry.first_published_at is None or entry.expires_at is None:
        return None
    # Count from the first publication: a rollback does not extend the lifetime of the token.
    return renewal_times(entry.first_published_at, entry.expires_at, policy)


def is_renewal_due(
    ledger: Ledger, policy: Policy, now: datetime, action: Action, request_id: str
) -> tuple[bool, Reason]:
    """Return whether a new token is due, and why or why not."""
    current = ledger.current
    if action is not Action.RENEW_IF_DUE:
        # Lambda repeats an event under the same request id. What the first delivery has done is not done again.
        if ledger.find(request_id) is not None:
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


def renewal_interval(current: Entry | None, policy: Policy) -> timedelta:
    """Return the shortest time between two renewals of tokens like the current one. A rejected one may come earlier."""
    times = times_of(current, policy)
    if times is None or current is None or current.first_published_at is None:
        return _MIN_RENEWAL_INTERVAL
    earliest = times.due_at - policy.schedule - schedule_jitter(policy) - current.first_published_at
    return max(_MIN_RENEWAL_INTERVAL, earliest)


def earliest_forced_rotation(written: Iterable[datetime], now: datetime, interval: timedelta) -> datetime:
    """Return the earliest time of a forced rotation that leaves enough writes for the next day's renewals.

    `written` has the times of the writes until now, and `interval` is the time between two renewals. Counting the
    writes of the last day alone would let a burst take those of the renewals after it.
    """
    written = sorted(min(then, now) for then in written)
    renewals = [now + number * interval for number in range(1, 2 * _DAY // interval)]
    writes = [*written, *renewals]
    return next(at for at in (now, *(max(now, then + _DAY) for then in written)) if _leaves_room(writes, at))


def _leaves_room(writes: list[datetime], at: datetime) -> bool:
    times = sorted((at, *(then for then in writes if then > at - _DAY)))
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
    return expires_at is None or token.expires_at > expires_at + _SAME_LIFETIME


# Revocation


def superseded_at(ledger: Ledger, entry: Entry) -> datetime | None:
    """Return when a token was superseded; None if that is unknown.

    That is when the next later version was published. The version under AWSPREVIOUS was current until AWSCURRENT moved,
    also if somebody had rolled back to it.
    """
    current = ledger.current
    if current is None or current.published_at is None:
        return None
    if entry.published_at is None:
        return current.published_at if ledger.is_in_order else None
    later = [
        other.published_at
        for other in ledger.entries
        if other.published_at is not None and other.published_at > entry.published_at
    ]
    if not later:
        return None
    return max(min(later), current.published_at) if entry.was_current_last else min(later)


def revocable(ledger: Ledger, now: datetime, grace: timedelta) -> tuple[Entry, ...]:
    """Return the superseded tokens that no consumer may still be using."""
    # No grace means no wait, also not for the second to which the time of publication is rounded up.
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
    return ledger.size >= _LEDGER_LIMIT
