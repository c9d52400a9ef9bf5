"""What is due, what may be revoked, and why. Pure: takes `now`, does no I/O, logs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from handler.model import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handler.ledger import Entry, Ledger
    from handler.model import Policy, Token

# Secrets Manager keeps every version of the last 24 hours, and refuses a write where that makes too many: a hundred are
# safe on any reading of its quotas (AWS, "AWS Secrets Manager quotas" and "PutSecretValue"). This makes 96 a day.
_FLOOR = timedelta(minutes=15)

# A token of a short life is renewed after this share of it at the earliest.
_LEAST_SHARE = 2 / 3

# Secrets Manager asks for no more than a write every ten minutes, which are 144 a day, and keeps the versions of that
# day (AWS, "PutSecretValue"). Sixteen are left for emergencies.
DAY = timedelta(days=1)
_WRITES_A_DAY = 128

# With a write more often than every ten minutes, a day's versions may be more than Secrets Manager keeps.
_SHORTEST_BETWEEN_WRITES = timedelta(minutes=10)

# EventBridge Scheduler runs within a minute of the time (AWS, "Schedule types in EventBridge Scheduler").
_SCHEDULER_IS_LATE = timedelta(minutes=1)

# What the page needs before a reader has less than the grace: one run may be missed, one may fail unnoticed, one comes
# at the wrong moment; and its readings, of a minute each, come late (AWS, "Evaluating an alarm").
_RUNS_TO_SPARE = 3
_READINGS_TAKE = timedelta(minutes=4)

# "An hour" of Telenor's is 3599 s, and a publication comes some seconds after the issue.
_HOURS_ARE_SHORT = timedelta(minutes=1)

# A secret can carry 20 labels in all. Sixteen leave room for AWSCURRENT, AWSPREVIOUS and the next version's.
LEDGER_LIMIT = 16

# An expiry is counted from before the request, so it is early by the time that the answer took, and by up to a second
# of rounding. A token that is handed out again with a quicker answer seems to live longer by that much.
SAME_LIFE = timedelta(seconds=2)

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


# Renewal


@dataclass(frozen=True, slots=True)
class RenewalTimes:
    """When a token may be renewed, must be, and will be."""

    not_before: datetime
    needed_at: datetime
    at: datetime
    reason: Reason

    @property
    def are_in_order(self) -> bool:
        """Whether the token is renewed by the time that P1 and P7 need, but for the seconds that an hour may lack."""
        return self.at <= self.needed_at + _HOURS_ARE_SHORT


def latitude(policy: Policy) -> timedelta:
    """Return how much later than planned a scheduled run may come."""
    return min(_SCHEDULER_IS_LATE, policy.schedule / 2)


def _floor(policy: Policy) -> timedelta:
    """Return the least time between two renewals of a token that lives long enough."""
    # A publication comes some seconds after the start of its run. Without the latitude, the run a quarter of an hour
    # later would always be those seconds too early.
    return _FLOOR if _FLOOR % policy.schedule else _FLOOR - latitude(policy)


def renewal_times(published_at: datetime, expires_at: datetime, policy: Policy) -> RenewalTimes:
    """Return when a token is renewed that was published then and dies then."""
    life = expires_at - published_at
    not_before = published_at + min(_floor(policy), _LEAST_SHARE * life)
    needed_at = expires_at - policy.grace - _RUNS_TO_SPARE * policy.schedule - _READINGS_TAKE
    share_used_at = published_at + policy.renew_at_fraction * life
    wanted_at, reason = min((share_used_at, Reason.SHARE_OF_LIFE_USED), (needed_at, Reason.TOO_LITTLE_LIFE_LEFT))
    at = max(not_before + policy.schedule + latitude(policy), wanted_at)
    return RenewalTimes(not_before, needed_at, at, reason)


def times_of(entry: Entry | None, policy: Policy) -> RenewalTimes | None:
    """Return when the token of an entry is renewed; None where its label does not say."""
    if entry is None or entry.first_published_at is None or entry.expires_at is None:
        return None
    # Not from when somebody rolled back to it: a token does not live longer for that.
    return renewal_times(entry.first_published_at, entry.expires_at, policy)


def renewal(ledger: Ledger, policy: Policy, now: datetime, action: Action, request_id: str) -> tuple[bool, Reason]:
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
    # In the last run before its time, and not in the first one after it.
    next_run_may_come_at = now + policy.schedule + latitude(policy)
    return (True, times.reason) if next_run_may_come_at > times.at else (False, Reason.FRESH)


def may_replace_refused(ledger: Ledger, policy: Policy, now: datetime) -> bool:
    """Return whether a token that is not accepted may be replaced yet.

    Two jobs whose tokens kill each other's would otherwise write until the quota of versions stops both.
    """
    times = times_of(ledger.current, policy)
    return times is None or now >= times.not_before


def keeps_grace_until_next_run(current: Entry | None, policy: Policy, now: datetime) -> bool:
    """Return whether whoever reads the current token before the next scheduled run may use it for the grace."""
    if current is None:
        return False
    return current.expires_at is None or now + policy.schedule + latitude(policy) + policy.grace <= current.expires_at


def is_overdue(current: Entry, policy: Policy, now: datetime) -> bool:
    """Return whether a renewal is so late that a run must have failed, or a reader has less than the grace left."""
    times = times_of(current, policy)
    if times is None or current.expires_at is None:
        return False
    return now > times.at + latitude(policy) or now > current.expires_at - policy.grace


def can_be_forced_at(written: Iterable[datetime], now: datetime) -> datetime:
    """Return when a rotation that is not due leaves the coming day's renewals their writes: `now` if it does.

    `written` says when each version of the last 24 hours was. A burst that only looked at those would take the writes
    of renewals that come after it.
    """
    written = sorted(min(then, now) for then in written)
    renewals = [now + number * _FLOOR for number in range(1, 2 * DAY // _FLOOR)]
    return next(
        at
        for at in (now, *(then + DAY for then in written))
        if _leaves_room([then for then in (*written, *renewals) if at - DAY < then <= at], at)
    )


def _leaves_room(written: list[datetime], at: datetime) -> bool:
    times = [*written, at, *(at + number * _FLOOR for number in range(1, DAY // _FLOOR + 1))]
    return all(later - earlier >= DAY for earlier, later in zip(times, times[_WRITES_A_DAY:], strict=False))


def slack(life: timedelta, policy: Policy) -> timedelta:
    """Return for how long the token endpoint may be out with no harm to consumers, as P1 says."""
    expires_at = _ANY_TIME + life
    life_left = expires_at - renewal_times(_ANY_TIME, expires_at, policy).at
    # The first run after the outage may be later in its period than the last one that failed.
    return life_left - policy.grace - policy.schedule - latitude(policy)


def writes_too_often(life: timedelta) -> bool:
    """Return whether tokens of this life are published more often than Secrets Manager can keep."""
    return _LEAST_SHARE * life < _SHORTEST_BETWEEN_WRITES


def outlives(token: Token, expires_at: datetime | None) -> bool:
    """Return whether a token that was handed out again really lives longer than consumers were told."""
    return expires_at is None or token.expires_at > expires_at + SAME_LIFE


# Revocation


def superseded_at(ledger: Ledger, entry: Entry) -> datetime | None:
    """Return when a token was superseded; None where that is not known.

    That is when the next later version was published. The version under AWSPREVIOUS was current until AWSCURRENT moved,
    also where somebody had rolled back to it.
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
    """Return the superseded tokens that have died by themselves."""
    return tuple(entry for entry in ledger.superseded if entry.expires_at is not None and now >= entry.expires_at)


def is_crowded(ledger: Ledger) -> bool:
    """Return whether labels must be removed before another token is published."""
    return ledger.size >= LEDGER_LIMIT
