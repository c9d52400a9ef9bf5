"""One HTTP exchange with its limits, and its retries: the only file that knows requests, urllib3 and tenacity."""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import get_environ_proxies, select_proxy
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import parse_url

from handler.errors import ConnectionSetupError, ErrorCode, ServerError, ServerUnavailableError
from handler.hostnames import is_hostname, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from _typeshed import WriteableBuffer
    from aws_lambda_powertools import Logger

    from handler.model import Clock

ATTEMPTS = 5

# Longer than any run, and small enough for timedelta.
BEYOND_ANY_RUN_SECONDS = 86_400.0

# For each address of a host, so that one that does not answer leaves time for the next.
_CONNECT_SECONDS = 3.0
EXCHANGE_SECONDS = 10.0
_RESPONSE_LIMIT_BYTES = 64 * 1024
_HEADER_LIMIT_CHARACTERS = 8 * 1024

# Threads that may still be resolving or connecting after their deadline. Each ends by itself.
_threads = threading.BoundedSemaphore(8)

# Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): up to 1, 2, 4, 8 s between five attempts.
_BACKOFF = wait_random_exponential(multiplier=1, max=8)

# urllib3 logs headers that it cannot parse, and every URL with its query. Either may hold a secret.
for _name in ("urllib3", "requests"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]
Fields = tuple[tuple[str, str], ...]

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Response:
    """A response and its times. Headers and text may hold a token, so the repr shows neither."""

    status: int
    sent_at: datetime
    answered_at: datetime
    headers: Mapping[str, str] = field(repr=False)
    """Case-insensitive."""
    text: str = field(repr=False)
    is_whole: bool = True
    """Whether the text is all of the response, and readable."""
    is_decoded: bool = True
    """Whether the body has the encoding that its header names."""

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def retry_after_seconds(self) -> float | None:
        """The delay that Retry-After asks for (RFC 9110, section 10.2.3); None if it is missing or unreadable."""
        value = self.headers.get("Retry-After", "").strip()
        # Two such headers arrive as one with a comma.
        if re.fullmatch("[0-9]+( *, *[0-9]+)*", value):
            return min(max(map(float, value.split(","))), BEYOND_ANY_RUN_SECONDS)
        try:
            at = parsedate_to_datetime(value)
            seconds = (at.replace(tzinfo=at.tzinfo or UTC) - self.answered_at).total_seconds()
        except (ValueError, OverflowError):
            return None
        return min(max(0.0, seconds), BEYOND_ANY_RUN_SECONDS)


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Messages name it by `what`; `out_code` is the error code if there is no response."""

    what: str
    out_code: ErrorCode
    method: str
    url: str
    auth: Auth
    form: Fields = field(default=(), repr=False)
    limit_seconds: float = EXCHANGE_SECONDS


def basic(username: str, password: str) -> AuthBase:
    """Return Basic authentication over UTF-8: as bytes, since requests encodes text as Latin-1."""
    return HTTPBasicAuth(username.encode(), password.encode())


def no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no header. Without an auth object, requests would look for a .netrc."""
    return request


class Bearer(AuthBase):
    """RFC 6750, section 2.1. An auth object, since a .netrc would replace a plain header."""

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._access_token}"
        return request


def create_session(on_socket: Callable[[socket.socket], None]) -> requests.Session:
    """Return a session that follows no redirect, keeps no cookie, and reports each socket that it connects."""
    session = _Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(on_socket))
    return session


def run_in_thread(exchange: Callable[[], None], seconds: float) -> None:
    """Run an exchange in a thread of its own, and return when it has ended or when the time is over.

    Only this bounds all of it: name resolution takes no timeout, and a socket's timeout is for each read alone. While
    eight earlier threads still hang, this waits for one of them for half of the time; then nothing is sent.
    """

    def run() -> None:
        try:
            exchange()
        finally:
            _threads.release()

    started_at = time.monotonic()
    # A request that begins too late could leave a token behind.
    if _threads.acquire(timeout=seconds / 2):
        thread = threading.Thread(target=run, name="exchange", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            _threads.release()
            raise
        thread.join(seconds - (time.monotonic() - started_at))


class Transport:
    """Sends requests one at a time, each over a connection of its own.

    `new_session` and `run` are for tests.
    """

    def __init__(
        self,
        clock: Clock,
        log: Logger,
        new_session: Callable[[Callable[[socket.socket], None]], requests.Session] = create_session,
        run: Callable[[Callable[[], None], float], None] = run_in_thread,
    ) -> None:
        self._clock = clock
        self._log = log
        self._new_session = new_session
        self._run = run
        self.last_response: Response | None = None

    def send(self, request: Request, deadline: datetime) -> Response:
        """Send one request and return its response, within `limit_seconds` and before the deadline.

        That time bounds everything: resolving, connecting, TLS, sending and reading. At most 64 KiB of a body are
        read. If there is a status, a response is returned, with `is_whole` False if its body is cut short or cannot be
        decoded. Raises ServerUnavailableError, or ConnectionSetupError if a retry cannot help.
        """
        self.last_response = None
        sent_at = self._clock.now()
        seconds = min((deadline - sent_at).total_seconds(), request.limit_seconds)
        if seconds <= 0:
            raise ServerUnavailableError(
                "no time was left for the request: earlier responses were too slow", error_code=ErrorCode.NO_TIME_LEFT
            )
        check_environment(request.url)
        exchange = _Exchange(request, self._new_session, seconds)
        self._run(exchange.run, seconds)
        # Copy first: after close() the read of an abandoned thread ends as if the body were whole.
        status, body, is_complete = exchange.status, bytes(exchange.body), exchange.is_complete
        exchange.close()
        if exchange.defect is not None:
            raise exchange.defect
        if status is None:
            raise exchange.failure or _failure_of(request, None)
        # An empty body needs no decoding if it was announced; otherwise it was cut short.
        is_empty = status == HTTPStatus.NO_CONTENT or exchange.headers.get("Content-Length") == "0"
        text, is_decoded = _decoded(body, "" if is_empty else exchange.headers.get("Content-Encoding", ""))
        is_whole = is_complete and is_decoded
        if not is_whole:
            self._log.warning(
                f"the response of {urlsplit(request.url).hostname} "
                + ("has another encoding than its header says" if is_complete else f"was cut short ({exchange.cause})"),
                extra={"error_code": ErrorCode.ANSWER_CUT_SHORT},
            )
        self.last_response = Response(status, sent_at, self._clock.now(), exchange.headers, text, is_whole, is_decoded)
        return self.last_response

    def retry(
        self,
        what: str,
        attempt: Callable[[], _Result],
        *,
        begin_by: datetime,
        attempts: Callable[[], int] = lambda: ATTEMPTS,
    ) -> _Result:
        """Try up to `attempts()` times while ServerUnavailableError is raised.

        The first attempt always begins, and no other one begins after `begin_by`. A wait is at least as long as
        Retry-After asks. `attempts` is called after each failure, so the limit may change.
        """

        def wait(state: RetryCallState) -> float:
            return max(_BACKOFF(state), _failure(state).retry_after_seconds)

        def stop(state: RetryCallState) -> bool:
            next_attempt_at = self._clock.now() + timedelta(seconds=state.upcoming_sleep)
            return state.attempt_number >= attempts() or next_attempt_at >= begin_by

        def log_failure(state: RetryCallState) -> None:
            failure = _failure(state)
            self._log.warning(
                f"{what} failed and is tried again: {failure}",
                extra={
                    "error_code": ErrorCode.RETRY,
                    "cause": failure.error_code,
                    "attempt": state.attempt_number,
                    "wait_seconds": round(state.upcoming_sleep, 3),
                },
            )

        return Retrying(
            retry=retry_if_exception_type(ServerUnavailableError),
            wait=wait,
            stop=stop,
            sleep=self._clock.sleep,
            before_sleep=log_failure,
            reraise=True,
        )(attempt)


class _Exchange:
    """One request and the response read so far. `run` may be abandoned in its thread after `close`."""

    def __init__(
        self,
        request: Request,
        new_session: Callable[[Callable[[socket.socket], None]], requests.Session],
        seconds: float,
    ) -> None:
        self._request = request
        self._new_session = new_session
        self._seconds = seconds
        self._sockets: list[socket.socket] = []
        self._is_closed = False
        self._lock = threading.Lock()
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.body = bytearray()
        self.is_complete = False
        self.failure: ServerError | None = None
        self.defect: BaseException | None = None
        self.cause = "out of time"

    def run(self) -> None:
        request = self._request
        try:
            with self._new_session(self._add_socket) as session:
                host = urlsplit(request.url).hostname or ""
                with session.request(
                    request.method,
                    request.url,
                    auth=request.auth,
                    data=request.form,
                    # A connection of its own: a server may close a kept one at any moment.
                    headers={"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"},
                    timeout=(min(_CONNECT_SECONDS, self._seconds), self._seconds),
                    # Plain http is for this machine alone, so a proxy must not see it.
                    proxies={"no_proxy": host} if is_loopback(host) else None,
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    self.headers = _capped(response.headers)
                    self.status = response.status_code
                    # read1 returns after each arrival, so that what has come is kept if the rest does not.
                    while some := response.raw.read1(_RESPONSE_LIMIT_BYTES, decode_content=False):
                        self.body += some
                    self.is_complete = True
        except (OSError, ValueError, HTTPError) as error:
            # Not kept: its traceback would keep the socket open.
            self.failure, self.cause = _failure_of(request, error), _cause(error)
        except BaseException as error:  # noqa: BLE001  raised again by `send`
            self.defect = error

    def close(self) -> None:
        """End the connection of an exchange that is still running: it must not keep reading."""
        with self._lock:
            self._is_closed = True
            for connected in self._sockets:
                with connected, suppress(OSError):
                    connected.shutdown(socket.SHUT_RDWR)
            self._sockets.clear()

    def _add_socket(self, connected: socket.socket) -> None:
        with self._lock:
            if self._is_closed:
                raise TimeoutError
            # The connect timeout is too short for a TLS handshake or a proxy's CONNECT.
            connected.settimeout(self._seconds)
            # A duplicate stays valid when TLS takes the socket over.
            self._sockets.append(connected.dup())


class _Session(requests.Session):
    """Disables redirects: requests would otherwise read the whole body to resolve them."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return no target."""


class _Adapter(HTTPAdapter):
    """Reports each socket that is connected, also to a proxy."""

    def __init__(self, on_socket: Callable[[socket.socket], None]) -> None:
        self._on_socket = on_socket
        super().__init__()

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,  # noqa: FBT001  as HTTPAdapter's
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> ConnectionPool:
        """Return the pool for a request, whose connections report their sockets."""
        pool = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        if isinstance(pool, HTTPConnectionPool):
            base = HTTPSConnection if isinstance(pool, HTTPSConnectionPool) else HTTPConnection
            pool.ConnectionCls = _reporting(base, self._on_socket)
        return pool


def _reporting(base: type[HTTPConnection], on_socket: Callable[[socket.socket], None]) -> type[HTTPConnection]:
    class Connection(base):  # type: ignore[misc, valid-type]
        response_class = _Response

        def _new_conn(self) -> socket.socket:
            connected: socket.socket = super()._new_conn()
            on_socket(connected)
            return connected

    return Connection


class _LimitedFile(io.RawIOBase):
    """The first 64 KiB that a socket receives, whatever they are part of."""

    def __init__(self, sock: socket.socket) -> None:
        self._raw = sock.makefile("rb", buffering=0)
        self._left_bytes = _RESPONSE_LIMIT_BYTES
        self.has_headers = False

    def readable(self) -> bool:
        """Return True, as io.BufferedReader asks."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Read into a buffer. Return 0 at the limit, as at an end; in a body raise OSError, since it is cut short."""
        if not self._left_bytes and self.has_headers:
            raise OSError
        count = self._raw.readinto(memoryview(buffer)[: self._left_bytes]) if self._left_bytes else 0
        self._left_bytes -= count or 0
        return count

    def close(self) -> None:
        """Close the file, not the socket."""
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    """http.client's own with a limit, which skips every 1xx response (RFC 9110, 15.2): http.client knows 100 alone."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp.close()
        self._limited = _LimitedFile(sock)
        self.fp = io.BufferedReader(self._limited)

    def begin(self) -> None:
        """Read the status line and the headers of the final response."""
        try:
            super().begin()
            while HTTPStatus.CONTINUE <= self.status < HTTPStatus.OK:
                # begin() knows by this that there are none yet.
                self.headers = self.msg = None  # type: ignore[assignment]
                super().begin()
            self._limited.has_headers = True
            # A cookie could make a server accept the next token that is tried, and http.cookiejar prints what it cannot
            # read.
            del self.headers["Set-Cookie"]
        except BaseException:
            # http.client leaves its file open if the connection has ended.
            self.close()
            raise


# Errors in the settings of this machine


def check_environment(url: str) -> None:
    """Raise ConnectionSetupError if a variable of the environment makes every request to the URL fail."""
    host, scheme = urlsplit(url).hostname or "", urlsplit(url).scheme
    if scheme == "https" and (bundle := _ca_bundle()) and not _holds_certificates(Path(os.environ[bundle])):
        raise _unusable_bundle(bundle)
    proxy = None if is_loopback(host) else select_proxy(url, get_environ_proxies(url))
    if proxy is not None and not _is_proxy_url(proxy):
        raise ConnectionSetupError(
            f"{_proxy_variable(proxy)} is not the URL of a proxy that this job can use: it must be http:// or "
            "https://, a host and a port, with special characters of a password percent-encoded"
        )


def _ca_bundle() -> str | None:
    return next((name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)), None)


def _is_proxy_url(proxy: str) -> bool:
    # urllib3 takes what precedes a backslash for the host.
    if re.search(r"[\s#\\]", proxy):
        return False
    try:
        parts = parse_url(proxy)
    except LocationParseError:
        return False
    # requests takes a proxy without a scheme for http.
    return is_hostname(parts.host or "") and (parts.scheme in {"http", "https"} or "://" not in proxy)


def _proxy_variable(proxy: str) -> str:
    """Return the name of the variable that holds a proxy's URL, in upper or lower case as it is set."""
    named = (name for name, value in os.environ.items() if value == proxy and name.lower().endswith("_proxy"))
    return next(named, "HTTPS_PROXY")


def _failure_of(request: Request, error: Exception | None) -> ServerError:
    """Return the error for an exchange without a status. Texts of errors stay out: they may hold a proxy's password."""
    host = urlsplit(request.url).hostname
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConnectionSetupError(
                f"the certificate of {host} was not accepted ({cause.verify_message}): check the URL, and name the CA "
                "of a proxy that inspects TLS in REQUESTS_CA_BUNDLE",
                error_code=ErrorCode.CERTIFICATE_NOT_ACCEPTED,
            )
        if isinstance(cause, ssl.SSLError) and (bundle := _ca_bundle()) and not _is_readable_bundle(os.environ[bundle]):
            return _unusable_bundle(bundle)
        if found := re.match(r"Tunnel connection failed: ([0-9]{3})", str(cause)):
            status = int(found[1])
            kind = ServerUnavailableError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else ConnectionSetupError
            return kind(
                f"the proxy in HTTPS_PROXY answered {status} to a connection to {host}: allow that host at the proxy, "
                "and check the proxy's own user and password",
                error_code=ErrorCode.PROXY_REFUSED,
                status=status,
            )
    return ServerUnavailableError(
        f"no answer from {host} ({_cause(error)}): check that the function can reach it", error_code=request.out_code
    )


def _unusable_bundle(variable: str) -> ConnectionSetupError:
    return ConnectionSetupError(f"{variable} names no file with usable certificates: correct or remove it")


def _holds_certificates(bundle: Path) -> bool:
    """Return whether a file has certificates, without the time that OpenSSL takes to read them."""
    try:
        # OpenSSL reads a directory when it needs a certificate of it.
        return bundle.is_dir() or b"CERTIFICATE-----" in bundle.read_bytes()
    except OSError:
        return False


def _is_readable_bundle(path: str) -> bool:
    try:
        ssl.create_default_context(cafile=path)
    except OSError:
        return Path(path).is_dir()
    return True


def _capped(headers: Mapping[str, str]) -> Mapping[str, str]:
    return requests.structures.CaseInsensitiveDict(
        {name: value[:_HEADER_LIMIT_CHARACTERS] for name, value in headers.items()}
    )


def _decoded(body: bytes, encoding: str) -> tuple[str, bool]:
    """Return a body as text, and whether its encoding matches the header; if not, the text of the raw bytes."""
    encoding = encoding.strip().lower()
    # Some servers name the charset here.
    is_decoded = encoding in {"", "identity", "none", "utf-8"}
    if encoding in {"gzip", "x-gzip", "deflate"}:
        # A proxy may compress, although the request does not allow it. 32 detects the header of either format.
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
        with suppress(zlib.error):
            body = decoder.decompress(body, _RESPONSE_LIMIT_BYTES)
            is_decoded = decoder.eof and not decoder.unused_data
    # Some servers begin with a byte order mark.
    text = body.decode("utf-8-sig", errors="replace")
    # No text has a NUL; UTF-16 has, and so has a compressed body without the header.
    return text, is_decoded and "\0" not in text


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it: requests and urllib3 keep the cause in `reason`, or as an argument."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if not isinstance(cause, BaseException) or cause in seen:
            continue
        seen.append(cause)
        yield cause
        waiting += [getattr(cause, "reason", None), *cause.args, cause.__cause__, cause.__context__]


def _cause(error: BaseException | None) -> str:
    """Name the kinds of errors down to the first cause, such as ConnectTimeout or NameResolutionError."""
    causes = list(_causes(error))
    names = [type(cause).__name__ for cause in causes]
    # OpenSSL's name of the error, such as WRONG_VERSION_NUMBER.
    names += [str(getattr(cause, "reason", None) or "") for cause in causes if isinstance(cause, ssl.SSLError)]
    return " < ".join(filter(None, dict.fromkeys(names))) or "out of time"


def _failure(state: RetryCallState) -> ServerUnavailableError:
    """Return what ended the attempt; only this type is tried again."""
    failure = state.outcome.exception() if state.outcome else None
    if not isinstance(failure, ServerUnavailableError):
        raise TypeError
    return failure
