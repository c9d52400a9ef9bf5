"""Renders issued tokens, logouts and errors in the four formats that Telenor may use.

The reference: the Telenor Stores API's codes. The gateway: its codes of five digits and more, which a sibling API of
Telenor's documents. Apigee: its default text codes, in both shapes. RFC 6749: the standard's words, and RFC 6750's for
a bearer token.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from infra.local.telenor_sandbox.api_errors import ApiError
from infra.local.telenor_sandbox.authorization_server import random_text
from infra.local.telenor_sandbox.error_kinds import ErrorKind
from infra.local.telenor_sandbox.knobs_and_faults import USUAL
from infra.local.telenor_sandbox.outgoing_response import OutgoingResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from infra.local.telenor_sandbox.authorization_server import IssuedToken
    from infra.local.telenor_sandbox.knobs_and_faults import Knobs

REALM = "telenor"
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


_REFERENCE = {
    ErrorKind.GRANT_TYPE: ApiError.GRANT_TYPE,
    ErrorKind.GRANT_NOT_ALLOWED: ApiError.GRANT_NOT_ALLOWED,
    ErrorKind.CLIENT_HEADER: ApiError.HEADER,
    ErrorKind.CLIENT_ID: ApiError.CLIENT_ID,
    ErrorKind.CREDENTIALS: ApiError.CREDENTIALS,
    ErrorKind.CLIENT_DATA: ApiError.CLIENT_DATA,
    ErrorKind.NOT_APPROVED: ApiError.NOT_APPROVED,
    ErrorKind.SCOPE: ApiError.SCOPE,
    ErrorKind.BEARER_HEADER: ApiError.HEADER,
    ErrorKind.TOKEN_INVALID: ApiError.ACCESS_TOKEN,
    ErrorKind.TOKEN_EXPIRED: ApiError.ACCESS_TOKEN,
    ErrorKind.INTERNAL: ApiError.INTERNAL,
}

_GATEWAY = {
    ErrorKind.CLIENT_HEADER: ((40102,), "Missing authorization header"),
    ErrorKind.CLIENT_ID: ((40108,), "Invalid client id or secret"),
    ErrorKind.CREDENTIALS: ((40108,), "Invalid client id or secret"),
    ErrorKind.BASIC_NOT_ALLOWED: ((40107,), "Basic authentication not allowed for external access"),
    ErrorKind.SCOPE: ((40301,), "Invalid scope"),
    ErrorKind.BEARER_HEADER: ((40102,), "Missing authorization header"),
    ErrorKind.TOKEN_INVALID: ((40105,), "Invalid access token"),
    ErrorKind.TOKEN_EXPIRED: ((40106,), "Access token expired"),
    ErrorKind.PRODUCT: ((40103,), "No API product found"),
    ErrorKind.RESOURCE: ((40101,), "Invalid resource"),
    ErrorKind.NOT_FOUND: ((40401, 4042000), "Not found"),
    ErrorKind.QUOTA: ((42901,), "Rate limit quota violation"),
    ErrorKind.SPIKE_ARREST: ((42902,), "Spike arrest violation"),
    ErrorKind.INTERNAL: ((50001, 50002, 50003, 500100), "Internal server error"),
}
"""Codes that mean the same, and the message. A code begins with the status."""

_KEYS, _FLOW = "keymanagement.service", "messaging.adaptors.http.flow"
_APIGEE_FAULTS = {
    # With 500, as recorded from gateways whose policy generates no response of its own.
    ErrorKind.GRANT_TYPE: (500, "oauth.v2.UnSupportedGrantType", "Unsupported grant type"),
    ErrorKind.GRANT_NOT_ALLOWED: (500, "oauth.v2.UnSupportedGrantType", "Unsupported grant type"),
    ErrorKind.CLIENT_ID: (500, "oauth.v2.InvalidClientIdentifier", "Invalid client identifier {0}"),
    ErrorKind.CREDENTIALS: (500, "oauth.v2.InvalidClientIdentifier", "Invalid client identifier {0}"),
    ErrorKind.NOT_APPROVED: (401, f"{_KEYS}.invalid_client-app_not_approved", "Invalid Client. App not approved"),
    ErrorKind.SCOPE: (403, "oauth.v2.InsufficientScope", "Required scope(s) : none"),
    # Despite the name, Apigee responds so to a request without "Bearer <token>"; recorded.
    ErrorKind.BEARER_HEADER: (401, "oauth.v2.InvalidAccessToken", "Invalid access token"),
    ErrorKind.TOKEN_INVALID: (401, f"{_KEYS}.invalid_access_token", "Invalid Access Token"),
    ErrorKind.TOKEN_EXPIRED: (401, f"{_KEYS}.access_token_expired", "Access Token expired"),
    ErrorKind.PRODUCT: (401, f"{_KEYS}.InvalidAPICallAsNoApiProductMatchFound", "no apiproduct match found"),
    ErrorKind.RESOURCE: (401, f"{_KEYS}.apiresource_doesnot_exist", "APIResource / does not exist"),
    ErrorKind.NOT_FOUND: (404, f"{_FLOW}.ApplicationNotFound", "Unable to identify proxy"),
    ErrorKind.QUOTA: (429, "policies.ratelimit.QuotaViolation", "Rate limit quota violation. Quota limit  exceeded."),
    ErrorKind.SPIKE_ARREST: (429, "policies.ratelimit.SpikeArrestViolation", "Spike arrest violation."),
    ErrorKind.INTERNAL: (503, f"{_FLOW}.ServiceUnavailable", "The Service is temporarily unavailable"),
}
"""The status, the code and the text of {"fault": …}."""

_BAD_CLIENT = (401, "invalid_client", "Client authentication failed", "Basic")
_BAD_GRANT = (400, "unauthorized_client", "The client may not use this grant type", "")
_STANDARD = {
    ErrorKind.GRANT_TYPE: (400, "unsupported_grant_type", "Unknown grant type", ""),
    ErrorKind.GRANT_NOT_ALLOWED: _BAD_GRANT,
    ErrorKind.CLIENT_HEADER: _BAD_CLIENT,
    ErrorKind.CLIENT_ID: _BAD_CLIENT,
    ErrorKind.CREDENTIALS: _BAD_CLIENT,
    ErrorKind.CLIENT_DATA: _BAD_CLIENT,
    ErrorKind.NOT_APPROVED: _BAD_GRANT,
    ErrorKind.BASIC_NOT_ALLOWED: _BAD_GRANT,
    ErrorKind.SCOPE: (400, "invalid_scope", "The scope is not granted to this client", ""),
    # RFC 6750, section 3.1: no error code if the request lacks any authentication.
    ErrorKind.BEARER_HEADER: (401, "", "", "Bearer"),
    ErrorKind.TOKEN_INVALID: (401, "invalid_token", "The access token is invalid", "Bearer"),
    ErrorKind.TOKEN_EXPIRED: (401, "invalid_token", "The access token expired", "Bearer"),
    ErrorKind.PRODUCT: (403, "insufficient_scope", "The token does not cover this API", "Bearer"),
    ErrorKind.RESOURCE: (401, "", "", ""),
    ErrorKind.NOT_FOUND: (404, "", "", ""),
    ErrorKind.QUOTA: (429, "", "", ""),
    ErrorKind.SPIKE_ARREST: (429, "", "", ""),
    ErrorKind.INTERNAL: (500, "server_error", "An internal error", ""),
}
"""The status, the error and its description of RFC 6749, section 5.2; the challenge of WWW-Authenticate. A Bearer
challenge has the error of RFC 6750, section 3."""

# Neither the reference nor the sibling API shows the JSON of an error, so a client must accept all of these.
ERROR_SHAPES: Mapping[str, Callable[[int, str], object]] = {
    "code": lambda code, message: {"code": code, "message": message},
    "errorCode": lambda code, message: {"errorCode": code, "errorMessage": message},
    "error_code": lambda code, message: {"error_code": code, "error_description": message},
    "error": lambda code, message: {"error": {"code": str(code), "message": message}},
    "fault": lambda code, message: {"fault": {"faultstring": message, "detail": {"errorcode": str(code)}}},
    "text": lambda code, message: f"Error code {code} - {message}",
    "none": lambda _, message: {"message": message},
}
"""The JSON, or text, of an error of the reference, by the name of its shape."""


class ResponseFormats:
    """Renders the authorization server's decision, in the error format of the knobs."""

    def __init__(self, knobs: Knobs, rng: Random) -> None:
        self._knobs = knobs
        self._rng = rng if knobs.variations else None

    def refusal(self, kind: ErrorKind) -> OutgoingResponse:
        """Return the response to a refused request."""
        error_format = self._knobs.error_format
        if error_format == "rfc6749":
            return self._standard(*_STANDARD[kind])
        if error_format == "apigee":
            if kind is ErrorKind.CLIENT_HEADER:  # a policy that generates its own response
                error = "The request is missing a required parameter : client_id"
                return self.json(400, {"ErrorCode": "invalid_request", "Error": error})
            if fault := _APIGEE_FAULTS.get(kind):
                return self.json(fault[0], {"fault": {"faultstring": fault[2], "detail": {"errorcode": fault[1]}}})
        # The gateway stands before the API; what only one of them refuses has that one's code.
        if kind in _REFERENCE and (error_format != "gateway" or kind not in _GATEWAY):
            known = _REFERENCE[kind]
            return self._numbered(known.status, known.code, known.message)
        codes, message = _GATEWAY[kind]
        code = self._rng.choice(codes) if self._rng else codes[0]
        return self._numbered(int(str(code)[:3]), code, message)

    def issued(self, token: IssuedToken, now: float) -> OutgoingResponse:
        """Hand a token over."""
        knobs = self._knobs
        is_apigee = knobs.error_format == "apigee"
        document = _apigee_fields(token) if is_apigee else {}
        # Rounded first: epoch seconds are floats, and the difference of two is off by a hair.
        document |= {"access_token": token.value} | _expires_in(int(round(token.expires_at - now, 3)), knobs)
        if knobs.token_type is not None:
            usual = "BearerToken" if is_apigee else "Bearer"
            document["token_type"] = usual if knobs.token_type == USUAL else knobs.token_type
        if knobs.refresh_token:
            document["refresh_token"] = random_text()
        headers = _NO_STORE if knobs.error_format == "rfc6749" else {}  # section 5.1
        return replace(self.json(200, document), headers=headers, token=token)

    def logged_out(self, token: IssuedToken | None) -> OutgoingResponse:
        """Say that a token is revoked; the standard's response has no content."""
        return replace(OutgoingResponse.plain("" if self._knobs.error_format == "rfc6749" else "OK!"), token=token)

    def json(self, status: int, content: object) -> OutgoingResponse:
        """Send JSON, with variations unless the knobs turn them off."""
        return OutgoingResponse.json(status, content, self._rng)

    def _numbered(self, status: int, code: int, message: str) -> OutgoingResponse:
        content = ERROR_SHAPES[self._knobs.error_shape](code, message)
        return OutgoingResponse.plain(content, status) if isinstance(content, str) else self.json(status, content)

    def _standard(self, status: int, error: str, text: str, challenge: str) -> OutgoingResponse:
        headers = {"WWW-Authenticate": f'{challenge} realm="{REALM}"'} if challenge else {}
        if challenge == "Bearer":  # RFC 6750 says all in the header
            if error:
                headers["WWW-Authenticate"] += f', error="{error}", error_description="{text}"'
            return OutgoingResponse(status, headers=headers)
        if not error:
            return OutgoingResponse(status)
        return replace(self.json(status, {"error": error, "error_description": text}), headers=headers | _NO_STORE)


def _expires_in(seconds: int, knobs: Knobs) -> dict[str, Any]:
    usual = "string" if knobs.error_format == "apigee" else "number"
    how = usual if knobs.expires_in_as == USUAL else knobs.expires_in_as
    values = {"number": seconds, "string": str(seconds), "raw": knobs.expires_in_raw}
    return {"expires_in": values[how]} if how in values else {}


def _apigee_fields(token: IssuedToken) -> dict[str, Any]:
    """Return what Apigee's policy says of a token beside the token, recorded from public examples of its answers."""
    return {
        "refresh_token_expires_in": "0",
        "api_product_list": "[Service Tickets, Products]",
        "issued_at": str(int(token.issued_at * 1000)),
        "client_id": token.client_id,
        "scope": token.scope,
        "refresh_count": "0",
        "status": "approved",
    }
