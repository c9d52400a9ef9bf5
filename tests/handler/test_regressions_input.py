"""Each test is a promise that an event or a setting once broke."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from handler.errors import RotationError
from tests.conftest import CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from tests.conftest import World

WHOLE: dict[str, Any] = {"client": "b", "credentials_secret_id": "b/credentials", "token_secret_id": "b/token"}
PARTS = [dict(part) for size in (1, 2) for part in itertools.combinations(WHOLE.items(), size)]


@pytest.fixture
def two_clients(serves_clients: World) -> World:
    world = serves_clients
    credentials = json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
    world.client.create_secret(Name=WHOLE["credentials_secret_id"], SecretString=credentials)
    world.client.create_secret(Name=WHOLE["token_secret_id"])
    return world


@pytest.mark.parametrize("event", PARTS, ids=" and ".join)
def test_an_event_that_names_a_client_in_part_is_refused_before_any_call(
    two_clients: World, event: dict[str, Any]
) -> None:
    before = two_clients.aws.calls()
    with pytest.raises(RotationError):
        two_clients.run(**event)
    assert two_clients.aws.calls() == before
    assert two_clients.telenor.requests == []
    assert two_clients.seen.codes() == ["invalid-event"]


@pytest.mark.parametrize("wrong", [{"client": 7}, {"client": "B"}, {"client": ""}, {"token_secret_id": None}])
def test_an_event_that_names_a_client_wrongly_is_refused_before_any_call(
    two_clients: World, wrong: dict[str, Any]
) -> None:
    before = two_clients.aws.calls()
    with pytest.raises(RotationError):
        two_clients.run(**WHOLE | wrong)
    assert two_clients.aws.calls() == before
    assert two_clients.seen.codes() == ["invalid-event"]


def test_an_event_that_names_a_client_whole_is_about_that_client_everywhere(two_clients: World) -> None:
    result = two_clients.run(**WHOLE, scope="incidents.read")
    assert (result["outcome"], result["client"]) == ("rotated", "b")
    assert two_clients.seen.client() == "b"
    assert {line["client"] for line in two_clients.seen.log()} == {"b"}
    assert two_clients.labels() == {}


def test_a_run_without_a_name_is_about_the_default_client(world: World) -> None:
    assert world.run()["client"] == "default"
    assert world.seen.client() == "default"
    assert {line["client"] for line in world.seen.log()} == {"default"}


def test_client_name_names_the_client_of_answer_metrics_and_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_NAME", "billing-2")
    assert world.run()["client"] == "billing-2"
    assert world.seen.client() == "billing-2"
    assert {line["client"] for line in world.seen.log()} == {"billing-2"}


def test_the_client_of_one_run_is_not_that_of_the_next(two_clients: World) -> None:
    two_clients.run(**WHOLE)
    two_clients.run()
    assert two_clients.seen.client() == "default"
    assert [line["client"] for line in two_clients.seen.log()] == ["b", "default"]


@pytest.mark.parametrize("name", ["Billing", "a" * 33, "a b", "a_b", "ø"])
def test_a_client_name_that_is_none_is_refused_before_any_call(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("CLIENT_NAME", name)
    before = world.aws.calls()
    with pytest.raises(RotationError):
        world.run()
    assert world.aws.calls() == before
    assert world.seen.codes() == ["invalid-setting"]


def test_a_run_puts_its_metrics_out_under_service_and_client(world: World) -> None:
    world.run()
    assert world.seen.metrics().keys() == {"TokenRotated", "SecondsUntilExpiry"}
    assert world.seen.client() == "default"


def test_a_run_that_fails_before_it_begins_puts_its_metrics_out_as_well(world: World) -> None:
    with pytest.raises(RotationError):
        world.run("no-such-action")
    assert world.seen.metrics()["RotationFailed"] == 1
    assert world.seen.client() == "default"


@pytest.mark.parametrize(
    ("operation", "fault"),
    [("token", {"status": 401, "body": '{"code": 22}'}), ("token", {"status": 503}), ("logout", {"status": 500})],
)
def test_every_warning_and_every_error_has_a_code(world: World, operation: str, fault: dict[str, Any]) -> None:
    world.run()
    world.telenor.fault(operation=operation, **fault)
    with suppress(RotationError):
        world.run("rotate-and-revoke-now")
    assert world.seen.codes()
    assert all(world.seen.codes())
