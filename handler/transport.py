"""One exchange over HTTP with its limits, and its retries: the only file that knows requests, urllib3 and tenacity."""

from __future__ import annotations

import io
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from handler.errors import TelenorUnavailableError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from _typeshed import WriteableBuffer
    from aws_lambda_powertools import Logger

    from handler.model import Clock

ATTEMPTS = 5

# Later than the end of any run, and within what a clock can be asked to add.
BEYOND_ANY_RUN_SECONDS = 86_400.0

_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 10.0
_ANSWER_LIMIT_BYTES = 64 * 1024

# Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): up to 1, 2, 4, 8 s between five attempts.
_BACKOFF = wait_random_exponential(multiplier=1, max=8)

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and when. Headers and text may hold a token, so that its repr shows neither."""

    status: int
    sent_at: datetime
    answered_at: datetime
    headers: Mapping[str, str] = field(repr=False)
    """Their names in any case."""
    text: str = field(repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status says that what was asked has been done."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def retry_after_seconds(self) -> float | None:
        """How long it asks to wait (RFC 9110, section 10.2.3); None where it asks for nothing that can be read."""
        value = self.headers.get("Retry-After", "").strip()
        if value.isascii() and value.isdigit():
            return min(float(value), BEYOND_ANY_RUN_SECONDS)
        try:
            at = parsedate_to_datetime(value)
            seconds = (at.replace(tzinfo=at.tzinfo or UTC) - self.answered_at).total_seconds()
        except (ValueError, OverflowError):
            return None
        return min(max(0.0, seconds), BEYOND_ANY_RUN_SECONDS)


class Request(NamedTuple):
    """What is sent, `what` it is in a sentence, and the `out_code` of the error where nobody answers it."""

    what: str
    out_code: str
    method: str
    url: str
    auth: AuthBase
    form: Mapping[str, str] | None = None


def basic(username: str, password: str) -> AuthBase:
    """Return Basic authentication over UTF-8: as bytes, since requests encodes text as Latin-1."""
    return HTTPBasicAuth(username.encode(), password.encode())


class Bearer(AuthBase):
    """RFC 6750, section 2.1. An auth object, since a .netrc would replace a plain header."""

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._access_token}"
        return request


def create_session() -> requests.Session:
    """Return a session that follows no redirect, keeps no cookie, and reads every answer within its limits."""
    session = _Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    # A cookie could make Telenor accept the next token that is tried.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


class Transport:
    """Sends requests one at a time, and reads no answer beyond its limits. A context manager."""

    def __init__(self, clock: Clock, log: Logger, new_session: Callable[[], requests.Session] | None = None) -> None:
        self._clock = clock
        self._log = log
        self._new_session = new_session or create_session
        self._open = ExitStack()
        self.last: Answer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def _session(self) -> requests.Session:
        """Made when it is first used: most runs send nothing."""
        return self._open.enter_context(self._new_session())

    def exchange(self, request: Request, deadline: datetime) -> Answer:
        """Send one request and read its answer.

        Connecting takes 3 s for each address of the host at most, and the answer 10 s, from the request sent to its
        last byte, and less where the deadline is nearer. At most 64 KiB are read, and no more are unpacked. Raises
        TelenorUnavailableError.
        """
        self.last = None
        sent_at = self._clock.now()
        left_seconds = (deadline - sent_at).total_seconds()
        if left_seconds <= 0:
            raise TelenorUnavailableError(
                "no time was left to ask Telenor: raise the function's timeout", error_code="no-time-left"
            )
        timeout = Timeout(total=left_seconds, connect=_CONNECT_SECONDS, read=_ANSWER_SECONDS)
        try:
            with self._session.request(
                request.method,
                request.url,
                auth=request.auth,
                data=request.form,
                headers={"Accept": "application/json"},
                timeout=timeout,  # type: ignore[arg-type]  # HTTPAdapter.send documents this type, the stubs do not
                allow_redirects=False,
                stream=True,
            ) as response:
                answered_at = self._clock.now()
                text = self._text(response)
        # Not all that goes wrong in requests is one of its own errors. The cause is named but not kept: its text may
        # hold a proxy's password.
        except (OSError, ValueError, HTTPError) as error:
            raise TelenorUnavailableError(
                f"no answer from {urlsplit(request.url).hostname} ({_cause(error)})", error_code=request.out_code
            ) from None
        self.last = Answer(response.status_code, sent_at, answered_at, response.headers, text)
        return self.last

    def _text(self, response: requests.Response) -> str:
        """Read as much as may come in time; a status counts also where its text is cut short."""
        body = bytearray()
        try:
            while (room := _ANSWER_LIMIT_BYTES - len(body)) > 0:
                # Returns after each arrival, so that what has come is kept if the rest does not.
                some = response.raw.read1(room, decode_content=True)
                if not some:
                    break
                body += some
        except (OSError, ValueError, HTTPError) as error:
            self._log.warning(
                f"an answer of {urlsplit(response.url).hostname} was cut short ({_cause(error)})",
                extra={"error_code": "answer-cut-short"},
            )
        # Some servers begin with a byte order mark.
        return body.decode("utf-8-sig", errors="replace")

    def retrying(
        self, what: str, attempt: Callable[[], _Result], *, begin_by: datetime, attempts: int = ATTEMPTS
    ) -> _Result:
        """Try up to so many times, as long as TelenorUnavailableError is raised, and begin no attempt later."""

        def wait(state: RetryCallState) -> float:
            return max(_BACKOFF(state), _failure(state).retry_after_seconds)

        def stop(state: RetryCallState) -> bool:
            next_attempt_at = self._clock.now() + timedelta(seconds=state.upcoming_sleep)
            return state.attempt_number >= attempts or next_attempt_at >= begin_by

        def log_failure(state: RetryCallState) -> None:
            failure = _failure(state)
            self._log.warning(
                f"{what} failed and is tried again: {failure}",
                extra={
                    "error_code": "retry",
                    "cause": failure.error_code,
                    "attempt": state.attempt_number,
                    "wait_seconds": round(state.upcoming_sleep, 3),
                },
            )

        return Retrying(
            retry=retry_if_exception_type(TelenorUnavailableError),
            wait=wait,
            stop=stop,
            sleep=self._clock.sleep,
            before_sleep=log_failure,
            reraise=True,
        )(attempt)


# What requests and urllib3 are missing: an end to an answer whose parts drip in


class _Session(requests.Session):
    """Leaves redirects alone: requests would read the whole answer and parse where it leads, even if not to follow."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Lead nowhere."""


class _Adapter(HTTPAdapter):
    """Has every connection, also one through a proxy, read its answers within their limits."""

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,  # noqa: FBT001  as HTTPAdapter's
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> ConnectionPool:
        """Return the pool for a request, whose new connections have limits."""
        pool = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        if isinstance(pool, HTTPConnectionPool):
            pool.ConnectionCls = _HTTPSConnection if isinstance(pool, HTTPSConnectionPool) else _HTTPConnection
        return pool


class _LimitedFile(io.RawIOBase):
    """The bytes of one answer as they arrive: up to a number of them, and until a time, whatever they are part of.

    A timeout of a socket is for each read alone, so that whoever sends a byte now and then is waited for without end.
    Here each read has what is left of the whole.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._left_bytes = _ANSWER_LIMIT_BYTES
        # What urllib3 has just set: the time for the answer, now that the request is sent.
        seconds = sock.gettimeout()
        self._give_up_at = time.monotonic() + (_ANSWER_SECONDS if seconds is None else seconds)

    def readable(self) -> bool:
        """Return True, as io.BufferedReader asks."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Read what there is. Raises TimeoutError; returns 0, as at an end, when enough was read."""
        view = memoryview(buffer)[: self._left_bytes]
        if not view:
            return 0
        left_seconds = self._give_up_at - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(left_seconds)
        count = self._raw.readinto(view)
        self._left_bytes -= count or 0
        return count

    def close(self) -> None:
        """Close the file, not the socket, which may have another request to send."""
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    """http.client's own, with limits, and past every 1xx (RFC 9110, section 15.2): http.client knows 100 alone."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp.close()
        self.fp = io.BufferedReader(_LimitedFile(sock))

    def begin(self) -> None:
        """Read the status line and the headers of the final answer."""
        super().begin()
        while HTTPStatus.CONTINUE <= self.status < HTTPStatus.OK:
            # begin() knows by this that there are none yet.
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


class _HTTPConnection(HTTPConnection):
    response_class = _Answer


class _HTTPSConnection(HTTPSConnection):
    response_class = _Answer


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
