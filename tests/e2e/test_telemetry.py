"""The log, metrics, alarms and dashboard of the deployed job. The last file, since it reads every log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.emulator import REGION
from tests.test_metrics import DEFINED, SHOWN_FROM_THE_LOG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.local.telenor_sandbox import Client
    from tests.e2e.emulator import Emulator
    from tests.e2e.job import Job


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
