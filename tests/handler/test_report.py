"""What a run tells: the answer, the summary and the metrics, also of one that failed half way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from aws_lambda_powertools.metrics import MetricUnit

from handler.model import Outcome, Reason
from handler.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

T0 = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)

COUNTS = {
    "TokenRotated",
    "TokenRevoked",
    "TokenReissued",
    "RotationFailed",
    "RevocationFailed",
    "RevocationAbandoned",
    "RevocationsPending",
    "CredentialsFallback",
}

EVERYTHING = Report(
    "default",
    Outcome.REISSUED,
    revoked=["one"],
    pending_revocations=1,
    has_published=True,
    has_failed=True,
    used_previous_credentials=True,
    revocations_failed=1,
    revocations_abandoned=1,
)


def counted(report: Report, now: datetime = T0) -> dict[str, int]:
    """Return the metrics that are not zero."""
    return {name: value for name, (_, value) in report.metrics(now).items() if value}


def test_a_run_that_found_nothing_out_answers_all_the_same() -> None:
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


def test_the_summary_says_more_than_the_answer_and_that_a_run_failed() -> None:
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


def test_a_run_in_which_nothing_happened_puts_out_the_life_that_is_left_and_no_counter() -> None:
    assert Report("default").metrics(T0) == {"SecondsUntilExpiry": (MetricUnit.Seconds, 0)}


def test_a_run_in_which_everything_happened_puts_out_every_counter() -> None:
    metrics = EVERYTHING.metrics(T0)
    assert metrics.keys() == COUNTS | {"SecondsUntilExpiry"}
    assert {unit for name, (unit, _) in metrics.items() if name in COUNTS} == {MetricUnit.Count}


@pytest.mark.parametrize(
    ("happens", "metrics"),
    [
        (lambda report: setattr(report, "has_published", True), {"TokenRotated": 1}),
        (lambda report: setattr(report, "outcome", Outcome.REISSUED), {"TokenReissued": 1}),
        # What a twin of this run has published is the twin's to count.
        (lambda report: setattr(report, "outcome", Outcome.ROTATED), {}),
        (lambda report: report.revoked.extend(["one", "two"]), {"TokenRevoked": 2}),
        (lambda report: setattr(report, "has_failed", True), {"RotationFailed": 1}),
        (lambda report: setattr(report, "revocations_failed", 3), {"RevocationFailed": 3}),
        (lambda report: setattr(report, "revocations_abandoned", 2), {"RevocationAbandoned": 2}),
        (lambda report: setattr(report, "pending_revocations", 4), {"RevocationsPending": 4}),
        (lambda report: setattr(report, "used_previous_credentials", True), {"CredentialsFallback": 1}),
    ],
)
def test_each_thing_that_happens_has_its_metric(happens: Callable[[Report], None], metrics: dict[str, int]) -> None:
    report = Report("default")
    happens(report)
    assert counted(report) == metrics


@pytest.mark.parametrize(("is_piling_up", "pending"), [(False, set()), (True, {"RevocationsPending"})])
def test_without_routine_metrics_a_run_sends_what_an_alarm_needs(is_piling_up: bool, pending: set[str]) -> None:
    report = replace(EVERYTHING, has_routine_metrics=False, is_piling_up=is_piling_up)
    assert counted(report).keys() == COUNTS - {"TokenRotated", "TokenRevoked", "RevocationsPending"} | pending


@pytest.mark.parametrize(
    ("expires_at", "is_rejected", "seconds"),
    [
        (T0 + timedelta(seconds=90.9), False, 90),
        (T0, False, 0),
        pytest.param(T0 - timedelta(hours=1), False, 0, id="never less than none"),
        pytest.param(T0 + timedelta(hours=1), True, 0, id="one that consumers cannot use counts as none"),
    ],
)
def test_the_dead_mans_switch_runs_down_with_the_token(expires_at: datetime, is_rejected: bool, seconds: int) -> None:
    report = Report("default", expires_at=expires_at, is_rejected=is_rejected)
    assert report.metrics(T0)["SecondsUntilExpiry"] == (MetricUnit.Seconds, seconds)
