"""Log out what is over, settle the ledger, make room."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from handler import decisions
from handler.errors import (
    LabelsExhaustedError,
    SecretsManagerError,
    SecretsManagerUnavailableError,
    TelenorError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from handler.ledger import Entry
    from handler.model import StoredValue
    from handler.run import Run


class Urgency(Enum):
    """What a revocation waits for."""

    AFTER_GRACE = "after grace"
    AT_ONCE = "at once"
    TO_MAKE_ROOM = "to make room"


def end_superseded(run: Run, *, at_once: bool) -> None:
    """Log out the superseded tokens that have had their grace, or all, and forget what has died by itself."""
    if at_once:
        # If this run's own version was superseded a moment ago, it has its grace before it.
        ending = tuple(entry for entry in run.ledger.superseded if entry.version_id != run.version_id)
    else:
        ending = decisions.revocable(run.ledger, run.clock.now(), run.settings.policy.grace)
    spared = [entry for entry in run.ledger.superseded if entry not in ending]
    dead = _forget_expired(run)
    for entry in ending:
        if entry not in dead:
            _revoke(run, entry, Urgency.AT_ONCE if at_once else Urgency.AFTER_GRACE, spared)


def make_room(run: Run) -> None:
    """Keep the labels below what a secret can carry. Raises LabelsExhaustedError where they are somebody else's.

    Publishing wins over every other promise here.
    """
    if decisions.is_crowded(run.ledger):
        _forget_expired(run)
    for oldest in run.ledger.superseded:
        if not decisions.is_crowded(run.ledger) or not _give_up(run, oldest):
            break
    if not run.ledger.has_room:
        raise LabelsExhaustedError(
            f"the token secret (TOKEN_SECRET_ID) carries {run.ledger.size} staging labels, {run.ledger.other_labels} "
            "of them not this job's, so that a new version could get none: remove those, or find out why the job "
            "cannot remove its own"
        )


def discard(run: Run, access_token: str) -> None:
    """Log out a token that was not published, unless it is one that was published some other time."""
    if access_token == run.published_token:
        return
    try:
        current = run.read_current()
        if current is not None and current.holds(access_token):
            return
        if not _is_held(run, access_token, run.ledger.entries):
            run.telenor.logout(access_token, run.end_by)
    except (SecretsManagerError, TelenorError) as error:
        run.abandon(f"a token that was not published could not be revoked either ({error})", cause=error.error_code)


def _give_up(run: Run, oldest: Entry) -> bool:
    """Revoke a token before its grace has passed, or drop it. Return whether to go on."""
    where = {"superseded_version_id": oldest.version_id}
    run.warn(
        "grace-cut-short",
        "the token secret carries too many labels, so the oldest superseded token is revoked before its grace has "
        "passed: find out why logouts fail, or whose labels these are",
        **where,
    )
    # The current token's own label is never given up.
    if _revoke(run, oldest, Urgency.TO_MAKE_ROOM) or run.has_read_as_current(oldest.version_id):
        return True
    if oldest.version_id not in run.report.revoked:
        # Counted before its label goes, since the answer about that may be lost.
        run.abandon("a superseded token is given up although it was not revoked", **where)
    return _forget(run, oldest)


def _revoke(run: Run, entry: Entry, urgency: Urgency, spared: Sequence[Entry] = ()) -> bool:
    """Log out a superseded token and take it out of the ledger; tell whether it is out."""
    where = {"superseded_version_id": entry.version_id}
    try:
        value = run.read_version(entry.version_id)
        if value is None:
            run.warn("version-not-found", "a superseded version cannot be found, so the next run revokes", **where)
            return False
        if value.access_token is not None and not _log_out(run, value, value.access_token, urgency, spared):
            return False
    except (SecretsManagerError, TelenorError) as error:
        run.report.revocations_failed += 1
        run.warn(
            "revocation-failed",
            f"a superseded token could not be revoked, and is tried again by the next run: {error}",
            cause=error.error_code,
            **where,
        )
        return False
    return _forget(run, entry)


def _log_out(run: Run, value: StoredValue, access_token: str, urgency: Urgency, spared: Sequence[Entry]) -> bool:
    """Log out the token of a superseded version, unless it is in use; tell whether its label may go."""
    if _is_held(run, access_token, spared):
        return False
    # Read right before each logout: the last moment to see that another run or an operator was there.
    current = run.read_current()
    if current is None:
        run.warn(
            "no-current-version",
            "no version is current, so nothing is revoked",
            superseded_version_id=value.version_id,
        )
        return False
    if not _is_over(run, value, current, urgency):
        return False
    if access_token == run.published_token:
        # Its own version's label is the only trace of it, should another run have superseded it already.
        return value.version_id != run.version_id
    if current.holds(access_token):
        # Its label is the only trace of a live token where the current version has none.
        return current.is_tracked
    run.telenor.logout(access_token, run.end_by, once=urgency is Urgency.TO_MAKE_ROOM)
    run.report.revoked.append(value.version_id)
    return True


def _is_over(run: Run, value: StoredValue, current: StoredValue, urgency: Urgency) -> bool:
    """Return whether what was decided about a version still holds for what is current now."""
    where = {"superseded_version_id": value.version_id}
    if value.is_current or current.version_id == value.version_id:
        run.warn(
            "reads-as-current",
            "a token that was to be revoked reads as the current one, so it is left alone: somebody rolled the secret "
            "back a moment ago, or the read lags",
            **where,
        )
        return False
    if urgency is Urgency.AFTER_GRACE and not run.is_alone:
        # What the other run has superseded has its grace before it, and may hold this very token.
        run.log.info("another run has published since, so the next one revokes", extra=where)
        return False
    return True


def _is_held(run: Run, access_token: str, entries: Iterable[Entry]) -> bool:
    """Return whether one of these versions holds a token, or one that this run has read as current.

    Telenor may have handed it out twice.
    """
    if run.may_be_current(access_token):
        return True
    for entry in entries:
        value = run.read_version(entry.version_id)
        if value is None:
            raise SecretsManagerUnavailableError(
                "a version of the token secret cannot be found: the read may lag", error_code="version-not-found"
            )
        if value.holds(access_token):
            return True
    return False


def _forget_expired(run: Run) -> tuple[Entry, ...]:
    expired = decisions.expired(run.ledger, run.clock.now())
    for entry in expired:
        _forget(run, entry)
    return expired


def _forget(run: Run, entry: Entry) -> bool:
    try:
        run.secrets.forget(entry)
    except SecretsManagerError as error:
        run.warn(
            "label-not-removed",
            f"a dead token stays in the ledger, and the next run tries again: {error}",
            superseded_version_id=entry.version_id,
        )
        return False
    run.note(run.ledger.without(entry))
    return True
