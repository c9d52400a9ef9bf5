"""The only file that knows requests, tenacity, URLs and status codes.

Source: the Telenor Stores API reference, "Client credentials Grant Type" and "oauth".
"""

from __future__ import annotations

import math
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from handler.errors import ClientRefusedError, TelenorError, TelenorRefusedError, TelenorUnavailableError, TokenNotAcceptedError
from handler.model import Clock, Credentials, Token, is_access_token, json_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aws_lambda_powertools import Logger

_TOKEN_PATH = "/oauth/v2/token"  # noqa: S105  a path, not a password
_LOGOUT_PATH = "/oauth/v2/logout"

_CONNECT_TIMEOUT_SECONDS = 3.0
_READ_TIMEOUT_SECONDS = 10.0
_ANSWER_LIMIT_BYTES = 64 * 1024

_ATTEMPTS = 5
# Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): up to 1, 2, 4, 8 s between five attempts.
_BACKOFF = wait_random_exponential(multiplier=1, max=8)

# Beyond any deadline, and within what a clock can be asked to add.
_LONGEST_WAIT_SECONDS = 86_400.0

# What a token is taken to live where Telenor does not say: a quarter of what the reference shows.
_ASSUMED_LIFE_SECONDS = 900

# Error codes of logout.
_DEAD_TOKEN = 2
_BAD_AUTHORIZATION_HEADER = 6

# The one 500 that does not pass.
_BROKEN_APP = (500, 16)
_PASSING_STATUSES = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}

_ASK_TELENOR = "ask Telenor, this job cannot mend it"
_NOT_SENT = "this job sends none, so see that TELENOR_BASE_URL leads to Telenor and that no gateway rewrites requests"

# Every error code of the token operation in the reference, and what to do about it.
_TOKEN_ERRORS = {
    (400, 2): "grant_type is missing or invalid: see that no gateway on the way rewrites the form body",
    (401, 1): "Telenor does not know this client_id: copy it again from the app in the developer dashboard",
    (401, 4): f"invalid authorization code: {_NOT_SENT}",
    (401, 5): "the app is not authorized to create access tokens: have it approved in the developer dashboard",
    (401, 6): "Telenor saw no usable Authorization header: see that no proxy on the way removes it",
    (401, 7): f"invalid refresh_token: {_NOT_SENT}",
    (401, 9): f"Telenor's data about this client is invalid: {_ASK_TELENOR}",
    (401, 21): "the app may not use the client_credentials grant: ask Telenor to allow it for this app",
    (401, 22): (
        "these are not the app's client_id and client_secret; Connect ID and Min Bedrift logins do not work here: "
        "copy both from the app in the developer dashboard into the credentials secret"
    ),
    (403, 8): (
        "the scope is illegal or not granted to the app: correct TELENOR_SCOPE or the event's scope, or ask Telenor "
        "to grant it"
    ),
    (403, 12): f"invalid redirect URI: {_NOT_SENT}",
    (403, 15): f"illegal response type: {_NOT_SENT}",
    (500, 2): "an internal error of Telenor's: it should pass by itself",
    (500, 16): f"the app's attributes are invalid: {_ASK_TELENOR} (their text: please contact Telenor Admin)",
}

# "code", "errorCode", "error_code" in JSON, XML or a form, at any depth, or "Error code 22" in text.
_ERROR_CODE = re.compile(r"""\b(?:error[\s_-]?)?code\b[\s"':=>#]{0,8}([0-9]{1,4})\b""", re.IGNORECASE)


# What a media type and a field of JSON may be called to be shown: nothing that a token could pass for.
_MEDIA_TYPE = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,40}", re.IGNORECASE)
_FIELD_NAME = re.compile(r"[a-z][a-z_-]{0,30}", re.IGNORECASE)
_CODE_FIELD = re.compile(r"(?:error[\s_-]?)?code", re.IGNORECASE)
_MOST_FIELDS = 20
_DEEPEST_FIELD = 5

# A Date header is cut to the second (RFC 9110, section 5.6.7), so that it is half a second late on average.
_DATE_LAGS = timedelta(seconds=0.5)


# Beyond this an expires_in is a mistake, and times calculated from it would not hold.
_LONGEST_LIFE_SECONDS = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class Shape:
    """What an answer looked like, and nothing of what it held: for whoever wants to learn about Telenor.

    `fields` are the types of its JSON by dotted name. `code_at` is the one that holds the error code, or "text".
    `clock_ahead` is by how much this machine's clock is ahead of the one that answered, to within a second.
    """

    status: int
    code: int | None
    code_at: str | None
    media_type: str | None
    fields: Mapping[str, str]
    clock_ahead: timedelta | None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    retry_after_seconds: float
    media_type: str
    clock_ahead: timedelta | None
    text: str = field(repr=False)

    @property
    def is_success(self) -> bool:
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def code(self) -> int | None:
        """The error code, wherever it stands: the reference does not show where.

        One that the reference lists for this status wins over, say, the status repeated in the body.
        """
        codes = [int(digits) for digits in _ERROR_CODE.findall(self.text)]
        return next((code for code in codes if (self.status, code) in _TOKEN_ERRORS), codes[0] if codes else None)

    def shape(self) -> Shape:
        """Return what may be shown of it."""
        values = dict(_values(json_object(self.text) or {}))
        holders = (name for name, value in values.items() if _holds_code(name, value, self.code))
        # A text is what is neither JSON nor, for example, a page in HTML that a gateway has sent.
        at = next(holders, "text" if not values and self.code is not None else None)
        return Shape(
            status=self.status,
            code=self.code,
            code_at=at,
            media_type=self.media_type if _MEDIA_TYPE.fullmatch(self.media_type) else None,
            fields={name: _json_type(value) for name, value in values.items()},
            clock_ahead=self.clock_ahead,
        )

    def __str__(self) -> str:
        return f"{self.status}" if self.code is None else f"{self.status} code {self.code}"


class _BearerAuth(AuthBase):
    """RFC 6750, section 2.1. An auth object, since a .netrc would replace a plain header."""

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._access_token}"
        return request


class _Session(requests.Session):
    """Leaves redirects alone: requests would read the whole answer and parse where it leads, even if not to follow."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Lead nowhere."""


class Telenor:
    """Telenor's token and logout operations, with retries that end at a deadline."""

    def __init__(self, base_url: str, clock: Clock, log: Logger) -> None:
        self._base_url = base_url
        self._clock = clock
        self._log = log
        self._open = ExitStack()
        self.token_attempts = 0
        self._last: _Answer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def _session(self) -> requests.Session:
        """Made when it is first used: most runs send nothing."""
        return self._open.enter_context(_Session())

    def last_shape(self) -> Shape | None:
        """Return what the last answer looked like, or None where none came."""
        return self._last.shape() if self._last else None

    def request_token(
        self, credentials: Credentials, scope: str | None, deadline: datetime, on_unusable: Callable[[str], None]
    ) -> Token:
        """Request an access token (RFC 6749, section 4.4).

        `on_unusable` gets each access token whose answer is otherwise unusable; it lives, and is the caller's to
        revoke. Raises TelenorUnavailableError or TelenorRefusedError.

        The request is not idempotent: an attempt whose answer is lost may leave a token behind that nobody knows. It
        dies by its own expiry.
        """
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        # Bytes, since requests encodes text as Latin-1.
        auth = HTTPBasicAuth(credentials.client_id.encode(), credentials.client_secret.encode())

        def attempt() -> Token:
            self.token_attempts += 1
            requested_at = self._clock.now().replace(microsecond=0)
            answer = self._send("POST", self._base_url + _TOKEN_PATH, auth, deadline, form)
            if not answer.is_success:
                raise _token_error(answer)
            return self._token(answer, requested_at, scope, on_unusable)

        return self._retrying("token request", deadline, _ATTEMPTS)(attempt)

    def logout(self, access_token: str, deadline: datetime, *, once: bool = False) -> bool:
        """Invalidate an access token; one that is dead already is as good. Tell whether it was alive.

        Raises TelenorUnavailableError or TelenorRefusedError; the token may live on then.
        """
        auth = _BearerAuth(access_token)

        def attempt() -> bool:
            answer = self._send("GET", self._base_url + _LOGOUT_PATH, auth, deadline)
            if answer.status == HTTPStatus.OK:
                return True
            if answer.status != HTTPStatus.UNAUTHORIZED:
                raise _unavailable("logout", answer, "it should pass by itself")
            if answer.code == _BAD_AUTHORIZATION_HEADER:
                raise TelenorRefusedError(
                    f"logout answered {answer}: see that no proxy on the way removes the Authorization header",
                    status=answer.status,
                )
            if answer.code != _DEAD_TOKEN:
                self._log.warning(f"logout answered {answer}, which the reference does not list: taken as dead")
            return False

        return self._retrying("logout", deadline, 1 if once else _ATTEMPTS)(attempt)

    def verify(self, url: str, access_token: str, deadline: datetime) -> bool:
        """Try a new token where consumers will use it. Tell whether the answer says anything about it.

        Raises TokenNotAcceptedError if it is refused, TelenorUnavailableError if nobody answered.
        """
        answer = self._send("GET", url, _BearerAuth(access_token), deadline)
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            msg = (
                f"VERIFY_URL answered {answer} to the new token, which was therefore not published: see that the app "
                "has access to that API, or correct VERIFY_URL"
            )
            raise TokenNotAcceptedError(msg, status=answer.status)
        return answer.status not in _PASSING_STATUSES

    def is_refused(self, url: str, access_token: str, deadline: datetime) -> bool:
        try:
            answer = self._send("GET", url, _BearerAuth(access_token), deadline)
        except TelenorUnavailableError:
            return False
        return answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}

    def _retrying(self, what: str, deadline: datetime, attempts: int) -> Retrying:
        def wait(state: RetryCallState) -> float:
            return max(_BACKOFF(state), _failure(state).retry_after_seconds)

        def stop(state: RetryCallState) -> bool:
            next_attempt_at = self._clock.now() + timedelta(seconds=state.upcoming_sleep)
            return state.attempt_number >= attempts or next_attempt_at >= deadline

        def log_failure(state: RetryCallState) -> None:
            self._log.warning(
                f"{what} failed and is tried again: {_failure(state)}",
                extra={"attempt": state.attempt_number, "wait_seconds": round(state.upcoming_sleep, 3)},
            )

        return Retrying(
            retry=retry_if_exception_type(TelenorUnavailableError),
            wait=wait,
            stop=stop,
            sleep=self._clock.sleep,
            before_sleep=log_failure,
            reraise=True,
        )

    def _send(
        self, method: str, url: str, auth: AuthBase, deadline: datetime, form: Mapping[str, str] | None = None
    ) -> _Answer:
        """Send one request and read its answer, up to the limits of size and time."""
        left_seconds = (deadline - self._clock.now()).total_seconds()
        if left_seconds <= 0:
            raise TelenorUnavailableError("no time was left to ask Telenor: raise the function's timeout")
        timeouts = (min(_CONNECT_TIMEOUT_SECONDS, left_seconds), min(_READ_TIMEOUT_SECONDS, left_seconds))
        sent_at, self._last = self._clock.now(), None
        give_up_at = sent_at + timedelta(seconds=sum(timeouts))
        try:
            with self._session.request(
                method,
                url,
                auth=auth,
                data=form,
                headers={"Accept": "application/json"},
                timeout=timeouts,
                allow_redirects=False,
                stream=True,
            ) as response:
                answered_at = self._clock.now()
                self._last = _Answer(
                    status=response.status_code,
                    retry_after_seconds=self._retry_after_seconds(response.headers.get("Retry-After", "")),
                    media_type=response.headers.get("Content-Type", "").partition(";")[0].strip(),
                    clock_ahead=_clock_ahead(response.headers.get("Date", ""), sent_at, answered_at),
                    text=self._body(response, give_up_at),
                )
                return self._last
        # Not all that goes wrong in requests is one of its own errors. The cause is named but not kept: its text may
        # hold a proxy's password.
        except (OSError, ValueError) as error:
            raise TelenorUnavailableError(f"no answer from {urlsplit(url).hostname} ({_cause(error)})") from None

    def _body(self, response: requests.Response, give_up_at: datetime) -> str:
        """Read as much as comes in time; a status counts also where its body is cut short."""
        body = bytearray()
        try:
            # Byte by byte, so that an answer which drips in is not waited for beyond its time.
            for byte in response.iter_content(chunk_size=1):
                body += byte
                if len(body) >= _ANSWER_LIMIT_BYTES or self._clock.now() > give_up_at:
                    break
        except (OSError, ValueError) as error:
            self._log.warning(f"an answer of {urlsplit(response.url).hostname} broke off ({_cause(error)})")
        return body.decode("utf-8", errors="replace")

    def _retry_after_seconds(self, value: str) -> float:
        """Read Retry-After (RFC 9110, section 10.2.3): seconds or a date; anything else counts as absent."""
        if value.isascii() and value.isdigit() and len(value) < len("1000000000"):
            return min(float(value), _LONGEST_WAIT_SECONDS)
        try:
            at = parsedate_to_datetime(value)
            wait_seconds = (at.replace(tzinfo=at.tzinfo or UTC) - self._clock.now()).total_seconds()
        except (ValueError, OverflowError):
            return 0.0
        return min(max(0.0, wait_seconds), _LONGEST_WAIT_SECONDS)

    def _token(
        self, answer: _Answer, requested_at: datetime, scope: str | None, on_unusable: Callable[[str], None]
    ) -> Token:
        document = json_object(answer.text) or {}
        access_token = document.get("access_token")
        if not is_access_token(access_token):
            raise TelenorUnavailableError(
                f"the token request answered {answer.status} without a readable access_token", status=answer.status
            )
        try:
            _check_token_type(document.get("token_type"))
            expires_at = requested_at + self._life(document.get("expires_in"))
            if self._clock.now() >= expires_at:
                raise TelenorUnavailableError("the token had expired before its answer came", status=answer.status)
        except TelenorError:
            on_unusable(access_token)
            raise
        return Token(access_token, "Bearer", requested_at, expires_at, _granted_scope(scope, document.get("scope")))

    def _life(self, expires_in: object) -> timedelta:
        """Read `expires_in`, which the reference shows as a number and as text."""
        if expires_in is None:
            self._log.warning(f"Telenor sent no expires_in: {_ASSUMED_LIFE_SECONDS} s are assumed")
            return timedelta(seconds=_ASSUMED_LIFE_SECONDS)
        try:
            seconds = float(expires_in) if isinstance(expires_in, int | float | str) else math.nan
        except (ValueError, OverflowError):
            seconds = math.nan
        if isinstance(expires_in, bool) or not 1 <= seconds <= _LONGEST_LIFE_SECONDS:
            raise TelenorUnavailableError(
                "the token request was answered with an expires_in that is not a number of seconds of 1 or more"
            )
        return timedelta(seconds=int(seconds))


def _token_error(answer: _Answer) -> TelenorError:
    advice = _TOKEN_ERRORS.get((answer.status, answer.code or 0))
    if answer.status in _PASSING_STATUSES and (answer.status, answer.code) != _BROKEN_APP:
        return _unavailable("the token request", answer, advice or "it should pass by itself")
    if advice is None:
        advice = "the reference does not list that; see that TELENOR_BASE_URL leads to Telenor itself"
    kind = ClientRefusedError if (answer.status, answer.code) in {(401, 1), (401, 9), (401, 22)} else TelenorRefusedError
    return kind(f"the token request answered {answer}: {advice}", status=answer.status)


def _unavailable(what: str, answer: _Answer, advice: str) -> TelenorUnavailableError:
    return TelenorUnavailableError(
        f"{what} answered {answer}: {advice}",
        status=answer.status,
        retry_after_seconds=answer.retry_after_seconds,
    )


def _check_token_type(token_type: object) -> None:
    # Case does not matter (RFC 6749, section 5.1); absent means Bearer (the reference).
    if token_type is not None and str(token_type).lower() != "bearer":
        raise TelenorRefusedError(
            "Telenor issued a token of a type other than Bearer, which no consumer could use: ask Telenor"
        )


def _granted_scope(asked: str | None, granted: object) -> str | None:
    # Telenor may grant less than was asked for (RFC 6749, section 5.1).
    return granted if asked and isinstance(granted, str) and granted else asked


def _failure(state: RetryCallState) -> TelenorUnavailableError:
    """Return what ended the attempt; only this type is tried again."""
    failure = state.outcome.exception() if state.outcome else None
    if not isinstance(failure, TelenorUnavailableError):
        raise TypeError
    return failure


def _cause(error: BaseException) -> str:
    """Name the kinds of errors down to the first cause, such as ConnectTimeout or NameResolutionError."""
    names = [type(error).__name__]
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
        names.append(type(error).__name__)
    return " < ".join(dict.fromkeys(names))


def _clock_ahead(date: str, sent_at: datetime, answered_at: datetime) -> timedelta | None:
    """Compare this machine's clock, halfway through the exchange, with a Date header (RFC 9110, section 6.6.1)."""
    try:
        at = parsedate_to_datetime(date)
        return sent_at + (answered_at - sent_at) / 2 - at.replace(tzinfo=at.tzinfo or UTC) - _DATE_LAGS
    except (ValueError, OverflowError):
        return None


def _values(document: Mapping[str, object], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, object]]:
    """Return what a JSON object holds by dotted name, but for names that are none."""
    for name, value in list(document.items())[:_MOST_FIELDS]:
        if not _FIELD_NAME.fullmatch(name):
            continue
        if isinstance(value, dict) and depth < _DEEPEST_FIELD:
            yield from _values(value, f"{prefix}{name}.", depth + 1)
        else:
            yield prefix + name, value


def _holds_code(name: str, value: object, code: int | None) -> bool:
    return code is not None and _CODE_FIELD.fullmatch(name.rpartition(".")[2]) is not None and str(value) == str(code)


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object", type(None): "null"}
    return names[type(value)]
