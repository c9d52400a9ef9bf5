"""Revocation: after the grace, at once in an emergency, and never of a token in use."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from infra.local.secrets_manager_faults import CallFault, Lag, Meanwhile
from tests.leak_detector import CANARY

if TYPE_CHECKING:
    from tests.world import World

DENIED = "AccessDeniedException"
NOT_FOUND = "ResourceNotFoundException"


def logged(world: World) -> list[tuple[str, str | None]]:
    """Return the code of each warning and error, and the superseded version that it names."""
    return [(line["error_code"], line.get("superseded_version_id")) for line in world.seen.warnings]


# After the grace


def test_a_superseded_token_survives_its_grace_and_no_longer(world: World) -> None:
    first = world.run()["version_id"]
    world.clock.advance(minutes=1)
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


def test_without_a_grace_the_previous_token_is_revoked_in_the_run_that_replaces_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRACE_SECONDS", "0")
    first = world.run()["version_id"]
    world.clock.advance(milliseconds=300)
    assert world.run("rotate-now")["revoked"] == [first]
    assert world.live() == 1
    assert world.is_current_live()


def test_without_a_grace_a_republished_token_is_not_revoked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The superseded version contains the same token that this run has published with its longer lifetime."""
    monkeypatch.setenv("GRACE_SECONDS", "0")
    world.run()
    world.telenor.knobs(issue="same-extended")
    world.clock.advance(minutes=30)
    result = world.run("rotate-now")
    assert (result["revoked"], result["pending_revocations"]) == ([], 0)
    assert world.tracked() == {result["version_id"]}
    assert world.is_current_live()


def use_up_time(world: World) -> None:
    world.aws.fault(Meanwhile(operation="DescribeSecret", happens=lambda: world.clock.advance(seconds=95)))


def test_nothing_is_revoked_when_no_time_is_left(world: World) -> None:
    first, _ = world.supersede()
    world.clock.advance(minutes=11)
    use_up_time(world)
    assert world.run()["revoked"] == []
    assert world.seen.codes() == []
    assert world.run()["revoked"] == [first]


def test_an_expired_token_is_removed_without_a_logout_while_another_is_revoked(world: World) -> None:
    world.telenor.knobs(lifetime_seconds=600)
    world.run()
    world.telenor.knobs(lifetime_seconds=3599)
    second, third = world.supersede()
    world.clock.advance(minutes=10)
    result = world.run()
    assert (result["revoked"], result["pending_revocations"]) == ([second], 0)
    assert world.tracked() == {third}
    assert world.operations() == ["token"] * 3 + ["logout"]


def test_an_expired_token_whose_label_cannot_be_removed_is_neither_logged_out_nor_counted(world: World) -> None:
    first, _ = world.supersede()
    world.clock.advance(minutes=59, seconds=30)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code=DENIED))
    result = world.run()
    assert (result["revoked"], result["pending_revocations"]) == ([], 2)
    assert "label-not-removed" in world.seen.codes()
    assert "logout" not in world.operations()
    assert first in world.tracked()
    assert world.run()["pending_revocations"] == 1


def test_a_superseded_token_with_an_unreadable_label_is_revoked_after_the_grace(world: World) -> None:
    first, second = world.supersede()
    world.unlabel(first)
    world.label(first, "LIVE_manual")
    assert world.run()["revoked"] == []
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == [first]
    assert world.tracked() == {second}


def test_a_superseded_token_with_an_unreadable_label_is_removed_when_it_expires(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renewals are closer than this grace, so it never ends for a token without a known time."""
    monkeypatch.setenv("GRACE_SECONDS", "1200")
    first, _ = world.supersede()
    world.unlabel(first)
    world.label(first, "LIVE_manual")
    for _ in range(12):
        assert first in world.tracked()
        world.clock.advance(minutes=5)
        world.run()
    assert first not in world.tracked()


def test_a_version_that_cannot_be_read_does_not_hide_the_expiry_of_the_next(world: World) -> None:
    world.telenor.knobs(lifetime_seconds=60)
    expired = [world.run("rotate-now")["version_id"] for _ in range(2)]
    world.telenor.knobs(lifetime_seconds=3599)
    world.run("rotate-now")
    for version_id in expired:
        world.unlabel(version_id)
        world.label(version_id, f"LIVE_{version_id}")
    world.clock.advance(minutes=2)
    world.aws.fault(CallFault(operation="GetSecretValue", code=DENIED))
    world.run()
    assert len(world.tracked().intersection(expired)) == 1


@pytest.mark.parametrize("content", ["{0}", '{{"access_token": "{0}"}}', '{{"token": "{0}"}}'])
def test_a_superseded_token_republished_by_an_operator_gets_a_new_grace(world: World, content: str) -> None:
    first, _ = world.supersede()
    world.clock.advance(minutes=9)
    token = world.token(first)
    world.put(content.format(token))
    world.clock.advance(minutes=2)
    result = world.run()
    assert (result["outcome"], result["revoked"]) == ("rotated", [])
    assert first in world.tracked()
    world.clock.advance(minutes=9, seconds=58)
    assert first not in world.run()["revoked"]
    world.clock.advance(seconds=3)
    assert first in world.run()["revoked"]
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_a_token_that_was_rolled_back_to_until_somebody_put_a_value_gets_its_grace_anew(world: World) -> None:
    first, _ = world.supersede()
    world.clock.advance(minutes=9)
    world.roll_back_to(first)
    world.clock.advance(minutes=2)
    world.put("by hand")
    assert world.run()["revoked"] == []
    world.clock.advance(minutes=9, seconds=58)
    assert first not in world.run()["revoked"]
    world.clock.advance(seconds=3)
    assert first in world.run()["revoked"]


def test_a_copied_token_that_cannot_be_compared_keeps_its_label_as_it_is(world: World) -> None:
    first, _ = world.supersede()
    labels = world.labels()[first]
    world.put("by hand")
    world.aws.fault(CallFault(operation="GetSecretValue", code=DENIED), after=3)
    assert world.run()["outcome"] == "rotated"
    assert world.labels()[first] == [label for label in labels if "LIVE_" in label]


def test_a_value_that_cannot_be_read_gives_no_token_a_new_grace(world: World) -> None:
    first, _ = world.supersede()
    labels = world.labels()[first]
    world.run("rotate-now")
    world.put(world.token(first))
    world.aws.fault(CallFault(operation="GetSecretValue", when="before"), after=2, times=3)
    assert world.run()["outcome"] == "rotated"
    assert world.labels()[first] == [label for label in labels if "LIVE_" in label]


def test_a_copied_token_that_stays_tracked_is_not_abandoned(world: World) -> None:
    first, _ = world.supersede()
    world.run("rotate-now")
    world.put(json.dumps({"access_token": world.token(first)}))
    world.run()
    assert first in world.tracked()
    assert world.seen.metrics()["RevocationAbandoned"] == 0


@pytest.mark.parametrize(
    ("content", "action", "is_live", "abandoned"),
    [
        ('{{"access_token": "{0}"}}', "rotate-and-revoke-now", False, 0),
        *(('{{"access_token": "{0}"}}', "rotate-now", True, 1), ("{0}", "rotate-now", True, 0)),
        *(("{{}}", "rotate-and-revoke-now", True, 0), (" ", "rotate-and-revoke-now", True, 0)),
    ],
)
def test_an_untracked_token_put_by_hand_is_revoked_in_an_emergency_or_abandoned(
    world: World, content: str, action: str, is_live: bool, abandoned: int
) -> None:
    """Text without a document counts as a placeholder, but in an emergency."""
    token = world.obtain()
    world.put(content.format(token))
    assert world.run(action)["outcome"] == "rotated"
    assert world.telenor.is_live(token) is is_live
    assert world.seen.metrics()["RevocationAbandoned"] == abandoned
    assert world.is_current_live()


def test_an_untracked_token_that_was_replaced_before_it_was_read_is_abandoned(world: World) -> None:
    world.put(json.dumps({"access_token": world.obtain()}))
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.put("{}")))
    world.run()
    assert world.seen.metrics()["RevocationAbandoned"] == 1


@pytest.mark.parametrize(
    ("content", "fails"),
    [('{{"access_token": "{0}"}}', "logout"), ('{{"access_token": "{0}"}}', "GetSecretValue"), ("{0}", None)],
)
def test_an_emergency_that_cannot_revoke_an_untracked_token_publishes_and_fails(
    world: World, content: str, fails: str | None
) -> None:
    token = world.obtain()
    by_hand = world.put(content.format(token))
    if fails == "logout":
        world.telenor.fault(operation="logout", drop=True)
    elif fails is not None:
        world.aws.fault(CallFault(operation=fails, code=DENIED), after=3)
    assert world.failure("rotate-and-revoke-now") == "revocation-abandoned"
    assert by_hand != world.seen.log()[-1]["version_id"]
    assert world.telenor.is_live(token)
    assert world.is_current_live()
    assert world.seen.metrics()["RevocationAbandoned"] == 1


def test_a_value_that_is_read_too_slowly_gets_no_new_grace_but_is_replaced(world: World) -> None:
    """Each call may take 18 s, and a publication needs the rest of the run."""
    first, _ = world.supersede()
    labels = world.labels()[first]
    world.run("rotate-now")
    world.put(world.token(first))
    world.telenor.fault(operation="token", delay_seconds=75)
    assert world.run()["outcome"] == "rotated"
    assert world.labels()[first] == [label for label in labels if "LIVE_" in label]


def test_a_response_of_verify_url_does_not_cause_retries_of_logouts_at_an_unreachable_server(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")
    for _ in range(4):
        world.run("rotate-now")
    world.clock.advance(minutes=11)
    for operation in ("token", "logout"):
        world.telenor.fault(operation=operation, drop=True)
    assert world.run()["outcome"] == "not-due"
    assert world.operations()[-2:] == ["incidents", "logout"]


def test_a_tracked_version_without_a_token_is_removed(world: World) -> None:
    version_id = world.put("manual")
    world.label(version_id, "LIVE_manual")
    world.run()
    world.clock.advance(minutes=10)
    assert world.run()["pending_revocations"] == 0
    assert world.seen.metrics()["TokenRevoked"] == 0


# Emergencies


def test_an_emergency_revokes_all_other_tokens_at_once_even_after_a_roll_back(world: World) -> None:
    versions = [world.run("rotate-now")["version_id"] for _ in range(3)]
    world.roll_back_to(versions[0])
    result = world.run("rotate-and-revoke-now")
    assert (result["outcome"], result["reason"], result["pending_revocations"]) == ("rotated", "leaked", 0)
    assert set(result["revoked"]) == set(versions)
    assert world.live() == 1
    assert world.is_current_live()


def test_a_duplicate_emergency_revokes_what_the_first_delivery_could_not(world: World) -> None:
    request_id = str(uuid.uuid4())
    first = world.run()["version_id"]
    world.telenor.fault(operation="logout", status=503)
    assert world.run("rotate-and-revoke-now", request_id=request_id)["revoked"] == []
    world.telenor.clear_faults()
    assert world.run("rotate-and-revoke-now", request_id=request_id)["revoked"] == [first]
    assert world.issued() == 2


@pytest.mark.parametrize("then", ["rotate-now", "rotate-and-revoke-now"])
def test_a_duplicate_emergency_after_a_later_rotation_respects_the_grace(world: World, then: str) -> None:
    """Even if the version of the first delivery is already revoked."""
    request_id = str(uuid.uuid4())
    world.run("rotate-and-revoke-now", request_id=request_id)
    world.clock.advance(seconds=5)
    superseded = world.run(then)["version_id"]
    current = world.run("rotate-now")["version_id"]
    world.clock.advance(seconds=2)
    result = world.run("rotate-and-revoke-now", request_id=request_id)
    assert (result["version_id"], result["revoked"]) == (current, [])
    assert world.is_live(request_id) is (then == "rotate-now")
    assert world.is_live(superseded)
    assert world.live() == (3 if then == "rotate-now" else 2)
    assert world.is_current_live()


def test_an_overtaken_emergency_still_revokes_the_leaked_token(world: World) -> None:
    leaked = world.run()["version_id"]
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.run("rotate-now")), after=2)
    assert leaked in world.run("rotate-and-revoke-now")["revoked"]
    assert not world.is_live(leaked)
    assert world.is_current_live()


def test_an_emergency_that_gets_no_token_and_may_be_a_duplicate_respects_the_grace(world: World) -> None:
    first, _ = world.supersede()
    world.telenor.fault(operation="token", drop=True)
    world.aws.fault(CallFault(operation="GetSecretValue", code=DENIED), after=2)
    assert world.failure("rotate-and-revoke-now") == "token-endpoint-out"
    assert world.is_live(first)


# Tokens in use


def test_a_token_that_another_version_still_holds_in_grace_is_not_logged_out(world: World) -> None:
    """Two versions contain one token. After the third publication the first version is due, but its token is not."""
    first = world.run()["version_id"]
    second = world.publish_again()
    world.clock.advance(minutes=11)
    result = world.run("rotate-now")
    assert result["outcome"] == "rotated"
    assert world.is_live(second)
    assert first in world.tracked()
    world.clock.advance(minutes=10)
    world.run()
    assert world.live() == 1
    assert world.is_current_live()


def test_a_token_of_an_untracked_current_version_keeps_its_label(world: World) -> None:
    """The current version has no label, so this label is the only record of an active token."""
    first, _ = world.supersede()
    world.telenor.fault(operation="token", status=401, body="{}")
    world.put(json.dumps({"access_token": world.token(first)}))
    assert world.failure("rotate-and-revoke-now") == "answer-unknown"
    assert first in world.tracked()
    assert world.is_live(first)
    assert world.is_current_live()


def test_a_current_token_in_another_format_is_never_logged_out(world: World) -> None:
    first, _ = world.supersede()
    world.label(world.put(f"token={world.token(first)}"), "LIVE_20261123T213200Z_20261123T223059Z_byhand00")
    world.clock.advance(minutes=12)
    assert first not in world.run()["revoked"]
    assert world.is_live(first)


def test_an_overtaken_run_revokes_no_token_in_its_grace(world: World) -> None:
    """The first two versions contain one token, and another run publishes while this one revokes the first."""
    world.run()
    second = world.publish_again()
    world.clock.advance(minutes=10)
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.run("rotate-now")))
    assert world.run()["revoked"] == []
    assert world.is_live(second)


def reissue_fault(world: World, expires_in: int = 3599) -> dict[str, Any]:
    """Return a fault in which Telenor reissues the current token."""
    return {"operation": "token", "body": json.dumps({"access_token": world.token(), "expires_in": expires_in})}


def test_a_token_once_read_as_current_is_not_logged_out_if_the_next_read_is_stale(world: World) -> None:
    """Telenor reissues one token repeatedly, and the run's description is stale too."""
    first, _ = world.supersede()
    again = reissue_fault(world)
    world.roll_back_to(first)
    world.telenor.fault(**again)
    world.run("rotate-now")
    world.telenor.fault(**again)
    world.aws.fault(Lag(operation="DescribeSecret"))
    world.aws.fault(Lag(operation="GetSecretValue"), after=4)
    assert world.failure("rotate-and-revoke-now") == "token-reissued"
    world.aws.clear_faults()
    assert world.is_current_live()


def test_a_rejected_token_once_read_as_current_is_not_logged_out_if_the_next_read_is_stale(world: World) -> None:
    world.supersede()
    world.telenor.fault(**reissue_fault(world, expires_in=7200))
    world.aws.fault(Lag(operation="DescribeSecret"))
    world.aws.fault(CallFault(operation="PutSecretValue", code=DENIED))
    world.aws.fault(Lag(operation="GetSecretValue"), after=2)
    assert world.failure("rotate-now") == "write-refused"
    world.aws.clear_faults()
    assert world.is_current_live()


def test_an_emergency_revokes_a_version_that_an_operator_rolled_back_to_during_the_run(world: World) -> None:
    first, _ = world.supersede()
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.roll_back_to(first)))
    assert first in world.run("rotate-and-revoke-now")["revoked"]
    assert world.live() == 1


def test_a_roll_back_between_description_and_logout_is_noticed(world: World) -> None:
    first, _ = world.supersede()
    world.clock.advance(minutes=10)
    world.aws.fault(Meanwhile(operation="DescribeSecret", when="after", happens=lambda: world.roll_back_to(first)))
    assert world.run()["revoked"] == []
    assert world.is_current_live()
    assert logged(world) == [("reads-as-current", first)]


def test_a_roll_back_right_before_an_emergency_logout_keeps_the_current_token(world: World) -> None:
    """The version was read before the roll-back, and the current version after it."""
    first, _ = world.supersede()
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.roll_back_to(first)), after=3)
    assert first not in world.run("rotate-and-revoke-now")["revoked"]
    assert world.is_current_live()
    assert first in world.tracked()


# Failures


def test_if_telenor_does_not_respond_a_run_tries_one_logout_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        world.run("rotate-now")
    world.clock.advance(seconds=610)
    monkeypatch.setenv("TELENOR_BASE_URL", "http://127.0.0.1:1")
    slept = len(world.clock.slept)
    result = world.run()
    assert (result["outcome"], result["revoked"], result["pending_revocations"]) == ("not-due", [], 2)
    assert world.seen.codes() == ["revocation-failed"]
    assert world.clock.slept[slept:] == []


@pytest.mark.parametrize(
    "fault",
    [
        *({"status": 500}, {"status": 200, "html": True}),
        pytest.param({"status": 302, "headers": {"Location": "http://["}}, id="a redirect to an invalid URL"),
        pytest.param({"status": 503, "retry_after": "Fri, 31 Dec 9999 23:59:59 -1200"}, id="a huge Retry-After"),
    ],
)
def test_a_failing_logout_does_not_block_a_publication_and_is_retried_in_the_next_run(
    world: World, fault: dict[str, Any]
) -> None:
    versions = [world.run()["version_id"], *world.supersede()]
    world.clock.advance(minutes=30)
    world.telenor.fault(operation="logout", **fault)
    result = world.run()
    assert (result["outcome"], result["revoked"], result["pending_revocations"]) == ("rotated", [], 3)
    assert (world.seen.metrics()["RevocationFailed"], world.seen.metrics()["RevocationsPending"]) == (2, 3)
    assert world.seen.codes().count("revocation-failed") == 2
    world.telenor.clear_faults()
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == versions
    assert world.live() == 1


@pytest.mark.parametrize(
    ("operation", "fault", "after", "code"),
    [
        ("GetSecretValue", DENIED, 0, "revocation-failed"),
        ("UpdateSecretVersionStage", DENIED, 0, "label-not-removed"),
        pytest.param("GetSecretValue", NOT_FOUND, 0, "version-not-found", id="a stale read"),
        pytest.param("GetSecretValue", NOT_FOUND, 1, "no-current-version", id="no version reads as current"),
    ],
)
def test_a_revocation_blocked_by_secrets_manager_is_retried_in_the_next_run(
    world: World, operation: str, fault: str, after: int, code: str
) -> None:
    first, _ = world.supersede()
    world.clock.advance(minutes=10)
    world.aws.fault(CallFault(operation=operation, code=fault), after=after)
    assert world.run()["pending_revocations"] == 1
    assert logged(world) == [(code, first)]
    assert first in world.tracked()
    assert world.is_live(first) is (code != "label-not-removed")
    assert world.run()["pending_revocations"] == 0
    assert world.live() == len(world.tracked()) == 1


def expire_three(world: World) -> None:
    for _ in range(4):
        world.run("rotate-now")
    world.clock.advance(hours=2)
    world.telenor.fault(operation="token", status=503)


def test_after_a_label_removal_times_out_a_run_removes_no_further_labels(world: World) -> None:
    """Each call takes three attempts of five seconds, and Lambda kills a run at its timeout."""
    expire_three(world)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", when="before"), times=9)
    before = world.aws.calls()
    world.failure()
    assert (world.aws.calls() - before)["UpdateSecretVersionStage"] == 3
    assert world.seen.codes().count("label-not-removed") == 1


def test_a_run_without_time_removes_no_label(world: World) -> None:
    expire_three(world)
    world.telenor.clear_faults()
    before = world.aws.calls()
    use_up_time(world)
    assert world.failure() == "no-time-left"
    assert (world.aws.calls() - before)["UpdateSecretVersionStage"] == 0
    assert "label-not-removed" not in world.seen.codes()


def test_a_run_waits_for_one_silent_read_of_unreadable_labels(world: World) -> None:
    """Each read takes three attempts of five seconds."""
    versions = [world.run("rotate-now")["version_id"] for _ in range(4)]
    for version_id in versions[:-1]:
        world.unlabel(version_id)
        world.label(version_id, f"LIVE_{version_id}")
    world.aws.fault(CallFault(operation="GetSecretValue", when="before"), times=99)
    before = world.aws.calls()
    assert world.run()["outcome"] == "not-due"
    assert (world.aws.calls() - before)["GetSecretValue"] == 3


# Unpublished tokens


def test_an_unusable_response_before_a_good_one_does_not_revoke_the_good_token(world: World) -> None:
    """Telenor issues one token twice, first with an invalid lifetime."""
    document = json.dumps({"access_token": f"{CANARY}-same", "expires_in": 0})
    world.telenor.fault(operation="token", body=document, times=1)
    world.telenor.fault(operation="token", body=document.replace(" 0", " 3599"), times=1)
    assert world.run()["outcome"] == "rotated"
    assert world.operations() == ["token", "token"]


def test_a_rejected_token_that_another_publisher_has_published_is_not_logged_out(world: World) -> None:
    """Telenor has issued one token twice, and no description of this run shows the version that contains it."""
    world.run()
    document = world.document() | {"access_token": f"{CANARY}-token-2"}
    refused = CallFault(operation="PutSecretValue", code=DENIED)
    publish = Meanwhile(operation="PutSecretValue", happens=lambda: world.put(json.dumps(document)), fault=refused)
    world.aws.fault(publish)
    assert world.failure("rotate-now") == "write-refused"
    assert world.document()["access_token"] == f"{CANARY}-token-2"
    assert world.is_current_live()
    assert world.operations().count("logout") == 0


def test_a_token_that_can_be_neither_stored_nor_logged_out_is_logged_and_counted(world: World) -> None:
    world.run()
    world.aws.fault(CallFault(operation="PutSecretValue", code=DENIED))
    world.telenor.fault(operation="logout", status=503)
    assert world.failure("rotate-now") == "write-refused"
    assert "revocation-abandoned" in world.seen.codes()
    metrics = world.seen.metrics()
    assert (metrics["RevocationAbandoned"], metrics["RevocationFailed"]) == (1, 0)


def test_a_token_is_kept_and_counted_if_the_current_version_cannot_be_found(world: World) -> None:
    """No version reads as current, and the current one is not found: the read is stale and proves nothing."""
    world.run()
    world.aws.fault(CallFault(operation="PutSecretValue", code=DENIED))
    world.aws.fault(CallFault(operation="GetSecretValue", code=NOT_FOUND), times=2, after=1)
    world.aws.fault(CallFault(operation="GetSecretValue", code=NOT_FOUND))
    assert world.failure("rotate-now") == "write-refused"
    assert world.live() == 2
    assert world.seen.metrics()["RevocationAbandoned"] == 1


# Regressions: tokens that an earlier version logged out wrongly


def test_a_roll_back_between_two_tokens_of_one_instant_is_recognised(world: World) -> None:
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


def test_the_grace_of_a_token_of_overlapping_runs_starts_when_it_was_superseded(world: World) -> None:
    """The secret is rolled back and then renewed: the first token's grace starts with the renewal."""
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


def test_a_token_restored_by_an_operator_is_revoked_only_after_it_is_superseded(world: World) -> None:
    first = world.run()["version_id"]
    world.put(f"Bearer {world.token()}")
    world.telenor.fault(operation="token", status=503)
    assert world.failure("rotate-and-revoke-now") == "token-endpoint-out"
    assert world.is_live(first)
    assert first in world.tracked()
    world.telenor.clear_faults()
    world.run("rotate-now")
    assert world.is_live(first)
    assert first in world.tracked()
    world.clock.advance(minutes=10, seconds=2)
    world.run()
    assert not world.is_live(first)


def test_an_overtaken_run_without_a_grace_tracks_its_own_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run publishes before this one reads again, and cannot revoke the token that it superseded."""
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
