"""The entry point: its input, and the output of successful and failed runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handler import app
from handler.errors import RotationError
from handler.secrets_manager import SecretsManager
from infra.local.secrets_manager import value_of
from infra.local.secrets_manager_faults import CallFault
from tests.leak_detector import CANARY

if TYPE_CHECKING:
    from tests.world import World

OTHER: dict[str, Any] = {
    "client": "other",
    "credentials_secret_id": "telenor/credentials",
    "token_secret_id": "other/token",
}


@pytest.mark.parametrize(
    ("event", "environment", "code"), [(OTHER, {}, "invalid-event"), ({}, {"GRACE_SECONDS": CANARY}, "invalid-setting")]
)
def test_bad_input_makes_no_call_and_logs_its_error_code(
    world: World, monkeypatch: pytest.MonkeyPatch, event: dict[str, Any], environment: dict[str, str], code: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = world.aws.calls()
    assert world.failure("rotate-now", **event) == code
    assert world.seen.codes() == [code]
    assert (world.seen.client(), world.seen.metrics()["RotationFailed"]) == ("default", 1)
    assert (world.aws.calls(), world.telenor.requests) == (before, [])


def test_a_run_emits_nonzero_counters_and_the_seconds_until_expiry(world: World) -> None:
    result = world.run()
    assert world.seen.metrics() == {"TokenRotated": 1, "SecondsUntilExpiry": 3599}
    assert world.seen.client() == result["client"] == "default"
    world.clock.advance(minutes=5)
    world.run()
    assert world.seen.metrics() == {"SecondsUntilExpiry": 3299}


def test_a_failing_run_emits_its_metrics_and_raises(world: World) -> None:
    world.run()
    world.clock.advance(minutes=40)
    world.telenor.fault(operation="token", status=503)
    assert world.failure() == "token-endpoint-out"
    metrics = world.seen.metrics()
    assert (metrics["RotationFailed"], metrics["TokenRotated"]) == (1, 0)
    # Forty minutes and the duration of the attempts.
    assert 1100 < metrics["SecondsUntilExpiry"] <= 1199


def test_a_run_logs_one_summary_line(world: World) -> None:
    result = world.run()
    (line,) = world.seen.log()
    assert line["level"] == "INFO"
    assert line["function_request_id"] == result["version_id"]
    assert line.items() >= result.items()
    assert line["attempts"] == 1
    assert {"telenor_seconds", "duration_seconds", "revocations_failed", "revocations_abandoned"} <= line.keys()


def test_a_failed_run_logs_one_summary_line_with_its_error(world: World) -> None:
    world.put_credentials(json.dumps({"username": "kari", "password": CANARY}))
    world.failure()
    (line,) = world.seen.log()
    assert (line["level"], line["outcome"], line["error_code"]) == ("ERROR", "failed", "credentials-unusable")
    assert "Connect ID" in line["message"]


def test_each_failed_attempt_logs_a_line_with_its_reason(world: World) -> None:
    world.telenor.fault(operation="token", status=503, times=2)
    world.run()
    first, second, summary = world.seen.log()
    assert [first["attempt"], second["attempt"], summary["attempts"]] == [1, 2, 3]
    assert "503" in first["message"]


def test_an_unexpected_error_logs_only_its_location(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise KeyError(CANARY)

    monkeypatch.setattr(SecretsManager, "describe", fail)
    assert world.failure() == "unexpected"
    assert world.seen.codes() == ["unexpected", "unexpected"]
    assert world.seen.log()[0]["place"][-1].startswith("fail in ")
    assert world.seen.metrics()["RotationFailed"] == 1


@pytest.mark.parametrize(
    ("variable", "value"), [("REQUESTS_CA_BUNDLE", f"/{CANARY}"), ("HTTPS_PROXY", f"http://user:{CANARY}#@proxy:3128")]
)
def test_a_variable_that_fails_the_sdk_first_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("TELENOR_BASE_URL", "https://api.telenor.no")
    monkeypatch.setenv(variable, value)
    world.aws.fault(CallFault(operation="DescribeSecret", when="before"), times=3)
    with pytest.raises(RotationError, match=variable) as failure:
        world.run()
    assert failure.value.error_code == "invalid-setting"


def test_an_error_carries_no_text_of_its_cause(world: World) -> None:
    """AWS quotes a secret's id, where a secret may have been entered by mistake, and botocore quotes a proxy's URL."""
    world.aws.fault(CallFault(operation="DescribeSecret", code="AccessDeniedException"))
    with pytest.raises(RotationError) as failure:
        world.run()
    assert (failure.value.__cause__, failure.value.__context__) == (None, None)


def in_a_new_process(code: str, **environment: str) -> str:
    done = subprocess.run(  # noqa: S603  our own code
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("value", ["", "maybe"])
def test_a_variable_that_powertools_cannot_read_counts_as_unset(value: str) -> None:
    names = ("DEBUG", "DEV", "LOGGER_SAMPLE_RATE", "LOG_DEDUPLICATION_DISABLED", "LOG_LEVEL", "METRICS_DISABLED")
    code = "from handler import app; app.logger.info('one'); app.metrics.flush_metrics()"
    assert '"message":"one"' in in_a_new_process(code, **{f"POWERTOOLS_{name}": value for name in names})


@pytest.mark.parametrize("level", ["notset", "0", "silent"])
def test_a_log_level_that_would_silence_the_job_counts_as_unset(level: str) -> None:
    code = "from handler import app; app.logger.info('one')"
    assert '"message":"one"' in in_a_new_process(code, POWERTOOLS_LOG_LEVEL=level)


@pytest.mark.parametrize("name", ["", " "])
def test_a_service_without_a_name_keeps_the_dimension(name: str) -> None:
    code = "from handler import app; print(app.metrics.service, app.logger.service)"
    assert in_a_new_process(code, POWERTOOLS_SERVICE_NAME=name).split() == ["telenor-token", "telenor-token"]


def test_a_warm_process_reuses_one_client(world: World) -> None:
    world.run()
    client = app._client.cache_info()  # noqa: SLF001  the cache alone shows whether it was created twice
    world.run()
    assert app._client.cache_info().misses == client.misses  # noqa: SLF001


def test_the_system_clock_returns_utc() -> None:
    before = datetime.now(UTC)
    clock = app.SystemClock()
    clock.sleep(0)
    assert before <= clock.now() <= datetime.now(UTC)


def test_a_run_reserves_time_to_store_a_token(world: World) -> None:
    """Half of these ten seconds are reserved: after six seconds there is no time for a retry."""
    world.telenor.fault(operation="token", status=503, delay_seconds=2.4)
    started_at = world.clock.now()
    world.failure(seconds=10)
    assert (world.clock.now() - started_at).total_seconds() < 5 + 2.4


@pytest.mark.parametrize(("seconds", "request_seconds", "other_seconds"), [(120, 75, 95), (60, 30, 35), (8, 4, 4)])
def test_a_part_of_a_run_is_kept_for_its_end(seconds: int, request_seconds: int, other_seconds: int) -> None:
    now = datetime.now(UTC)
    times = app.deadlines(now, timedelta(seconds=seconds))
    assert [(at - now).total_seconds() for at in times] == [request_seconds, other_seconds]


# The client of a run


@pytest.mark.usefixtures("serves_clients")
def test_result_metrics_and_log_name_the_client_of_the_event(world: World) -> None:
    world.client.create_secret(Name=OTHER["token_secret_id"])
    result = world.run(**OTHER, scope="incidents.read")
    assert (result["outcome"], result["client"]) == ("rotated", "other")
    assert world.seen.client() == "other"
    assert json.loads(value_of(OTHER["token_secret_id"]))["scope"] == "incidents.read"
    assert world.labels() == {}
    assert world.failure(**OTHER | {"token_secret_id": ""}) == "invalid-event"
    world.run()
    assert world.seen.client() == "default"
    logged = [(line["client"], line.get("token_secret_id")) for line in world.seen.log()]
    assert logged == [("other", "other/token"), ("other", None), ("default", "telenor/token")]
