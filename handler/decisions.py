"""What is due, what may be revoked, and why. Pure: takes `now`, does no I/O, logs nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from handler.model import Action, Entry, Ledger, Policy, Reason, Token

if TYPE_CHECKING:
    from datetime import datetime

# A secret can carry 20 labels on all its versions together (AWS, "AWS Secrets Manager quotas"). Sixteen leave room
# for AWSCURRENT, AWSPREVIOUS and two of somebody else's.
LEDGER_LIMIT = 16

# An expiry is counted from before the request, so it is early by the time that the answer took, and by up to a second
# of rounding. A token that is handed out again with a quicker answer seems to live longer by that much.
SAME_LIFE = timedelta(seconds=2)


def renewal_time(current: Entry, policy: Policy) -> tuple[datetime, Reason] | None:
    """Return when a published token is due, and why then; None where its label does not say."""
    if current.published_at is None or current.expires_at is None:
        return None
    life = current.expires_at - current.published_at
    share_used_at = current.published_at + policy.renew_at_fraction * life
    # Later than this, one missed run would leave a consumer that reads the token then less than its grace.
    needed_at = current.expires_at - policy.grace - policy.schedule
    return min((share_used_at, Reason.SHARE_OF_LIFE_USED), (needed_at, Reason.TOO_LITTLE_LIFE_LEFT))


def renewal(ledger: Ledger, policy: Policy, now: datetime, action: Action, request_id: str) -> tuple[bool, Reason]:
    """Tell whether a new token is due, and why or why not."""
    current = ledger.current
    if action is not Action.RENEW_IF_DUE:
        # Lambda repeats an event under the same request id. What the first delivery has done is not done again.
        if ledger.find(request_id) is not None:
            return False, Reason.ALREADY_ROTATED
        return True, Reason.LEAKED if action is Action.ROTATE_AND_REVOKE_NOW else Reason.FORCED
    if current is None:
        return True, Reason.NO_CURRENT_VERSION
    due = renewal_time(current, policy)
    if due is None:
        return True, Reason.NOT_IN_LEDGER
    due_at, reason = due
    return (True, reason) if now >= due_at else (False, Reason.FRESH)


def expired(ledger: Ledger, now: datetime) -> tuple[Entry, ...]:
    """Return the superseded tokens that have died by themselves."""
    return tuple(entry for entry in ledger.superseded if entry.expires_at is not None and now >= entry.expires_at)


def revocable(ledger: Ledger, now: datetime, grace: timedelta) -> tuple[Entry, ...]:
    """Return the superseded tokens that no consumer may still be using.

    One that is newer than the current version is left alone: somebody rolled the secret back by hand, and nothing
    tells when consumers read it last.
    """
    # No grace means no wait, also not for the second to which the time of publication is rounded up.
    return tuple(
        entry
        for entry in ledger.superseded
        if (at := revocation_time(ledger, entry, grace)) is not None and (not grace or now >= at)
    )


def revocation_time(ledger: Ledger, entry: Entry, grace: timedelta) -> datetime | None:
    """Return from when on a superseded token may be revoked; None where it is left to its expiry."""
    current = ledger.current
    if current is None or current.published_at is None or is_rolled_back_from(ledger, entry):
        return None
    return current.published_at + grace


def is_rolled_back_from(ledger: Ledger, entry: Entry) -> bool:
    """Tell whether a superseded token is newer than the current one, as after a roll-back by hand."""
    published_at = ledger.current.published_at if ledger.current else None
    return published_at is not None and entry.published_at is not None and entry.published_at > published_at


def is_full(ledger: Ledger) -> bool:
    """Tell whether room must be made in the ledger before another token is published."""
    return ledger.size >= LEDGER_LIMIT


def outlives(token: Token, expires_at: datetime | None) -> bool:
    """Tell whether a token that was handed out again really lives longer than consumers were told."""
    return expires_at is None or token.expires_at > expires_at + SAME_LIFE


def slack(life: timedelta, policy: Policy) -> timedelta:
    """Return for how long the token endpoint may be out from the time of renewal on, with no harm to consumers."""
    renewed_after = min(policy.renew_at_fraction * life, life - policy.grace - policy.schedule)
    return life - renewed_after - policy.grace - policy.schedule


def is_overdue(current: Entry, policy: Policy, now: datetime) -> bool:
    """Tell whether a renewal is so late that runs must have failed, or that a reader has less than the grace left."""
    due = renewal_time(current, policy)
    if due is None or current.published_at is None or current.expires_at is None:
        return False
    # The first run comes up to one period after the time of renewal, and may take a moment.
    due_at = max(due[0], current.published_at)
    return now >= due_at + 2 * policy.schedule or now > max(current.expires_at - policy.grace, due_at + policy.schedule)


def is_life_too_short(life: timedelta, policy: Policy) -> bool:
    """Tell whether a token dies before the grace and one schedule period have passed."""
    return life <= policy.grace + policy.schedule
