"""What the API reference leaves open, asked of the real endpoint; `diagnosis.py` says what follows.

It looks first, which harms nobody. Then it asks for two tokens and logs them out again, which ends the published token
too where Telenor keeps one token at a time for a client, or where logout ends all of them. What is published, or
tracked, is never logged out: each logout comes right after a look at both, as in `rotation.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from secrets import token_urlsafe
from typing import TYPE_CHECKING

from handler import decisions
from handler.errors import RotationError, SecretsManagerError, TelenorError, TelenorRefusedError, TokenNotAcceptedError
from handler.terminal.diagnosis import Findings, VerifyUrl
from handler.terminal.shape import shape_of

if TYPE_CHECKING:
    from datetime import datetime

    from handler.config import Settings
    from handler.model import Clock, Credentials, Entry, Ledger, StoredValue, Token
    from handler.secrets_manager import SecretsManager
    from handler.telenor import Telenor

# For one request with its retries.
_PATIENCE = timedelta(seconds=60)

# Longer than the rounding of an expiry: a token that is handed out again after it shows whether its life got longer.
_PAUSE_SECONDS = 5.0


@dataclass(slots=True)
class Doctor:
    """One examination."""

    settings: Settings
    secrets: SecretsManager
    telenor: Telenor
    clock: Clock
    findings: Findings = field(default_factory=Findings)

    _credentials: Credentials | None = field(init=False, default=None, repr=False)
    _published: str | None = field(init=False, default=None, repr=False)
    _published_life: timedelta | None = field(init=False, default=None)
    _obtained: list[str] = field(init=False, default_factory=list, repr=False)
    _settled: set[str] = field(init=False, default_factory=set, repr=False)
    _values: dict[str, StoredValue | None] = field(init=False, default_factory=dict)

    @property
    def may_harm(self) -> bool:
        """Whether there is a published token that asking for another one could end."""
        return self.findings.has_published

    def look(self) -> Ledger:
        """Find out what can be found out without a token of one's own. Raises SecretsManagerError, InvalidInputError.

        Logout and VERIFY_URL are tried with a token that was made up, so that what they say to a dead one is known.
        """
        found, now = self.findings, self.clock.now()
        ledger = self.secrets.describe()
        self._credentials = self.secrets.read_credentials()
        current = self.secrets.read_current()
        made_up = f"made-up-by-doctor-{token_urlsafe(16)}"
        try:
            found.made_up_logout = self.telenor.logout(made_up, now + _PATIENCE)
        except TelenorError as error:
            found.logout_failure = str(error)
        self._note_shape(is_error=not found.made_up_logout)
        if self.settings.verify_url:
            answers = {True: VerifyUrl.ACCEPTS_ANYTHING, False: VerifyUrl.TELLS, None: VerifyUrl.SILENT}
            found.verify_url = answers[self._try(made_up)]
        if current is not None and current.access_token and (current.expires_at is None or now < current.expires_at):
            found.has_published = True
            self._published = current.access_token
            if current.issued_at and current.expires_at:
                self._published_life = current.expires_at - current.issued_at
            found.published_before = self._accepts(current.access_token)
            self._try_superseded(ledger, now)
        return ledger

    def ask(self) -> None:
        """Ask for two tokens, and log them out; what goes wrong is a finding."""
        found = self.findings
        first = self._request()
        if first is None:
            return
        if found.verify_url is VerifyUrl.TELLS and self._try(first.access_token) is False:
            # Then it has told nothing about the published token either.
            found.verify_url, found.published_before = VerifyUrl.REFUSES_FRESH, None
        found.is_published_handed_out = first.access_token == self._published
        second = self._second(first)
        if found.is_published_handed_out and found.prolongs is False:
            # What was told is only what is left of it.
            found.life = self._published_life or found.life
        if second is None:
            return
        found.second_accepted = self._accepts(second.access_token)
        if found.is_new:
            found.first_accepted = self._accepts(first.access_token)
            found.first_logout = self._logout(first.access_token)
            found.first_accepted_after = self._accepts(first.access_token)
            found.second_accepted_after_first = self._accepts(second.access_token)
            found.first_logout_again = self._logout(first.access_token)
        found.second_logout = self._logout(second.access_token)
        found.second_accepted_after = self._accepts(second.access_token)
        found.second_logout_again = self._logout(second.access_token)
        if self._published is not None and found.published_before:
            found.published_after = self._accepts(self._published)

    def clean_up(self) -> None:
        """Log out every token that was obtained and is still alive, but none that is published or tracked."""
        for access_token in self._obtained:
            try:
                if self._is_in_use(access_token):
                    self.findings.spared += 1
                elif access_token not in self._settled:
                    self.telenor.logout(access_token, self.clock.now() + _PATIENCE)
            except RotationError as error:
                self.findings.failed += 1
                self.findings.logout_failure = str(error)

    def _second(self, first: Token) -> Token | None:
        """Ask again; where that gives the same token, once more after a pause that shows what became of its life."""
        found, second = self.findings, self._request()
        if second is not None and second.access_token == first.access_token:
            found.is_new = False
            self.clock.sleep(_PAUSE_SECONDS)
            second = self._request()
            if second is not None and second.access_token == first.access_token and found.is_life_told:
                found.prolongs = decisions.outlives(second, first.expires_at)
        if second is not None:
            found.is_new = second.access_token != first.access_token
        return second

    def _try_superseded(self, ledger: Ledger, now: datetime) -> None:
        """Try a token that a newer one has superseded and that nobody can have revoked yet."""
        waiting = [entry for entry in ledger.superseded if self._is_in_grace(ledger, entry, now)]
        if waiting and self.findings.published_before:
            newest = waiting[-1]
            value = self._value(newest.version_id)
            if value is not None and value.access_token and value.access_token != self._published:
                self.findings.superseded_id = newest.version_id
                self.findings.superseded_accepted = self._accepts(value.access_token)

    def _is_in_grace(self, ledger: Ledger, entry: Entry, now: datetime) -> bool:
        revoked_at = decisions.revocation_time(ledger, entry, self.settings.policy.grace)
        is_alive = entry.expires_at is not None and now < entry.expires_at
        return is_alive and revoked_at is not None and now < revoked_at

    def _request(self) -> Token | None:
        if self._credentials is None:
            raise ValueError("look() comes first")
        found = self.findings
        try:
            token = self.telenor.request_token(
                self._credentials, self.settings.scope, self.clock.now() + _PATIENCE, self._obtain
            )
        except TelenorError as error:
            found.token_failure, found.is_refused = str(error), isinstance(error, TelenorRefusedError)
            self._note_shape(is_error=True)
            return None
        self._obtain(token.access_token)
        found.token_shape = shape_of(self.telenor.last) if self.telenor.last else None
        found.is_life_told = found.token_shape is not None and "expires_in" in found.token_shape.fields
        found.life = max(found.life or token.life, token.life)
        return token

    def _obtain(self, access_token: str) -> None:
        if access_token not in self._obtained:
            self._obtained.append(access_token)
        self.findings.obtained = len(self._obtained)

    def _try(self, access_token: str) -> bool | None:
        """Tell what VERIFY_URL says about a token."""
        if self.settings.verify_url is None:
            return None
        try:
            is_clear = self.telenor.verify(self.settings.verify_url, access_token, self.clock.now() + _PATIENCE)
        except TokenNotAcceptedError:
            return False
        except TelenorError:
            return None
        return True if is_clear else None

    def _accepts(self, access_token: str) -> bool | None:
        """Tell whether a token is alive, where VERIFY_URL can tell that."""
        return self._try(access_token) if self.findings.verify_url is VerifyUrl.TELLS else None

    def _logout(self, access_token: str) -> bool | None:
        """Log a token out, once, since a second attempt would not tell what the first one has done."""
        try:
            if self._is_in_use(access_token):
                return None
            was_alive = self.telenor.logout(access_token, self.clock.now() + _PATIENCE, once=True)
        except (SecretsManagerError, TelenorError) as error:
            self.findings.logout_failure = str(error)
            return None
        self._settled.add(access_token)
        self._note_shape(is_error=not was_alive)
        return was_alive

    def _is_in_use(self, access_token: str) -> bool:
        """Tell whether a token is published, or waits in the ledger: asked right before each logout."""
        ledger = self.secrets.describe()
        current = self.secrets.read_current()
        values = [current, *(self._value(entry.version_id) for entry in ledger.superseded)]
        return any(value is not None and value.holds(access_token) for value in values)

    def _value(self, version_id: str) -> StoredValue | None:
        """Read a version once: what it holds never changes."""
        if self._values.get(version_id) is None:
            self._values[version_id] = self.secrets.read_version(version_id)
        return self._values[version_id]

    def _note_shape(self, *, is_error: bool) -> None:
        """Keep what an error looks like, and how the clocks stand."""
        shape = shape_of(self.telenor.last) if self.telenor.last else None
        if shape is None:
            return
        self.findings.clock_ahead = shape.clock_ahead
        if self.findings.error_shape is None and is_error:
            self.findings.error_shape = shape
