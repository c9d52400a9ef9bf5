"""The output of a run: the result, the summary and the metrics, even if it failed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_lambda_powertools.metrics import MetricUnit

from handler.model import Outcome, Reason
from handler.report import Report

T0 = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)

# The fields of a report, and the value of each counter.
COUNTERS: dict[str, tuple[dict[str, Any], int]] = {
    "TokenRotated": ({"has_published": True}, 1),
    "TokenReissued": ({"outcome": Outcome.REISSUED}, 1),
    "TokenRevoked": ({"revoked": ["one", "two"]}, 2),
    "RotationFailed": ({"has_failed": True}, 1),
    "RevocationFailed": ({"revocations_failed": 3}, 3),
    "RevocationAbandoned": ({"revocations_abandoned": 2}, 2),
    "RevocationsPending": ({"pending_revocations": 4}, 4),
    "CredentialsFallback": ({"used_previous_credentials": True}, 1),
}
EVERYTHING = Report("default", **{field: value for happens, _ in COUNTERS.values() for field, value in happens.items()})
EXPIRED = {"SecondsUntilExpiry": (MetricUnit.Seconds, 0)}


def test_a_run_without_any_findings_still_returns_a_result() -> None:
    assert Report("default").result() == {
        "outcome": None,
        "reason": None,
        "client": "default",
        "version_id": None,
        "expires_at": None,
        "renews_at": None,
        "revoked": [],
        "pending_revocations": 0,
    }


def test_times_are_whole_epoch_seconds() -> None:
    report = Report("default", expires_at=T0, renews_at=T0 + timedelta(seconds=0.5))
    assert (report.result()["expires_at"], report.result()["renews_at"]) == (1795469400, 1795469400)


def test_the_summary_has_more_fields_than_the_result_and_marks_a_failed_run() -> None:
    report = Report("default", Outcome.REISSUED, Reason.LEAKED, has_failed=True, attempts=2, telenor_seconds=0.12345)
    summary = report.summary(timedelta(seconds=1.23456))
    assert summary == report.result() | {
        "outcome": "failed",
        "attempts": 2,
        "revocations_failed": 0,
        "revocations_abandoned": 0,
        "telenor_seconds": 0.123,
        "duration_seconds": 1.235,
    }


@pytest.mark.parametrize("name", COUNTERS)
def test_each_event_has_its_metric(name: str) -> None:
    happens, count = COUNTERS[name]
    assert Report("default", **happens).metrics(T0) == {name: (MetricUnit.Count, count)} | EXPIRED


def test_exactly_the_events_of_a_run_are_counted() -> None:
    assert EVERYTHING.metrics(T0).keys() == COUNTERS.keys() | EXPIRED.keys()
    # A duplicate delivery counts its own publication.
    assert Report("default", Outcome.ROTATED).metrics(T0) == EXPIRED


@pytest.mark.parametrize(("is_piling_up", "pending"), [(False, set()), (True, {"RevocationsPending"})])
def test_without_routine_metrics_a_run_emits_only_what_alarms_need(is_piling_up: bool, pending: set[str]) -> None:
    report = replace(EVERYTHING, has_routine_metrics=False, is_piling_up=is_piling_up)
    left_out = {"TokenRotated", "TokenRevoked", "RevocationsPending"} - pending
    assert report.metrics(T0).keys() == EVERYTHING.metrics(T0).keys() - left_out


@pytest.mark.parametrize(
    ("expires_at", "is_rejected", "seconds"),
    [
        *((T0 + timedelta(seconds=90.9), False, 90), (T0, False, 0)),
        pytest.param(T0 - timedelta(hours=1), False, 0, id="never negative"),
        pytest.param(T0 + timedelta(hours=1), True, 0, id="a rejected token counts as expired"),
    ],
)
def test_seconds_until_expiry_falls_to_zero(expires_at: datetime, is_rejected: bool, seconds: int) -> None:
    report = Report("default", expires_at=expires_at, is_rejected=is_rejected)
    assert report.metrics(T0)["SecondsUntilExpiry"] == (MetricUnit.Seconds, seconds)
