"""One exchange over real sockets: what it sends, how much it reads, and that it ends in its time."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handler import app
from handler.errors import ConnectionSetupError, ErrorCode, ServerError, ServerUnavailableError
from handler.transport import Bearer, Request, Response, Transport
from infra.local.server import HOST
from tests.conftest import CANARY, Seen
from tests.handler.slow_server import CHUNKED, DRIPS, OK, Drip, SlowServer, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import requests

    from tests.conftest import World

# A TLS connection that was given up is closed by the garbage collector, which warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*SSLSocket:pytest.PytestUnraisableExceptionWarning"
)

# What an exchange is given, and what a server drips for, which nobody waits for.
SHORT = timedelta(milliseconds=600)
LONG_SECONDS = 4
DEADLINE = timedelta(seconds=20)


class RealClock:
    """The machine's clock: a socket knows no other."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class TlsServer(SlowServer):
    """The same over TLS."""

    def __init__(self, answer: Callable[[str], bytes | Drip], context: ssl.SSLContext) -> None:
        super().__init__(answer)
        self._context = context

    @property
    def url(self) -> str:
        return super().url.replace("http://", "https://")

    def _speak(self, connection: socket.socket) -> None:
        with suppress(OSError):
            super()._speak(self._context.wrap_socket(connection, server_side=True))


@pytest.fixture
def transport() -> Iterator[Transport]:
    yield Transport(RealClock(), app.logger)
    # What is left behind ends by itself, since its connection is closed.
    for thread in threading.enumerate():
        if thread.name == "exchange":
            thread.join(LONG_SECONDS)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for this machine, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "identity.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls(identity: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(identity))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    return context


def get(transport: Transport, url: str, within: timedelta = DEADLINE) -> Response:
    request = Request("a trial", ErrorCode.VERIFY_URL_OUT, "GET", url, Bearer(f"{CANARY}-token"))
    return transport.send(request, datetime.now(UTC) + within)


# An answer ends in its time

PARTS = DRIPS | {
    "102 without end": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "103 without end": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "the extension of a chunk": (CHUNKED + b"2;", b"x"),
    "chunks of empty gzip members": (
        OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"%x\r\n%b\r\n" % (len(gzip.compress(b"")), gzip.compress(b"")),
    ),
    "a body of no length": (OK + b"\r\n", b" "),
}


@pytest.mark.parametrize("part", PARTS)
def test_whatever_part_of_an_answer_drips_nobody_waits_for_it(transport: Transport, part: str) -> None:
    with SlowServer(lambda _path: Drip(*PARTS[part], seconds=LONG_SECONDS)) as server:
        with suppress(ServerUnavailableError):
            assert get(transport, server.url, SHORT).status == 200
        assert (len(server.paths), server.outlasted) == (1, 0)


@pytest.mark.parametrize("part", ["the status line", "headers without end", "the size of a chunk", "the body"])
def test_over_tls_neither(transport: Transport, tls: ssl.SSLContext, part: str) -> None:
    with TlsServer(lambda _path: Drip(*PARTS[part], seconds=LONG_SECONDS), tls) as server:
        with suppress(ServerUnavailableError):
            assert get(transport, server.url, SHORT).status == 200
        assert (len(server.paths), server.outlasted) == (1, 0)


def test_a_tls_handshake_that_drips_is_given_up(transport: Transport) -> None:
    class DrippingHandshake(SlowServer):
        def _speak(self, connection: socket.socket) -> None:
            end_at = time.monotonic() + LONG_SECONDS
            with connection, suppress(OSError):
                connection.sendall(b"\x16\x03\x03\x40\x00")
                while time.monotonic() < end_at:
                    connection.sendall(b"\x00")
                    time.sleep(0.1)
                self._outlasted += 1

    with DrippingHandshake(lambda _path: b"") as server:
        with pytest.raises(ServerUnavailableError) as refusal:
            get(transport, server.url.replace("http://", "https://"), SHORT)
        assert (refusal.value.error_code, server.outlasted) == (ErrorCode.VERIFY_URL_OUT, 0)


@pytest.mark.parametrize("part", ["the status line", "a header", "headers without end"])
def test_a_proxy_that_drips_is_given_up(transport: Transport, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    with SlowServer(lambda _path: Drip(*PARTS[part], seconds=LONG_SECONDS)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(ServerUnavailableError) as refusal:
            get(transport, "https://telenor.invalid/", SHORT)
        assert refusal.value.error_code == ErrorCode.VERIFY_URL_OUT
        assert (proxy.paths, proxy.outlasted) == (["telenor.invalid:443"], 0)


def test_what_came_before_the_end_of_the_time_is_kept(transport: Transport, seen: Seen) -> None:
    start = b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n" + b'{"code": 22}' + b"\r\n"
    with SlowServer(lambda _path: Drip(start, b"0", seconds=LONG_SECONDS)) as server:
        answer = get(transport, server.url, SHORT)
    assert (answer.status, answer.text) == (401, '{"code": 22}')
    assert seen.codes() == ["answer-cut-short"]


def test_nothing_is_sent_when_no_time_is_left(transport: Transport) -> None:
    with SlowServer(lambda _path: whole({})) as server:
        with pytest.raises(ServerUnavailableError) as refusal:
            get(transport, server.url, timedelta(0))
        assert (refusal.value.error_code, server.paths) == ("no-time-left", [])


# No more is read than is needed


def at_once(answer: bytes) -> Drip:
    """Send more than the client will read; that it hangs up is no error."""
    return Drip(answer, b"", seconds=0)


def test_no_more_than_64_kib_are_read(transport: Transport) -> None:
    with SlowServer(lambda _path: at_once(whole("x" * 1_000_000))) as server:
        assert 60_000 < len(get(transport, server.url).text) <= 65_536


def test_a_gzip_bomb_is_not_unpacked(transport: Transport) -> None:
    bomb = gzip.compress(b"x" * 20_000_000)
    assert len(bomb) < 65_536 - 1000
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with SlowServer(lambda _path: head + bomb) as server:
        assert len(get(transport, server.url).text) == 65_536


def test_headers_count_as_well(transport: Transport) -> None:
    head = OK + b"".join(b"X-%d: %b\r\n" % (number, b"x" * 60_000) for number in range(90))
    with SlowServer(lambda _path: at_once(head + b"\r\n{}")) as server:
        assert sum(map(len, get(transport, server.url).headers.values())) <= 65_536


def test_a_gzip_that_is_none_does_not_hide_the_status(transport: Transport, seen: Seen) -> None:
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n"
    with SlowServer(lambda _path: head + b"oops") as server:
        assert get(transport, server.url).status == 403
    assert seen.codes() == ["answer-cut-short"]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x00\x01",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
    ],
)
def test_what_is_no_answer_is_said_to_be_none(transport: Transport, broken: bytes) -> None:
    with SlowServer(lambda _path: broken) as server, pytest.raises(ServerUnavailableError) as refusal:
        get(transport, server.url)
    assert refusal.value.error_code == ErrorCode.VERIFY_URL_OUT
    assert transport.last_response is None


# What comes before, and how it is written


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
    ],
)
def test_hints_before_an_answer_are_passed_over(transport: Transport, before: bytes) -> None:
    with SlowServer(lambda _path: whole({"a": 1}, before=before)) as server:
        answer = get(transport, server.url)
    assert (answer.status, answer.text, "Link" in answer.headers) == (200, '{"a": 1}', False)


def test_a_byte_order_mark_is_not_part_of_the_text(transport: Transport) -> None:
    with SlowServer(lambda _path: OK + b"Connection: close\r\n\r\n\xef\xbb\xbf{}") as server:
        assert get(transport, server.url).text == "{}"


def test_gzip_and_chunks_are_read(transport: Transport) -> None:
    body = gzip.compress(b'{"a": 1}')
    chunks = b"".join(b"1\r\n%b\r\n" % body[at : at + 1] for at in range(len(body))) + b"0\r\nX-Trailer: 1\r\n\r\n"
    head = OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    with SlowServer(lambda _path: head + chunks) as server:
        assert get(transport, server.url).text == '{"a": 1}'


def test_tls_is_spoken_and_certificates_are_checked(
    transport: Transport, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TlsServer(lambda _path: whole({}), tls) as server:
        assert get(transport, server.url).text == "{}"
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(ConnectionSetupError) as refusal:
            get(transport, server.url)
    assert refusal.value.error_code == "certificate-not-accepted"


# Between requests


class Echo(BaseHTTPRequestHandler):
    """Says which connection a request came by, and with which cookie; sets one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{self.client_address[1]} {self.headers.get('Cookie', 'no cookie')}".encode()
        self.send_response_only(200)
        self.send_header("Set-Cookie", "session=1; Path=/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_each_request_has_a_connection_of_its_own_and_no_cookie(transport: Transport) -> None:
    with ThreadingHTTPServer((HOST, 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        first, second = (get(transport, f"http://{HOST}:{server.server_port}/").text for _ in range(2))
        server.shutdown()
    assert first != second
    assert second.endswith("no cookie")


def test_a_proxy_of_the_environment_is_asked(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    with SlowServer(lambda _path: whole({})) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert get(transport, "http://telenor.invalid/path").status == 200
        assert proxy.paths == ["http://telenor.invalid/path"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.9.9.9"])
def test_a_loopback_host_is_never_asked_through_a_proxy(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with SlowServer(lambda _path: whole({})) as proxy, SlowServer(lambda _path: whole({"a": 1})) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with suppress(ServerUnavailableError):
            assert get(transport, server.url.replace(HOST, host)).text == '{"a": 1}'
        assert proxy.paths == []


# What is wrong on this side, which no retry mends


def setup_error(transport: Transport, url: str = "https://telenor.invalid/") -> ConnectionSetupError:
    with pytest.raises(ConnectionSetupError) as refusal:
        transport.retry("a trial", lambda: get(transport, url), begin_by=datetime.now(UTC) + DEADLINE)
    return refusal.value


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_ca_bundle_that_cannot_be_used_is_named(
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
    ["http://proxy host:3128", "http://user:pa#ss@proxy:3128", "socks5://proxy:1080", "http://proxy:port", "://"],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_url_that_cannot_be_used_is_named(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy)
    error = setup_error(transport)
    assert error.error_code == "invalid-setting"
    assert variable in str(error)


@pytest.mark.parametrize(
    ("status", "kind"), [(407, ConnectionSetupError), (403, ConnectionSetupError), (503, ServerUnavailableError)]
)
def test_a_proxy_that_refuses_is_told_with_its_status(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, status: int, kind: type[ServerError]
) -> None:
    with SlowServer(lambda _path: b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\n\r\n" % status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(kind) as refusal:
            get(transport, "https://telenor.invalid/")
    assert (refusal.value.error_code, refusal.value.status) == ("proxy-refused", status)


def test_a_certificate_for_another_host_is_told_with_what_openssl_says(
    transport: Transport, tls: ssl.SSLContext
) -> None:
    with TlsServer(lambda _path: whole({}), tls) as server:
        error = setup_error(transport, server.url.replace(HOST, "localhost"))
    assert error.error_code == "certificate-not-accepted"
    assert "localhost" in str(error)


# The whole exchange ends in its time


def test_a_name_that_nobody_resolves_is_given_up(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved.wait(LONG_SECONDS) and [])
    try:
        with pytest.raises(ServerUnavailableError) as refusal:
            get(transport, "http://telenor.invalid/", SHORT)
        assert not resolved.is_set()
    finally:
        resolved.set()
    assert refusal.value.error_code == ErrorCode.VERIFY_URL_OUT


def test_addresses_that_do_not_answer_share_the_time(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full backlog is an address that does not answer."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server((HOST, 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", full.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 8)
        began_at = datetime.now(UTC)
        with pytest.raises(ServerUnavailableError):
            get(transport, "http://telenor.invalid/", SHORT)
        assert datetime.now(UTC) - began_at < len([address] * 8) * SHORT


def test_no_more_exchanges_are_left_behind_than_eight(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = threading.Event()
    asked: list[None] = []

    def resolve(*_: object, **__: object) -> list[object]:
        asked.append(None)
        resolved.wait(LONG_SECONDS)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        for _ in range(10):
            with pytest.raises(ServerUnavailableError):
                get(transport, "http://telenor.invalid/", timedelta(milliseconds=20))
        assert len(asked) <= 8
    finally:
        resolved.set()


def test_a_defect_in_an_exchange_is_raised_where_it_is_waited_for() -> None:
    def broken(_on_socket: object) -> requests.Session:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        get(Transport(RealClock(), app.logger, new_session=broken), "http://telenor.invalid/")


# What is logged

LEAKS = {
    "a header that ends in a blank": OK + b"X-A: 1\r\n \r\n" + f"Authorization: Bearer {CANARY}\r\n\r\n".encode(),
    "a blank before a colon": OK + b"Access-Control-Expose-Headers : X-A\r\nX-Echo: " + f"{CANARY}\r\n\r\n".encode(),
    "a line without a colon": OK + f"{CANARY}\r\nContent-Length: 2\r\n\r\n{{}}".encode(),
}


@pytest.mark.parametrize("answer", LEAKS)
def test_headers_that_cannot_be_parsed_reach_no_log(transport: Transport, answer: str) -> None:
    """The fixture `seen` looks for secrets in all that a handler on the root logger gets."""
    with SlowServer(lambda _path: LEAKS[answer]) as server, suppress(ServerUnavailableError):
        get(transport, f"{server.url}/?key={CANARY}")


# Header lines as a broken server or gateway may send them, each with a secret in it.
SEPARATORS = st.sampled_from([b": ", b":", b" : ", b"\t:", b"", b" ", b"::", b":\r\n ", b"\x00: "])
LINE_ENDS = st.sampled_from([b"\r\n", b"\n", b" \r\n", b"\r", b"\r\r\n", b"\x0b\r\n", b"\x85\r\n", b"\x1c\r\n"])
NAMES = st.sampled_from(
    [b"X-A", b"Set-Cookie", b"Content-Length", b"WWW-Authenticate", b"Transfer-Encoding", b"", b" X"]
)
HEADER_LINES = st.builds(
    lambda name, separator, value, end: name + separator + CANARY.encode() + value + end,
    NAMES,
    SEPARATORS,
    st.binary(max_size=12),
    LINE_ENDS,
)
STATUS_LINES = st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 401 X", b"HTTP/1.1 200", b"HTTP/9 200 OK", b"CANARY"])


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(status=STATUS_LINES, ends=LINE_ENDS, lines=st.lists(HEADER_LINES, max_size=5), last=LINE_ENDS)
def test_no_raw_response_reaches_a_log(
    transport: Transport, status: bytes, ends: bytes, lines: list[bytes], last: bytes
) -> None:
    raw = status + ends + b"".join(lines) + last + b'{"access_token": "CANARY"}'
    with SlowServer(lambda _path: raw) as server, suppress(ServerUnavailableError):
        get(transport, server.url)


@pytest.mark.parametrize("size", [60_000])
def test_no_more_than_8_kib_of_a_header_are_kept(transport: Transport, size: int) -> None:
    with SlowServer(lambda _path: OK + b"WWW-Authenticate: " + b"B" * size + b"\r\n\r\n") as server:
        assert len(get(transport, server.url).headers["www-authenticate"]) == 8192


# Retry-After

NOW = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30),
        ("0", 0),
        (" 7 ", 7),
        ("9" * 21, 86_400),
        ("9" * 5000, 86_400),
        (format_datetime(NOW + timedelta(seconds=45), usegmt=True), 45),
        ("Mon, 23 Nov 2020 21:30:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("Fri, 31 Dec 9999 23:59:59 -1200", 86_400),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣٠", None),
        ("Mon, 99 X", None),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_seconds_of_any_number_of_digits_or_a_date(value: str, seconds: float | None) -> None:
    assert Response(503, NOW, NOW, {"Retry-After": value}, "").retry_after_seconds == seconds


# A whole run over responses that drip

TOKEN = {"access_token": f"{CANARY}-raw", "token_type": "Bearer", "expires_in": 3599}


@pytest.fixture
def real(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Run by the machine's clock, with short limits: a socket knows no other."""
    monkeypatch.setattr(app, "clock", RealClock())
    send = Transport.send
    monkeypatch.setattr(
        Transport,
        "send",
        lambda self, request, *rest, **named: send(self, replace(request, limit_seconds=0.5), *rest, **named),
    )
    return world


def test_a_token_response_that_drips_is_given_up_at_its_limit_and_asked_for_again(
    real: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: Iterator[bytes | Drip] = iter([Drip(*DRIPS["the status line"], seconds=4), whole(TOKEN)])
    with SlowServer(lambda _path: next(answers)) as server:
        monkeypatch.setenv("TELENOR_BASE_URL", server.url)
        assert real.run()["outcome"] == "rotated"
        assert (server.cut, server.outlasted) == (1, 0)
    assert real.document()["access_token"] == TOKEN["access_token"]
    assert "retry" in real.seen.codes()


def test_a_full_ledger_and_a_logout_that_drips_do_not_hold_up_a_publication(
    real: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(16):
        real.run("rotate-now")

    def answer(path: str) -> bytes | Drip:
        return whole(TOKEN) if path.endswith("token") else Drip(*DRIPS["a header"], seconds=4)

    with SlowServer(answer) as server:
        monkeypatch.setenv("TELENOR_BASE_URL", server.url)
        assert real.run("rotate-now")["outcome"] == "rotated"
        assert (server.cut, server.outlasted) == (1, 0)
    assert real.document()["access_token"] == TOKEN["access_token"]


def test_a_verify_url_that_drips_costs_no_token(real: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with SlowServer(lambda _path: Drip(*DRIPS["trailers without end"], seconds=4)) as server:
        monkeypatch.setenv("VERIFY_URL", f"{server.url}/resource")
        assert real.run()["outcome"] == "rotated"
        assert server.outlasted == 0
    assert real.is_current_live()
