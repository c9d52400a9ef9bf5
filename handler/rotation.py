"""The story of one run, read top to bottom. The only place that orders steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from handler import decisions
from handler.errors import (
    PublicationRefusedError,
    PublicationUnknownError,
    RotationError,
    SecretsManagerError,
    TelenorError,
    TelenorUnavailableError,
)
from handler.model import Action, Clock, Credentials, Entry, Ledger, Outcome, Reason, StoredValue, Token

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from handler.config import Settings
    from handler.secrets_manager import SecretsManager
    from handler.telenor import Telenor


@dataclass(slots=True)
class Report:
    """What a run has found and done so far, so that one that fails can still be told and measured."""

    outcome: Outcome | None = None
    reason: Reason | None = None
    version_id: str | None = None
    expires_at: datetime | None = None
    renews_at: datetime | None = None
    revoked: list[str] = field(default_factory=list)
    pending_revocations: int = 0
    has_published: bool = False
    has_failed: bool = False
    revocations_failed: int = 0
    revocations_abandoned: int = 0
    attempts: int = 0
    telenor_seconds: float = 0.0


@dataclass(slots=True)
class Rotation:
    """One run over one token secret.

    What it publishes gets `request_id` as its version id. Telenor is asked for a token until `publish_by`, which
    leaves the time to store it, and for logouts until `end_by`.
    """

    settings: Settings
    secrets: SecretsManager
    telenor: Telenor
    clock: Clock
    log: Logger
    report: Report
    request_id: str
    publish_by: datetime
    end_by: datetime

    # Kept up to date as the run goes: what Secrets Manager has been told, or has told.
    _ledger: Ledger = field(init=False, default=Ledger(None))
    _revocable: tuple[Entry, ...] = field(init=False, default=())
    _decided_on: set[str] = field(init=False, default_factory=set)
    _values: dict[str, StoredValue] = field(init=False, default_factory=dict)
    _published: Token | None = field(init=False, default=None)
    _unpublished: list[str] = field(init=False, default_factory=list, repr=False)

    def run(self) -> None:
        """Renew the token if it is due, then revoke what nobody uses any more. Raises RotationError."""
        is_due = self._look()
        failure: RotationError | None = None
        try:
            if is_due:
                self._renew()
            else:
                self.report.outcome = Outcome.NOT_DUE
        except PublicationUnknownError:
            # Until it is known which token is current, any logout may be of the wrong one.
            raise
        except RotationError as error:
            failure = error
        self._end_superseded()
        if failure is not None:
            raise failure

    def _look(self) -> bool:
        """Decide on one DescribeSecret whether a token is due, and which superseded ones may be revoked."""
        now, policy = self.clock.now(), self.settings.policy
        self._note(self.secrets.describe())
        current = self._ledger.current
        self._decided_on = {self.request_id} | ({current.version_id} if current else set())
        self._revocable = decisions.revocable(self._ledger, now, policy.grace)
        is_due, self.report.reason = decisions.renewal(self._ledger, policy, now, self.settings.action, self.request_id)
        return is_due

    def _renew(self) -> None:
        """Obtain a token and publish it. One that cannot be published is logged out."""
        credentials = self.secrets.read_credentials()
        self._make_room()
        try:
            token = self._request_token(credentials)
            # Until it is published it is one to log out, whatever happens in between.
            self._unpublished.append(token.access_token)
            current = self._read_current()
            self._track_current(current)
            if self._is_reissued(token, current):
                self._unpublished.remove(token.access_token)
            else:
                self._verify(token)
                self._publish(token)
        finally:
            for access_token in self._unpublished:
                self._discard(access_token)

    def _end_superseded(self) -> None:
        """Log out what may be revoked, and drop from the ledger what has died by itself."""
        now, policy = self.clock.now(), self.settings.policy
        if self.settings.action is Action.ROTATE_AND_REVOKE_NOW:
            self._revocable = self._ledger.superseded
        elif not policy.grace:
            # What this run has superseded has no grace to wait for either.
            self._revocable = decisions.revocable(self._ledger, now, policy.grace)
        spared = [entry for entry in self._ledger.superseded if entry not in self._revocable]
        expired = self._forget_expired(now)
        for entry in self._revocable:
            if entry in self._ledger.superseded and entry not in expired:
                self._revoke(entry, spared, at_once=self.settings.action is Action.ROTATE_AND_REVOKE_NOW)

    # Renewal, step by step

    def _make_room(self) -> None:
        """Keep the ledger below what a secret can carry. Publishing wins over every other promise here."""
        if not decisions.is_full(self._ledger):
            return
        self._forget_expired(self.clock.now())
        for oldest in self._ledger.superseded:
            if not decisions.is_full(self._ledger):
                return
            self.log.warning(
                "the ledger is full, so the oldest superseded token is revoked before its grace has passed: find out "
                "why logouts fail",
                extra={"superseded_version_id": oldest.version_id},
            )
            if self._revoke(oldest, at_once=True, hurried=True):
                continue
            if oldest.version_id not in self.report.revoked:
                # Counted before its label goes, since the answer about that may be lost.
                self.report.revocations_abandoned += 1
                self.log.error(
                    "a superseded token is given up although it was not revoked: it lives until it expires",
                    extra={"superseded_version_id": oldest.version_id},
                )
            if not self._forget(oldest):
                # No label can be removed now, so that ending more tokens would make no room.
                return

    def _request_token(self, credentials: Credentials) -> Token:
        started_at = self.clock.now()
        try:
            return self.telenor.request_token(
                credentials, self.settings.scope, self.publish_by, self._unpublished.append
            )
        finally:
            self.report.attempts = self.telenor.token_attempts
            self.report.telenor_seconds = (self.clock.now() - started_at).total_seconds()

    def _read_current(self) -> StoredValue | None:
        try:
            current = self.secrets.read_current()
        except SecretsManagerError as error:
            # The comparison saves a write at most. The token is there now, and storing it is what counts.
            self.log.warning(f"the new token is published without a look at the current one: {error}")
            return None
        if current is not None:
            # What a version holds never changes, but this one is about to be superseded.
            self._values[current.version_id] = replace(current, is_current=False)
            if current.version_id not in self._decided_on:
                # Somebody was here since the description, so that what was allowed then may be in its grace now.
                self._revocable = ()
        return current

    def _track_current(self, current: StoredValue | None) -> None:
        """Enter a current token that has lost its label, so that it is not forgotten when it is superseded."""
        untracked, now = self._ledger.current, self.clock.now()
        if untracked is None or untracked.labels or current is None or current.version_id != untracked.version_id:
            return
        if current.access_token and current.expires_at and current.expires_at > now:
            self._track(current.version_id, min(current.issued_at or now, now), current.expires_at)

    def _is_reissued(self, token: Token, current: StoredValue | None) -> bool:
        """Tell whether Telenor has handed out the current token again and publishing it would change nothing."""
        if current is None or not current.holds(token.access_token):
            return False
        if self.settings.action is Action.ROTATE_AND_REVOKE_NOW:
            self.log.error(
                "Telenor handed out the leaked token again, so it is still the current one: change the client secret "
                "at Telenor, or have Telenor revoke the token"
            )
        elif decisions.outlives(token, current.expires_at):
            return False
        else:
            self.log.warning("Telenor handed out the current token again, with no longer life: nothing is published")
        self.report.outcome = Outcome.REISSUED
        return True

    def _verify(self, token: Token) -> None:
        if self.settings.verify_url is None:
            return
        try:
            self.telenor.verify(self.settings.verify_url, token.access_token, self.publish_by)
        except TelenorUnavailableError as error:
            self.log.warning(f"the new token is published without having been tried: {error}")

    def _publish(self, token: Token) -> None:
        self._published = token
        try:
            entry = self.secrets.publish(token, self.request_id, self.clock.now())
        except (PublicationRefusedError, PublicationUnknownError) as error:
            entry = self._look_up(token, error)
        else:
            self._note(self._ledger.superseded_by(entry))
        self.report.outcome = Outcome.ROTATED
        if self._published is None:
            return
        self._unpublished.remove(token.access_token)
        self.report.has_published = True
        if not entry.labels:
            self._track(self.request_id, self.clock.now(), token.expires_at)
        if decisions.is_life_too_short(token.life, self.settings.policy):
            self.log.warning(
                "the token lives no longer than GRACE_SECONDS and one SCHEDULE_MINUTES together, so that consumers "
                "may be left with a dead one: set either lower",
                extra={"life_seconds": token.life.total_seconds()},
            )

    def _look_up(self, token: Token, error: PublicationRefusedError | PublicationUnknownError) -> Entry:
        """Find out what a write that did not go well has left. Raises the error if that was nothing, or who knows.

        The version holds this run's token if only the answer was lost, and another one if a twin was first: the same
        event, delivered twice. The twin's publication counts as this run's, and the own token is one too many.
        """
        if isinstance(error, PublicationRefusedError) and error.is_certain:
            self._published = None
            raise error
        try:
            value = self.secrets.read_version(self.request_id)
            ledger = self.secrets.describe() if value else None
        except SecretsManagerError:
            value = ledger = None
        if value is None or ledger is None:
            if isinstance(error, PublicationUnknownError):
                self._unpublished.remove(token.access_token)
            else:
                self._published = None
            raise error
        if not value.holds(token.access_token):
            self._published = None
        entry = ledger.find(self.request_id) or Entry(self.request_id)
        if value.is_current:
            # The description may lag behind that, and what it calls current is then superseded.
            ledger = ledger.superseded_by(entry)
        self._note(ledger)
        return entry

    def _track(self, version_id: str, published_at: datetime, expires_at: datetime) -> None:
        """Give a published version its label. What is published stays so without it."""
        try:
            entry = self.secrets.track(version_id, published_at, expires_at)
        except SecretsManagerError as error:
            self.log.error(  # noqa: TRY400  the sentence says it all
                f"a published token is not in the ledger, and the next run tries to mend that: {error}",
                extra={"untracked_version_id": version_id},
            )
            entry = Entry(version_id, published_at, expires_at)
        self._note(self._ledger.updated(entry))

    def _discard(self, access_token: str) -> None:
        """Log out a token that was not published, unless it is one that has been published some other time."""
        try:
            current = self.secrets.read_current()
            if self._is_current(access_token, current) or self._is_any(access_token, self._ledger.superseded):
                return
            self.telenor.logout(access_token, self.end_by)
        except (SecretsManagerError, TelenorError) as error:
            self.report.revocations_failed += 1
            self.log.error(  # noqa: TRY400  the sentence says it all
                f"a token that was not published could not be revoked either, and lives until it expires: {error}"
            )

    # Revocation

    def _revoke(self, entry: Entry, spared: Sequence[Entry] = (), *, at_once: bool, hurried: bool = False) -> bool:
        """Log out a superseded token and take it out of the ledger; tell whether it is out.

        `at_once` says that consumers may still be using it, and `hurried` that a publication waits for this.
        """
        try:
            value = self._value(entry.version_id)
            if value is None:
                self.log.warning(
                    "a superseded version cannot be found, so it is left to the next run: the read may lag",
                    extra={"superseded_version_id": entry.version_id},
                )
                return False
            if value.access_token is not None:
                if self._is_any(value.access_token, spared):
                    return False
                # Read right before each logout: the last moment to see that another run or a hand was there.
                current = self.secrets.read_current()
                if not self._is_superseded(entry, value, current, at_once=at_once):
                    return False
                if not self._is_current(value.access_token, current):
                    self.telenor.logout(value.access_token, self.end_by, once=hurried)
                    self.report.revoked.append(entry.version_id)
        except (SecretsManagerError, TelenorError) as error:
            self.report.revocations_failed += 1
            self.log.warning(
                f"a superseded token could not be revoked, and is tried again by the next run: {error}",
                extra={"superseded_version_id": entry.version_id},
            )
            return False
        return self._forget(entry)

    def _is_superseded(self, entry: Entry, value: StoredValue, current: StoredValue | None, *, at_once: bool) -> bool:
        """Tell whether what was decided about an entry still holds for what is current now."""
        where = {"superseded_version_id": entry.version_id}
        if current is None:
            self.log.warning("no version is current, so nothing is revoked", extra=where)
            return False
        if value.is_current or current.version_id == entry.version_id:
            self.log.warning(
                "a token that was to be revoked reads as the current one, so it is left alone: the secret was rolled "
                "back a moment ago, or the read lags",
                extra=where,
            )
            return False
        if at_once or current.version_id in self._decided_on:
            return True
        # What that run has superseded has its grace before it, and may hold this very token.
        self.log.info("another run has published meanwhile, so the next one revokes", extra=where)
        return False

    def _is_current(self, access_token: str, current: StoredValue | None) -> bool:
        """Tell whether a token is the current one, also when the read lags behind what this run has published."""
        is_own = self._published is not None and access_token == self._published.access_token
        return is_own or (current is not None and current.holds(access_token))

    def _is_any(self, access_token: str, entries: Sequence[Entry]) -> bool:
        """Tell whether one of these versions holds a token, as when Telenor has handed it out twice."""
        values = (self._value(entry.version_id) for entry in entries)
        return any(value is not None and value.holds(access_token) for value in values)

    def _forget_expired(self, now: datetime) -> tuple[Entry, ...]:
        expired = decisions.expired(self._ledger, now)
        for entry in expired:
            self._forget(entry)
        return expired

    def _forget(self, entry: Entry) -> bool:
        try:
            self.secrets.forget(entry)
        except SecretsManagerError as error:
            self.log.warning(
                f"a dead token stays in the ledger, and the next run tries again: {error}",
                extra={"superseded_version_id": entry.version_id},
            )
            return False
        self._note(self._ledger.without(entry))
        return True

    # What the run knows

    def _value(self, version_id: str) -> StoredValue | None:
        """Read a version once: what it holds never changes."""
        if version_id not in self._values and (value := self.secrets.read_version(version_id)) is not None:
            self._values[version_id] = value
        return self._values.get(version_id)

    def _note(self, ledger: Ledger) -> None:
        """Keep how things stand, for the next step and for the report."""
        self._ledger = ledger
        self.report.pending_revocations = len(ledger.superseded)
        if ledger.current is not None:
            self.report.version_id = ledger.current.version_id
            self.report.expires_at = ledger.current.expires_at
            due = decisions.renewal_time(ledger.current, self.settings.policy)
            self.report.renews_at = due[0] if due else None
