"""A job with credentials, and its log, metrics and alarms. The last file, since it reads every log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from infra.local.telenor_sandbox import short_id
from tests.e2e.emulator import REGION
from tests.e2e.job import Job, until
from tests.test_metrics import DEFINED, SHOWN_FROM_THE_LOG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.local.telenor_sandbox import Client
    from tests.e2e.emulator import Emulator


def rotate(job: Job) -> tuple[str, float]:
    """Force a rotation; return the superseded token, and when it was superseded."""
    superseded = job.token()
    result = job.invoke(action="rotate-now")
    assert (result["outcome"], result["reason"]) == ("rotated", "forced")
    assert job.telenor.is_live(superseded)
    return superseded, time.time()


def check_grace(job: Job, superseded: str, superseded_at: float) -> None:
    """Wait until the schedule revokes the superseded token, and compare its lifetime with the grace."""
    until("a scheduled run that revokes it", lambda: not job.telenor.is_live(superseded))
    revoked_at = job.telenor.state()["tokens"][short_id(superseded)]["ended_at"]
    assert revoked_at - superseded_at >= job.grace_seconds - 1
    until("its label is removed", lambda: job.tracked() == {job.current_version()})
    assert job.telenor.is_live(job.token())


def test_the_schedule_revokes_a_superseded_token_after_its_grace(job: Job) -> None:
    check_grace(job, *rotate(job))


def test_an_emergency_rotation_revokes_the_leaked_token_at_once(job: Job) -> None:
    leaked = job.token()
    assert job.invoke(action="rotate-and-revoke-now")["outcome"] == "rotated"
    assert not job.telenor.is_live(leaked)
    job.wait_for_one_active_token()


def test_an_emergency_of_a_second_client_keeps_the_first_clients_token(job: Job, second_job: Job) -> None:
    assert second_job.outputs["FunctionName"].startswith("telenor-token-second-")
    before = job.tracked()
    assert second_job.invoke(action="rotate-and-revoke-now")["client"] == "second"
    assert job.telenor.is_live(job.token())
    assert job.telenor.is_live(second_job.token())
    assert job.token() != second_job.token()
    assert not second_job.tracked() & (before | job.tracked())


def test_alarms_and_dashboard_read_metrics_that_the_runs_send(job: Job) -> None:
    sent = next(record for record in job.records() if "_aws" in record)
    dimensions = {name: sent[name] for name in ("service", "client")}
    cloudwatch = job.client("cloudwatch")
    alarms = cloudwatch.describe_alarms(AlarmNamePrefix=f"{job.name}-{job.client_name}-")["MetricAlarms"]
    assert alarms
    for alarm in alarms:
        assert alarm["AlarmActions"]
        # Including metric math.
        read = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each] or [alarm]
        for metric in read:
            if metric["Namespace"] == "TelenorToken":
                assert metric["MetricName"] in DEFINED
                assert {each["Name"]: each["Value"] for each in metric["Dimensions"]} == dimensions
    # Dashboards are global in an account: the name has the region.
    body = cloudwatch.get_dashboard(DashboardName=f"{job.name}-{REGION}")["DashboardBody"]
    assert {name for name in DEFINED if f'"{name}"' in body} == DEFINED - SHOWN_FROM_THE_LOG
    assert all(f'"{value}"' in body for value in dimensions.values())


def test_each_run_sends_the_time_until_expiry_and_only_nonzero_counters(job: Job) -> None:
    assert job.metrics()
    for metrics in job.metrics():
        assert {"SecondsUntilExpiry"} <= metrics.keys() <= DEFINED
        assert all(metrics[name] for name in metrics.keys() - {"SecondsUntilExpiry"})


def test_no_secret_is_in_any_log(emulator: Emulator, apps: Mapping[str, Client], issued_tokens: list[str]) -> None:
    text = "\n".join(emulator.log_lines()) + emulator.log.read_text(errors="replace")
    assert "run ended" in text
    assert sum(secret in text for secret in (*issued_tokens, *(app.secret for app in apps.values()))) == 0
