"""The story of one run, read top to bottom: gather, decide, act. The only place that orders steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler import decisions
from handler.errors import (
    ClientRefusedError,
    PublicationUnknownError,
    RotationError,
    SecretsManagerError,
    SecretsManagerUnavailableError,
    TelenorUnavailableError,
    TokenReissuedError,
    WriteBudgetSpentError,
)
from handler.ledger import entered_again
from handler.model import Action, Outcome, Reason, is_too_far_ahead
from handler.publication import Refused, Stored, Twin, Unknown, look_again, publish
from handler.revocation import discard, end_superseded, make_room

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from handler.ledger import Entry
    from handler.model import Credentials, StoredValue, Token
    from handler.run import Run


def rotate(run: Run) -> None:
    """Renew the token if it is due, then revoke what nobody uses any more. Raises RotationError."""
    _gather(run)
    failure: RotationError | None = None
    try:
        if _decide(run):
            _renew(run)
        else:
            run.report.outcome = Outcome.NOT_DUE
    except PublicationUnknownError:
        # Until it is known which token is current, any logout may be of the wrong one.
        raise
    except RotationError as error:
        failure = error
    end_superseded(run, at_once=_is_emergency(run))
    if failure is not None:
        raise failure


# Gather


def _gather(run: Run) -> None:
    """Read the ledger, and see that the current version is in it as the one that was published last."""
    run.note(run.describe())
    current = run.ledger.current
    if current is not None and current.published_at is None:
        _enter_by_its_document(run, current)
    current = run.ledger.current
    if current is not None and current.expires_at is not None and not run.ledger.is_in_order:
        # Somebody rolled back to it, or two runs overlapped: those that were published later are superseded now.
        _enter(run, current, run.ledger.next_publication(run.clock.now()), current.expires_at)


def _enter_by_its_document(run: Run, current: Entry) -> None:
    """Enter a current version that has lost its label by the times in its document, where these say anything."""
    now = run.clock.now()
    try:
        value = run.read_current()
    except SecretsManagerError as error:
        run.warn("current-unreadable", f"the current version has no label, and cannot be read: {error}")
        return
    if value is None or value.version_id != current.version_id or value.access_token is None:
        return
    issued_at, expires_at = value.issued_at or now, value.expires_at
    if expires_at is not None and expires_at > now and not is_too_far_ahead(issued_at, now):
        _enter(run, current, min(issued_at, now), expires_at)


def _enter(run: Run, current: Entry, published_at: datetime, expires_at: datetime) -> None:
    entry = entered_again(current, published_at, expires_at)
    try:
        run.secrets.attach(entry.version_id, entry.labels[len(current.labels) :])
    except SecretsManagerError as error:
        run.complain(
            "label-not-attached",
            f"the current version lacks a label of the ledger, which is tried again after a publication: {error}",
            labelled_version_id=entry.version_id,
        )
    run.note(run.ledger.updated(entry))


# Decide


def _decide(run: Run) -> bool:
    """Return whether a token is due, and report why or why not. Raises WriteBudgetSpentError."""
    now, settings = run.clock.now(), run.settings
    is_due, reason = decisions.renewal(run.ledger, settings.policy, now, settings.action, run.version_id)
    run.report.reason = reason
    if is_due and not decisions.renewal(run.ledger, settings.policy, now, Action.RENEW_IF_DUE, run.version_id)[0]:
        hindrance = _hindrance(run, now)
        is_due, reason = (True, reason) if hindrance is None else (False, hindrance)
    if reason is Reason.FRESH and _is_refused(run):
        reason = Reason.NOT_ACCEPTED
        is_due = decisions.may_replace_refused(run.ledger, settings.policy, now)
        run.report.is_refused = True
        run.complain(
            "token-not-accepted",
            "VERIFY_URL refuses the published token, "
            + ("so it is replaced" if is_due else "and it is replaced a quarter of an hour after its publication"),
        )
    run.report.reason = reason
    return is_due


def _hindrance(run: Run, now: datetime) -> Reason | None:
    """Return why a rotation that no scheduled run would make now is left to the schedule, or None if it may go.

    Raises WriteBudgetSpentError where an operator waits for the answer.
    """
    action = run.settings.action
    if action is Action.CREDENTIALS_CHANGED and _are_credentials_unchanged(run):
        return Reason.CREDENTIALS_UNCHANGED
    try:
        possible_at = decisions.can_be_forced_at(run.secrets.written_since(now - decisions.DAY), now)
    except SecretsManagerError as error:
        # What is certain is that somebody needs another token. That too many were written is not even likely.
        run.warn("writes-not-counted", f"the token is replaced without a count of the day's writes: {error}")
        return None
    if possible_at <= now:
        return None
    spent = (
        "the day's renewals need the writes that Secrets Manager still takes: find out who rotates so often. The next "
        f"rotation that is not due is possible at {possible_at:%Y-%m-%dT%H:%M:%SZ}"
    )
    if action is Action.ROTATE_NOW:
        raise WriteBudgetSpentError(f"{spent}; for a leaked token, rotate-and-revoke-now works at any time")
    run.warn("write-budget-spent", spent)
    return Reason.WRITE_BUDGET_SPENT if action is Action.CREDENTIALS_CHANGED else None


def _are_credentials_unchanged(run: Run) -> bool:
    """Return whether somebody has put the same pair again."""
    try:
        return run.secrets.read_credentials() == run.secrets.read_previous_credentials()
    except RotationError:
        # There is no pair before this one, or one of both is unusable: the renewal says which.
        return False


def _is_refused(run: Run) -> bool:
    """Try the published token where consumers use it, if there is a URL for that."""
    if run.settings.verify_url is None:
        return False
    try:
        value = run.read_current()
    except SecretsManagerError as error:
        run.warn("current-unreadable", f"the published token could not be tried: {error}")
        return False
    if value is None or value.access_token is None or not run.is_alone:
        return False
    return run.telenor.is_refused(run.settings.verify_url, value.access_token, run.publish_by)


def _is_emergency(run: Run) -> bool:
    """Return whether superseded tokens are revoked without their grace.

    That is said of this request's own version. Where another one is current, the event was delivered before, and what
    has been superseded since has its grace.
    """
    if run.settings.action is not Action.ROTATE_AND_REVOKE_NOW:
        return False
    if run.published_token is not None:
        return True
    if run.ledger.current is not None and run.ledger.current.version_id == run.version_id:
        return True
    try:
        return run.report.reason is Reason.LEAKED and run.read_version(run.version_id) is None
    except SecretsManagerError:
        return False


# Act


def _renew(run: Run) -> None:
    """Obtain a token and publish it. One that cannot be published is logged out."""
    credentials = run.secrets.read_credentials()
    current = _read_what_is_to_be_replaced(run)
    make_room(run)
    unpublished: list[str] = []
    try:
        token = _obtain(run, credentials, unpublished.append)
        # Until it is published it is one to log out, whatever happens in between.
        unpublished.append(token.access_token)
        if current is not None and current.holds(token.access_token) and not _is_worth_publishing(run, token, current):
            unpublished.remove(token.access_token)
            _report_reissued(run)
        else:
            _verify(run, token)
            _publish(run, token, current, unpublished)
    finally:
        for access_token in unpublished:
            discard(run, access_token)


def _read_what_is_to_be_replaced(run: Run) -> StoredValue | None:
    """Read the current value. Raises SecretsManagerRefusedError: what cannot be read cannot be written either."""
    try:
        return run.read_current()
    except SecretsManagerUnavailableError as error:
        # The comparison saves a write at most. Storing a new token is what counts.
        run.warn("current-unreadable", f"the new token is published without a look at the current one: {error}")
        return None


def _obtain(run: Run, credentials: Credentials, on_unusable: Callable[[str], None]) -> Token:
    """Request a token; where Telenor refuses the client, once more with the credentials before these."""
    started_at = run.clock.now()
    scope = run.settings.scope
    try:
        return run.telenor.request_token(credentials, scope, run.publish_by, on_unusable)
    except ClientRefusedError as refusal:
        previous = _previous_credentials(run, credentials)
        if previous is None:
            raise
        try:
            token = run.telenor.request_token(previous, scope, run.publish_by, on_unusable)
        except RotationError as error:
            run.warn(error.error_code, f"the credentials before these did not work either: {error}")
            raise refusal from None
        run.report.used_previous_credentials = True
        run.complain(
            "credentials-fallback",
            "the new credentials do not work, and the ones before them still do: move AWSCURRENT of the credentials "
            "secret back to the version under AWSPREVIOUS; do not put another value, which would push the good pair "
            f"out of AWSPREVIOUS ({refusal})",
        )
        return token
    finally:
        run.report.attempts = run.telenor.token_attempts
        run.report.telenor_seconds = (run.clock.now() - started_at).total_seconds()


def _previous_credentials(run: Run, refused: Credentials) -> Credentials | None:
    try:
        previous = run.secrets.read_previous_credentials()
    except RotationError as error:
        run.log.info(f"there are no credentials to fall back to: {error}")
        return None
    return previous if previous != refused else None


def _is_worth_publishing(run: Run, token: Token, current: StoredValue) -> bool:
    """Return whether the current token, which Telenor handed out again, is to be published with a longer life."""
    if run.report.reason in {Reason.LEAKED, Reason.NOT_ACCEPTED}:
        return False
    return decisions.outlives(token, current.expires_at)


def _report_reissued(run: Run) -> None:
    """Raise TokenReissuedError where another token was needed."""
    run.report.outcome = Outcome.REISSUED
    if run.report.reason is Reason.LEAKED:
        raise TokenReissuedError(
            "Telenor handed out the leaked token again, so it is still the current one: change the client secret at "
            "Telenor, or have Telenor revoke the token"
        )
    if run.report.reason is Reason.NOT_ACCEPTED:
        raise TokenReissuedError(
            "Telenor handed out the published token again, which VERIFY_URL refuses: ask Telenor, or correct VERIFY_URL"
        )
    run.warn("token-reissued", "Telenor handed out the current token again, with no longer life: nothing is published")


def _verify(run: Run, token: Token) -> None:
    if run.settings.verify_url is None:
        return
    try:
        run.telenor.verify(run.settings.verify_url, token.access_token, run.publish_by)
    except TelenorUnavailableError as error:
        run.warn(error.error_code, f"the new token is published without having been tried: {error}")


def _publish(run: Run, token: Token, current: StoredValue | None, unpublished: list[str]) -> None:
    """Store a token, and act on what became of that."""
    unpublished.remove(token.access_token)
    replaced = run.ledger.current
    try:
        publication = publish(run, token)
    except Exception:
        run.abandon("a defect of this job leaves open whether the new token was published")
        raise
    match publication:
        case Stored(entry):
            run.published_token = token.access_token
            run.report.outcome, run.report.has_published, run.report.is_refused = Outcome.ROTATED, True, False
            if replaced is not None and not replaced.is_tracked and _may_live_on(run, replaced, current, token):
                run.abandon("the token that was replaced has no label, and its document could not give it one")
            look_again(run, run.ledger.superseded_by(entry))
            _warn_of_settings(run, token)
        case Twin(value):
            # Its publication counts as this run's, and the own token is one too many.
            run.report.outcome = Outcome.ROTATED
            look_again(run, run.ledger)
            if run.ledger.find(run.version_id) is not None:
                run.report.is_refused = False
            if value is not None:
                unpublished.append(token.access_token)
            else:
                run.abandon(
                    "the same event, delivered twice, has published a token that cannot be read, so this "
                    "run's is left alone"
                )
        case Refused(error):
            unpublished.append(token.access_token)
            raise error
        case Unknown(error):  # pragma: no branch  mypy knows that there is no fifth
            run.published_token = token.access_token
            run.abandon("nobody can tell whether the new token was published")
            raise error


def _may_live_on(run: Run, replaced: Entry, value: StoredValue | None, token: Token) -> bool:
    """Return whether a version that nothing tracks may hold a live token other than the new one."""
    if value is None or value.version_id != replaced.version_id:
        return True
    has_died = value.expires_at is not None and run.clock.now() >= value.expires_at
    return not has_died and value.access_token not in {None, token.access_token}


def _warn_of_settings(run: Run, token: Token) -> None:
    """Say where the settings cannot hold the promises for tokens of this life."""
    policy = run.settings.policy
    times = decisions.times_of(run.ledger.find(run.version_id), policy)
    numbers = {
        "life_seconds": int(token.life.total_seconds()),
        "grace_seconds": int(policy.grace.total_seconds()),
        "schedule_minutes": policy.schedule.total_seconds() / 60,
    }
    if times is not None and not times.are_in_order:
        late = times.at - times.needed_at
        run.warn(
            "settings-cannot-hold",
            f"with these settings a token is renewed {int(late.total_seconds())} s later than a missed run and the "
            "page need, so that consumers may get a dead one: set GRACE_SECONDS or SCHEDULE_MINUTES lower",
            **numbers,
        )
    if decisions.writes_too_often(token.life):
        run.warn(
            "life-too-short",
            "tokens live so short that the secret is written more often than every ten minutes, which Secrets Manager "
            "may refuse in the end: ask Telenor for a longer life",
            **numbers,
        )
