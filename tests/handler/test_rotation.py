"""Complete runs over Secrets Manager and Telenor: their decisions and their results."""

from __future__ import annotations

import contextlib
import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
import requests

from handler.authorization_server import AuthorizationServer
from handler.errors import RotationError
from infra.local.secrets_manager_faults import CallFault, Lag, Meanwhile
from tests.leak_detector import CANARY, CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from tests.world import World

WRONG = json.dumps({"client_id": CLIENT_ID, "client_secret": f"{CANARY}-wrong"})


# Renewal and revocation


def test_the_first_run_publishes_a_token_and_tracks_it(world: World) -> None:
    result = world.run()
    assert (result["outcome"], result["reason"]) == ("rotated", "no-current-version")
    assert world.is_current_live()
    assert world.tracked() == {result["version_id"]}
    assert world.document()["expires_at"] == result["expires_at"]
    # Fifteen minutes and a period.
    assert result["renews_at"] - world.clock.now().timestamp() == 20 * 60


def test_the_version_id_is_the_request_id_if_it_is_long_enough(world: World) -> None:
    request_id = str(uuid.uuid4())
    assert world.run(request_id=request_id)["version_id"] == request_id
    assert uuid.UUID(world.run("rotate-now", request_id="short")["version_id"])


def test_a_run_that_is_not_due_makes_one_call_and_reads_no_value(world: World) -> None:
    first = world.run()
    before = world.aws.calls()
    requests = len(world.telenor.requests)
    world.clock.advance(minutes=5)
    result = world.run()
    assert world.aws.calls() - before == {"DescribeSecret": 1}
    assert len(world.telenor.requests) == requests
    assert (result["outcome"], result["reason"], result["version_id"]) == ("not-due", "fresh", first["version_id"])


def test_a_forced_rotation_makes_six_aws_calls_and_one_token_request(world: World) -> None:
    world.run()
    before = world.aws.calls()
    requests = len(world.telenor.requests)
    result = world.run("rotate-now")
    assert (result["outcome"], result["reason"]) == ("rotated", "forced")
    # The second description is of the superseded versions.
    assert world.aws.calls() - before == {
        "DescribeSecret": 2,
        "ListSecretVersionIds": 1,
        "GetSecretValue": 2,
        "PutSecretValue": 1,
    }
    assert world.operations()[requests:] == ["token"]


def test_hours_of_runs_leave_the_current_token_and_one_in_its_grace(world: World) -> None:
    for _ in range(2 * 12):
        world.run()
        assert world.is_current_live()
        assert world.live() == len(world.tracked()) <= 2
        world.clock.advance(minutes=5)


# The day's writes


SAME = json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})


@pytest.fixture
def spent(world: World) -> World:
    """Use up the writes for forced rotations, the last ones by a forced rotation."""
    world.fill_day(30)
    for _ in range(3):
        world.run("rotate-now")
    assert world.failure("rotate-now") == "write-budget-spent"
    return world


def test_forced_rotations_are_refused_before_they_use_up_the_writes_for_renewals(spent: World) -> None:
    assert spent.aws.calls()["PutSecretValue"] == 3
    assert spent.seen.codes()[-1] == "write-budget-spent"
    assert spent.seen.log()[-1]["reason"] == "forced"
    # It works again when the first write is a day old.
    assert f"{spent.clock.now() + timedelta(days=1):%Y-%m-%dT%H:%M}" in spent.seen.messages()
    assert spent.seen.metrics()["RotationFailed"] == 1
    for _ in range(4):
        spent.clock.advance(minutes=15)
        assert spent.run()["outcome"] == "rotated"
    assert spent.is_current_live()
    assert spent.aws.calls()["PutSecretValue"] == 3 + 4
    spent.clock.advance(days=1)
    assert spent.run("rotate-now")["outcome"] == "rotated"


def test_a_refused_rotation_still_revokes_due_tokens(spent: World) -> None:
    pending = len(spent.tracked())
    spent.clock.advance(minutes=11)
    assert spent.failure("rotate-now") == "write-budget-spent"
    assert len(spent.tracked()) == 1 < pending


def test_tokens_that_are_renewed_less_often_leave_more_forced_rotations(world: World) -> None:
    world.telenor.knobs(lifetime_seconds=8 * 3600)
    world.run()
    world.fill_day(60)
    assert world.run("rotate-now")["outcome"] == "rotated"


def test_an_emergency_ignores_the_write_budget_and_warns(spent: World) -> None:
    for _ in range(2):
        result = spent.run("rotate-and-revoke-now")
        assert (result["outcome"], result["reason"]) == ("rotated", "leaked")
    # One refusal before them, and a warning of each.
    assert spent.seen.codes() == ["write-budget-spent"] * 3
    assert spent.is_current_live()
    assert spent.live() == 1


def test_without_write_budget_new_credentials_wait_for_the_next_renewal(spent: World) -> None:
    spent.put_credentials(WRONG)
    issued = spent.issued()
    result = spent.run("credentials-changed")
    assert (result["outcome"], result["reason"]) == ("not-due", "write-budget-spent")
    assert spent.issued() == issued
    assert spent.seen.codes()[-1] == "write-budget-spent"


@pytest.mark.parametrize("action", ["rotate-now", "rotate-and-revoke-now", "credentials-changed"])
def test_a_due_renewal_does_not_count_versions(world: World, action: str) -> None:
    world.run()
    world.clock.advance(minutes=15)
    assert world.run(action)["outcome"] == "rotated"
    assert world.aws.calls()["ListSecretVersionIds"] == 0


@pytest.mark.parametrize("action", ["rotate-now", "rotate-and-revoke-now", "credentials-changed"])
def test_a_failed_version_count_does_not_block_a_rotation(world: World, action: str) -> None:
    world.run()
    world.aws.fault(CallFault(operation="ListSecretVersionIds", code="AccessDeniedException"))
    assert world.run(action)["outcome"] == "rotated"
    assert world.seen.codes() == ["writes-not-counted"]


def test_the_days_versions_are_counted_on_every_page(world: World) -> None:
    """Labelled or not: a page has a hundred versions, and those on the next page count too."""
    world.run()
    world.fill_day(127)
    before = world.aws.calls()
    assert world.failure("rotate-now") == "write-budget-spent"
    assert (world.aws.calls() - before)["ListSecretVersionIds"] == 2


# New credentials


@pytest.mark.parametrize("contents", [[json.dumps({"client_id": "demo-client", "client_secret": CLIENT_SECRET})], []])
def test_new_or_first_credentials_are_tried_at_once(world: World, contents: list[str]) -> None:
    world.run()
    for content in contents:
        world.put_credentials(content)
    result = world.run("credentials-changed")
    assert (result["outcome"], result["reason"]) == ("rotated", "forced")


def test_unchanged_credentials_request_no_token_and_count_no_versions(world: World) -> None:
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


# Reissued tokens


@pytest.mark.parametrize("issue", ["same", "same-extended"])
def test_a_reissued_leaked_token_fails_the_run_and_is_not_published(world: World, issue: str) -> None:
    first = world.run()["version_id"]
    world.clock.advance(minutes=30)
    world.telenor.knobs(issue=issue)
    assert world.failure("rotate-and-revoke-now") == "token-reissued"
    assert world.labels().keys() == {first}
    assert world.is_current_live()
    assert world.seen.codes() == ["token-reissued"]
    metrics = world.seen.metrics()
    assert (metrics["TokenReissued"], metrics["RotationFailed"], metrics["TokenRotated"]) == (1, 1, 0)


def test_a_reissued_token_is_not_published_twice(world: World) -> None:
    first = world.run()
    world.telenor.knobs(issue="same")
    world.clock.advance(minutes=30)
    result = world.run()
    assert (result["outcome"], result["version_id"]) == ("reissued", first["version_id"])
    assert world.labels().keys() == {first["version_id"]}
    assert world.seen.codes() == ["token-reissued"]
    assert world.seen.metrics()["TokenReissued"] == 1
    assert world.is_current_live()


def test_a_reissued_token_with_a_longer_lifetime_is_published_again(world: World) -> None:
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
def test_if_a_new_token_revokes_the_old_one_the_new_one_is_current(world: World, action: str | None) -> None:
    world.run()
    world.telenor.knobs(issue="new-revokes-old")
    world.clock.advance(minutes=30)
    assert world.run(action)["outcome"] == "rotated"
    world.clock.advance(minutes=10)
    world.run()
    assert world.is_current_live()
    assert len(world.tracked()) == 1


# Failures


@pytest.mark.parametrize("fault", [{"drop": True}, {"html": True}, {"status": 401, "body": '{"code": 22}'}])
def test_a_failed_token_request_changes_nothing_published(world: World, fault: dict[str, Any]) -> None:
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
        pytest.param('{"access_token": "CANARY-c', 5, id="truncated in the token"),
    ],
)
def test_each_token_in_an_unusable_response_is_revoked_or_counted(world: World, body: str, abandoned: int) -> None:
    """A recognisable token is logged out; otherwise it is counted."""
    world.telenor.fault(operation="token", body=body)
    world.failure()
    requests_made = world.operations()
    assert requests_made.count("logout") == (0 if abandoned else requests_made.count("token"))
    assert world.seen.metrics()["RevocationAbandoned"] == abandoned
    assert world.seen.codes().count("revocation-abandoned") == abandoned


def test_a_failed_rotation_still_revokes_tokens_past_their_grace(world: World) -> None:
    first, second = world.supersede()
    world.clock.advance(minutes=30)
    world.telenor.fault(operation="token", status=401, body='{"code": 22}')
    assert world.failure() == "credentials-refused"
    assert (world.is_live(first), world.is_live(second)) == (False, True)
    assert world.seen.metrics()["TokenRevoked"] == 1


def test_an_emergency_without_a_new_token_revokes_superseded_ones_and_fails(world: World) -> None:
    first, second = world.supersede()
    world.telenor.fault(operation="token", drop=True)
    assert world.failure("rotate-and-revoke-now") == "token-endpoint-out"
    assert (world.is_live(first), world.is_live(second)) == (False, True)


def test_an_unexpected_error_before_publishing_leaves_no_active_token(verified: World) -> None:
    with patch.object(AuthorizationServer, "verify", side_effect=KeyError):
        assert verified.failure() == "unexpected"
    assert (verified.issued(), verified.live(), verified.labels()) == (1, 0, {})


@pytest.mark.parametrize(("operation", "after"), [("DescribeSecret", 0), ("GetSecretValue", 1)])
def test_no_token_is_requested_that_could_not_be_stored(world: World, operation: str, after: int) -> None:
    """The second read is of the token secret: a key that cannot decrypt there cannot encrypt either."""
    world.aws.fault(CallFault(operation=operation, code="DecryptionFailure"), after=after)
    assert world.failure() == "secrets-manager-refused"
    assert world.telenor.requests == []


def test_a_timeout_reading_the_current_token_does_not_block_a_publication(world: World) -> None:
    world.run()
    world.aws.fault(CallFault(operation="GetSecretValue"), times=3, after=1)
    assert world.run("rotate-now")["outcome"] == "rotated"
    assert world.seen.codes() == ["current-unreadable"]
    assert world.is_current_live()


# The credentials


@pytest.mark.parametrize("action", ["rotate-now", "credentials-changed"])
def test_unusable_credentials_request_no_token_and_change_nothing(world: World, action: str) -> None:
    world.run()
    labels = world.labels()
    world.put_credentials("{}")
    assert world.failure(action) == "credentials-unusable"
    assert (world.operations(), world.labels()) == (["token"], labels)


def test_if_new_credentials_are_rejected_the_previous_ones_are_used(world: World) -> None:
    world.put_credentials(WRONG)
    assert world.run()["outcome"] == "rotated"
    assert world.is_current_live()
    assert world.operations() == ["token", "token"]
    assert world.seen.codes() == ["credentials-fallback"]
    metrics = world.seen.metrics()
    assert (metrics["CredentialsFallback"], metrics["RotationFailed"]) == (1, 0)
    assert world.seen.log()[-1]["attempts"] == 2


def test_the_scope_is_also_requested_with_previous_credentials(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELENOR_SCOPE", "incidents.read")
    world.put_credentials(WRONG)
    world.run()
    assert [request.form["scope"] for request in world.telenor.requests] == ["incidents.read"] * 2


@pytest.mark.parametrize(
    ("contents", "requests", "codes"),
    [
        pytest.param(
            [WRONG.replace("wrong", "older"), WRONG], 2, ["credentials-refused"] * 2, id="the previous are wrong too"
        ),
        pytest.param(["not JSON", WRONG], 1, ["credentials-refused"], id="the previous value is no credentials"),
        pytest.param([WRONG, WRONG + " "], 1, ["credentials-refused"], id="the previous ones are the same"),
    ],
)
def test_if_the_previous_credentials_fail_too_the_rejected_client_is_reported(
    world: World, contents: list[str], requests: int, codes: list[str]
) -> None:
    for content in contents:
        world.put_credentials(content)
    assert world.failure() == "credentials-refused"
    assert world.operations() == ["token"] * requests
    assert world.seen.codes() == codes
    assert world.seen.metrics()["CredentialsFallback"] == 0


# Verification


@pytest.fixture
def verified(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")
    return world


def log_out(world: World) -> None:
    """Revoke the current token, as another party with the same client may."""
    authorization = {"Authorization": f"Bearer {world.token()}"}
    requests.get(f"{world.telenor.url}/oauth/v2/logout", headers=authorization, timeout=5).raise_for_status()
    assert not world.is_current_live()


def test_a_rejected_new_token_is_logged_out_instead_of_published(verified: World) -> None:
    first = verified.run()
    verified.telenor.fault(operation="incidents", status=403)
    assert verified.failure("rotate-now") == "token-not-accepted"
    assert (verified.live(), verified.issued()) == (1, 2)
    assert verified.labels().keys() == {first["version_id"]}


@pytest.mark.parametrize("status", [401, 403])
def test_without_a_usable_published_token_a_rejected_one_is_published_with_an_error(
    verified: World, status: int
) -> None:
    """The rejection may come from something in front of VERIFY_URL only, such as a web application firewall."""
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
def test_a_rejected_token_replaces_one_that_expires_soon(verified: World, seconds: int, *, is_published: bool) -> None:
    first = verified.run()["version_id"]
    verified.telenor.fault(operation="incidents", status=403)
    verified.clock.advance(seconds=seconds)
    assert verified.failure() == "token-not-accepted"
    assert (list(verified.labels()) == [first]) is not is_published
    # A rejection counts as expired in the metric, even if the new token was rejected and not the published one.
    assert verified.seen.metrics()["SecondsUntilExpiry"] == 0
    assert verified.seen.metrics()["RotationFailed"] == 1
    if is_published:
        assert verified.is_current_live()


def test_a_rejected_token_counts_as_expired_even_if_a_second_try_gets_no_response(
    verified: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RENEW_AT_FRACTION", "0.5")
    verified.run()
    verified.clock.advance(minutes=16)
    verified.telenor.fault(operation="incidents", status=401, times=6)
    verified.telenor.fault(operation="incidents", drop=True)
    assert verified.failure() == "token-not-accepted"
    assert verified.seen.metrics()["SecondsUntilExpiry"] == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (None, "token-endpoint-out"),
        (CallFault(operation="PutSecretValue", code="AccessDeniedException"), "write-refused"),
        (CallFault(operation="PutSecretValue", code="InternalServiceError", status=500), "write-unknown"),
    ],
)
def test_a_due_run_that_publishes_nothing_counts_a_rejected_token_as_expired(
    verified: World, fault: CallFault | None, code: str
) -> None:
    verified.run()
    log_out(verified)
    verified.clock.advance(minutes=20)
    if fault is None:
        verified.telenor.fault(operation="token", status=503)
    else:
        verified.aws.fault(fault, times=9)
    assert verified.failure() == code
    assert verified.seen.metrics()["SecondsUntilExpiry"] == 0
    assert "token-not-accepted" in verified.seen.codes()


def test_a_due_run_that_publishes_nothing_counts_an_accepted_token_in_full(verified: World) -> None:
    verified.run()
    verified.clock.advance(minutes=20)
    verified.telenor.fault(operation="token", status=503)
    assert verified.failure() == "token-endpoint-out"
    assert verified.seen.metrics()["SecondsUntilExpiry"] > 2000


def test_an_expired_token_is_not_tried(verified: World) -> None:
    verified.run()
    verified.clock.advance(hours=2)
    verified.telenor.fault(operation="token", status=503)
    assert verified.failure() == "token-endpoint-out"
    assert verified.operations().count("incidents") == 1
    assert "token-not-accepted" not in verified.seen.codes()


def test_an_emergency_that_publishes_nothing_revokes_before_it_tries_the_published_token(verified: World) -> None:
    verified.supersede()
    verified.telenor.fault(operation="token", status=503)
    assert verified.failure("rotate-and-revoke-now") == "token-endpoint-out"
    assert verified.operations()[-2:] == ["logout", "incidents"]


def test_a_rejected_token_that_a_due_run_gets_again_fails_the_run(verified: World) -> None:
    verified.telenor.knobs(issue="same")
    verified.run()
    verified.clock.advance(minutes=20)
    verified.telenor.fault(operation="incidents", status=401, times=9)
    assert verified.failure() == "token-reissued"
    assert verified.seen.metrics()["SecondsUntilExpiry"] == 0


def test_an_accepted_token_that_a_due_run_gets_again_is_tried_once(verified: World) -> None:
    verified.telenor.knobs(issue="same")
    verified.run()
    verified.clock.advance(minutes=20)
    before = verified.operations().count("incidents")
    assert verified.run()["outcome"] == "reissued"
    assert verified.operations().count("incidents") == before + 1


def test_a_refused_rotation_counts_a_rejected_token_as_expired(verified: World) -> None:
    verified.run()
    log_out(verified)
    verified.fill_day(130)
    assert verified.failure("rotate-now") == "write-budget-spent"
    assert verified.seen.metrics()["SecondsUntilExpiry"] == 0


@pytest.mark.parametrize("has_token", [True, False])
def test_a_rejected_token_replaces_a_value_without_a_usable_token(verified: World, has_token: bool) -> None:
    now = int(verified.clock.now().timestamp())
    verified.put(json.dumps({"access_token": verified.obtain(), "expires_at": now}) if has_token else "manual")
    verified.telenor.fault(operation="incidents", status=403)
    assert verified.failure() == "token-not-accepted"
    assert verified.is_current_live()
    assert verified.document()["expires_at"] > now


def test_a_rejected_token_replaces_one_that_has_just_expired(verified: World) -> None:
    # All waits before the last rejection take so many seconds.
    expires_at = verified.clock.now().timestamp() + 7.5
    verified.put(json.dumps({"access_token": verified.obtain(), "expires_at": expires_at}))
    verified.telenor.fault(operation="incidents", status=403)
    # The first read fails, so that the version gets no label with this expiry.
    verified.aws.fault(CallFault(operation="GetSecretValue", code="AccessDeniedException"), times=1)
    assert verified.failure() == "token-not-accepted"
    assert verified.document()["expires_at"] > expires_at


def test_a_rejected_token_replaces_none_that_could_not_be_read(verified: World) -> None:
    verified.run()
    verified.telenor.fault(operation="incidents", status=403)
    verified.aws.fault(CallFault(operation="GetSecretValue", code="InternalServiceError", status=500), times=3, after=1)
    assert verified.failure("rotate-now") == "token-not-accepted"
    assert (verified.live(), verified.issued()) == (1, 2)


def test_an_emergency_that_publishes_a_rejected_token_counts_it_as_expired(verified: World) -> None:
    verified.put("manual")
    verified.telenor.fault(operation="incidents", status=403)
    assert verified.failure("rotate-and-revoke-now") == "revocation-abandoned"
    assert verified.seen.metrics()["SecondsUntilExpiry"] == 0


def test_consumers_never_hold_an_expired_token_while_a_firewall_rejects_every_new_one(verified: World) -> None:
    verified.run()
    verified.telenor.fault(operation="incidents", status=403)
    for _ in range(13):
        verified.clock.advance(minutes=5)
        with contextlib.suppress(RotationError):
            verified.run()
        assert verified.document()["expires_at"] > verified.clock.now().timestamp()
        assert verified.is_current_live()


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"drop": True}])
def test_an_inconclusive_verification_only_warns(verified: World, fault: dict[str, Any]) -> None:
    verified.telenor.fault(operation="incidents", **fault)
    assert verified.run()["outcome"] == "rotated"
    assert verified.seen.codes() == ["verify-url-out"]
    assert verified.operations()[:2] == ["token", "incidents"]


def test_an_unreadable_published_token_is_neither_verified_nor_replaced(verified: World) -> None:
    verified.run()
    verified.aws.fault(CallFault(operation="GetSecretValue", code="AccessDeniedException"))
    assert verified.run()["outcome"] == "not-due"
    assert verified.seen.codes() == ["current-unreadable"]


@pytest.mark.parametrize("content", ["manual", None])
def test_a_value_put_by_an_operator_during_the_run_is_not_verified(verified: World, content: str | None) -> None:
    """The read returned another version than the description, so it is not about the current token."""
    verified.run()
    tried = verified.operations().count("incidents")
    put = verified.document() if content is None else content
    verified.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: verified.put(json.dumps(put))))
    result = verified.run()
    assert (result["outcome"], result["reason"]) == ("not-due", "fresh")
    assert verified.seen.codes() == []
    assert verified.operations().count("incidents") == tried


def test_a_duplicates_token_that_replaces_a_rejected_one_has_its_full_lifetime(
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


def test_a_rejected_token_does_not_fail_the_run_if_a_duplicate_delivery_has_published(verified: World) -> None:
    request_id = str(uuid.uuid4())

    def deliver_again() -> None:
        verified.telenor.clear_faults()
        verified.run(request_id=request_id)

    verified.telenor.fault(operation="incidents", status=403)
    verified.aws.fault(Meanwhile(operation="PutSecretValue", happens=deliver_again))
    assert verified.run(request_id=request_id)["outcome"] == "rotated"
    assert verified.seen.metrics()["SecondsUntilExpiry"] > 3500
    assert verified.is_current_live()


# Duplicate deliveries, overlapping runs and operator actions


def test_a_duplicate_delivery_does_nothing_twice(world: World) -> None:
    request_id = str(uuid.uuid4())
    world.run("rotate-now", request_id=request_id)
    result = world.run("rotate-now", request_id=request_id)
    assert (result["outcome"], result["reason"]) == ("not-due", "already-rotated-by-this-request")
    assert world.issued() == 1


def test_two_simultaneous_runs_leave_both_tokens_tracked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have the same time, so the next run dates the current one again, and the other's grace starts then."""
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


def test_a_rolled_back_secret_keeps_its_current_token(world: World) -> None:
    first, second = world.supersede()
    world.roll_back_to(first)
    world.clock.advance(minutes=1)
    result = world.run()
    assert (result["outcome"], result["version_id"], result["revoked"]) == ("not-due", first, [])
    assert sum(label.startswith("LIVE_") for label in world.labels()[first]) == 2
    # The roll-back itself, and the new label.
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


def test_a_roll_back_during_a_renewal_gives_the_rolled_back_token_its_grace(world: World) -> None:
    _, second = world.supersede()
    world.clock.advance(minutes=1)
    world.run("rotate-now")
    world.clock.advance(minutes=30)
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.roll_back_to(second)))
    result = world.run()
    assert (result["outcome"], result["revoked"]) == ("rotated", [])
    assert world.is_live(second)


def test_a_current_version_without_a_label_is_tracked_again_from_its_document(world: World) -> None:
    first = world.run()
    labels = world.labels()
    world.unlabel(first["version_id"])
    world.clock.advance(minutes=5)
    result = world.run()
    assert (result["outcome"], result["reason"], result["renews_at"]) == ("not-due", "fresh", first["renews_at"])
    assert world.labels() == labels


def test_a_document_older_than_the_version_it_replaced_gets_two_labels(world: World) -> None:
    """An operator has put an old value again: its token is as old as stated, and the replaced one is superseded now."""
    world.run()
    old = json.dumps(world.document())
    world.clock.advance(minutes=1)
    second = world.run("rotate-now")["version_id"]
    world.clock.advance(minutes=1)
    restored = world.put(old)
    result = world.run()
    assert (result["outcome"], result["version_id"], result["revoked"]) == ("not-due", restored, [])
    assert sum(label.startswith("LIVE_") for label in world.labels()[restored]) == 2
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == [second]
    assert world.is_current_live()


def test_a_just_expired_current_token_is_not_tracked_again(world: World) -> None:
    first = world.run()["version_id"]
    world.unlabel(first)
    world.clock.advance(seconds=3599)
    before = world.aws.calls()
    assert world.run()["outcome"] == "rotated"
    assert (world.aws.calls() - before)["UpdateSecretVersionStage"] == 0


def test_a_document_of_another_version_is_not_used_to_track_the_current_one(world: World) -> None:
    """The read of the value is staler than the description: it returns the previous version."""
    world.run()
    world.put(json.dumps(world.document()))
    world.aws.fault(Lag(operation="GetSecretValue"), secret_id="telenor/token")
    assert world.run()["reason"] == "current-version-not-in-ledger"


def test_a_document_without_an_issue_time_is_tracked_from_now_on(world: World) -> None:
    world.run()
    world.clock.advance(minutes=1)
    restored = world.put(json.dumps(world.document() | {"issued_at": None}))
    result = world.run()
    assert (result["outcome"], result["version_id"]) == ("not-due", restored)
    assert result["renews_at"] == world.clock.now().timestamp() + 20 * 60


@pytest.mark.parametrize(
    ("code", "logged"),
    [("AccessDeniedException", "current-unreadable"), pytest.param("ResourceNotFoundException", None, id="stale")],
)
def test_an_unlabelled_unreadable_current_version_is_replaced(world: World, code: str, logged: str | None) -> None:
    world.unlabel(world.run()["version_id"])
    world.aws.fault(CallFault(operation="GetSecretValue", code=code))
    assert world.run()["reason"] == "current-version-not-in-ledger"
    assert world.is_current_live()
    assert [code for code in world.seen.codes() if code != "revocation-abandoned"] == ([logged] if logged else [])


def test_a_replaced_untracked_token_is_counted(world: World) -> None:
    """The version has lost its label, and its token's expiry could not be read."""
    out = CallFault(operation="GetSecretValue", code="InternalServiceError", status=500)
    world.unlabel(world.run()["version_id"])
    world.aws.fault(out, times=6, secret_id="telenor/token")
    assert world.run()["outcome"] == "rotated"
    assert world.live() == 2
    assert world.seen.metrics()["RevocationAbandoned"] == 1


@pytest.mark.parametrize(
    ("changes", "abandoned"),
    [
        pytest.param({"issued_at": 1_795_469_400 + 61}, 1, id="from the future"),
        pytest.param({"expires_at": None}, 1, id="unknown expiry"),
        pytest.param({"expires_at": 1_795_469_400}, 0, id="it expires at this moment"),
        pytest.param({"access_token": None}, 0, id="not a token"),
    ],
)
def test_an_untrackable_document_is_replaced_and_counted_if_its_token_may_be_active(
    world: World, changes: dict[str, object], abandoned: int
) -> None:
    world.unlabel(world.run()["version_id"])
    world.put(json.dumps(world.document() | changes))
    result = world.run()
    assert (result["outcome"], result["reason"]) == ("rotated", "current-version-not-in-ledger")
    assert world.seen.metrics()["RevocationAbandoned"] == abandoned


def test_a_replaced_untracked_token_that_is_republished_is_not_counted(world: World) -> None:
    world.unlabel(world.run()["version_id"])
    world.put(json.dumps(world.document() | {"expires_at": None}))
    world.telenor.fault(operation="token", body=json.dumps({"access_token": world.token(), "expires_in": 3599}))
    assert world.run()["outcome"] == "rotated"
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_a_label_that_cannot_be_added_is_logged_and_retried_in_the_next_run(world: World) -> None:
    first = world.run()["version_id"]
    world.unlabel(first)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code="AccessDeniedException"))
    assert world.run()["outcome"] == "not-due"
    assert world.seen.codes() == ["label-not-attached"]
    assert world.tracked() == set()
    world.run()
    assert world.tracked() == {first}


def test_a_label_that_cannot_be_added_before_a_publication_is_added_after_it(world: World) -> None:
    first = world.run()["version_id"]
    world.unlabel(first)
    world.clock.advance(minutes=1)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code="AccessDeniedException"))
    result = world.run("rotate-now")
    assert world.tracked() == {first, result["version_id"]}
    assert result["pending_revocations"] == 1


@pytest.mark.parametrize("content", [" ", "manual", '{"access_token": "CANARY-manual"}'])
def test_a_value_put_by_an_operator_is_replaced_and_no_token_is_lost(world: World, content: str) -> None:
    first = world.run()["version_id"]
    world.clock.advance(minutes=1)
    world.put(content)
    assert world.run()["reason"] == "current-version-not-in-ledger"
    assert world.is_current_live()
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == [first]


# Settings that cannot meet the guarantees


@pytest.mark.parametrize(
    ("lifetime_seconds", "codes"),
    [
        pytest.param(3600, [], id="an hour is enough"),
        pytest.param(900, ["settings-cannot-hold"], id="15 minutes are less than a grace and a missed run"),
        pytest.param(899, ["settings-cannot-hold", "life-too-short"], id="below 900 s writes are too frequent"),
    ],
)
def test_a_lifetime_too_short_for_the_guarantees_is_published_with_a_warning_each_time(
    world: World, lifetime_seconds: int, codes: list[str]
) -> None:
    world.telenor.knobs(lifetime_seconds=lifetime_seconds)
    for times in (1, 2):
        assert world.run("rotate-now")["outcome"] == "rotated"
        assert world.seen.codes() == codes * times


# A token that another party has revoked


@pytest.fixture
def renews_late(verified: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Renew tokens late, so that only a rejected token is replaced before that."""
    monkeypatch.setenv("RENEW_AT_FRACTION", "0.5")
    return verified


def test_an_externally_revoked_token_is_detected_and_replaced_after_15_minutes(renews_late: World) -> None:
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


def test_a_reissued_inactive_token_fails_the_run(renews_late: World) -> None:
    first = renews_late.run()["version_id"]
    renews_late.telenor.knobs(issue="same")
    renews_late.telenor.fault(operation="incidents", status=401, body='{"code": 2}')
    renews_late.clock.advance(minutes=16)
    renews_late.failure()
    assert list(renews_late.labels()) == [first]
    assert (renews_late.seen.metrics()["RotationFailed"], renews_late.seen.metrics()["SecondsUntilExpiry"]) == (1, 0)


def test_a_run_that_is_not_due_verifies_the_published_token_once(renews_late: World) -> None:
    renews_late.run()
    before = renews_late.operations()
    renews_late.run()
    assert renews_late.operations() == [*before, "incidents"]


@pytest.mark.parametrize("fault", [{"status": 401, "body": '{"code": 5}'}, {"status": 401}, {"status": 403}])
def test_a_refusal_unrelated_to_the_client_is_not_retried(world: World, fault: dict[str, Any]) -> None:
    world.put_credentials('{"client_id": "other", "client_secret": "other"}')
    world.telenor.fault(operation="token", **fault)
    world.failure()
    assert world.operations() == ["token"]
