"""The outcome of a write, and labels lost at a publication."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from werkzeug.wrappers import Response

from handler.secrets_manager import SecretsManager
from infra.local.secrets_manager_faults import CallFault, Lag, Meanwhile
from tests.leak_detector import CANARY

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

    from infra.local.secrets_manager_faults import Ask, Fault
    from tests.world import World

DENIED = "AccessDeniedException"
REFUSED = CallFault(operation="PutSecretValue", code=DENIED)
NOT_ATTACHED = CallFault(operation="UpdateSecretVersionStage", code=DENIED)
LOST = CallFault(operation="PutSecretValue", when="after")


# The outcome of a write


def test_after_a_refused_write_the_new_token_is_logged_out(world: World) -> None:
    first = world.run()
    world.aws.fault(CallFault(operation="PutSecretValue", code="LimitExceededException"), times=3)
    assert world.failure("rotate-now") == "write-refused"
    assert world.seen.codes() == ["write-refused"]
    assert (world.live(), world.issued()) == (1, 2)
    assert world.labels().keys() == {first["version_id"]}
    assert world.is_current_live()


@pytest.mark.parametrize("is_current", [True, False])
def test_after_a_refused_write_a_reissued_published_token_is_not_logged_out(world: World, *, is_current: bool) -> None:
    """Telenor may reissue a token that consumers hold, even one of a superseded version in its grace."""
    first = world.run()["version_id"]
    again = json.dumps({"access_token": world.token(), "expires_in": 7200})
    if not is_current:
        world.run("rotate-now")
    world.aws.fault(REFUSED)
    world.telenor.fault(operation="token", body=again)
    assert world.failure("rotate-now") == "write-refused"
    assert world.is_live(first)
    assert world.operations().count("logout") == 0


@pytest.mark.parametrize(("code", "status"), [(None, 0), ("InternalServiceError", 500)])
def test_a_write_with_a_lost_response_is_looked_up_and_succeeds(world: World, code: str | None, status: int) -> None:
    first = world.run()["version_id"]
    world.aws.fault(CallFault(operation="PutSecretValue", when="after", code=code, status=status), times=3)
    result = world.run("rotate-now")
    assert (result["outcome"], result["pending_revocations"]) == ("rotated", 1)
    assert world.aws.calls()["UpdateSecretVersionStage"] == 0
    assert world.tracked() == {first, result["version_id"]}
    assert world.seen.metrics()["TokenRotated"] == 1
    assert world.is_current_live()


def test_a_lost_response_is_distinguished_from_a_refusal_after_another_publication(world: World) -> None:
    world.run()
    request_id = str(uuid.uuid4())
    world.aws.fault(LOST)
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: world.run("rotate-now")))
    world.aws.fault(CallFault(operation="PutSecretValue", code="ThrottlingException"), after=1)
    assert world.run("rotate-now", request_id=request_id)["outcome"] == "rotated"
    assert request_id in world.tracked()
    assert world.is_live(request_id)


def test_after_a_write_that_cannot_be_looked_up_the_next_run_continues(world: World) -> None:
    world.run()
    world.clock.advance(minutes=30)
    world.aws.fault(LOST, times=3)
    world.aws.fault(CallFault(operation="GetSecretValue", code=DENIED), after=2)
    assert world.failure() == "write-unknown"
    assert world.is_current_live()
    assert world.seen.metrics()["RevocationAbandoned"] == 1
    assert world.run()["outcome"] == "not-due"
    assert world.live() == len(world.tracked()) == 2


def test_a_write_that_never_arrived_has_an_unknown_outcome_and_revokes_nothing(world: World) -> None:
    first, second = world.supersede()
    world.clock.advance(minutes=30)
    world.aws.fault(CallFault(operation="PutSecretValue"), times=3)
    before = world.aws.calls()
    assert world.failure() == "write-unknown"
    assert world.seen.codes() == ["revocation-abandoned", "write-unknown"]
    assert (world.aws.calls() - before)["DescribeSecret"] == 1
    assert world.is_live(first)
    assert world.tracked() == {first, second}
    assert world.operations() == ["token"] * 3


def test_a_duplicate_delivery_that_published_first_wins_and_the_surplus_token_is_logged_out(world: World) -> None:
    """Both deliveries of one event find no token; the first one writes before the second."""
    request_id = str(uuid.uuid4())
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: world.run(request_id=request_id)))
    result = world.run(request_id=request_id)
    assert (result["outcome"], result["version_id"]) == ("rotated", request_id)
    assert (world.issued(), world.live()) == (2, 1)
    assert world.tracked() == {request_id}
    assert world.seen.metrics()["TokenRotated"] == 0
    assert world.is_current_live()


def test_a_duplicates_publication_is_distinguished_from_a_lost_write_of_our_own(world: World) -> None:
    request_id = str(uuid.uuid4())

    def publish_first() -> None:
        world.run(request_id=request_id)
        world.aws.fault(CallFault(operation="PutSecretValue", code="InternalServiceError", status=500), times=3)

    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=publish_first), after=1)
    result = world.run(request_id=request_id)
    assert (result["outcome"], result["version_id"]) == ("rotated", request_id)
    assert (world.issued(), world.live()) == (2, 1)
    assert world.seen.metrics()["TokenRotated"] == 0
    assert world.is_current_live()


@pytest.mark.parametrize("code", [DENIED, "ResourceNotFoundException"])
def test_if_a_duplicates_version_is_unreadable_our_own_token_is_kept_and_counted(world: World, code: str) -> None:
    """The duplicate's publication still counts, and the next run continues from it."""
    request_id = str(uuid.uuid4())

    def publish_first() -> None:
        world.run(request_id=request_id)
        world.aws.fault(CallFault(operation="GetSecretValue", code=code))

    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=publish_first))
    result = world.run(request_id=request_id)
    assert (result["outcome"], result["version_id"]) == ("rotated", request_id)
    assert world.seen.codes() == ["revocation-abandoned"]
    assert world.seen.metrics()["RevocationAbandoned"] == 1
    assert world.live() == 2
    assert world.is_current_live()
    assert world.run()["outcome"] == "not-due"


def test_duplicates_that_got_the_same_token_both_keep_it(world: World) -> None:
    request_id = str(uuid.uuid4())
    world.telenor.knobs(issue="same")
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: world.run(request_id=request_id)))
    world.run(request_id=request_id)
    assert (world.issued(), world.live()) == (1, 1)
    assert world.seen.metrics()["TokenRotated"] == 1
    assert world.is_current_live()


def test_an_unexpected_error_in_a_write_keeps_and_counts_a_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SecretsManager, "write", Mock(side_effect=KeyError))
    assert world.failure() == "unexpected"
    assert world.live() == 1
    assert set(world.seen.codes()) == {"unexpected", "revocation-abandoned"}
    assert world.seen.metrics()["RevocationAbandoned"] == 1


@dataclass(frozen=True)
class DropLabels:
    """A fault in which PutSecretValue sets only AWSCURRENT, as MiniStack 1.5.33 does."""

    world: World
    status: int = 200
    operation: str = "PutSecretValue"

    def answer(self, _environ: WSGIEnvironment, ask: Ask) -> Response:
        body = json.loads(ask().get_data())
        self.world.unlabel(body["VersionId"])
        return Response(json.dumps(body | {"VersionStages": ["AWSCURRENT"]}), self.status)


@pytest.mark.parametrize("status", [200, 500])
def test_a_label_missing_after_a_write_is_added(world: World, status: int) -> None:
    """The response lacks the label, or there was none and the version is found without it."""
    world.aws.fault(DropLabels(world, status), times=3)
    result = world.run()
    assert world.tracked() == {result["version_id"]}
    assert world.seen.codes() == ["label-attached"]
    assert world.run()["outcome"] == "not-due"


@pytest.mark.parametrize("times", [1, 2])
def test_a_label_that_cannot_be_added_is_logged_and_no_token_is_lost(world: World, times: int) -> None:
    first = world.run()["version_id"]
    world.aws.fault(DropLabels(world))
    # The first call is the test's own; then come the adapter's attempt, and the one after the description.
    world.aws.fault(NOT_ATTACHED, after=1, times=times)
    result = world.run("rotate-now")
    assert (result["outcome"], result["revoked"]) == ("rotated", [])
    assert result["expires_at"] == world.document()["expires_at"]
    assert world.seen.codes() == ["label-missing", "label-lost"]
    assert world.seen.metrics()["RevocationAbandoned"] == 0
    assert (result["version_id"] in world.tracked()) is (times == 1)
    assert world.is_current_live()
    assert world.is_live(first)
    world.run()
    assert world.tracked() == {first, result["version_id"]}


# Labels lost at a publication


def lose_label(world: World, version_id: str) -> Meanwhile:
    """Remove the label of the version that a write supersedes: that AWS keeps it is not verified."""
    return Meanwhile(operation="PutSecretValue", happens=lambda: world.unlabel(version_id), when="after")


@pytest.mark.parametrize(
    ("fault", "after", "codes", "pending"),
    [
        pytest.param(None, 0, ["label-lost"], 1, id="restored"),
        # The first call is the test's own.
        pytest.param(NOT_ATTACHED, 1, ["label-lost", "revocation-abandoned"], 0, id="cannot be restored"),
        pytest.param(CallFault(operation="DescribeSecret", code=DENIED), 1, ["description-failed"], 1, id="no answer"),
        pytest.param(Lag(operation="DescribeSecret"), 1, [], 1, id="a stale description shows no lost label"),
    ],
)
def test_a_label_lost_at_supersession(
    world: World, fault: Fault | None, after: int, codes: list[str], pending: int
) -> None:
    first = world.run()["version_id"]
    world.aws.fault(lose_label(world, first))
    if fault:
        world.aws.fault(fault, after=after)
    result = world.run("rotate-now")
    assert (result["outcome"], result["pending_revocations"]) == ("rotated", pending)
    assert world.seen.codes() == codes
    assert (first in world.tracked()) is (codes == ["label-lost"])
    assert world.seen.metrics()["RevocationAbandoned"] == 1 - pending


def test_a_failed_restoration_does_not_stop_that_of_the_next_version(world: World) -> None:
    first, second = world.supersede()

    def lose_both() -> None:
        world.unlabel(first)
        world.unlabel(second)

    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lose_both, when="after"))
    # The first two calls are the test's own.
    world.aws.fault(NOT_ATTACHED, after=2)
    assert world.run("rotate-now")["pending_revocations"] == 1
    assert world.seen.codes() == ["label-lost", "revocation-abandoned", "label-lost"]
    assert second in world.tracked()


def test_a_version_with_two_labels_survives_the_loss_of_one(world: World) -> None:
    """The version is still tracked by its other label."""
    first = world.run()["version_id"]

    def lose_one() -> None:
        world.unlabel(first)
        world.label(first, "LIVE_manual")

    world.label(first, "LIVE_manual")
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lose_one, when="after"))
    # The first three calls are the test's own.
    world.aws.fault(NOT_ATTACHED, after=3)
    assert world.run("rotate-now")["pending_revocations"] == 1
    assert world.seen.codes() == ["label-lost"]
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_the_label_of_a_just_expired_token_is_not_restored(world: World) -> None:
    first = world.run()["version_id"]
    world.clock.advance(seconds=3599)
    world.aws.fault(lose_label(world, first))
    assert world.run()["outcome"] == "rotated"
    assert world.seen.codes() == []


# A write that succeeded although its response was lost


def lose_response_then_read_stale(world: World) -> Meanwhile:
    """Lose the response to a write, and let later reads return the state before it."""

    def lag() -> None:
        world.aws.fault(Lag(operation="GetSecretValue"), times=20, secret_id="telenor/token")
        world.aws.fault(Lag(operation="DescribeSecret"), times=20)

    return Meanwhile(operation="PutSecretValue", fault=LOST, happens=lag, when="after")


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(
    "last",
    [
        *(CallFault(operation="PutSecretValue", code="ThrottlingException"), REFUSED),
        CallFault(operation="PutSecretValue", code="InternalServiceError", status=500),
    ],
    ids=lambda fault: fault.code,
)
def test_a_token_written_by_a_lost_attempt_stays_active_despite_later_refusals_and_stale_reads(
    world: World, last: CallFault, *, is_first: bool
) -> None:
    if not is_first:
        world.run()
    request_id = str(uuid.uuid4())
    world.aws.fault(lose_response_then_read_stale(world))
    world.aws.fault(last, times=2)
    assert world.failure("rotate-now", request_id=request_id) == "write-unknown"
    world.aws.clear_faults()
    assert world.is_current_live()
    assert (world.seen.metrics()["RotationFailed"], world.seen.metrics()["RevocationAbandoned"]) == (1, 1)
    world.clock.advance(minutes=5)
    result = world.run()
    assert (result["outcome"], result["version_id"]) == ("not-due", request_id)
    assert request_id in world.tracked()


def test_an_unusable_response_with_the_same_token_does_not_revoke_one_written_by_a_lost_attempt(world: World) -> None:
    """Telenor issues one token twice, first with an invalid lifetime, so that the first response is to be revoked."""
    world.run()
    document = json.dumps({"access_token": f"{CANARY}-same", "expires_in": 0})
    world.telenor.fault(operation="token", body=document, times=1)
    world.telenor.fault(operation="token", body=document.replace(" 0", " 3599"), times=1)
    world.aws.fault(lose_response_then_read_stale(world))
    world.aws.fault(REFUSED)
    assert world.failure("rotate-now") == "write-unknown"
    assert "logout" not in world.operations()


def test_a_rejected_token_that_cannot_be_compared_with_the_current_one_is_kept_and_counted(world: World) -> None:
    world.run()

    def deny_reads() -> None:
        world.aws.fault(CallFault(operation="GetSecretValue", code=DENIED), times=20, secret_id="telenor/token")

    world.aws.fault(Meanwhile(operation="PutSecretValue", fault=REFUSED, happens=deny_reads, when="after"))
    assert world.failure("rotate-now") == "write-refused"
    assert world.live() == 2
    assert world.seen.metrics()["RevocationAbandoned"] == 1
