"""Parses error responses: a table of errors in four formats, and the search for a code in a response.

A host of Telenor may send its own codes (the API reference), the codes of its gateway (documented for a sibling API),
the names that Apigee sends by default, or OAuth's words. The table gives an error the same code in each format.
"""

from __future__ import annotations

import re
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from handler.errors import ErrorCode
from handler.safe_json import json_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handler.transport import Response


class ErrorFormat(StrEnum):
    """The error format of a response."""

    APIGEE = "apigee"
    GATEWAY = "gateway"
    REFERENCE = "reference"
    OAUTH = "oauth"


class ErrorKind(NamedTuple):
    """One error: its code for the log, the advice to the operator, whether a retry helps, and its name in each format.

    A number of the reference is valid only with its status. The table leaves out the prefix `steps.` of Apigee's names.
    """

    code: ErrorCode
    advice: str
    is_retryable: bool = False
    reference: tuple[tuple[int, int], ...] = ()
    gateway: tuple[int, ...] = ()
    apigee: tuple[str, ...] = ()
    oauth: tuple[str, ...] = ()


# Sources: the Telenor Stores API reference, "oauth"; a sibling API of Telenor's (5 to 7 digits); Apigee, "OAuthV2
# policy" and "OAuth HTTP error response reference"; RFC 6749, sections 4.1.2.1 and 5.2; RFC 6750, section 3.1.
ERROR_KINDS = (
    ErrorKind(
        ErrorCode.CREDENTIALS_REFUSED,
        "these are not the app's client_id and client_secret; Connect ID and Min Bedrift logins do not work here: copy "
        "both from the app in the developer dashboard into the credentials secret",
        reference=((401, 22),),
        gateway=(40108,),
        apigee=("keymanagement.service.invalid_client-client_id_not_approved", "oauth.v2.InvalidApiKey"),
        oauth=("invalid_client",),
    ),
    ErrorKind(
        ErrorCode.CREDENTIALS_REFUSED,
        "Telenor does not know this client_id: copy it again from the app in the developer dashboard",
        reference=((401, 1),),
        apigee=("keymanagement.service.invalid_client-invalid_client_id", "oauth.v2.InvalidClientIdentifier"),
    ),
    ErrorKind(
        ErrorCode.CREDENTIALS_REFUSED,
        "Telenor's data about this client is invalid: ask Telenor, this job cannot fix it",
        reference=((401, 9),),
    ),
    ErrorKind(
        ErrorCode.APP_NOT_APPROVED,
        "the app is not authorized to create access tokens: have it approved in the developer dashboard",
        reference=((401, 5),),
        apigee=(
            "keymanagement.service.CompanyStatusNotActive",
            "keymanagement.service.DeveloperStatusNotActive",
            "keymanagement.service.invalid_client-app_not_approved",
        ),
    ),
    ErrorKind(
        ErrorCode.GRANT_NOT_ALLOWED,
        "the app may not use the client_credentials grant: ask Telenor to allow it for this app",
        reference=((401, 21),),
        apigee=("oauth.v2.UnSupportedGrantType",),
        oauth=("unauthorized_client",),
    ),
    ErrorKind(
        ErrorCode.BASIC_NOT_ALLOWED,
        "Telenor does not allow Basic authentication for this client, or not from the network that this job runs in: "
        "ask Telenor which of the two, and to allow it",
        gateway=(40107,),
    ),
    ErrorKind(
        ErrorCode.ADDRESS_NOT_ALLOWED,
        "Telenor does not let in the address that this job comes from: give the function an address that Telenor knows "
        "(docs/network.md), and tell Telenor which one it is",
        apigee=("accesscontrol.IPDeniedAccess",),
    ),
    ErrorKind(
        ErrorCode.SCOPE_REFUSED,
        "the scope is illegal or not granted to the app: correct TELENOR_SCOPE or the event's scope, or ask Telenor to "
        "grant it",
        reference=((403, 8),),
        gateway=(40301,),
        apigee=("oauth.v2.InsufficientScope",),
        oauth=("insufficient_scope", "invalid_scope"),
    ),
    ErrorKind(
        ErrorCode.APP_ATTRIBUTES_INVALID,
        "the app's attributes are invalid: ask Telenor, this job cannot fix it (their text: please contact Telenor "
        "Admin)",
        reference=((500, 16),),
    ),
    ErrorKind(
        ErrorCode.TOKEN_DEAD,
        "the access token is invalid, has expired or was revoked: for a revocation there is nothing to do; for a token "
        "request check TELENOR_BASE_URL, and check for a proxy that replaces the Authorization header",
        reference=((401, 2),),
        gateway=(40105, 40106),
        apigee=(
            "keymanagement.service.access_token_expired",
            # Apigee sends this for a revoked token.
            "keymanagement.service.access_token_not_approved",
            "keymanagement.service.invalid_access_token",
            # Some gateways send this for a request without a token too. A proxy that removes the header would break the
            # token request as well, so that there would be no token to revoke.
            "oauth.v2.InvalidAccessToken",
        ),
        oauth=("invalid_token",),
    ),
    ErrorKind(
        ErrorCode.AUTHORIZATION_MISSING,
        "Telenor saw no usable Authorization header: check for a proxy that removes it",
        reference=((401, 6),),
        gateway=(40102,),
        apigee=("oauth.v2.FailedToResolveAPIKey",),
    ),
    ErrorKind(
        ErrorCode.API_PRODUCT_MISSING,
        "the app has no API product that covers this: have the product added to the app in the developer dashboard",
        gateway=(40103,),
        apigee=("keymanagement.service.InvalidAPICallAsNoApiProductMatchFound",),
    ),
    ErrorKind(
        ErrorCode.RESOURCE_UNKNOWN,
        "Telenor does not know this path: check that TELENOR_BASE_URL leads to Telenor itself",
        gateway=(40101, 40401, 4042000),
        apigee=("keymanagement.service.apiresource_doesnot_exist", "messaging.adaptors.http.flow.ApplicationNotFound"),
    ),
    ErrorKind(
        ErrorCode.REQUEST_MALFORMED,
        "the request did not arrive as it was sent: check for a gateway that rewrites the form body",
        reference=((400, 2),),
        oauth=("invalid_request", "unsupported_grant_type"),
    ),
    ErrorKind(
        ErrorCode.REQUEST_FOREIGN,
        "the error is about an authorization code, a refresh token, a redirect URI or a response type; this job sends "
        "none, so check that TELENOR_BASE_URL leads to Telenor and that no gateway rewrites requests",
        reference=((401, 4), (401, 7), (403, 12), (403, 15)),
        oauth=("invalid_grant", "unsupported_response_type"),
    ),
    ErrorKind(
        ErrorCode.RATE_QUOTA,
        "the app's quota of requests is used up: wait until it resets, and ask Telenor for a larger one",
        is_retryable=True,
        gateway=(42901,),
        apigee=("policies.ratelimit.QuotaViolation",),
    ),
    ErrorKind(
        ErrorCode.RATE_SPIKE,
        "there were too many requests at once: wait, since this is transient",
        is_retryable=True,
        gateway=(42902,),
        apigee=("policies.ratelimit.SpikeArrestViolation",),
    ),
    ErrorKind(
        ErrorCode.TELENOR_INTERNAL,
        "an internal error of Telenor's: wait, since this is transient; if it persists, ask Telenor",
        is_retryable=True,
        reference=((500, 2),),
        gateway=(50001, 50002, 50003, 500100),
        oauth=("server_error", "temporarily_unavailable"),
    ),
)

# The errors of an authorization server other than Telenor's. Sources: RFC 6749, sections 4.1.2.1 and 5.2; RFC 6750,
# section 3.1; RFC 7009, section 2.2.1; RFC 8707, section 2; Auth0 for access_denied.
_GRANT_ERRORS = ("access_denied", "invalid_grant", "unauthorized_client", "unsupported_grant_type")
OAUTH_ERROR_CODES = {
    "invalid_client": ErrorCode.CREDENTIALS_REFUSED,
    **dict.fromkeys(_GRANT_ERRORS, ErrorCode.GRANT_NOT_ALLOWED),
    **dict.fromkeys(("insufficient_scope", "invalid_scope", "invalid_target"), ErrorCode.SCOPE_REFUSED),
    "invalid_request": ErrorCode.REQUEST_MALFORMED,
    "unsupported_token_type": ErrorCode.REVOCATION_UNSUPPORTED,
    "invalid_token": ErrorCode.TOKEN_DEAD,
    **dict.fromkeys(("server_error", "temporarily_unavailable"), ErrorCode.TELENOR_OUT),
}
_OAUTH_ADVICE = {
    ErrorCode.CREDENTIALS_REFUSED: "the authorization server does not accept this client_id with this client_secret: "
    "copy both again into the credentials secret, check CLIENT_AUTHENTICATION, and allow the client_credentials grant",
    ErrorCode.GRANT_NOT_ALLOWED: "the server does not know this client, or does not grant it this token: check "
    "client_id, TOKEN_URL and TOKEN_PARAMETERS, or allow the client_credentials grant there",
    ErrorCode.SCOPE_REFUSED: "the scope or the resource is unknown or not granted to the client: correct "
    "TELENOR_SCOPE, the event's scope or TOKEN_PARAMETERS, or grant it at the authorization server",
    ErrorCode.REQUEST_MALFORMED: "the authorization server misses a parameter or does not know one: correct "
    "TOKEN_PARAMETERS, and check TELENOR_SCOPE and CLIENT_AUTHENTICATION",
    ErrorCode.REVOCATION_UNSUPPORTED: "the authorization server cannot revoke access tokens, so a token stays active "
    "until it expires: set REVOCATION_URL to none",
    ErrorCode.TOKEN_DEAD: "the access token is invalid, has expired or was revoked",
    ErrorCode.TELENOR_OUT: "wait, since this is transient; if it persists, ask whoever runs the authorization server",
    ErrorCode.ANSWER_UNKNOWN: "the response has no known error code: check that TOKEN_URL and REVOCATION_URL are the "
    "server's own",
}

# For a response in no known format, the status alone decides.
_TRANSIENT = ErrorKind(
    ErrorCode.TELENOR_OUT, "wait, since this is transient; if it persists, ask Telenor", is_retryable=True
)
_UNKNOWN = ErrorKind(
    ErrorCode.ANSWER_UNKNOWN,
    "the response has no known error code: check that TELENOR_BASE_URL leads to Telenor itself",
)
_PERMANENT_STATUSES = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_TRANSIENT_STATUSES = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
    499,  # nginx: the client, here a proxy on the way, has closed the request
}
_PERMANENT_5XX = {HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED}

# So much of one header is looked at.
_HEADER_LIMIT = 8 * 1024


class ParsedError(NamedTuple):
    """The error that a response reports, with the format and the code that matched, if one did.

    `matched` is a code of the table or a number, so it is safe to log.
    """

    kind: ErrorKind
    format: ErrorFormat | None = None
    matched: str | None = None


def parse_error(response: Response) -> ParsedError:
    """Parse an unsuccessful response, or the error in the body of a successful one.

    If a response has several formats, the most specific one counts, even if its code is not in the table: Apigee puts
    `invalid_token` into WWW-Authenticate for every error, and only Apigee's own code names the error.
    """
    for error_format, matched, kind in _matches(response):
        return ParsedError(kind or _by_status(response.status), error_format, matched)
    return ParsedError(_by_status(response.status))


def parse_oauth_error(response: Response) -> ParsedError:
    """Parse an unsuccessful response of an OAuth 2 server other than Telenor's, or an error in a successful one.

    Every 401 rejects the client: Keycloak sends it with `unauthorized_client`, Auth0 with `access_denied`.
    """
    header = response.headers.get("WWW-Authenticate", "")[:_HEADER_LIMIT]
    words = [word for _, word in re.findall(_WORD, f"{response.text}\n{_bearer_error(header)}")]
    word = next((word for word in words if word in OAUTH_ERROR_CODES), None)
    code = OAUTH_ERROR_CODES[word] if word else _by_status(response.status).code
    if response.status == HTTPStatus.UNAUTHORIZED:
        code = ErrorCode.CREDENTIALS_REFUSED
    kind = ErrorKind(code, _OAUTH_ADVICE[code], is_retryable=code == ErrorCode.TELENOR_OUT)
    return ParsedError(kind, ErrorFormat.OAUTH if word else None, word)


def reports_error(response: Response, parsed: ParsedError) -> bool:
    """Return whether a successful response contains an error, in a known format or in the shape of one, or HTML."""
    # RFC 9457, section 3.
    is_problem = "/problem+" in response.headers.get("Content-Type", "").lower()
    return parsed.format is not None or is_problem or is_html(response) or _has_shape_of_error(response.text)


def is_html(response: Response) -> bool:
    """Return whether a body is HTML, such as a login page. Some servers send text without a tag as text/html."""
    is_html = "html" in response.headers.get("Content-Type", "").lower()
    return bool(re.search(_HTML, response.text) or (is_html and re.search(_HTML_FRAGMENT, response.text)))


def is_transient(status: int) -> bool:
    """Return whether a retry may help, by the status alone."""
    is_5xx = HTTPStatus.INTERNAL_SERVER_ERROR <= status < 600  # noqa: PLR2004  RFC 9110, section 15
    return status in _TRANSIENT_STATUSES or (is_5xx and status not in _PERMANENT_5XX)


def is_retryable(status: int, kind: ErrorKind) -> bool:
    """Return whether a retry may help. The kind decides, unless the status is always transient or always permanent."""
    is_permanent = status in _PERMANENT_STATUSES | _PERMANENT_5XX
    return status in _TRANSIENT_STATUSES or (not is_permanent and kind.is_retryable)


def _by_status(status: int) -> ErrorKind:
    return _TRANSIENT if is_transient(status) else _UNKNOWN


# How a code is found: it may stand in JSON at any depth, in XML, in a form, in a sentence, or in a header. The
# expressions are compiled when they are first used: most runs need none, and each takes a millisecond of a start.
# Each repetition in them is bounded or has one way to match, so that they take time that grows with the text alone.

# A name of Apigee's, wherever it stands: nothing else looks like it.
_APIGEE_NAME = (
    r"\b(?:steps\.)?(?:keymanagement\.service|oauth\.v2|policies\.ratelimit|messaging|accesscontrol)\."
    r"[\w.-]{0,100}\w"
)

# "code", "errorCode", "error_code", "ErrorCode" or "Error code" with a number or a word, and "error" with a word. A
# space is no separator before a number: text may contain "zip code 1234".
_NUMBER = r"""(?i)\b(?:error[\s_-]?code\b|code\b\s{0,64}["'\\:=>#])[\s"'\\:=>#]{0,64}(-?[0-9]{1,7})\b(?!\.[0-9])"""
# A number alone, which may be a code of the gateway; not the port of a host.
_LONG_NUMBER = r"(?<![\w.-])(?<!\w:)([0-9]{5,7})(?![\w-]|\.[0-9])"
_WORD = r"""(?i)\b(error(?:[\s_-]?code)?|code)\b[\s"'\\:=>#]{1,64}([a-z]{1,32}(?:_[a-z]{1,32}){1,8})\b"""

# A name in WWW-Authenticate with its value, or alone, as the name of a scheme is (RFC 9110, section 11.6.1).
_CHALLENGE = r"""([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?"""

_HTML = r"(?i)<(?:!doctype\s{1,64}html|html|head|body|title|form|meta|script)\b"
_HTML_FRAGMENT = r"(?i)<(?:h[1-6]|p|a|b|br|hr|i|img|div|span|center|font|pre|ul|ol|table|iframe|frameset)\b"
_XML_ERROR = r"(?i)<(?:[\w.-]{1,32}:)?(?:fault|error|exception)(?:response)?\b"
_TEXT_ERROR = r"(?i)[\s{]{0,8}error\s{0,8}:"
_NO_ERROR: tuple[object, ...] = (None, False, "", "0", [], {})
_CODE_FIELDS = {"code", "errorcode", "error_code"}
_ERROR_FIELDS = {
    *("errorcode", "error_code", "fault", "faultcode", "faultstring"),
    *("error", "errors", "exception", "exceptionmessage"),
}
# These say an error, unless a code beside them means success.
_TEXT_FIELDS = {"error_description", "errormessage", "error_message", "errortype"}


def _plain(name: str) -> str:
    """Return the name of an Apigee fault without the prefixes that differ between versions."""
    return name.removeprefix("steps.").replace("keymanagement.service.", "oauth.v2.")


_APIGEE = {_plain(name): kind for kind in ERROR_KINDS for name in kind.apigee}
_GATEWAY = {number: kind for kind in ERROR_KINDS for number in kind.gateway}
_REFERENCE = {row: kind for kind in ERROR_KINDS for row in kind.reference}
# Logout may answer 404 for a token that does not exist.
_REFERENCE[HTTPStatus.NOT_FOUND, 2] = _REFERENCE[HTTPStatus.UNAUTHORIZED, 2]
_OAUTH = {word: kind for kind in ERROR_KINDS for word in kind.oauth}


def _matches(response: Response) -> Iterator[tuple[ErrorFormat, str | None, ErrorKind | None]]:
    """Yield each match, the most specific format first; the kind is None if the table has no such code."""
    header = response.headers.get("WWW-Authenticate", "")[:_HEADER_LIMIT]
    names = re.findall(_APIGEE_NAME, f"{response.text}\n{header}")
    for name in sorted(names, key=lambda name: _plain(name) not in _APIGEE):
        kind = _APIGEE.get(_plain(name))
        yield ErrorFormat.APIGEE, name if kind else None, kind
    stated = [int(digits) for digits in re.findall(_NUMBER, response.text)]
    numbers = [number for number in stated if not (response.is_success and _is_success_code(number))]
    for number in numbers:
        if number in _GATEWAY or _is_gateway_code(number, response):
            yield ErrorFormat.GATEWAY, str(number), _GATEWAY.get(number)
    for number in numbers:
        kind = _reference_kind(number, response)
        # In a success any other number is an error.
        if kind or response.is_success:
            yield ErrorFormat.REFERENCE, str(number), kind
    yield from _oauth_matches(response.text)
    # A number alone may as well be an id, so it counts only if the response states no code but its status.
    alone = re.findall(_LONG_NUMBER, response.text) if {*stated} <= {response.status} else []
    for number in map(int, alone):
        if number in _GATEWAY and _is_gateway_code(number, response):
            yield ErrorFormat.GATEWAY, str(number), _GATEWAY[number]
    # An unknown code in the body is more specific than the header: some servers send the same one with every error.
    if {*numbers} <= {response.status}:
        yield from _oauth_matches(_bearer_error(header))


def _oauth_matches(text: str) -> Iterator[tuple[ErrorFormat, str, ErrorKind]]:
    for key, word in re.findall(_WORD, text):
        if kind := _OAUTH.get(word):
            # Apigee's other shape: {"ErrorCode": "invalid_client", "Error": "…"}.
            yield (ErrorFormat.APIGEE if key == "ErrorCode" else ErrorFormat.OAUTH), word, kind


def _is_success_code(number: int) -> bool:
    """Return whether a code means success: 0, a status such as 200, or such a status followed by more digits."""
    return number == 0 or (number >= HTTPStatus.OK and str(number).startswith("2"))


def _is_gateway_code(number: int, response: Response) -> bool:
    """Return whether a number is a code of the gateway, known or not: the status and two to four more digits."""
    has_digits = number > 9999  # noqa: PLR2004  five digits at least
    return has_digits and (response.is_success or str(number).startswith(str(response.status)))


def _reference_kind(number: int, response: Response) -> ErrorKind | None:
    """Return the kind of a number with this status; for a success, if the number has one kind in all statuses."""
    if not response.is_success:
        return _REFERENCE.get((response.status, number))
    kinds = [kind for (_, code), kind in _REFERENCE.items() if code == number]
    return kinds[0] if len(kinds) == 1 else None


def _bearer_error(header: str) -> str:
    """Return the `error` parameter of the Bearer scheme (RFC 6750, section 3)."""
    scheme = ""
    for name, quoted, plain in re.findall(_CHALLENGE, header):
        if not (quoted or plain):
            scheme = name.lower()
        elif scheme == "bearer" and name.lower() == "error":
            return f"error={quoted or plain}"
    return ""


def _has_shape_of_error(text: str) -> bool:
    in_json = (field for value in json_values(text) if isinstance(value, dict) for field in value.items())
    fields = [(name.lower(), value) for name, value in (*in_json, *parse_qsl(text))]
    found = {name for name, value in fields if value not in _NO_ERROR and not _means_success(name, value)}
    has_succeeded = any(_means_success(name, value) for name, value in fields)
    errors = _ERROR_FIELDS if has_succeeded else _ERROR_FIELDS | _TEXT_FIELDS
    return bool(found & errors or re.search(_XML_ERROR, text) or re.match(_TEXT_ERROR, text))


def _means_success(name: str, value: object) -> bool:
    """Return whether a field is a code, and a code of success."""
    if name not in _CODE_FIELDS or not isinstance(value, int | str) or not re.fullmatch("[0-9]{1,7}", str(value)):
        return False
    return _is_success_code(int(value))
