"""Builds requests and reads responses: for Telenor, and for servers by RFC 6749 and RFC 7009.

`name`, `operator` and `url_variable` are for messages. If `names_client`, the token document carries the client_id,
which the revocation needs.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from handler.error_responses import parse_error, parse_oauth_error, reports_error
from handler.errors import (
    ErrorCode,
    InvalidInputError,
    RotationError,
    SecretsManagerRefusedError,
    ServerError,
    ServerRefusedError,
)
from handler.model import ClientAuthentication
from handler.transport import Bearer, NoAuth, Request, basic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from requests.auth import AuthBase

    from handler.credentials import Credentials
    from handler.error_responses import ParsedError
    from handler.model import OAuthServer
    from handler.transport import Response

_TOKEN_PATH = "/oauth/v2/token"  # noqa: S105  a path, not a password
_LOGOUT_PATH = "/oauth/v2/logout"

# A slow response is better than an active token that nobody knows.
TOKEN_REQUEST_SECONDS = 25.0

# The statuses with which Telenor's logout can report that a token is inactive.
_INACTIVE_STATUSES = {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}


class TelenorProtocol:
    """Token and logout (the Telenor Stores API reference, "Client credentials Grant Type" and "oauth")."""

    name = operator = "Telenor"
    url_variable = "TELENOR_BASE_URL"
    names_client = False

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def token_request(self, credentials: Credentials, scope: str | None) -> Request:
        """Return a POST with Basic authentication over the unencoded pair."""
        # RFC 7617, section 2: the first colon ends the user-id.
        if ":" in credentials.client_id:
            raise InvalidInputError(
                "the credentials secret (CREDENTIALS_SECRET_ID) has a client_id with a colon, which Basic "
                "authentication cannot send: copy it again",
                error_code=ErrorCode.CREDENTIALS_UNUSABLE,
            )
        auth = basic(credentials.client_id, credentials.client_secret)
        return _token_request(self._base_url + _TOKEN_PATH, auth, scope)

    def revocation_requests(
        self, access_token: str, _client_id: str | None, _accepted: Sequence[Credentials]
    ) -> Iterator[Request]:
        """Yield the logout, which the token itself authenticates."""
        url = self._base_url + _LOGOUT_PATH
        yield Request("logout", ErrorCode.LOGOUT_ENDPOINT_OUT, "GET", url, Bearer(access_token))

    def parse_error(self, response: Response) -> ParsedError:
        """Search all formats that a host of Telenor may send."""
        return parse_error(response)

    def was_active(self, response: Response, parsed: ParsedError) -> bool | None:
        """Return whether logout has ended an active token; None if it failed. Any other error is a failure."""
        if response.status == HTTPStatus.OK and not reports_error(response, parsed):
            return True
        says_inactive = response.status in _INACTIVE_STATUSES and parsed.kind.code == ErrorCode.TOKEN_DEAD
        return False if says_inactive else None


class OAuthProtocol:
    """The client credentials grant (RFC 6749, section 4.4) and token revocation (RFC 7009).

    A server may answer 200 to another client and revoke nothing, so a token is revoked with the pair that it was issued
    to. `read_credentials` are called at the first revocation; each returns a pair that may have got the token.
    """

    name = "the authorization server"
    operator = "whoever runs the authorization server"
    url_variable = "TOKEN_URL"
    names_client = True

    def __init__(self, server: OAuthServer, read_credentials: Sequence[Callable[[], Credentials]]) -> None:
        self._server = server
        self._read_credentials = read_credentials
        self._pairs: list[Credentials] | None = None
        self._unreadable: RotationError | None = None

    def token_request(self, credentials: Credentials, scope: str | None) -> Request:
        """Return a POST with the authentication of CLIENT_AUTHENTICATION."""
        auth, fields = self._authentication(credentials)
        return _token_request(self._server.token_url, auth, scope, (*self._server.token_parameters, *fields))

    def revocation_requests(
        self, access_token: str, client_id: str | None, accepted: Sequence[Credentials]
    ) -> Iterator[Request]:
        """Yield a revocation for each known pair with the client_id of the token, until one of them is accepted.

        `accepted` are the pairs that got a token in this run. Raises ServerError if there is no such pair.
        """
        if (url := self._server.revocation_url) is None:
            raise ServerRefusedError(
                "the authorization server cannot revoke access tokens (REVOCATION_URL is none), so the token stays "
                "active until it expires",
                error_code=ErrorCode.REVOCATION_UNSUPPORTED,
            )
        pairs = dict.fromkeys(pair for pair in (*accepted, *self._read_pairs()) if pair.client_id == client_id)
        if not pairs and self._unreadable is not None:
            raise ServerError(
                f"the credentials for the revocation cannot be read: {self._unreadable}",
                error_code=self._unreadable.error_code,
            )
        if not pairs:
            raise ServerRefusedError(
                "the token was issued to a client_id that the credentials secret no longer holds, so it stays active "
                "until it expires: revoke it at the authorization server if it has leaked",
                error_code=ErrorCode.CLIENT_REPLACED,
            )
        form = (("token", access_token), ("token_type_hint", "access_token"))
        for pair in pairs:
            auth, fields = self._authentication(pair)
            yield Request("the revocation", ErrorCode.LOGOUT_ENDPOINT_OUT, "POST", url, auth, (*form, *fields))

    def parse_error(self, response: Response) -> ParsedError:
        """Search the error codes of OAuth 2."""
        return parse_oauth_error(response)

    def was_active(self, response: Response, parsed: ParsedError) -> bool | None:
        """Return True for 200, which does not say whether the token was active (RFC 7009, section 2.2), else None."""
        return True if response.status == HTTPStatus.OK and not reports_error(response, parsed) else None

    def _authentication(self, pair: Credentials) -> tuple[AuthBase, tuple[tuple[str, str], ...]]:
        """Return the header and the form fields of client authentication (RFC 6749, section 2.3.1)."""
        if self._server.client_authentication is ClientAuthentication.POST:
            return NoAuth(), (("client_id", pair.client_id), ("client_secret", pair.client_secret))
        return basic(quote_plus(pair.client_id), quote_plus(pair.client_secret)), ()

    def _read_pairs(self) -> list[Credentials]:
        if self._pairs is None:
            self._pairs = []
            for read in self._read_credentials:
                try:
                    self._pairs.append(read())
                except SecretsManagerRefusedError as error:
                    # A secret that was written once has no previous pair.
                    self._unreadable = None if self._pairs else error
                except RotationError as error:
                    self._unreadable = self._unreadable or error
        return self._pairs


def _token_request(url: str, auth: AuthBase, scope: str | None, fields: tuple[tuple[str, str], ...] = ()) -> Request:
    """Return a request for a token by the client credentials grant (RFC 6749, section 4.4.2)."""
    form = (("grant_type", "client_credentials"), *((("scope", scope),) if scope else ()), *fields)
    return Request("the token request", ErrorCode.TOKEN_ENDPOINT_OUT, "POST", url, auth, form, TOKEN_REQUEST_SECONDS)


ServerProtocol = TelenorProtocol | OAuthProtocol
