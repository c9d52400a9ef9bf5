"""The Telenor adapter over HTTP: what it asks for, what it makes of each answer, and when it asks again."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handler import app
from handler.authorization_server import AuthorizationServer
from handler.endpoints import TelenorEndpoints
from handler.errors import (
    InvalidClientError,
    ServerError,
    ServerRefusedError,
    ServerUnavailableError,
    TokenRejectedError,
)
from handler.model import Credentials, Token
from infra.local.telenor_sandbox import ApiError
from tests.conftest import CANARY, CLIENT_ID, CLIENT_SECRET, FakeClock, Seen
from tests.handler.slow_server import SlowServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from infra.local.telenor_sandbox import TelenorSandbox

CREDENTIALS = Credentials(CLIENT_ID, CLIENT_SECRET)
WRONG = Credentials(CLIENT_ID, f"{CANARY}-wrong")
CYRILLIC = Credentials("клиент", f"{CANARY}-секрет")
MINUTES = timedelta(minutes=2)


@dataclass
class Asking:
    """The adapter on the sandbox or on another server, with what each call needs."""

    telenor: TelenorSandbox
    clock: FakeClock
    url: str
    unusable: list[str | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server = AuthorizationServer(TelenorEndpoints(self.url), self.clock, app.logger)
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
def ask(telenor: TelenorSandbox, clock: FakeClock) -> Asking:
    return Asking(telenor, clock, telenor.url)


# What is sent


def test_a_token_is_asked_for_as_the_reference_shows(ask: Asking) -> None:
    token = ask.token()
    assert ask.telenor.is_live(token.access_token)
    (request,) = ask.telenor.requests
    assert request.headers["authorization"] == "Basic"
    assert request.headers["accept"] == "application/json"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.form == {"grant_type": "client_credentials"}


def test_credentials_beyond_latin_1_reach_telenor(ask: Asking) -> None:
    # The canary client's id and secret have an ø and an æ; these two do not even fit into Latin-1.
    with pytest.raises(InvalidClientError, match="code 1:"):
        ask.token(CYRILLIC)


def test_a_scope_is_asked_for_when_there_is_one(ask: Asking) -> None:
    assert ask.token(scope="incidents.read").scope == "incidents.read"
    assert ask.telenor.requests[0].form["scope"] == "incidents.read"


def test_consumers_are_told_the_scope_that_was_granted(ask: Asking) -> None:
    ask.telenor.fault(operation="token", body=json.dumps({"access_token": CANARY, "expires_in": 60, "scope": "less"}))
    assert ask.token(scope="much more").scope == "less"
    assert ask.token(scope=None).scope is None


def test_a_netrc_does_not_replace_the_credentials(ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    token = ask.token()
    ask.logout(token.access_token)
    assert not ask.telenor.is_live(token.access_token)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(ask: Asking, status: int) -> None:
    ask.telenor.fault(operation="token", status=status, headers={"Location": f"{ask.telenor.url}/elsewhere"})
    with pytest.raises(ServerRefusedError) as refusal:
        ask.token()
    assert (refusal.value.status, refusal.value.error_code) == (status, "answer-unknown")
    assert len(ask.telenor.requests) == 1


@pytest.mark.parametrize("location", [b"http://[", b"\xff\xfe", b"https://api..telenor.no/", b"/" * 5000])
def test_where_a_redirect_leads_is_not_even_read(telenor: TelenorSandbox, clock: FakeClock, location: bytes) -> None:
    found = b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    with SlowServer(lambda _path: found) as server:
        ask = Asking(telenor, clock, server.url)
        for request in (ask.token, ask.logout):
            with pytest.raises(ServerRefusedError) as refusal:
                request()
            assert refusal.value.status == 302


# What is made of a good answer


def test_times_are_counted_from_before_the_request(ask: Asking) -> None:
    ask.clock.advance(milliseconds=700)
    before = ask.clock.now().replace(microsecond=0)
    ask.telenor.fault(operation="token", delay_seconds=4)
    token = ask.token()
    assert (token.issued_at, token.expires_at) == (before, before + timedelta(seconds=3599))


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [(3599, 3599), ("3600", 3600), (" 3600 ", 3600), (3599.9, 3599), (1, 1), (31 * 86_400, 31 * 86_400)],
)
def test_a_life_is_read_as_a_number_and_as_text(ask: Asking, expires_in: object, seconds: int) -> None:
    ask.telenor.knobs(expires_in_as="raw", expires_in_raw=expires_in)
    assert ask.token().lifetime == timedelta(seconds=seconds)


def test_a_missing_life_is_taken_for_a_short_one_and_said(ask: Asking, seen: Seen) -> None:
    ask.telenor.knobs(expires_in_as="missing")
    assert ask.token().lifetime == timedelta(seconds=900)
    ask.telenor.knobs(expires_in_as="raw", expires_in_raw=None)
    assert ask.token().lifetime == timedelta(seconds=900)
    assert seen.codes() == ["expires-in-missing"] * 2


@pytest.mark.parametrize("expires_in", [31 * 86_400 + 1, "3599000", 1e12, 10**400])
def test_a_life_above_31_days_is_taken_for_a_short_one_and_said(ask: Asking, seen: Seen, expires_in: object) -> None:
    """An hour in milliseconds, most likely."""
    ask.telenor.knobs(expires_in_as="raw", expires_in_raw=expires_in)
    assert ask.token().lifetime == timedelta(seconds=900)
    assert (seen.codes(), ask.unusable) == (["expires-in-too-long"], [])


@pytest.mark.parametrize("value", ["\r\n{0}", " {0} ", "bearer {0}\n", "BEARER  {0}", "\tBearer {0} ", "Bearer\t{0}"])
def test_a_token_is_used_without_what_surrounds_it(ask: Asking, value: str) -> None:
    text = value.format(f"{CANARY}-token")
    ask.telenor.fault(operation="token", body=json.dumps({"access_token": text, "expires_in": 3599}), times=1)
    assert ask.token().access_token == f"{CANARY}-token"
    assert ask.count() == 1


@pytest.mark.parametrize("token_type", [None, "Bearer", "bearer", "BEARER", "BearerToken", "BEARERTOKEN"])
def test_a_bearer_token_is_taken_in_any_case(ask: Asking, token_type: str | None) -> None:
    ask.telenor.knobs(token_type=token_type)
    assert ask.token().token_type == "Bearer"


def test_apigees_whole_answer_is_taken_for_the_token_that_it_is(ask: Asking) -> None:
    ask.telenor.knobs(error_format="apigee")
    token, now = ask.token(), int(ask.clock.now().timestamp())
    assert ask.telenor.is_live(token.access_token)
    assert json.loads(token.document()) == {
        "access_token": token.access_token,
        "token_type": "Bearer",
        "expires_in": 3599,
        "expires_at": now + 3599,
        "issued_at": now,
    }


def test_a_refresh_token_goes_nowhere(ask: Asking) -> None:
    ask.telenor.knobs(refresh_token=True)
    assert "refresh" not in ask.token().document()


def test_a_token_shows_in_no_repr(ask: Asking) -> None:
    assert CANARY not in repr(ask.token()) + repr(CREDENTIALS)


# What is made of a bad one


@pytest.mark.parametrize(
    "expires_in",
    [
        *(0, -1, "-3600", 0.5, True, "soon", "", "nan", math.nan, [3600], {"s": 1}, "1 hour", False),
        *(-(10**400), "3_600", "1e3", "Infinity"),
    ],
)
def test_a_life_that_is_none_is_not_believed_and_its_token_handed_over(ask: Asking, expires_in: object) -> None:
    ask.telenor.knobs(expires_in_as="raw", expires_in_raw=expires_in)
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.token()
    assert refusal.value.error_code == "expires-in-malformed"
    assert len(ask.unusable) == ask.count() == 5


@pytest.mark.parametrize("token_type", ["mac", "", "Bearer Token", 5, ["Bearer"]])
def test_a_token_of_another_type_is_refused_and_handed_over(ask: Asking, token_type: object) -> None:
    ask.telenor.knobs(token_type=token_type)
    with pytest.raises(ServerRefusedError) as refusal:
        ask.token()
    assert refusal.value.error_code == "token-type-refused"
    assert [ask.telenor.is_live(str(token)) for token in ask.unusable] == [True]
    assert ask.count() == 1


def test_a_token_that_died_on_the_way_is_not_taken(ask: Asking) -> None:
    ask.telenor.knobs(lifetime_seconds=3)
    ask.telenor.fault(operation="token", delay_seconds=3, when="after")
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.token()
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
def test_a_200_without_a_token_is_tried_again(ask: Asking, what: str) -> None:
    ask.telenor.fault(operation="token", times=2, **(UNREADABLE | CONTRADICTING)[what])
    assert ask.telenor.is_live(ask.token().access_token)
    assert ask.count() == 3
    assert ask.clock.slept[0] < 1
    # One that cannot be read may have issued a token that nobody knows.
    assert ask.unusable == ([None, None] if what in UNREADABLE else [])


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
        ("access_token=Bearer%20CANARY-1", ["CANARY-1"]),
        ("access_token=CANARY-1; expires_in=3599", ["CANARY-1"]),
        ('access_token = "CANARY-1",expires_in=3599', ["CANARY-1"]),
        ('<html>{"access_token": "CANARY-1"}</html>', ["CANARY-1"]),
        ('{"access_token": "CANARY-1", "expires_in": ' + "9" * 5000 + "}", ["CANARY-1"]),
    ],
)
def test_a_token_in_an_answer_of_another_shape_is_handed_over_to_be_revoked(
    ask: Asking, body: str, tokens: list[str]
) -> None:
    ask.telenor.fault(operation="token", body=body)
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.token()
    assert refusal.value.error_code == "answer-unreadable"
    assert ask.unusable == tokens * 5


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"drop": True}, None),
        ({"drop": True, "when": "after"}, None),
        ({"status": 429}, None),
        ({"status": 503}, None),
        ({"status": 500, "body": '{"code": 2}'}, "telenor-internal"),
        ({"status": 200, "body": '{"error": "server_error"}'}, "telenor-internal"),
    ],
    ids=str,
)
@pytest.mark.parametrize("operation", ["token", "logout"])
def test_a_passing_fault_is_tried_again_up_to_five_times(
    ask: Asking, operation: str, fault: dict[str, Any], code: str | None
) -> None:
    request: Callable[[], object] = ask.token if operation == "token" else ask.logout
    ask.token()
    before = ask.count(operation)
    ask.telenor.fault(operation=operation, times=4, **fault)
    request()
    ask.telenor.fault(operation=operation, times=5, **fault)
    with pytest.raises(ServerUnavailableError) as failure:
        request()
    assert failure.value.error_code == (code or f"{operation}-endpoint-out")
    assert (ask.count(operation) - before, len(ask.clock.slept)) == (10, 8)


def test_waits_grow_and_are_drawn_by_chance(ask: Asking) -> None:
    ask.telenor.fault(operation="token", status=503)
    for _ in range(20):
        with pytest.raises(ServerUnavailableError):
            ask.token()
    by_attempt = [ask.clock.slept[attempt::4] for attempt in range(4)]
    for waits, longest in zip(by_attempt, (1, 2, 4, 8), strict=True):
        assert all(0 <= wait <= longest for wait in waits)
        assert len(set(waits)) > 1


def apigees(name: str) -> str:
    return json.dumps({"fault": {"faultstring": "in words", "detail": {"errorcode": name}}})


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (401, '{"code": 22}', InvalidClientError, "credentials-refused"),
        (400, '{"error": "invalid_client"}', InvalidClientError, "credentials-refused"),
        (503, '{"error": "invalid_client"}', InvalidClientError, "credentials-refused"),
        (401, '{"ErrorCode": "invalid_client", "Error": "no"}', InvalidClientError, "credentials-refused"),
        (500, apigees("steps.oauth.v2.InvalidClientIdentifier"), InvalidClientError, "credentials-refused"),
        (200, '{"code": 40108}', InvalidClientError, "credentials-refused"),
        # Another pair would not cure these.
        (401, '{"code": 6}', ServerRefusedError, "authorization-missing"),
        (401, "", ServerRefusedError, "answer-unknown"),
        (403, '{"code": 22}', ServerRefusedError, "answer-unknown"),
        (403, apigees("accesscontrol.IPDeniedAccess"), ServerRefusedError, "address-not-allowed"),
        (418, f'{{"echo": "{CANARY}"}}', ServerRefusedError, "answer-unknown"),
        (500, '{"code": 16}', ServerRefusedError, "app-attributes-invalid"),
        (200, '{"code": 5}', ServerRefusedError, "app-not-approved"),
        # It starts anew after any run.
        (429, '{"code": 42901}', ServerUnavailableError, "rate-quota"),
        (429, apigees("policies.ratelimit.QuotaViolation"), ServerUnavailableError, "rate-quota"),
        (200, '{"code": 42901}', ServerUnavailableError, "rate-quota"),
    ],
)
def test_an_error_that_does_not_pass_has_its_kind_and_is_asked_once(
    ask: Asking, status: int, body: str, kind: type[ServerError], code: str
) -> None:
    ask.telenor.fault(operation="token", status=status, body=body)
    with pytest.raises(kind) as refusal:
        ask.token()
    assert (type(refusal.value), refusal.value.error_code, refusal.value.status) == (kind, code, status)
    assert (ask.count(), ask.unusable) == (1, [])


@pytest.mark.parametrize(
    ("credentials", "scope", "error"),
    [
        (Credentials("nobody", CLIENT_SECRET), None, ApiError.CLIENT_ID),
        (Credentials("demo-client", CLIENT_SECRET), "not.granted", ApiError.SCOPE),
        (WRONG, None, ApiError.CREDENTIALS),
    ],
)
def test_what_this_job_can_earn_itself_is_told(
    ask: Asking, credentials: Credentials, scope: str | None, error: ApiError
) -> None:
    with pytest.raises(ServerError, match=f"{error.status} code {error.code}: "):
        ask.token(credentials, scope)


# The deadline


@pytest.mark.parametrize(
    ("retry_after", "slept"), [(30, [30]), ("Mon, 23 Nov 2026 21:30:45 GMT", [45]), (121, []), ("9" * 21, [])]
)
@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"status": 429, "body": '{"code": 42901}'}, {"status": 200, "body": "<html>back soon</html>"}],
    ids=str,
)
def test_retry_after_is_waited_for_within_the_deadline(
    ask: Asking,
    seen: Seen,
    fault: dict[str, Any],
    retry_after: int | str,
    slept: list[float],
) -> None:
    ask.telenor.fault(operation="token", retry_after=retry_after, times=1, **fault)
    if slept:
        ask.token()
    else:
        with pytest.raises(ServerUnavailableError):
            ask.token()
    assert ask.clock.slept == slept
    assert seen.codes() == ["retry"] * len(slept)


def test_a_retry_after_that_says_nothing_is_passed_over(ask: Asking) -> None:
    ask.telenor.fault(operation="token", status=503, retry_after="soon", times=1)
    ask.token()
    assert len(ask.clock.slept) == 1
    assert ask.clock.slept[0] <= 1


def test_no_attempt_begins_after_the_deadline(ask: Asking) -> None:
    deadline = ask.clock.now() + timedelta(seconds=10)
    ask.telenor.fault(operation="token", status=503, delay_seconds=4)
    with pytest.raises(ServerUnavailableError):
        ask.token(within=timedelta(seconds=10))
    assert ask.count() < 5
    assert ask.clock.now() < deadline + timedelta(seconds=4)


@pytest.mark.parametrize(("seconds", "requests"), [(0, 0), (0.25, 0), (1.9, 0), (2, 1)])
def test_no_token_is_asked_for_with_less_than_two_seconds_left(ask: Asking, seconds: float, requests: int) -> None:
    ask.telenor.fault(operation="token", status=503)
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.token(within=timedelta(seconds=seconds))
    assert refusal.value.error_code == ("token-endpoint-out" if requests else "no-time-left")
    assert (ask.count(), ask.server.token_attempts) == (requests, requests)


def test_no_attempt_waits_for_an_answer_beyond_the_deadline(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    monkeypatch.setattr(ask.telenor, "_sleep", lambda _seconds: held.wait(10))
    ask.telenor.fault(operation="logout", delay_seconds=60)
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.logout(once=True, within=timedelta(milliseconds=200))
    assert refusal.value.error_code == "logout-endpoint-out"
    held.set()


def test_a_status_counts_although_its_body_breaks_off(telenor: TelenorSandbox, clock: FakeClock) -> None:
    cut_short = b'HTTP/1.1 401 Unauthorized\r\nContent-Length: 500\r\n\r\n{"code": 22}'
    with SlowServer(lambda _path: cut_short) as server:
        ask = Asking(telenor, clock, server.url)
        with pytest.raises(InvalidClientError):
            ask.token()
        assert ask.server.token_attempts == 1
        with pytest.raises(TokenRejectedError):
            ask.verify()


@pytest.mark.parametrize("url", ["https://api..telenor.no/x", f"https://{'x' * 64}.no", "https://a b/"])
def test_a_url_that_no_request_can_be_sent_to_is_no_defect(ask: Asking, url: str) -> None:
    with pytest.raises(ServerUnavailableError, match="no answer"):
        ask.server.verify(url, CANARY, ask.clock.now() + timedelta(milliseconds=200))


def test_nobody_at_home_is_told_by_the_kind_of_error(telenor: TelenorSandbox, clock: FakeClock) -> None:
    ask = Asking(telenor, clock, "http://127.0.0.1:1")
    with pytest.raises(ServerUnavailableError, match="ConnectionRefusedError") as refusal:
        ask.token()
    assert refusal.value.error_code == "token-endpoint-out"
    assert ask.server.token_attempts == 5


def test_a_proxys_password_is_not_told(
    telenor: TelenorSandbox, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{CANARY}@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ServerUnavailableError, match="ProxyError"):
        Asking(telenor, clock, "http://telenor.invalid").token()


# Logout


def test_logout_ends_that_token_alone(ask: Asking) -> None:
    ended, kept = ask.token(), ask.token()
    assert ask.logout(ended.access_token) is True
    assert (ask.telenor.is_live(ended.access_token), ask.telenor.is_live(kept.access_token)) == (False, True)
    assert ask.logout(ended.access_token) is False
    assert ask.telenor.state()["counters"]["logout"] == {"200": 1, "401": 1}


CHALLENGE = {"WWW-Authenticate": 'Bearer realm="null",error="invalid_token",error_description="in words"'}


@pytest.mark.parametrize(
    "fault",
    [
        {"body": '{"code": 2}'},
        {"body": '{"code": 40105}'},
        {"body": apigees("keymanagement.service.access_token_expired"), "headers": CHALLENGE},
        {"body": "", "headers": CHALLENGE},
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [401, 404])
def test_a_token_that_telenor_says_is_dead_is_as_good_as_revoked(
    ask: Asking, status: int, fault: dict[str, Any]
) -> None:
    ask.telenor.fault(operation="logout", status=status, **fault)
    assert ask.logout() is False
    assert ask.count("logout") == 1


NO_PRODUCT = apigees("keymanagement.service.InvalidAPICallAsNoApiProductMatchFound")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 401}, "answer-unknown"),
        ({"status": 401, "body": '{"code": 6}'}, "authorization-missing"),
        ({"status": 401, "body": NO_PRODUCT, "headers": CHALLENGE}, "api-product-missing"),
        ({"status": 403, "body": '{"error": "invalid_token"}'}, "token-dead"),
        ({"status": 404}, "answer-unknown"),
        ({"status": 302}, "answer-unknown"),
        ({"status": 204}, "answer-unknown"),
        ({"status": 200, "html": True}, "answer-unknown"),
        ({"status": 200, "body": '{"code": 2}'}, "answer-unknown"),
        ({"status": 200, "body": '{"code": 6}'}, "authorization-missing"),
        ({"status": 200, "body": '{"error": "denied"}'}, "answer-unknown"),
        ({"status": 200, "body": '{"error": "invalid_token"}'}, "token-dead"),
    ],
    ids=str,
)
def test_an_answer_that_does_not_say_so_leaves_the_token_alive_for_all_one_knows(
    ask: Asking, fault: dict[str, Any], code: str
) -> None:
    ask.telenor.fault(operation="logout", **fault)
    with pytest.raises(ServerRefusedError) as refusal:
        ask.logout()
    assert refusal.value.error_code == code
    assert ask.count("logout") == 1


@pytest.mark.parametrize("body", ["OK!", "", '{"code": 200}'])
def test_a_logout_that_succeeds_in_any_words_is_revoked(ask: Asking, body: str) -> None:
    ask.telenor.fault(operation="logout", status=200, body=body, content_type="text/html")
    assert ask.logout() is True


BR = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"
NOT_WHOLE = {
    "an encoding that it was not asked for": BR,
    "a compressed body without the header": BR.replace(b"Content-Encoding: br\r\n", b"").replace(b"{}", b"\0{"),
    "cut short": BR.replace(b"Content-Encoding: br\r\n", b"").replace(b"Length: 2", b"Length: 3"),
    "a gzip that is cut short": BR.replace(b": br", b": gzip").replace(b"{}", b"\x1f\x8b"),
    "longer than what is read": b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 65_536 + b"<html>",
}


@pytest.mark.parametrize("what", NOT_WHOLE)
def test_a_logout_whose_answer_is_not_read_to_its_end_is_not_known_to_have_revoked(
    telenor: TelenorSandbox, clock: FakeClock, what: str
) -> None:
    with SlowServer(lambda _path: NOT_WHOLE[what]) as server, pytest.raises(ServerUnavailableError) as failure:
        Asking(telenor, clock, server.url).logout()
    assert failure.value.error_code == "answer-unreadable"
    assert len(server.requests) == 5


@pytest.mark.parametrize("fragment", ["<h1>Log in</h1>", "<p>Sorry", "<a href=/login>here</a>", "<iframe src=x>"])
def test_a_logout_that_is_answered_by_a_part_of_a_page_has_not_revoked(ask: Asking, fragment: str) -> None:
    ask.telenor.fault(operation="logout", body=fragment, content_type="text/html; charset=utf-8")
    with pytest.raises(ServerRefusedError):
        ask.logout()


def test_a_form_that_was_cut_in_its_token_is_not_read(telenor: TelenorSandbox, clock: FakeClock) -> None:
    ask = Asking(telenor, clock, "")
    form = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nexpires_in=3599&access_token=CANARY"
    with SlowServer(lambda _path: form) as server, pytest.raises(ServerUnavailableError):
        Asking(telenor, clock, server.url, ask.unusable).token()
    assert ask.unusable == [None] * 5


@pytest.mark.parametrize(("once", "retry_after"), [(True, None), (False, 500)])
def test_a_logout_that_is_hurried_or_put_off_beyond_the_deadline_is_tried_once(
    ask: Asking, *, once: bool, retry_after: int | None
) -> None:
    ask.telenor.fault(operation="logout", status=503, retry_after=retry_after)
    with pytest.raises(ServerUnavailableError):
        ask.logout(once=once)
    assert (ask.count("logout"), ask.clock.slept) == (1, [])


# Verification


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_consumers_could_not_use_is_found_out(ask: Asking, status: int) -> None:
    ask.telenor.fault(operation="incidents", status=status)
    with pytest.raises(TokenRejectedError) as refusal:
        ask.verify()
    assert (refusal.value.status, refusal.value.error_code) == (status, "token-not-accepted")
    assert 5 <= sum(ask.clock.slept) <= 8
    assert ask.clock.slept == sorted(ask.clock.slept)


@pytest.mark.parametrize("times", [1, 4])
def test_a_gateway_that_learns_of_a_token_late_is_asked_again(ask: Asking, times: int) -> None:
    ask.telenor.fault(operation="incidents", status=401, times=times)
    assert ask.verify(ask.token().access_token) is True
    assert ask.count("incidents") == times + 1


def test_a_refusal_stands_where_nobody_answers_after_it(ask: Asking) -> None:
    ask.telenor.fault(operation="incidents", status=401, times=1)
    ask.telenor.fault(operation="incidents", drop=True)
    with pytest.raises(TokenRejectedError) as refusal:
        ask.verify()
    assert refusal.value.status == 401


def test_a_slow_gateway_is_asked_again_by_the_clock(ask: Asking) -> None:
    ask.telenor.fault(operation="incidents", status=401, delay_seconds=4)
    began_at = ask.clock.now()
    with pytest.raises(TokenRejectedError):
        ask.verify()
    assert ask.count("incidents") == 2
    assert ask.clock.now() - began_at < timedelta(seconds=12)


def test_a_refusal_is_not_asked_again_beyond_the_deadline(ask: Asking) -> None:
    ask.telenor.fault(operation="incidents", status=401)
    deadline = ask.clock.now() + timedelta(seconds=2)
    with pytest.raises(TokenRejectedError):
        ask.verify(within=timedelta(seconds=2))
    assert ask.clock.now() < deadline


@pytest.mark.parametrize(
    ("status", "is_clear"), [(200, True), (204, True), (302, True), (404, True), (429, False), (500, False)]
)
def test_any_other_answer_is_no_reason_to_hold_a_token_back(ask: Asking, status: int, is_clear: bool) -> None:
    ask.telenor.fault(operation="incidents", status=status)
    assert ask.verify() is is_clear
    assert ask.count("incidents") == 1


@pytest.mark.parametrize(
    ("status", "is_rejected"), [(401, True), (403, True), (200, False), (404, False), (503, False)]
)
def test_a_published_token_is_refused_by_401_and_403_alone(ask: Asking, status: int, *, is_rejected: bool) -> None:
    ask.telenor.fault(operation="incidents", status=status)
    assert ask.server.is_rejected(ask.resource, CANARY, ask.clock.now() + MINUTES) is is_rejected
    assert (ask.count("incidents"), ask.clock.slept) == (1, [])


def test_no_answer_says_nothing_about_a_published_token_and_is_logged(ask: Asking, seen: Seen) -> None:
    ask.telenor.fault(operation="incidents", drop=True)
    assert ask.server.is_rejected(ask.resource, CANARY, ask.clock.now() + MINUTES) is False
    assert ask.server.is_rejected(ask.resource, CANARY, ask.clock.now()) is False
    assert seen.codes() == ["verify-url-out", "no-time-left"]


# The last answer


def test_the_last_answer_is_kept_until_the_next_request(ask: Asking) -> None:
    assert ask.server.last_response is None
    token = ask.token()
    response = ask.server.last_response
    assert response is not None
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert CANARY not in repr(response)
    ask.telenor.fault(operation="logout", drop=True)
    with pytest.raises(ServerUnavailableError):
        ask.logout(token.access_token)
    assert ask.server.last_response is None
