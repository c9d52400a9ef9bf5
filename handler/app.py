"""Lambda entry: event and environment in, one run, metrics and result out. Wires the parts together."""

from __future__ import annotations

import functools
import os
import time
import traceback
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from handler.config import settings_from
from handler.errors import RotationError
from handler.model import Clock, Outcome
from handler.rotation import Report, Rotation
from handler.secrets_manager import SecretsManager, create_client
from handler.telenor import Telenor

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

# The parts of a run's time that are kept back: for storing a token that has just been obtained, through a lost answer
# or two, and for the last lines of the log. A short run keeps back half.
_PUBLISHING_NEEDS = timedelta(seconds=30)
_REPORTING_NEEDS = timedelta(seconds=2)

# AWS, "PutSecretValue": how long a ClientRequestToken may be.
_REQUEST_ID_LENGTHS = range(32, 65)

_SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "telenor-token")

logger = Logger(service=_SERVICE)
metrics = Metrics(namespace="TelenorToken", service=_SERVICE)


class LambdaContext(Protocol):
    """What of Lambda's context this job uses."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the run."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


clock: Clock = SystemClock()


def lambda_handler(event: object, context: LambdaContext) -> dict[str, object]:
    """Run once for an event of EventBridge or of an operator. Raises RotationError after the metrics are out."""
    report = Report()
    try:
        run(event, context.aws_request_id, timedelta(milliseconds=context.get_remaining_time_in_millis()), report)
    finally:
        _put_metrics(report)
    return result(report)


def run(event: object, request_id: str, time_left: timedelta, report: Report) -> None:
    """Run once, fill in the report and log one summary line. Raises RotationError."""
    started_at = clock.now()
    logger.append_keys(function_request_id=request_id, token_secret_id=None, credentials_secret_id=None)
    failure: RotationError | None = None
    try:
        _rotate(event, request_id, started_at, time_left, report)
    except RotationError as error:
        failure = error
    except Exception as error:  # noqa: BLE001  whatever it is, its text may hold a secret, so only its place is told
        place = [
            f"{frame.name} in {frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        logger.error(f"unexpected {type(error).__name__}", extra={"place": place})  # noqa: TRY400  see above
        failure = RotationError(f"unexpected {type(error).__name__}: a defect of this job; its place is in the log")
    report.has_failed = failure is not None
    duration_seconds = (clock.now() - started_at).total_seconds()
    summary = result(report) | {
        "outcome": "failed" if failure else report.outcome,
        "attempts": report.attempts,
        "revocations_failed": report.revocations_failed,
        "revocations_abandoned": report.revocations_abandoned,
        "telenor_seconds": round(report.telenor_seconds, 3),
        "duration_seconds": round(duration_seconds, 3),
    }
    if failure is None:
        logger.info(f"run ended: {report.outcome}", extra=summary)
        return
    logger.error(f"run failed: {failure}", extra=summary)
    raise failure


def result(report: Report) -> dict[str, object]:
    """Return what an invocation answers. Times are whole epoch seconds, as in the token document."""
    return {
        "outcome": report.outcome,
        "reason": report.reason,
        "version_id": report.version_id,
        "expires_at": report.expires_at and int(report.expires_at.timestamp()),
        "renews_at": report.renews_at and int(report.renews_at.timestamp()),
        "revoked": report.revoked,
        "pending_revocations": report.pending_revocations,
    }


def _rotate(event: object, request_id: str, started_at: datetime, time_left: timedelta, report: Report) -> None:
    settings = settings_from(os.environ, event)
    logger.append_keys(token_secret_id=settings.token_secret_id, credentials_secret_id=settings.credentials_secret_id)
    end_by = started_at + time_left - min(_REPORTING_NEEDS, time_left / 2)
    publish_by = started_at + time_left - min(_PUBLISHING_NEEDS, time_left / 2)
    secrets = SecretsManager(
        _client(os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("AWS_ENDPOINT_URL_SECRETS_MANAGER")),
        settings.credentials_secret_id,
        settings.token_secret_id,
    )
    with Telenor(settings.base_url, clock, logger) as telenor:
        version_id = request_id if len(request_id) in _REQUEST_ID_LENGTHS else str(uuid.uuid4())
        Rotation(settings, secrets, telenor, clock, logger, report, version_id, publish_by, end_by).run()


@functools.lru_cache(maxsize=1)
def _client(*_endpoints: str | None) -> SecretsManagerClient:
    """Return one client for all runs of a warm process, as long as the endpoints stay what they were."""
    return create_client()


def _put_metrics(report: Report) -> None:
    left = (report.expires_at - clock.now()) if report.expires_at else timedelta(0)
    counts = {
        "TokenRotated": report.has_published,
        "TokenReissued": report.outcome is Outcome.REISSUED,
        "TokenRevoked": len(report.revoked),
        "RotationFailed": report.has_failed,
        "RevocationFailed": report.revocations_failed,
        "RevocationAbandoned": report.revocations_abandoned,
        "RevocationsPending": report.pending_revocations,
    }
    for name, count in counts.items():
        metrics.add_metric(name, MetricUnit.Count, int(count))
    metrics.add_metric("SecondsUntilExpiry", MetricUnit.Seconds, max(0, int(left.total_seconds())))
    metrics.flush_metrics()
