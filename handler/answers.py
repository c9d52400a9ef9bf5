"""What Telenor's answers mean, in whichever of four dialects they come: one table, and how a code is found.

A host of Telenor's may answer in its own codes (the API reference), in its gateway's (documented for a sibling API), as
Apigee does unless told otherwise, or in OAuth's own words. The same mistake has the same meaning in each.
"""

from __future__ import annotations

import re
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from handler.model import json_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handler.transport import Answer

CREDENTIALS_REFUSED = "credentials-refused"
TOKEN_DEAD = "token-dead"  # noqa: S105  a code, not a password
RATE_QUOTA = "rate-quota"
UNKNOWN = "answer-unknown"
OUT = "telenor-out"


class Dialect(StrEnum):
    """Whose codes an answer speaks in."""

    APIGEE = "apigee"
    GATEWAY = "gateway"
    REFERENCE = "reference"
    OAUTH = "oauth"


class Meaning(NamedTuple):
    """What is wrong, whether it passes by itself, and how each dialect says it.

    `code` is the stable name that the log and the runbook know it by. A number of the reference means something only
    with its status; the gateway's numbers and the words speak for themselves. Apigee puts `steps.` before some of its
    names; here they stand without.
    """

    code: str
    advice: str
    passes: bool = False
    reference: tuple[tuple[int, int], ...] = ()
    gateway: tuple[int, ...] = ()
    apigee: tuple[str, ...] = ()
    oauth: tuple[str, ...] = ()


# Sources: the Telenor Stores API reference, "oauth"; a sibling API of Telenor's (5 to 7 digits); Apigee, "OAuthV2
# policy" and "OAuth HTTP error response reference"; RFC 6749, sections 4.1.2.1 and 5.2; RFC 6750, section 3.1.
MEANINGS = (
    Meaning(
        CREDENTIALS_REFUSED,
        "these are not the app's client_id and client_secret; Connect ID and Min Bedrift logins do not work here: copy "
        "both from the app in the developer dashboard into the credentials secret",
        reference=((401, 22),),
        gateway=(40108,),
        apigee=("keymanagement.service.invalid_client-client_id_not_approved", "oauth.v2.InvalidApiKey"),
        oauth=("invalid_client",),
    ),
    Meaning(
        CREDENTIALS_REFUSED,
        "Telenor does not know this client_id: copy it again from the app in the developer dashboard",
        reference=((401, 1),),
        apigee=("keymanagement.service.invalid_client-invalid_client_id", "oauth.v2.InvalidClientIdentifier"),
    ),
    Meaning(
        CREDENTIALS_REFUSED,
        "Telenor's data about this client is invalid: ask Telenor, this job cannot fix it",
        reference=((401, 9),),
    ),
    Meaning(
        "app-not-approved",
        "the app is not authorized to create access tokens: have it approved in the developer dashboard",
        reference=((401, 5),),
        apigee=(
            "keymanagement.service.CompanyStatusNotActive",
            "keymanagement.service.DeveloperStatusNotActive",
            "keymanagement.service.invalid_client-app_not_approved",
        ),
    ),
    Meaning(
        "grant-not-allowed",
        "the app may not use the client_credentials grant: ask Telenor to allow it for this app",
        reference=((401, 21),),
        apigee=("oauth.v2.UnSupportedGrantType",),
        oauth=("unauthorized_client",),
    ),
    Meaning(
        "basic-not-allowed",
        "Telenor does not allow Basic authentication for this client, or not from the network that this job runs in: "
        "ask Telenor which of the two, and to allow it",
        gateway=(40107,),
    ),
    Meaning(
        "address-not-allowed",
        "Telenor does not let in the address that this job comes from: give the function an address that Telenor knows "
        "(docs/network.md), and tell Telenor which one it is",
        apigee=("accesscontrol.IPDeniedAccess",),
    ),
    Meaning(
        "scope-refused",
        "the scope is illegal or not granted to the app: correct TELENOR_SCOPE or the event's scope, or ask Telenor to "
        "grant it",
        reference=((403, 8),),
        gateway=(40301,),
        apigee=("oauth.v2.InsufficientScope",),
        oauth=("insufficient_scope", "invalid_scope"),
    ),
    Meaning(
        "app-attributes-invalid",
        "the app's attributes are invalid: ask Telenor, this job cannot fix it (their text: please contact Telenor "
        "Admin)",
        reference=((500, 16),),
    ),
    Meaning(
        TOKEN_DEAD,
        "the access token is invalid, has expired or was revoked: there is nothing to do, unless a proxy on the way "
        "replaces the Authorization header",
        reference=((401, 2),),
        gateway=(40105, 40106),
        apigee=(
            "keymanagement.service.access_token_expired",
            # What Apigee says of a token that was revoked.
            "keymanagement.service.access_token_not_approved",
            "keymanagement.service.invalid_access_token",
            # Some gateways say this of a request without a token too. This job's has one, and a proxy that takes its
            # header away takes that of the token request away as well, so that there is no token to lose.
            "oauth.v2.InvalidAccessToken",
        ),
        oauth=("invalid_token",),
    ),
    Meaning(
        "authorization-missing",
        "Telenor saw no usable Authorization header: see that no proxy on the way removes it",
        reference=((401, 6),),
        gateway=(40102,),
        apigee=("oauth.v2.FailedToResolveAPIKey",),
    ),
    Meaning(
        "api-product-missing",
        "the app has no API product that covers this: have the product added to the app in the developer dashboard",
        gateway=(40103,),
        apigee=("keymanagement.service.InvalidAPICallAsNoApiProductMatchFound",),
    ),
    Meaning(
        "resource-unknown",
        "Telenor does not know this path: see that TELENOR_BASE_URL leads to Telenor itself",
        gateway=(40101, 40401, 4042000),
        apigee=("keymanagement.service.apiresource_doesnot_exist", "messaging.adaptors.http.flow.ApplicationNotFound"),
    ),
    Meaning(
        "request-malformed",
        "the request did not arrive as it was sent: see that no gateway on the way rewrites the form body",
        reference=((400, 2),),
        oauth=("invalid_request", "unsupported_grant_type"),
    ),
    Meaning(
        "request-foreign",
        "Telenor speaks of an authorization code, a refresh token, a redirect URI or a response type; this job sends "
        "none, so see that TELENOR_BASE_URL leads to Telenor and that no gateway rewrites requests",
        reference=((401, 4), (401, 7), (403, 12), (403, 15)),
        oauth=("invalid_grant", "unsupported_response_type"),
    ),
    Meaning(
        RATE_QUOTA,
        "the app's quota of requests is used up: wait until it starts anew, and ask Telenor for a larger one",
        passes=True,
        gateway=(42901,),
        apigee=("policies.ratelimit.QuotaViolation",),
    ),
    Meaning(
        "rate-spike",
        "there were too many requests at once: wait, since it should pass by itself",
        passes=True,
        gateway=(42902,),
        apigee=("policies.ratelimit.SpikeArrestViolation",),
    ),
    Meaning(
        "telenor-internal",
        "an internal error of Telenor's: wait, since it should pass by itself; if it stays, ask Telenor",
        passes=True,
        reference=((500, 2),),
        gateway=(50001, 50002, 50003, 500100),
        oauth=("server_error", "temporarily_unavailable"),
    ),
)

# Of an answer in no dialect above, its status alone decides.
_OUT = Meaning(OUT, "wait, since it should pass by itself; if it stays, ask Telenor", passes=True)
_UNKNOWN = Meaning(
    UNKNOWN,
    "this job does not know that answer: check that TELENOR_BASE_URL leads to Telenor itself",
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


class Reading(NamedTuple):
    """What was read from an answer: its meaning, and the dialect and code that say so, if any does.

    `said` is a code of the table or a number, so that it may be shown.
    """

    meaning: Meaning
    dialect: Dialect | None = None
    said: str | None = None


def read(answer: Answer) -> Reading:
    """Find out what an answer means that is no success, or what a success says in contradiction to its status.

    Where it speaks in several dialects, the most particular one counts, even if what it says is not in the table:
    Apigee puts `invalid_token` into WWW-Authenticate for every mistake, and only its own code says which.
    """
    for dialect, said, meaning in _found(answer):
        return Reading(meaning or _by_status(answer.status), dialect, said)
    return Reading(_by_status(answer.status))


def contradicts(answer: Answer, reading: Reading) -> bool:
    """Return whether a success speaks of an error, in a dialect or in the shape of one, or is a page for people."""
    return reading.dialect is not None or is_page(answer) or _has_shape_of_error(answer.text)


def is_page(answer: Answer) -> bool:
    """Return whether a body is HTML, such as a login page. Its type does not count: some servers call all text HTML."""
    return re.search(_HTML, answer.text) is not None


def is_passing(status: int) -> bool:
    """Return whether a status alone says that asking again may help."""
    is_5xx = HTTPStatus.INTERNAL_SERVER_ERROR <= status < 600  # noqa: PLR2004  RFC 9110, section 15
    return status in _TRANSIENT_STATUSES or (is_5xx and status not in _PERMANENT_5XX)


def passes(status: int, meaning: Meaning) -> bool:
    """Return whether asking again may help. The code decides, except for statuses that are always one or the other."""
    return status in _TRANSIENT_STATUSES or (status not in _PERMANENT_STATUSES and meaning.passes)


def _by_status(status: int) -> Meaning:
    return _OUT if is_passing(status) else _UNKNOWN


# How a code is found: it may stand in JSON at any depth, in XML, in a form, in a sentence, or in a header. The
# expressions are compiled when they are first used: most runs need none, and each takes a millisecond of a start.
# Each repetition in them is bounded or has one way to match, so that they take time that grows with the text alone.

# A name of Apigee's, wherever it stands: nothing else looks like it.
_APIGEE_NAME = (
    r"\b(?:steps\.)?(?:keymanagement\.service|oauth\.v2|policies\.ratelimit|messaging|accesscontrol)\."
    r"[\w.-]{0,100}\w"
)

# "code", "errorCode", "error_code", "ErrorCode" or "Error code" with a number or a word, and "error" with a word. A
# blank alone joins no number to "code": a sentence may speak of a zip code.
_NUMBER = r"""(?i)\b(?:error[\s_-]?code\b|code\b\s{0,64}["'\\:=>#])[\s"'\\:=>#]{0,64}([0-9]{1,7})\b(?!\.[0-9])"""
_WORD = r"""(?i)\b(error(?:[\s_-]?code)?|code)\b[\s"'\\:=>#]{1,64}([a-z]{1,32}(?:_[a-z]{1,32}){1,8})\b"""

# A name in WWW-Authenticate with its value, or alone, as the name of a scheme is (RFC 9110, section 11.6.1).
_CHALLENGE = r"""([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?"""

_HTML = r"(?i)<(?:!doctype\s{1,64}html|html|head|body|title|form|meta|script)\b"
_XML_ERROR = r"(?i)<(?:\w{1,32}:)?(?:fault|error)\b"
_ERROR_FIELDS = {"fault", "faultstring", "error", "errors", "errorcode", "error_code", "exception"}


def _plain(name: str) -> str:
    """Return Apigee's name for a fault without what differs between its versions: the step, and the key service."""
    return name.removeprefix("steps.").replace("keymanagement.service.", "oauth.v2.")


_APIGEE = {_plain(name): meaning for meaning in MEANINGS for name in meaning.apigee}
_GATEWAY = {number: meaning for meaning in MEANINGS for number in meaning.gateway}
_REFERENCE = {row: meaning for meaning in MEANINGS for row in meaning.reference}
# Logout may say of a token that does not exist that it is not found.
_REFERENCE[HTTPStatus.NOT_FOUND, 2] = _REFERENCE[HTTPStatus.UNAUTHORIZED, 2]
_OAUTH = {word: meaning for meaning in MEANINGS for word in meaning.oauth}


def _found(answer: Answer) -> Iterator[tuple[Dialect, str | None, Meaning | None]]:
    """Yield what is said in each dialect, the most particular first; the meaning is None where the table has none."""
    header = answer.headers.get("WWW-Authenticate", "")[:_HEADER_LIMIT]
    names = re.findall(_APIGEE_NAME, f"{answer.text}\n{header}")
    for name in sorted(names, key=lambda name: _plain(name) not in _APIGEE):
        meaning = _APIGEE.get(_plain(name))
        yield Dialect.APIGEE, name if meaning else None, meaning
    numbers = [int(digits) for digits in re.findall(_NUMBER, answer.text)]
    if answer.is_success:
        numbers = [number for number in numbers if not _says_success(number)]
    for number in numbers:
        if number in _GATEWAY or _is_gateways(number, answer):
            yield Dialect.GATEWAY, str(number), _GATEWAY.get(number)
    for number in numbers:
        meaning = _of_the_reference(number, answer)
        # Beside a success any other number contradicts it.
        if meaning or answer.is_success:
            yield Dialect.REFERENCE, str(number), meaning
    # A code that is not known says more than the header, which says the same of every mistake.
    is_unknown = any(number != answer.status for number in numbers)
    for key, word in re.findall(_WORD, answer.text if is_unknown else f"{answer.text}\n{_bearer_error(header)}"):
        if meaning := _OAUTH.get(word):
            # Apigee's other shape: {"ErrorCode": "invalid_client", "Error": "…"}.
            yield (Dialect.APIGEE if key == "ErrorCode" else Dialect.OAUTH), word, meaning


def _says_success(number: int) -> bool:
    """Return whether a code stands for success: 0, a status such as 200, or such a status with more digits."""
    return number == 0 or (number >= HTTPStatus.OK and str(number).startswith("2"))


def _is_gateways(number: int, answer: Answer) -> bool:
    """Return whether a number is the gateway's, known or not: its status, and two to four digits more."""
    has_digits = number > 9999  # noqa: PLR2004  five digits at least
    return has_digits and (answer.is_success or str(number).startswith(str(answer.status)))


def _of_the_reference(number: int, answer: Answer) -> Meaning | None:
    """Return what a number means with the status; with that of a success, if it means one thing with any status."""
    if not answer.is_success:
        return _REFERENCE.get((answer.status, number))
    meanings = [meaning for (_, code), meaning in _REFERENCE.items() if code == number]
    return meanings[0] if len(meanings) == 1 else None


def _bearer_error(header: str) -> str:
    """Return the parameter of RFC 6750, section 3, without what the other schemes have to say."""
    scheme = ""
    for name, quoted, plain in re.findall(_CHALLENGE, header):
        if not (quoted or plain):
            scheme = name.lower()
        elif scheme == "bearer" and name.lower() == "error":
            return f"error={quoted or plain}"
    return ""


def _has_shape_of_error(text: str) -> bool:
    fields = {name.lower() for name, value in (json_object(text) or {}).items() if value}
    return bool(fields & _ERROR_FIELDS) or re.search(_XML_ERROR, text) is not None
