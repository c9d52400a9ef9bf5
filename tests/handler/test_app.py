"""The entry point: what goes in, and what comes out of a run that went well or did not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from handler import app
from handler.errors import InvalidInputError, RotationError, ServerUnavailableError
from handler.secrets_manager import SecretsManager
from tests.conftest import CANARY

if TYPE_CHECKING:
    from tests.conftest import World

OTHER: dict[str, Any] = {
    "client": "other",
    "credentials_secret_id": "telenor/credentials",
    "token_secret_id": "other/token",
}


def test_the_answer_has_what_the_contract_names(world: World) -> None:
    result = world.run()
    assert result.keys() == {
        "outcome",
        "reason",
        "client",
        "version_id",
        "expires_at",
        "renews_at",
        "revoked",
        "pending_revocations",
    }
    assert isinstance(result["expires_at"], int)


def test_a_run_puts_out_the_counters_that_are_not_zero_and_the_life_that_is_left(world: World) -> None:
    result = world.run()
    assert world.seen.metrics() == {"TokenRotated": 1, "SecondsUntilExpiry": 3599}
    assert world.seen.client() == result["client"] == "default"
    world.clock.advance(minutes=5)
    world.run()
    assert world.seen.metrics() == {"SecondsUntilExpiry": 3299}


def test_an_event_that_names_a_client_is_refused_where_one_is_served(world: World) -> None:
    before = world.aws.calls()
    with pytest.raises(InvalidInputError):
        world.run("rotate-now", **OTHER)
    assert world.seen.codes() == ["invalid-event"]
    assert world.seen.client() == "default"
    assert world.aws.calls() == before
    assert world.telenor.requests == []


def test_the_dead_mans_switch_runs_down_with_the_token(world: World) -> None:
    world.run()
    world.clock.advance(minutes=10)
    world.run()
    assert world.seen.metrics()["SecondsUntilExpiry"] == 2999


def test_a_failing_run_puts_its_metrics_out_and_raises(world: World) -> None:
    world.run()
    world.clock.advance(minutes=40)
    world.telenor.fault(operation="token", status=503)
    with pytest.raises(ServerUnavailableError):
        world.run()
    metrics = world.seen.metrics()
    assert (metrics["RotationFailed"], metrics["TokenRotated"]) == (1, 0)
    # Forty minutes, and the seconds that the attempts took.
    assert 1100 < metrics["SecondsUntilExpiry"] <= 1199


def test_without_a_usable_token_the_dead_mans_switch_is_at_zero(world: World) -> None:
    world.telenor.fault(operation="token", status=503)
    with pytest.raises(ServerUnavailableError):
        world.run()
    assert world.seen.metrics()["SecondsUntilExpiry"] == 0


def test_an_expired_token_counts_as_none(world: World) -> None:
    world.run()
    world.telenor.fault(operation="token", status=503)
    world.clock.advance(hours=2)
    with pytest.raises(ServerUnavailableError):
        world.run()
    assert world.seen.metrics()["SecondsUntilExpiry"] == 0


def test_revocations_are_counted(world: World) -> None:
    world.supersede()
    assert world.seen.metrics()["RevocationsPending"] == 1
    world.clock.advance(minutes=10)
    world.run()
    assert (world.seen.metrics()["TokenRevoked"], world.seen.metrics()["RevocationsPending"]) == (1, 0)


@pytest.mark.usefixtures("serves_clients")
@pytest.mark.parametrize(
    "event",
    [
        {"action": "rotate"},
        {"token_secret_id": "other/token"},
        {"client": "other", "token_secret_id": "other/token"},
        {"scope": "incidents.read"},
        OTHER | {"token_secret_id": ""},
        OTHER | {"scope": "a  b"},
    ],
)
def test_a_bad_event_makes_no_call_and_is_told_by_its_code(world: World, event: dict[str, Any]) -> None:
    before = world.aws.calls()
    with pytest.raises(InvalidInputError):
        world.run(**event)
    assert world.seen.codes() == ["invalid-event"]
    assert world.aws.calls() == before
    assert world.telenor.requests == []
    assert world.seen.metrics()["RotationFailed"] == 1


def test_a_bad_setting_makes_no_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRACE_SECONDS", CANARY)
    before = world.aws.calls()
    with pytest.raises(InvalidInputError, match="GRACE_SECONDS"):
        world.run()
    assert world.seen.codes() == ["invalid-setting"]
    assert world.aws.calls() == before


def test_one_line_sums_a_run_up(world: World) -> None:
    result = world.run()
    (line,) = world.seen.log()
    assert line["level"] == "INFO"
    assert line["function_request_id"] == result["version_id"]
    assert line.items() >= result.items()
    assert line["attempts"] == 1
    assert {"telenor_seconds", "duration_seconds", "revocations_failed", "revocations_abandoned"} <= line.keys()


@pytest.mark.usefixtures("serves_clients")
def test_each_line_names_the_client_and_the_secret_that_it_is_about(world: World) -> None:
    world.client.create_secret(Name="other/token")
    world.run(**OTHER)
    with pytest.raises(InvalidInputError):
        world.run(**OTHER | {"token_secret_id": ""})
    world.run()
    told = [(line["client"], line.get("token_secret_id")) for line in world.seen.log()]
    assert told == [("other", "other/token"), ("other", None), ("default", "telenor/token")]


def test_one_line_sums_a_failed_run_up_and_says_why(world: World) -> None:
    world.put_credentials(json.dumps({"username": "kari", "password": CANARY}))
    with pytest.raises(InvalidInputError):
        world.run()
    (line,) = world.seen.log()
    assert (line["level"], line["outcome"], line["error_code"]) == ("ERROR", "failed", "credentials-unusable")
    assert "Connect ID" in line["message"]


def test_each_failed_attempt_has_a_line_with_its_reason(world: World) -> None:
    world.telenor.fault(operation="token", status=503, times=2)
    world.run()
    first, second, summary = world.seen.log()
    assert [first["attempt"], second["attempt"], summary["attempts"]] == [1, 2, 3]
    assert "503" in first["message"]


def test_a_defect_is_told_by_its_place_and_never_by_its_text(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise KeyError(CANARY)

    monkeypatch.setattr(SecretsManager, "describe", fail)
    with pytest.raises(RotationError) as failure:
        world.run()
    assert failure.value.error_code == "unexpected"
    assert world.seen.codes() == ["unexpected", "unexpected"]
    assert world.seen.log()[0]["place"][-1].startswith("fail in ")
    assert world.seen.metrics()["RotationFailed"] == 1


def test_one_client_serves_a_warm_process(world: World) -> None:
    world.run()
    client = app._client.cache_info()  # noqa: SLF001  whether it was made twice shows nowhere else
    world.run()
    assert app._client.cache_info().misses == client.misses  # noqa: SLF001


def test_the_machines_clock_tells_utc() -> None:
    before = datetime.now(UTC)
    clock = app.SystemClock()
    clock.sleep(0)
    assert before <= clock.now() <= datetime.now(UTC)


def test_a_run_keeps_back_the_time_to_store_what_it_gets(world: World) -> None:
    """Half of these ten seconds: an answer after six comes too late to be asked for again."""
    world.telenor.fault(operation="token", status=503, delay_seconds=2.4)
    started_at = world.clock.now()
    with pytest.raises(ServerUnavailableError):
        world.run(seconds=10)
    assert (world.clock.now() - started_at).total_seconds() < 5 + 2.4


# Whose run it is


@pytest.fixture
def two_clients(serves_clients: World) -> World:
    serves_clients.client.create_secret(Name=OTHER["token_secret_id"])
    return serves_clients


def test_an_event_that_names_a_client_whole_is_about_that_client_everywhere(two_clients: World) -> None:
    result = two_clients.run(**OTHER, scope="incidents.read")
    assert (result["outcome"], result["client"]) == ("rotated", "other")
    assert two_clients.seen.client() == "other"
    assert {line["client"] for line in two_clients.seen.log()} == {"other"}
    assert two_clients.labels() == {}


def test_client_name_names_the_client_of_answer_metrics_and_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_NAME", "billing-2")
    assert world.run()["client"] == "billing-2"
    assert world.seen.client() == "billing-2"
    assert {line["client"] for line in world.seen.log()} == {"billing-2"}


def test_the_client_of_one_run_is_not_that_of_the_next(two_clients: World) -> None:
    two_clients.run(**OTHER)
    two_clients.run()
    assert two_clients.seen.client() == "default"
    assert [line["client"] for line in two_clients.seen.log()] == ["other", "default"]
