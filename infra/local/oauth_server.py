"""An OAuth 2 authorization server with the client credentials grant (RFC 6749) and revocation (RFC 7009)."""

from __future__ import annotations

import secrets
import time
from base64 import b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote_plus

from flask import Flask, Response, jsonify, request

from infra.local.loopback_server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

LIFETIME_SECONDS = 3600


@dataclass
class Issued:
    """An access token: its client and the times that end it."""

    client_id: str
    expires_at: float
    is_revoked: bool = False


@dataclass
class OAuthServer(LoopbackServer):
    """The server on a free port of this machine, for as long as the ``with`` block lasts.

    A client revokes only its own tokens: for a token of another client the server returns 200 and revokes nothing, as
    django-oauth-toolkit does. It `issues` "new" tokens, the "same" one until it expires, or "one-at-a-time", which
    revokes the previous one. It `revokes` only tokens of "its-client", "nothing" although it returns 200, or no access
    tokens at all ("unsupported"). `resource_url` accepts active tokens.
    """

    clients: dict[str, str]
    clock: Callable[[], float] = time.time
    new_token: Callable[[], str] = secrets.token_urlsafe
    issues: Literal["new", "same", "one-at-a-time"] = "new"
    revokes: Literal["its-client", "nothing", "unsupported"] = "its-client"
    failures: dict[str, tuple[int, str]] = field(default_factory=dict)
    """The status and the body with which an endpoint answers instead, by its path."""
    tokens: dict[str, Issued] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    """The path, the form and the Authorization header of each request."""

    def __post_init__(self) -> None:
        app = Flask(__name__)
        app.before_request(self._intercept)
        app.post("/token")(self._token)
        app.post("/revoke")(self._revoke)
        app.get("/resource")(self._resource)
        super().__init__(app)

    def __enter__(self) -> Self:
        super().__enter__()
        self.token_url, self.revocation_url = f"{self.url}/token", f"{self.url}/revoke"
        self.resource_url = f"{self.url}/resource"
        return self

    def is_active(self, access_token: str) -> bool:
        """Return whether a resource server would accept a token (RFC 7662, section 2.2)."""
        issued = self.tokens.get(access_token)
        return issued is not None and not issued.is_revoked and self.clock() < issued.expires_at

    def _intercept(self) -> Response | None:
        self.requests.append((request.path, request.form.to_dict(), request.headers.get("Authorization", "")))
        if request.path not in self.failures:
            return None
        status, body = self.failures[request.path]
        return Response(body, status, content_type="application/json")

    def _resource(self) -> Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return jsonify([]) if self.is_active(token) else _error(401, "invalid_token")

    def _client(self) -> str | None:
        """Authenticate the client (RFC 6749, section 2.3.1)."""
        client_id, client_secret = request.form.get("client_id"), request.form.get("client_secret")
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            client_id, client_secret = map(unquote_plus, b64decode(encoded).decode().split(":", 1))
        return client_id if client_secret and self.clients.get(client_id or "") == client_secret else None

    def _token(self) -> Response:
        client_id = self._client()
        if client_id is None:
            return _error(401, "invalid_client")
        if request.form.get("grant_type") != "client_credentials":
            return _error(400, "unsupported_grant_type")
        own = [token for token, each in self.tokens.items() if each.client_id == client_id and self.is_active(token)]
        if self.issues == "same" and own:
            return self._document(own[-1])
        if self.issues == "one-at-a-time":
            for token in own:
                self.tokens[token].is_revoked = True
        token = self.new_token()
        self.tokens[token] = Issued(client_id, self.clock() + LIFETIME_SECONDS)
        return self._document(token)

    def _document(self, token: str) -> Response:
        expires_in = int(self.tokens[token].expires_at - self.clock())
        return jsonify({"access_token": token, "token_type": "bearer", "expires_in": expires_in})

    def _revoke(self) -> Response:
        client_id = self._client()
        if client_id is None:
            return _error(401, "invalid_client")
        if self.revokes == "unsupported":
            return _error(400, "unsupported_token_type")
        issued = self.tokens.get(request.form.get("token", ""))
        if issued is not None and issued.client_id == client_id and self.revokes == "its-client":
            issued.is_revoked = True
        return Response(status=200)


def _error(status: int, code: str) -> Response:
    response = jsonify(error=code)
    response.status_code = status
    return response
