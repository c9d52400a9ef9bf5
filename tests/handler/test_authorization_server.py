"""The Telenor adapter over HTTP: what it asks for, what it makes of each answer, and when it asks again."""

from __future__ import annotations

import json
import math
import threading
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from handler import app, error_responses, operations
from handler.authorization_server import AuthorizationServer
from handler.errors import (
    InvalidClientError,
    ServerError,
    ServerRefusedError,
    ServerUnavailableError,
    TokenRejectedError,
)
from handler.model import Credentials, Token
from handler.operations import TelenorOperations
from infra.local.server import LoopbackServer
from infra.local.telenor_sandbox import ERROR_SHAPES, ApiError
from tests.conftest import CANARY, CLIENT_ID, CLIENT_SECRET, FakeClock, Seen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

    from handler.transport import Response
    from infra.local.telenor_sandbox import TelenorSandbox

CREDENTIALS = Credentials(CLIENT_ID, CLIENT_SECRET)
WRONG = Credentials(CLIENT_ID, f"{CANARY}-wrong")
CYRILLIC = Credentials("клиент", f"{CANARY}-секрет")
MINUTES = timedelta(minutes=2)


class Asking:
    """The adapter with what each call needs."""

    def __init__(self, telenor: AuthorizationServer, clock: FakeClock) -> None:
        self.telenor = telenor
        self.clock = clock
        self.unusable: list[str | None] = []

    def token(
        self, credentials: Credentials = CREDENTIALS, scope: str | None = None, within: timedelta = MINUTES
    ) -> Token:
        return self.telenor.request_token(credentials, scope, self.clock.now() + within, self.unusable.append)

    def logout(self, token: Token, *, once: bool = False, within: timedelta = MINUTES) -> None:
        self.telenor.revoke(token.access_token, self.clock.now() + within, once=once)


@pytest.fixture
def ask(telenor: TelenorSandbox, clock: FakeClock) -> Asking:
    return Asking(AuthorizationServer(TelenorOperations(telenor.url), clock, app.logger), clock)


def requests_seen(telenor: TelenorSandbox, operation: str = "token") -> int:
    return sum(request.operation == operation for request in telenor.requests)


def resource(telenor: TelenorSandbox) -> str:
    return f"{telenor.url}/service-tickets/v2/incidents"


# What is sent


def test_a_token_is_asked_for_as_the_reference_shows(telenor: TelenorSandbox, ask: Asking) -> None:
    token = ask.token()
    assert telenor.is_live(token.access_token)
    (request,) = telenor.requests
    assert request.headers["authorization"] == "Basic"
    assert request.headers["accept"] == "application/json"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.form == {"grant_type": "client_credentials"}


def test_credentials_beyond_latin_1_reach_telenor(telenor: TelenorSandbox, clock: FakeClock) -> None:
    # The canary client's id and secret have an ø and an æ; these two do not even fit into Latin-1.
    opened = AuthorizationServer(TelenorOperations(telenor.url), clock, app.logger)
    with pytest.raises(InvalidClientError, match="code 1:"):
        Asking(opened, clock).token(CYRILLIC)


def test_a_scope_is_asked_for_when_there_is_one(telenor: TelenorSandbox, ask: Asking) -> None:
    assert ask.token(scope="incidents.read").scope == "incidents.read"
    assert telenor.requests[0].form["scope"] == "incidents.read"


def test_consumers_are_told_the_scope_that_was_granted(telenor: TelenorSandbox, ask: Asking) -> None:
    telenor.fault(operation="token", body=json.dumps({"access_token": CANARY, "expires_in": 60, "scope": "less"}))
    assert ask.token(scope="much more").scope == "less"
    assert ask.token(scope=None).scope is None


def test_a_netrc_does_not_replace_the_credentials(
    telenor: TelenorSandbox, ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    token = ask.token()
    ask.logout(token)
    assert not telenor.is_live(token.access_token)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(telenor: TelenorSandbox, ask: Asking, status: int) -> None:
    telenor.fault(operation="token", status=status, headers={"Location": f"{telenor.url}/elsewhere"})
    with pytest.raises(ServerRefusedError) as refusal:
        ask.token()
    assert (refusal.value.status, refusal.value.error_code) == (status, "answer-unknown")
    assert requests_seen(telenor) == 1


# What is made of a good answer


def test_times_are_counted_from_before_the_request(telenor: TelenorSandbox, clock: FakeClock, ask: Asking) -> None:
    clock.advance(milliseconds=700)
    before = clock.now().replace(microsecond=0)
    telenor.fault(operation="token", delay_seconds=4)
    token = ask.token()
    assert (token.issued_at, token.expires_at) == (before, before + timedelta(seconds=3599))


@pytest.mark.parametrize(
    ("expires_in", "seconds"), [(3599, 3599), ("3600", 3600), (" 3600 ", 3600), (3599.9, 3599), (1, 1)]
)
def test_a_life_is_read_as_a_number_and_as_text(
    telenor: TelenorSandbox, ask: Asking, expires_in: object, seconds: int
) -> None:
    telenor.knobs(expires_in_as="raw", expires_in_raw=expires_in)
    assert ask.token().lifetime == timedelta(seconds=seconds)


@pytest.mark.parametrize("knobs", [{"expires_in_as": "missing"}, {"expires_in_as": "raw", "expires_in_raw": None}])
def test_a_missing_life_is_taken_for_a_short_one_and_said(
    telenor: TelenorSandbox, ask: Asking, seen: Seen, knobs: dict[str, Any]
) -> None:
    telenor.knobs(**knobs)
    assert ask.token().lifetime == timedelta(seconds=900)
    assert seen.codes() == ["expires-in-missing"]


@pytest.mark.parametrize(
    "expires_in", [31 * 86_400 + 1, 3_599_000, "3599000", "1000000000000", 1e12, "9" * 400, 10**400]
)
def test_a_life_above_31_days_is_taken_for_a_short_one_and_said(
    telenor: TelenorSandbox, ask: Asking, seen: Seen, expires_in: object
) -> None:
    """An hour in milliseconds, most likely."""
    telenor.knobs(expires_in_as="raw", expires_in_raw=expires_in)
    assert ask.token().lifetime == timedelta(seconds=900)
    assert (seen.codes(), ask.unusable) == (["expires-in-too-long"], [])


def test_a_life_of_31_days_is_believed(telenor: TelenorSandbox, ask: Asking) -> None:
    telenor.knobs(expires_in_as="raw", expires_in_raw=31 * 86_400)
    assert ask.token().lifetime == timedelta(days=31)


@pytest.mark.parametrize(
    "value",
    ["{0}\n", "\r\n{0}", " {0} ", "Bearer {0}", "bearer {0}\n", "BEARER  {0}", "\tBearer {0} "],
)
def test_a_token_is_used_without_what_surrounds_it(telenor: TelenorSandbox, ask: Asking, value: str) -> None:
    text = value.format(f"{CANARY}-token")
    telenor.fault(operation="token", body=json.dumps({"access_token": text, "expires_in": 3599}), times=1)
    assert ask.token().access_token == f"{CANARY}-token"
    assert requests_seen(telenor) == 1


@pytest.mark.parametrize(
    "token_type", [None, "Bearer", "bearer", "BEARER", "BearerToken", "bearertoken", "BEARERTOKEN"]
)
def test_a_bearer_token_is_taken_in_any_case(telenor: TelenorSandbox, ask: Asking, token_type: str | None) -> None:
    telenor.knobs(token_type=token_type)
    assert ask.token().token_type == "Bearer"


APIGEES_ANSWER = {
    "refresh_token_expires_in": "0",
    "api_product_list": "[stores]",
    "api_product_list_json": ["stores"],
    "organization_name": "telenor",
    "developer.email": "someone@example.com",
    "token_type": "BearerToken",
    "issued_at": "1420262924658",
    "client_id": "5jUAdGv9pBouF0wOH5keAVI35GBtx3dT",
    "access_token": f"{CANARY}-apigee",
    "application_name": "c5e2a3a5",
    "scope": "",
    "expires_in": "3599",
    "refresh_count": "0",
    "status": "approved",
}


def test_apigees_whole_answer_is_taken_for_the_token_that_it_is(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock
) -> None:
    telenor.fault(operation="token", body=json.dumps(APIGEES_ANSWER), times=1)
    now = int(clock.now().timestamp())
    assert json.loads(ask.token().document()) == {
        "access_token": f"{CANARY}-apigee",
        "token_type": "Bearer",
        "expires_in": 3599,
        "expires_at": now + 3599,
        "issued_at": now,
    }


def test_a_byte_order_mark_before_the_document_is_passed_over(telenor: TelenorSandbox, ask: Asking) -> None:
    telenor.fault(operation="token", body=f"\ufeff{json.dumps(APIGEES_ANSWER)}", times=1)
    assert ask.token().access_token == f"{CANARY}-apigee"


def test_a_refresh_token_goes_nowhere(telenor: TelenorSandbox, ask: Asking) -> None:
    telenor.knobs(refresh_token=True)
    assert "refresh" not in ask.token().document()


def test_a_token_shows_in_no_repr(ask: Asking) -> None:
    assert CANARY not in repr(ask.token()) + repr(CREDENTIALS)


# What is made of a bad one


@pytest.mark.parametrize(
    "expires_in", [0, -1, "-3600", 0.5, True, "soon", "", "nan", math.nan, [3600], {"s": 1}, "1 hour", False]
)
def test_a_life_that_is_none_is_not_believed_and_its_token_handed_over(
    telenor: TelenorSandbox, ask: Asking, expires_in: object
) -> None:
    telenor.knobs(expires_in_as="raw", expires_in_raw=expires_in)
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.token()
    assert refusal.value.error_code == "expires-in-malformed"
    assert len(ask.unusable) == requests_seen(telenor) == 5


@pytest.mark.parametrize("token_type", ["mac", "", "Bearer Token", 5, ["Bearer"]])
def test_a_token_of_another_type_is_refused_and_handed_over(
    telenor: TelenorSandbox, ask: Asking, token_type: object
) -> None:
    telenor.knobs(token_type=token_type)
    with pytest.raises(ServerRefusedError) as refusal:
        ask.token()
    assert refusal.value.error_code == "token-type-refused"
    assert [telenor.is_live(str(token)) for token in ask.unusable] == [True]
    assert requests_seen(telenor) == 1


def test_a_token_that_died_on_the_way_is_not_taken(telenor: TelenorSandbox, ask: Asking) -> None:
    telenor.knobs(lifetime_seconds=3)
    telenor.fault(operation="token", delay_seconds=3, when="after")
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.token()
    assert refusal.value.error_code == "token-late"


UNREADABLE = {
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


@pytest.mark.parametrize("fault", UNREADABLE.values(), ids=UNREADABLE)
def test_a_200_that_cannot_be_read_is_tried_again(telenor: TelenorSandbox, ask: Asking, fault: dict[str, Any]) -> None:
    telenor.fault(operation="token", times=2, **fault)
    assert telenor.is_live(ask.token().access_token)
    assert requests_seen(telenor) == 3
    # It may have issued a token that nobody knows.
    assert ask.unusable == [None, None]


@pytest.mark.parametrize("fault", [{"html": True}, {"body": '{"error": "denied"}'}, {"body": '{"code": 2}'}], ids=str)
def test_a_page_or_an_unknown_error_under_200_has_issued_no_token_and_is_tried_again(
    telenor: TelenorSandbox, ask: Asking, fault: dict[str, Any]
) -> None:
    telenor.fault(operation="token", times=2, **fault)
    assert telenor.is_live(ask.token().access_token)
    assert (requests_seen(telenor), ask.unusable) == (3, [])


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
        ('<html>{"access_token": "CANARY-1"}</html>', ["CANARY-1"]),
        ('{"access_token": "CANARY-1", "expires_in": ' + "9" * 5000 + "}", ["CANARY-1"]),
    ],
)
def test_a_token_in_an_answer_of_another_shape_is_handed_over_to_be_revoked(
    telenor: TelenorSandbox, ask: Asking, body: str, tokens: list[str]
) -> None:
    telenor.fault(operation="token", body=body)
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.token()
    assert refusal.value.error_code == "answer-unreadable"
    assert ask.unusable == tokens * 5


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ('{"error": "invalid_client"}', InvalidClientError, "credentials-refused"),
        ('{"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"}', InvalidClientError, "credentials-refused"),
        ('{"code": 22}', InvalidClientError, "credentials-refused"),
        ('{"code": 40108}', InvalidClientError, "credentials-refused"),
        (
            '{"fault": {"detail": {"errorcode": "steps.oauth.v2.InvalidClientIdentifier"}}}',
            InvalidClientError,
            "credentials-refused",
        ),
        ('{"code": 5}', ServerRefusedError, "app-not-approved"),
        ('{"error": "invalid_scope"}', ServerRefusedError, "scope-refused"),
        ('{"code": 42901}', ServerUnavailableError, "rate-quota"),
    ],
)
def test_a_200_that_says_an_error_has_its_meaning_and_is_asked_once(
    telenor: TelenorSandbox, ask: Asking, body: str, kind: type[ServerError], code: str
) -> None:
    telenor.fault(operation="token", body=body)
    with pytest.raises(kind) as refusal:
        ask.token()
    assert (type(refusal.value), refusal.value.error_code, refusal.value.status) == (kind, code, 200)
    assert (requests_seen(telenor), ask.unusable) == (1, [])


def test_a_passing_error_under_200_is_tried_again(telenor: TelenorSandbox, ask: Asking) -> None:
    telenor.fault(operation="token", body='{"error": "server_error"}', times=4)
    assert telenor.is_live(ask.token().access_token)
    assert (requests_seen(telenor), ask.unusable) == (5, [])


@pytest.mark.parametrize(
    "fault",
    [{"drop": True}, {"drop": True, "when": "after"}]
    + [{"status": status} for status in (408, 421, 425, 429, 499, 500, 502, 503, 504, 509, 520, 530, 598)]
    + [{"status": 500, "body": '{"code": 2}'}, {"status": 500, "body": '{"code": 500}'}],
    ids=str,
)
def test_a_passing_fault_is_tried_again_up_to_five_times(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock, fault: dict[str, Any]
) -> None:
    telenor.fault(operation="token", times=4, **fault)
    ask.token()
    telenor.fault(operation="token", times=5, **fault)
    with pytest.raises(ServerUnavailableError):
        ask.token()
    assert requests_seen(telenor) == 10
    assert len(clock.slept) == 8


def test_waits_grow_and_are_drawn_by_chance(telenor: TelenorSandbox, ask: Asking, clock: FakeClock) -> None:
    telenor.fault(operation="token", status=503)
    for _ in range(20):
        with pytest.raises(ServerUnavailableError):
            ask.token()
    by_attempt = [clock.slept[attempt::4] for attempt in range(4)]
    for waits, longest in zip(by_attempt, (1, 2, 4, 8), strict=True):
        assert all(0 <= wait <= longest for wait in waits)
        assert len(set(waits)) > 1


@pytest.mark.parametrize("error", [error for error in ApiError if error is not ApiError.ACCESS_TOKEN])
def test_every_documented_error_has_its_own_line(telenor: TelenorSandbox, ask: Asking, error: ApiError) -> None:
    telenor.fault(operation="token", status=error.status, body=json.dumps(ERROR_SHAPES["code"](error)))
    with pytest.raises(ServerError) as refusal:
        ask.token()
    assert f"{error.status} code {error.code}: " in str(refusal.value)
    is_passing = error is ApiError.INTERNAL
    assert isinstance(refusal.value, ServerUnavailableError if is_passing else ServerRefusedError)
    assert requests_seen(telenor) == (5 if is_passing else 1)


OAUTHS_INVALID_CLIENT = '{"error": "invalid_client"}'
APIGEES_INVALID_CLIENT = '{"ErrorCode": "invalid_client", "Error": "ClientId is Invalid"}'
APIGEES_UNKNOWN_CLIENT = '{"fault": {"faultstring": "", "detail": {"errorcode": "oauth.v2.InvalidClientIdentifier"}}}'


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((401, f'{{"code": {code}}}') for code in (1, 9, 22, 40108)),
        (400, OAUTHS_INVALID_CLIENT),
        (401, OAUTHS_INVALID_CLIENT),
        (401, APIGEES_INVALID_CLIENT),
        (401, APIGEES_UNKNOWN_CLIENT),
        (500, APIGEES_UNKNOWN_CLIENT),
        (500, APIGEES_UNKNOWN_CLIENT.replace("oauth.v2", "steps.oauth.v2")),
        (503, OAUTHS_INVALID_CLIENT),
    ],
)
def test_a_client_is_refused_by_each_dialects_words_for_it(
    telenor: TelenorSandbox, ask: Asking, status: int, body: str
) -> None:
    telenor.fault(operation="token", status=status, body=body)
    with pytest.raises(InvalidClientError) as refusal:
        ask.token()
    assert refusal.value.error_code == "credentials-refused"
    assert requests_seen(telenor) == 1


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, '{"code": 5}', "app-not-approved"),
        (401, '{"code": 6}', "authorization-missing"),
        (401, '{"code": 21}', "grant-not-allowed"),
        (401, '{"code": 40107}', "basic-not-allowed"),
        (401, '{"code": 401}', "answer-unknown"),
        (401, "", "answer-unknown"),
        (403, '{"code": 22}', "answer-unknown"),
        (403, '{"fault": {"detail": {"errorcode": "accesscontrol.IPDeniedAccess"}}}', "address-not-allowed"),
    ],
)
def test_what_another_pair_would_not_cure_does_not_refuse_the_client(
    telenor: TelenorSandbox, ask: Asking, status: int, body: str, code: str
) -> None:
    telenor.fault(operation="token", status=status, body=body)
    with pytest.raises(ServerRefusedError) as refusal:
        ask.token()
    assert (type(refusal.value), refusal.value.error_code) == (ServerRefusedError, code)
    assert requests_seen(telenor) == 1


QUOTA = '{"code": 42901}'
APIGEES_QUOTA = '{"fault": {"detail": {"errorcode": "policies.ratelimit.QuotaViolation"}}}'


@pytest.mark.parametrize("body", [QUOTA, APIGEES_QUOTA])
def test_a_quota_is_not_asked_again(telenor: TelenorSandbox, ask: Asking, clock: FakeClock, body: str) -> None:
    telenor.fault(operation="token", status=429, body=body)
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.token()
    assert refusal.value.error_code == "rate-quota"
    assert (requests_seen(telenor), clock.slept) == (1, [])


def test_a_quota_is_asked_again_when_telenor_says_so(telenor: TelenorSandbox, ask: Asking, clock: FakeClock) -> None:
    telenor.fault(operation="token", status=429, body=QUOTA, retry_after=20, times=1)
    ask.token()
    assert clock.slept == [20]


@pytest.mark.parametrize("body", ['{"code": 42902}', "", '{"code": 429}'])
def test_a_spike_is_asked_again(telenor: TelenorSandbox, ask: Asking, seen: Seen, body: str) -> None:
    telenor.fault(operation="token", status=429, body=body, times=1)
    ask.token()
    assert requests_seen(telenor) == 2
    assert seen.codes() == ["retry"]


EARNED = [
    pytest.param("nobody", None, ApiError.CLIENT_ID, id="an unknown client"),
    pytest.param("demo-client", "not.granted", ApiError.SCOPE, id="a scope that is not granted"),
]


@pytest.mark.parametrize(("client_id", "scope", "error"), EARNED)
def test_what_this_job_can_earn_itself_is_told(ask: Asking, client_id: str, scope: str | None, error: ApiError) -> None:
    with pytest.raises(ServerError, match=f"{error.status} code {error.code}: "):
        ask.token(Credentials(client_id, CLIENT_SECRET), scope)


def test_a_wrong_secret_is_told_with_where_the_right_one_is(ask: Asking) -> None:
    with pytest.raises(InvalidClientError, match="dashboard"):
        ask.token(WRONG)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 418, 501, 505])
def test_what_no_dialect_says_is_not_tried_again(telenor: TelenorSandbox, ask: Asking, status: int) -> None:
    telenor.fault(operation="token", status=status, body=f'{{"echo": "{CANARY}"}}')
    with pytest.raises(ServerRefusedError) as refusal:
        ask.token()
    assert (refusal.value.status, refusal.value.error_code) == (status, "answer-unknown")
    assert requests_seen(telenor) == 1


# The deadline


@pytest.mark.parametrize("retry_after", [30, "30"])
def test_retry_after_is_waited_for(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock, retry_after: int | str
) -> None:
    telenor.fault(operation="token", status=429, retry_after=retry_after, times=1)
    ask.token()
    assert clock.slept == [30]


def test_retry_after_of_an_answer_that_cannot_be_read_is_waited_for(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock
) -> None:
    telenor.fault(operation="token", status=200, body="<html>back soon</html>", retry_after=9, times=1)
    assert ask.token()
    assert clock.slept == [9]


def test_retry_after_may_be_a_date(telenor: TelenorSandbox, ask: Asking, clock: FakeClock) -> None:
    date = format_datetime(clock.now() + timedelta(seconds=45), usegmt=True)
    telenor.fault(operation="token", status=503, retry_after=date, times=1)
    ask.token()
    assert clock.slept == [45]


@pytest.mark.parametrize(
    "retry_after",
    [
        "soon",
        "-5",
        "1.5",
        "Mon, 23 Nov 2020 21:30:00 GMT",
        "Mon, 99 X",
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
    ],
)
def test_a_retry_after_that_says_nothing_is_passed_over(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock, retry_after: str
) -> None:
    telenor.fault(operation="token", status=503, retry_after=retry_after, times=1)
    ask.token()
    assert len(clock.slept) == 1
    assert clock.slept[0] <= 1


def test_a_retry_after_beyond_the_deadline_ends_the_attempt_at_once(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock
) -> None:
    telenor.fault(operation="token", status=429, retry_after=121)
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.token()
    assert refusal.value.status == 429
    assert requests_seen(telenor) == 1
    assert clock.slept == []


@pytest.mark.parametrize(
    "retry_after", ["Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -1200", "999999999", "9" * 21]
)
def test_a_retry_after_beyond_all_time_ends_the_attempt_at_once(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock, retry_after: str
) -> None:
    telenor.fault(operation="token", status=503, retry_after=retry_after)
    with pytest.raises(ServerUnavailableError):
        ask.token()
    assert clock.slept == []


def test_no_attempt_begins_after_the_deadline(telenor: TelenorSandbox, ask: Asking, clock: FakeClock) -> None:
    deadline = clock.now() + timedelta(seconds=10)
    telenor.fault(operation="token", status=503, delay_seconds=4)
    with pytest.raises(ServerUnavailableError):
        ask.token(within=timedelta(seconds=10))
    assert requests_seen(telenor) < 5
    assert clock.now() < deadline + timedelta(seconds=4)


@pytest.mark.parametrize(("seconds", "requests"), [(0, 0), (0.25, 0), (1.9, 0), (2, 1)])
def test_no_token_is_asked_for_with_less_than_two_seconds_left(
    telenor: TelenorSandbox, ask: Asking, seconds: float, requests: int
) -> None:
    telenor.fault(operation="token", status=503)
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.token(within=timedelta(seconds=seconds))
    assert refusal.value.error_code == ("token-endpoint-out" if requests else "no-time-left")
    assert (requests_seen(telenor), ask.telenor.token_attempts) == (requests, requests)


def test_no_attempt_waits_for_an_answer_beyond_the_deadline(
    telenor: TelenorSandbox, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    monkeypatch.setattr(telenor, "_sleep", lambda _seconds: held.wait(10))
    telenor.fault(operation="logout", delay_seconds=60)
    with pytest.raises(ServerUnavailableError) as refusal:
        ask.telenor.revoke(CANARY, ask.clock.now() + timedelta(milliseconds=200), once=True)
    assert refusal.value.error_code == "logout-endpoint-out"
    held.set()


def answering(status: str, body: bytes, *headers: tuple[str, str]) -> LoopbackServer:
    """Serve one answer to everything, with headers that the sandbox would not send."""

    def app_(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response(status, list(headers))
        yield body

    return LoopbackServer(app_)


def test_a_status_counts_although_its_body_breaks_off(clock: FakeClock) -> None:
    cut = answering("401 Unauthorized", b'{"code": 22}', ("Content-Length", "500"))
    with cut as server:
        opened = AuthorizationServer(TelenorOperations(server.url), clock, app.logger)
        with pytest.raises(InvalidClientError):
            Asking(opened, clock).token()
        assert opened.token_attempts == 1
        with pytest.raises(TokenRejectedError):
            opened.verify(server.url, CANARY, clock.now() + MINUTES)


@pytest.mark.parametrize("location", ["http://[", "\xff\xfe", "https://api..telenor.no/", "/" * 5000])
def test_where_a_redirect_leads_is_not_even_read(clock: FakeClock, location: str) -> None:
    redirect = answering("302 Found", b"", ("Location", location), ("Content-Length", "0"))
    with redirect as server:
        opened = AuthorizationServer(TelenorOperations(server.url), clock, app.logger)
        ask = Asking(opened, clock)
        with pytest.raises(ServerRefusedError) as refusal:
            ask.token()
        assert refusal.value.status == 302
        with pytest.raises(ServerRefusedError) as refusal:
            opened.revoke(CANARY, clock.now() + MINUTES)
        assert refusal.value.status == 302


@pytest.mark.parametrize("url", ["https://api..telenor.no/x", f"https://{'x' * 64}.no", "https://a b/"])
def test_a_url_that_no_request_can_be_sent_to_is_no_defect(ask: Asking, url: str) -> None:
    with pytest.raises(ServerUnavailableError, match="no answer"):
        ask.telenor.verify(url, CANARY, ask.clock.now() + timedelta(milliseconds=200))


def test_nobody_at_home_is_told_by_the_kind_of_error(clock: FakeClock) -> None:
    opened = AuthorizationServer(TelenorOperations("http://127.0.0.1:1"), clock, app.logger)
    with pytest.raises(ServerUnavailableError, match="ConnectionRefusedError") as refusal:
        Asking(opened, clock).token()
    assert refusal.value.error_code == "token-endpoint-out"
    assert opened.token_attempts == 5


def test_a_proxys_password_is_not_told(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{CANARY}@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    opened = AuthorizationServer(TelenorOperations("http://telenor.invalid"), clock, app.logger)
    with pytest.raises(ServerUnavailableError, match="ProxyError"):
        Asking(opened, clock).token()


# Logout


def test_logout_ends_that_token_alone(telenor: TelenorSandbox, ask: Asking) -> None:
    ended, kept = ask.token(), ask.token()
    ask.logout(ended)
    assert (telenor.is_live(ended.access_token), telenor.is_live(kept.access_token)) == (False, True)


def test_a_token_that_is_dead_already_is_as_good_as_revoked(telenor: TelenorSandbox, ask: Asking) -> None:
    token = ask.token()
    ask.logout(token)
    ask.logout(token)
    assert telenor.state()["counters"]["logout"] == {"200": 1, "401": 1}


def apigees(name: str) -> str:
    return json.dumps({"fault": {"faultstring": "in words", "detail": {"errorcode": name}}})


CHALLENGE = {"WWW-Authenticate": 'Bearer realm="null",error="invalid_token",error_description="in words"'}


@pytest.mark.parametrize(
    "fault",
    [
        {"body": '{"code": 2}'},
        {"body": '{"code": 40105}'},
        {"body": '{"code": 40106}'},
        {"body": apigees("keymanagement.service.invalid_access_token")},
        {"body": apigees("keymanagement.service.access_token_expired")},
        {"body": apigees("oauth.v2.InvalidAccessToken"), "headers": CHALLENGE},
        {"body": apigees("steps.oauth.v2.invalid_access_token"), "headers": CHALLENGE},
        {"body": '{"error": "invalid_token"}'},
        {"body": "", "headers": CHALLENGE},
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [401, 404])
def test_a_token_that_telenor_says_is_dead_is_as_good_as_revoked(
    telenor: TelenorSandbox, ask: Asking, status: int, fault: dict[str, Any]
) -> None:
    telenor.fault(operation="logout", status=status, **fault)
    assert ask.telenor.revoke(CANARY, ask.clock.now() + MINUTES) is False
    assert requests_seen(telenor, "logout") == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"status": 401}, "answer-unknown"),
        ({"status": 401, "body": '{"code": 3}'}, "answer-unknown"),
        ({"status": 401, "body": '{"code": 401}'}, "answer-unknown"),
        ({"status": 401, "html": True}, "answer-unknown"),
        ({"status": 401, "body": '{"code": 6}'}, "authorization-missing"),
        ({"status": 401, "body": '{"code": 40102}'}, "authorization-missing"),
        ({"status": 401, "body": apigees("oauth.v2.FailedToResolveAPIKey")}, "authorization-missing"),
        ({"status": 401, "body": '{"code": 40103}'}, "api-product-missing"),
        (
            {
                "status": 401,
                "body": apigees("keymanagement.service.InvalidAPICallAsNoApiProductMatchFound"),
                "headers": CHALLENGE,
            },
            "api-product-missing",
        ),
        ({"status": 401, "body": '{"code": 40101}'}, "resource-unknown"),
        ({"status": 403, "body": '{"code": 2}'}, "answer-unknown"),
        ({"status": 404}, "answer-unknown"),
        ({"status": 302}, "answer-unknown"),
        ({"status": 204}, "answer-unknown"),
        ({"status": 400, "body": '{"error": "invalid_request"}'}, "request-malformed"),
        ({"status": 403, "body": '{"error": "invalid_token"}'}, "token-dead"),
        ({"status": 200, "html": True}, "answer-unknown"),
        ({"status": 200, "body": "<form action=login>"}, "answer-unknown"),
        ({"status": 200, "body": '{"code": 6}'}, "authorization-missing"),
        ({"status": 200, "body": '{"code": 2}'}, "answer-unknown"),
        ({"status": 200, "body": '{"error": "denied"}'}, "answer-unknown"),
        ({"status": 200, "body": apigees("steps.jwt.something_new")}, "answer-unknown"),
        ({"status": 200, "body": apigees("oauth.v2.FailedToResolveAPIKey")}, "authorization-missing"),
        ({"status": 200, "body": '{"error": "invalid_token"}'}, "token-dead"),
    ],
    ids=str,
)
def test_an_answer_that_does_not_say_so_leaves_the_token_alive_for_all_one_knows(
    telenor: TelenorSandbox, ask: Asking, fault: dict[str, Any], code: str
) -> None:
    telenor.fault(operation="logout", **fault)
    with pytest.raises(ServerRefusedError) as refusal:
        ask.telenor.revoke(CANARY, ask.clock.now() + MINUTES)
    assert refusal.value.error_code == code
    assert requests_seen(telenor, "logout") == 1


@pytest.mark.parametrize(
    "fault",
    [{"drop": True}, {"status": 500, "body": '{"code": 2}'}]
    + [{"status": status} for status in (429, 500, 502, 503, 504)],
    ids=str,
)
def test_a_passing_fault_of_logout_is_tried_again(telenor: TelenorSandbox, ask: Asking, fault: dict[str, Any]) -> None:
    token = ask.token()
    telenor.fault(operation="logout", times=4, **fault)
    ask.logout(token)
    assert not telenor.is_live(token.access_token)
    telenor.fault(operation="logout", times=5, **fault)
    with pytest.raises(ServerUnavailableError):
        ask.logout(token)
    assert requests_seen(telenor, "logout") == 10


@pytest.mark.parametrize("body", ["OK!", "", "{}", '{"code": 200}', "null", "revoked"])
def test_a_logout_that_succeeds_in_any_words_is_revoked(telenor: TelenorSandbox, ask: Asking, body: str) -> None:
    telenor.fault(operation="logout", status=200, body=body, content_type="text/html")
    assert ask.telenor.revoke(CANARY, ask.clock.now() + MINUTES) is True


def test_a_logout_that_says_200_and_server_error_is_tried_again(telenor: TelenorSandbox, ask: Asking) -> None:
    token = ask.token()
    telenor.fault(operation="logout", status=200, body='{"error": "server_error"}', times=2)
    ask.logout(token)
    assert not telenor.is_live(token.access_token)
    telenor.fault(operation="logout", status=200, body='{"error": "server_error"}')
    with pytest.raises(ServerUnavailableError) as failure:
        ask.logout(token)
    assert failure.value.error_code == "telenor-internal"


@pytest.mark.parametrize(
    ("operation", "fault"),
    [("logout", {"status": 401}), ("logout", {"status": 200}), ("token", {"status": 400}), ("token", {"body": "x"})],
)
def test_a_response_is_parsed_once(
    telenor: TelenorSandbox,
    ask: Asking,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    fault: dict[str, Any],
) -> None:
    parse, parsed_responses = error_responses.parse_error, []

    def count(answer: Response) -> error_responses.ParsedError:
        parsed_responses.append(answer)
        return parse(answer)

    monkeypatch.setattr(operations, "parse_error", count)
    telenor.fault(operation=operation, **fault)
    with suppress(ServerError):
        ask.token() if operation == "token" else ask.telenor.revoke(CANARY, ask.clock.now() + MINUTES)
    assert len(parsed_responses) == requests_seen(telenor, operation)


def test_a_hurried_logout_is_tried_once(telenor: TelenorSandbox, ask: Asking) -> None:
    token = ask.token()
    telenor.fault(operation="logout", status=503)
    with pytest.raises(ServerUnavailableError):
        ask.logout(token, once=True)
    assert requests_seen(telenor, "logout") == 1


def test_a_logout_that_telenor_asks_to_put_off_beyond_the_deadline_is_put_off(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock
) -> None:
    token = ask.token()
    telenor.fault(operation="logout", status=503, retry_after=500)
    with pytest.raises(ServerUnavailableError):
        ask.logout(token)
    assert clock.slept == []


# Verification


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_consumers_could_not_use_is_found_out(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock, status: int
) -> None:
    telenor.fault(operation="incidents", status=status)
    with pytest.raises(TokenRejectedError) as refusal:
        ask.telenor.verify(resource(telenor), CANARY, clock.now() + MINUTES)
    assert (refusal.value.status, refusal.value.error_code) == (status, "token-not-accepted")
    assert 5 <= sum(clock.slept) <= 8
    assert clock.slept == sorted(clock.slept)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_gateway_that_learns_of_a_token_late_is_asked_again(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock, times: int
) -> None:
    telenor.fault(operation="incidents", status=401, times=times)
    assert ask.telenor.verify(resource(telenor), ask.token().access_token, clock.now() + MINUTES) is True
    assert requests_seen(telenor, "incidents") == times + 1


def test_a_refusal_stands_where_nobody_answers_after_it(telenor: TelenorSandbox, ask: Asking, clock: FakeClock) -> None:
    telenor.fault(operation="incidents", status=401, times=1)
    telenor.fault(operation="incidents", drop=True)
    with pytest.raises(TokenRejectedError) as refusal:
        ask.telenor.verify(resource(telenor), CANARY, clock.now() + MINUTES)
    assert refusal.value.status == 401


def test_a_slow_gateway_is_asked_again_by_the_clock(telenor: TelenorSandbox, ask: Asking, clock: FakeClock) -> None:
    telenor.fault(operation="incidents", status=401, delay_seconds=4)
    began_at = clock.now()
    with pytest.raises(TokenRejectedError):
        ask.telenor.verify(resource(telenor), CANARY, began_at + MINUTES)
    assert requests_seen(telenor, "incidents") == 2
    assert clock.now() - began_at < timedelta(seconds=12)


def test_a_refusal_is_not_asked_again_beyond_the_deadline(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock
) -> None:
    telenor.fault(operation="incidents", status=401)
    deadline = clock.now() + timedelta(seconds=2)
    with pytest.raises(TokenRejectedError):
        ask.telenor.verify(resource(telenor), CANARY, deadline)
    assert clock.now() < deadline


@pytest.mark.parametrize(
    ("status", "is_rejected"), [(401, True), (403, True), (200, False), (404, False), (503, False)]
)
def test_a_published_token_is_refused_by_401_and_403_alone(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock, status: int, *, is_rejected: bool
) -> None:
    telenor.fault(operation="incidents", status=status)
    assert ask.telenor.is_rejected(resource(telenor), CANARY, clock.now() + MINUTES) is is_rejected
    assert (requests_seen(telenor, "incidents"), clock.slept) == (1, [])


def test_no_answer_says_nothing_about_a_published_token_and_is_logged(
    telenor: TelenorSandbox, ask: Asking, clock: FakeClock, seen: Seen
) -> None:
    telenor.fault(operation="incidents", drop=True)
    assert ask.telenor.is_rejected(resource(telenor), CANARY, clock.now() + MINUTES) is False
    assert ask.telenor.is_rejected(resource(telenor), CANARY, clock.now()) is False
    assert seen.codes() == ["verify-url-out", "no-time-left"]


@pytest.mark.parametrize("status", [200, 204, 302, 404, 500])
def test_any_other_answer_is_no_reason_to_hold_a_token_back(telenor: TelenorSandbox, ask: Asking, status: int) -> None:
    token = ask.token()
    telenor.fault(operation="incidents", status=status)
    ask.telenor.verify(resource(telenor), token.access_token, ask.clock.now() + MINUTES)
    assert requests_seen(telenor, "incidents") == 1


@pytest.mark.parametrize(("status", "is_clear"), [(200, True), (404, True), (429, False), (500, False), (503, False)])
def test_an_answer_says_something_about_a_token_unless_it_is_a_passing_fault(
    telenor: TelenorSandbox, ask: Asking, status: int, is_clear: bool
) -> None:
    telenor.fault(operation="incidents", status=status)
    url = resource(telenor)
    assert ask.telenor.verify(url, CANARY, ask.clock.now() + MINUTES) is is_clear


def test_a_logout_tells_whether_the_token_was_alive(ask: Asking) -> None:
    token = ask.token()
    deadline = ask.clock.now() + MINUTES
    assert [ask.telenor.revoke(token.access_token, deadline) for _ in range(2)] == [True, False]


# The last answer


def test_the_last_answer_is_kept_until_the_next_request(telenor: TelenorSandbox, ask: Asking) -> None:
    assert ask.telenor.last_response is None
    token = ask.token()
    response = ask.telenor.last_response
    assert response is not None
    assert (response.status, response.headers["content-type"]) == (
        200,
        "application/json",
    )
    assert CANARY not in repr(ask.telenor.last_response)
    telenor.fault(operation="logout", drop=True)
    with pytest.raises(ServerUnavailableError):
        ask.logout(token)
    assert ask.telenor.last_response is None
