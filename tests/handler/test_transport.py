"""One exchange over real sockets: its request, its size limits, and its deadline."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.serving import make_ssl_devcert

from handler import app
from handler.errors import ConnectionSetupError, ErrorCode, ServerError, ServerUnavailableError
from handler.transport import Bearer, Request, Response, Transport
from infra.local.loopback_server import HOST
from tests.handler.slow_server import LONG_SECONDS, Drip, SlowServer, whole
from tests.leak_detector import CANARY
from tests.world import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.captured_output import CapturedOutput
    from tests.world import World

# An abandoned TLS connection is closed by the garbage collector, which warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*SSLSocket:pytest.PytestUnraisableExceptionWarning"
)

NOW = FakeClock().now()

# Time limits of exchanges; sockets use the machine's clock.
SHORT = timedelta(milliseconds=250)
DEADLINE = timedelta(seconds=20)

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class TlsServer(SlowServer):
    """A slow server over TLS, for the host localhost."""

    def __init__(self, respond: Callable[[str], bytes | Drip], context: ssl.SSLContext) -> None:
        super().__init__(respond)
        self._context = context
        self.url = f"https://localhost:{self.server_address[1]}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        with suppress(OSError), self._context.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)


@pytest.fixture
def transport() -> Iterator[Transport]:
    yield Transport(FakeClock(), app.logger)
    # Abandoned threads end by themselves, since their connections are closed.
    for thread in threading.enumerate():
        if thread.name == "exchange":
            thread.join(LONG_SECONDS)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Create a certificate for localhost, and its key."""
    return make_ssl_devcert(str(tmp_path_factory.mktemp("tls") / "localhost"), cn="localhost")


@pytest.fixture
def tls(certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def get(transport: Transport, url: str, within: timedelta = DEADLINE) -> Response:
    request = Request("a trial", ErrorCode.VERIFY_URL_OUT, "GET", url, Bearer(f"{CANARY}-token"))
    return transport.send(request, NOW + within)


# Deadlines of dripping responses

# Each part of a response that can drip.
DRIPS = {
    "the status line": Drip(b"HTTP/1.1 200 O", b"K"),
    "a header": Drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "headers without end": Drip(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
    "a 100 Continue after the other": Drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a 103 after the other": Drip(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "the size of a chunk": Drip(CHUNKED, b"0"),
    "chunks without end": Drip(CHUNKED, b"1\r\n \r\n"),
    "trailers without end": Drip(CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-More: 1\r\n"),
    "empty gzip members": Drip(OK + b"Content-Encoding: gzip\r\nContent-Length: 60000\r\n\r\n", gzip.compress(b"")),
    "the body": Drip(OK + b"Content-Length: 60000\r\n\r\n", b" "),
    "a body of no length": Drip(OK + b"\r\n", b" "),
}


@pytest.mark.parametrize("part", DRIPS)
def test_a_response_dripping_in_any_part_ends_at_the_deadline(transport: Transport, part: str) -> None:
    with SlowServer(lambda _path: DRIPS[part]) as server, suppress(ServerUnavailableError):
        assert get(transport, server.url, SHORT).status == 200
    assert (len(server.paths), server.outlasted) == (1, 0)


@pytest.mark.parametrize("part", ["headers without end", "the body"])
def test_a_response_dripping_over_tls_ends_in_time(transport: Transport, tls: ssl.SSLContext, part: str) -> None:
    with TlsServer(lambda _path: DRIPS[part], tls) as server, suppress(ServerUnavailableError):
        assert get(transport, server.url, SHORT).status == 200
    assert (len(server.paths), server.outlasted) == (1, 0)


def test_a_dripping_tls_handshake_ends_at_the_deadline(transport: Transport) -> None:
    handshake = Drip(b"\x16\x03\x03\x40\x00", b"\x00")
    with SlowServer(lambda _path: handshake) as server, pytest.raises(ServerUnavailableError) as refusal:
        get(transport, server.url.replace("http://", "https://"), SHORT)
    assert (refusal.value.error_code, server.outlasted) == (ErrorCode.VERIFY_URL_OUT, 0)


@pytest.mark.parametrize("part", ["a header", "headers without end"])
def test_a_dripping_proxy_ends_in_time(transport: Transport, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    with SlowServer(lambda _path: DRIPS[part]) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(ServerUnavailableError) as refusal:
            get(transport, "https://telenor.invalid/", SHORT)
    assert refusal.value.error_code == ErrorCode.VERIFY_URL_OUT
    assert (proxy.paths, proxy.outlasted) == (["telenor.invalid:443"], 0)


def test_a_partial_response_at_the_deadline_is_kept(transport: Transport, seen: CapturedOutput) -> None:
    start = b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n" + b'{"code": 22}' + b"\r\n"
    with SlowServer(lambda _path: Drip(start, b"0")) as server:
        response = get(transport, server.url, SHORT)
    assert (response.status, response.text) == (401, '{"code": 22}')
    assert seen.codes() == ["answer-cut-short"]


# Size limits


def test_at_most_64_kib_are_read(transport: Transport) -> None:
    with SlowServer(lambda _path: whole("x" * 1_000_000)) as server:
        assert 60_000 < len(get(transport, server.url).text) <= 65_536


def test_a_gzip_bomb_is_not_decompressed(transport: Transport) -> None:
    bomb = gzip.compress(b"x" * 20_000_000)
    assert len(bomb) < 65_536 - 1000
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with SlowServer(lambda _path: head + bomb) as server:
        assert len(get(transport, server.url).text) == 65_536


def test_headers_count_towards_the_size_limit(transport: Transport) -> None:
    head = OK + b"".join(b"X-%d: %b\r\n" % (number, b"x" * 60_000) for number in range(90))
    with SlowServer(lambda _path: head + b"\r\n{}") as server:
        assert sum(map(len, get(transport, server.url).headers.values())) <= 65_536


def test_an_invalid_gzip_body_does_not_hide_the_status(transport: Transport, seen: CapturedOutput) -> None:
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n"
    with SlowServer(lambda _path: head + b"oops") as server:
        assert get(transport, server.url).status == 403
    assert seen.codes() == ["answer-cut-short"]


@pytest.mark.parametrize(
    "broken",
    [
        *(b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12"),
        *(b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x00\x01"),
        *(b"HTTP/9.9 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n"),
    ],
)
def test_an_invalid_http_response_counts_as_no_response(transport: Transport, broken: bytes) -> None:
    with SlowServer(lambda _path: broken) as server, pytest.raises(ServerUnavailableError) as refusal:
        get(transport, server.url)
    assert refusal.value.error_code == ErrorCode.VERIFY_URL_OUT
    assert transport.last_response is None


# Interim responses and encodings


def chunked(body: bytes) -> bytes:
    """Return a body in chunks of one byte, with a trailer."""
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\nX-Trailer: 1\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        whole({"a": 1}, before=b"HTTP/1.1 100 Continue\r\n\r\n"),
        whole({"a": 1}, before=b"HTTP/1.1 102 Processing\r\n\r\n"),
        whole({"a": 1}, before=b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nContent-Length: 9\r\n\r\n"),
        whole({"a": 1}, before=b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"),
        pytest.param(OK + b'Connection: close\r\n\r\n\xef\xbb\xbf{"a": 1}', id="a byte order mark"),
        pytest.param(CHUNKED.replace(b"Tr", b"Content-Encoding: gzip\r\nTr") + chunked(gzip.compress(b'{"a": 1}'))),
        pytest.param(OK + b'Content-Encoding: UTF-8\r\nConnection: close\r\n\r\n{"a": 1}', id="a charset"),
    ],
)
def test_a_response_is_read_after_interim_responses_and_in_any_encoding(transport: Transport, sent: bytes) -> None:
    with SlowServer(lambda _path: sent) as server:
        response = get(transport, server.url)
    assert (response.status, response.text, "Link" in response.headers) == (200, '{"a": 1}', False)
    assert response.is_whole


def test_tls_works_and_certificates_are_verified(
    transport: Transport, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TlsServer(lambda _path: whole({}), tls) as server:
        assert get(transport, server.url).text == "{}"
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(ConnectionSetupError) as refusal:
            get(transport, server.url)
    assert refusal.value.error_code == "certificate-not-accepted"


# Between requests


def test_each_request_has_a_connection_of_its_own_and_no_cookie(transport: Transport) -> None:
    response = OK + b"Set-Cookie: session=1; Path=/\r\nContent-Length: 2\r\n\r\n{}"
    with SlowServer(lambda _path: response) as server:
        assert [get(transport, server.url).text for _ in range(2)] == ["{}", "{}"]
    assert all(b"Connection: close" in request for request in server.requests)
    assert not any(b"Cookie" in request for request in server.requests)


def test_a_cookie_that_the_standard_library_cannot_read_prints_nothing(
    transport: Transport, seen: CapturedOutput
) -> None:
    response = OK + b"Set-Cookie: a=b; max-age=" + b"9" * 400 + b"\r\nContent-Length: 2\r\n\r\n{}"
    with SlowServer(lambda _path: response) as server:
        assert get(transport, server.url).text == "{}"
    assert "cookiejar" not in seen.all_output()


@pytest.mark.parametrize(("length", "is_whole"), [(b"Content-Length: 0\r\n", True), (b"", False)])
def test_an_empty_body_needs_no_decoding_if_it_was_announced(
    transport: Transport, length: bytes, *, is_whole: bool
) -> None:
    with SlowServer(lambda _path: OK + b"Content-Encoding: gzip\r\n" + length + b"\r\n") as server:
        response = get(transport, server.url)
    assert (response.text, response.is_decoded, response.is_whole) == ("", is_whole, is_whole)


def test_a_failed_handshake_is_reported_with_openssls_reason(transport: Transport) -> None:
    with SlowServer(lambda _path: whole({})) as server, pytest.raises(ServerUnavailableError) as refusal:
        get(transport, server.url.replace("http://", "https://"))
    assert "WRONG_VERSION_NUMBER" in str(refusal.value)


def test_a_proxy_from_the_environment_is_used(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    with SlowServer(lambda _path: whole({})) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert get(transport, "http://telenor.invalid/path").status == 200
        assert proxy.paths == ["http://telenor.invalid/path"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.9.9"])
def test_a_loopback_host_is_never_reached_through_a_proxy(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with SlowServer(lambda _path: whole({})) as proxy, SlowServer(lambda _path: whole({"a": 1})) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with suppress(ServerUnavailableError):
            assert get(transport, server.url.replace(HOST, host)).text == '{"a": 1}'
        assert proxy.paths == []


def test_the_connect_timeout_does_not_limit_the_tls_handshake(
    transport: Transport, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LateServer(TlsServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            threading.Event().wait(0.2)
            super().finish_request(request, client_address)

    monkeypatch.setattr("handler.transport._CONNECT_SECONDS", 0.1)
    with LateServer(lambda _path: whole({}), tls) as server:
        assert get(transport, server.url).status == 200


# Local configuration errors, which no retry fixes


def setup_error(transport: Transport, url: str = "https://telenor.invalid/") -> ConnectionSetupError:
    with pytest.raises(ConnectionSetupError) as refusal:
        transport.retry("a trial", lambda: get(transport, url), begin_by=NOW + DEADLINE)
    return refusal.value


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(
    "content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_an_unusable_ca_bundle_is_named(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, content: str | None
) -> None:
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(path))
    with SlowServer(lambda _path: whole({})) as server:
        error = setup_error(transport, server.url.replace("http://", "https://"))
    assert error.error_code == "invalid-setting"
    assert variable in str(error)


@pytest.mark.parametrize(
    "proxy",
    [
        *(
            *("http://proxy host:3128", "http://user:pa#ss@proxy:3128", "http://CORP\\user:pw@proxy:3128"),
            *("socks5://proxy:1080", "http://proxy:port", "://"),
        ),
        *("http://user:password@", "http://:3128", "http://@", "http://a..b:3128", f"http://{'a' * 64}:3128"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_an_unusable_proxy_url_is_named(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy)
    error = setup_error(transport)
    assert error.error_code == "invalid-setting"
    assert variable in str(error)


@pytest.mark.parametrize(
    ("status", "kind"), [(407, ConnectionSetupError), (403, ConnectionSetupError), (503, ServerUnavailableError)]
)
def test_a_proxys_refusal_is_reported_with_its_status(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, status: int, kind: type[ServerError]
) -> None:
    with SlowServer(lambda _path: b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\n\r\n" % status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(kind) as refusal:
            get(transport, "https://telenor.invalid/")
    assert (refusal.value.error_code, refusal.value.status) == ("proxy-refused", status)


def test_a_certificate_of_another_host_is_reported_with_its_reason(transport: Transport, tls: ssl.SSLContext) -> None:
    with TlsServer(lambda _path: whole({}), tls) as server:
        error = setup_error(transport, server.url.replace("localhost", HOST))
    assert error.error_code == "certificate-not-accepted"
    assert HOST in str(error)


# The deadline of the whole exchange


def test_a_hanging_name_lookup_times_out_and_leaves_at_most_eight_threads(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = threading.Event()
    asked: list[None] = []

    def resolve(*_: object, **__: object) -> list[object]:
        asked.append(None)
        resolved.wait(LONG_SECONDS)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        for _ in range(10):
            with pytest.raises(ServerUnavailableError) as refusal:
                get(transport, "http://telenor.invalid/", timedelta(milliseconds=20))
            assert refusal.value.error_code == ErrorCode.VERIFY_URL_OUT
        assert 1 <= len(asked) <= 8
    finally:
        resolved.set()


def test_an_unexpected_error_in_an_exchange_is_raised_in_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        get(Transport(FakeClock(), app.logger, Mock(side_effect=ZeroDivisionError)), "http://telenor.invalid/")


# Logs


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"X-A: 1\r\n \r\nAuthorization: Bearer CANARY\r\n\r\n", id="a header that ends with a space"),
        pytest.param(b"Expose : X-A\r\nX-Echo: CANARY\r\n\r\n", id="a space before the colon"),
        pytest.param(b"CANARY\r\nContent-Length: 2\r\n\r\n{}", id="a line without a colon"),
    ],
)
def test_unparsable_headers_are_never_logged(transport: Transport, headers: bytes) -> None:
    """The fixture `seen` searches all records of the root logger for secrets."""
    with SlowServer(lambda _path: OK + headers) as server, suppress(ServerUnavailableError):
        get(transport, f"{server.url}/?key={CANARY}")


# Pieces of headers that a broken server or gateway may send.
NAMES = [b"X-A", b"Set-Cookie", b"Content-Length", b"Transfer-Encoding", b"WWW-Authenticate", b"HTTP/1.0 401 X"]
SEPARATORS = [b": ", b":", b" ", b"\t", b"\x00", b"\xff", b"\r\n", b"\n", b"\r", b"\x0b\r\n", b"\x85\r\n", b"\x1c\r\n"]
PIECES = st.sampled_from([*NAMES, b"CANARY", b"12", *SEPARATORS])
STATUS_LINES = st.sampled_from([b"", b"HTTP/1.1 200", b"HTTP/9 200 OK\r\n", OK])


def test_raw_responses_are_never_logged(transport: Transport) -> None:
    raw = b""

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(status=STATUS_LINES, pieces=st.lists(PIECES))
    def try_one(status: bytes, pieces: list[bytes]) -> None:
        nonlocal raw
        raw = status + b"".join(pieces) + b'\r\n\r\n{"access_token": "CANARY"}'
        with suppress(ServerUnavailableError):
            get(transport, server.url)

    with SlowServer(lambda _path: raw) as server:
        try_one()


def test_at_most_8_kib_of_a_header_are_kept(transport: Transport) -> None:
    with SlowServer(lambda _path: OK + b"WWW-Authenticate: " + b"B" * 60_000 + b"\r\n\r\n") as server:
        assert len(get(transport, server.url).headers["www-authenticate"]) == 8192


# Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("30", 30), ("0", 0), (" 7 ", 7), ("30, 60", 60), ("9" * 21, 86_400), ("9" * 5000, 86_400)),
        *((format_datetime(NOW + timedelta(seconds=45), usegmt=True), 45), ("Mon, 23 Nov 2020 21:30:00 GMT", 0)),
        *(("Fri, 31 Dec 9999 23:59:59 GMT", 86_400), ("Fri, 31 Dec 9999 23:59:59 -1200", 86_400)),
        *((value, None) for value in ("", "soon", "-5", "1.5", "٣٠", "30, soon", "Mon, 99 X")),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
    ],
)
def test_retry_after_may_be_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert Response(503, NOW, NOW, {"Retry-After": value}, "").retry_after_seconds == seconds


# A complete run over dripping responses

TOKEN = {"access_token": f"{CANARY}-raw", "token_type": "Bearer", "expires_in": 3599}


def test_a_run_survives_dripping_responses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    send, seconds = Transport.send, SHORT.total_seconds()
    monkeypatch.setattr(
        Transport, "send", lambda self, request, until: send(self, replace(request, limit_seconds=seconds), until)
    )
    tokens: Iterator[bytes | Drip] = iter([DRIPS["the status line"], whole(TOKEN)])

    def respond(path: str) -> bytes | Drip:
        return next(tokens) if path.endswith("token") else DRIPS["trailers without end"]

    with SlowServer(respond) as server:
        monkeypatch.setenv("TELENOR_BASE_URL", server.url)
        monkeypatch.setenv("VERIFY_URL", f"{server.url}/resource")
        assert world.run()["outcome"] == "rotated"
    assert server.outlasted == 0
    assert world.token() == TOKEN["access_token"]
    assert "retry" in world.seen.codes()
