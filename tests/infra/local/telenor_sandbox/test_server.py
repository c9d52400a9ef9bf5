"""The Telenor sandbox keeps to the API reference, and fails in every way that a test asks for."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
import threading
from email.utils import parsedate_to_datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests

from infra.local.telenor_sandbox import (
    DEMO_CLIENT_ID,
    DEMO_CLIENT_SECRET,
    HTML_PAGE,
    Client,
    TelenorSandbox,
    short_id,
)
from tests.infra.local.telenor_sandbox.conftest import LIFETIME, PORTAL, START, FakeClock, Visitor

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[4]
DEMO_PAIR = f"{DEMO_CLIENT_ID}:{DEMO_CLIENT_SECRET}".encode()
MESSAGE = "Basic Authentication failed, bad username or password."  # the reference's words for code 22


# --- The reference's two error tables -------------------------------------------------------------------

# Copied from the API reference, row by row.
DOCUMENTED = {
    "token": {
        400: {2},
        401: {1, 21, 22, 4, 5, 6, 7, 9},
        403: {12, 15, 8},
        500: {16, 2},
    },
    "logout": {
        401: {2, 6},
        500: {2},
    },
}


class Row(NamedTuple):
    """A row of an error table and a request that earns it."""

    operation: str
    status: int
    code: int
    why: str
    earn: Callable[[Visitor], requests.Response]


def _basic(pair: bytes) -> str:
    return "Basic " + base64.b64encode(pair).decode()


def _refused(visitor: Visitor, kind: str) -> requests.Response:
    """Return a refusal of a grant that the sandbox lacks, by a fault."""
    visitor.sandbox.fault(operation="token", meaning=kind, times=1)
    return visitor.ask()


def _expired(visitor: Visitor) -> str:
    token = visitor.token()
    visitor.clock.advance(LIFETIME)
    return token


def _revoked(visitor: Visitor) -> str:
    token = visitor.token()
    visitor.logout(token)
    return token


ROWS = (
    Row("token", 400, 2, "an empty grant_type", lambda v: v.ask(grant_type="")),
    Row("token", 400, 2, "no form at all", lambda v: v.call("token", _basic(DEMO_PAIR))),
    Row("token", 400, 2, "an unknown grant_type", lambda v: v.ask(grant_type="implicit")),
    Row("token", 401, 1, "an unknown client", lambda v: v.ask("nobody")),
    Row("token", 401, 22, "a wrong secret", lambda v: v.ask(secret="wrong")),
    Row("token", 401, 21, "a grant that the client lacks", lambda v: v.ask(grant_type="password")),
    Row("token", 401, 4, "a bad code", lambda v: _refused(v, "authorization-code")),
    Row("token", 401, 5, "a client that is not approved", lambda v: v.ask("demo-not-approved")),
    Row("token", 401, 6, "no Authorization header", lambda v: v.call("token")),
    Row("token", 401, 6, "a bearer token", lambda v: v.call("token", f"Bearer {v.token()}")),
    Row("token", 401, 6, "another scheme", lambda v: v.call("token", _basic(DEMO_PAIR).replace("B", "M", 1))),
    Row("token", 401, 6, "no base64", lambda v: v.call("token", "Basic ***")),
    Row("token", 401, 6, "no UTF-8", lambda v: v.call("token", _basic(b"demo-client:\xff"))),
    Row("token", 401, 6, "no colon", lambda v: v.call("token", _basic(b"demo-client"))),
    Row("token", 401, 7, "a bad refresh token", lambda v: _refused(v, "refresh-token")),
    Row("token", 401, 9, "a client with incomplete data", lambda v: v.ask("demo-incomplete")),
    Row("token", 403, 12, "another redirect_uri", lambda v: _refused(v, "redirect-uri")),
    Row("token", 403, 15, "an illegal response_type", lambda v: v.ask(response_type="code")),
    Row("token", 403, 8, "a scope that was not granted", lambda v: v.ask(scope="incidents.read admin")),
    Row("token", 500, 16, "a client with broken attributes", lambda v: v.ask("demo-broken-attributes")),
    Row("token", 500, 2, "a client with a broken backend", lambda v: v.ask("demo-broken-backend")),
    Row("logout", 401, 2, "an unknown token", lambda v: v.logout("made-up")),
    Row("logout", 401, 2, "an expired token", lambda v: v.logout(_expired(v))),
    Row("logout", 401, 2, "a revoked token", lambda v: v.logout(_revoked(v))),
    Row("logout", 401, 6, "no Authorization header", lambda v: v.call("logout")),
    Row("logout", 401, 6, "another scheme", lambda v: v.call("logout", _basic(DEMO_PAIR))),
    Row("logout", 401, 6, "an empty token", lambda v: v.call("logout", "Bearer ")),
    Row("logout", 500, 2, "a broken backend", lambda v: v.logout(v.token("demo-broken-logout"))),
)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.operation}-{row.why}" for row in ROWS])
def test_each_refusal_is_earned_by_the_request_that_the_reference_means(visitor: Visitor, row: Row) -> None:
    answer = row.earn(visitor)
    assert (answer.status_code, answer.json()["code"]) == (row.status, row.code)


def test_the_table_earns_every_documented_row_and_no_other() -> None:
    documented = {
        (operation, status, code)
        for operation, rows in DOCUMENTED.items()
        for status, codes in rows.items()
        for code in codes
    }
    assert {(row.operation, row.status, row.code) for row in ROWS} == documented


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("code", {"code": 22, "message": MESSAGE}),
        ("errorCode", {"errorCode": 22, "errorMessage": MESSAGE}),
        ("error_code", {"error_code": 22, "error_description": MESSAGE}),
        ("error", {"error": {"code": "22", "message": MESSAGE}}),
        ("fault", {"fault": {"faultstring": MESSAGE, "detail": {"errorcode": "22"}}}),
        ("none", {"message": MESSAGE}),
    ],
)
def test_an_error_is_json_of_the_chosen_shape(visitor: Visitor, shape: str, expected: object) -> None:
    visitor.sandbox.knobs(error_shape=shape, oddities=False)
    answer = visitor.ask(secret="wrong")
    assert (answer.status_code, answer.json()) == (401, expected)


def test_an_error_can_be_plain_text(visitor: Visitor) -> None:
    visitor.sandbox.knobs(error_shape="text")
    answer = visitor.ask(secret="wrong")
    assert answer.text == f"Error code 22 - {MESSAGE}"
    assert answer.headers["Content-Type"].startswith("text/plain")


# --- Tokens and what they open --------------------------------------------------------------------------


def test_client_credentials_earn_a_token_that_opens_the_incidents(visitor: Visitor) -> None:
    visitor.sandbox.knobs(oddities=False)
    document = visitor.ask().json()
    assert document == {
        "access_token": document["access_token"],
        "expires_in": LIFETIME,
        "token_type": "Bearer",
    }
    answer = visitor.incidents(document["access_token"])
    assert answer.status_code == 200
    assert answer.json()[0]["id"] == "INC-1001"


def test_credentials_are_decoded_as_utf_8(clock: FakeClock, http: requests.Session) -> None:
    with TelenorSandbox(clients={"blåbær": Client(secret="sølv:ørn €")}, clock=clock) as sandbox:
        visitor = Visitor(sandbox, http, clock)
        assert visitor.ask("blåbær", "sølv:ørn €").status_code == 200
        assert visitor.ask().json()["code"] == 1  # the seeded clients are gone


def test_the_values_of_tokens_can_be_chosen(clock: FakeClock, http: requests.Session) -> None:
    values = iter(["first", "second"])
    with TelenorSandbox(clock=clock, new_token=lambda: next(values)) as sandbox:
        visitor = Visitor(sandbox, http, clock)
        assert [visitor.token(), visitor.token()] == ["first", "second"]


def test_a_token_is_accepted_until_the_second_in_which_it_expires(visitor: Visitor) -> None:
    token = visitor.token()
    visitor.clock.advance(LIFETIME - 0.5)
    assert visitor.incidents(token).status_code == 200
    visitor.clock.advance(0.5)
    assert visitor.incidents(token).status_code == 401
    assert not visitor.sandbox.is_live(token)


def test_logout_kills_that_token_alone(visitor: Visitor) -> None:
    ended, other = visitor.token(), visitor.token()
    answer = visitor.logout(ended)
    assert (answer.status_code, answer.text) == (200, "OK!")
    assert [visitor.incidents(token).status_code for token in (ended, other)] == [401, 200]


@pytest.mark.parametrize("authorization", [None, "Basic eDp5", "Bearer made-up", "Bearer"])
def test_the_incidents_are_closed_without_a_live_token(visitor: Visitor, authorization: str | None) -> None:
    assert visitor.call("incidents", authorization).status_code == 401


# --- Knobs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({"lifetime_seconds": 60}, {"expires_in": 60, "token_type": "Bearer"}),
        ({"expires_in_as": "string"}, {"expires_in": "3599", "token_type": "Bearer"}),
        ({"expires_in_as": "missing"}, {"token_type": "Bearer"}),
        (
            {"expires_in_as": "raw", "expires_in_raw": {"soon": [1]}},
            {"expires_in": {"soon": [1]}, "token_type": "Bearer"},
        ),
        ({"token_type": None}, {"expires_in": 3599}),
        ({"token_type": "mac"}, {"expires_in": 3599, "token_type": "mac"}),
        (
            {"scope_in_answer": True},
            {"expires_in": 3599, "token_type": "Bearer", "scope": "incidents.read incidents.write"},
        ),
    ],
)
def test_a_knob_changes_the_answer(visitor: Visitor, knobs: dict[str, Any], expected: object) -> None:
    visitor.sandbox.knobs(**knobs, oddities=False)
    document = visitor.ask().json()
    del document["access_token"]
    assert document == expected


def test_a_knob_gives_client_credentials_a_refresh_token(visitor: Visitor) -> None:
    assert "refresh_token" not in visitor.ask().json()
    visitor.sandbox.knobs(refresh_token=True)
    assert "refresh_token" in visitor.ask().json()


def test_the_scope_that_was_asked_for_is_the_one_granted(visitor: Visitor) -> None:
    visitor.sandbox.knobs(scope_in_answer=True)
    assert visitor.ask(scope="incidents.write").json()["scope"] == "incidents.write"


def test_new_leaves_the_old_token_alive(visitor: Visitor) -> None:
    old, new = visitor.token(), visitor.token()
    assert old != new
    assert visitor.sandbox.is_live(old)


def test_same_hands_out_the_living_token_with_what_is_left_of_its_life(visitor: Visitor) -> None:
    visitor.sandbox.knobs(issue="same")
    first = visitor.token()
    visitor.clock.advance(1000)
    again = visitor.ask().json()
    assert (again["access_token"], again["expires_in"]) == (first, LIFETIME - 1000)
    visitor.clock.advance(LIFETIME - 1000)
    assert visitor.token() != first


def test_same_is_for_the_same_client_and_scope_only(visitor: Visitor) -> None:
    visitor.sandbox.knobs(issue="same")
    asked = [visitor.token(), visitor.token(PORTAL), visitor.token(scope="incidents.read")]
    assert len(set(asked)) == 3


def test_same_extended_really_prolongs_the_living_token(visitor: Visitor) -> None:
    visitor.sandbox.knobs(issue="same-extended")
    first = visitor.token()
    visitor.clock.advance(1000)
    again = visitor.ask().json()
    assert (again["access_token"], again["expires_in"]) == (first, LIFETIME)
    visitor.clock.advance(LIFETIME - 1)
    assert visitor.incidents(first).status_code == 200


def test_new_kills_old_kills_the_tokens_of_that_client_only(visitor: Visitor) -> None:
    visitor.sandbox.knobs(issue="new-kills-old")
    foreign, old, new = visitor.token(PORTAL), visitor.token(), visitor.token()
    assert [visitor.sandbox.is_live(token) for token in (foreign, old, new)] == [True, False, True]
    assert visitor.sandbox.state()["tokens"][short_id(old)]["status"] == "killed"


@pytest.mark.parametrize(
    ("logout_ends", "live"), [("token", [True, False, True]), ("client", [True, False, False]), ("nothing", [True] * 3)]
)
def test_logout_ends_what_the_knob_says(visitor: Visitor, logout_ends: str, live: list[bool]) -> None:
    visitor.sandbox.knobs(logout_ends=logout_ends)
    foreign, one, other = visitor.token(PORTAL), visitor.token(), visitor.token()
    assert visitor.logout(one).text == "OK!"
    assert [visitor.sandbox.is_live(token) for token in (foreign, one, other)] == live


@pytest.mark.parametrize("ahead_seconds", [0, 90, -3600])
def test_each_answer_has_one_date_of_the_sandboxs_own_clock(visitor: Visitor, ahead_seconds: float) -> None:
    visitor.sandbox.knobs(clock_ahead_seconds=ahead_seconds)
    dates = [answer.headers["Date"] for answer in (visitor.ask(), visitor.logout("nobody's"))]
    # With two of them, requests would join them with a comma.
    assert {parsedate_to_datetime(date).timestamp() for date in dates} == {int(START) + ahead_seconds}


def test_knobs_can_be_turned_and_read_over_http(visitor: Visitor) -> None:
    turned = visitor.control("PATCH", "knobs", {"lifetime_seconds": 60, "issue": "same"})
    assert turned.status_code == 200
    assert turned.json() == visitor.control("GET", "knobs").json() == visitor.sandbox.knobs()
    assert visitor.ask().json()["expires_in"] == 60


@pytest.mark.parametrize(
    ("method", "name", "body"),
    [
        ("PATCH", "knobs", {"speed": 1}),
        ("PATCH", "knobs", {"lifetime_seconds": True}),
        ("PATCH", "knobs", []),
        ("POST", "faults", {"operation": "token"}),
        ("POST", "faults", {"operation": "token", "drop": True, "times": 0}),
        ("POST", "faults", {"operation": "token", "headers": {"X": "a\r\nY: b"}}),
        ("POST", "faults", {"operation": "token", "drop": True, "status": 503}),
        ("POST", "faults", {"operation": "token", "html": True, "body": "x"}),
    ],
)
def test_an_invalid_setting_is_refused_and_changes_nothing(
    visitor: Visitor, method: str, name: str, body: object
) -> None:
    before = (visitor.sandbox.knobs(), visitor.sandbox.faults())
    assert visitor.control(method, name, body).status_code == 400
    assert (visitor.sandbox.knobs(), visitor.sandbox.faults()) == before


# --- Faults ---------------------------------------------------------------------------------------------


def _minted(sandbox: TelenorSandbox) -> int:
    return len(sandbox.state()["tokens"])


@pytest.mark.parametrize(("when", "minted"), [("before", 0), ("after", 1)])
def test_a_dropped_connection_is_no_answer_at_all(
    visitor: Visitor, capfd: pytest.CaptureFixture[str], when: str, minted: int
) -> None:
    visitor.sandbox.fault(operation="token", drop=True, when=when, times=1)
    with pytest.raises(requests.ConnectionError):
        visitor.ask()
    assert visitor.sandbox.state()["counters"]["token"] == {"dropped": 1}
    assert _minted(visitor.sandbox) == minted
    assert visitor.ask().status_code == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("when", "alive"), [("before", True), ("after", False)])
def test_a_logout_whose_answer_is_lost_took_effect_or_not(visitor: Visitor, when: str, *, alive: bool) -> None:
    token = visitor.token()
    visitor.sandbox.fault(operation="logout", drop=True, when=when)
    with pytest.raises(requests.ConnectionError):
        visitor.logout(token)
    assert visitor.sandbox.is_live(token) is alive


@pytest.mark.parametrize(("when", "minted"), [("before", 0), ("after", 1)])
def test_any_answer_can_take_the_place_of_the_real_one(visitor: Visitor, when: str, minted: int) -> None:
    visitor.sandbox.fault(
        operation="token",
        status=418,
        body='{"short": "stout"}',
        content_type="application/tea+json",
        headers={"X-Pot": "tea"},
        when=when,
    )
    answer = visitor.ask()
    assert (answer.status_code, answer.json()) == (418, {"short": "stout"})
    assert answer.headers["Content-Type"] == "application/tea+json"
    assert answer.headers["X-Pot"] == "tea"
    assert _minted(visitor.sandbox) == minted


@pytest.mark.parametrize("retry_after", [0, 7, "Fri, 15 Jan 2027 08:00:00 GMT"])
def test_retry_after_goes_with_the_answer(visitor: Visitor, retry_after: int | str) -> None:
    visitor.sandbox.fault(operation="token", status=429, retry_after=retry_after)
    answer = visitor.ask()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, str(retry_after))


def test_an_answer_can_be_cut_in_half_and_still_be_complete_http(visitor: Visitor) -> None:
    visitor.sandbox.knobs(oddities=False)
    visitor.sandbox.fault(operation="token", truncate_bytes=20)
    answer = visitor.ask()
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, "20")
    assert answer.text.startswith('{"access_token": "')
    assert _minted(visitor.sandbox) == 1


@pytest.mark.parametrize(("fields", "status"), [({}, 200), ({"status": 502}, 502)])
def test_an_html_page_can_take_the_place_of_the_answer(visitor: Visitor, fields: dict[str, Any], status: int) -> None:
    visitor.sandbox.fault(operation="token", html=True, **fields)
    answer = visitor.ask()
    assert (answer.status_code, answer.text) == (status, HTML_PAGE)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert _minted(visitor.sandbox) == 0


@pytest.mark.parametrize(("when", "minted"), [("before", 0), ("after", 1)])
def test_a_delay_comes_before_the_operation_or_after_it(
    http: requests.Session, clock: FakeClock, when: str, minted: int
) -> None:
    seen: list[tuple[float, int]] = []
    with TelenorSandbox(clock=clock, sleep=lambda nap: seen.append((nap, _minted(running)))) as running:
        running.fault(operation="token", delay_seconds=2.5, when=when)
        assert Visitor(running, http, clock).ask().status_code == 200
    assert seen == [(2.5, minted)]


def test_a_client_that_gives_up_waiting_leaves_a_token_behind(
    http: requests.Session, clock: FakeClock, capfd: pytest.CaptureFixture[str]
) -> None:
    given_up = threading.Event()

    def sleep(_: float) -> None:
        given_up.wait(5)

    with TelenorSandbox(clock=clock, sleep=sleep) as running:
        running.fault(operation="token", delay_seconds=30, when="after")
        with pytest.raises(requests.ReadTimeout):
            Visitor(running, http, clock, patience=0.05).ask()
        assert _minted(running) == 1
        given_up.set()
    assert capfd.readouterr().err == ""


def test_a_delay_can_end_in_a_dropped_connection(visitor: Visitor, naps: list[float]) -> None:
    visitor.sandbox.fault(operation="logout", delay_seconds=11, drop=True)
    with pytest.raises(requests.ConnectionError):
        visitor.logout("made-up")
    assert naps == [11]


def test_faults_come_in_their_order_and_are_used_up(visitor: Visitor) -> None:
    visitor.sandbox.fault(operation="logout", status=599)  # of another operation
    visitor.sandbox.fault(operation="token", status=503, times=2)
    visitor.sandbox.fault(operation="token", status=429, times=1)
    assert [visitor.ask().status_code for _ in range(4)] == [503, 503, 429, 200]


def test_a_fault_lasts_until_it_is_cleared(visitor: Visitor) -> None:
    visitor.sandbox.fault(operation="incidents", status=503)
    assert [visitor.incidents("any").status_code for _ in range(3)] == [503] * 3
    visitor.sandbox.clear_faults()
    assert visitor.incidents("any").status_code == 401


def test_faults_can_be_made_listed_and_cleared_over_http(visitor: Visitor) -> None:
    made = visitor.control("POST", "faults", {"operation": "token", "status": 503, "times": 2})
    assert made.status_code == 200
    assert visitor.control("GET", "faults").json() == [made.json()] == visitor.sandbox.faults()
    assert visitor.ask().status_code == 503
    assert [fault["times"] for fault in visitor.control("GET", "faults").json()] == [1]
    assert visitor.control("DELETE", "faults").status_code == 204
    assert visitor.control("GET", "faults").json() == []


# --- What can be seen -----------------------------------------------------------------------------------


def test_the_state_tells_the_story_of_every_token(visitor: Visitor) -> None:
    revoked = visitor.token(scope="incidents.read")
    visitor.incidents(revoked)
    visitor.clock.advance(10)
    visitor.logout(revoked)
    visitor.incidents(revoked)
    expired = _expired(visitor)
    live = visitor.token()
    tokens = visitor.sandbox.state()["tokens"]
    assert list(tokens) == [short_id(token) for token in (revoked, expired, live)]
    assert tokens[short_id(revoked)] == {
        "client_id": DEMO_CLIENT_ID,
        "grant": "client_credentials",
        "scope": "incidents.read",
        "issued_at": START,
        "expires_at": START + LIFETIME,
        "ended_at": START + 10,
        "status": "revoked",
        "requests": 1,
        "refused": 1,
    }
    assert tokens[short_id(expired)]["status"] == "expired"
    assert tokens[short_id(expired)]["ended_at"] == START + 10 + LIFETIME
    assert tokens[short_id(live)]["status"] == "live"
    assert tokens[short_id(live)]["ended_at"] is None


def test_the_state_counts_answers_and_lists_events(visitor: Visitor) -> None:
    token = visitor.token()
    visitor.ask(secret="wrong")
    visitor.incidents(token)
    visitor.incidents("made-up")
    visitor.clock.advance(1)
    visitor.sandbox.fault(operation="logout", drop=True, when="after")
    with pytest.raises(requests.ConnectionError):
        visitor.logout(token)
    state = visitor.sandbox.state()
    assert state["counters"] == {
        "token": {"200": 1, "401": 1},
        "logout": {"dropped": 1},
        "incidents": {"200": 1, "401": 1},
    }
    assert state["protected"] == {"accepted": 1, "refused": 1}
    assert state["events"] == [
        [START, "token", 200, short_id(token)],
        [START, "token", 401, None],
        [START, "incidents", 200, short_id(token)],
        [START, "incidents", 401, None],
        [START + 1, "logout", "dropped", short_id(token)],
    ]


def test_the_state_is_the_same_over_http_and_holds_no_secret(visitor: Visitor) -> None:
    visitor.sandbox.knobs(refresh_token=True)
    document = visitor.ask().json()
    visitor.incidents(document["access_token"])
    answer = visitor.control("GET", "state")
    assert answer.json() == visitor.sandbox.state()
    for secret in (document["access_token"], document["refresh_token"], DEMO_CLIENT_SECRET):
        assert secret not in answer.text


def test_requests_are_taken_down_without_their_secrets(visitor: Visitor) -> None:
    token = visitor.token(password="hidden")
    visitor.logout(token)
    visitor.call("logout", token)  # a raw token where a scheme belongs
    asked, ended, odd = visitor.sandbox.requests
    assert [each.operation for each in (asked, ended, odd)] == ["token", "logout", "logout"]
    assert [each.headers["authorization"] for each in (asked, ended, odd)] == ["Basic", "Bearer", "other"]
    assert asked.form_keys == ("grant_type", "password")
    assert asked.form == {"grant_type": "client_credentials"}
    for secret in (token, "hidden", DEMO_CLIENT_SECRET):
        assert secret not in repr(visitor.sandbox.requests)


def test_a_client_does_not_show_its_secret() -> None:
    assert "hidden" not in repr(Client(secret="hidden"))


@pytest.mark.parametrize("over_http", [True, False], ids=["over http", "in python"])
def test_a_reset_starts_afresh(visitor: Visitor, *, over_http: bool) -> None:
    fresh = (visitor.sandbox.state(), visitor.sandbox.knobs())
    token = visitor.token()
    visitor.sandbox.knobs(lifetime_seconds=1)
    visitor.sandbox.fault(operation="token", drop=True)
    if over_http:
        assert visitor.control("POST", "reset").status_code == 204
    else:
        visitor.sandbox.reset()
    assert (visitor.sandbox.state(), visitor.sandbox.knobs()) == fresh
    assert visitor.sandbox.requests == []
    assert not visitor.sandbox.is_live(token)
    assert visitor.token()


# --- Starting and stopping ------------------------------------------------------------------------------


def test_it_speaks_http_1_1_and_logs_no_request(
    visitor: Visitor, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert visitor.ask().raw.version == 11
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_it_listens_no_longer_than_the_with_block(http: requests.Session) -> None:
    with TelenorSandbox() as sandbox:
        url = sandbox.url
        assert http.get(f"{url}/_sandbox/state", timeout=5).status_code == 200
    with pytest.raises(requests.ConnectionError):
        http.get(url, timeout=5)
    with pytest.raises(RuntimeError, match="not running"):
        _ = sandbox.url


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_from_a_terminal_it_says_how_to_use_it_and_ends_cleanly(number: signal.Signals) -> None:
    command = [sys.executable, "-W", "error", "-m", "infra.local.telenor_sandbox", "--port", "0"]
    with subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        said = "".join(takewhile(lambda line: line != "Ctrl-C ends it.\n", running.stdout))
        running.send_signal(number)
        rest, errors = running.communicate(timeout=10)
    assert said.startswith("Telenor sandbox on http://127.0.0.1:")
    assert f"{DEMO_CLIENT_SECRET} (for this sandbox only)" in said
    assert "curl -X PATCH" in said
    assert (running.returncode, rest, errors) == (0, "", "")
