"""Requests, verifies and revokes access tokens, with retries that end at a deadline."""

from __future__ import annotations

import functools
import html
import math
import re
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

from handler import error_responses
from handler.credentials import KnownCredentials
from handler.errors import (
    ConnectionSetupError,
    ErrorCode,
    InvalidClientError,
    ServerError,
    ServerRefusedError,
    ServerUnavailableError,
    TokenRejectedError,
)
from handler.model import Clock, Token, is_access_token
from handler.safe_json import json_object, json_value
from handler.transport import ATTEMPTS, BEYOND_ANY_RUN_SECONDS, Bearer, Request, Response, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools import Logger

    from handler.credentials import Credentials
    from handler.server_protocols import ServerProtocol

# With less time than this a token is more likely to be lost than stored.
_MIN_TIME_FOR_A_TOKEN = timedelta(seconds=2)

# The assumed lifetime of a token without expires_in: a quarter of what Telenor's API reference shows.
_ASSUMED_LIFETIME_SECONDS = 900

# Beyond this an expires_in is a mistake, most likely milliseconds.
_MAX_LIFETIME_SECONDS = 31 * 86_400

# RFC 6749, section 5.1, and Apigee's default; the case does not matter.
_BEARER_TYPES = {"bearer", "bearertoken"}

# Patterns for a token in a malformed response: truncated JSON, a form, XML.
_TOKEN_IN_JSON = r'(?is)"access_?token"\s{0,64}:\s{0,64}("(?:[^"\\]|\\.)*")'  # noqa: S105  a pattern
_TOKEN_IN_FORM = r"""(?i)\baccess_?token\s{0,64}=\s{0,64}["']?([^&<\s"',;]+)"""  # noqa: S105  likewise
_TOKEN_IN_XML = r"(?i)\baccess_?token\b[^<>]{0,64}>\s{0,64}(?:<!\[CDATA\[)?\s{0,64}([^<\s\]]+)"  # noqa: S105  likewise

# A gateway may learn of a new token late, so the job tries a rejected one again after these waits.
_PROPAGATION_TIME = timedelta(seconds=8)
_PROPAGATION_WAITS_SECONDS = (0.5, 1.0, 2.0, 4.0)
_REJECTIONS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


class AuthorizationServer:
    """An authorization server, as one run uses it. `protocol` builds its requests and reads its responses.

    `read_known` reads the credentials secret, at the first revocation that needs credentials.
    """

    def __init__(
        self,
        protocol: ServerProtocol,
        read_known: Callable[[], KnownCredentials],
        clock: Clock,
        log: Logger,
        transport: Transport | None = None,
    ) -> None:
        self.protocol = protocol
        self._read_known = functools.cache(read_known)
        self._clock = clock
        self._log = log
        self._transport = transport or Transport(clock, log)
        self.token_attempts = 0
        self._credentials_by_token: dict[str, Credentials] = {}
        self._has_sent = self._has_answered = False

    @property
    def is_unreachable(self) -> bool:
        """Whether a request of this run was sent and none has got an answer."""
        return self._has_sent and not self._has_answered

    @property
    def last_response(self) -> Response | None:
        """The response to the last request that was sent, or None if there was none."""
        return self._transport.last_response

    def request_token(
        self, credentials: Credentials, scope: str | None, deadline: datetime, on_unusable: Callable[[str | None], None]
    ) -> Token:
        """Request an access token (RFC 6749, section 4.4).

        If a response has an access token and is otherwise unusable, `on_unusable` is called with the token: it is
        active, and the caller must revoke it. If the token of a success cannot be read, it is called with None. Raises
        ServerUnavailableError, ServerRefusedError, InvalidClientError, and InvalidInputError for credentials that
        cannot be sent.

        The request is not idempotent: an attempt whose answer is lost may leave a token behind that the job does not
        know. That token expires by itself.
        """
        request = self.protocol.token_request(credentials, scope)
        begin_by = deadline - _MIN_TIME_FOR_A_TOKEN

        def report_unusable(access_token: str | None) -> None:
            if access_token is not None:
                self._credentials_by_token[access_token] = credentials
            on_unusable(access_token)

        def attempt() -> Token:
            requested_at = self._clock.now()
            # retry() checks the time only between attempts.
            if requested_at > begin_by:
                raise ServerUnavailableError(
                    "no time was left to ask for a token: earlier responses were too slow",
                    error_code=ErrorCode.NO_TIME_LEFT,
                )
            self.token_attempts += 1
            response = self._send(request, deadline)
            if not response.is_success:
                raise _failure(request, response, self.protocol.parse_error(response))
            token = self._token(request, response, requested_at.replace(microsecond=0), scope, report_unusable)
            self._credentials_by_token[token.access_token] = credentials
            return replace(token, client_id=credentials.client_id) if self.protocol.names_client else token

        return self._transport.retry("a token request", attempt, begin_by=begin_by)

    def _send(self, request: Request, deadline: datetime) -> Response:
        """Send a request to the server itself: an answer of VERIFY_URL says nothing about its endpoints."""
        self._has_sent = True
        response = self._transport.send(request, deadline)
        self._has_answered = True
        return response

    def revoke(
        self, access_token: str, deadline: datetime, client_id: str | None = None, *, once: bool = False
    ) -> bool:
        """Revoke an access token, and return whether it was active, as far as the server says. An inactive one is fine.

        `client_id` is the client that a token of an earlier run was issued to, if its document names one. Raises
        ServerUnavailableError or ServerRefusedError, of several pairs for the last one; the token may still be active
        then.
        """
        if access_token in self._credentials_by_token:
            client_id = self._credentials_by_token[access_token].client_id
        *others, last = self.protocol.revocation_requests(access_token, client_id, self._known_credentials)
        for request in others:
            with suppress(InvalidClientError):
                return self._revoke(request, deadline, once=once)
        return self._revoke(last, deadline, once=once)

    def _known_credentials(self) -> KnownCredentials:
        """Return the pairs that got a token in this run, and those in the credentials secret."""
        pairs, error = self._read_known()
        return KnownCredentials([*self._credentials_by_token.values(), *pairs], error)

    def _revoke(self, request: Request, deadline: datetime, *, once: bool) -> bool:
        def attempt() -> bool:
            response = self._send(request, deadline)
            if not response.is_whole:
                # The missing part may be an error.
                raise ServerUnavailableError(
                    f"{request.what} answered {response.status} with a body that cannot be read completely",
                    error_code=ErrorCode.ANSWER_UNREADABLE,
                    status=response.status,
                )
            parsed = self.protocol.parse_error(response)
            was_active = self.protocol.was_active(response, parsed)
            if was_active is None:
                raise _failure(request, response, parsed)
            return was_active

        # If nothing has answered in this run, waiting for more attempts would only use up its time.
        def attempts() -> int:
            return 1 if once or self.is_unreachable else ATTEMPTS

        return self._transport.retry("a revocation", attempt, begin_by=deadline, attempts=attempts)

    def verify(self, url: str, access_token: str, deadline: datetime) -> bool:
        """Try a new token where consumers will use it. Return whether the response is conclusive.

        A rejection is tried again for some seconds. Raises TokenRejectedError if it stays, ServerUnavailableError if
        there is no response.
        """
        give_up_at = min(deadline, self._clock.now() + _PROPAGATION_TIME)
        waits = iter(_PROPAGATION_WAITS_SECONDS)
        rejection: Response | None = None
        while True:
            try:
                response = self._transport.send(_verify_request(url, access_token), deadline)
            except (ServerUnavailableError, ConnectionSetupError):
                # Neither a missing response nor a transient one revokes an earlier rejection.
                if rejection is None:
                    raise
            else:
                is_out = error_responses.is_transient(response.status)
                if response.status in _REJECTIONS:
                    rejection = response
                elif rejection is None or not is_out:
                    return not is_out
            wait_seconds = next(waits, math.inf)
            if wait_seconds >= (give_up_at - self._clock.now()).total_seconds():
                break
            self._clock.sleep(wait_seconds)
        answered = _status_and_code(rejection, error_responses.parse_error(rejection))
        raise TokenRejectedError(
            f"VERIFY_URL answered {answered} to the new token: check "
            "that the app has access to that API and that no gateway rejects this job, or correct VERIFY_URL",
            status=rejection.status,
        )

    def is_rejected(self, url: str, access_token: str, deadline: datetime) -> bool:
        """Return whether a published token is rejected where consumers use it. A missing response is only logged."""
        try:
            return self._transport.send(_verify_request(url, access_token), deadline).status in _REJECTIONS
        except ServerError as error:
            self._log.warning(
                f"the published token could not be tried: {error}", extra={"error_code": error.error_code}
            )
            return False

    # Parse the token response

    def _token(
        self,
        request: Request,
        response: Response,
        requested_at: datetime,
        scope: str | None,
        on_unusable: Callable[[str | None], None],
    ) -> Token:
        document = json_object(response.text) or {}
        access_token = _cleaned(document.get("access_token"))
        if access_token is None or not response.is_decoded:
            raise self._unusable(request, response, on_unusable)
        try:
            self._check_token_type(document.get("token_type"))
            expires_at = requested_at + self._lifetime(document.get("expires_in"))
            if self._clock.now() >= expires_at:
                raise ServerUnavailableError(
                    "the token had expired before its response came: find out what delays the response, or ask "
                    f"{self.protocol.operator} for a longer lifetime",
                    error_code=ErrorCode.TOKEN_LATE,
                    status=response.status,
                )
        except ServerError:
            on_unusable(access_token)
            raise
        scope = _granted_scope(scope, document.get("scope"))
        return Token(access_token, "Bearer", requested_at, expires_at, scope)

    def _unusable(self, request: Request, response: Response, on_unusable: Callable[[str | None], None]) -> ServerError:
        """Return the error for a success without a usable token, and hand over the tokens that it may have issued."""
        parsed = self.protocol.parse_error(response)
        # The last word of a response that was cut short may lack its end.
        end = len(response.text) if response.is_whole else max(map(response.text.rfind, "&<\"',; \t\r\n")) + 1
        tokens = _find_tokens(response.text[:end])
        for access_token in tokens:
            on_unusable(access_token)
        reports_error = error_responses.reports_error(response, parsed)
        if not tokens and not reports_error:
            on_unusable(None)
        if reports_error and parsed.kind.code != ErrorCode.ANSWER_UNKNOWN:
            return _failure(request, response, parsed)
        return ServerUnavailableError(
            f"the token request answered {response.status} without a readable access_token: check that "
            f"{self.protocol.url_variable} leads to {self.protocol.name} itself and that no proxy on the way "
            "replaces or cuts its responses",
            error_code=ErrorCode.ANSWER_UNREADABLE,
            status=response.status,
            retry_after_seconds=response.retry_after_seconds or 0.0,
        )

    def _check_token_type(self, token_type: object) -> None:
        # Absent means Bearer (the Telenor Stores API reference).
        if token_type is not None and str(token_type).strip().lower() not in _BEARER_TYPES:
            raise ServerRefusedError(
                "the token response has a token_type other than Bearer, which no consumer could use: ask "
                f"{self.protocol.operator}",
                error_code=ErrorCode.TOKEN_TYPE_REFUSED,
            )

    def _lifetime(self, expires_in: object) -> timedelta:
        """Read `expires_in`, which the reference shows as a number and as text."""
        seconds = math.inf if expires_in is None else _number(expires_in)
        if seconds is None or seconds < 1:
            raise ServerUnavailableError(
                "the token response has an expires_in that is not a number of seconds of 1 or more: ask "
                f"{self.protocol.operator} to correct it",
                error_code=ErrorCode.EXPIRES_IN_MALFORMED,
            )
        if expires_in is None:
            self._assume("the token response has no expires_in", error_code=ErrorCode.EXPIRES_IN_MISSING)
        elif seconds > _MAX_LIFETIME_SECONDS:
            self._assume(
                "the token response has an expires_in above 31 days, perhaps in milliseconds",
                error_code=ErrorCode.EXPIRES_IN_TOO_LONG,
            )
        return timedelta(seconds=int(seconds) if seconds <= _MAX_LIFETIME_SECONDS else _ASSUMED_LIFETIME_SECONDS)

    def _assume(self, what: str, *, error_code: ErrorCode) -> None:
        self._log.warning(
            f"{what}: {_ASSUMED_LIFETIME_SECONDS} s are assumed; ask {self.protocol.operator} to send it in seconds",
            extra={"error_code": error_code},
        )


def _verify_request(url: str, access_token: str) -> Request:
    return Request("VERIFY_URL", ErrorCode.VERIFY_URL_OUT, "GET", url, Bearer(access_token))


def _failure(request: Request, response: Response, parsed: error_responses.ParsedError) -> ServerError:
    """Return the error for an unsuccessful response, or for a success that reports an error."""
    kind = parsed.kind
    message = f"{request.what} answered {_status_and_code(response, parsed)}: {kind.advice}"
    if error_responses.is_retryable(response.status, kind):
        # Without Retry-After, do not retry a quota within this run.
        by_default = BEYOND_ANY_RUN_SECONDS if kind.code == ErrorCode.RATE_QUOTA else 0.0
        asked = response.retry_after_seconds
        return ServerUnavailableError(
            message,
            error_code=kind.code if kind.is_retryable and kind.code != ErrorCode.TELENOR_OUT else request.out_code,
            status=response.status,
            retry_after_seconds=by_default if asked is None else asked,
        )
    error = InvalidClientError if kind.code == ErrorCode.CREDENTIALS_REFUSED else ServerRefusedError
    return error(message, error_code=kind.code, status=response.status)


def _status_and_code(response: Response, parsed: error_responses.ParsedError) -> str:
    return f"{response.status}" if parsed.matched is None else f"{response.status} code {parsed.matched}"


def _find_tokens(text: str) -> tuple[str, ...]:
    """Return the tokens in a response that is not a token document."""
    strings = (json_value(string) for string in re.findall(_TOKEN_IN_JSON, text))
    # In a form, "+" is a blank.
    forms = (unquote(re.sub("(?i)^bearer[+]", "Bearer ", value)) for value in re.findall(_TOKEN_IN_FORM, text))
    found = map(_cleaned, (*strings, *forms, *map(html.unescape, re.findall(_TOKEN_IN_XML, text))))
    return tuple(dict.fromkeys(token for token in found if token is not None))


def _cleaned(value: object) -> str | None:
    """Return a token without white space around it and without the scheme before it; None if it cannot be sent."""
    text = value.strip() if isinstance(value, str) else ""
    scheme, *rest = text.split(maxsplit=1)[:2] or [""]
    token = "".join(rest) if scheme.lower() == "bearer" else text
    return token if is_access_token(token) else None


def _number(value: object) -> float | None:
    """Return a number, or a text that is one; None if it is neither."""
    if isinstance(value, str):
        return float(value) if re.fullmatch(r"\s*-?[0-9]+(?:\.[0-9]+)?\s*", value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # An int may be too large for a float, and of NaN this makes -1.
    return float(max(-1, min(value, _MAX_LIFETIME_SECONDS + 1)))


def _granted_scope(asked: str | None, granted: object) -> str | None:
    # The server may grant less than was asked for (RFC 6749, section 5.1).
    return granted if asked and isinstance(granted, str) and granted else asked
