"""The label quota: slots are freed for the next publication."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from handler.errors import LabelsExhaustedError
from handler.ledger import new_entry
from infra.local.secrets_manager_faults import CallFault, Lag, Meanwhile

if TYPE_CHECKING:
    from tests.world import World


def fill(world: World) -> list[str]:
    """Publish sixteen tokens, a second apart: the first by a run, the others directly, which is faster."""
    versions = [world.run("rotate-now")["version_id"]]
    document = world.document()
    for _ in range(15):
        world.clock.advance(seconds=1)
        version = new_entry(str(uuid.uuid4()), world.clock.now(), datetime.fromtimestamp(document["expires_at"], UTC))
        world.put(json.dumps(document | {"access_token": world.obtain()}), version)
        versions.append(version.version_id)
    world.clock.advance(seconds=1)
    return versions


def test_a_full_ledger_frees_no_slot_when_no_time_is_left(world: World) -> None:
    fill(world)
    world.aws.fault(Meanwhile(operation="DescribeSecret", happens=lambda: world.clock.advance(seconds=75)))
    assert world.failure("rotate-now") == "no-time-left"
    assert "grace-cut-short" not in world.seen.codes()


def test_a_client_id_that_cannot_be_sent_frees_no_slot(world: World) -> None:
    versions = fill(world)
    world.put_client("a:b", "secret")
    assert world.failure("rotate-now") == "credentials-unusable"
    assert world.tracked() == set(versions)
    assert "logout" not in world.operations()


def test_a_full_ledger_cuts_short_the_grace_of_its_oldest_token(world: World) -> None:
    versions = fill(world)
    result = world.run("rotate-now")
    assert result["revoked"] == [versions[0]]
    assert world.tracked() == {*versions[1:], result["version_id"]}
    assert world.is_current_live()
    (warning,) = world.seen.warnings
    assert (warning["error_code"], warning["superseded_version_id"]) == ("grace-cut-short", versions[0])
    assert world.seen.metrics()["RevocationAbandoned"] == 0


@pytest.mark.parametrize("lags", [0, 2], ids=["by the current value", "by the version"])
def test_a_full_ledger_never_removes_the_label_of_a_version_read_as_current(world: World, lags: int) -> None:
    """An operator rolled back to the oldest version, and the description is stale."""
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


@pytest.mark.parametrize(("fault", "asked"), [({"status": 503}, 2), ({"drop": True}, 1)], ids=["503", "no response"])
def test_a_full_ledger_abandons_what_it_cannot_revoke_and_publishes(
    world: World, fault: dict[str, Any], asked: int
) -> None:
    versions = fill(world)
    world.label(versions[5], "LIVE_manual")
    world.telenor.fault(operation="logout", **fault)
    result = world.run("rotate-now")
    assert result["outcome"] == "rotated"
    assert world.tracked() == {*versions[2:], result["version_id"]}
    assert world.seen.metrics()["RevocationAbandoned"] == 2
    assert world.operations().count("logout") == asked


@pytest.mark.parametrize("read", [2, 3], ids=["the oldest version", "the current one"])
def test_a_full_ledger_abandons_a_token_that_cannot_be_compared(world: World, read: int) -> None:
    """The order of reads: the credentials, the current value, the oldest version, the current value again."""
    versions = fill(world)
    world.aws.fault(CallFault(operation="GetSecretValue", code="ResourceNotFoundException"), after=read)
    result = world.run("rotate-now")
    assert (result["outcome"], result["revoked"]) == ("rotated", [])
    assert world.tracked() == {*versions[1:], result["version_id"]}
    assert world.seen.metrics()["RevocationAbandoned"] == 1


def test_a_full_ledger_revokes_as_many_tokens_as_needed_each_once(world: World) -> None:
    versions = fill(world)
    world.label(versions[5], "LIVE_manual")
    world.clock.advance(seconds=1)
    result = world.run("rotate-now")
    assert result["revoked"] == versions[:2]
    assert world.tracked() == {*versions[2:], result["version_id"]}
    world.clock.advance(minutes=10)
    assert world.run()["revoked"] == versions[2:]


def test_a_full_ledger_revokes_tokens_past_their_grace_once_each(world: World) -> None:
    versions = fill(world)
    world.clock.advance(minutes=10)
    assert world.run("rotate-now")["revoked"] == versions[:-1]
    assert world.operations().count("logout") == 15


def test_a_full_ledger_frees_labels_despite_another_publication(world: World) -> None:
    versions = fill(world)
    world.aws.fault(Meanwhile(operation="GetSecretValue", happens=lambda: world.put("{}")))
    assert world.run("rotate-now")["revoked"] == versions[:1]
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_a_full_ledger_with_a_label_that_cannot_be_removed_cuts_short_only_one_grace(world: World) -> None:
    versions = fill(world)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code="AccessDeniedException"))
    result = world.run("rotate-now")
    assert (result["outcome"], result["revoked"]) == ("rotated", [versions[0]])
    assert versions[0] in world.tracked()
    assert world.live() == 16
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_a_full_ledger_abandons_no_token_that_the_current_version_tracks(world: World) -> None:
    """Two versions contain one token, and the label of the older one cannot be removed."""
    older = world.run()["version_id"]
    current = world.publish_again()
    for number in range(14):
        world.label(current, f"theirs-{number}")
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code="AccessDeniedException"))
    result = world.run("rotate-now")
    assert (result["outcome"], result["revoked"]) == ("rotated", [])
    assert world.tracked() == {older, current, result["version_id"]}
    assert world.seen.metrics()["RevocationAbandoned"] == 0


def test_a_full_label_quota_requests_no_token_and_reports_the_labels(world: World) -> None:
    fill(world)
    world.aws.fault(CallFault(operation="UpdateSecretVersionStage", code="AccessDeniedException"), times=99)
    world.run("rotate-now")
    world.run("rotate-now")
    issued = world.issued()
    with pytest.raises(LabelsExhaustedError, match=r"18 .* 0 "):
        world.run("rotate-now")
    assert world.issued() == issued
    assert world.is_current_live()


def test_the_current_versions_label_is_never_removed(world: World) -> None:
    current = world.run()["version_id"]
    for number in range(17):
        world.label(current, f"theirs-{number}")
    assert world.failure("rotate-now") == "labels-exhausted"
    assert world.tracked() == {current}
    assert world.issued() == 1
    assert world.seen.codes() == ["labels-exhausted"]
