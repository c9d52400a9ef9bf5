"""Logging out what is over: after its grace, at once, to make room, and never what is in use."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from handler.errors import (
    LabelsExhaustedError,
)
from infra.local.secrets_manager import CallFault, Lag, Meanwhile
from tests.conftest import CANARY

if TYPE_CHECKING:
    from tests.conftest import World

DENIED = "AccessDeniedException"
NOT_FOUND = "ResourceNotFoundException"


def told(world: World) -> list[tuple[str, str | None]]:
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


def test_the_grace_counts_from_the_label_where_two_publications_share_a_second(world: World) -> None:
    first = world.run()["version_id"]
    world.run("rotate-now")
    world.clock.advance(seconds=600)
    assert world.run()["revoked"] == []
    world.clock.advance(seconds=1)
    assert world.run()["revoked"] == [first]


def test_without_a_grace_the_previous_token_dies_in_the_run_that_replaces_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRACE_SECONDS", "0")
    first = world.run()["version_id"]
    world.clock.advance(milliseconds=300)
    assert world.run("rotate-now")["revoked"] == [first]
    assert world.live() == 1
    assert world.is_current_live()


def test_without_a_grace_a_token_that_was_published_again_keeps_its_life(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The superseded version holds the very token that this run has published with its longer life."""
    monkeypatch.setenv("GRACE_SECONDS", "0")
    world.run()
    world.telenor.knobs(issue="same-extended")
    world.clock.advance(minutes=30)
    result = world.run("rotate-now")
    assert (result["revoked"], result["pending_revocations"]) == ([], 0)
    assert world.tracked() == {result["version_id"]}
    assert world.is_current_live()


def test_an_expired_token_is_forgotten_without_a_logout_beside_one_that_is_revoked(world: World) -> None:
    world.telenor.knobs(lifetime_seconds=600)
    world.run()
    world.telenor.knobs(lifetime_seconds=3599)
    second, third = world.supersede()
    world.clock.advance(minutes=10)
    result = world.run()
    assert (result["revoked"], result["pending_revocations"]) == ([second], 0)
    assert world.tracked() == {third}
    assert world.operations() == ["token"] * 3 + ["logout"]


def test_a_dead_token_whose_label_sticks_is_neither_logged_out_nor_counted(world: World) -> None:
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
    world.label(first, "LIVE_by_hand")
    assert world.run()["revoked"] == []
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == [first]
    assert world.tracked() == {second}


def test_a_superseded_token_with_an_unreadable_label_is_forgotten_when_it_expires(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renewals follow each other within this grace, so it never ends for a token without a time."""
    monkeypatch.setenv("GRACE_SECONDS", "1200")
    first, _ = world.supersede()
    world.unlabel(first)
    world.label(first, "LIVE_by_hand")
    for _ in range(12):
        assert first in world.tracked()
        world.clock.advance(minutes=5)
        world.run()
    assert first not in world.tracked()


@pytest.mark.parametrize("content", ["{0}", '{{"access_token": "{0}"}}', '{{"token": "{0}"}}'])
def test_a_superseded_token_that_somebody_has_published_by_its_value_gets_its_grace_anew(
    world: World, content: str
) -> None:
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


def test_an_answer_of_verify_url_does_not_make_logouts_of_an_unreachable_server_worth_a_retry(
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


def test_a_tracked_version_that_holds_no_token_is_forgotten(world: World) -> None:
    version_id = world.put("by hand")
    world.label(version_id, "LIVE_by_hand")
    world.run()
    world.clock.advance(minutes=10)
    assert world.run()["pending_revocations"] == 0
    assert world.seen.metrics()["TokenRevoked"] == 0


# At once


def test_a_leak_ends_every_other_token_at_once_also_one_that_was_rolled_back_to(world: World) -> None:
    versions = [world.run("rotate-now")["version_id"] for _ in range(3)]
    world.roll_back_to(versions[0])
    result = world.run("rotate-and-revoke-now")
    assert (result["outcome"], result["reason"], result["pending_revocations"]) == ("rotated", "leaked", 0)
    assert set(result["revoked"]) == set(versions)
    assert world.live() == 1
    assert world.is_current_live()


def test_a_leak_event_that_is_delivered_again_ends_what_it_could_not_end_before(world: World) -> None:
    request_id = str(uuid.uuid4())
    first = world.run()["version_id"]
    world.telenor.fault(operation="logout", status=503)
    assert world.run("rotate-and-revoke-now", request_id=request_id)["revoked"] == []
    world.telenor.clear_faults()
    assert world.run("rotate-and-revoke-now", request_id=request_id)["revoked"] == [first]
    assert world.issued() == 2


@pytest.mark.parametrize("then", ["rotate-now", "rotate-and-revoke-now"])
def test_a_leak_event_that_is_delivered_after_a_later_rotation_respects_the_grace(world: World, then: str) -> None:
    """Also where the version of its first delivery is revoked already."""
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


def test_an_emergency_that_another_run_overtakes_ends_the_leaked_token_all_the_same(world: World) -> None:
    leaked = world.run()["version_id"]
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.run("rotate-now")), after=2)
    assert leaked in world.run("rotate-and-revoke-now")["revoked"]
    assert not world.is_live(leaked)
    assert world.is_current_live()


def test_a_leak_event_that_gets_no_token_and_cannot_tell_whether_it_had_one_respects_the_grace(world: World) -> None:
    first, _ = world.supersede()
    world.telenor.fault(operation="token", drop=True)
    world.aws.fault(CallFault(operation="GetSecretValue", code=DENIED), after=2)
    assert world.failure("rotate-and-revoke-now") == "token-endpoint-out"
    assert world.is_live(first)


# What is in use


def test_a_twin_of_a_token_in_its_grace_is_not_logged_out(world: World) -> None:
    """The first two versions hold one token. When the third comes, the first may be revoked, but not its token."""
    first = world.run()["version_id"]
    world.telenor.knobs(issue="same-extended")
    world.clock.advance(minutes=30)
    second = world.run()["version_id"]
    world.telenor.knobs(issue="new")
    world.clock.advance(minutes=11)
    result = world.run("rotate-now")
    assert result["outcome"] == "rotated"
    assert world.is_live(second)
    assert first in world.tracked()
    world.clock.advance(minutes=10)
    world.run()
    assert world.live() == 1
    assert world.is_current_live()


def test_a_token_that_is_current_in_a_version_nobody_tracks_keeps_its_label(world: World) -> None:
    """The current version has no label of its own, so that this one is the only trace of a live token."""
    first, _ = world.supersede()
    world.telenor.fault(operation="token", status=401, body="{}")
    world.put(json.dumps({"access_token": world.token(first)}))
    assert world.failure("rotate-and-revoke-now") == "answer-unknown"
    assert first in world.tracked()
    assert world.is_live(first)
    assert world.is_current_live()


def test_a_token_that_somebody_made_current_in_another_shape_is_never_logged_out(world: World) -> None:
    first, _ = world.supersede()
    world.label(world.put(f"token={world.token(first)}"), "LIVE_20261123T213200Z_20261123T223059Z_byhand00")
    world.clock.advance(minutes=12)
    assert first not in world.run()["revoked"]
    assert world.is_live(first)


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


def handed_out_again(world: World, expires_in: int = 3599) -> dict[str, Any]:
    """Return the fault in which Telenor answers with the token that is current now."""
    return {"operation": "token", "body": json.dumps({"access_token": world.token(), "expires_in": expires_in})}


def test_a_token_that_one_read_shows_as_current_is_not_logged_out_where_the_next_one_lags(world: World) -> None:
    """Telenor hands out one token again and again, and the description of the run lags as well."""
    first, _ = world.supersede()
    again = handed_out_again(world)
    world.roll_back_to(first)
    world.telenor.fault(**again)
    world.run("rotate-now")
    world.telenor.fault(**again)
    world.aws.fault(Lag(operation="DescribeSecret"))
    world.aws.fault(Lag(operation="GetSecretValue"), after=4)
    assert world.failure("rotate-and-revoke-now") == "token-reissued"
    world.aws.clear_faults()
    assert world.is_current_live()


def test_a_refused_token_that_one_read_shows_as_current_is_not_logged_out_where_the_next_one_lags(
    world: World,
) -> None:
    world.supersede()
    world.telenor.fault(**handed_out_again(world, expires_in=7200))
    world.aws.fault(Lag(operation="DescribeSecret"))
    world.aws.fault(CallFault(operation="PutSecretValue", code=DENIED))
    world.aws.fault(Lag(operation="GetSecretValue"), after=2)
    assert world.failure("rotate-now") == "write-refused"
    world.aws.clear_faults()
    assert world.is_current_live()


def test_an_emergency_ends_what_somebody_rolled_back_to_while_it_ran(world: World) -> None:
    first, _ = world.supersede()
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.roll_back_to(first)))
    assert first in world.run("rotate-and-revoke-now")["revoked"]
    assert world.live() == 1


def test_a_roll_back_between_the_look_and_the_logout_is_noticed(world: World) -> None:
    first, _ = world.supersede()
    world.clock.advance(minutes=10)
    world.aws.fault(Meanwhile(operation="DescribeSecret", when="after", happens=lambda: world.roll_back_to(first)))
    assert world.run()["revoked"] == []
    assert world.is_current_live()
    assert told(world) == [("reads-as-current", first)]


def test_a_roll_back_right_before_the_logout_of_a_leaked_token_leaves_what_is_current_then(world: World) -> None:
    """The read of the version is older than the roll-back, the read of what is current is not."""
    first, _ = world.supersede()
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.roll_back_to(first)), after=3)
    assert first not in world.run("rotate-and-revoke-now")["revoked"]
    assert world.is_current_live()
    assert first in world.tracked()


# What fails


def test_a_run_that_nobody_answers_tries_one_logout_once_and_leaves_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        {"status": 500},
        {"status": 200, "html": True},
        pytest.param({"status": 302, "headers": {"Location": "http://["}}, id="a redirect that leads nowhere"),
        pytest.param(
            {"status": 503, "retry_after": "Fri, 31 Dec 9999 23:59:59 -1200"}, id="a Retry-After beyond all time"
        ),
    ],
)
def test_a_failing_logout_does_not_hold_up_a_publication_and_is_tried_again(
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


def test_a_logout_that_fails_once_is_tried_again_in_the_same_run(world: World) -> None:
    first, _ = world.supersede()
    world.clock.advance(minutes=10)
    world.telenor.fault(operation="logout", status=503, times=1)
    assert world.run()["revoked"] == [first]


@pytest.mark.parametrize(
    ("operation", "answer", "after", "code"),
    [
        ("GetSecretValue", DENIED, 0, "revocation-failed"),
        ("UpdateSecretVersionStage", DENIED, 0, "label-not-removed"),
        pytest.param("GetSecretValue", NOT_FOUND, 0, "version-not-found", id="a read that lags"),
        pytest.param("GetSecretValue", NOT_FOUND, 1, "no-current-version", id="no version reads as current"),
    ],
)
def test_a_revocation_that_secrets_manager_holds_up_is_tried_again(
    world: World, operation: str, answer: str, after: int, code: str
) -> None:
    first, _ = world.supersede()
    world.clock.advance(minutes=10)
    world.aws.fault(CallFault(operation=operation, code=answer), after=after)
    assert world.run()["pending_revocations"] == 1
    assert told(world) == [(code, first)]
    assert first in world.tracked()
    assert world.is_live(first) is (code != "label-not-removed")
    assert world.run()["pending_revocations"] == 0
    assert world.live() == len(world.tracked()) == 1


def expire_three(world: World) -> None:
    for _ in range(4):
        world.run("rotate-now")
    world.clock.advance(hours=2)
    world.telenor.fault(operation="token", status=503)


def test_the_first_label_whose_removal_gets_no_answer_is_the_last_that_a_run_tries(world: World) -> None:
    """Each takes three attempts of five seconds, and Lambda ends a run at its timeout."""
    expire_three(world)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", when="before"), times=9)
    before = world.aws.calls()
    world.failure()
    assert (world.aws.calls() - before)["UpdateSecretVersionStage"] == 3
    assert world.seen.codes().count("label-not-removed") == 1


def test_a_run_without_time_removes_one_label_and_sends_no_logout(world: World) -> None:
    expire_three(world)
    before = world.aws.calls()
    world.failure(seconds=0)
    assert (world.aws.calls() - before)["UpdateSecretVersionStage"] == 1
    world.telenor.clear_faults()
    world.run("rotate-now")
    world.clock.advance(seconds=601)
    assert world.run(seconds=0)["revoked"] == []
    assert "logout" not in world.operations()
    assert world.seen.metrics()["RevocationFailed"] == 0


# Tokens that were not published


def test_answers_that_cannot_be_used_leave_no_token_alive(world: World) -> None:
    world.telenor.knobs(expires_in_as="raw", expires_in_raw="nonsense")
    assert world.failure() == "expires-in-malformed"
    assert (world.issued(), world.live(), world.labels()) == (5, 0, {})
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_an_unusable_answer_before_a_good_one_does_not_cost_the_good_token(world: World) -> None:
    """Telenor hands out one token twice, first with a life that makes no sense."""
    document = json.dumps({"access_token": f"{CANARY}-same", "expires_in": 0})
    world.telenor.fault(operation="token", body=document, times=1)
    world.telenor.fault(operation="token", body=document.replace(" 0", " 3599"), times=1)
    assert world.run()["outcome"] == "rotated"
    assert world.operations() == ["token", "token"]


def test_a_token_that_was_refused_and_that_another_party_has_published_since_is_not_logged_out(world: World) -> None:
    """Telenor has handed out one token twice, and no description of this run names the version that holds it."""
    world.run()
    document = world.document() | {"access_token": f"{CANARY}-token-2"}
    refused = CallFault(operation="PutSecretValue", code=DENIED)
    publish = Meanwhile(operation="PutSecretValue", happens=lambda: world.put(json.dumps(document)), fault=refused)
    world.aws.fault(publish)
    assert world.failure("rotate-now") == "write-refused"
    assert world.document()["access_token"] == f"{CANARY}-token-2"
    assert world.is_current_live()
    assert world.operations().count("logout") == 0


def test_a_token_that_could_be_neither_stored_nor_logged_out_is_said_and_counted(world: World) -> None:
    world.run()
    world.aws.fault(CallFault(operation="PutSecretValue", code=DENIED))
    world.telenor.fault(operation="logout", status=503)
    assert world.failure("rotate-now") == "write-refused"
    assert "revocation-abandoned" in world.seen.codes()
    metrics = world.seen.metrics()
    assert (metrics["RevocationAbandoned"], metrics["RevocationFailed"]) == (1, 0)


def test_a_token_whose_current_version_cannot_be_found_is_left_alone_and_counted(world: World) -> None:
    """No version reads as current, and the one that is cannot be found: the read lags, and tells nothing."""
    world.run()
    world.aws.fault(CallFault(operation="PutSecretValue", code=DENIED))
    world.aws.fault(CallFault(operation="GetSecretValue", code=NOT_FOUND), times=2, after=1)
    world.aws.fault(CallFault(operation="GetSecretValue", code=NOT_FOUND))
    assert world.failure("rotate-now") == "write-refused"
    assert world.live() == 2
    assert world.seen.metrics()["RevocationAbandoned"] == 1


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
    assert told(world) == [("grace-cut-short", versions[0])]
    assert world.seen.metrics()["RevocationAbandoned"] == 0


@pytest.mark.parametrize("lags", [0, 2], ids=["a read says so", "the version says so"])
def test_a_full_ledger_never_gives_up_the_label_of_a_version_that_reads_as_current(world: World, lags: int) -> None:
    """Somebody rolled back to the oldest version, and the description lags behind that."""
    oldest, second, *_ = fill(world)
    world.roll_back_to(oldest)
    world.aws.fault(Lag(operation="DescribeSecret"))
    for _ in range(lags):
        world.aws.fault(Lag(operation="GetSecretValue"), after=1)
    assert world.run("rotate-now")["revoked"] == [second]
    assert oldest in world.tracked()
    assert world.is_live(oldest)


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
    world.label(versions[5], "LIVE_by_hand")
    world.telenor.fault(operation="logout", status=503)
    result = world.run("rotate-now")
    assert result["outcome"] == "rotated"
    assert world.tracked() == {*versions[2:], result["version_id"]}
    assert world.seen.metrics()["RevocationAbandoned"] == 2
    assert world.operations().count("logout") == 2


@pytest.mark.parametrize("read", [2, 3], ids=["the oldest version", "the current one"])
def test_a_full_ledger_abandons_a_token_that_cannot_be_compared_with_the_current_one(world: World, read: int) -> None:
    """The credentials and the current value are read first, then the oldest version, then the current value again."""
    versions = fill(world)
    world.aws.fault(CallFault(operation="GetSecretValue", code=NOT_FOUND), after=read)
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


def test_a_full_ledger_whose_tokens_have_had_their_grace_ends_each_once(world: World) -> None:
    versions = fill(world)
    world.clock.advance(minutes=10)
    assert world.run("rotate-now")["revoked"] == versions[:-1]
    assert world.operations().count("logout") == 15


def test_a_full_ledger_makes_room_although_somebody_has_published_since(world: World) -> None:
    versions = fill(world)
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.put("{}")))
    assert world.run("rotate-now")["revoked"] == versions[:1]
    assert world.seen.metrics()["RevocationAbandoned"] == 0


@pytest.mark.parametrize("times", [1, 4])
def test_a_full_ledger_whose_labels_stick_costs_one_token_its_grace_and_no_more(world: World, times: int) -> None:
    """A label that sticks is tried once more."""
    versions = fill(world)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code=DENIED), times=times)
    result = world.run("rotate-now")
    assert (result["outcome"], result["revoked"]) == ("rotated", [versions[0]])
    assert (versions[0] in world.tracked()) is (times > 1)
    assert world.live() == 16
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_a_full_ledger_whose_labels_stick_until_none_fits_mints_nothing_and_says_whose_they_are(world: World) -> None:
    fill(world)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code=DENIED), times=99)
    world.run("rotate-now")
    world.run("rotate-now")
    issued = world.issued()
    with pytest.raises(LabelsExhaustedError, match=r"18 .* 0 "):
        world.run("rotate-now")
    assert world.issued() == issued
    assert world.is_current_live()


def test_the_current_tokens_own_label_is_never_given_up(world: World) -> None:
    current = world.run()["version_id"]
    for number in range(17):
        world.label(current, f"theirs-{number}")
    assert world.failure("rotate-now") == "labels-exhausted"
    assert world.tracked() == {current}
    assert world.issued() == 1
    assert world.seen.codes() == ["labels-exhausted"]


# Found in use: what was logged out once and must not be


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


def test_a_token_that_someone_put_back_as_current_is_revoked_once_it_is_superseded_and_not_before(world: World) -> None:
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
