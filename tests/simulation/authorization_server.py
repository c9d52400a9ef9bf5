"""Telenor as a model, and any OAuth 2 server, in place of the network beneath `requests`."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qs

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from handler.server_protocols import TOKEN_REQUEST_SECONDS
from handler.transport import EXCHANGE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The bodies of refusals: a wrong secret, a missing header, and an empty one for the verification.
_REFUSALS = {"token": '{"code": 22}', "logout": '{"code": 6}', "verify": ""}
_OAUTH_REFUSAL = '{"error": "invalid_client"}'
_OPERATIONS = {"/oauth/v2/token": "token", "/oauth/v2/logout": "logout", "/token": "token", "/revoke": "logout"}

CLIENT_SECRET = "CANARY-secret"

FAULTS = ("lost-before", "lost-after", "503", "unreadable", "401", "200")
"""With 200 the refusal has the status of a success, as some gateways return it."""


class Issue(StrEnum):
    """How a token is issued if the client already has an active one."""

    NEW = "new"
    SAME = "same"
    SAME_EXTENDED = "same-extended"
    NEW_REVOKES_OLD = "new-revokes-old"


@dataclass
class Issued:
    """One token: when it expires, and when it was revoked."""

    expires_at: datetime
    ended_at: datetime | None = None
    client_id: str = ""

    def is_live(self, now: datetime) -> bool:
        """Return whether Telenor accepts the token."""
        return self.ended_at is None and now < self.expires_at


@dataclass
class AuthorizationServerModel(BaseAdapter):
    """Responds to requests. `intercept` returns the fault of each, or None."""

    now: Callable[[], datetime]
    intercept: Callable[[str], str | None]
    sleep: Callable[[float], None] = lambda _seconds: None
    issue: Issue = Issue.NEW
    lifetime: timedelta = timedelta(seconds=3599)
    responds_after: timedelta = timedelta(0)
    tokens: dict[str, Issued] = field(default_factory=dict)
    refuses_verification: bool = False
    refuses_with: int = 401
    """The status with which the client is rejected."""
    client_secret: str = CLIENT_SECRET
    on_logout: Callable[[str], None] = lambda _token: None
    on_response: Callable[[int, str, bool], None] = lambda _status, _body, _is_lost: None
    _issued: int = 0

    def is_live(self, token: str) -> bool:
        """Return whether a token is accepted now."""
        return token in self.tokens and self.tokens[token].is_live(self.now())

    def live(self) -> list[str]:
        """Return the tokens that are accepted now, in the order of their issue."""
        return [token for token, issued in self.tokens.items() if issued.is_live(self.now())]

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Respond to one request of the session."""
        operation = _OPERATIONS.get(request.path_url, "verify")
        is_oauth = request.path_url in {"/token", "/revoke"}
        fault = self.intercept(operation)
        if fault == "lost-before":
            self._lose(operation)
        if fault in {"503", "401", "200"}:
            return _response(
                request, int(fault), "" if fault == "503" else _OAUTH_REFUSAL if is_oauth else _REFUSALS[operation]
            )
        respond = self._revoke if is_oauth and operation == "logout" else getattr(self, f"_{operation}")
        status, body = respond(request)
        self.sleep(self.responds_after.total_seconds())
        self.on_response(status, body, fault == "lost-after")
        if fault == "lost-after":
            self._lose(operation)
        return _response(request, status, body[:10] if fault == "unreadable" else body)

    def close(self) -> None:
        """Nothing to close."""

    def _lose(self, operation: str) -> NoReturn:
        self.sleep(TOKEN_REQUEST_SECONDS if operation == "token" else EXCHANGE_SECONDS)
        raise requests.ReadTimeout

    def _token(self, request: requests.PreparedRequest) -> tuple[int, str]:
        now, live = self.now(), self.live()
        client_id, client_secret = _pair(request.headers)
        if client_secret != self.client_secret:
            return self.refuses_with, _REFUSALS["token"]
        if live and self.issue in {Issue.SAME, Issue.SAME_EXTENDED}:
            token = live[-1]
            if self.issue is Issue.SAME_EXTENDED:
                self.tokens[token].expires_at = now + self.lifetime
        else:
            if self.issue is Issue.NEW_REVOKES_OLD:
                for old in live:
                    self.tokens[old].ended_at = now
            self._issued += 1
            token = f"CANARY-{self._issued}"
            self.tokens[token] = Issued(now + self.lifetime, client_id=client_id)
        expires_in = int((self.tokens[token].expires_at - now).total_seconds())
        return 200, json.dumps({"access_token": token, "expires_in": expires_in})

    def _logout(self, request: requests.PreparedRequest) -> tuple[int, str]:
        token = _bearer(request.headers)
        self.on_logout(token)
        if not self.is_live(token):
            return 401, '{"code": 2}'
        self.tokens[token].ended_at = self.now()
        return 200, "OK!"

    def _revoke(self, request: requests.PreparedRequest) -> tuple[int, str]:
        """Revoke a token of the client. For any other token return 200 and revoke nothing (RFC 7009)."""
        client_id, client_secret = _pair(request.headers)
        if client_secret != self.client_secret:
            return 401, _OAUTH_REFUSAL
        (token,) = parse_qs(str(request.body))["token"]
        self.on_logout(token)
        if self.is_live(token) and self.tokens[token].client_id == client_id:
            self.tokens[token].ended_at = self.now()
        return 200, ""

    def _verify(self, request: requests.PreparedRequest) -> tuple[int, str]:
        is_good = self.is_live(_bearer(request.headers)) and not self.refuses_verification
        return (200, "[]") if is_good else (401, "")


def _pair(headers: Mapping[str, str | bytes]) -> tuple[str, str]:
    client_id, _, client_secret = b64decode(headers["Authorization"][6:]).decode().partition(":")
    return client_id, client_secret


def _bearer(headers: Mapping[str, str | bytes]) -> str:
    return str(headers["Authorization"]).removeprefix("Bearer ")


def _response(request: requests.PreparedRequest, status: int, body: str) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.request = request
    response.url = str(request.url)
    response.raw = HTTPResponse(io.BytesIO(body.encode()), status=status, preload_content=False)
    return response
