"""Each test is a promise that revoking once broke: which superseded token goes when, and which one never."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest

from handler.errors import RotationError
from infra.local.secrets_manager import Meanwhile

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import World


# From when on


def test_where_renewals_follow_each_other_within_the_grace_each_token_still_goes_after_its_own(world: World) -> None:
    versions, revoked = [], []
    for _ in range(5):
        result = world.run("rotate-now")
        versions.append(result["version_id"])
        revoked += result["revoked"]
        world.clock.advance(minutes=5, seconds=1)
    # The first was superseded at five minutes and the second at ten; the last run was at twenty.
    assert revoked == versions[:2]
    assert [world.is_live(version) for version in versions] == [False, False, True, True, True]


def test_a_grace_of_three_rotations_leaves_no_more_tokens_alive_than_it_must(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRACE_SECONDS", "1800")
    revoked = []
    for _ in range(20):
        revoked += world.run("rotate-now")["revoked"]
        assert world.live() <= 5
        world.clock.advance(minutes=10)
    assert len(revoked) >= 15


def test_a_token_that_was_rolled_back_from_goes_after_its_grace(world: World) -> None:
    first = world.run()["version_id"]
    world.clock.advance(minutes=1)
    second = world.run("rotate-now")["version_id"]
    world.clock.advance(minutes=1)
    world.roll_back_to(first)
    # The run that notices it dates the first token now.
    assert world.run()["revoked"] == []
    world.clock.advance(minutes=9, seconds=50)
    assert world.run()["revoked"] == []
    assert world.is_live(second)
    world.clock.advance(seconds=15)
    result = world.run()
    assert (result["revoked"], result["version_id"]) == ([second], first)
    assert not world.is_live(second)
    assert world.is_current_live()


def test_a_roll_back_to_the_first_of_two_tokens_of_one_instant_is_recognised(world: World) -> None:
    first, second = (world.run("rotate-now")["version_id"] for _ in range(2))
    world.clock.advance(minutes=9, seconds=50)
    world.roll_back_to(first)
    world.run()
    world.clock.advance(seconds=30)
    assert world.run()["revoked"] == []
    assert (world.is_live(first), world.is_live(second)) == (True, True)
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == [second]
    assert world.is_current_live()


def test_a_token_of_overlapping_runs_keeps_its_grace_from_when_it_really_was_superseded(world: World) -> None:
    """The secret is rolled back and then renewed: readers of the first token have their grace from the renewal on."""
    first = world.run()["version_id"]
    world.clock.advance(minutes=1)
    world.run("rotate-now")
    world.clock.advance(minutes=9)
    world.roll_back_to(first)
    world.clock.advance(minutes=2)
    world.run("rotate-now")
    world.clock.advance(minutes=9, seconds=50)
    assert first not in world.run()["revoked"]
    assert world.is_live(first)
    world.clock.advance(seconds=15)
    assert first in world.run()["revoked"]


# Emergencies


def test_an_emergency_that_is_delivered_again_after_a_later_rotation_respects_the_grace(world: World) -> None:
    leaked, request_id = world.run()["version_id"], str(uuid.uuid4())
    assert world.run("rotate-and-revoke-now", request_id=request_id)["revoked"] == [leaked]
    world.clock.advance(minutes=5)
    current = world.run("rotate-now")["version_id"]
    world.clock.advance(seconds=2)
    again = world.run("rotate-and-revoke-now", request_id=request_id)
    assert (again["outcome"], again["version_id"], again["revoked"]) == ("not-due", current, [])
    assert world.is_live(request_id)
    assert world.is_current_live()


def _raw(token: str) -> str:
    return token


def _other_shape(token: str) -> str:
    return json.dumps({"bearer": {"value": token}})


def _binary(token: str) -> bytes:
    return json.dumps({"access_token": token}).encode()


@pytest.mark.parametrize("shape", [_raw, _other_shape, _binary])
def test_a_token_that_someone_put_back_as_current_stays_alive_and_tracked_when_an_emergency_gets_none(
    world: World, shape: Callable[[str], str | bytes]
) -> None:
    first = world.run()["version_id"]
    token = world.document()["access_token"]
    world.put(shape(token))
    world.telenor.fault(operation="token", status=503)
    with pytest.raises(RotationError):
        world.run("rotate-and-revoke-now")
    assert world.telenor.is_live(token)
    assert first in world.tracked()


@pytest.mark.parametrize("shape", [_raw, _other_shape, _binary])
def test_a_token_that_someone_put_back_as_current_is_revoked_once_it_is_superseded(
    world: World, shape: Callable[[str], str | bytes]
) -> None:
    first = world.run()["version_id"]
    token = world.document()["access_token"]
    world.put(shape(token))
    world.run("rotate-now")
    assert world.telenor.is_live(token)
    assert first in world.tracked()
    world.clock.advance(minutes=10, seconds=2)
    world.run()
    assert not world.telenor.is_live(token)


def test_an_emergency_that_gets_the_leaked_token_again_fails(world: World) -> None:
    world.run()
    world.telenor.knobs(issue="same")
    with pytest.raises(RotationError):
        world.run("rotate-and-revoke-now")
    assert world.seen.metrics()["RotationFailed"] == 1
    assert "token-reissued" in world.seen.codes()


# What proves that a token is dead


@pytest.mark.parametrize(
    "body",
    [
        '{"code": 6, "message": "Missing or bad Authorization header"}',
        '{"code": 40102}',
        '{"code": 40103}',
        '{"fault": {"detail": {"errorcode": "keymanagement.service.InvalidAPICallAsNoApiProductMatchFound"}}}',
        '{"fault": {"detail": {"errorcode": "oauth.v2.FailedToResolveAPIKey"}}}',
        '{"code": 4711}',
        "",
        "<html>Unauthorized</html>",
    ],
)
def test_a_logout_refused_for_another_reason_leaves_the_token_in_the_ledger(world: World, body: str) -> None:
    first = world.run()["version_id"]
    world.telenor.fault(operation="logout", status=401, body=body, times=1)
    result = world.run("rotate-and-revoke-now")
    assert (result["revoked"], result["pending_revocations"]) == ([], 1)
    assert first in world.tracked()
    world.clock.advance(minutes=10, seconds=2)
    assert world.run()["revoked"] == [first]
    assert not world.is_live(first)


@pytest.mark.parametrize(
    "body",
    [
        '{"code": 2}',
        '{"code": 40105}',
        '{"code": 40106}',
        '{"fault": {"detail": {"errorcode": "keymanagement.service.access_token_expired"}}}',
        '{"fault": {"detail": {"errorcode": "oauth.v2.InvalidAccessToken"}}}',
        '{"error": "invalid_token"}',
    ],
)
def test_a_logout_that_says_that_the_token_is_dead_settles_it(world: World, body: str) -> None:
    first = world.run()["version_id"]
    world.telenor.fault(operation="logout", status=401, body=body, times=1)
    assert world.run("rotate-and-revoke-now")["pending_revocations"] == 0
    assert first not in world.tracked()


# Found by the chaos


def test_a_run_without_a_grace_that_is_overtaken_at_once_does_not_forget_its_own_token(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run publishes before this one looks again, and cannot log out what it has superseded."""
    monkeypatch.setenv("GRACE_SECONDS", "0")
    request_id = str(uuid.uuid4())

    def overtake() -> None:
        world.telenor.fault(operation="logout", status=503)
        world.run("rotate-now")
        world.telenor.clear_faults()

    world.aws.fault(Meanwhile(operation="DescribeSecret", happens=overtake), after=1)
    world.run(request_id=request_id)
    assert request_id in world.tracked() or not world.is_live(request_id)
    world.run()
    assert world.live() == 1
    assert world.is_current_live()
