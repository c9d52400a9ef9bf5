"""The run as a whole, over Secrets Manager and Telenor: what each promise rests on."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.wrappers import Response

from handler.errors import (
    InvalidInputError,
    PublicationRefusedError,
    PublicationUnknownError,
    RotationError,
    SecretsManagerError,
    TelenorRefusedError,
    TelenorUnavailableError,
    TokenNotAcceptedError,
)
from handler import rotation
from infra.local.secrets_manager import CallFault, Meanwhile
from tests.conftest import CANARY, CLIENT_ID

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIEnvironment

    from tests.conftest import World


# The life of a token


def test_the_first_run_publishes_a_token_and_tracks_it(world: World) -> None:
    result = world.run()
    assert (result["outcome"], result["reason"]) == ("rotated", "no-current-version")
    assert world.is_current_live()
    assert world.tracked() == {result["version_id"]}
    assert world.document()["expires_at"] == result["expires_at"]
    assert result["expires_at"] - result["renews_at"] == pytest.approx(1800, abs=1)


def test_the_version_id_is_the_id_of_the_request(world: World) -> None:
    request_id = str(uuid.uuid4())
    assert world.run(request_id=request_id)["version_id"] == request_id
    assert list(world.labels()) == [request_id]


def test_an_id_that_cannot_be_a_version_id_is_replaced_by_one_that_can(world: World) -> None:
    assert uuid.UUID(world.run(request_id="short")["version_id"])


def test_a_run_with_nothing_to_do_makes_one_call_and_reads_no_value(world: World) -> None:
    first = world.run()
    before = world.aws.calls()
    requests = len(world.telenor.requests)
    world.clock.advance(minutes=5)
    result = world.run()
    assert world.aws.calls() - before == {"DescribeSecret": 1}
    assert len(world.telenor.requests) == requests
    assert (result["outcome"], result["reason"], result["version_id"]) == ("not-due", "fresh", first["version_id"])


def test_a_forced_rotation_makes_four_calls_and_one_request(world: World) -> None:
    world.run()
    before = world.aws.calls()
    requests = len(world.telenor.requests)
    result = world.run("rotate-now")
    assert (result["outcome"], result["reason"]) == ("rotated", "forced")
    assert world.aws.calls() - before == {"DescribeSecret": 1, "GetSecretValue": 2, "PutSecretValue": 1}
    assert [request.operation for request in world.telenor.requests[requests:]] == ["token"]


def test_a_token_is_renewed_at_half_its_life(world: World) -> None:
    world.run()
    world.clock.advance(minutes=29)
    assert world.run()["outcome"] == "not-due"
    world.clock.advance(minutes=1)
    assert world.run()["reason"] == "share-of-life-used"


def test_a_superseded_token_survives_its_grace_and_no_longer(world: World) -> None:
    first = world.run()["version_id"]
    second = world.run("rotate-now")
    assert (second["revoked"], second["pending_revocations"]) == ([], 1)
    world.clock.advance(seconds=599)
    assert world.run()["revoked"] == []
    assert world.is_live(first)
    world.clock.advance(seconds=1)
    third = world.run()
    assert (third["outcome"], third["revoked"], third["pending_revocations"]) == ("not-due", [first], 0)
    assert not world.is_live(first)
    assert world.tracked() == {second["version_id"]}
    assert world.is_current_live()


def test_a_run_that_rotates_also_revokes_what_has_had_its_grace(world: World) -> None:
    first, second = world.run()["version_id"], world.run("rotate-now")["version_id"]
    world.clock.advance(minutes=30)
    third = world.run()
    assert (third["outcome"], third["revoked"], third["pending_revocations"]) == ("rotated", [first], 1)
    assert (world.is_live(first), world.is_live(second)) == (False, True)


def test_without_a_grace_the_previous_token_dies_in_the_run_that_replaces_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRACE_SECONDS", "0")
    first = world.run()["version_id"]
    world.clock.advance(milliseconds=300)
    assert world.run("rotate-now")["revoked"] == [first]
    assert world.live() == 1
    assert world.is_current_live()


def test_an_expired_token_is_forgotten_without_a_logout(world: World) -> None:
    world.run()
    world.run("rotate-now")
    world.clock.advance(hours=1)
    result = world.run()
    assert (result["revoked"], result["pending_revocations"]) == ([], 0)
    assert world.tracked() == {result["version_id"]}
    assert [request.operation for request in world.telenor.requests] == ["token"] * 3


def test_hours_of_runs_leave_one_token_and_one_in_its_grace(world: World) -> None:
    for _ in range(5 * 12):
        world.run()
        assert world.is_current_live()
        assert world.live() == len(world.tracked()) <= 2
        world.clock.advance(minutes=5)


def test_several_clients_are_served_by_their_events(world: World) -> None:
    world.client.create_secret(Name="other/token")
    world.run(token_secret_id="other/token", scope="incidents.read")
    value = world.client.get_secret_value(SecretId="other/token")["SecretString"]
    assert json.loads(value)["scope"] == "incidents.read"
    assert world.labels() == {}


# A leak


def test_a_leak_ends_every_other_token_at_once(world: World) -> None:
    versions = [world.run("rotate-now")["version_id"] for _ in range(3)]
    result = world.run("rotate-and-revoke-now")
    assert (result["outcome"], result["reason"], result["pending_revocations"]) == ("rotated", "leaked", 0)
    assert set(result["revoked"]) == set(versions)
    assert world.live() == 1
    assert world.is_current_live()


def test_a_leak_ends_also_a_token_that_was_rolled_back(world: World) -> None:
    first = world.run()["version_id"]
    world.clock.advance(minutes=1)
    second = world.run("rotate-now")["version_id"]
    world.roll_back_to(first)
    assert set(world.run("rotate-and-revoke-now")["revoked"]) == {first, second}
    assert world.live() == 1


def test_a_repeated_leak_event_spares_what_another_run_has_published_since(world: World) -> None:
    request_id = str(uuid.uuid4())
    world.run()
    world.run("rotate-and-revoke-now", request_id=request_id)
    world.clock.advance(seconds=5)
    current = world.run("rotate-now")["version_id"]
    result = world.run("rotate-and-revoke-now", request_id=request_id)
    assert (result["outcome"], result["version_id"], result["revoked"]) == ("not-due", current, [request_id])
    assert world.live() == 1
    assert world.is_current_live()


def test_a_repeated_leak_event_whose_version_is_revoked_already_spares_the_current_token(world: World) -> None:
    request_id = str(uuid.uuid4())
    world.run("rotate-and-revoke-now", request_id=request_id)
    world.clock.advance(seconds=5)
    current = world.run("rotate-and-revoke-now")["version_id"]
    assert world.tracked() == {current}
    result = world.run("rotate-and-revoke-now", request_id=request_id)
    assert (result["version_id"], result["revoked"]) == (current, [])
    assert world.live() == 1
    assert world.is_current_live()


@pytest.mark.parametrize("issue", ["same", "same-extended"])
def test_a_leaked_token_that_is_handed_out_again_is_never_published_as_good_as_new(world: World, issue: str) -> None:
    first = world.run()["version_id"]
    world.clock.advance(minutes=30)
    world.telenor.knobs(issue=issue)
    result = world.run("rotate-and-revoke-now")
    assert (result["outcome"], result["version_id"]) == ("reissued", first)
    assert "still the current one" in world.seen.messages()


def test_a_leak_while_telenor_gives_no_token_ends_the_superseded_ones_and_fails(world: World) -> None:
    first, second = world.run()["version_id"], world.run("rotate-now")["version_id"]
    world.telenor.fault(operation="token", drop=True)
    with pytest.raises(TelenorUnavailableError):
        world.run("rotate-and-revoke-now")
    assert (world.is_live(first), world.is_live(second)) == (False, True)


# The same token again


def test_a_token_that_is_handed_out_again_is_not_published_twice(world: World) -> None:
    first = world.run()
    world.telenor.knobs(issue="same")
    world.clock.advance(minutes=30)
    result = world.run()
    assert (result["outcome"], result["version_id"]) == ("reissued", first["version_id"])
    assert world.labels().keys() == {first["version_id"]}
    assert world.seen.metrics()["TokenReissued"] == 1
    assert world.is_current_live()


def test_a_token_that_really_lives_longer_now_is_published_with_its_new_life(world: World) -> None:
    first = world.run()
    world.telenor.knobs(issue="same-extended")
    world.clock.advance(minutes=30)
    result = world.run()
    assert result["outcome"] == "rotated"
    assert world.document()["expires_at"] == first["expires_at"] + 1800
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == []
    assert world.tracked() == {result["version_id"]}
    assert world.is_current_live()


def test_a_twin_of_a_token_in_its_grace_is_not_logged_out(world: World) -> None:
    """The first two versions hold one token. When the third comes, the first may be revoked, but not its token."""
    world.run()
    world.telenor.knobs(issue="same-extended")
    world.clock.advance(minutes=30)
    second = world.run()["version_id"]
    world.telenor.knobs(issue="new")
    world.clock.advance(minutes=11)
    result = world.run("rotate-now")
    assert result["outcome"] == "rotated"
    assert world.is_live(second)
    world.clock.advance(minutes=10)
    world.run()
    assert world.live() == 1
    assert world.is_current_live()


@pytest.mark.parametrize("action", [None, "rotate-now", "rotate-and-revoke-now"])
def test_a_token_that_kills_the_old_one_leaves_the_new_one_current(world: World, action: str | None) -> None:
    world.run()
    world.telenor.knobs(issue="new-kills-old")
    world.clock.advance(minutes=30)
    assert world.run(action)["outcome"] == "rotated"
    world.clock.advance(minutes=10)
    world.run()
    assert world.is_current_live()
    assert len(world.tracked()) == 1


# What fails


@pytest.mark.parametrize("fault", [{"drop": True}, {"html": True}, {"status": 401, "body": '{"code": 22}'}])
def test_a_failed_token_request_touches_nothing_that_is_published(world: World, fault: dict[str, Any]) -> None:
    world.run()
    labels, document = world.labels(), world.document()
    world.telenor.fault(operation="token", **fault)
    world.clock.advance(minutes=30)
    with pytest.raises(RotationError):
        world.run()
    assert (world.labels(), world.document()) == (labels, document)
    assert world.is_current_live()
    world.telenor.clear_faults()
    assert world.run()["outcome"] == "rotated"


def test_a_failed_rotation_still_revokes_what_has_had_its_grace(world: World) -> None:
    first, second = world.run()["version_id"], world.run("rotate-now")["version_id"]
    world.clock.advance(minutes=30)
    world.telenor.fault(operation="token", status=401, body='{"code": 22}')
    with pytest.raises(TelenorRefusedError):
        world.run()
    assert (world.is_live(first), world.is_live(second)) == (False, True)
    assert world.seen.metrics()["TokenRevoked"] == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 302, "headers": {"Location": "http://["}},
        {"status": 503, "retry_after": "Fri, 31 Dec 9999 23:59:59 -1200"},
    ],
    ids=["a redirect that leads nowhere", "a Retry-After beyond all time"],
)
def test_no_answer_to_a_logout_fails_a_run_that_has_published(world: World, fault: dict[str, Any]) -> None:
    world.run()
    world.run("rotate-now")
    world.clock.advance(minutes=30)
    world.telenor.fault(operation="logout", **fault)
    assert world.run()["outcome"] == "rotated"
    assert world.seen.metrics()["RevocationFailed"] == 1


def test_a_defect_between_obtaining_and_publishing_leaves_no_token_alive(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise KeyError

    monkeypatch.setattr(Rotation, "_track_current", fail)
    with pytest.raises(RotationError, match="unexpected KeyError"):
        world.run()
    assert (world.issued(), world.live()) == (1, 0)


def test_a_failing_logout_does_not_hold_up_a_publication_and_is_tried_again(world: World) -> None:
    first = world.run()["version_id"]
    world.run("rotate-now")
    world.clock.advance(minutes=30)
    world.telenor.fault(operation="logout", status=500)
    result = world.run()
    assert (result["outcome"], result["revoked"], result["pending_revocations"]) == ("rotated", [], 2)
    assert (world.seen.metrics()["RevocationFailed"], world.seen.metrics()["RevocationsPending"]) == (1, 2)
    assert first in world.tracked()
    world.telenor.clear_faults()
    world.clock.advance(minutes=10)
    assert first in world.run()["revoked"]
    assert world.live() == 1


def test_a_logout_that_fails_once_is_tried_again_in_the_same_run(world: World) -> None:
    first = world.run()["version_id"]
    world.run("rotate-now")
    world.clock.advance(minutes=10)
    world.telenor.fault(operation="logout", status=503, times=1)
    assert world.run()["revoked"] == [first]


def test_each_token_that_could_not_be_revoked_is_counted(world: World) -> None:
    for _ in range(3):
        world.run("rotate-now")
    world.clock.advance(minutes=10)
    world.telenor.fault(operation="logout", status=503)
    assert world.run()["pending_revocations"] == 2
    assert world.seen.metrics()["RevocationFailed"] == 2


def test_nothing_is_revoked_while_no_version_reads_as_current(world: World) -> None:
    first = world.run()["version_id"]
    world.run("rotate-now")
    world.clock.advance(minutes=10)
    world.aws.fault(CallFault(operation="GetSecretValue", code="ResourceNotFoundException"), after=1)
    result = world.run()
    assert (result["revoked"], result["pending_revocations"]) == ([], 1)
    assert world.is_live(first)
    assert "no version is current" in world.seen.messages()


def test_a_token_is_not_minted_that_could_not_be_stored(world: World) -> None:
    for operation in ("DescribeSecret", "GetSecretValue"):
        world.aws.fault(CallFault(operation=operation, code="AccessDeniedException"))
        with pytest.raises(SecretsManagerError, match=operation):
            world.run()
    world.client.delete_secret(SecretId="telenor/token", RecoveryWindowInDays=7)
    with pytest.raises(SecretsManagerError, match="marked for deletion"):
        world.run()
    assert world.telenor.requests == []


@pytest.mark.parametrize(
    "content",
    ["not JSON", "{}", '{"username": "kari", "password": "CANARY"}', '{"client_id": "x:y", "client_secret": "CANARY"}'],
)
def test_bad_credentials_mint_nothing_and_lose_nothing(world: World, content: str) -> None:
    world.run()
    labels = world.labels()
    requests = len(world.telenor.requests)
    world.put_credentials(content)
    with pytest.raises(InvalidInputError, match="CREDENTIALS_SECRET_ID"):
        world.run("rotate-now")
    assert (len(world.telenor.requests), world.labels()) == (requests, labels)


def test_a_refused_write_logs_the_new_token_out(world: World) -> None:
    first = world.run()
    world.aws.fault(CallFault(operation="PutSecretValue", code="LimitExceededException"), times=3)
    with pytest.raises(PublicationRefusedError, match="LimitExceededException"):
        world.run("rotate-now")
    assert (world.live(), world.issued()) == (1, 2)
    assert world.labels().keys() == {first["version_id"]}
    assert world.is_current_live()


def test_a_refused_write_of_the_current_token_logs_nothing_out(world: World) -> None:
    world.run()
    world.telenor.knobs(issue="same-extended")
    world.clock.advance(minutes=30)
    world.aws.fault(CallFault(operation="PutSecretValue", code="AccessDeniedException"))
    with pytest.raises(PublicationRefusedError):
        world.run()
    assert world.is_current_live()


def test_a_refused_write_of_a_token_in_its_grace_logs_nothing_out(world: World) -> None:
    """Telenor may hand out again a token that consumers still hold from the version before."""
    first = world.run()["version_id"]
    document = world.document()
    world.run("rotate-now")
    world.aws.fault(CallFault(operation="PutSecretValue", code="AccessDeniedException"))
    world.telenor.fault(
        operation="token", body=json.dumps({"access_token": document["access_token"], "expires_in": 3599})
    )
    with pytest.raises(PublicationRefusedError):
        world.run("rotate-now")
    assert world.is_live(first)


def test_a_token_that_could_be_neither_stored_nor_logged_out_is_said(world: World) -> None:
    world.run()
    world.aws.fault(CallFault(operation="PutSecretValue", code="AccessDeniedException"))
    world.telenor.fault(operation="logout", status=503)
    with pytest.raises(PublicationRefusedError):
        world.run("rotate-now")
    assert "lives until it expires" in world.seen.messages()
    assert world.seen.metrics()["RevocationFailed"] == 1


def test_each_token_that_could_be_neither_stored_nor_logged_out_is_counted(world: World) -> None:
    world.telenor.knobs(expires_in_as="raw", expires_in_raw="nonsense")
    world.telenor.fault(operation="logout", status=503)
    with pytest.raises(TelenorUnavailableError):
        world.run()
    assert world.seen.metrics()["RevocationFailed"] == world.live() > 1


@pytest.mark.parametrize(("code", "status"), [(None, 0), ("InternalServiceError", 500)])
def test_a_write_whose_answer_was_lost_is_looked_up_and_has_succeeded(
    world: World, code: str | None, status: int
) -> None:
    first = world.run()["version_id"]
    world.aws.fault(CallFault(operation="PutSecretValue", when="after", code=code, status=status), times=3)
    result = world.run("rotate-now")
    assert (result["outcome"], result["pending_revocations"]) == ("rotated", 1)
    assert world.aws.calls()["UpdateSecretVersionStage"] == 0
    assert world.tracked() == {first, result["version_id"]}
    assert world.seen.metrics()["TokenRotated"] == 1
    assert world.is_current_live()


def test_a_write_that_was_throttled_after_a_lost_answer_has_succeeded(world: World) -> None:
    first = world.run()["version_id"]
    world.aws.fault(CallFault(operation="PutSecretValue", when="after"))
    world.aws.fault(CallFault(operation="PutSecretValue", code="ThrottlingException"), times=2)
    result = world.run("rotate-now")
    assert world.tracked() == {first, result["version_id"]}
    assert world.is_current_live()


def test_a_lost_answer_is_told_from_a_refusal_although_another_run_has_published_since(world: World) -> None:
    world.run()
    request_id = str(uuid.uuid4())
    world.aws.fault(CallFault(operation="PutSecretValue", when="after"))
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: world.run("rotate-now")))
    world.aws.fault(CallFault(operation="PutSecretValue", code="ThrottlingException"), after=1)
    assert world.run("rotate-now", request_id=request_id)["outcome"] == "rotated"
    assert request_id in world.tracked()
    assert world.is_live(request_id)


def test_a_refused_write_that_cannot_be_looked_up_leaves_what_may_be_published(world: World) -> None:
    world.run()
    world.aws.fault(CallFault(operation="PutSecretValue", when="after"))
    world.aws.fault(CallFault(operation="PutSecretValue", code="ThrottlingException"), times=2)
    world.aws.fault(CallFault(operation="GetSecretValue", code="AccessDeniedException"), after=2)
    with pytest.raises(PublicationRefusedError):
        world.run("rotate-now")
    assert world.is_current_live()


def test_a_write_that_never_arrived_fails_as_unknown_and_revokes_nothing(world: World) -> None:
    first, second = world.run()["version_id"], world.run("rotate-now")["version_id"]
    world.clock.advance(minutes=30)
    world.aws.fault(CallFault(operation="PutSecretValue"), times=3)
    before = world.aws.calls()
    with pytest.raises(PublicationUnknownError, match="may have been written"):
        world.run()
    # Where the version is not there, what is current need not be asked for.
    assert (world.aws.calls() - before)["DescribeSecret"] == 1
    assert world.is_live(first)
    assert world.tracked() == {first, second}
    assert [request.operation for request in world.telenor.requests] == ["token"] * 3


def test_a_write_that_cannot_be_looked_up_fails_as_unknown_and_the_next_run_goes_on(world: World) -> None:
    world.run()
    world.clock.advance(minutes=30)
    world.aws.fault(CallFault(operation="PutSecretValue", when="after"), times=3)
    world.aws.fault(CallFault(operation="DescribeSecret", code="AccessDeniedException"), after=1)
    with pytest.raises(PublicationUnknownError):
        world.run()
    assert world.is_current_live()
    assert world.run()["outcome"] == "not-due"
    assert world.live() == len(world.tracked()) == 2


def test_a_token_is_published_although_the_current_one_could_not_be_read(world: World) -> None:
    world.run()
    world.aws.fault(CallFault(operation="GetSecretValue", code="AccessDeniedException"), after=1)
    assert world.run("rotate-now")["outcome"] == "rotated"
    assert world.is_current_live()


@pytest.mark.parametrize("operation", ["GetSecretValue", "UpdateSecretVersionStage"])
def test_a_revocation_that_secrets_manager_holds_up_is_tried_again(world: World, operation: str) -> None:
    first = world.run()["version_id"]
    world.run("rotate-now")
    world.clock.advance(minutes=10)
    world.aws.fault(CallFault(operation=operation, code="AccessDeniedException"))
    assert world.run()["pending_revocations"] == 1
    assert first in world.tracked()
    assert world.run()["pending_revocations"] == 0
    assert world.live() == len(world.tracked()) == 1


def test_a_superseded_version_that_a_lagging_read_does_not_find_is_not_forgotten(world: World) -> None:
    first = world.run()["version_id"]
    world.run("rotate-now")
    world.clock.advance(minutes=10)
    world.aws.fault(CallFault(operation="GetSecretValue", code="ResourceNotFoundException"))
    assert world.run()["pending_revocations"] == 1
    assert first in world.tracked()
    assert world.run()["revoked"] == [first]


def test_answers_that_cannot_be_used_leave_no_token_alive(world: World) -> None:
    world.telenor.knobs(expires_in_as="raw", expires_in_raw="nonsense")
    with pytest.raises(TelenorUnavailableError, match="expires_in"):
        world.run()
    assert (world.issued(), world.live(), world.labels()) == (5, 0, {})


def test_an_unusable_answer_before_a_good_one_does_not_cost_the_good_token(world: World) -> None:
    """Telenor hands out one token twice, first with a life that makes no sense."""
    document = json.dumps({"access_token": f"{CANARY}-same", "expires_in": 0})
    world.telenor.fault(operation="token", body=document, times=1)
    world.telenor.fault(operation="token", body=document.replace(" 0", " 3599"), times=1)
    assert world.run()["outcome"] == "rotated"
    assert [request.operation for request in world.telenor.requests] == ["token", "token"]


def test_a_refused_client_is_told_once_and_not_tried_again(world: World) -> None:
    world.put_credentials(json.dumps({"client_id": CLIENT_ID, "client_secret": f"{CANARY}-wrong"}))
    with pytest.raises(TelenorRefusedError, match="401 code 22"):
        world.run()
    assert len(world.telenor.requests) == 1


# Verification


def test_a_token_that_consumers_could_not_use_is_logged_out_instead_of_published(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.run()
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")
    world.telenor.fault(operation="incidents", status=403)
    with pytest.raises(TokenNotAcceptedError):
        world.run("rotate-now")
    assert (world.live(), world.issued()) == (1, 2)
    assert world.labels().keys() == {first["version_id"]}


@pytest.mark.parametrize("fault", [None, {"status": 500}, {"drop": True}])
def test_a_verification_that_says_neither_does_not_hold_a_token_back(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any] | None
) -> None:
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")
    if fault:
        world.telenor.fault(operation="incidents", **fault)
    assert world.run()["outcome"] == "rotated"
    assert [request.operation for request in world.telenor.requests] == ["token", "incidents"]


# Twins, overlaps and hands


def test_a_repeated_delivery_does_nothing_twice(world: World) -> None:
    request_id = str(uuid.uuid4())
    world.run("rotate-now", request_id=request_id)
    result = world.run("rotate-now", request_id=request_id)
    assert (result["outcome"], result["reason"]) == ("not-due", "already-rotated-by-this-request")
    assert world.issued() == 1


def test_a_twin_that_published_first_wins_and_the_other_token_is_logged_out(world: World) -> None:
    """Both deliveries of one event see that nothing is there; the first one's write lands between."""
    request_id = str(uuid.uuid4())
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: world.run(request_id=request_id)))
    result = world.run(request_id=request_id)
    assert (result["outcome"], result["version_id"]) == ("rotated", request_id)
    assert (world.issued(), world.live()) == (2, 1)
    assert world.tracked() == {request_id}
    assert world.is_current_live()


def test_a_twin_that_published_before_a_lost_write_is_told_from_the_own_token(world: World) -> None:
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


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_twin_that_cannot_be_read_makes_the_run_fail_as_unknown(world: World, code: str) -> None:
    request_id = str(uuid.uuid4())
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: twin(world, request_id, code)))
    with pytest.raises(PublicationUnknownError):
        world.run(request_id=request_id)
    assert world.is_current_live()
    assert world.run()["outcome"] == "not-due"


def twin(world: World, request_id: str, code: str) -> None:
    world.run(request_id=request_id)
    world.aws.fault(CallFault(operation="GetSecretValue", code=code))


def test_twins_that_got_the_same_token_both_leave_it_alone(world: World) -> None:
    request_id = str(uuid.uuid4())
    world.telenor.knobs(issue="same")
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: world.run(request_id=request_id)))
    world.run(request_id=request_id)
    assert (world.issued(), world.live()) == (1, 1)
    assert world.is_current_live()


def test_of_two_runs_at_once_both_tokens_are_tracked(world: World) -> None:
    other: list[str] = []
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: other.append(world.run()["version_id"])))
    own = world.run()["version_id"]
    assert world.tracked() == {own, *other}
    assert world.live() == 2
    world.clock.advance(minutes=10)
    world.run()
    assert world.live() == len(world.tracked()) == 1
    assert world.is_current_live()


def test_a_run_that_was_overtaken_revokes_nothing_in_its_grace(world: World) -> None:
    """The first two versions hold one token, and another run publishes while this one wants to revoke the first."""
    world.run()
    world.telenor.knobs(issue="same-extended")
    world.clock.advance(minutes=30)
    second = world.run()["version_id"]
    world.telenor.knobs(issue="new")
    world.clock.advance(minutes=10)
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.run("rotate-now")))
    assert world.run()["revoked"] == []
    assert world.is_live(second)


def test_a_secret_that_was_rolled_back_keeps_its_current_token(world: World) -> None:
    first = world.run()
    world.clock.advance(minutes=1)
    second = world.run("rotate-now")["version_id"]
    world.roll_back_to(first["version_id"])
    world.clock.advance(minutes=20)
    result = world.run()
    assert (result["version_id"], result["revoked"]) == (first["version_id"], [])
    assert (world.is_live(first["version_id"]), world.is_live(second)) == (True, True)
    world.clock.advance(minutes=10)
    third = world.run()["version_id"]
    world.clock.advance(minutes=10)
    assert set(world.run()["revoked"]) == {first["version_id"], second}
    assert world.tracked() == {third}


def test_a_roll_back_between_the_look_and_the_logout_is_noticed(world: World) -> None:
    first = world.run()["version_id"]
    world.run("rotate-now")
    world.clock.advance(minutes=10)
    world.aws.fault(Meanwhile(operation="DescribeSecret", when="after", happens=lambda: world.roll_back_to(first)))
    assert world.run()["revoked"] == []
    assert world.is_current_live()
    assert "rolled back" in world.seen.messages()


def test_a_roll_back_right_before_the_logout_of_a_leaked_token_leaves_what_is_current_then(world: World) -> None:
    """The read of the version is older than the roll-back, the read of what is current is not."""
    first = world.run()["version_id"]
    world.run("rotate-now")
    world.aws.fault(
        Meanwhile(operation="GetSecretValue", happens=lambda: world.roll_back_to(first)),
        after=3,
    )
    assert first not in world.run("rotate-and-revoke-now")["revoked"]
    assert world.is_current_live()
    assert first in world.tracked()


def test_a_roll_back_while_a_token_is_renewed_gives_the_rolled_back_one_its_grace(world: World) -> None:
    world.run()
    second = world.run("rotate-now")["version_id"]
    world.clock.advance(seconds=1)
    world.run("rotate-now")
    world.clock.advance(minutes=30)
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.roll_back_to(second)))
    result = world.run()
    assert (result["outcome"], result["revoked"]) == ("rotated", [])
    assert world.is_live(second)


def test_a_current_version_that_lost_its_label_is_entered_again_before_it_is_superseded(world: World) -> None:
    first = world.run()["version_id"]
    world.unlabel(first)
    result = world.run()
    assert (result["reason"], result["pending_revocations"]) == ("current-version-not-in-ledger", 1)
    assert first in world.tracked()
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == [first]


def test_a_current_version_that_lost_its_label_is_mended_also_if_telenor_hands_it_out_again(world: World) -> None:
    first = world.run()["version_id"]
    world.unlabel(first)
    world.telenor.knobs(issue="same")
    assert world.run()["outcome"] == "reissued"
    assert world.tracked() == {first}
    assert world.run()["outcome"] == "not-due"


def test_a_current_token_that_dies_at_this_moment_is_not_entered_again(world: World) -> None:
    first = world.run()["version_id"]
    world.unlabel(first)
    world.clock.advance(seconds=3599)
    before = world.aws.calls()
    assert world.run()["outcome"] == "rotated"
    assert (world.aws.calls() - before)["UpdateSecretVersionStage"] == 0


def test_a_label_that_cannot_be_mended_is_said_and_tried_again(world: World) -> None:
    first = world.run()["version_id"]
    world.unlabel(first)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code="AccessDeniedException"))
    assert world.run()["outcome"] == "rotated"
    assert "not in the ledger" in world.seen.messages()
    assert world.is_live(first)


@pytest.mark.parametrize("content", ["", "by hand", "{}", '{"access_token": "CANARY-by-hand"}', "[]"])
def test_a_value_put_by_hand_is_replaced_and_nothing_is_lost(world: World, content: str) -> None:
    first = world.run()["version_id"]
    world.put(content or " ")
    assert world.run()["reason"] == "current-version-not-in-ledger"
    assert world.is_current_live()
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == [first]


def test_a_token_that_a_hand_made_current_in_another_shape_is_never_logged_out(world: World) -> None:
    first = world.run()["version_id"]
    access_token = world.document()["access_token"]
    world.run("rotate-now")
    version_id = world.put(f"token={access_token}")
    world.label(version_id, "LIVE_20261123T213000Z_20261123T222959Z_byhand00")
    world.clock.advance(minutes=11)
    assert first not in world.run()["revoked"]
    assert world.telenor.is_live(access_token)


@pytest.mark.parametrize("label", ["LIVE_", "LIVE_by_hand", "LIVE_20269999T000000Z_20261123T222959Z_3fa85f64"])
def test_a_superseded_token_with_an_unreadable_label_is_revoked_after_the_grace(world: World, label: str) -> None:
    first = world.run()["version_id"]
    second = world.run("rotate-now")["version_id"]
    world.unlabel(first)
    world.label(first, label)
    assert world.run()["revoked"] == []
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == [first]
    assert world.tracked() == {second}


def test_a_tracked_version_that_holds_no_token_is_forgotten(world: World) -> None:
    version_id = world.put("by hand")
    world.label(version_id, "LIVE_by_hand")
    world.run()
    world.clock.advance(minutes=10)
    assert world.run()["pending_revocations"] == 0
    assert world.seen.metrics()["TokenRevoked"] == 0


@dataclass(frozen=True)
class DropLabels:
    """A Put that sets AWSCURRENT alone, as MiniStack 1.5.33 does."""

    world: World
    operation: str = "PutSecretValue"

    def answer(self, _environ: WSGIEnvironment, ask: Callable[[], Response]) -> Response:
        answer = json.loads(ask().get_data())
        self.world.unlabel(answer["VersionId"])
        return Response(json.dumps(answer | {"VersionStages": ["AWSCURRENT"]}))


def test_a_label_that_was_not_set_is_attached(world: World) -> None:
    world.aws.fault(DropLabels(world))
    result = world.run()
    assert world.tracked() == {result["version_id"]}
    assert world.run()["outcome"] == "not-due"


def test_a_label_that_cannot_be_attached_is_said_loudly_and_costs_no_token(world: World) -> None:
    first = world.run()["version_id"]
    world.aws.fault(DropLabels(world))
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code="AccessDeniedException"), after=1)
    result = world.run("rotate-now")
    assert (result["outcome"], result["revoked"]) == ("rotated", [])
    assert result["expires_at"] == world.document()["expires_at"]
    assert result["expires_at"] - result["renews_at"] == pytest.approx(1800, abs=1)
    assert "not in the ledger" in world.seen.messages()
    assert world.is_current_live()
    assert world.is_live(first)


# A full ledger


def fill(world: World) -> list[str]:
    versions = []
    for _ in range(16):
        versions.append(world.run("rotate-now")["version_id"])
        world.clock.advance(seconds=1)
    return versions


def test_a_full_ledger_gives_up_the_grace_of_its_oldest_token(world: World) -> None:
    versions = fill(world)
    result = world.run("rotate-now")
    assert result["revoked"] == [versions[0]]
    assert world.tracked() == {*versions[1:], result["version_id"]}
    assert world.is_current_live()
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_a_full_ledger_drops_expired_tokens_first(world: World) -> None:
    world.telenor.knobs(lifetime_seconds=60)
    short = world.run("rotate-now")["version_id"]
    world.telenor.knobs(lifetime_seconds=3599)
    versions = [world.run("rotate-now")["version_id"] for _ in range(15)]
    world.clock.advance(minutes=2)
    result = world.run("rotate-now")
    assert result["revoked"] == []
    assert world.tracked() == {*versions, result["version_id"]}
    assert short not in world.tracked()


def test_a_full_ledger_abandons_what_it_cannot_revoke_and_publishes(world: World) -> None:
    versions = fill(world)
    world.telenor.fault(operation="logout", status=503)
    result = world.run("rotate-now")
    assert result["outcome"] == "rotated"
    assert world.tracked() == {*versions[1:], result["version_id"]}
    assert world.seen.metrics()["RevocationAbandoned"] == 1
    assert [request.operation for request in world.telenor.requests].count("logout") == 1


def test_a_full_ledger_abandons_a_version_that_cannot_be_found(world: World) -> None:
    versions = fill(world)
    world.aws.fault(CallFault(operation="GetSecretValue", code="ResourceNotFoundException"), after=1)
    result = world.run("rotate-now")
    assert (result["outcome"], result["revoked"]) == ("rotated", [])
    assert world.tracked() == {*versions[1:], result["version_id"]}
    assert world.seen.metrics()["RevocationAbandoned"] == 1


def test_a_full_ledger_makes_room_for_as_many_as_it_must_and_ends_each_once(world: World) -> None:
    versions = fill(world)
    world.label(versions[5], "LIVE_by_hand")
    world.clock.advance(seconds=1)
    result = world.run("rotate-now")
    assert result["revoked"] == versions[:2]
    assert world.tracked() == {*versions[2:], result["version_id"]}
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == versions[2:]


def test_each_token_that_a_full_ledger_abandons_is_counted(world: World) -> None:
    versions = fill(world)
    world.label(versions[5], "LIVE_by_hand")
    world.telenor.fault(operation="logout", status=503)
    result = world.run("rotate-now")
    assert world.tracked() == {*versions[2:], result["version_id"]}
    assert world.seen.metrics()["RevocationAbandoned"] == 2


def test_a_full_ledger_whose_tokens_have_had_their_grace_ends_each_once(world: World) -> None:
    versions = fill(world)
    world.clock.advance(minutes=10)
    assert world.run("rotate-now")["revoked"] == versions[:-1]
    assert [request.operation for request in world.telenor.requests].count("logout") == 15


def test_a_full_ledger_makes_room_although_somebody_has_published_since(world: World) -> None:
    versions = fill(world)
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.put("{}")))
    assert world.run("rotate-now")["revoked"] == versions[:1]
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_a_full_ledger_abandons_a_token_that_cannot_be_told_from_the_current_one(world: World) -> None:
    versions = fill(world)
    world.aws.fault(CallFault(operation="GetSecretValue", code="ResourceNotFoundException"), after=2)
    result = world.run("rotate-now")
    assert world.tracked() == {*versions[1:], result["version_id"]}
    assert world.seen.metrics()["RevocationAbandoned"] == 1


def test_a_full_ledger_whose_labels_stick_costs_one_token_its_grace_and_no_more(world: World) -> None:
    versions = fill(world)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code="AccessDeniedException"), times=4)
    result = world.run("rotate-now")
    assert (result["outcome"], result["revoked"]) == ("rotated", [versions[0]])
    assert world.live() == 16
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_the_labels_never_exceed_what_a_secret_can_carry(world: World) -> None:
    world.telenor.fault(operation="logout", status=503)
    for _ in range(40):
        world.run("rotate-now")
        assert sum(map(len, world.labels().values())) <= 20


# Lives too short


def test_a_life_too_short_for_the_promise_is_published_and_warned_of_every_time(world: World) -> None:
    world.telenor.knobs(lifetime_seconds=900)
    for times in (1, 2):
        assert world.run("rotate-now")["outcome"] == "rotated"
        assert world.seen.messages().count("lives no longer than GRACE_SECONDS") == times
