"""The Telenor sandbox refuses requests as the API reference documents, and fails in each way that a test configures.

`tests/handler/test_error_responses.py` and the tests of `doctor` use its error formats and its knobs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import requests

from handler.transport import basic
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, OPERATIONS, REVOCATION_PATH, Client, TelenorSandbox
from tests.leak_detector import CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests.auth import AuthBase

    from tests.world import FakeClock

LIFETIME = 3599  # seconds, the reference's example


class Visitor:
    """A client of the API over real HTTP."""

    def __init__(self, sandbox: TelenorSandbox, clock: FakeClock) -> None:
        self.sandbox, self.clock = sandbox, clock

    def ask(self, client_id: str = DEMO_CLIENT_ID, secret: str = CLIENT_SECRET, **form: str) -> requests.Response:
        return self.call("token", basic(client_id, secret), **{"grant_type": "client_credentials", **form})

    def call(self, operation: str, authorization: str | AuthBase | None = None, **form: str) -> requests.Response:
        method, path = OPERATIONS[operation]
        headers = {"Authorization": authorization} if isinstance(authorization, str) else {}
        auth = None if isinstance(authorization, str) else authorization
        return requests.request(method, self.sandbox.url + path, headers=headers, auth=auth, data=form, timeout=5)

    def token(self) -> str:
        return str(self.ask().json()["access_token"])

    def logout(self, token: str) -> requests.Response:
        return self.call("logout", f"Bearer {token}")

    def incidents(self, token: str) -> int:
        return self.call("incidents", f"Bearer {token}").status_code


@pytest.fixture
def visitor(telenor: TelenorSandbox, clock: FakeClock) -> Visitor:
    return Visitor(telenor, clock)


def test_a_client_revokes_only_its_own_tokens(visitor: Visitor) -> None:
    mine, other, url = visitor.token(), visitor.ask("demo-portal").json()["access_token"], visitor.sandbox.url
    statuses = [
        requests.post(
            url + REVOCATION_PATH, auth=basic(DEMO_CLIENT_ID, secret), data={"token": token}, timeout=5
        ).status_code
        for secret, token in [(CLIENT_SECRET, mine), (CLIENT_SECRET, other), (CLIENT_SECRET, "?"), ("wrong", other)]
    ]
    assert statuses == [200, 200, 200, 401]
    assert [visitor.sandbox.is_live(token) for token in (mine, other)] == [False, True]


@pytest.mark.parametrize(
    ("status", "code", "request_of"),
    [
        *((400, 2, lambda v: v.ask(grant_type="implicit")), (401, 21, lambda v: v.ask(grant_type="password"))),
        *((401, 1, lambda v: v.ask("nobody")), (401, 22, lambda v: v.ask(secret="wrong"))),
        *((401, 6, lambda v: v.call("token")), (403, 8, lambda v: v.ask(scope="incidents.read admin"))),
        *((401, 2, lambda v: v.logout("made-up")), (401, 6, lambda v: v.call("logout"))),
        (401, 6, lambda v: v.call("incidents")),
    ],
)
def test_a_request_is_refused_as_documented(
    visitor: Visitor, status: int, code: int, request_of: Callable[[Visitor], requests.Response]
) -> None:
    response = request_of(visitor)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_token_is_accepted_until_it_expires_or_is_revoked(visitor: Visitor) -> None:
    first, second = visitor.token(), visitor.token()
    assert visitor.logout(first).text == "OK!"
    assert [visitor.incidents(token) for token in (first, second)] == [401, 200]
    visitor.clock.advance(seconds=LIFETIME - 0.5)
    assert visitor.incidents(second) == 200
    visitor.clock.advance(seconds=0.5)
    assert visitor.incidents(second) == 401
    assert [visitor.logout(token).json()["code"] for token in (first, second)] == [2, 2]
    tokens = visitor.sandbox.state()["tokens"].values()
    assert [token["status"] for token in tokens] == ["revoked", "expired"]
    assert visitor.sandbox.state()["protected"] == {"accepted": 2, "refused": 2}


def test_a_response_varies_and_keeps_its_meaning(visitor: Visitor) -> None:
    texts = [visitor.ask().text for _ in range(40)]
    assert all({"access_token", "expires_in", "token_type"} <= json.loads(text).keys() for text in texts)
    assert len({tuple(json.loads(text)) for text in texts}) > 20


def test_faults_and_state_are_available_over_http(visitor: Visitor) -> None:
    def control(method: str, body: object) -> int:
        # As `curl -d` sends it.
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        url = f"{visitor.sandbox.url}/_sandbox/faults"
        return requests.request(method, url, data=json.dumps(body), headers=form, timeout=5).status_code

    assert control("POST", {"operation": "token", "status": 503}) == 200
    assert visitor.ask().status_code == 503
    assert control("DELETE", None) == 204
    assert control("POST", {"operation": "token", "speed": 1}) == control("POST", []) == 400
    assert visitor.ask().status_code == 200
    assert requests.get(f"{visitor.sandbox.url}/_sandbox/state", timeout=5).json() == visitor.sandbox.state()


def test_the_shown_state_contains_no_secret(visitor: Visitor) -> None:
    visitor.sandbox.knobs(refresh_token=True)
    document = visitor.ask(password="hidden").json()
    visitor.call("logout", document["access_token"])  # a raw token without a scheme
    shown = f"{visitor.sandbox.requests} {visitor.sandbox.state()} {Client(secret=CLIENT_SECRET)}"
    for secret in (document["access_token"], document["refresh_token"], "hidden", CLIENT_SECRET):
        assert secret not in shown
    asked, odd = visitor.sandbox.requests
    assert (asked.headers["authorization"], odd.headers["authorization"]) == ("Basic", "other")
