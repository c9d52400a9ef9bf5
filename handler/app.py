"""Lambda entry: event and environment in, one run, metrics and result out. Wires the parts together."""

from __future__ import annotations

import functools
import logging
import os
import time
import traceback
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from aws_lambda_powertools import Logger, Metrics

from handler.authorization_server import AuthorizationServer
from handler.config import client_of, settings_from
from handler.errors import InvalidInputError, RotationError, SecretsManagerUnavailableError
from handler.report import Report
from handler.rotation import rotate
from handler.run_context import RunContext
from handler.secrets_manager import SecretsManager, create_client
from handler.token_secret_reads import TokenSecretReads
from handler.transport import check_environment

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from handler.config import Settings
    from handler.model import Clock

# Time reserved at the end of a run; a short run reserves half. Publishing survives two lost answers of Secrets Manager;
# the last other call may take all of its three attempts; then come the metrics and the summary line.
_PUBLISHING_NEEDS = timedelta(seconds=45)
_CLEANUP_NEEDS = timedelta(seconds=20)
_REPORTING_NEEDS = timedelta(seconds=5)

# AWS, "PutSecretValue": how long a ClientRequestToken may be.
_REQUEST_ID_LENGTHS = range(32, 65)

# Empty variables count as unset: an empty service would silence the log and take the dimension from the metrics.
_SERVICE = os.environ.get("POWERTOOLS_SERVICE_NAME", "").strip() or "telenor-token"


def _log_level() -> str:
    """Return the log level of the environment; INFO if there is none, or one with which logging would be silent."""
    level = (os.environ.get("POWERTOOLS_LOG_LEVEL") or os.environ.get("LOG_LEVEL") or "INFO").upper()
    return level if logging.getLevelNamesMapping().get(level) else "INFO"


# Lambda's filter by level reads only lines with an RFC 3339 timestamp. Powertools would try to parse each message as
# JSON, which takes most of the time of a line; ours are sentences.
logger = Logger(service=_SERVICE, level=_log_level(), use_rfc3339=True, utc=True, json_deserializer=str)
metrics = Metrics(namespace="TelenorToken", service=_SERVICE)


class LambdaContext(Protocol):
    """The part of Lambda's context object that the job uses."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the run."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        time.sleep(seconds)


clock: Clock = SystemClock()


def lambda_handler(event: object, context: LambdaContext) -> dict[str, object]:
    """Run once for an event of EventBridge or of an operator. Raises RotationError after the metrics are out."""
    report = Report(client_of(os.environ, event))
    try:
        run(event, context.aws_request_id, timedelta(milliseconds=context.get_remaining_time_in_millis()), report)
    finally:
        _put_metrics(report)
    return report.result()


def run(event: object, request_id: str, time_left: timedelta, report: Report) -> None:
    """Run once, fill in the report and log one summary line. Raises RotationError."""
    started_at = clock.now()
    logger.append_keys(
        client=report.client, function_request_id=request_id, token_secret_id=None, credentials_secret_id=None
    )
    failure: RotationError | None = None
    try:
        _rotate(event, request_id, started_at, time_left, report)
    except RotationError as error:
        failure = error
    except Exception as error:  # noqa: BLE001  the text of any error may hold a secret, so only its place is logged
        place = [
            f"{frame.name} in {frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        failure = RotationError(f"unexpected {type(error).__name__}: a defect of this job; its place is in the log")
        logger.error(f"unexpected {type(error).__name__}", extra={"error_code": failure.error_code, "place": place})  # noqa: TRY400  see above
    report.has_failed = failure is not None
    summary = report.summary(clock.now() - started_at)
    if failure is None:
        logger.info(f"run ended: {report.outcome}", extra=summary)
        return
    logger.error(f"run failed: {failure}", extra={"error_code": failure.error_code, **summary})
    # What caused it may quote a secret's id or a proxy's password.
    failure.__cause__ = failure.__context__ = None
    raise failure


def _rotate(event: object, request_id: str, started_at: datetime, time_left: timedelta, report: Report) -> None:
    settings = settings_from(os.environ, event)
    try:
        _rotate_with(settings, request_id, started_at, time_left, report)
    except (InvalidInputError, SecretsManagerUnavailableError):
        # The SDK reads the same variables for proxies and CAs, and fails first without naming one.
        check_environment(settings.protocol.token_url)
        raise


def _rotate_with(
    settings: Settings, request_id: str, started_at: datetime, time_left: timedelta, report: Report
) -> None:
    request_by, end_by = deadlines(started_at, time_left)
    secrets = SecretsManager(
        _client(os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("AWS_ENDPOINT_URL_SECRETS_MANAGER")),
        settings.credentials_secret_id,
        settings.token_secret_id,
        logger.append_keys,
        lambda: clock.now() < end_by,
    )
    report.can_revoke = settings.policy.can_revoke
    report.has_routine_metrics = settings.has_routine_metrics
    version_id = request_id if len(request_id) in _REQUEST_ID_LENGTHS else str(uuid.uuid4())
    rotate(
        RunContext(
            settings=settings,
            secrets=secrets,
            token_secret=TokenSecretReads(secrets, clock, version_id),
            server=create_server(settings, secrets),
            clock=clock,
            log=logger,
            report=report,
            version_id=version_id,
            request_by=request_by,
            end_by=end_by,
        )
    )


def create_server(settings: Settings, secrets: SecretsManager) -> AuthorizationServer:
    """Return the authorization server of the settings."""
    return AuthorizationServer(settings.protocol, secrets.read_known_credentials, clock, logger)


def deadlines(started_at: datetime, time_left: timedelta) -> tuple[datetime, datetime]:
    """Return two deadlines: for token requests, and for the beginning of every other call except a write."""
    ends_at = started_at + time_left
    return (
        ends_at - min(_PUBLISHING_NEEDS, time_left / 2),
        ends_at - min(_CLEANUP_NEEDS + _REPORTING_NEEDS, time_left / 2),
    )


@functools.lru_cache(maxsize=1)
def _client(*_endpoints: str | None) -> SecretsManagerClient:
    """Return one client for all runs of a warm process, cached by the endpoint variables."""
    return create_client()


def _put_metrics(report: Report) -> None:
    metrics.add_dimension("client", report.client)
    for name, (unit, value) in report.metrics(clock.now()).items():
        metrics.add_metric(name, unit, value)
    metrics.flush_metrics()
