"""The status of a job by its labels, last runs and VERIFY_URL: as a value, in words and as JSON. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from handler import decisions
from handler.cli.time_format import duration, instant
from handler.errors import IRREVOCABLE
from handler.model import Action, Reason

if TYPE_CHECKING:
    from datetime import datetime

    from handler.cli.job import PastRun, PastRuns
    from handler.ledger import Entry, Ledger
    from handler.model import Policy

_REASONS = {
    Reason.SHARE_OF_LIFE_USED: "RENEW_AT_FRACTION of its lifetime is almost used",
    Reason.TOO_LITTLE_LIFE_LEFT: "its remaining lifetime nears GRACE_SECONDS plus the alarm margin",
}


class State(StrEnum):
    """The state of the current token."""

    FRESH = "fresh"
    DUE = "due"
    OVERDUE = "overdue"
    FAILING = "failing"
    NOT_RUNNING = "not-running"
    EXPIRED = "expired"
    NOT_ACCEPTED = "not-accepted"
    NOT_IN_LEDGER = "not-in-ledger"
    NO_VALUE = "no-value"
    MARKED_FOR_DELETION = "marked-for-deletion"


# States without a usable token, and states that need attention.
UNUSABLE = {State.EXPIRED, State.NOT_ACCEPTED, State.NO_VALUE, State.MARKED_FOR_DELETION}
AT_RISK = {State.OVERDUE, State.NOT_IN_LEDGER, State.FAILING, State.NOT_RUNNING}

# A run may be a minute late (AWS, "Schedule types"), and its line takes up to a minute to reach the log.
_RUN_MAY_BE_LATE = timedelta(minutes=2)

_SENTENCES = {
    State.NO_VALUE: "no value: no token has been published yet; the next run publishes one",
    State.MARKED_FOR_DELETION: "marked for deletion: nobody can read the secret; RestoreSecret restores it",
}


class Ending(StrEnum):
    """The next step for a superseded token."""

    IN_GRACE = "in-grace"
    REVOCATION_DUE = "revocation-due"
    NEWER_THAN_CURRENT = "newer-than-current"
    EXPIRED = "expired"
    NOT_REVOCABLE = "not-revocable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Superseded:
    """A superseded token that is still tracked, and when it ends: by its revocation or, before that, its expiry."""

    entry: Entry
    ending: Ending
    ends_at: datetime | None
    failed_with: str | None = None
    """The error code of the last attempt to revoke it, if that failed."""


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a job. `reason` is why a run would renew or not."""

    at: datetime
    policy: Policy
    state: State
    reason: Reason | None
    current: Entry | None
    renews_at: datetime | None
    superseded: tuple[Superseded, ...]
    accepted: bool | None = None
    """Whether VERIFY_URL accepts the current token; None if it was not tried or the response is inconclusive."""
    runs: PastRuns | None = None
    """The results of the last runs; None if they are unknown."""

    @property
    def credentials_fallback(self) -> bool | None:
        """Whether the current token was obtained with the previous credentials; None if that is unknown."""
        return self.runs.credentials_fallback if self.runs else None

    @property
    def failed_revocations(self) -> int:
        """The number of superseded tokens whose last revocation failed."""
        return sum(each.failed_with is not None for each in self.superseded)

    @property
    def needs_attention(self) -> bool:
        """Whether the job needs attention although consumers are served."""
        return self.state in AT_RISK or self.credentials_fallback is True or self.failed_revocations > 0

    @property
    def last_run(self) -> PastRun | None:
        """The last run that has ended, if the log shows one."""
        return self.runs.ended[-1] if self.runs and self.runs.ended else None

    @property
    def failed_runs(self) -> int:
        """The number of failed runs since the last successful one."""
        ended = self.runs.ended if self.runs else ()
        return next((n for n, run in enumerate(reversed(ended)) if not run.has_failed), len(ended))


def status_of(
    ledger: Ledger | None,
    policy: Policy,
    now: datetime,
    *,
    runs: PastRuns | None = None,
    accepted: bool | None = None,
) -> Status:
    """Return the state of a job. The ledger is None if the secret is marked for deletion."""
    if ledger is None:
        return Status(now, policy, State.MARKED_FOR_DELETION, None, None, None, (), runs=runs)
    _, reason = decisions.is_renewal_due(ledger, policy, now, Action.RENEW_IF_DUE, "")
    times = decisions.times_of(ledger.current, policy)
    return Status(
        at=now,
        policy=policy,
        state=_state(ledger.current, reason, policy, now, runs=runs, accepted=accepted),
        reason=reason,
        current=ledger.current,
        renews_at=times.due_at if times else None,
        superseded=tuple(_superseded(ledger, entry, policy, now, runs) for entry in ledger.superseded),
        accepted=accepted,
        runs=runs,
    )


def count_active(status: Status) -> int:
    """Count the tokens that may be active, including the current one."""
    entries = [each.entry for each in status.superseded] + ([status.current] if status.current else [])
    return sum(entry.expires_at is None or status.at < entry.expires_at for entry in entries)


def headline(status: Status) -> str:
    """Return one sentence about the current token."""
    if status.state in _SENTENCES:
        return _SENTENCES[status.state]
    if status.current is None or status.renews_at is None or status.current.expires_at is None:
        cause = "its label cannot be read" if status.current and status.current.is_tracked else "it has no label"
        return f"current version not in the ledger, since {cause}: the next run restores it, or publishes another"
    since = f"since {instant(status.renews_at, status.at)}"
    why = f", since {_REASONS[status.reason]}" if status.reason in _REASONS else ""
    return {
        State.FRESH: f"fresh: {_renews(status)}",
        State.DUE: f"due{why}: the next run renews it",
        State.OVERDUE: f"overdue {since}: runs fail or do not happen",
        State.FAILING: f"{_renews(status)}, but runs fail",
        State.NOT_RUNNING: f"{_renews(status)}, but the job does not run",
        State.EXPIRED: f"expired {duration(status.at - status.current.expires_at)} ago: consumers get 401",
        State.NOT_ACCEPTED: "rejected by VERIFY_URL before its expiry: somebody may have revoked it, and consumers may "
        "get 401",
    }[status.state]


def runs_in_words(status: Status) -> str | None:
    """Return one sentence about the last runs, or None if they are unknown."""
    runs, last = status.runs, status.last_run
    if runs is None:
        return None
    if last is None:
        return f"no run has ended since {instant(runs.since, status.at)}: check that the schedule is enabled"
    at = instant(last.at, status.at)
    if last.has_failed:
        n = status.failed_runs
        code = f" [{last.error_code}]" if last.error_code else ""
        return f"the last {'run' if n == 1 else f'{n} runs'} failed, the last at {at}: {last.message}{code}"
    if is_run_missing(status):
        return f"the last run ended at {at}: check that the schedule is enabled, and whether runs time out"
    return f"the last run ended at {at}: {last.outcome}"


def warnings_of(status: Status) -> list[str]:
    """Return one sentence about a problem that the state does not show."""
    warnings = []
    if status.credentials_fallback:
        warnings.append(
            "previous credentials in use: the current token was obtained with them, since the server rejects the new "
            "ones [credentials-fallback]"
        )
    if n := status.failed_revocations:
        codes = ", ".join(sorted({each.failed_with for each in status.superseded if each.failed_with}))
        warnings.append(f"{n} superseded {'token' if n == 1 else 'tokens'} could not be revoked [{codes}]")
    return warnings


def is_run_missing(status: Status) -> bool:
    """Return whether a run is missing."""
    return _is_run_missing(status.runs, status.policy, status.at)


def _is_run_missing(runs: PastRuns | None, policy: Policy, now: datetime) -> bool:
    if runs is None:
        return False
    last_at = runs.ended[-1].at if runs.ended else runs.since
    return now - last_at > 2 * policy.schedule + _RUN_MAY_BE_LATE


def _renews(status: Status) -> str:
    if status.renews_at is None:
        return "to be renewed"
    left = status.renews_at - status.at
    at = instant(status.renews_at, status.at)
    return f"renewed within {duration(left)}, by {at}" if left > timedelta(0) else f"due since {at}"


def ending_of(superseded: Superseded, at: datetime) -> str:
    """Return one phrase about how a superseded token ends."""
    left = duration(superseded.ends_at - at) if superseded.ends_at and superseded.ends_at > at else ""
    match superseded.ending:
        case Ending.IN_GRACE if superseded.ends_at == superseded.entry.expires_at:
            text = f"in its grace period, expires in {left}"
        case Ending.IN_GRACE:
            text = f"in its grace period, revoked in {left}"
        case Ending.REVOCATION_DUE if superseded.failed_with:
            text = "its grace period is over, its revocation failed, the next run tries again"
        case Ending.REVOCATION_DUE:
            text = "its grace period is over, revoked by the next run"
        case Ending.NEWER_THAN_CURRENT:
            text = f"newer than current (rolled back), grace period starts with the next run, expires in {left}"
        case Ending.EXPIRED:
            text = "expired, removed by the next run"
        case Ending.NOT_REVOCABLE:
            text = f"it cannot be revoked, expires {f'in {left}' if left else 'at an unknown time'}"
        case Ending.UNKNOWN:
            text = "stays until another token is published"
    text += f" [{superseded.failed_with}]" if superseded.failed_with else ""
    return text if superseded.entry.expires_at else f"{text} (label cannot be read)"


def as_json(status: Status) -> dict[str, object]:
    """Return the stable fields for scripts. Times are whole epoch seconds, as in a run's result."""
    return {
        "state": status.state,
        "reason": status.reason,
        "accepted": status.accepted,
        "credentials_fallback": status.credentials_fallback,
        "last_run": _run_json(status.last_run),
        "failed_runs": None if status.runs is None else status.failed_runs,
        "checked_at": int(status.at.timestamp()),
        "version_id": status.current and status.current.version_id,
        "published_at": status.current and _epoch(status.current.published_at),
        "renews_at": _epoch(status.renews_at),
        "expires_at": status.current and _epoch(status.current.expires_at),
        "superseded": [
            {
                "version_id": each.entry.version_id,
                "state": each.ending,
                "published_at": _epoch(each.entry.published_at),
                "expires_at": _epoch(each.entry.expires_at),
                "ends_at": _epoch(each.ends_at),
                "failed_with": each.failed_with,
            }
            for each in status.superseded
        ],
    }


def _state(  # noqa: PLR0911, PLR0913  one return for each state, the worst first
    current: Entry | None,
    reason: Reason,
    policy: Policy,
    now: datetime,
    *,
    runs: PastRuns | None,
    accepted: bool | None,
) -> State:
    if current is None:
        return State.NO_VALUE
    if current.expires_at is not None and now >= current.expires_at:
        return State.EXPIRED
    if accepted is False:
        return State.NOT_ACCEPTED
    if current.expires_at is None:
        return State.NOT_IN_LEDGER
    if decisions.is_overdue(current, policy, now):
        return State.OVERDUE
    if runs is not None and runs.ended and runs.ended[-1].has_failed:
        return State.FAILING
    if _is_run_missing(runs, policy, now):
        return State.NOT_RUNNING
    return State.FRESH if reason is Reason.FRESH else State.DUE


def _run_json(run: PastRun | None) -> dict[str, object] | None:
    if run is None:
        return None
    return {"at": _epoch(run.at), "outcome": run.outcome, "message": run.message, "error_code": run.error_code}


def _superseded(ledger: Ledger, entry: Entry, policy: Policy, now: datetime, runs: PastRuns | None) -> Superseded:
    failed_with = runs.failed_revocations.get(entry.version_id) if runs else None
    superseded = _ending(ledger, entry, policy, now, failed_with)
    # The next run removes an expired one, even after a failed revocation.
    return superseded if superseded.ending is Ending.EXPIRED else replace(superseded, failed_with=failed_with)


def _ending(ledger: Ledger, entry: Entry, policy: Policy, now: datetime, failed_with: str | None) -> Superseded:
    if entry.expires_at is not None and now >= entry.expires_at:
        return Superseded(entry, Ending.EXPIRED, entry.expires_at)
    if not policy.can_revoke:
        return Superseded(entry, Ending.NOT_REVOCABLE, entry.expires_at)
    superseded_at = decisions.superseded_at(ledger, entry)
    if superseded_at is None:
        is_newer = ledger.current is not None and not ledger.is_current_latest and entry.published_at is not None
        return Superseded(entry, Ending.NEWER_THAN_CURRENT if is_newer else Ending.UNKNOWN, entry.expires_at)
    if failed_with in IRREVOCABLE:
        return Superseded(entry, Ending.NOT_REVOCABLE, entry.expires_at)
    revoked_at = superseded_at + policy.grace
    if entry in decisions.revocable(ledger, now, policy.grace):
        return Superseded(entry, Ending.REVOCATION_DUE, revoked_at)
    return Superseded(entry, Ending.IN_GRACE, min(revoked_at, entry.expires_at or revoked_at))


def _epoch(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
