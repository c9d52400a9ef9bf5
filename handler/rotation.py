"""The steps of one run, in order: load the ledger, decide, renew, revoke. Each takes a ledger and returns the next."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from handler import decisions
from handler.errors import (
    ConnectionSetupError,
    ErrorCode,
    InvalidClientError,
    LabelsExhaustedError,
    RotationError,
    SecretsManagerError,
    SecretsManagerUnavailableError,
    ServerUnavailableError,
    TokenReissuedError,
    TokenRejectedError,
    WriteBudgetSpentError,
    WriteRefusedError,
    WriteUnknownError,
)
from handler.label_quota import free_label_slots
from handler.ledger import with_label
from handler.model import Action, Outcome, Reason, is_too_far_ahead
from handler.publication import (
    DuplicateDelivery,
    Published,
    publish,
    restore_lost_labels,
)
from handler.revocation import (
    raise_if_leak_stays_active,
    revoke_or_report_untracked,
    revoke_superseded,
    revoke_unpublished,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from handler.credentials import Credentials
    from handler.ledger import Entry, Ledger
    from handler.model import SecretVersion, Token
    from handler.run_context import RunContext


class Renewal(NamedTuple):
    """The ledger after this step, and the error that the run ends with, if any."""

    ledger: Ledger
    error: RotationError | None = None


def rotate(context: RunContext) -> None:
    """Renew the token if it is due, then revoke superseded tokens. Raises RotationError."""
    ledger = _load(context)
    try:
        renewal = _renew_if_due(context, ledger)
        ledger = renewal.ledger
        # After an unknown write it is unknown which token is current, so a revocation could end the current one.
        if not isinstance(renewal.error, WriteUnknownError):
            ledger = revoke_superseded(context, ledger, skips_grace=_skips_grace(context, ledger))
        if renewal.error is not None and not context.report.has_published:
            _try_kept_token(context, ledger)
    finally:
        context.report.record(ledger, context.settings.policy)
    if renewal.error is not None:
        raise renewal.error
    raise_if_leak_stays_active(context, ledger)


# Load the ledger


def _load(context: RunContext) -> Ledger:
    """Read the ledger, and check that its current version is tracked as the latest publication."""
    ledger = context.token_secret.expect_current(context.token_secret.describe())
    if ledger.current is not None and ledger.current.published_at is None:
        ledger = _track_by_document(context, ledger, ledger.current)
    current = ledger.current
    if current is not None and current.expires_at is not None and not ledger.is_current_latest:
        # Somebody rolled back to this version, or two runs overlapped: later publications are superseded now.
        published_at = ledger.next_publication(context.clock.now())
        ledger = _track(context, ledger, with_label(current, published_at, current.expires_at))
    return ledger


def _track_by_document(context: RunContext, ledger: Ledger, current: Entry) -> Ledger:
    """Give a current version without a readable label one with the times in its document, if these are usable."""
    now = context.clock.now()
    try:
        version = context.token_secret.read_current()
    except SecretsManagerError as error:
        context.log_warning(
            ErrorCode.CURRENT_UNREADABLE, f"the current version has no label and is unreadable: {error}"
        )
        return ledger
    if version is None or version.version_id != current.version_id or version.access_token is None:
        return ledger
    issued_at, expires_at = version.issued_at or now, version.expires_at
    if expires_at is None or expires_at <= now or is_too_far_ahead(issued_at, now):
        return ledger
    return _track(context, ledger, with_label(current, min(issued_at, now), expires_at))


def _track(context: RunContext, ledger: Ledger, entry: Entry) -> Ledger:
    """Add the last label of an entry to its version; return the ledger with the entry."""
    try:
        context.secrets.add_labels(entry.version_id, entry.labels[-1:])
    except SecretsManagerError as error:
        context.log_error(
            ErrorCode.LABEL_NOT_ATTACHED,
            f"the current version lacks a label of the ledger, which is added again after a publication: {error}",
            labelled_version_id=entry.version_id,
        )
    return ledger.updated(entry)


# Decide


def _should_renew(context: RunContext, ledger: Ledger) -> bool:
    """Return whether this run renews, and report the reason. May try the token at VERIFY_URL.

    Raises WriteBudgetSpentError.
    """
    now, settings = context.clock.now(), context.settings
    renews, reason = decisions.is_renewal_due(ledger, settings.policy, now, settings.action, context.version_id)
    # Set now: _reason_to_postpone may raise, and the summary of the run names the reason.
    context.report.reason = reason
    # Whether a scheduled run would renew now, too.
    is_due, _ = decisions.is_renewal_due(ledger, settings.policy, now, Action.RENEW_IF_DUE, context.version_id)
    if renews and not is_due and (postponed_for := _reason_to_postpone(context, ledger, now)) is not None:
        renews, reason = False, postponed_for
    # An event that has rotated before must not do so again. A rejected token is replaced even if the budget is spent:
    # that comes no earlier than a scheduled renewal.
    if not renews and reason is not Reason.ALREADY_ROTATED and _is_rejected(context, context.request_by):
        reason = Reason.NOT_ACCEPTED
        renews = decisions.may_replace_rejected(ledger, settings.policy, now)
        context.report.is_rejected = True
        context.log_error(
            ErrorCode.TOKEN_NOT_ACCEPTED,
            "VERIFY_URL rejects the published token, "
            + ("so it is replaced" if renews else "and it is not replaced yet, to limit the writes of the day"),
        )
    context.report.reason = reason
    return renews


def _reason_to_postpone(context: RunContext, ledger: Ledger, now: datetime) -> Reason | None:
    """Return why to postpone a rotation that is not due, or None to go ahead.

    Raises WriteBudgetSpentError for rotate-now. An emergency always goes ahead.
    """
    action = context.settings.action
    if action is Action.CREDENTIALS_CHANGED and _are_credentials_unchanged(context):
        return Reason.CREDENTIALS_UNCHANGED
    try:
        interval = decisions.planned_interval(ledger.current, context.settings.policy)
        possible_at = decisions.earliest_forced_rotation(context.secrets.write_times(), now, interval)
    except SecretsManagerError as error:
        # Go ahead: a failed count does not show that the budget is spent.
        context.log_warning(ErrorCode.WRITES_NOT_COUNTED, f"the writes of the day could not be counted: {error}")
        return None
    if possible_at <= now:
        return None
    spent = (
        "the remaining writes of the day are reserved for scheduled renewals: find out who rotates so often. The next "
        f"rotation that is not due is possible at {possible_at:%Y-%m-%dT%H:%M:%SZ}"
    )
    if action is Action.ROTATE_NOW:
        raise WriteBudgetSpentError(f"{spent}; for a leaked token, rotate-and-revoke-now works at any time")
    if action is Action.CREDENTIALS_CHANGED:
        context.log_warning(ErrorCode.WRITE_BUDGET_SPENT, spent)
        return Reason.WRITE_BUDGET_SPENT
    context.log_warning(ErrorCode.WRITE_BUDGET_SPENT, f"{spent}; this emergency goes ahead")
    return None


def _are_credentials_unchanged(context: RunContext) -> bool:
    """Return whether the new pair equals the previous one."""
    try:
        return context.secrets.read_credentials() == context.secrets.read_previous_credentials()
    except RotationError:
        # There is no previous pair, or one of the two is unusable: the renewal reports which.
        return False


def _is_rejected(context: RunContext, deadline: datetime) -> bool:
    """Return whether VERIFY_URL, if it is set, rejects the published token."""
    if context.settings.verify_url is None:
        return False
    try:
        version = context.token_secret.read_current()
    except SecretsManagerError as error:
        context.log_warning(ErrorCode.CURRENT_UNREADABLE, f"the published token could not be verified: {error}")
        return False
    if version is None or version.access_token is None or not context.token_secret.is_unchanged:
        return False
    return context.server.is_rejected(context.settings.verify_url, version.access_token, deadline)


def _skips_grace(context: RunContext, ledger: Ledger) -> bool:
    """Return whether superseded tokens are revoked without their grace.

    That is so if this request's version is current, or if this request has published no version yet. If another
    version has replaced it, this is a late duplicate of the event, and the tokens superseded since keep their grace.
    """
    if context.settings.action is not Action.ROTATE_AND_REVOKE_NOW:
        return False
    if context.token_secret.written_token is not None:
        return True
    if ledger.current is not None and ledger.current.version_id == context.version_id:
        return True
    try:
        return context.report.reason is Reason.LEAKED and context.token_secret.read_version(context.version_id) is None
    except SecretsManagerError:
        return False


# Renew


def _renew_if_due(context: RunContext, ledger: Ledger) -> Renewal:
    try:
        if not _should_renew(context, ledger):
            context.report.outcome = Outcome.NOT_DUE
            return Renewal(ledger)
        return _renew(context, ledger)
    except WriteBudgetSpentError as error:
        return Renewal(ledger, error)


def _try_kept_token(context: RunContext, ledger: Ledger) -> bool:
    """Return whether VERIFY_URL rejects the token that stays published, and report it: consumers hold no usable one.

    An expired token is not tried: its rejection says nothing new.
    """
    report = context.report
    is_usable = decisions.is_usable(ledger.current, context.clock.now())
    if is_usable and not report.is_rejected and _is_rejected(context, context.end_by):
        report.is_rejected = True
        context.log_error(ErrorCode.TOKEN_NOT_ACCEPTED, "VERIFY_URL rejects the published token, which stays for now")
    return report.is_rejected


def _renew(context: RunContext, ledger: Ledger) -> Renewal:
    """Free label slots if needed, obtain a token and publish it. Return a RotationError instead of raising it.

    Revoke every obtained token that is certainly not published. Slots come first: a token without a label could not be
    tracked.
    """
    unpublished: list[str] = []

    def on_unusable(access_token: str | None) -> None:
        if access_token is None:
            context.report_abandoned("a successful token response holds no readable token")
        else:
            unpublished.append(access_token)

    try:
        credentials = context.secrets.read_credentials()
        # Build the request only to check the pair: one that cannot be sent ends the run before it frees a slot.
        context.server.protocol.token_request(credentials, None)
        current = _read_current(context)
        ledger = free_label_slots(context, ledger)
        _check_label_slots(ledger)
        token = _request_token(context, credentials, on_unusable)
        if _is_reissued(context, token, current):
            # It is the published token, so it is not revoked.
            return Renewal(ledger, _error_of_reissue(context, ledger))
        unpublished.append(token.access_token)
        rejection = _verify(context, ledger, token, current)
        # None if nothing was current, it could not be read, or another publisher has replaced it since.
        replaced = current if current and ledger.current and current.version_id == ledger.current.version_id else None
        ledger = _restart_grace(context, ledger, replaced)
        # From here on the outcome of the write decides whether the token is revoked.
        unpublished.remove(token.access_token)
        renewal = _publish_or_revoke(context, ledger, token, replaced)
        ledger = renewal.ledger
        # The published token is the rejected one only if this run published it.
        if rejection is not None and context.report.has_published:
            context.report.is_rejected = True
            renewal = renewal._replace(error=renewal.error or rejection)
    except RotationError as error:
        return Renewal(ledger, error)
    else:
        return renewal
    finally:
        for access_token in unpublished:
            revoke_unpublished(context, ledger, access_token)


def _read_current(context: RunContext) -> SecretVersion | None:
    """Read the version to be replaced. Raises SecretsManagerRefusedError: what refuses reads may refuse the write."""
    try:
        return context.token_secret.read_current()
    except SecretsManagerUnavailableError as error:
        # The comparison saves a write at most. A new token matters more.
        context.log_warning(
            ErrorCode.CURRENT_UNREADABLE,
            f"the current token could not be compared with the new one: {error}",
        )
        return None


def _check_label_slots(ledger: Ledger) -> None:
    """Raise LabelsExhaustedError if a new version could get no label."""
    if not ledger.has_room:
        raise LabelsExhaustedError(
            f"the token secret (TOKEN_SECRET_ID) carries {ledger.label_count} staging labels, {ledger.other_labels} of "
            "them not this job's, so that a new version could get none: remove those, or find out why the job cannot "
            "remove its own"
        )


def _request_token(context: RunContext, credentials: Credentials, on_unusable: Callable[[str | None], None]) -> Token:
    """Request a token; if the server rejects the client, retry with the previous credentials."""
    started_at = context.clock.now()
    scope = context.settings.scope
    try:
        return context.server.request_token(credentials, scope, context.request_by, on_unusable)
    except InvalidClientError as refusal:
        previous = _previous_credentials(context, credentials)
        if previous is None:
            raise
        try:
            token = context.server.request_token(previous, scope, context.request_by, on_unusable)
        except RotationError as error:
            context.log_warning(error.error_code, f"the previous credentials did not work either: {error}")
            raise refusal from None
        context.report.used_previous_credentials = True
        context.log_error(
            ErrorCode.CREDENTIALS_FALLBACK,
            "the new credentials do not work, and the previous ones still do: move AWSCURRENT of the credentials "
            "secret back to the version under AWSPREVIOUS; do not put another value, which would push the good pair "
            f"out of AWSPREVIOUS ({refusal})",
        )
        return token
    finally:
        context.report.attempts = context.server.token_attempts
        context.report.telenor_seconds = (context.clock.now() - started_at).total_seconds()


def _previous_credentials(context: RunContext, refused: Credentials) -> Credentials | None:
    try:
        previous = context.secrets.read_previous_credentials()
    except RotationError as error:
        context.log.info(f"there are no credentials to fall back to: {error}")
        return None
    return previous if previous != refused else None


def _is_reissued(context: RunContext, token: Token, current: SecretVersion | None) -> bool:
    """Return whether the token is the published one, and not worth publishing again for a longer lifetime."""
    if current is None or not current.contains_token(token.access_token):
        return False
    needs_another = context.report.reason in {Reason.LEAKED, Reason.NOT_ACCEPTED}
    return needs_another or not decisions.outlives(token, current.expires_at)


def _error_of_reissue(context: RunContext, ledger: Ledger) -> TokenReissuedError | None:
    """Set the outcome; return an error if another token was needed."""
    context.report.outcome = Outcome.REISSUED
    if context.report.reason is Reason.LEAKED:
        return TokenReissuedError(
            "the leaked token was issued again, so it is still the current one: change the client secret, or have "
            f"{context.server.protocol.operator} revoke the token"
        )
    if _try_kept_token(context, ledger):
        return TokenReissuedError(
            "the published token was issued again, and VERIFY_URL rejects it: correct VERIFY_URL, or ask "
            f"{context.server.protocol.operator}"
        )
    context.log_warning(
        ErrorCode.TOKEN_REISSUED,
        "the current token was issued again with the same expiry: nothing is published",
    )
    return None


def _verify(
    context: RunContext, ledger: Ledger, token: Token, current: SecretVersion | None
) -> TokenRejectedError | None:
    """Try a new token at VERIFY_URL. Return the rejection if it is published all the same; the run fails afterwards."""
    if context.settings.verify_url is None:
        return None
    try:
        if not context.server.verify(context.settings.verify_url, token.access_token, context.request_by):
            context.log_warning(
                ErrorCode.VERIFY_URL_OUT,
                "the new token is published without verification: VERIFY_URL has a transient error",
            )
    except (ServerUnavailableError, ConnectionSetupError) as error:
        context.log_warning(error.error_code, f"the new token is published without verification: {error}")
    except TokenRejectedError as rejection:
        # A doubtful token beats an expired one: a firewall in front of VERIFY_URL alone may reject it.
        if decisions.is_usable(ledger.current, context.clock.now()) and _may_hold_usable_token(context, current):
            raise
        context.log_error(
            rejection.error_code,
            "VERIFY_URL rejects the new token, which is used all the same, since no usable one is published: check "
            "whether consumers can use it",
        )
        return rejection
    return None


def _may_hold_usable_token(context: RunContext, current: SecretVersion | None) -> bool:
    """Return whether the current value holds a token that has not expired, as far as it can be read and says so."""
    if current is None:
        return True
    is_expired = current.expires_at is not None and context.clock.now() >= current.expires_at
    return current.access_token is not None and not is_expired


# Publish


def _publish_or_revoke(context: RunContext, ledger: Ledger, token: Token, replaced: SecretVersion | None) -> Renewal:
    """Write a token, and act on the outcome of the write. Revoke a token that is certainly not published."""
    report = context.report
    try:
        publication = publish(context, ledger, token)
    except Exception:
        # publish() returns every known outcome, so this is a defect, and the token may be current.
        context.report_abandoned("a defect of this job leaves open whether the new token was published")
        raise
    match publication:
        case Published(entry):
            context.token_secret.written_token = token.access_token
            report.outcome = Outcome.ROTATED
            report.has_published = True
            # Whatever token VERIFY_URL rejected before is replaced.
            report.is_rejected = False
            # By the ledger before the publication, in which the replaced version is current.
            untracked = _replaced_without_label(context, ledger, replaced, token)
            ledger = restore_lost_labels(context, ledger.superseded_by(entry))
            _warn_about_settings(context, ledger, token)
            if untracked is None:
                return Renewal(ledger)
            return Renewal(ledger, revoke_or_report_untracked(context, untracked.version_id))
        case DuplicateDelivery(version):
            # The other delivery of this event has published and counted its token, so ours is surplus.
            report.outcome = Outcome.ROTATED
            ledger = restore_lost_labels(context, ledger)
            if ledger.find(context.version_id) is not None:
                # Its token has replaced the rejected one.
                report.is_rejected = False
            if version is None:
                context.report_abandoned(
                    "another delivery of the event has published a token that cannot be read, so this run's is not "
                    "revoked"
                )
            else:
                revoke_unpublished(context, ledger, token.access_token)
            return Renewal(ledger)
        case WriteRefusedError() as error:
            revoke_unpublished(context, ledger, token.access_token)
            return Renewal(ledger, error)
        case WriteUnknownError() as error:  # pragma: no branch  mypy knows that there is no fifth case
            # Keep it from being revoked: it may be current.
            context.token_secret.written_token = token.access_token
            context.report_abandoned("if the write, whose outcome is unknown, has not published the new token")
            return Renewal(ledger, error)


def _restart_grace(context: RunContext, ledger: Ledger, replaced: SecretVersion | None) -> Ledger:
    """If a person has put the current value, restart the grace of the tokens that consumers read until now.

    These are the token that the value replaced, and one that the value copies. Their own labels may say that later
    versions superseded them long ago.
    """
    if ledger.current is None or ledger.current.is_tracked:
        return ledger
    for entry in ledger.superseded:
        if context.clock.now() >= context.request_by:
            # The publication matters more.
            break
        was_readable = entry.is_previous or (replaced is not None and _is_copied(context, replaced, entry))
        if was_readable and entry.expires_at is not None and entry.published_at != ledger.latest_publication:
            published_at = ledger.next_publication(context.clock.now())
            ledger = _track(context, ledger, with_label(entry, published_at, entry.expires_at))
    return ledger


def _replaced_without_label(
    context: RunContext, ledger: Ledger, replaced: SecretVersion | None, token: Token
) -> Entry | None:
    """Return the replaced version, if it has no label and may hold an active token that no other version tracks."""
    if ledger.current is None or ledger.current.is_tracked:
        return None
    is_settled = replaced is not None and (
        (replaced.expires_at is not None and context.clock.now() >= replaced.expires_at)
        or replaced.access_token == token.access_token
        or _is_placeholder(context, replaced)
        or any(_is_copied(context, replaced, entry) for entry in ledger.superseded)
    )
    return None if is_settled else ledger.current


def _is_placeholder(context: RunContext, version: SecretVersion) -> bool:
    """Return whether a value is no token document. In an emergency any text may be the leaked token."""
    if version.access_token is not None:
        return False
    return context.report.reason is not Reason.LEAKED or version.content.strip() in {"", "{}"}


def _is_copied(context: RunContext, version: SecretVersion, entry: Entry) -> bool:
    """Return whether a version contains the token of a superseded one."""
    with suppress(SecretsManagerError):
        original = context.token_secret.read_version(entry.version_id)
        return (
            original is not None and original.access_token is not None and version.contains_token(original.access_token)
        )
    return False


def _warn_about_settings(context: RunContext, ledger: Ledger, token: Token) -> None:
    """Log a warning if the settings cannot hold the promises for tokens of this lifetime."""
    policy = context.settings.policy
    times = decisions.times_of(ledger.find(context.version_id), policy)
    numbers = {
        "life_seconds": int(token.lifetime.total_seconds()),
        "grace_seconds": int(policy.grace.total_seconds()),
        "schedule_minutes": policy.schedule.total_seconds() / 60,
    }
    if times is not None and not times.is_in_time:
        late = times.due_at - times.safe_until
        context.log_warning(
            ErrorCode.SETTINGS_CANNOT_HOLD,
            f"with these settings a token is renewed {int(late.total_seconds())} s too late to leave time for a missed "
            "run and the alarm, so consumers may read an inactive token: set GRACE_SECONDS or SCHEDULE_MINUTES lower",
            **numbers,
        )
    if decisions.writes_too_often(token.lifetime):
        context.log_warning(
            ErrorCode.LIFE_TOO_SHORT,
            "the tokens' lifetime is so short that the secret is written more often than every ten minutes, which "
            "Secrets Manager may refuse in the end: ask for a longer lifetime",
            **numbers,
        )
