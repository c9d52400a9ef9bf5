"""Whole runs over Secrets Manager and Telenor: what they find, what they decide, and what they leave behind."""

from __future__ import annotations

import contextlib
import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

from handler.authorization_server import AuthorizationServer
from handler.errors import (
    RotationError,
)
from infra.local.secrets_manager import CallFault, Lag, Meanwhile
from tests.conftest import CANARY, CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from tests.conftest import World

WRONG = json.dumps({"client_id": CLIENT_ID, "client_secret": f"{CANARY}-wrong"})


# The life of a token


def test_the_first_run_publishes_a_token_and_tracks_it(world: World) -> None:
    result = world.run()
    assert (result["outcome"], result["reason"]) == ("rotated", "no-current-version")
    assert world.is_current_live()
    assert world.tracked() == {result["version_id"]}
    assert world.document()["expires_at"] == result["expires_at"]
    # A quarter of an hour and a period.
    assert result["renews_at"] - world.clock.now().timestamp() == 20 * 60


def test_the_version_id_is_the_id_of_the_request_if_that_can_be_one(world: World) -> None:
    request_id = str(uuid.uuid4())
    assert world.run(request_id=request_id)["version_id"] == request_id
    assert uuid.UUID(world.run("rotate-now", request_id="short")["version_id"])


def test_a_run_with_nothing_to_do_makes_one_call_and_reads_no_value(world: World) -> None:
    first = world.run()
    before = world.aws.calls()
    requests = len(world.telenor.requests)
    world.clock.advance(minutes=5)
    result = world.run()
    assert world.aws.calls() - before == {"DescribeSecret": 1}
    assert len(world.telenor.requests) == requests
    assert (result["outcome"], result["reason"], result["version_id"]) == ("not-due", "fresh", first["version_id"])


def test_a_forced_rotation_makes_six_calls_and_one_request(world: World) -> None:
    world.run()
    before = world.aws.calls()
    requests = len(world.telenor.requests)
    result = world.run("rotate-now")
    assert (result["outcome"], result["reason"]) == ("rotated", "forced")
    # The second look is at what it has superseded.
    assert world.aws.calls() - before == {
        "DescribeSecret": 2,
        "ListSecretVersionIds": 1,
        "GetSecretValue": 2,
        "PutSecretValue": 1,
    }
    assert world.operations()[requests:] == ["token"]


def test_hours_of_runs_leave_one_token_and_one_in_its_grace(world: World) -> None:
    for _ in range(2 * 12):
        world.run()
        assert world.is_current_live()
        assert world.live() == len(world.tracked()) <= 2
        world.clock.advance(minutes=5)


# The day's writes


SAME = json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})


@pytest.fixture
def spent(world: World) -> World:
    """Write as often as forced rotations may, the last times by one."""
    world.fill_day(30)
    for _ in range(3):
        world.run("rotate-now")
    assert world.failure("rotate-now") == "write-budget-spent"
    return world


def test_forced_rotations_are_refused_before_they_take_the_writes_of_renewals(spent: World) -> None:
    assert spent.aws.calls()["PutSecretValue"] == 3
    assert spent.seen.codes()[-1] == "write-budget-spent"
    assert spent.seen.log()[-1]["reason"] == "forced"
    # When it works again is when the first of them is a day old.
    assert f"{spent.clock.now() + timedelta(days=1):%Y-%m-%dT%H:%M}" in spent.seen.messages()
    assert spent.seen.metrics()["RotationFailed"] == 1
    for _ in range(4):
        spent.clock.advance(minutes=15)
        assert spent.run()["outcome"] == "rotated"
    assert spent.is_current_live()
    assert spent.aws.calls()["PutSecretValue"] == 3 + 4
    spent.clock.advance(days=1)
    assert spent.run("rotate-now")["outcome"] == "rotated"


def test_a_rotation_that_is_refused_still_revokes_what_is_due(spent: World) -> None:
    pending = len(spent.tracked())
    spent.clock.advance(minutes=11)
    assert spent.failure("rotate-now") == "write-budget-spent"
    assert len(spent.tracked()) == 1 < pending


def test_an_emergency_goes_whatever_was_written_and_warns(spent: World) -> None:
    for _ in range(2):
        result = spent.run("rotate-and-revoke-now")
        assert (result["outcome"], result["reason"]) == ("rotated", "leaked")
    # The refusal of the rotation before them, and a warning of each.
    assert spent.seen.codes() == ["write-budget-spent"] * 3
    assert spent.is_current_live()
    assert spent.live() == 1


def test_new_credentials_wait_for_the_next_renewal_where_the_budget_is_spent(spent: World) -> None:
    spent.put_credentials(WRONG)
    issued = spent.issued()
    result = spent.run("credentials-changed")
    assert (result["outcome"], result["reason"]) == ("not-due", "write-budget-spent")
    assert spent.issued() == issued
    assert spent.seen.codes()[-1] == "write-budget-spent"


@pytest.mark.parametrize("action", ["rotate-now", "rotate-and-revoke-now", "credentials-changed"])
def test_what_is_due_anyway_is_not_counted(world: World, action: str) -> None:
    world.run()
    world.clock.advance(minutes=15)
    assert world.run(action)["outcome"] == "rotated"
    assert world.aws.calls()["ListSecretVersionIds"] == 0


@pytest.mark.parametrize("action", ["rotate-now", "rotate-and-revoke-now", "credentials-changed"])
def test_a_count_that_cannot_be_had_stops_nobody(world: World, action: str) -> None:
    world.run()
    world.aws.fault(CallFault(operation="ListSecretVersionIds", code="AccessDeniedException"))
    assert world.run(action)["outcome"] == "rotated"
    assert world.seen.codes() == ["writes-not-counted"]


def test_the_versions_of_the_day_are_counted_on_every_page(world: World) -> None:
    """Labelled or not: a hundred fit on a page, and what is on the next one counts as well."""
    world.run()
    world.fill_day(127)
    before = world.aws.calls()
    assert world.failure("rotate-now") == "write-budget-spent"
    assert (world.aws.calls() - before)["ListSecretVersionIds"] == 2


# New credentials


@pytest.mark.parametrize("contents", [[json.dumps({"client_id": "demo-client", "client_secret": CLIENT_SECRET})], []])
def test_credentials_are_tried_at_once_if_they_are_new_or_the_first(world: World, contents: list[str]) -> None:
    world.run()
    for content in contents:
        world.put_credentials(content)
    result = world.run("credentials-changed")
    assert (result["outcome"], result["reason"]) == ("rotated", "forced")


def test_the_same_credentials_cost_no_token_and_no_count(world: World) -> None:
    world.run()
    world.put_credentials(SAME)
    before, requests = world.aws.calls(), len(world.telenor.requests)
    for _ in range(2):
        world.put_credentials(SAME + " ")
        result = world.run("credentials-changed")
        assert (result["outcome"], result["reason"]) == ("not-due", "credentials-unchanged")
    calls = world.aws.calls() - before
    assert (calls["ListSecretVersionIds"], len(world.telenor.requests) - requests) == (0, 0)
    assert world.seen.codes() == []


def test_unchanged_credentials_do_not_hide_a_rejected_token(verified: World) -> None:
    verified.run()
    verified.put_credentials(SAME)
    verified.clock.advance(minutes=14)
    verified.telenor.fault(operation="incidents", status=401, times=1)
    result = verified.run("credentials-changed")
    assert (result["outcome"], result["reason"]) == ("rotated", "not-accepted")


# The same token again


@pytest.mark.parametrize("issue", ["same", "same-extended"])
def test_a_leaked_token_that_is_handed_out_again_fails_the_run_and_is_not_published_as_new(
    world: World, issue: str
) -> None:
    first = world.run()["version_id"]
    world.clock.advance(minutes=30)
    world.telenor.knobs(issue=issue)
    assert world.failure("rotate-and-revoke-now") == "token-reissued"
    assert world.labels().keys() == {first}
    assert world.is_current_live()
    assert world.seen.codes() == ["token-reissued"]
    metrics = world.seen.metrics()
    assert (metrics["TokenReissued"], metrics["RotationFailed"], metrics["TokenRotated"]) == (1, 1, 0)


def test_a_token_that_is_handed_out_again_is_not_published_twice(world: World) -> None:
    first = world.run()
    world.telenor.knobs(issue="same")
    world.clock.advance(minutes=30)
    result = world.run()
    assert (result["outcome"], result["version_id"]) == ("reissued", first["version_id"])
    assert world.labels().keys() == {first["version_id"]}
    assert world.seen.codes() == ["token-reissued"]
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


@pytest.mark.parametrize("action", [None, "rotate-now", "rotate-and-revoke-now"])
def test_a_token_that_kills_the_old_one_leaves_the_new_one_current(world: World, action: str | None) -> None:
    world.run()
    world.telenor.knobs(issue="new-revokes-old")
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
    world.failure()
    assert (world.labels(), world.document()) == (labels, document)
    assert world.is_current_live()
    world.telenor.clear_faults()
    assert world.run()["outcome"] == "rotated"


@pytest.mark.parametrize(
    ("body", "abandoned"),
    [
        pytest.param("access_token=CANARY-form&expires_in=3599", 0, id="a form"),
        pytest.param('{"access_token": "CANARY-c', 5, id="cut in the token"),
    ],
)
def test_no_token_of_an_answer_that_cannot_be_used_is_forgotten(world: World, body: str, abandoned: int) -> None:
    """It is logged out if it can be recognised; if it cannot, it is counted."""
    world.telenor.fault(operation="token", body=body)
    world.failure()
    requests_made = world.operations()
    assert requests_made.count("logout") == (0 if abandoned else requests_made.count("token"))
    assert world.seen.metrics()["RevocationAbandoned"] == abandoned
    assert world.seen.codes().count("revocation-abandoned") == abandoned


def test_a_failed_rotation_still_revokes_what_has_had_its_grace(world: World) -> None:
    first, second = world.supersede()
    world.clock.advance(minutes=30)
    world.telenor.fault(operation="token", status=401, body='{"code": 22}')
    assert world.failure() == "credentials-refused"
    assert (world.is_live(first), world.is_live(second)) == (False, True)
    assert world.seen.metrics()["TokenRevoked"] == 1


def test_a_leak_while_telenor_gives_no_token_ends_the_superseded_ones_and_fails(world: World) -> None:
    first, second = world.supersede()
    world.telenor.fault(operation="token", drop=True)
    assert world.failure("rotate-and-revoke-now") == "token-endpoint-out"
    assert (world.is_live(first), world.is_live(second)) == (False, True)


def test_a_defect_between_obtaining_and_publishing_leaves_no_token_alive(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise KeyError

    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")
    monkeypatch.setattr(AuthorizationServer, "verify", fail)
    assert world.failure() == "unexpected"
    assert (world.issued(), world.live(), world.labels()) == (1, 0, {})


@pytest.mark.parametrize(("operation", "after"), [("DescribeSecret", 0), ("GetSecretValue", 1)])
def test_a_token_is_not_minted_that_could_not_be_stored(world: World, operation: str, after: int) -> None:
    """The second read is of the token secret: a key that cannot be used for that one cannot be used to write either."""
    world.aws.fault(CallFault(operation=operation, code="DecryptionFailure"), after=after)
    assert world.failure() == "secrets-manager-refused"
    assert world.telenor.requests == []


def test_a_token_is_published_although_reading_the_current_one_got_no_answer(world: World) -> None:
    world.run()
    world.aws.fault(CallFault(operation="GetSecretValue"), times=3, after=1)
    assert world.run("rotate-now")["outcome"] == "rotated"
    assert world.seen.codes() == ["current-unreadable"]
    assert world.is_current_live()


# The credentials


@pytest.mark.parametrize("action", ["rotate-now", "credentials-changed"])
def test_bad_credentials_mint_nothing_and_lose_nothing(world: World, action: str) -> None:
    world.run()
    labels = world.labels()
    world.put_credentials("{}")
    assert world.failure(action) == "credentials-unusable"
    assert (world.operations(), world.labels()) == (["token"], labels)


def test_new_credentials_that_do_not_work_leave_the_run_to_the_ones_before_them(world: World) -> None:
    world.put_credentials(WRONG)
    assert world.run()["outcome"] == "rotated"
    assert world.is_current_live()
    assert world.operations() == ["token", "token"]
    assert world.seen.codes() == ["credentials-fallback"]
    metrics = world.seen.metrics()
    assert (metrics["CredentialsFallback"], metrics["RotationFailed"]) == (1, 0)
    assert world.seen.log()[-1]["attempts"] == 2


def test_the_scope_is_asked_for_with_the_credentials_before_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELENOR_SCOPE", "incidents.read")
    world.put_credentials(WRONG)
    world.run()
    assert [request.form["scope"] for request in world.telenor.requests] == ["incidents.read"] * 2


@pytest.mark.parametrize(
    ("contents", "requests", "codes"),
    [
        pytest.param([WRONG.replace("wrong", "older"), WRONG], 2, ["credentials-refused"] * 2, id="they are wrong too"),
        pytest.param(["not JSON", WRONG], 1, ["credentials-refused"], id="they are no credentials"),
        pytest.param([WRONG, WRONG + " "], 1, ["credentials-refused"], id="they are the same pair"),
    ],
)
def test_a_client_that_is_refused_is_told_where_the_credentials_before_do_not_help(
    world: World, contents: list[str], requests: int, codes: list[str]
) -> None:
    for content in contents:
        world.put_credentials(content)
    assert world.failure() == "credentials-refused"
    assert world.operations() == ["token"] * requests
    assert world.seen.codes() == codes
    assert world.seen.metrics()["CredentialsFallback"] == 0


def test_a_client_that_is_refused_and_had_no_other_credentials_is_asked_once(world: World) -> None:
    world.telenor.fault(operation="token", status=401, body='{"code": 22}')
    assert world.failure() == "credentials-refused"
    assert world.operations() == ["token"]


# Verification


@pytest.fixture
def verified(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")
    return world


def log_out(world: World) -> None:
    """End the current token, as another party with the same client may."""
    authorization = {"Authorization": f"Bearer {world.token()}"}
    requests.get(f"{world.telenor.url}/oauth/v2/logout", headers=authorization, timeout=5).raise_for_status()
    assert not world.is_current_live()


def test_a_token_that_consumers_could_not_use_is_logged_out_instead_of_published(verified: World) -> None:
    first = verified.run()
    verified.telenor.fault(operation="incidents", status=403)
    assert verified.failure("rotate-now") == "token-not-accepted"
    assert (verified.live(), verified.issued()) == (1, 2)
    assert verified.labels().keys() == {first["version_id"]}


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_published_with_the_error_where_nothing_is_published(verified: World, status: int) -> None:
    """What refuses it may stand in front of VERIFY_URL alone, as a firewall for web applications does."""
    verified.telenor.fault(operation="incidents", status=status)
    assert verified.failure() == "token-not-accepted"
    assert verified.is_current_live()
    assert verified.tracked() == verified.labels().keys()
    assert (verified.issued(), verified.live()) == (1, 1)
    assert verified.seen.codes() == ["token-not-accepted", "token-not-accepted"]
    metrics = verified.seen.metrics()
    assert (metrics["TokenRotated"], metrics["RotationFailed"], metrics["SecondsUntilExpiry"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("seconds", "is_published"),
    [
        pytest.param(3599 - 300, False, id="less than the grace is left"),
        pytest.param(3599 - 10, False, id="seconds are left"),
        pytest.param(3599, True, id="expired"),
    ],
)
def test_a_refused_token_replaces_one_that_does_not_last(verified: World, seconds: int, *, is_published: bool) -> None:
    first = verified.run()["version_id"]
    verified.telenor.fault(operation="incidents", status=403)
    verified.clock.advance(seconds=seconds)
    assert verified.failure() == "token-not-accepted"
    assert (list(verified.labels()) == [first]) is not is_published
    # What VERIFY_URL refuses counts as no life, also if a new token was tried and not the published one.
    assert verified.seen.metrics()["SecondsUntilExpiry"] == 0
    assert verified.seen.metrics()["RotationFailed"] == 1
    if is_published:
        assert verified.is_current_live()


def test_a_refused_token_replaces_a_value_that_holds_none(verified: World) -> None:
    verified.put("by hand")
    verified.telenor.fault(operation="incidents", status=403)
    assert verified.failure() == "token-not-accepted"
    assert verified.is_current_live()


def test_consumers_never_hold_an_expired_token_while_a_firewall_refuses_every_new_one(verified: World) -> None:
    verified.run()
    verified.telenor.fault(operation="incidents", status=403)
    for _ in range(13):
        verified.clock.advance(minutes=5)
        with contextlib.suppress(RotationError):
            verified.run()
        assert verified.document()["expires_at"] > verified.clock.now().timestamp()
        assert verified.is_current_live()


@pytest.mark.parametrize("fault", [{"status": 500}, {"drop": True}])
def test_a_verification_that_says_neither_does_not_hold_a_token_back(verified: World, fault: dict[str, Any]) -> None:
    verified.telenor.fault(operation="incidents", **fault)
    assert verified.run()["outcome"] == "rotated"
    assert verified.operations()[:2] == ["token", "incidents"]


def test_a_published_token_that_cannot_be_read_is_not_tried_and_not_replaced(verified: World) -> None:
    verified.run()
    verified.aws.fault(CallFault(operation="GetSecretValue", code="AccessDeniedException"))
    assert verified.run()["outcome"] == "not-due"
    assert verified.seen.codes() == ["current-unreadable"]


@pytest.mark.parametrize("content", ["by hand", None])
def test_what_somebody_has_put_there_meanwhile_is_not_tried(verified: World, content: str | None) -> None:
    """The read returned another version than the description, so it says nothing about the fresh token."""
    verified.run()
    tried = verified.operations().count("incidents")
    put = verified.document() if content is None else content
    verified.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: verified.put(json.dumps(put))))
    result = verified.run()
    assert (result["outcome"], result["reason"]) == ("not-due", "fresh")
    assert verified.seen.codes() == []
    assert verified.operations().count("incidents") == tried


def test_a_twins_token_that_replaces_a_refused_one_has_its_whole_life_before_it(
    verified: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RENEW_AT_FRACTION", "0.5")
    verified.run()
    log_out(verified)
    verified.clock.advance(minutes=16)
    request_id = str(uuid.uuid4())
    verified.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: verified.run(request_id=request_id)))
    result = verified.run(request_id=request_id)
    assert (result["outcome"], result["reason"]) == ("rotated", "not-accepted")
    assert verified.seen.metrics()["SecondsUntilExpiry"] > 3500


def test_a_rejected_token_beside_a_second_delivery_that_has_published_fails_no_run(verified: World) -> None:
    request_id = str(uuid.uuid4())

    def deliver_again() -> None:
        verified.telenor.clear_faults()
        verified.run(request_id=request_id)

    verified.telenor.fault(operation="incidents", status=403)
    verified.aws.fault(Meanwhile(operation="PutSecretValue", happens=deliver_again))
    assert verified.run(request_id=request_id)["outcome"] == "rotated"
    assert verified.seen.metrics()["SecondsUntilExpiry"] > 3500
    assert verified.is_current_live()


# Twins, overlaps and what people do


def test_a_repeated_delivery_does_nothing_twice(world: World) -> None:
    request_id = str(uuid.uuid4())
    world.run("rotate-now", request_id=request_id)
    result = world.run("rotate-now", request_id=request_id)
    assert (result["outcome"], result["reason"]) == ("not-due", "already-rotated-by-this-request")
    assert world.issued() == 1


def test_of_two_runs_at_once_both_tokens_are_tracked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They tie, so the next run dates the current one anew, and the other has its grace from then."""
    monkeypatch.setenv("RENEW_AT_FRACTION", "0.5")
    other: list[str] = []
    world.aws.fault(Meanwhile(operation="PutSecretValue", happens=lambda: other.append(world.run()["version_id"])))
    own = world.run()["version_id"]
    assert world.tracked() == {own, *other}
    assert world.live() == 2
    world.clock.advance(minutes=5)
    assert world.run()["pending_revocations"] == 1
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == other
    assert world.live() == len(world.tracked()) == 1
    assert world.is_current_live()


def test_a_secret_that_was_rolled_back_keeps_its_current_token(world: World) -> None:
    first, second = world.supersede()
    world.roll_back_to(first)
    world.clock.advance(minutes=1)
    result = world.run()
    assert (result["outcome"], result["version_id"], result["revoked"]) == ("not-due", first, [])
    assert sum(label.startswith("LIVE_") for label in world.labels()[first]) == 2
    # The roll back itself, and the new label.
    assert world.aws.calls()["UpdateSecretVersionStage"] == 2
    world.clock.advance(seconds=599)
    assert world.run()["revoked"] == []
    world.clock.advance(seconds=1)
    assert world.run()["revoked"] == [second]
    assert world.is_current_live()
    world.clock.advance(minutes=10)
    world.run()
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == [first]


def test_a_roll_back_while_a_token_is_renewed_gives_the_rolled_back_one_its_grace(world: World) -> None:
    _, second = world.supersede()
    world.clock.advance(minutes=1)
    world.run("rotate-now")
    world.clock.advance(minutes=30)
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.roll_back_to(second)))
    result = world.run()
    assert (result["outcome"], result["revoked"]) == ("rotated", [])
    assert world.is_live(second)


def test_a_current_version_that_lost_its_label_is_entered_again_by_its_document(world: World) -> None:
    first = world.run()
    labels = world.labels()
    world.unlabel(first["version_id"])
    world.clock.advance(minutes=5)
    result = world.run()
    assert (result["outcome"], result["reason"], result["renews_at"]) == ("not-due", "fresh", first["renews_at"])
    assert world.labels() == labels


def test_a_document_that_is_older_than_what_it_replaced_is_entered_twice(world: World) -> None:
    """Somebody has put an old value again: its token is as old as it says, and what it replaced is superseded now."""
    world.run()
    old = json.dumps(world.document())
    world.clock.advance(minutes=1)
    second = world.run("rotate-now")["version_id"]
    world.clock.advance(minutes=1)
    by_hand = world.put(old)
    result = world.run()
    assert (result["outcome"], result["version_id"], result["revoked"]) == ("not-due", by_hand, [])
    assert sum(label.startswith("LIVE_") for label in world.labels()[by_hand]) == 2
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == [second]
    assert world.is_current_live()


def test_a_current_token_that_dies_at_this_moment_is_not_entered_again(world: World) -> None:
    first = world.run()["version_id"]
    world.unlabel(first)
    world.clock.advance(seconds=3599)
    before = world.aws.calls()
    assert world.run()["outcome"] == "rotated"
    assert (world.aws.calls() - before)["UpdateSecretVersionStage"] == 0


def test_a_document_that_belongs_to_another_version_enters_nothing(world: World) -> None:
    """The read of the value lags behind the description: what it says is about the version before."""
    world.run()
    world.put(json.dumps(world.document()))
    world.aws.fault(Lag(operation="GetSecretValue"), secret_id="telenor/token")
    assert world.run()["reason"] == "current-version-not-in-ledger"


def test_a_document_that_does_not_say_when_it_was_issued_is_entered_from_now_on(world: World) -> None:
    world.run()
    world.clock.advance(minutes=1)
    by_hand = world.put(json.dumps(world.document() | {"issued_at": None}))
    result = world.run()
    assert (result["outcome"], result["version_id"]) == ("not-due", by_hand)
    assert result["renews_at"] == world.clock.now().timestamp() + 20 * 60


@pytest.mark.parametrize(
    ("code", "told"),
    [("AccessDeniedException", "current-unreadable"), pytest.param("ResourceNotFoundException", None, id="reads lag")],
)
def test_a_current_version_that_has_no_label_and_cannot_be_read_is_replaced(
    world: World, code: str, told: str | None
) -> None:
    world.unlabel(world.run()["version_id"])
    world.aws.fault(CallFault(operation="GetSecretValue", code=code))
    assert world.run()["reason"] == "current-version-not-in-ledger"
    assert world.is_current_live()
    assert [code for code in world.seen.codes() if code != "revocation-abandoned"] == ([told] if told else [])


def test_a_replaced_token_that_nothing_tracks_is_counted(world: World) -> None:
    """It has lost its label, and nobody could read when it dies."""
    out = CallFault(operation="GetSecretValue", code="InternalServiceError", status=500)
    world.unlabel(world.run()["version_id"])
    world.aws.fault(out, times=6, secret_id="telenor/token")
    assert world.run()["outcome"] == "rotated"
    assert world.live() == 2
    assert world.seen.metrics()["RevocationAbandoned"] == 1


@pytest.mark.parametrize(
    ("changes", "abandoned"),
    [
        pytest.param({"issued_at": 1_795_469_400 + 61}, 1, id="it is from the future"),
        pytest.param({"expires_at": None}, 1, id="nobody knows when it dies"),
        pytest.param({"expires_at": 1_795_469_400}, 0, id="it dies at this moment"),
        pytest.param({"access_token": None}, 0, id="it is no token"),
    ],
)
def test_a_document_that_cannot_be_entered_is_replaced_and_counted_where_its_token_may_live(
    world: World, changes: dict[str, object], abandoned: int
) -> None:
    world.unlabel(world.run()["version_id"])
    world.put(json.dumps(world.document() | changes))
    result = world.run()
    assert (result["outcome"], result["reason"]) == ("rotated", "current-version-not-in-ledger")
    assert world.seen.metrics()["RevocationAbandoned"] == abandoned


def test_a_replaced_token_that_is_published_again_is_not_counted(world: World) -> None:
    world.unlabel(world.run()["version_id"])
    world.put(json.dumps(world.document() | {"expires_at": None}))
    world.telenor.fault(operation="token", body=json.dumps({"access_token": world.token(), "expires_in": 3599}))
    assert world.run()["outcome"] == "rotated"
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_a_label_that_cannot_be_attached_is_said_and_tried_again(world: World) -> None:
    first = world.run()["version_id"]
    world.unlabel(first)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code="AccessDeniedException"))
    assert world.run()["outcome"] == "not-due"
    assert world.seen.codes() == ["label-not-attached"]
    assert world.tracked() == set()
    world.run()
    assert world.tracked() == {first}


def test_a_label_that_cannot_be_attached_before_a_publication_is_attached_after_it(world: World) -> None:
    first = world.run()["version_id"]
    world.unlabel(first)
    world.clock.advance(minutes=1)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code="AccessDeniedException"))
    result = world.run("rotate-now")
    assert world.tracked() == {first, result["version_id"]}
    assert result["pending_revocations"] == 1


@pytest.mark.parametrize("content", [" ", "by hand", '{"access_token": "CANARY-by-hand"}'])
def test_a_value_that_somebody_put_there_is_replaced_and_nothing_is_lost(world: World, content: str) -> None:
    first = world.run()["version_id"]
    world.clock.advance(minutes=1)
    world.put(content)
    assert world.run()["reason"] == "current-version-not-in-ledger"
    assert world.is_current_live()
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == [first]


# Settings that cannot hold


@pytest.mark.parametrize(
    ("lifetime_seconds", "codes"),
    [
        pytest.param(3600, [], id="an hour holds"),
        pytest.param(900, ["settings-cannot-hold"], id="a quarter of an hour is less than a grace and a missed run"),
        pytest.param(899, ["settings-cannot-hold", "life-too-short"], id="and less is written too often"),
    ],
)
def test_a_life_too_short_for_the_promises_is_published_and_warned_of_every_time(
    world: World, lifetime_seconds: int, codes: list[str]
) -> None:
    world.telenor.knobs(lifetime_seconds=lifetime_seconds)
    for times in (1, 2):
        assert world.run("rotate-now")["outcome"] == "rotated"
        assert world.seen.codes() == codes * times


# A token that another party has revoked


@pytest.fixture
def renews_late(verified: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Renew tokens late, so that a refused token is the only reason before that."""
    monkeypatch.setenv("RENEW_AT_FRACTION", "0.5")
    return verified


def test_a_killed_token_is_noticed_and_replaced_as_soon_as_a_quarter_of_an_hour_has_passed(renews_late: World) -> None:
    first = renews_late.run()["version_id"]
    log_out(renews_late)
    renews_late.clock.advance(minutes=5)
    result = renews_late.run()
    assert (result["outcome"], result["reason"]) == ("not-due", "not-accepted")
    assert renews_late.seen.codes() == ["token-not-accepted"]
    assert renews_late.seen.metrics()["SecondsUntilExpiry"] == 0
    renews_late.clock.advance(minutes=8, seconds=58)
    assert renews_late.run()["version_id"] == first
    renews_late.clock.advance(seconds=4)
    result = renews_late.run()
    assert (result["outcome"], result["reason"]) == ("rotated", "not-accepted")
    assert renews_late.is_current_live()
    assert renews_late.seen.metrics()["SecondsUntilExpiry"] > 3500


def test_a_dead_token_that_is_handed_out_again_fails_the_run(renews_late: World) -> None:
    first = renews_late.run()["version_id"]
    renews_late.telenor.knobs(issue="same")
    renews_late.telenor.fault(operation="incidents", status=401, body='{"code": 2}')
    renews_late.clock.advance(minutes=16)
    renews_late.failure()
    assert list(renews_late.labels()) == [first]
    assert (renews_late.seen.metrics()["RotationFailed"], renews_late.seen.metrics()["SecondsUntilExpiry"]) == (1, 0)


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 404}, {"status": 429}, {"drop": True}])
def test_an_answer_that_does_not_refuse_the_published_token_changes_nothing(
    renews_late: World, fault: dict[str, Any]
) -> None:
    renews_late.run()
    renews_late.clock.advance(minutes=16)
    renews_late.telenor.fault(operation="incidents", **fault)
    assert renews_late.run()["outcome"] == "not-due"
    assert renews_late.seen.metrics()["SecondsUntilExpiry"] == 3599 - 960


def test_a_run_that_is_not_due_tries_the_published_token_once(renews_late: World) -> None:
    renews_late.run()
    before = renews_late.operations()
    renews_late.run()
    assert renews_late.operations() == [*before, "incidents"]


@pytest.mark.parametrize("fault", [{"status": 401, "body": '{"code": 5}'}, {"status": 401}, {"status": 403}])
def test_a_refusal_of_something_else_than_the_client_is_asked_once(world: World, fault: dict[str, Any]) -> None:
    world.put_credentials('{"client_id": "other", "client_secret": "other"}')
    world.telenor.fault(operation="token", **fault)
    world.failure()
    assert world.operations() == ["token"]
