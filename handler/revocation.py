"""Revoke superseded tokens, and remove their labels."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from handler import decisions, revocation_guard
from handler.errors import (
    IRREVOCABLE,
    ErrorCode,
    SecretsManagerError,
    SecretsManagerUnavailableError,
    ServerError,
    ServerRefusedError,
)
from handler.model import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handler.ledger import Entry, Ledger
    from handler.model import SecretVersion
    from handler.run_context import RunContext


class Trigger(Enum):
    """Why a superseded token is revoked."""

    GRACE_PASSED = "grace passed"
    EMERGENCY = "emergency"
    LABEL_QUOTA = "label quota"


class RevocationResult(Enum):
    """The result for one superseded version."""

    REVOKED = "revoked"
    NOTHING_TO_REVOKE = "the version holds no token"
    TRACKED_BY_CURRENT = "the current version holds the token and tracks it"
    STILL_IN_USE = "another version, or the current one without a label, holds the token"
    POSTPONED = "it is not certain that the version is superseded"
    FAILED = "failed"

    @property
    def ends_tracking(self) -> bool:
        """Whether the labels of the superseded version may be removed."""
        return self in {
            RevocationResult.REVOKED,
            RevocationResult.NOTHING_TO_REVOKE,
            RevocationResult.TRACKED_BY_CURRENT,
        }


def revoke_superseded(context: RunContext, ledger: Ledger, *, skips_grace: bool) -> Ledger:
    """Revoke the superseded tokens whose grace has passed, or all of them if `skips_grace`.

    Return the ledger without the versions that need no label any more; the others wait for the next run. If the server
    cannot revoke, only expired tokens leave the ledger. A failed call raises no error.
    """
    ledger = _with_expiries_from_values(context, ledger)
    if skips_grace:
        # Leave out this run's own version: if a newer run has superseded it, its grace has just begun.
        to_revoke = tuple(entry for entry in ledger.superseded if entry.version_id != context.version_id)
    else:
        to_revoke = decisions.revocable(ledger, context.clock.now(), context.settings.policy.grace)
    # A token that one of these versions holds as well is not revoked.
    to_keep = [entry for entry in ledger.superseded if entry not in to_revoke]
    expired = decisions.expired(ledger, context.clock.now())
    ledger = remove_labels(context, ledger, expired)
    if not context.settings.policy.can_revoke:
        return ledger
    trigger = Trigger.EMERGENCY if skips_grace else Trigger.GRACE_PASSED
    for entry in to_revoke:
        if entry in expired:
            continue
        if context.clock.now() >= context.end_by:
            context.log.info("the next run revokes the other tokens: no time is left")
            break
        result = revoke_entry(context, entry, trigger, to_keep)
        if result.ends_tracking:
            ledger = remove_labels(context, ledger, [entry])
        if result is RevocationResult.FAILED and context.server.is_unreachable:
            context.log.info("the next run revokes the other tokens: the server sent no response")
            break
    return ledger


def raise_if_leak_stays_active(context: RunContext, ledger: Ledger) -> None:
    """Raise ServerRefusedError if this run has replaced a leaked token that the server cannot revoke."""
    has_replaced_leak = context.settings.action is Action.ROTATE_AND_REVOKE_NOW and context.report.has_published
    if has_replaced_leak and ledger.superseded and not context.settings.policy.can_revoke:
        raise ServerRefusedError(
            "a new token is published, but the authorization server cannot revoke access tokens (REVOCATION_URL is "
            "none), so the leaked one stays active until it expires: revoke it at the server, or disable the client "
            "there and put new credentials into the credentials secret",
            error_code=ErrorCode.REVOCATION_UNSUPPORTED,
        )


def revoke_unpublished(context: RunContext, ledger: Ledger, access_token: str) -> None:
    """Revoke an unpublished token, unless another version holds it."""
    try:
        if not revocation_guard.is_in_use(context.token_secret, access_token, ledger):
            context.server.revoke(access_token, context.end_by)
    except (SecretsManagerError, ServerError) as error:
        context.report_abandoned(
            f"a token that was not published could not be revoked either ({error})", cause=error.error_code
        )


def revoke_or_report_untracked(context: RunContext, version_id: str) -> ServerRefusedError | None:
    """Report that no run will revoke the token of a replaced version without a label.

    In an emergency revoke it instead; return an error if that fails.
    """
    if context.report.reason is not Reason.LEAKED:
        context.report_abandoned("the replaced version has no label")
        return None
    cause = _revoke_untracked(context, version_id)
    if cause is None:
        return None
    context.report_abandoned(f"the replaced version has no label, and {cause}")
    return ServerRefusedError(
        "a new token is published, but the token of the replaced version may have leaked and stay active, since "
        f"{cause}: have it revoked at the server, or change the client secret",
        error_code=ErrorCode.REVOCATION_ABANDONED,
    )


def _revoke_untracked(context: RunContext, version_id: str) -> str | None:
    """Return why the token of a version could not be revoked; None if it was."""
    try:
        version = context.token_secret.read_version(version_id)
        token = None if version is None else version.access_token
        if version is not None and token is not None:
            result = _revoke_unless_in_use(context, version, token, Trigger.EMERGENCY, ())
            if result is RevocationResult.REVOKED:
                return None
            return str(result.value)
    except (SecretsManagerError, ServerError) as error:
        return f"it could not be revoked ({error})"
    return "its value is no token document"


def remove_labels(context: RunContext, ledger: Ledger, entries: Sequence[Entry]) -> Ledger:
    """Remove the labels of inactive tokens; return the ledger without those that lost theirs.

    It stops at the first call without a response, which takes seconds, and when no time is left.
    """
    for entry in entries:
        if context.clock.now() >= context.end_by:
            context.log.info("the next run removes the labels of other inactive tokens: no time is left")
            break
        try:
            context.secrets.remove_labels(entry)
        except SecretsManagerError as error:
            context.log_warning(
                ErrorCode.LABEL_NOT_REMOVED,
                f"an inactive token stays in the ledger; the next run tries again: {error}",
                superseded_version_id=entry.version_id,
            )
            if isinstance(error, SecretsManagerUnavailableError):
                break
        else:
            ledger = ledger.without(entry)
    return ledger


def _with_expiries_from_values(context: RunContext, ledger: Ledger) -> Ledger:
    """Return the ledger. A version without a readable label gets the expiry in its document, if that can be read."""
    for entry in ledger.superseded:
        if entry.expires_at is None:
            try:
                version = context.token_secret.read_version(entry.version_id)
            except SecretsManagerUnavailableError:
                # Each further read would take seconds as well.
                break
            except SecretsManagerError:
                continue
            if version is not None:
                ledger = ledger.updated(entry._replace(expires_at=version.expires_at))
    return ledger


def revoke_entry(
    context: RunContext, entry: Entry, trigger: Trigger, to_keep: Sequence[Entry] = ()
) -> RevocationResult:
    """Revoke the token of a superseded version, unless it is in use."""
    fields = {"superseded_version_id": entry.version_id}
    try:
        version = context.token_secret.read_version(entry.version_id)
        if version is None:
            context.log_warning(
                ErrorCode.VERSION_NOT_FOUND, "a superseded version cannot be found; the next run tries again", **fields
            )
            return RevocationResult.FAILED
        if version.access_token is None:
            return RevocationResult.NOTHING_TO_REVOKE
        return _revoke_unless_in_use(context, version, version.access_token, trigger, to_keep)
    except (SecretsManagerError, ServerError) as error:
        context.report.revocations_failed += 1
        context.log_warning(
            error.error_code if error.error_code in IRREVOCABLE else ErrorCode.REVOCATION_FAILED,
            f"a superseded token could not be revoked: {error}",
            cause=error.error_code,
            **fields,
        )
        return RevocationResult.FAILED


def _revoke_unless_in_use(
    context: RunContext, version: SecretVersion, access_token: str, trigger: Trigger, to_keep: Sequence[Entry]
) -> RevocationResult:
    """Revoke a superseded token.

    Leave it if a version in `to_keep`, the current version or the publication of this run holds it, or if the version
    may no longer be superseded.
    """
    if revocation_guard.is_held(context.token_secret, access_token, to_keep):
        return RevocationResult.STILL_IN_USE
    # Read right before each revocation: the last moment to notice another run or an operator.
    current = context.token_secret.read_current()
    if current is None:
        context.log_warning(
            ErrorCode.NO_CURRENT_VERSION,
            "no version is current, so nothing is revoked",
            superseded_version_id=version.version_id,
        )
        return RevocationResult.POSTPONED
    if not _is_still_superseded(context, version, current, trigger):
        return RevocationResult.POSTPONED
    if access_token == context.token_secret.written_token:
        # If this is the version that the run published, no other label tracks its token.
        is_own_version = version.version_id == context.version_id
        return RevocationResult.STILL_IN_USE if is_own_version else RevocationResult.TRACKED_BY_CURRENT
    if current.contains_token(access_token):
        # If the current version has no label, this label alone tracks the active token.
        return RevocationResult.TRACKED_BY_CURRENT if current.is_tracked else RevocationResult.STILL_IN_USE
    # To free a label slot there is one attempt: the publication is waiting.
    context.server.revoke(access_token, context.end_by, version.client_id, once=trigger is Trigger.LABEL_QUOTA)
    context.report.revoked.append(version.version_id)
    return RevocationResult.REVOKED


def _is_still_superseded(context: RunContext, version: SecretVersion, current: SecretVersion, trigger: Trigger) -> bool:
    """Return whether the decision about a version still holds for what is current now."""
    fields = {"superseded_version_id": version.version_id}
    if version.is_current or current.version_id == version.version_id:
        context.log_warning(
            ErrorCode.READS_AS_CURRENT,
            "a superseded version is current by the latest read, so its token is not revoked: somebody rolled back "
            "a moment ago, or the read lags",
            **fields,
        )
        return False
    if trigger is Trigger.GRACE_PASSED and not context.token_secret.is_unchanged:
        # The other run may have superseded this version, or published this very token, a moment ago.
        context.log.info("another run has published since; the next run revokes", extra=fields)
        return False
    return True
