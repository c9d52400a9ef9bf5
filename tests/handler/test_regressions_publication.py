"""Each test is a promise that publishing once broke: what became of a write, and what is done about it.

Checked by the contract alone: events and settings in; answer, metrics, labels and codes out.
"""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import pytest

from handler.errors import RotationError
from infra.local.secrets_manager import CallFault, Fault, Lag, LoseLabels, Meanwhile
from tests.conftest import CANARY, CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from tests.conftest import World

TOKEN_SECRET = "telenor/token"

THROTTLED = CallFault(operation="PutSecretValue", code="ThrottlingException")
DENIED = CallFault(operation="PutSecretValue", code="AccessDeniedException")
BROKEN = CallFault(operation="PutSecretValue", code="InternalServiceError", status=500)


def lost(when: Literal["before", "after"]) -> CallFault:
    """Drop the answer to a write that has not taken effect, or that has."""
    return CallFault(operation="PutSecretValue", when=when)


def then_reads_lag(world: World, fault: Fault) -> Meanwhile:
    """Let a write have its fault, and the reads after it answer as if it had not been."""

    def lag() -> None:
        world.aws.fault(Lag(operation="GetSecretValue"), times=20, secret_id=TOKEN_SECRET)
        world.aws.fault(Lag(operation="DescribeSecret"), times=20)

    return Meanwhile(operation="PutSecretValue", fault=fault, happens=lag, when="after")


def attempts(world: World, *faults: Fault) -> None:
    """Let the SDK's attempts of the next write have these faults, the last one again and again."""
    for fault in [*faults, faults[-1], faults[-1]]:
        world.aws.fault(fault)


# A write that may have landed


@pytest.mark.parametrize("last", [THROTTLED, DENIED, BROKEN], ids=["throttled", "denied", "broken"])
def test_a_token_whose_write_landed_unheard_lives_whatever_the_last_attempt_said_and_however_reads_lag(
    world: World, last: CallFault
) -> None:
    world.run()
    attempts(world, then_reads_lag(world, lost("after")), last)
    with pytest.raises(RotationError):
        world.run("rotate-now")
    world.aws.clear_faults()
    assert world.is_current_live()
    assert (world.seen.metrics()["RotationFailed"], world.seen.metrics()["RevocationAbandoned"]) == (1, 1)
    assert "write-unknown" in world.seen.codes()


@pytest.mark.parametrize("last", [THROTTLED, DENIED], ids=["throttled", "denied"])
def test_the_first_token_of_all_lives_too_if_its_write_landed_unheard_and_reads_lag(
    world: World, last: CallFault
) -> None:
    attempts(world, then_reads_lag(world, lost("after")), last)
    with pytest.raises(RotationError):
        world.run()
    world.aws.clear_faults()
    assert world.is_current_live()


def test_an_unusable_answer_with_the_same_token_does_not_cost_one_whose_write_landed_unheard(world: World) -> None:
    """Telenor hands out one token twice, first with a life that makes no sense, so that one is to be logged out."""
    world.run()
    document = json.dumps({"access_token": f"{CANARY}-same", "expires_in": 0})
    world.telenor.fault(operation="token", body=document, times=1)
    world.telenor.fault(operation="token", body=document.replace(" 0", " 3599"), times=1)
    attempts(world, then_reads_lag(world, lost("after")), DENIED)
    with pytest.raises(RotationError):
        world.run("rotate-now")
    assert "logout" not in [request.operation for request in world.telenor.requests]


def test_the_run_after_a_write_that_landed_unheard_finds_a_live_token_that_is_tracked(world: World) -> None:
    request_id = str(uuid.uuid4())
    world.run()
    attempts(world, then_reads_lag(world, lost("after")), DENIED)
    with pytest.raises(RotationError):
        world.run("rotate-now", request_id=request_id)
    world.aws.clear_faults()
    world.clock.advance(minutes=5)
    result = world.run()
    assert (result["outcome"], result["version_id"], result["pending_revocations"]) == ("not-due", request_id, 1)
    assert request_id in world.tracked()
    assert world.is_current_live()


def test_a_write_that_broke_and_was_then_denied_is_no_refusal(world: World) -> None:
    world.run()
    attempts(world, BROKEN, DENIED)
    with pytest.raises(RotationError):
        world.run("rotate-now")
    assert world.live() == 2
    assert world.seen.metrics()["RevocationAbandoned"] == 1


def test_a_write_that_is_refused_in_every_attempt_costs_the_new_token_and_no_other(world: World) -> None:
    world.run()
    attempts(world, THROTTLED)
    with pytest.raises(RotationError):
        world.run("rotate-now")
    assert (world.issued(), world.live()) == (2, 1)
    assert world.is_current_live()
    assert "write-refused" in world.seen.codes()


def test_a_refused_token_that_cannot_be_compared_with_the_current_one_is_left_alive_and_counted(world: World) -> None:
    world.run()

    def deny_reads() -> None:
        unreadable = CallFault(operation="GetSecretValue", code="AccessDeniedException")
        world.aws.fault(unreadable, times=20, secret_id=TOKEN_SECRET)

    attempts(world, Meanwhile(operation="PutSecretValue", fault=DENIED, happens=deny_reads, when="after"))
    with pytest.raises(RotationError):
        world.run("rotate-now")
    assert world.live() == 2
    assert world.seen.metrics()["RevocationAbandoned"] == 1


# What is lost is counted


def test_an_unknown_outcome_is_counted_as_abandoned(world: World) -> None:
    attempts(world, lost("before"))
    with pytest.raises(RotationError):
        world.run()
    assert world.seen.metrics()["RevocationAbandoned"] == 1
    assert "write-unknown" in world.seen.codes()


def test_a_discard_that_fails_is_counted_as_abandoned(world: World) -> None:
    attempts(world, DENIED)
    world.telenor.fault(operation="logout", status=503)
    with pytest.raises(RotationError):
        world.run()
    assert world.live() == 1
    assert world.seen.metrics()["RevocationAbandoned"] == 1
    assert all(world.seen.codes())


def test_a_token_beside_a_twins_that_cannot_be_read_is_left_alive_and_counted(world: World) -> None:
    request_id = str(uuid.uuid4())

    def twin() -> None:
        world.run(request_id=request_id)
        unreadable = CallFault(operation="GetSecretValue", code="AccessDeniedException")
        world.aws.fault(unreadable, times=20, secret_id=TOKEN_SECRET)

    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=twin))
    # Whether that fails the run is no part of the promise.
    with suppress(RotationError):
        world.run(request_id=request_id)
    assert world.live() == 2
    assert world.seen.metrics()["RevocationAbandoned"] == 1
    assert all(world.seen.codes())
    assert world.seen.codes()


# Nothing is minted that cannot be stored


@pytest.mark.parametrize("code", ["DecryptionFailure", "AccessDeniedException"])
def test_a_token_secret_that_may_not_be_read_mints_nothing(world: World, code: str) -> None:
    world.run()
    world.clock.advance(hours=2)
    world.aws.fault(CallFault(operation="GetSecretValue", code=code), times=20, secret_id=TOKEN_SECRET)
    with pytest.raises(RotationError):
        world.run()
    assert world.issued() == 1


def test_a_read_without_an_answer_does_not_hold_up_a_publication(world: World) -> None:
    world.run()
    world.aws.fault(CallFault(operation="GetSecretValue"), times=3, secret_id=TOKEN_SECRET)
    assert world.run("rotate-now")["outcome"] == "rotated"


# Labels


def test_a_label_that_is_lost_at_supersession_is_put_back(world: World) -> None:
    first = world.run()["version_id"]
    labels = [label for label in world.labels()[first] if label.startswith("LIVE_")]
    world.aws.fault(LoseLabels())
    second = world.run("rotate-now")
    assert [label for label in world.labels()[first] if label.startswith("LIVE_")] == labels
    assert (world.tracked(), second["pending_revocations"]) == ({first, second["version_id"]}, 1)
    # Published in the same second, so that the second label is dated a second later.
    world.clock.advance(minutes=10, seconds=1)
    assert world.run()["revoked"] == [first]


def test_a_label_names_its_version_whole(world: World) -> None:
    version_id = world.run()["version_id"]
    (label,) = (label for label in world.labels()[version_id] if label.startswith("LIVE_"))
    assert label == f"LIVE_20261123T213000Z_20261123T222959Z_{version_id}"


def test_a_label_that_ends_in_the_first_eight_characters_is_read_just_as_well(world: World) -> None:
    first = world.run()["version_id"]
    world.unlabel(first)
    world.label(first, f"LIVE_20261123T213000Z_20261123T222959Z_{first[:8]}")
    world.run("rotate-now")
    world.clock.advance(minutes=10, seconds=1)
    assert world.run()["revoked"] == [first]


def test_a_label_from_the_future_counts_for_nothing(world: World) -> None:
    """Someone edited the labels, and the job's own is gone: the document says when this token is due."""
    version_id = world.run()["version_id"]
    world.unlabel(version_id)
    world.label(version_id, f"LIVE_20280101T000000Z_20280101T010000Z_{version_id}")
    world.run()
    assert 0 < world.seen.metrics()["SecondsUntilExpiry"] <= 3599
    world.clock.advance(minutes=40)
    result = world.run()
    assert (result["outcome"], result["version_id"]) != ("not-due", version_id)
    (label,) = (label for label in world.labels()[result["version_id"]] if label.startswith("LIVE_"))
    assert label.startswith("LIVE_20261123T2210")


def test_two_publications_at_one_instant_can_be_told_apart_by_their_labels(world: World) -> None:
    versions = [world.run("rotate-now")["version_id"] for _ in range(3)]
    labels = [label for version in versions for label in world.labels()[version] if label.startswith("LIVE_")]
    published = [label.split("_")[1] for label in labels]
    assert published == sorted(set(published))


def test_a_clock_that_was_set_back_does_not_turn_the_order_of_publications_around(world: World) -> None:
    first = world.run()["version_id"]
    world.clock.advance(seconds=-20)
    second = world.run("rotate-now")["version_id"]
    labels = [label for version in (first, second) for label in world.labels()[version] if label.startswith("LIVE_")]
    assert labels == sorted(labels)
    world.clock.advance(minutes=10, seconds=30)
    assert world.run()["revoked"] == [first]


def test_labels_of_somebody_else_take_up_room_that_is_made(world: World) -> None:
    for _ in range(15):
        current = world.run("rotate-now")["version_id"]
    for number in range(3):
        world.label(current, f"theirs-{number}")
    result = world.run("rotate-now")
    assert result["outcome"] == "rotated"
    assert world.is_current_live()
    assert sum(len(labels) for labels in world.labels().values()) <= 20


def test_labels_of_somebody_else_that_leave_no_room_stop_a_run_before_it_mints(world: World) -> None:
    current = world.run()["version_id"]
    for number in range(17):
        world.label(current, f"theirs-{number}")
    with pytest.raises(RotationError):
        world.run("rotate-now")
    assert world.issued() == 1
    assert current in world.tracked()
    assert "labels-exhausted" in world.seen.codes()


# What a run costs


def test_a_rotation_makes_five_calls_and_one_request(world: World) -> None:
    world.run()
    world.clock.advance(minutes=15)
    before, requests = world.aws.calls(), len(world.telenor.requests)
    world.run()
    assert world.aws.calls() - before == {"DescribeSecret": 2, "GetSecretValue": 2, "PutSecretValue": 1}
    assert [request.operation for request in world.telenor.requests[requests:]] == ["token"]


def test_a_run_that_is_not_due_makes_one_call_and_with_a_verify_url_two_and_a_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    before = world.aws.calls()
    assert world.run()["outcome"] == "not-due"
    assert world.aws.calls() - before == {"DescribeSecret": 1}
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")
    before, requests = world.aws.calls(), len(world.telenor.requests)
    assert world.run()["outcome"] == "not-due"
    assert world.aws.calls() - before == {"DescribeSecret": 1, "GetSecretValue": 1}
    assert [request.operation for request in world.telenor.requests[requests:]] == ["incidents"]


def test_the_sentence_about_a_replica_says_replica(world: World) -> None:
    message = "Operation not permitted on a replica secret. Call must be made in primary secret's region."
    world.aws.fault(CallFault(operation="PutSecretValue", code="InvalidRequestException", message=message), times=3)
    with pytest.raises(RotationError):
        world.run()
    assert "replica" in world.seen.messages()


def test_credentials_that_begin_with_a_byte_order_mark_are_credentials(world: World) -> None:
    world.put_credentials("\ufeff" + json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}))
    assert world.run()["outcome"] == "rotated"
    assert CANARY in world.document()["access_token"]
