"""A visitor of the sandbox, over real HTTP, and a clock that both go by."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
import requests

from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, OPERATIONS, TelenorSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

START = 1_800_000_000.25  # epoch seconds, with a fraction as real clocks have
LIFETIME = 3599  # seconds, the reference's example
PORTAL = "demo-portal"  # a second seeded client


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Visitor:
    """Whoever calls the API, over real HTTP."""

    def __init__(self, sandbox: TelenorSandbox, http: requests.Session, clock: FakeClock, patience: float = 5) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self._http = http
        self._patience = patience  # seconds

    def ask(self, client_id: str = DEMO_CLIENT_ID, secret: str = DEMO_CLIENT_SECRET, **form: str) -> requests.Response:
        """Request a token, by client_credentials unless the form says otherwise."""
        pair = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        return self.call("token", f"Basic {pair}", **{"grant_type": "client_credentials", **form})

    def call(self, operation: str, authorization: str | None = None, **form: str) -> requests.Response:
        method, path = OPERATIONS[operation]
        headers = {} if authorization is None else {"Authorization": authorization}
        url = self.sandbox.url + path
        return self._http.request(method, url, headers=headers, data=form or None, timeout=self._patience)

    def token(self, client_id: str = DEMO_CLIENT_ID, **form: str) -> str:
        answer = self.ask(client_id, **form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def logout(self, token: str) -> requests.Response:
        return self.call("logout", f"Bearer {token}")

    def incidents(self, token: str) -> requests.Response:
        return self.call("incidents", f"Bearer {token}")

    def get(self, path: str) -> requests.Response:
        return self._http.get(self.sandbox.url + path, timeout=self._patience)

    def control(self, method: str, name: str, body: object = None) -> requests.Response:
        """Turn something under /_sandbox/ as curl -d does: JSON that calls itself a form."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        url = f"{self.sandbox.url}/_sandbox/{name}"
        return self._http.request(method, url, data=data, headers=headers, timeout=self._patience)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def naps() -> list[float]:
    """Return the delays that the sandbox had to make, in seconds."""
    return []


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # neither a proxy nor a .netrc of this machine
        yield session


@pytest.fixture
def sandbox(clock: FakeClock, naps: list[float]) -> Iterator[TelenorSandbox]:
    with TelenorSandbox(clock=clock, sleep=naps.append) as running:
        yield running


@pytest.fixture
def visitor(sandbox: TelenorSandbox, http: requests.Session, clock: FakeClock) -> Visitor:
    return Visitor(sandbox, http, clock)
