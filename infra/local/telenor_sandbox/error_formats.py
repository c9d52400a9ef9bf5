"""One table: how each kind of error looks in the four formats that Telenor may use.

The reference: the Telenor Stores API's codes. The gateway: its codes of five digits and more, which a sibling API of
Telenor's documents. Apigee: its text codes, where no policy of Telenor's has reworded them, in both shapes. RFC 6749:
the standard's words, and RFC 6750's where a bearer token is sent.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.local.telenor_sandbox.errors import ApiError, ErrorKind
from infra.local.telenor_sandbox.responses import ApiResponse
from infra.local.telenor_sandbox.settings import USUAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from infra.local.telenor_sandbox.authorization_server import Grant, IssuedToken
    from infra.local.telenor_sandbox.settings import Knobs

REALM = "telenor"
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class Numbered(NamedTuple):
    """A refusal by number; of several numbers that mean the same, any."""

    status: int
    codes: tuple[int, ...]
    message: str


class Worded(NamedTuple):
    """A refusal by a word and a sentence."""

    status: int
    word: str
    text: str


class Standard(NamedTuple):
    """A refusal of RFC 6749, section 5.2, or where there is a challenge for Bearer, of RFC 6750, section 3."""

    status: int
    error: str = ""
    text: str = ""
    challenge: str = ""


class Row(NamedTuple):
    """A kind of error in every format. Where one has no words for it, the next system behind it answers."""

    standard: Standard
    reference: ApiError | None = None
    gateway: Numbered | None = None
    fault: Worded | None = None
    """Apigee's {"fault": …}."""
    own_response: Worded | None = None
    """Apigee's {"ErrorCode": …}, of a policy that generates its own response."""


def _numbered(*codes: int, message: str) -> Numbered:
    return Numbered(int(str(codes[0])[:3]), codes, message)


def _bearer(error: str = "", text: str = "", status: int = 401) -> Standard:
    return Standard(status, error, text, "Bearer")


_BAD_CLIENT = Standard(401, "invalid_client", "Client authentication failed", "Basic")
_NO_GRANT = Standard(400, "unauthorized_client", "The client may not use this grant type")
_BAD_PAIR = _numbered(40108, message="Invalid client id or secret")
# With 500, as recorded of gateways whose policy generates no response of its own.
_UNKNOWN_CLIENT = Worded(500, "oauth.v2.InvalidClientIdentifier", "Invalid client identifier {0}")
_UNKNOWN_GRANT = Worded(500, "oauth.v2.UnSupportedGrantType", "Unsupported grant type")

TABLE: Mapping[ErrorKind, Row] = {
    ErrorKind.GRANT_TYPE: Row(
        Standard(400, "unsupported_grant_type"),
        ApiError.GRANT_TYPE,
        fault=_UNKNOWN_GRANT,
        own_response=Worded(400, "invalid_request", "Unsupported grant type"),
    ),
    ErrorKind.GRANT_NOT_ALLOWED: Row(
        _NO_GRANT,
        ApiError.GRANT_NOT_ALLOWED,
        fault=_UNKNOWN_GRANT,
        own_response=Worded(400, "unauthorized_client", "The client may not use this grant type"),
    ),
    ErrorKind.CLIENT_HEADER: Row(
        _BAD_CLIENT,
        ApiError.HEADER,
        _numbered(40102, message="Missing authorization header"),
        own_response=Worded(400, "invalid_request", "The request is missing a required parameter : client_id"),
    ),
    ErrorKind.CLIENT_ID: Row(
        _BAD_CLIENT,
        ApiError.CLIENT_ID,
        _BAD_PAIR,
        _UNKNOWN_CLIENT,
        Worded(401, "invalid_client", "ClientId is Invalid"),
    ),
    ErrorKind.CREDENTIALS: Row(
        _BAD_CLIENT,
        ApiError.CREDENTIALS,
        _BAD_PAIR,
        _UNKNOWN_CLIENT,
        Worded(401, "invalid_client", "Client credentials are invalid"),
    ),
    ErrorKind.CLIENT_DATA: Row(_BAD_CLIENT, ApiError.CLIENT_DATA),
    ErrorKind.NOT_APPROVED: Row(
        _NO_GRANT,
        ApiError.NOT_APPROVED,
        fault=Worded(401, "keymanagement.service.invalid_client-app_not_approved", "Invalid Client. App not approved"),
    ),
    ErrorKind.BASIC_NOT_ALLOWED: Row(
        _NO_GRANT,
        gateway=_numbered(40107, message="Basic authentication not allowed for external access"),
    ),
    ErrorKind.SCOPE: Row(
        Standard(400, "invalid_scope", "The scope is not granted to this client"),
        ApiError.SCOPE,
        _numbered(40301, message="Invalid scope"),
        Worded(403, "oauth.v2.InsufficientScope", "Required scope(s) : none"),
        Worded(400, "invalid_scope", "Invalid Scope"),
    ),
    ErrorKind.BEARER_HEADER: Row(
        _bearer(),  # RFC 6750, section 3.1: no error code where the request lacks any authentication
        ApiError.HEADER,
        _numbered(40102, message="Missing authorization header"),
        # Its name says something else, but Apigee answers so to a request without "Bearer <token>"; recorded.
        Worded(401, "oauth.v2.InvalidAccessToken", "Invalid access token"),
    ),
    ErrorKind.TOKEN_INVALID: Row(
        _bearer("invalid_token", "The access token is invalid"),
        ApiError.ACCESS_TOKEN,
        _numbered(40105, message="Invalid access token"),
        Worded(401, "keymanagement.service.invalid_access_token", "Invalid Access Token"),
    ),
    ErrorKind.TOKEN_EXPIRED: Row(
        _bearer("invalid_token", "The access token expired"),
        ApiError.ACCESS_TOKEN,
        _numbered(40106, message="Access token expired"),
        Worded(401, "keymanagement.service.access_token_expired", "Access Token expired"),
    ),
    ErrorKind.PRODUCT: Row(
        _bearer("insufficient_scope", "The token does not cover this API", 403),
        gateway=_numbered(40103, message="No API product found"),
        fault=Worded(
            401,
            "keymanagement.service.InvalidAPICallAsNoApiProductMatchFound",
            "Invalid API call as no apiproduct match found",
        ),
    ),
    ErrorKind.RESOURCE: Row(
        Standard(401),
        gateway=_numbered(40101, message="Invalid resource"),
        fault=Worded(401, "keymanagement.service.apiresource_doesnot_exist", "APIResource / does not exist"),
    ),
    ErrorKind.NOT_FOUND: Row(
        Standard(404),
        gateway=_numbered(40401, 4042000, message="Not found"),
        fault=Worded(404, "messaging.adaptors.http.flow.ApplicationNotFound", "Unable to identify proxy"),
    ),
    ErrorKind.QUOTA: Row(
        Standard(429),
        gateway=_numbered(42901, message="Rate limit quota violation"),
        fault=Worded(429, "policies.ratelimit.QuotaViolation", "Rate limit quota violation. Quota limit  exceeded."),
    ),
    ErrorKind.SPIKE_ARREST: Row(
        Standard(429),
        gateway=_numbered(42902, message="Spike arrest violation"),
        fault=Worded(429, "policies.ratelimit.SpikeArrestViolation", "Spike arrest violation. Allowed rate : 1ps"),
    ),
    ErrorKind.INTERNAL: Row(
        Standard(500, "server_error"),
        ApiError.INTERNAL,
        _numbered(50001, 50002, 50003, 500100, message="Internal server error"),
        Worded(503, "messaging.adaptors.http.flow.ServiceUnavailable", "The Service is temporarily unavailable"),
    ),
}

# Neither the reference nor the sibling API shows the JSON of an error, so a client has to cope with all of these.
_SHAPES: Mapping[str, Callable[[int, str], object]] = {
    "code": lambda code, message: {"code": code, "message": message},
    "errorCode": lambda code, message: {"errorCode": code, "errorMessage": message},
    "error_code": lambda code, message: {"error_code": code, "error_description": message},
    "error": lambda code, message: {"error": {"code": str(code), "message": message}},
    "fault": lambda code, message: {"fault": {"faultstring": message, "detail": {"errorcode": str(code)}}},
    "text": lambda code, message: f"Error code {code} - {message}",
    "none": lambda _, message: {"message": message},
}


def _shaped(shape: str) -> Callable[[ApiError], object]:
    return lambda error: _SHAPES[shape](error.code, error.message)


ERROR_SHAPES: Mapping[str, Callable[[ApiError], object]] = {shape: _shaped(shape) for shape in _SHAPES}
"""The JSON, or text, of an error of the reference, by the name of its shape."""


class ErrorFormats:
    """Writes the authorization server's decision, in the error format of the knobs."""

    def __init__(self, knobs: Knobs, rng: Random) -> None:
        self._knobs = knobs
        self._rng = rng if knobs.variations else None

    def refusal(self, kind: ErrorKind) -> ApiResponse:
        """Return the response to a refused request."""
        row, error_format = TABLE[kind], self._knobs.error_format
        if error_format == "rfc6749":
            return self._standard(*row.standard)
        own, fault = row.own_response, row.fault
        if error_format == "apigee" and own and (fault is None or self._knobs.apigee_shape == "ErrorCode"):
            return self.json(own.status, {"ErrorCode": own.word, "Error": own.text})
        if error_format == "apigee" and fault:
            content = {"fault": {"faultstring": fault.text, "detail": {"errorcode": fault.word}}}
            return self.json(fault.status, content)
        # The gateway stands before the API. A check of Telenor's own is behind Apigee.
        if row.gateway and (row.reference is None or error_format == "gateway"):
            code = self._rng.choice(row.gateway.codes) if self._rng else row.gateway.codes[0]
            return self._numbered(row.gateway.status, code, row.gateway.message)
        error = row.reference or ApiError.INTERNAL
        return self._numbered(error.status, error.code, error.message)

    def issued(self, grant: Grant) -> ApiResponse:
        """Hand a token over."""
        knobs = self._knobs
        is_apigee = knobs.error_format == "apigee"
        document = _apigee_fields(grant) if is_apigee else {}
        document |= {"access_token": grant.token.value}
        document |= _expires_in(grant.seconds, knobs)
        if knobs.token_type is not None:
            usual = "BearerToken" if is_apigee else "Bearer"
            document["token_type"] = usual if knobs.token_type == USUAL else knobs.token_type
        if grant.refresh_token is not None:
            document["refresh_token"] = grant.refresh_token
        if knobs.scope_in_answer:
            document["scope"] = grant.token.scope
        headers = _NO_STORE if knobs.error_format == "rfc6749" else {}  # section 5.1
        return replace(self.json(200, document), headers=headers, token=grant.token)

    def logged_out(self, token: IssuedToken) -> ApiResponse:
        """Say that a token is revoked; the standard's response has no content."""
        return replace(ApiResponse.plain("" if self._knobs.error_format == "rfc6749" else "OK!"), token=token)

    def json(self, status: int, content: object) -> ApiResponse:
        """Send JSON, with variations unless the knobs turn them off."""
        return ApiResponse.json(status, content, self._rng)

    def _numbered(self, status: int, code: int, message: str) -> ApiResponse:
        content = _SHAPES[self._knobs.error_shape](code, message)
        return ApiResponse.plain(content, status) if isinstance(content, str) else self.json(status, content)

    def _standard(self, status: int, error: str, text: str, challenge: str) -> ApiResponse:
        headers = {"WWW-Authenticate": f'{challenge} realm="{REALM}"'} if challenge else {}
        if challenge == "Bearer":  # RFC 6750 says all in the header
            if error:
                headers["WWW-Authenticate"] += f', error="{error}", error_description="{text}"'
            return ApiResponse(status, headers=headers)
        if not error:
            return ApiResponse(status)
        document = {"error": error} | ({"error_description": text} if text else {})
        return replace(self.json(status, document), headers=headers | _NO_STORE)


def _expires_in(seconds: int, knobs: Knobs) -> dict[str, Any]:
    usual = "string" if knobs.error_format == "apigee" else "number"
    how = usual if knobs.expires_in_as == USUAL else knobs.expires_in_as
    values = {"number": seconds, "string": str(seconds), "raw": knobs.expires_in_raw}
    return {"expires_in": values[how]} if how in values else {}


def _apigee_fields(grant: Grant) -> dict[str, Any]:
    """Return what Apigee's policy says of a token beside the token, recorded from public examples of its answers."""
    return {
        "refresh_token_expires_in": "0",
        "api_product_list": "[Service Tickets, Products]",
        "api_product_list_json": ["Service Tickets", "Products"],
        "organization_name": "telenor",
        "developer.email": "developer@example.com",
        "issued_at": str(int(grant.token.issued_at * 1000)),
        "client_id": grant.token.client_id,
        "application_name": str(uuid.uuid5(uuid.NAMESPACE_URL, grant.token.client_id)),
        "scope": grant.token.scope,
        "refresh_count": "0",
        "status": "approved",
    }
