"""The Telenor sandbox answers as the API reference says, in each error format, and fails in each way a test asks for.

What is expected here is written from the documents: the API reference, the gateway's list of codes, Apigee's responses
as they are documented and recorded, RFC 6749 and RFC 6750.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from email.utils import parsedate_to_datetime
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from infra.local.telenor_sandbox import (
    DEMO_CLIENT_ID,
    DEMO_CLIENT_SECRET,
    HTML_PAGE,
    OPERATIONS,
    Client,
    ErrorKind,
    TelenorSandbox,
    short_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = 1_800_000_000.25  # epoch seconds, with a fraction as real clocks have
LIFETIME = 3599  # seconds, the reference's example
MESSAGE = "Basic Authentication failed, bad username or password."  # the reference's words for code 22


class Visitor:
    """A client of the API, over real HTTP, and a clock that stands still until a test moves it."""

    def __init__(self, http: requests.Session, **arguments: Any) -> None:
        self.now = START
        self.delays: list[float] = []
        self.sandbox = TelenorSandbox(clock=lambda: self.now, sleep=self.delays.append, **arguments)
        self._http = http

    def ask(
        self, client_id: str | bytes = DEMO_CLIENT_ID, secret: str | bytes = DEMO_CLIENT_SECRET, **form: str
    ) -> requests.Response:
        return self.call("token", (client_id, secret), **{"grant_type": "client_credentials", **form})

    def call(self, operation: str, authorization: object = None, **form: str) -> requests.Response:
        method, path = OPERATIONS[operation]
        headers = {"Authorization": authorization} if isinstance(authorization, str) else {}
        auth = authorization if isinstance(authorization, tuple) else None
        return self._http.request(
            method, self.sandbox.url + path, headers=headers, auth=auth, data=form or None, timeout=5
        )

    def token(self, client_id: str = DEMO_CLIENT_ID, **form: str) -> str:
        return str(self.ask(client_id, **form).json()["access_token"])

    def logout(self, token: str) -> requests.Response:
        return self.call("logout", f"Bearer {token}")

    def incidents(self, token: str) -> int:
        return self.call("incidents", f"Bearer {token}").status_code

    def control(self, method: str, name: str, body: object = None) -> requests.Response:
        """Send JSON that calls itself a form, as curl -d does."""
        return self._http.request(
            method,
            f"{self.sandbox.url}/_sandbox/{name}",
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=5,
        )

    def revoked(self) -> str:
        token = self.token()
        assert self.logout(token).ok
        return token

    def expired(self) -> str:
        token = self.token()
        self.now += LIFETIME
        return token


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # neither a proxy nor a .netrc of this machine
        yield session


@pytest.fixture
def visitor(http: requests.Session) -> Iterator[Visitor]:
    visitor = Visitor(http)
    with visitor.sandbox:
        yield visitor


# Refusals


@pytest.mark.parametrize(
    ("status", "code", "request_of"),
    [
        (400, 2, lambda v: v.ask(grant_type="")),
        (400, 2, lambda v: v.ask(grant_type="implicit")),
        (401, 21, lambda v: v.ask(grant_type="password")),
        (401, 1, lambda v: v.ask("nobody")),
        (401, 22, lambda v: v.ask(secret="wrong")),
        (401, 6, lambda v: v.call("token")),
        (401, 6, lambda v: v.call("token", "Basic ***")),
        (401, 6, lambda v: v.call("token", "Bearer x")),
        (403, 8, lambda v: v.ask(scope="incidents.read admin")),
        (401, 2, lambda v: v.logout("made-up")),
        (401, 2, lambda v: v.logout(v.expired())),
        (401, 2, lambda v: v.logout(v.revoked())),
        (401, 6, lambda v: v.call("logout")),
        (401, 6, lambda v: v.call("logout", "Bearer ")),
        (401, 2, lambda v: v.call("incidents", f"Bearer {v.revoked()}")),
        (401, 2, lambda v: v.call("incidents", f"Bearer {v.expired()}")),
        (401, 6, lambda v: v.call("incidents")),
    ],
)
def test_a_request_is_refused_as_the_reference_says(
    visitor: Visitor, status: int, code: int, request_of: Callable[[Visitor], requests.Response]
) -> None:
    response = request_of(visitor)
    assert (response.status_code, response.json()["code"]) == (status, code)


FORMATS = ("reference", "gateway", "apigee", "rfc6749")
BAD_CLIENT = (401, 'invalid_client, Basic realm="telenor"')


def bearer(text: str, error: str = "invalid_token") -> str:
    return f'Bearer realm="telenor", error="{error}", error_description="{text}"'


# The status, and the code, the word or the challenge, in each of the formats.
REFUSALS: dict[str, tuple[tuple[int, object], ...]] = {
    "grant-type": ((400, 2), (400, 2), (500, "oauth.v2.UnSupportedGrantType"), (400, "unsupported_grant_type")),
    "client-header": ((401, 6), (401, 40102), (400, "invalid_request"), BAD_CLIENT),
    "client-id": ((401, 1), (401, 40108), (500, "oauth.v2.InvalidClientIdentifier"), BAD_CLIENT),
    "credentials": ((401, 22), (401, 40108), (500, "oauth.v2.InvalidClientIdentifier"), BAD_CLIENT),
    "client-data": ((401, 9), (401, 9), (401, 9), BAD_CLIENT),
    "not-approved": (
        *((401, 5), (401, 5)),
        *((401, "keymanagement.service.invalid_client-app_not_approved"), (400, "unauthorized_client")),
    ),
    "app-attributes": ((500, 16), (500, 16), (500, 16), (500, "server_error")),
    "basic-not-allowed": ((401, 40107), (401, 40107), (401, 40107), (400, "unauthorized_client")),
    "scope": ((403, 8), (403, 40301), (403, "oauth.v2.InsufficientScope"), (400, "invalid_scope")),
    "bearer-header": ((401, 6), (401, 40102), (401, "oauth.v2.InvalidAccessToken"), (401, 'Bearer realm="telenor"')),
    "token-invalid": (
        *((401, 2), (401, 40105), (401, "keymanagement.service.invalid_access_token")),
        (401, bearer("The access token is invalid")),
    ),
    "token-expired": (
        *((401, 2), (401, 40106), (401, "keymanagement.service.access_token_expired")),
        (401, bearer("The access token expired")),
    ),
    "product": (
        *((401, 40103), (401, 40103)),
        (401, "keymanagement.service.InvalidAPICallAsNoApiProductMatchFound"),
        (403, bearer("The token does not cover this API", "insufficient_scope")),
    ),
    "not-found": ((404, 40401), (404, 40401), (404, "messaging.adaptors.http.flow.ApplicationNotFound"), (404, "")),
    "quota": ((429, 42901), (429, 42901), (429, "policies.ratelimit.QuotaViolation"), (429, "")),
    "spike-arrest": ((429, 42902), (429, 42902), (429, "policies.ratelimit.SpikeArrestViolation"), (429, "")),
    "internal": (
        *((500, 2), (500, 50001)),
        *((503, "messaging.adaptors.http.flow.ServiceUnavailable"), (500, "server_error")),
    ),
}


def parsed(response: requests.Response) -> tuple[int, object]:
    """Return the status and everything in the response that says why."""
    document: dict[str, Any] = json.loads(response.text) if response.text else {}
    fault = document.get("fault", {}).get("detail", {}).get("errorcode")
    words = [document.get("code"), fault, document.get("ErrorCode"), document.get("error")]
    words.append(response.headers.get("WWW-Authenticate"))
    found = [word for word in words if word is not None]
    return response.status_code, found[0] if len(found) == 1 else ", ".join(map(str, found))


@pytest.mark.parametrize("error_format", FORMATS)
def test_each_kind_of_error_has_its_code_in_each_format(visitor: Visitor, error_format: str) -> None:
    visitor.sandbox.knobs(error_format=error_format, variations=False)
    seen = {}
    for kind in ErrorKind:
        visitor.sandbox.fault(operation="token", kind=kind.value, times=1)
        seen[kind.value] = parsed(visitor.ask())
    assert {kind: seen[kind] for kind in REFUSALS} == {
        kind: row[FORMATS.index(error_format)] for kind, row in REFUSALS.items()
    }
    assert all(status >= 400 for status, _ in seen.values())
    assert visitor.sandbox.state()["tokens"] == {}


def test_apigee_has_another_shape_for_token_requests(visitor: Visitor) -> None:
    visitor.sandbox.knobs(error_format="apigee", apigee_shape="ErrorCode")
    assert parsed(visitor.ask("nobody")) == (401, "invalid_client")
    assert parsed(visitor.logout("made-up")) == (401, "keymanagement.service.invalid_access_token")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("code", {"code": 22, "message": MESSAGE}),
        ("errorCode", {"errorCode": 22, "errorMessage": MESSAGE}),
        ("error_code", {"error_code": 22, "error_description": MESSAGE}),
        ("error", {"error": {"code": "22", "message": MESSAGE}}),
        ("fault", {"fault": {"faultstring": MESSAGE, "detail": {"errorcode": "22"}}}),
        ("text", f"Error code 22 - {MESSAGE}"),
        ("none", {"message": MESSAGE}),
    ],
)
def test_an_error_has_the_chosen_shape(visitor: Visitor, shape: str, expected: object) -> None:
    visitor.sandbox.knobs(error_shape=shape, variations=False)
    response = visitor.ask(secret="wrong")
    assert (response.text if shape == "text" else response.json()) == expected


# Tokens


def test_a_token_is_accepted_until_it_expires_or_is_revoked(visitor: Visitor) -> None:
    first, second = visitor.token(), visitor.token()
    assert visitor.logout(first).text == "OK!"
    assert [visitor.incidents(token) for token in (first, second)] == [401, 200]
    visitor.now += LIFETIME - 0.5
    assert visitor.incidents(second) == 200
    visitor.now += 0.5
    assert visitor.incidents(second) == 401
    tokens = visitor.sandbox.state()["tokens"]
    assert tokens[short_id(first)] == {
        "client_id": DEMO_CLIENT_ID,
        "scope": "incidents.read incidents.write",
        "issued_at": START,
        "expires_at": START + LIFETIME,
        "ended_at": START,
        "status": "revoked",
    }
    assert tokens[short_id(second)]["status"] == "expired"
    assert visitor.sandbox.state()["protected"] == {"accepted": 2, "refused": 2}


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({}, {"expires_in": LIFETIME, "token_type": "Bearer"}),
        ({"lifetime_seconds": 60}, {"expires_in": 60, "token_type": "Bearer"}),
        ({"expires_in_as": "string"}, {"expires_in": "3599", "token_type": "Bearer"}),
        ({"expires_in_as": "missing"}, {"token_type": "Bearer"}),
        ({"expires_in_as": "raw", "expires_in_raw": [1]}, {"expires_in": [1], "token_type": "Bearer"}),
        ({"token_type": None}, {"expires_in": 3599}),
        ({"scope_in_answer": True}, {"expires_in": 3599, "token_type": "Bearer", "scope": "incidents.write"}),
    ],
)
def test_a_knob_changes_the_token_response(visitor: Visitor, knobs: dict[str, Any], expected: object) -> None:
    visitor.sandbox.knobs(**knobs, variations=False)
    document = visitor.ask(scope="incidents.write").json()
    del document["access_token"]
    assert document == expected


def test_apigees_token_response_has_numbers_as_text_and_its_own_token_type(visitor: Visitor) -> None:
    visitor.sandbox.knobs(error_format="apigee")
    document = visitor.ask().json()
    assert (document["token_type"], document["expires_in"], document["issued_at"]) == (
        *("BearerToken", "3599"),
        str(int(START * 1000)),
    )


@pytest.mark.parametrize(
    ("issue", "is_same", "life", "first_is_live"),
    [
        ("new", False, LIFETIME, True),
        ("same", True, LIFETIME - 1000, True),
        ("same-extended", True, LIFETIME, True),
        ("new-kills-old", False, LIFETIME, False),
    ],
)
def test_issue_decides_about_the_token_that_a_client_has(
    visitor: Visitor, issue: str, life: int, *, is_same: bool, first_is_live: bool
) -> None:
    visitor.sandbox.knobs(issue=issue)
    other, first = visitor.token("demo-portal"), visitor.token()
    visitor.now += 1000
    again = visitor.ask().json()
    assert (again["access_token"] == first, again["expires_in"]) == (is_same, life)
    assert [visitor.sandbox.is_live(token) for token in (other, first)] == [True, first_is_live]


@pytest.mark.parametrize(
    ("logout_ends", "live"), [("token", [True, False, True]), ("client", [True, False, False]), ("nothing", [True] * 3)]
)
def test_logout_ends_what_the_knob_says(visitor: Visitor, logout_ends: str, live: list[bool]) -> None:
    visitor.sandbox.knobs(logout_ends=logout_ends)
    tokens = [visitor.token("demo-portal"), visitor.token(), visitor.token()]
    assert visitor.logout(tokens[1]).text == "OK!"
    assert [visitor.sandbox.is_live(token) for token in tokens] == live


def test_a_gateway_learns_late_of_new_and_of_revoked_tokens(visitor: Visitor) -> None:
    visitor.sandbox.knobs(new_token_lags_seconds=2, revocation_lags_seconds=180)
    token = visitor.token()
    assert (visitor.sandbox.is_live(token), visitor.incidents(token)) == (True, 401)
    visitor.now += 2
    assert visitor.incidents(token) == 200
    visitor.logout(token)
    visitor.now += 179.5
    assert (visitor.sandbox.is_live(token), visitor.incidents(token)) == (False, 200)
    assert visitor.logout(token).status_code == 401
    visitor.now += 0.5
    assert visitor.incidents(token) == 401


def test_a_revoked_token_can_be_approved_again(visitor: Visitor) -> None:
    visitor.sandbox.knobs(approved_again_after_seconds=30)
    token = visitor.revoked()
    visitor.now += 29
    assert visitor.incidents(token) == 401
    visitor.now += 1
    assert visitor.incidents(token) == 200


@pytest.mark.parametrize("ahead_seconds", [0, 90, -3600])
def test_a_response_has_one_date_of_the_sandboxs_own_clock(visitor: Visitor, ahead_seconds: float) -> None:
    visitor.sandbox.knobs(clock_ahead_seconds=ahead_seconds)
    # With two of them, requests would join them with a comma.
    assert parsedate_to_datetime(visitor.ask().headers["Date"]).timestamp() == int(START) + ahead_seconds


def test_variations_mean_nothing_and_the_same_seed_repeats_them(http: requests.Session) -> None:
    def texts(seed: int) -> list[str]:
        numbers = count()
        visitor = Visitor(http, new_token=lambda: f"token-{next(numbers)}", seed=seed)
        with visitor.sandbox:
            return [visitor.ask().text for _ in range(40)]

    assert texts(7) == texts(7) != texts(8)
    assert all({"access_token", "expires_in", "token_type"} <= json.loads(text).keys() for text in texts(7))
    assert len({tuple(json.loads(text)) for text in texts(7)}) > 20


def test_credentials_are_utf_8(http: requests.Session) -> None:
    visitor = Visitor(http, clients={"blåbær": Client(secret="sølv:ørn €")})
    with visitor.sandbox:
        assert visitor.ask("blåbær".encode(), "sølv:ørn €".encode()).ok


# Faults


@pytest.mark.parametrize(("when", "issued", "is_live"), [("before", 0, True), ("after", 1, False)])
def test_a_dropped_connection_takes_effect_or_not(visitor: Visitor, when: str, issued: int, *, is_live: bool) -> None:
    visitor.sandbox.fault(operation="token", drop=True, when=when, times=1)
    visitor.sandbox.fault(operation="logout", delay_seconds=11, drop=True, when=when)
    with pytest.raises(requests.ConnectionError):
        visitor.ask()
    assert visitor.sandbox.state()["counters"]["token"] == {"dropped": 1}
    assert len(visitor.sandbox.state()["tokens"]) == issued
    token = visitor.token()
    with pytest.raises(requests.ConnectionError):
        visitor.logout(token)
    assert visitor.sandbox.is_live(token) is is_live
    assert visitor.delays == [11]


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "body"),
    [
        ({"status": 418, "body": "tea", "content_type": "a/b"}, 418, "a/b", "tea"),
        ({"html": True}, 200, "text/html; charset=utf-8", HTML_PAGE),
        ({"html": True, "status": 502}, 502, "text/html; charset=utf-8", HTML_PAGE),
        ({"truncate_bytes": 15}, 200, "application/json", '{"access_token"'),
        ({"kind": "client-id", "truncate_bytes": 10}, 401, "application/json", '{"code": 1'),
    ],
)
def test_a_fault_replaces_or_cuts_the_response(
    visitor: Visitor, fault: dict[str, Any], status: int, content_type: str, body: str
) -> None:
    visitor.sandbox.knobs(variations=False)
    visitor.sandbox.fault(operation="token", **fault, headers={"X-Pot": "tea"}, retry_after=7, when="after")
    response = visitor.ask()
    assert (response.status_code, response.headers["Content-Type"], response.text) == (status, content_type, body)
    assert (response.headers["X-Pot"], response.headers["Retry-After"]) == ("tea", "7")
    assert len(visitor.sandbox.state()["tokens"]) == 1


def test_faults_come_in_their_order_and_are_used_up_or_cleared(visitor: Visitor) -> None:
    visitor.sandbox.fault(operation="logout", status=599)
    visitor.sandbox.fault(operation="token", status=503, times=2)
    visitor.sandbox.fault(operation="token", status=429, times=1)
    assert [visitor.ask().status_code for _ in range(4)] == [503, 503, 429, 200]
    assert [visitor.logout("x").status_code for _ in range(2)] == [599, 599]
    visitor.sandbox.clear_faults()
    assert visitor.logout("x").status_code == 401


# Control and observation


def test_knobs_faults_and_state_are_reached_over_http(visitor: Visitor) -> None:
    fresh = (visitor.sandbox.state(), visitor.sandbox.knobs())
    turned = visitor.control("PATCH", "knobs", {"lifetime_seconds": 60, "issue": "same"})
    assert turned.json() == visitor.control("GET", "knobs").json() == visitor.sandbox.knobs()
    made = visitor.control("POST", "faults", {"operation": "token", "status": 503, "times": 2})
    assert visitor.control("GET", "faults").json() == [made.json()] == visitor.sandbox.faults()
    assert visitor.control("DELETE", "faults").status_code == 204
    assert visitor.ask().json()["expires_in"] == 60
    assert visitor.control("GET", "state").json() == visitor.sandbox.state()
    assert visitor.control("POST", "reset").status_code == 204
    assert (visitor.sandbox.state(), visitor.sandbox.knobs(), visitor.sandbox.requests) == (*fresh, [])


@pytest.mark.parametrize(
    ("method", "name", "body"),
    [
        ("PATCH", "knobs", {"speed": 1}),
        ("PATCH", "knobs", {"lifetime_seconds": True}),
        ("PATCH", "knobs", {"revocation_lags_seconds": 181}),
        ("PATCH", "knobs", []),
        ("POST", "faults", {"operation": "token"}),
        ("POST", "faults", {"operation": "token", "headers": {"X": "a\r\nY: b"}}),
        ("POST", "faults", {"operation": "token", "drop": True, "status": 503}),
    ],
)
def test_an_invalid_setting_is_refused_and_changes_nothing(
    visitor: Visitor, method: str, name: str, body: object
) -> None:
    before = (visitor.sandbox.knobs(), visitor.sandbox.faults())
    assert visitor.control(method, name, body).status_code == 400
    assert (visitor.sandbox.knobs(), visitor.sandbox.faults()) == before


def test_nothing_that_is_shown_has_a_secret(visitor: Visitor) -> None:
    visitor.sandbox.knobs(refresh_token=True)
    document = visitor.ask(password="hidden").json()
    visitor.call("logout", document["access_token"])  # a raw token where a scheme belongs
    shown = f"{visitor.sandbox.requests} {visitor.control('GET', 'state').text} {Client(secret=DEMO_CLIENT_SECRET)}"
    for secret in (document["access_token"], document["refresh_token"], "hidden", DEMO_CLIENT_SECRET):
        assert secret not in shown
    asked, odd = visitor.sandbox.requests
    assert (asked.headers["authorization"], asked.form_keys) == ("Basic", ("grant_type", "password"))
    assert odd.headers["authorization"] == "other"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_from_a_terminal_it_says_how_to_use_it_and_ends_cleanly(number: signal.Signals) -> None:
    command = [sys.executable, "-W", "error", "-m", "infra.local.telenor_sandbox", "--port", "0"]
    with subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
        command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        said = "".join(takewhile(lambda line: line != "Ctrl-C ends it.\n", running.stdout))
        running.send_signal(number)
        rest, errors = running.communicate(timeout=10)
    assert said.startswith("Telenor sandbox on http://127.0.0.1:")
    assert (running.returncode, rest, errors) == (0, "", "")
