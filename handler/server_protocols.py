"""Builds requests and reads responses: for Telenor, and for servers by RFC 6749 and RFC 7009.

`name`, `operator` and `url_variable` are for messages. If `names_client`, the token document carries the client_id,
which the revocation needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote_plus

from handler.error_responses import parse_error, parse_oauth_error, reports_error
from handler.errors import ErrorCode, InvalidInputError, ServerError, ServerRefusedError
from handler.transport import Bearer, Request, basic, no_auth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handler.credentials import Credentials, KnownCredentials
    from handler.error_responses import ParsedError
    from handler.transport import Auth, Fields, Response

_TOKEN_PATH = "/oauth/v2/token"  # noqa: S105  a path, not a password
_LOGOUT_PATH = "/oauth/v2/logout"

# RFC 7591, section 2: `token_endpoint_auth_method`.
CLIENT_AUTHENTICATIONS = ("client_secret_basic", "client_secret_post")

# A slow response is better than an active token that nobody knows.
TOKEN_REQUEST_SECONDS = 25.0

# The statuses with which Telenor's logout can report that a token is inactive.
_INACTIVE_STATUSES = {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}


@dataclass(frozen=True, slots=True)
class TelenorProtocol:
    """Token and logout (the Telenor Stores API reference, "Client credentials Grant Type" and "oauth")."""

    name: ClassVar = "Telenor"
    operator: ClassVar = "Telenor"
    url_variable: ClassVar = "TELENOR_BASE_URL"
    names_client: ClassVar = False

    base_url: str

    @property
    def token_url(self) -> str:
        """The URL of the token endpoint."""
        return self.base_url + _TOKEN_PATH

    def token_request(self, credentials: Credentials, scope: str | None) -> Request:
        """Return a POST with Basic authentication over the unencoded pair."""
        # RFC 7617, section 2: the first colon ends the user-id.
        if ":" in credentials.client_id:
            raise InvalidInputError(
                "the credentials secret (CREDENTIALS_SECRET_ID) has a client_id with a colon, which Basic "
                "authentication cannot send: copy it again",
                error_code=ErrorCode.CREDENTIALS_UNUSABLE,
            )
        return _token_request(self.token_url, basic(credentials.client_id, credentials.client_secret), scope)

    def revocation_requests(self, access_token: str, *_: object) -> Iterator[Request]:
        """Yield the logout, which the token itself authenticates."""
        url = self.base_url + _LOGOUT_PATH
        yield Request("logout", ErrorCode.LOGOUT_ENDPOINT_OUT, "GET", url, Bearer(access_token))

    def parse_error(self, response: Response) -> ParsedError:
        """Search all formats that a host of Telenor may send."""
        return parse_error(response)

    def was_active(self, response: Response, parsed: ParsedError) -> bool | None:
        """Return True if logout ended an active token, False if it was inactive already, None after any other error."""
        if response.status == HTTPStatus.OK and not reports_error(response, parsed):
            return True
        says_inactive = response.status in _INACTIVE_STATUSES and parsed.kind.code == ErrorCode.TOKEN_DEAD
        return False if says_inactive else None


@dataclass(frozen=True, slots=True)
class OAuthProtocol:
    """The client credentials grant (RFC 6749, section 4.4) and token revocation (RFC 7009).

    Without a `revocation_url` the server cannot revoke access tokens.
    """

    name: ClassVar = "the authorization server"
    operator: ClassVar = "whoever runs the authorization server"
    url_variable: ClassVar = "TOKEN_URL"
    names_client: ClassVar = True

    token_url: str
    revocation_url: str | None
    client_authentication: str
    token_parameters: Fields = ()

    def token_request(self, credentials: Credentials, scope: str | None) -> Request:
        """Return a POST with the authentication of CLIENT_AUTHENTICATION."""
        auth, fields = self._authentication(credentials)
        return _token_request(self.token_url, auth, scope, (*self.token_parameters, *fields))

    def revocation_requests(
        self, access_token: str, client_id: str | None, read_known: Callable[[], KnownCredentials]
    ) -> Iterator[Request]:
        """Yield a revocation for each known pair with the client_id of the token, to send until one is accepted.

        A server may answer 200 to another client and revoke nothing. Raises ServerError if there is no such pair.
        """
        if self.revocation_url is None:
            raise ServerRefusedError(
                "the authorization server cannot revoke access tokens (REVOCATION_URL is none), so the token stays "
                "active until it expires",
                error_code=ErrorCode.REVOCATION_UNSUPPORTED,
            )
        known, error = read_known()
        pairs = dict.fromkeys(pair for pair in known if pair.client_id == client_id)
        if not pairs and error is not None:
            raise ServerError(
                f"the credentials for the revocation cannot be read: {error}", error_code=error.error_code
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
            url = self.revocation_url
            yield Request("the revocation", ErrorCode.LOGOUT_ENDPOINT_OUT, "POST", url, auth, (*form, *fields))

    def parse_error(self, response: Response) -> ParsedError:
        """Search the error codes of OAuth 2."""
        return parse_oauth_error(response)

    def was_active(self, response: Response, parsed: ParsedError) -> bool | None:
        """Return True for 200, which does not say whether the token was active (RFC 7009, section 2.2), else None."""
        return True if response.status == HTTPStatus.OK and not reports_error(response, parsed) else None

    def _authentication(self, pair: Credentials) -> tuple[Auth, Fields]:
        """Return the header and the form fields of client authentication (RFC 6749, section 2.3.1)."""
        if self.client_authentication == "client_secret_post":
            return no_auth, (("client_id", pair.client_id), ("client_secret", pair.client_secret))
        return basic(quote_plus(pair.client_id), quote_plus(pair.client_secret)), ()


def _token_request(url: str, auth: Auth, scope: str | None, fields: Fields = ()) -> Request:
    """Return a request by the client credentials grant (RFC 6749, section 4.4.2)."""
    form = (("grant_type", "client_credentials"), *((("scope", scope),) if scope else ()), *fields)
    return Request("the token request", ErrorCode.TOKEN_ENDPOINT_OUT, "POST", url, auth, form, TOKEN_REQUEST_SECONDS)


ServerProtocol = TelenorProtocol | OAuthProtocol
