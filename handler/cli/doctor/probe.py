"""Probes the authorization server and returns the observations; `diagnosis.py` draws the conclusions.

It first surveys, which changes nothing. Then it obtains two tokens and revokes them again. That also revokes the
published token if the server keeps one active token for a client, or if logout revokes all of them.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from secrets import token_urlsafe
from typing import TYPE_CHECKING

from handler import decisions
from handler.cli.doctor.observations import (
    WATCH,
    Cleanup,
    Published,
    ServerFormat,
    Survey,
    TokenResult,
    TokenTest,
    VerifyUrl,
    Watch,
)
from handler.cli.doctor.response_shape import response_shape_of
from handler.cli.fetch_status import is_accepted
from handler.errors import RotationError, SecretsManagerError, ServerError, ServerRefusedError, TokenRejectedError
from handler.revocation_guard import is_in_use
from handler.server_protocols import OAuthProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from handler.authorization_server import AuthorizationServer
    from handler.cli.doctor.observations import Permissions
    from handler.config import Settings
    from handler.credentials import Credentials
    from handler.ledger import Entry, Ledger
    from handler.model import Clock, Token
    from handler.token_secret_reads import TokenSecretReads

# For one request with its retries.
_PATIENCE = timedelta(seconds=60)

# Longer than the rounding of an expiry: a token that is reissued after it shows whether its expiry is later.
_PAUSE_SECONDS = 5.0

_WATCH_EVERY_SECONDS = 5.0


@dataclass(slots=True)
class Probe:
    """One probe. `credentials` are None if this identity may not read them; then it requests no token.

    `on_wait` receives the duration of a watch.
    """

    settings: Settings
    token_secret: TokenSecretReads
    server: AuthorizationServer
    clock: Clock
    credentials: Credentials | None = field(repr=False)
    on_wait: Callable[[timedelta], object] = field(default=lambda _: None)
    server_format: ServerFormat = field(init=False, default=ServerFormat())

    _published: str | None = field(init=False, default=None, repr=False)
    _obtained: list[str] = field(init=False, default_factory=list, repr=False)
    _lost: int = field(init=False, default=0)
    _settled: set[str] = field(init=False, default_factory=set, repr=False)
    _logout_failure: str | None = field(init=False, default=None)
    _accepts_anything: bool = field(init=False, default=False)
    _has_logged_out: bool = field(init=False, default=False)

    def survey(self, permissions: Permissions, ledger: Ledger) -> Survey:
        """Probe without obtaining a token. Raises ServerError if there is no response.

        It sends a made-up token to logout and VERIFY_URL, to learn the response for an inactive token, and to
        TOKEN_URL, to learn whether it can be reached.
        """
        made_up = f"made-up-by-doctor-{token_urlsafe(16)}"
        if isinstance(self.settings.protocol, OAuthProtocol):
            # The requests below may go to other hosts, and without a REVOCATION_URL none is sent.
            with suppress(TokenRejectedError):
                self.server.verify(self.settings.protocol.token_url, made_up, self.clock.now() + _PATIENCE)
        failure = None
        try:
            self._accepts_anything = self._logged_out(made_up)
        except ServerRefusedError as error:
            # Also if the server cannot revoke: then no request was sent.
            failure = str(error)
        except ServerError as error:
            if self.server.last_response is None:
                raise
            # If no request was sent, the credentials are missing here, which says nothing about the server.
            failure = str(error) if self._has_logged_out else None
        verify_url = VerifyUrl.NOT_SET
        if self.settings.verify_url:
            answers = {True: VerifyUrl.ACCEPTS_ANYTHING, False: VerifyUrl.CONCLUSIVE, None: VerifyUrl.SILENT}
            verify_url = answers[self._try(made_up)]
        is_conclusive = verify_url is VerifyUrl.CONCLUSIVE
        published = (
            self._survey_published(ledger, is_conclusive=is_conclusive) if permissions.reads_both_secrets else None
        )
        return Survey(permissions, verify_url, published, failure, can_revoke=self.settings.policy.can_revoke)

    def obtain(self, survey: Survey) -> TokenTest:
        """Request two tokens, and revoke them; a failure is an observation."""
        first, token_test = self._request(TokenTest(verify_url=survey.verify_url))
        if first is None:
            return token_test
        token_test = replace(token_test, is_published_reissued=first.access_token == self._published)
        second, token_test = self._request_again(first, token_test)
        if (
            token_test.is_published_reissued
            and token_test.prolongs is False
            and survey.published
            and survey.published.lifetime
        ):
            # The response has only the remaining lifetime.
            token_test = replace(token_test, lifetime=survey.published.lifetime)
        if second is not None:
            token_test = self._end(survey, first.access_token, second.access_token, token_test)
        published = None
        if self._published is not None and survey.published and survey.published.accepted:
            published = self._try(self._published)
        return replace(
            token_test,
            obtained=self._count,
            published_accepted=published,
            logout_failure=self._logout_failure,
        )

    def clean_up(self) -> Cleanup:
        """Revoke every obtained token that is still active, except published or tracked ones."""
        cleanup = Cleanup(
            failed=self._lost, failure="a successful response had no readable token" if self._lost else None
        )
        for access_token in self._obtained:
            try:
                if is_in_use(self.token_secret, access_token, self.token_secret.describe()):
                    cleanup = replace(cleanup, spared=cleanup.spared + 1)
                elif access_token not in self._settled:
                    self.server.revoke(access_token, self.clock.now() + _PATIENCE)
            except RotationError as error:
                cleanup = replace(cleanup, failed=cleanup.failed + 1, failure=str(error))
        return cleanup

    @property
    def has_requested(self) -> bool:
        """Whether a token was obtained, or may have been: a response can be lost."""
        return self.server.token_attempts > 0

    # Surveying

    def _survey_published(self, ledger: Ledger, *, is_conclusive: bool) -> Published | None:
        now, current = self.clock.now(), self.token_secret.read_current()
        if current is None or current.access_token is None:
            return None
        if current.expires_at is not None and now >= current.expires_at:
            return None
        self._published = current.access_token
        has_times = current.issued_at is not None and current.expires_at is not None
        published = Published(lifetime=current.expires_at - current.issued_at if has_times else None)  # type: ignore[operator]
        if not is_conclusive:
            return published
        published = replace(published, accepted=self._try(current.access_token))
        return self._try_superseded(ledger, published) if published.accepted else published

    def _try_superseded(self, ledger: Ledger, published: Published) -> Published:
        """Try a superseded token within its grace period."""
        waiting = [entry for entry in ledger.superseded if self._is_in_grace(ledger, entry)]
        value = self.token_secret.read_version(waiting[-1].version_id) if waiting else None
        if value is None or value.access_token in {None, self._published}:
            return published
        accepted = self._try(str(value.access_token))
        return replace(published, superseded_id=value.version_id, superseded_accepted=accepted)

    def _is_in_grace(self, ledger: Ledger, entry: Entry) -> bool:
        now = self.clock.now()
        superseded_at = decisions.superseded_at(ledger, entry)
        is_active = entry.expires_at is not None and now < entry.expires_at
        return is_active and superseded_at is not None and now < superseded_at + self.settings.policy.grace

    # Requesting

    def _request(self, token_test: TokenTest) -> tuple[Token | None, TokenTest]:
        if self.credentials is None:
            raise ValueError("a token request needs credentials")
        deadline = self.clock.now() + _PATIENCE
        try:
            token = self.server.request_token(self.credentials, self.settings.scope, deadline, self._obtain)
        except ServerError as error:
            self._record_format(is_error=True)
            is_refused = isinstance(error, ServerRefusedError)
            return None, replace(token_test, failure=str(error), is_refused=is_refused, obtained=self._count)
        self._obtain(token.access_token)
        self._record_format(is_error=False)
        response = self.server.last_response
        shape = response_shape_of(response, self.settings.protocol.parse_error) if response else None
        return token, replace(
            token_test,
            obtained=self._count,
            token_shape=shape,
            has_expires_in=shape is not None and "expires_in" in shape.fields,
            lifetime=max(token_test.lifetime or token.lifetime, token.lifetime),
        )

    def _request_again(self, first: Token, token_test: TokenTest) -> tuple[Token | None, TokenTest]:
        """Request again; if that returns the same token, once more after a pause, to compare the expiry."""
        second, token_test = self._request(token_test)
        if second is not None and second.access_token == first.access_token:
            token_test = replace(token_test, is_new=False)
            self.clock.sleep(_PAUSE_SECONDS)
            second, token_test = self._request(token_test)
            if second is not None and second.access_token == first.access_token and token_test.has_expires_in:
                token_test = replace(token_test, prolongs=decisions.outlives(second, first.expires_at))
        if second is not None:
            token_test = replace(token_test, is_new=second.access_token != first.access_token)
        return second, token_test

    def _end(self, survey: Survey, first: str, second: str, token_test: TokenTest) -> TokenTest:
        """Revoke both, the older one first, and record the effect on each."""
        is_conclusive = survey.verify_url is VerifyUrl.CONCLUSIVE
        # Only a try shows whether the old token stays active beside the new one, and from then on a gateway may cache
        # it. The new one is not tried before its logout: if the old one alone is rejected late, a cache is the reason.
        old = TokenResult(accepted=self._try_fresh(first)) if token_test.is_new and is_conclusive else TokenResult()
        new = TokenResult()
        if is_conclusive and not (old.accepted or (survey.published and survey.published.accepted)):
            # Nothing has shown yet that VERIFY_URL accepts an active token.
            new = TokenResult(accepted=self._try_fresh(second))
            is_conclusive = new.accepted is not False
            token_test = token_test if is_conclusive else replace(token_test, verify_url=VerifyUrl.REFUSES_FRESH)
            if not is_conclusive:
                old = TokenResult()
        ended_at: dict[str, datetime] = {}
        if token_test.is_new:
            old = replace(old, logout=self._logout(first, ended_at))
            if is_conclusive and self._accepts_anything:
                # This logout reports no inactive token, so only VERIFY_URL shows the effect.
                new = replace(new, accepted_after_other=self._try(second))
        new = replace(new, logout=self._logout(second, ended_at))
        # A token that was inactive before its logout shows nothing about logout.
        active = {first: old.accepted is not False and old.logout, second: new.logout}
        watches = self._watch({token: at for token, at in ended_at.items() if active[token]}) if is_conclusive else {}
        if token_test.is_new:
            old = replace(old, logout_again=self._logout(first, {}), watch=watches.get(first))
        new = replace(new, logout_again=self._logout(second, {}), watch=watches.get(second))
        return replace(token_test, old=old, new=new)

    def _watch(self, ended_at: Mapping[str, datetime]) -> dict[str, Watch]:
        """Try tokens until each is rejected, or until the longest known cache has expired."""
        if not ended_at:
            return {}
        watches: dict[str, Watch] = {}
        began_at = self.clock.now()
        while True:
            answers_now = {token: self._try(token) for token in ended_at}
            now = self.clock.now()
            for token, accepted in answers_now.items():
                if accepted is False and token not in watches:
                    watches[token] = Watch(lag=now - ended_at[token])
                elif accepted and token in watches:
                    watches[token] = replace(watches[token], accepted_again=True)
            waited = now - began_at
            if watches.keys() == ended_at.keys() or waited >= WATCH:
                break
            self.on_wait(waited)
            self.clock.sleep(_WATCH_EVERY_SECONDS)
        return {token: Watch() for token, accepted in answers_now.items() if accepted} | self._tried_again(watches)

    def _tried_again(self, watches: Mapping[str, Watch]) -> dict[str, Watch]:
        """Try rejected tokens once more after a pause: gateways learn of a revocation at different times."""
        if not watches:
            return {}
        self.clock.sleep(_WATCH_EVERY_SECONDS)
        return {
            token: replace(watch, accepted_again=watch.accepted_again or self._try(token) is True)
            for token, watch in watches.items()
        }

    @property
    def _count(self) -> int:
        """The number of obtained tokens, including those in unreadable responses."""
        return len(self._obtained) + self._lost

    def _obtain(self, access_token: str | None) -> None:
        if access_token is None:
            self._lost += 1
        elif access_token not in self._obtained:
            self._obtained.append(access_token)

    def _try(self, access_token: str) -> bool | None:
        """Return whether VERIFY_URL accepts a token."""
        url = self.settings.verify_url
        return None if url is None else is_accepted(self.server, url, access_token, self.clock.now() + _PATIENCE)

    def _try_fresh(self, access_token: str) -> bool | None:
        """Return whether VERIFY_URL accepts a new token; retry a rejection, since gateways learn of new tokens late."""
        if self.settings.verify_url is None:
            return None
        try:
            is_clear = self.server.verify(self.settings.verify_url, access_token, self.clock.now() + _PATIENCE)
        except TokenRejectedError:
            return False
        except ServerError:
            return None
        return True if is_clear else None

    def _logout(self, access_token: str, ended_at: dict[str, datetime]) -> bool | None:
        """Revoke a token in one attempt, since a second one would hide the result of the first."""
        try:
            if is_in_use(self.token_secret, access_token, self.token_secret.describe()):
                return None
            was_active = self._logged_out(access_token, once=True)
        except (SecretsManagerError, ServerError) as error:
            self._logout_failure = str(error)
            return None
        ended_at[access_token] = self.clock.now()
        self._settled.add(access_token)
        return was_active

    def _logged_out(self, access_token: str, *, once: bool = False) -> bool:
        was_active = None
        before = self.server.last_response
        try:
            client_id = self.credentials.client_id if self.credentials else None
            was_active = self.server.revoke(access_token, self.clock.now() + _PATIENCE, client_id, once=once)
        finally:
            self._has_logged_out = self.server.last_response is not before
            if self._has_logged_out:
                self._record_format(is_error=not was_active)
        return was_active

    def _record_format(self, *, is_error: bool) -> None:
        """Record the format of the response, the error format and the difference of the clocks."""
        last_response = self.server.last_response
        if last_response is None:
            return
        shape = response_shape_of(last_response, self.settings.protocol.parse_error)
        self.server_format = replace(self.server_format, clock_ahead=shape.clock_ahead)
        if is_error:
            error_shape = self.server_format.error_shape or shape
            error_format = self.server_format.error_format or shape.error_format
            self.server_format = replace(self.server_format, error_shape=error_shape, error_format=error_format)
