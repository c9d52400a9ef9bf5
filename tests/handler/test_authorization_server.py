"""The Telenor adapter over HTTP: its requests, its parsing of each response, and its retries."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handler import app, errors
from handler.authorization_server import AuthorizationServer
from handler.credentials import Credentials, KnownCredentials
from handler.server_protocols import TelenorProtocol
from infra.local.telenor_sandbox import ApiError
from tests.handler.slow_server import SlowServer
from tests.leak_detector import CANARY, CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from handler.model import Token
    from infra.local.telenor_sandbox import TelenorSandbox
    from tests.captured_output import CapturedOutput
    from tests.world import FakeClock

CREDENTIALS = Credentials(CLIENT_ID, CLIENT_SECRET)
WRONG = Credentials(CLIENT_ID, f"{CANARY}-wrong")
CYRILLIC = Credentials("клиент", f"{CANARY}-секрет")
MINUTES = timedelta(minutes=2)


@dataclass
class Adapter:
    """The adapter on the sandbox or on another server, with the arguments that each call needs."""

    telenor: TelenorSandbox
    clock: FakeClock
    url: str
    unusable: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server = AuthorizationServer(
            TelenorProtocol(self.url), lambda: KnownCredentials([], None), self.clock, app.logger
        )
        self.resource = f"{self.url}/service-tickets/v2/incidents"

    def count(self, operation: str = "token") -> int:
        return sum(request.operation == operation for request in self.telenor.requests)

    def token(
        self, credentials: Credentials = CREDENTIALS, scope: str | None = None, within: timedelta = MINUTES
    ) -> Token:
        return self.server.request_token(credentials, scope, self.clock.now() + within, self.unusable.append)

    def logout(self, access_token: str = CANARY, *, once: bool = False, within: timedelta = MINUTES) -> bool:
        return self.server.revoke(access_token, self.clock.now() + within, once=once)

    def verify(self, access_token: str = CANARY, within: timedelta = MINUTES) -> bool:
        return self.server.verify(self.resource, access_token, self.clock.now() + within)


@pytest.fixture
def adapter(telenor: TelenorSandbox, clock: FakeClock) -> Adapter:
    return Adapter(telenor, clock, telenor.url)


# Requests


def test_a_token_is_requested_as_the_reference_shows(adapter: Adapter) -> None:
    token = adapter.token()
    assert adapter.telenor.is_live(token.access_token)
    (request,) = adapter.telenor.requests
    assert request.headers["authorization"] == "Basic"
    assert request.headers["accept"] == "application/json"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.form == {"grant_type": "client_credentials"}


def test_credentials_beyond_latin_1_reach_telenor(adapter: Adapter) -> None:
    # The canary client's id and secret contain ø and æ; these two characters are not even in Latin-1.
    with pytest.raises(errors.InvalidClientError, match="code 1:"):
        adapter.token(CYRILLIC)


def test_a_configured_scope_is_requested(adapter: Adapter) -> None:
    assert adapter.token(scope="incidents.read").scope == "incidents.read"
    assert adapter.telenor.requests[0].form["scope"] == "incidents.read"


def test_the_granted_scope_is_published(adapter: Adapter) -> None:
    document = {"access_token": CANARY, "expires_in": 60, "scope": "less"}
    adapter.telenor.fault(operation="token", body=json.dumps(document))
    assert adapter.token(scope="much more").scope == "less"
    assert adapter.token(scope=None).scope is None


def test_a_netrc_does_not_replace_the_credentials(
    adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    token = adapter.token()
    adapter.logout(token.access_token)
    assert not adapter.telenor.is_live(token.access_token)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(adapter: Adapter, status: int) -> None:
    adapter.telenor.fault(operation="token", status=status, headers={"Location": f"{adapter.telenor.url}/elsewhere"})
    with pytest.raises(errors.ServerRefusedError) as refusal:
        adapter.token()
    assert (refusal.value.status, refusal.value.error_code) == (status, "answer-unknown")
    assert len(adapter.telenor.requests) == 1


@pytest.mark.parametrize("location", [b"http://[", b"\xff\xfe", b"https://api..telenor.no/", b"/" * 5000])
def test_the_location_of_a_redirect_is_not_parsed(telenor: TelenorSandbox, clock: FakeClock, location: bytes) -> None:
    found = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    with SlowServer(lambda _path: found) as server:
        adapter = Adapter(telenor, clock, server.url)
        for request in (adapter.token, adapter.logout):
            with pytest.raises(errors.ServerRefusedError) as refusal:
                request()
            assert refusal.value.status == 302


# Valid token responses


def test_the_lifetime_counts_from_before_the_request(adapter: Adapter) -> None:
    adapter.clock.advance(milliseconds=700)
    before = adapter.clock.now().replace(microsecond=0)
    adapter.telenor.fault(operation="token", delay_seconds=4)
    token = adapter.token()
    assert (token.issued_at, token.expires_at) == (before, before + timedelta(seconds=3599))


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [(3599, 3599), ("3600", 3600), (" 3600 ", 3600), (3599.9, 3599), (1, 1), (31 * 86_400, 31 * 86_400)],
)
def test_expires_in_may_be_a_number_or_text(adapter: Adapter, expires_in: object, seconds: int) -> None:
    adapter.telenor.knobs(expires_in_as="raw", expires_in_raw=expires_in)
    assert adapter.token().lifetime == timedelta(seconds=seconds)


def test_a_missing_expires_in_defaults_to_900_seconds(adapter: Adapter, seen: CapturedOutput) -> None:
    adapter.telenor.knobs(expires_in_as="missing")
    assert adapter.token().lifetime == timedelta(seconds=900)
    adapter.telenor.knobs(expires_in_as="raw", expires_in_raw=None)
    assert adapter.token().lifetime == timedelta(seconds=900)
    assert seen.codes() == ["expires-in-missing"] * 2


@pytest.mark.parametrize("expires_in", [31 * 86_400 + 1, "3599000", 1e12, 10**400])
def test_an_expires_in_above_31_days_defaults_to_900_seconds(
    adapter: Adapter, seen: CapturedOutput, expires_in: object
) -> None:
    """An hour in milliseconds, most likely."""
    adapter.telenor.knobs(expires_in_as="raw", expires_in_raw=expires_in)
    assert adapter.token().lifetime == timedelta(seconds=900)
    assert (seen.codes(), adapter.unusable) == (["expires-in-too-long"], [])


def test_a_scheme_without_a_token_is_no_token(adapter: Adapter) -> None:
    body = json.dumps({"access_token": "Bearer ", "expires_in": 3599})
    adapter.telenor.fault(operation="token", body=body, times=1)
    assert adapter.telenor.is_live(adapter.token().access_token)
    assert adapter.unusable == [None]


@pytest.mark.parametrize("value", ["\r\n{0}", " {0} ", "bearer {0}\n", "BEARER  {0}", "\tBearer {0} ", "Bearer\t{0}"])
def test_whitespace_and_a_bearer_prefix_are_stripped_from_a_token(adapter: Adapter, value: str) -> None:
    text = value.format(f"{CANARY}-token")
    adapter.telenor.fault(operation="token", body=json.dumps({"access_token": text, "expires_in": 3599}), times=1)
    assert adapter.token().access_token == f"{CANARY}-token"
    assert adapter.count() == 1


@pytest.mark.parametrize("token_type", [None, "Bearer", "bearer", "BEARER", "BearerToken", "BEARERTOKEN", "Bearer\n"])
def test_a_missing_token_type_or_bearer_in_any_case_is_accepted(adapter: Adapter, token_type: str | None) -> None:
    adapter.telenor.knobs(token_type=token_type)
    assert adapter.token().token_type == "Bearer"


def test_a_complete_apigee_token_response_is_accepted(adapter: Adapter) -> None:
    adapter.telenor.knobs(error_format="apigee")
    token, now = adapter.token(), int(adapter.clock.now().timestamp())
    assert adapter.telenor.is_live(token.access_token)
    assert json.loads(token.document()) == {
        "access_token": token.access_token,
        "token_type": "Bearer",
        "expires_in": 3599,
        "expires_at": now + 3599,
        "issued_at": now,
    }


def test_a_refresh_token_is_dropped(adapter: Adapter) -> None:
    adapter.telenor.knobs(refresh_token=True)
    assert "refresh" not in adapter.token().document()


# Invalid token responses


@pytest.mark.parametrize(
    "expires_in",
    [
        *(0, -1, "-3600", 0.5, True, "soon", "", "nan", math.nan, [3600], {"s": 1}, "1 hour", False),
        *(-(10**400), "3_600", "1e3", "Infinity"),
    ],
)
def test_an_invalid_expires_in_is_refused_and_its_token_returned_for_revocation(
    adapter: Adapter, expires_in: object
) -> None:
    adapter.telenor.knobs(expires_in_as="raw", expires_in_raw=expires_in)
    with pytest.raises(errors.ServerUnavailableError) as refusal:
        adapter.token()
    assert refusal.value.error_code == "expires-in-malformed"
    assert len(adapter.unusable) == adapter.count() == 5


@pytest.mark.parametrize("token_type", ["mac", "", "Bearer Token", 5, ["Bearer"]])
def test_a_token_of_another_type_is_refused_and_returned_for_revocation(adapter: Adapter, token_type: object) -> None:
    adapter.telenor.knobs(token_type=token_type)
    with pytest.raises(errors.ServerRefusedError) as refusal:
        adapter.token()
    assert refusal.value.error_code == "token-type-refused"
    assert [adapter.telenor.is_live(str(token)) for token in adapter.unusable] == [True]
    assert adapter.count() == 1


def test_a_token_that_expired_during_the_request_is_refused(adapter: Adapter) -> None:
    adapter.telenor.knobs(lifetime_seconds=3)
    adapter.telenor.fault(operation="token", delay_seconds=3, when="after")
    with pytest.raises(errors.ServerUnavailableError) as refusal:
        adapter.token()
    assert refusal.value.error_code == "token-late"


UNREADABLE: dict[str, dict[str, Any]] = {
    "half a JSON": {"truncate_bytes": 20},
    "nothing": {"truncate_bytes": 0},
    "a list": {"body": "[]"},
    "no token": {"body": '{"expires_in": 3599}'},
    "an empty token": {"body": '{"access_token": "", "expires_in": 3599}'},
    "a token that is a number": {"body": '{"access_token": 5, "expires_in": 3599}'},
    "a token with a line end": {"body": '{"access_token": "CANARY\\r\\nX-Evil: 1", "expires_in": 3599}'},
    "a token with a blank": {"body": '{"access_token": "CANARY CANARY", "expires_in": 3599}'},
    "a token beyond ASCII": {"body": '{"access_token": "CANARYø", "expires_in": 3599}'},
    "a tower of brackets": {"body": "[" * 60_000},
    "a flood": {"body": '{"access_token": "' + "x" * 70_000 + '", "expires_in": 3599}'},
}
CONTRADICTING: dict[str, dict[str, Any]] = {
    "a page": {"html": True},
    "an unknown word": {"body": '{"error": "denied"}'},
    "an unknown number": {"body": '{"code": 2}'},
    "a passing error": {"body": '{"error": "server_error"}'},
}


@pytest.mark.parametrize("what", UNREADABLE | CONTRADICTING)
def test_a_200_without_a_token_is_retried(adapter: Adapter, what: str) -> None:
    adapter.telenor.fault(operation="token", times=2, **(UNREADABLE | CONTRADICTING)[what])
    assert adapter.telenor.is_live(adapter.token().access_token)
    assert adapter.count() == 3
    assert adapter.clock.slept[0] < 1
    # An unreadable response may have issued a token that is lost.
    assert adapter.unusable == ([None, None] if what in UNREADABLE else [])


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ("access_token=CANARY-1&expires_in=3599&token_type=Bearer", ["CANARY-1"]),
        ("expires_in=3599&access_token=CANARY%2F1%3D%3D", ["CANARY/1=="]),
        ('{"access_token": "CANARY-1", "expires_i', ["CANARY-1"]),
        ('{"access_token": "CANARY\\/1\\n"\n', ["CANARY/1"]),
        ('{"data": {"access_token": "Bearer CANARY-1"}}', ["CANARY-1"]),
        ('{"accessToken": "CANARY-1", "expires_in": 3599}', ["CANARY-1"]),
        ('[{"access_token": "CANARY-1"}, {"access_token": "CANARY-2"}]', ["CANARY-1", "CANARY-2"]),
        ("<OAuth><access_token>CANARY-1</access_token></OAuth>", ["CANARY-1"]),
        ("<access_token> CANARY-1&#61;\n</access_token>", ["CANARY-1="]),
        ("<access_token><![CDATA[CANARY-1]]></access_token>", ["CANARY-1"]),
        ('<token access_token="CANARY-1"/>', ["CANARY-1"]),
        ("access_token=Bearer+CANARY-1&expires_in=3599", ["CANARY-1"]),
        *(("access_token=Bearer%20CANARY-1", ["CANARY-1"]), ("access_token=CANARY-1; expires_in=3599", ["CANARY-1"])),
        ('access_token = "CANARY-1",expires_in=3599', ["CANARY-1"]),
        ('<html>{"access_token": "CANARY-1"}</html>', ["CANARY-1"]),
        ('{"access_token": "CANARY-1", "expires_in": ' + "9" * 5000 + "}", ["CANARY-1"]),
    ],
)
def test_a_token_in_an_unexpected_response_shape_is_returned_for_revocation(
    adapter: Adapter, body: str, tokens: list[str]
) -> None:
    adapter.telenor.fault(operation="token", body=body)
    with pytest.raises(errors.ServerUnavailableError) as refusal:
        adapter.token()
    assert refusal.value.error_code == "answer-unreadable"
    assert adapter.unusable == tokens * 5


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        *(({"drop": True}, None), ({"drop": True, "when": "after"}, None), ({"status": 429}, None)),
        *(({"status": 503}, None), ({"status": 500, "body": '{"code": 2}'}, "telenor-internal")),
        ({"status": 200, "body": '{"error": "server_error"}'}, "telenor-internal"),
    ],
    ids=str,
)
@pytest.mark.parametrize("operation", ["token", "logout"])
def test_a_transient_failure_is_retried_up_to_five_times(
    adapter: Adapter, operation: str, fault: dict[str, Any], code: str | None
) -> None:
    request: Callable[[], object] = adapter.token if operation == "token" else adapter.logout
    adapter.token()
    before = adapter.count(operation)
    adapter.telenor.fault(operation=operation, times=4, **fault)
    request()
    adapter.telenor.fault(operation=operation, times=5, **fault)
    with pytest.raises(errors.ServerUnavailableError) as failure:
        request()
    assert failure.value.error_code == (code or f"{operation}-endpoint-out")
    assert (adapter.count(operation) - before, len(adapter.clock.slept)) == (10, 8)


def test_retry_waits_grow_with_random_jitter(adapter: Adapter) -> None:
    adapter.telenor.fault(operation="token", status=503)
    for _ in range(20):
        with pytest.raises(errors.ServerUnavailableError):
            adapter.token()
    by_attempt = [adapter.clock.slept[attempt::4] for attempt in range(4)]
    for waits, longest in zip(by_attempt, (1, 2, 4, 8), strict=True):
        assert all(0 <= wait <= longest for wait in waits)
        assert len(set(waits)) > 1


def apigee_fault(name: str) -> str:
    return json.dumps({"fault": {"faultstring": "some text", "detail": {"errorcode": name}}})


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, '{"code": 22}', errors.InvalidClientError, "credentials-refused"),
        (400, '{"error": "invalid_client"}', errors.InvalidClientError, "credentials-refused"),
        (503, '{"error": "invalid_client"}', errors.InvalidClientError, "credentials-refused"),
        (401, '{"ErrorCode": "invalid_client", "Error": "no"}', errors.InvalidClientError, "credentials-refused"),
        (500, apigee_fault("steps.oauth.v2.InvalidClientIdentifier"), errors.InvalidClientError, "credentials-refused"),
        (200, '{"code": 40108}', errors.InvalidClientError, "credentials-refused"),
        # Other credentials would not fix these.
        (401, '{"code": 6}', errors.ServerRefusedError, "authorization-missing"),
        (401, "", errors.ServerRefusedError, "answer-unknown"),
        (403, '{"code": 22}', errors.ServerRefusedError, "answer-unknown"),
        (403, apigee_fault("accesscontrol.IPDeniedAccess"), errors.ServerRefusedError, "address-not-allowed"),
        (418, f'{{"echo": "{CANARY}"}}', errors.ServerRefusedError, "answer-unknown"),
        (500, '{"code": 16}', errors.ServerRefusedError, "app-attributes-invalid"),
        (200, '{"code": 5}', errors.ServerRefusedError, "app-not-approved"),
        # The quota resets later than any run ends.
        (429, '{"code": 42901}', errors.ServerUnavailableError, "rate-quota"),
        (429, apigee_fault("policies.ratelimit.QuotaViolation"), errors.ServerUnavailableError, "rate-quota"),
        (200, '{"code": 42901}', errors.ServerUnavailableError, "rate-quota"),
    ],
)
def test_a_permanent_error_has_its_kind_and_is_not_retried(
    adapter: Adapter, status: int, body: str, kind: type[errors.ServerError], code: str
) -> None:
    adapter.telenor.fault(operation="token", status=status, body=body)
    with pytest.raises(kind) as refusal:
        adapter.token()
    assert (type(refusal.value), refusal.value.error_code, refusal.value.status) == (kind, code, status)
    assert (adapter.count(), adapter.unusable) == (1, [])


@pytest.mark.parametrize(
    ("credentials", "scope", "error"),
    [
        (Credentials("nobody", CLIENT_SECRET), None, ApiError.CLIENT_ID),
        (Credentials("demo-client", CLIENT_SECRET), "not.granted", ApiError.SCOPE),
        (WRONG, None, ApiError.CREDENTIALS),
    ],
)
def test_an_error_of_our_own_request_is_explained(
    adapter: Adapter, credentials: Credentials, scope: str | None, error: ApiError
) -> None:
    with pytest.raises(errors.ServerError, match=f"{error.status} code {error.code}: "):
        adapter.token(credentials, scope)


# The deadline


@pytest.mark.parametrize(
    ("retry_after", "slept"), [(30, [30]), ("Mon, 23 Nov 2026 21:30:45 GMT", [45]), (121, []), ("9" * 21, [])]
)
@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"status": 429, "body": '{"code": 42901}'}, {"status": 200, "body": "<html>back soon</html>"}],
    ids=str,
)
def test_retry_after_is_honoured_within_the_deadline(
    adapter: Adapter, seen: CapturedOutput, fault: dict[str, Any], retry_after: int | str, slept: list[float]
) -> None:
    adapter.telenor.fault(operation="token", retry_after=retry_after, times=1, **fault)
    if slept:
        adapter.token()
    else:
        with pytest.raises(errors.ServerUnavailableError):
            adapter.token()
    assert adapter.clock.slept == slept
    assert seen.codes() == ["retry"] * len(slept)


def test_no_attempt_starts_after_the_deadline(adapter: Adapter) -> None:
    deadline = adapter.clock.now() + timedelta(seconds=10)
    adapter.telenor.fault(operation="token", status=503, delay_seconds=4)
    with pytest.raises(errors.ServerUnavailableError):
        adapter.token(within=timedelta(seconds=10))
    assert adapter.count() < 5
    assert adapter.clock.now() < deadline + timedelta(seconds=4)


@pytest.mark.parametrize(("seconds", "requests"), [(0, 0), (0.25, 0), (1.9, 0), (2, 1)])
def test_no_token_is_requested_with_less_than_two_seconds_left(adapter: Adapter, seconds: float, requests: int) -> None:
    adapter.telenor.fault(operation="token", status=503)
    with pytest.raises(errors.ServerUnavailableError) as refusal:
        adapter.token(within=timedelta(seconds=seconds))
    assert refusal.value.error_code == ("token-endpoint-out" if requests else "no-time-left")
    assert (adapter.count(), adapter.server.token_attempts) == (requests, requests)


def test_no_attempt_waits_for_a_response_beyond_the_deadline(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    monkeypatch.setattr(adapter.telenor, "_sleep", lambda _seconds: held.wait(10))
    adapter.telenor.fault(operation="logout", delay_seconds=60)
    with pytest.raises(errors.ServerUnavailableError) as refusal:
        adapter.logout(once=True, within=timedelta(milliseconds=200))
    assert refusal.value.error_code == "logout-endpoint-out"
    held.set()


def test_a_status_counts_although_its_body_is_truncated(telenor: TelenorSandbox, clock: FakeClock) -> None:
    cut_short = b'HTTP/1.1 401 Unauthorized\r\nContent-Length: 500\r\n\r\n{"code": 22}'
    with SlowServer(lambda _path: cut_short) as server:
        adapter = Adapter(telenor, clock, server.url)
        with pytest.raises(errors.InvalidClientError):
            adapter.token()
        assert adapter.server.token_attempts == 1
        with pytest.raises(errors.TokenRejectedError):
            adapter.verify()


@pytest.mark.parametrize("url", ["https://api..telenor.no/x", f"https://{'x' * 64}.no", "https://a b/"])
def test_an_unusable_url_counts_as_unavailable(adapter: Adapter, url: str) -> None:
    with pytest.raises(errors.ServerUnavailableError, match="no answer"):
        adapter.server.verify(url, CANARY, adapter.clock.now() + timedelta(milliseconds=200))


def test_a_refused_connection_is_reported_by_its_error_type(telenor: TelenorSandbox, clock: FakeClock) -> None:
    adapter = Adapter(telenor, clock, "http://127.0.0.1:1")
    with pytest.raises(errors.ServerUnavailableError, match="ConnectionRefusedError") as refusal:
        adapter.token()
    assert refusal.value.error_code == "token-endpoint-out"
    assert adapter.server.token_attempts == 5


def test_a_proxy_password_is_never_logged(
    telenor: TelenorSandbox, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{CANARY}@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(errors.ServerUnavailableError, match="ProxyError"):
        Adapter(telenor, clock, "http://telenor.invalid").token()


# Logout


def test_logout_revokes_only_that_token(adapter: Adapter) -> None:
    ended, kept = adapter.token(), adapter.token()
    assert adapter.logout(ended.access_token) is True
    assert (adapter.telenor.is_live(ended.access_token), adapter.telenor.is_live(kept.access_token)) == (False, True)
    assert adapter.logout(ended.access_token) is False
    assert adapter.telenor.state()["counters"]["logout"] == {"200": 1, "401": 1}


CHALLENGE = {"WWW-Authenticate": 'Bearer realm="null",error="invalid_token",error_description="in words"'}


@pytest.mark.parametrize(
    "fault",
    [
        *({"body": '{"code": 2}'}, {"body": '{"code": 40105}'}),
        {"body": apigee_fault("keymanagement.service.access_token_expired"), "headers": CHALLENGE},
        {"body": "", "headers": CHALLENGE},
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [401, 404])
def test_an_inactive_token_counts_as_revoked(adapter: Adapter, status: int, fault: dict[str, Any]) -> None:
    adapter.telenor.fault(operation="logout", status=status, **fault)
    assert adapter.logout() is False
    assert adapter.count("logout") == 1


NO_PRODUCT = apigee_fault("keymanagement.service.InvalidAPICallAsNoApiProductMatchFound")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        *(({"status": 401}, "answer-unknown"), ({"status": 401, "body": '{"code": 6}'}, "authorization-missing")),
        ({"status": 401, "body": NO_PRODUCT, "headers": CHALLENGE}, "api-product-missing"),
        *(({"status": 403, "body": '{"error": "invalid_token"}'}, "token-dead"), ({"status": 404}, "answer-unknown")),
        *(({"status": 302}, "answer-unknown"), ({"status": 204}, "answer-unknown")),
        ({"status": 200, "html": True}, "answer-unknown"),
        ({"status": 200, "body": '{"code": 2}'}, "answer-unknown"),
        ({"status": 200, "body": '{"code": 6}'}, "authorization-missing"),
        ({"status": 200, "body": '{"error": "denied"}'}, "answer-unknown"),
        ({"status": 200, "body": '{"error": "invalid_token"}'}, "token-dead"),
    ],
    ids=str,
)
def test_any_other_logout_response_is_no_revocation(adapter: Adapter, fault: dict[str, Any], code: str) -> None:
    adapter.telenor.fault(operation="logout", **fault)
    with pytest.raises(errors.ServerRefusedError) as refusal:
        adapter.logout()
    assert refusal.value.error_code == code
    assert adapter.count("logout") == 1


@pytest.mark.parametrize("body", ["OK!", "", '{"code": 200}'])
def test_a_successful_logout_counts_as_revoked_whatever_its_body(adapter: Adapter, body: str) -> None:
    adapter.telenor.fault(operation="logout", status=200, body=body, content_type="text/html")
    assert adapter.logout() is True


BR = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"
NOT_WHOLE = {
    "an encoding that it was not asked for": BR,
    "a compressed body without the header": BR.replace(b"Content-Encoding: br\r\n", b"").replace(b"{}", b"\0{"),
    "cut short": BR.replace(b"Content-Encoding: br\r\n", b"").replace(b"Length: 2", b"Length: 3"),
    "a gzip that is cut short": BR.replace(b": br", b": gzip").replace(b"{}", b"\x1f\x8b"),
    "longer than what is read": b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 65_536 + b"<html>",
}


@pytest.mark.parametrize("what", NOT_WHOLE)
def test_a_truncated_logout_response_does_not_count_as_revoked(
    telenor: TelenorSandbox, clock: FakeClock, what: str
) -> None:
    with SlowServer(lambda _path: NOT_WHOLE[what]) as server, pytest.raises(errors.ServerUnavailableError) as failure:
        Adapter(telenor, clock, server.url).logout()
    assert failure.value.error_code == "answer-unreadable"
    assert len(server.requests) == 5


@pytest.mark.parametrize("fragment", ["<h1>Log in</h1>", "<p>Sorry", "<a href=/login>here</a>", "<iframe src=x>"])
def test_a_fragment_of_an_html_page_does_not_count_as_revoked(adapter: Adapter, fragment: str) -> None:
    adapter.telenor.fault(operation="logout", body=fragment, content_type="text/html; charset=utf-8")
    with pytest.raises(errors.ServerRefusedError):
        adapter.logout()


def test_a_token_in_another_encoding_than_the_header_says_is_revoked(telenor: TelenorSandbox, clock: FakeClock) -> None:
    body = b'{"access_token": "CANARY", "expires_in": 3599}'
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with SlowServer(lambda _path: head + body) as server, pytest.raises(errors.ServerUnavailableError) as failure:
        (adapter := Adapter(telenor, clock, server.url)).token()
    assert (failure.value.error_code, set(adapter.unusable)) == ("answer-unreadable", {CANARY})


def test_a_form_truncated_within_its_token_is_not_parsed(telenor: TelenorSandbox, clock: FakeClock) -> None:
    adapter = Adapter(telenor, clock, "")
    form = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nexpires_in=3599&access_token=CANARY"
    with SlowServer(lambda _path: form) as server, pytest.raises(errors.ServerUnavailableError):
        Adapter(telenor, clock, server.url, adapter.unusable).token()
    assert adapter.unusable == [None] * 5


@pytest.mark.parametrize(("once", "retry_after"), [(True, None), (False, 500)])
def test_a_logout_without_time_to_retry_is_tried_once(adapter: Adapter, *, once: bool, retry_after: int | None) -> None:
    adapter.telenor.fault(operation="logout", status=503, retry_after=retry_after)
    with pytest.raises(errors.ServerUnavailableError):
        adapter.logout(once=once)
    assert (adapter.count("logout"), adapter.clock.slept) == (1, [])


# Verification


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_verify_url_rejects_is_detected(adapter: Adapter, status: int) -> None:
    adapter.telenor.fault(operation="incidents", status=status)
    with pytest.raises(errors.TokenRejectedError) as refusal:
        adapter.verify()
    assert (refusal.value.status, refusal.value.error_code) == (status, "token-not-accepted")
    assert 5 <= sum(adapter.clock.slept) <= 8
    assert adapter.clock.slept == sorted(adapter.clock.slept)


@pytest.mark.parametrize("times", [1, 4])
def test_a_rejected_fresh_token_is_verified_again(adapter: Adapter, times: int) -> None:
    adapter.telenor.fault(operation="incidents", status=401, times=times)
    assert adapter.verify(adapter.token().access_token) is True
    assert adapter.count("incidents") == times + 1


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 503}, {"status": 429}])
def test_an_outage_after_a_rejection_does_not_cancel_it(adapter: Adapter, fault: dict[str, Any]) -> None:
    adapter.telenor.fault(operation="incidents", status=401, times=1)
    adapter.telenor.fault(operation="incidents", **fault)
    with pytest.raises(errors.TokenRejectedError) as refusal:
        adapter.verify()
    assert refusal.value.status == 401


def test_verification_retries_stop_by_elapsed_time(adapter: Adapter) -> None:
    adapter.telenor.fault(operation="incidents", status=401, delay_seconds=4)
    began_at = adapter.clock.now()
    with pytest.raises(errors.TokenRejectedError):
        adapter.verify()
    assert adapter.count("incidents") == 2
    assert adapter.clock.now() - began_at < timedelta(seconds=12)


def test_a_rejected_token_is_not_verified_again_beyond_the_deadline(adapter: Adapter) -> None:
    adapter.telenor.fault(operation="incidents", status=401)
    deadline = adapter.clock.now() + timedelta(seconds=2)
    with pytest.raises(errors.TokenRejectedError):
        adapter.verify(within=timedelta(seconds=2))
    assert adapter.clock.now() < deadline


@pytest.mark.parametrize(
    ("status", "is_clear"), [(200, True), (204, True), (302, True), (404, True), (429, False), (500, False)]
)
def test_any_other_verification_response_allows_a_publication(adapter: Adapter, status: int, is_clear: bool) -> None:
    adapter.telenor.fault(operation="incidents", status=status)
    assert adapter.verify() is is_clear
    assert adapter.count("incidents") == 1


@pytest.mark.parametrize(("status", "is_bad"), [(401, True), (403, True), (200, False), (404, False), (503, False)])
def test_only_401_and_403_reject_a_published_token(adapter: Adapter, status: int, *, is_bad: bool) -> None:
    adapter.telenor.fault(operation="incidents", status=status)
    assert adapter.server.is_rejected(adapter.resource, CANARY, adapter.clock.now() + MINUTES) is is_bad
    assert (adapter.count("incidents"), adapter.clock.slept) == (1, [])


def test_a_verification_timeout_does_not_reject_a_published_token_and_is_logged(
    adapter: Adapter, seen: CapturedOutput
) -> None:
    adapter.telenor.fault(operation="incidents", drop=True)
    assert adapter.server.is_rejected(adapter.resource, CANARY, adapter.clock.now() + MINUTES) is False
    assert adapter.server.is_rejected(adapter.resource, CANARY, adapter.clock.now()) is False
    assert (seen.codes(), adapter.count("incidents")) == (["verify-url-out", "no-time-left"], 1)


# The last response


def test_the_last_response_is_kept_until_the_next_request(adapter: Adapter) -> None:
    assert adapter.server.last_response is None
    token = adapter.token()
    response = adapter.server.last_response
    assert response is not None
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert CANARY not in repr(response)
    adapter.telenor.fault(operation="logout", drop=True)
    with pytest.raises(errors.ServerUnavailableError):
        adapter.logout(token.access_token)
    assert adapter.server.last_response is None
