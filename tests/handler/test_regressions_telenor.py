"""Each test is a promise that talking to Telenor once broke. What drips, drips in real seconds, and few of them."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from handler import app
from handler.errors import RotationError
from tests.conftest import CANARY
from tests.handler.slow_server import DRIPS, Drip, SlowServer, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import World

TOKEN = {"access_token": f"{CANARY}-raw", "token_type": "Bearer", "expires_in": 3599}


class RealClock:
    """The machine's clock: a socket knows no other."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture
def real(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(app, "clock", RealClock())
    return world


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


# What drips


@pytest.mark.parametrize("part", DRIPS)
def test_an_answer_ends_in_its_time_whatever_part_of_it_drips(
    real: World, servers: ExitStack, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Of six seconds the run keeps some back to store a token, and asks for none after that."""
    server = servers.enter_context(SlowServer(lambda _path: Drip(*DRIPS[part], seconds=5.5)))
    monkeypatch.setenv("TELENOR_BASE_URL", server.url)
    with suppress(RotationError):
        real.run(seconds=6)
    assert server.paths
    assert server.outlasted == 0
    assert real.seen.metrics()["SecondsUntilExpiry"] == 0


def test_an_answer_that_drips_is_given_up_at_its_limit_and_asked_for_again(
    real: World, servers: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: Iterator[bytes | Drip] = iter([Drip(*DRIPS["the status line"], seconds=4), whole(TOKEN)])
    server = servers.enter_context(SlowServer(lambda _path: next(answers)))
    monkeypatch.setattr("handler.authorization_server.TOKEN_REQUEST_SECONDS", 1.0)
    monkeypatch.setenv("TELENOR_BASE_URL", server.url)
    assert real.run()["outcome"] == "rotated"
    assert (server.cut, server.outlasted) == (1, 0)
    assert real.document()["access_token"] == TOKEN["access_token"]
    assert "retry" in real.seen.codes()


def test_a_full_ledger_and_a_logout_that_drips_do_not_hold_up_a_publication(
    real: World, servers: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(16):
        real.run("rotate-now")

    def answer(path: str) -> bytes | Drip:
        return whole(TOKEN) if path.endswith("token") else Drip(*DRIPS["a header"], seconds=25)

    server = servers.enter_context(SlowServer(answer))
    monkeypatch.setenv("TELENOR_BASE_URL", server.url)
    assert real.run("rotate-now", seconds=40)["outcome"] == "rotated"
    assert server.outlasted == 0
    assert real.document()["access_token"] == TOKEN["access_token"]


@pytest.mark.parametrize("part", ["the status line", "trailers without end"])
def test_a_verify_url_that_drips_costs_no_token(
    real: World, servers: ExitStack, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    server = servers.enter_context(SlowServer(lambda _path: Drip(*DRIPS[part], seconds=7.5)))
    monkeypatch.setenv("VERIFY_URL", f"{server.url}/resource")
    assert real.run(seconds=8)["outcome"] == "rotated"
    assert (server.paths, server.outlasted) == (["/resource"], 0)
    assert real.is_current_live()


# What comes before, instead, or late


@pytest.mark.parametrize("hint", [b"102 Processing", b"103 Early Hints"])
def test_an_unsolicited_hint_before_the_answer_is_passed_over(
    world: World, servers: ExitStack, monkeypatch: pytest.MonkeyPatch, hint: bytes
) -> None:
    before = b"HTTP/1.1 " + hint + b"\r\nLink: </style.css>\r\n\r\n"
    server = servers.enter_context(SlowServer(lambda _path: whole(TOKEN, before=before)))
    monkeypatch.setenv("TELENOR_BASE_URL", server.url)
    assert world.run()["outcome"] == "rotated"
    assert world.document()["access_token"] == TOKEN["access_token"]


def test_a_retry_after_of_twenty_one_digits_is_a_long_wait_and_not_none(world: World) -> None:
    world.telenor.fault(operation="token", status=503, retry_after="9" * 21)
    with pytest.raises(RotationError):
        world.run()
    assert [request.operation for request in world.telenor.requests] == ["token"]


@pytest.mark.parametrize("seconds", [0.5, 2])
def test_no_token_is_asked_for_with_less_than_two_seconds_left(world: World, seconds: float) -> None:
    with pytest.raises(RotationError):
        world.run(seconds=seconds)
    assert world.telenor.requests == []
    assert world.seen.metrics()["RotationFailed"] == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_new_token_that_a_gateway_learns_of_late_is_published(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")
    world.telenor.fault(operation="incidents", status=status, times=2)
    assert world.run()["outcome"] == "rotated"
    assert (world.issued(), world.live()) == (1, 1)


def test_a_new_token_that_stays_refused_is_discarded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run()
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")
    world.telenor.fault(operation="incidents", status=403)
    began_at = world.clock.now()
    with pytest.raises(RotationError):
        world.run("rotate-now")
    assert (world.issued(), world.live()) == (2, 1)
    assert "token-not-accepted" in world.seen.codes()
    assert 1 <= (world.clock.now() - began_at).total_seconds() <= 30


# The credentials


def test_credentials_that_are_refused_leave_the_previous_ones_their_turn(world: World) -> None:
    world.put_credentials('{"client_id": "mistyped", "client_secret": "mistyped"}')
    assert world.run()["outcome"] == "rotated"
    assert world.is_current_live()
    assert (world.seen.metrics()["CredentialsFallback"], world.seen.metrics()["RotationFailed"]) == (1, 0)
    assert "credentials-fallback" in world.seen.codes()


@pytest.mark.parametrize("fault", [{"status": 401, "body": '{"code": 5}'}, {"status": 401}, {"status": 403}])
def test_a_refusal_of_something_else_than_the_client_is_asked_once(world: World, fault: dict[str, Any]) -> None:
    world.put_credentials('{"client_id": "other", "client_secret": "other"}')
    world.telenor.fault(operation="token", **fault)
    with pytest.raises(RotationError):
        world.run()
    assert [request.operation for request in world.telenor.requests] == ["token"]


def test_apigees_bearertoken_is_a_bearer_token(world: World) -> None:
    world.telenor.knobs(token_type="BearerToken")
    assert world.run()["outcome"] == "rotated"
    assert world.document()["token_type"] == "Bearer"
