"""The authorization server: clients, tokens and lifetimes, independent of the error format."""

from __future__ import annotations

import hashlib
import math
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.local.telenor_sandbox.error_kinds import ErrorKind
from infra.local.telenor_sandbox.knobs_and_faults import Knobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from werkzeug.datastructures import Authorization

DEMO_CLIENT_ID = "demo-client"
DEMO_CLIENT_SECRET = "demo-secret-for-this-sandbox-only"  # noqa: S105 - opens nothing but the sandbox


@dataclass(frozen=True, kw_only=True)
class Client:
    """A registered app."""

    secret: str = field(repr=False)
    scopes: frozenset[str] = frozenset({"incidents.read", "incidents.write"})


SEEDED_CLIENTS = dict.fromkeys((DEMO_CLIENT_ID, "demo-portal"), Client(secret=DEMO_CLIENT_SECRET))


def random_text() -> str:
    """Return a value that nobody can guess."""
    return secrets.token_urlsafe(32)


def short_id(access_token: str) -> str:
    """Return an id of a token that does not reveal it."""
    return hashlib.sha256(access_token.encode()).hexdigest()[:8]


@dataclass(kw_only=True)
class IssuedToken:
    """An access token and its end; times are epoch seconds."""

    value: str = field(repr=False)
    client_id: str
    scope: str
    issued_at: float
    expires_at: float
    ended_at: float | None = None
    ended_as: str | None = None
    approved_again_at: float = math.inf

    def status(self, now: float) -> str:
        """Return live, or why the token is inactive."""
        if self.ended_as and now < self.approved_again_at:
            return self.ended_as
        return "live" if now < self.expires_at else "expired"

    def status_at_resource(self, now: float, knobs: Knobs) -> str:
        """Return the status at a gateway that learns of new and revoked tokens late."""
        status = self.status(now)
        if status == "live":
            return "unknown" if now < self.issued_at + knobs.new_token_lags_seconds else "live"
        known_at = -math.inf if self.ended_at is None else self.ended_at + knobs.revocation_lags_seconds
        return "live" if status != "expired" and now < min(known_at, self.expires_at) else status

    def end(self, now: float, how: str, approved_again_at: float = math.inf) -> None:
        """End the token before its expiry."""
        self.ended_at, self.ended_as, self.approved_again_at = now, how, approved_again_at

    def view(self, now: float) -> dict[str, Any]:
        """Return everything except the value."""
        status = self.status(now)
        ends = {"live": None, "expired": self.expires_at}
        return {
            "client_id": self.client_id,
            "scope": self.scope,
            "issued_at": self.issued_at,
            "expires_at": self.expires_at,
            "ended_at": ends.get(status, self.ended_at),
            "status": status,
        }


# The other grants of the reference. The sandbox issues tokens only for client_credentials.
_OTHER_GRANTS = frozenset({"password", "authorization_code", "refresh_token"})


class RefusalError(Exception):
    """A refused request, by the kind of its error."""

    def __init__(self, kind: ErrorKind) -> None:
        super().__init__(kind)
        self.kind = kind


class AuthorizationServer:
    """Clients, tokens and the rules of the reference; the caller holds the lock."""

    def __init__(self, clients: Mapping[str, Client], clock: Callable[[], float], new_token: Callable[[], str]) -> None:
        self.knobs = Knobs()
        self.tokens: dict[str, IssuedToken] = {}
        self._clients = clients
        self._clock = clock
        self._new_token = new_token

    def is_live(self, access_token: str) -> bool:
        """Return whether this token is neither revoked nor expired."""
        token = self.tokens.get(access_token)
        return token is not None and token.status(self._clock()) == "live"

    def create_token(self, authorization: Authorization | None, form: Mapping[str, str]) -> IssuedToken:
        """Issue a token. Raises RefusalError."""
        client_id, client = self._authenticated(authorization)
        if form.get("grant_type") != "client_credentials":
            is_known = form.get("grant_type") in _OTHER_GRANTS
            raise RefusalError(ErrorKind.GRANT_NOT_ALLOWED if is_known else ErrorKind.GRANT_TYPE)
        asked = frozenset(form.get("scope", "").split())
        if not asked <= client.scopes:
            raise RefusalError(ErrorKind.SCOPE)
        scope = " ".join(sorted(asked or client.scopes))
        now, issue, live = self._clock(), self.knobs.issue, self._live(client_id)
        expires_at = now + self.knobs.lifetime_seconds
        token = next((token for token in live if token.scope == scope and issue in {"same", "same-extended"}), None)
        if token is None:
            value = self._new_token()
            token = IssuedToken(value=value, client_id=client_id, scope=scope, issued_at=now, expires_at=expires_at)
            self.tokens[value] = token
        if issue == "same-extended":
            token.expires_at = max(token.expires_at, expires_at)
        for replaced in live if issue == "new-revokes-old" else ():
            replaced.end(now, "revoked")
        return token

    def logout(self, authorization: Authorization | None) -> IssuedToken:
        """Revoke a token. Raises RefusalError."""
        token = self._bearer(authorization)
        _check_status(token.status(self._clock()))
        self._end(token)
        return token

    def revoke(self, authorization: Authorization | None, form: Mapping[str, str]) -> IssuedToken | None:
        """Revoke a token of the client, if it has such a token (RFC 7009, section 2). Raises RefusalError."""
        client_id, _ = self._authenticated(authorization)
        token = self.tokens.get(form.get("token", ""))
        if token is None or token not in self._live(client_id):
            return None
        self._end(token)
        return token

    def _end(self, token: IssuedToken) -> None:
        now = self._clock()
        ended: Mapping[str, Sequence[IssuedToken]] = {"token": [token], "client": self._live(token.client_id)}
        again = self.knobs.approved_again_after_seconds
        for each in ended.get(self.knobs.logout_ends, ()):
            each.end(now, "revoked", math.inf if again is None else now + again)

    def open(self, authorization: Authorization | None) -> None:
        """Check a token for the protected resource. Raises RefusalError."""
        token = self._bearer(authorization)
        _check_status(token.status_at_resource(self._clock(), self.knobs))

    def _bearer(self, authorization: Authorization | None) -> IssuedToken:
        if authorization is None or authorization.type != "bearer" or not authorization.token:
            raise RefusalError(ErrorKind.BEARER_HEADER)
        token = self.tokens.get(authorization.token)
        if token is None:
            raise RefusalError(ErrorKind.TOKEN_INVALID)
        return token

    def _authenticated(self, authorization: Authorization | None) -> tuple[str, Client]:
        if authorization is None or authorization.type != "basic" or not authorization.username:
            raise RefusalError(ErrorKind.CLIENT_HEADER)
        client = self._clients.get(authorization.username)
        if client is None:
            raise RefusalError(ErrorKind.CLIENT_ID)
        if authorization.password != client.secret:
            raise RefusalError(ErrorKind.CREDENTIALS)
        return authorization.username, client

    def _live(self, client_id: str) -> list[IssuedToken]:
        now = self._clock()
        mine = (token for token in self.tokens.values() if token.client_id == client_id)
        return [token for token in mine if token.status(now) == "live"]


def _check_status(status: str) -> None:
    if status != "live":
        raise RefusalError(ErrorKind.TOKEN_EXPIRED if status == "expired" else ErrorKind.TOKEN_INVALID)
