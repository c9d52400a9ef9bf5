"""What the labels of the token secret say at a time, in values, words and JSON. Pure, as `decisions.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from handler import decisions
from handler.model import Action, Reason

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from handler.model import Entry, Ledger, Policy

_MINUTE_SECONDS = 60
_HOUR_SECONDS = 3600
_DAY_SECONDS = 86_400

_REASONS = {
    Reason.SHARE_OF_LIFE_USED: "RENEW_AT_FRACTION of its life is over",
    Reason.TOO_LITTLE_LIFE_LEFT: "no more of its life is left than GRACE_SECONDS and one SCHEDULE_MINUTES",
}


class State(StrEnum):
    """How the current token is."""

    FRESH = "fresh"
    DUE = "due"
    OVERDUE = "overdue"
    EXPIRED = "expired"
    NOT_IN_LEDGER = "not-in-ledger"
    NO_VALUE = "no-value"
    MARKED_FOR_DELETION = "marked-for-deletion"


# Where consumers have nothing that works, and where they will not have it for long or nothing tells.
UNUSABLE = {State.EXPIRED, State.NO_VALUE, State.MARKED_FOR_DELETION}
AT_RISK = {State.OVERDUE, State.NOT_IN_LEDGER}


_SENTENCES = {
    State.NO_VALUE: "no value: nothing has been published yet, the next run does it",
    State.MARKED_FOR_DELETION: "marked for deletion: nobody can read the secret, RestoreSecret takes that back",
}


class Fate(StrEnum):
    """What becomes of a superseded token next."""

    IN_GRACE = "in-grace"
    REVOCATION_DUE = "revocation-due"
    NEWER_THAN_CURRENT = "newer-than-current"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Superseded:
    """A superseded token that is still tracked, and when it ends: by its revocation or, before that, its expiry."""

    entry: Entry
    fate: Fate
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Status:
    """How things stand. `reason` is what a run would decide by."""

    at: datetime
    policy: Policy
    state: State
    reason: Reason | None
    current: Entry | None
    renews_at: datetime | None
    superseded: tuple[Superseded, ...]


def status_of(ledger: Ledger | None, policy: Policy, now: datetime) -> Status:
    """Tell how things stand by the ledger, which is None where the secret is marked for deletion."""
    if ledger is None:
        return Status(now, policy, State.MARKED_FOR_DELETION, None, None, None, ())
    _, reason = decisions.renewal(ledger, policy, now, Action.RENEW_IF_DUE, "")
    due = decisions.renewal_time(ledger.current, policy) if ledger.current else None
    return Status(
        at=now,
        policy=policy,
        state=_state(ledger.current, reason, policy, now),
        reason=reason,
        current=ledger.current,
        renews_at=due[0] if due else None,
        superseded=tuple(_superseded(ledger, entry, policy, now) for entry in ledger.superseded),
    )


def live(status: Status) -> int:
    """Count the tokens that may be alive, the current one among them."""
    entries = [each.entry for each in status.superseded] + ([status.current] if status.current else [])
    return sum(entry.expires_at is None or status.at < entry.expires_at for entry in entries)


def headline(status: Status) -> str:
    """Say in one sentence how the current token is."""
    if status.state in _SENTENCES:
        return _SENTENCES[status.state]
    if status.current is None or status.renews_at is None or status.current.expires_at is None:
        cause = "its label cannot be read" if status.current and status.current.labels else "it has no label"
        return f"current version not in the ledger, as {cause}: the next run publishes another token"
    since = f"since {instant(status.renews_at, status.at)}"
    why = f", as {_REASONS[status.reason]}" if status.reason in _REASONS else ""
    return {
        State.FRESH: f"fresh: renews in {duration(status.renews_at - status.at)}, with the first run from then on",
        State.DUE: f"due {since}{why}: the next run renews it",
        State.OVERDUE: f"overdue {since}: runs fail or do not happen, see the job's log",
        State.EXPIRED: f"expired {duration(status.at - status.current.expires_at)} ago: consumers are refused, see the "
        "job's log",
    }[status.state]


def fate(superseded: Superseded, at: datetime) -> str:
    """Say in one sentence what becomes of a superseded token."""
    left = duration(superseded.ends_at - at) if superseded.ends_at and superseded.ends_at > at else ""
    match superseded.fate:
        case Fate.IN_GRACE if superseded.ends_at == superseded.entry.expires_at:
            text = f"in its grace, expires in {left}"
        case Fate.IN_GRACE:
            text = f"in its grace, revoked in {left}"
        case Fate.REVOCATION_DUE:
            text = "its grace is over, revoked by the next run"
        case Fate.NEWER_THAN_CURRENT:
            text = f"newer: rolled back from, expires in {left}"
        case Fate.EXPIRED:
            text = "expired, dropped by the next run"
        case Fate.UNKNOWN:
            text = "left alone until another token is published"
    return text if superseded.entry.expires_at else f"{text} (label cannot be read)"


def as_json(status: Status) -> dict[str, object]:
    """Return the stable fields for scripts. Times are whole epoch seconds, as in a run's result."""
    return {
        "state": status.state,
        "reason": status.reason,
        "checked_at": int(status.at.timestamp()),
        "version_id": status.current and status.current.version_id,
        "published_at": status.current and _epoch(status.current.published_at),
        "renews_at": _epoch(status.renews_at),
        "expires_at": status.current and _epoch(status.current.expires_at),
        "superseded": [
            {
                "version_id": each.entry.version_id,
                "state": each.fate,
                "published_at": _epoch(each.entry.published_at),
                "expires_at": _epoch(each.entry.expires_at),
                "ends_at": _epoch(each.ends_at),
            }
            for each in status.superseded
        ],
    }


def duration(length: timedelta) -> str:
    """Say a length of time in its two largest units."""
    seconds = max(0, int(length.total_seconds()))
    units = [(_DAY_SECONDS, "d"), (_HOUR_SECONDS, "h"), (_MINUTE_SECONDS, "min"), (1, "s")]
    largest = next((n for n, (size, _) in enumerate(units) if seconds >= size), len(units) - 1)
    words: list[str] = []
    for size, unit in units[largest : largest + 2]:
        words += [f"{seconds // size} {unit}"] if seconds >= size or not words else []
        seconds %= size
    return " ".join(words)


def instant(at: datetime, now: datetime) -> str:
    """Say a time in UTC, with its date where that is another than today's."""
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"


def short(entry: Entry) -> str:
    """Return the start of a version id, as its label has it."""
    return entry.version_id[:8]


def _state(current: Entry | None, reason: Reason, policy: Policy, now: datetime) -> State:
    if current is None:
        return State.NO_VALUE
    if current.expires_at is None:
        return State.NOT_IN_LEDGER
    if now >= current.expires_at:
        return State.EXPIRED
    if decisions.is_overdue(current, policy, now):
        return State.OVERDUE
    return State.FRESH if reason is Reason.FRESH else State.DUE


def _superseded(ledger: Ledger, entry: Entry, policy: Policy, now: datetime) -> Superseded:
    if entry.expires_at is not None and now >= entry.expires_at:
        return Superseded(entry, Fate.EXPIRED, entry.expires_at)
    if decisions.is_rolled_back_from(ledger, entry):
        return Superseded(entry, Fate.NEWER_THAN_CURRENT, entry.expires_at)
    revoked_at = decisions.revocation_time(ledger, entry, policy.grace)
    if revoked_at is None:
        return Superseded(entry, Fate.UNKNOWN, entry.expires_at)
    if entry in decisions.revocable(ledger, now, policy.grace):
        return Superseded(entry, Fate.REVOCATION_DUE, revoked_at)
    return Superseded(entry, Fate.IN_GRACE, min(revoked_at, entry.expires_at or revoked_at))


def _epoch(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
