"""Telenor's two paths, and a protected one, in front of an OAuth server that keeps to the standards.

A token request goes through as it is. Logout becomes a revocation (RFC 7009), which the server accepts from the client
alone, so that the adapter has its credentials. The protected path lets in what introspection (RFC 7662) calls active.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from werkzeug.wrappers import Request, Response

from infra.local.server import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self
    from wsgiref.types import StartResponse, WSGIEnvironment

_TIMEOUT_SECONDS = 10


class Adapter:
    """The adapter at `url`, for as long as the `with` block lasts."""

    def __init__(self, issuer: str, client_id: str, client_secret: str) -> None:
        self._client = (client_id, client_secret)
        self._server = LoopbackServer(self._serve)
        self._http = requests.Session()
        self._http.trust_env = False
        found = self._http.get(f"{issuer}/.well-known/openid-configuration", timeout=_TIMEOUT_SECONDS).json()
        self._token: str = found["token_endpoint"]
        self._revocation: str = found["revocation_endpoint"]
        self._introspection: str = found["introspection_endpoint"]
        self.tokens: list[str] = []
        """Every token that went through, in order."""

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.__exit__(*exception)
        self._http.close()

    @property
    def url(self) -> str:
        return self._server.url

    def is_active(self, token: str) -> bool:
        """Ask the server itself about a token."""
        return bool(self._ask(self._introspection, token).json()["active"])

    def revoke(self, token: str) -> requests.Response:
        """Let the server itself revoke a token."""
        return self._ask(self._revocation, token)

    def _ask(self, endpoint: str, token: str) -> requests.Response:
        return self._http.post(endpoint, data={"token": token}, auth=self._client, timeout=_TIMEOUT_SECONDS)

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sent = Request(environ)
        routes: dict[str, Any] = {
            "POST /oauth/v2/token": self._create_token,
            "GET /oauth/v2/logout": self._logout,
            "GET /service-tickets/v2/incidents": self._incidents,
        }
        route = routes.get(f"{sent.method} {sent.path}")
        answer: Response = route(sent) if route else Response(status=404)
        return answer(environ, start_response)

    def _create_token(self, sent: Request) -> Response:
        answer = self._http.post(
            self._token,
            data=sent.get_data(),
            headers={name: sent.headers[name] for name in ("Authorization", "Content-Type", "Accept")},
            timeout=_TIMEOUT_SECONDS,
        )
        if answer.ok:
            self.tokens.append(answer.json()["access_token"])
        kept = {name: answer.headers[name] for name in ("WWW-Authenticate",) if name in answer.headers}
        return Response(answer.content, answer.status_code, kept, content_type=answer.headers["Content-Type"])

    def _logout(self, sent: Request) -> Response:
        token = _bearer(sent)
        if not self.is_active(token):
            return _invalid_token()
        answer = self.revoke(token)
        return Response(answer.content, answer.status_code)

    def _incidents(self, sent: Request) -> Response:
        return Response("[]") if self.is_active(_bearer(sent)) else _invalid_token()


def _bearer(sent: Request) -> str:
    return sent.headers["Authorization"].removeprefix("Bearer ")


def _invalid_token() -> Response:
    return Response(status=401, headers={"WWW-Authenticate": 'Bearer realm="adapter", error="invalid_token"'})
