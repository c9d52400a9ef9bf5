"""The local stack: the two secrets, the handler's environment and the schedule."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import boto3

from infra.local.lambda_workers import Delivery
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from infra.local.fast_clock import FastClock
    from infra.local.lambda_workers import LambdaWorkers, RunResult

CREDENTIALS_SECRET = "telenor/credentials"  # noqa: S105  a name, not a secret
TOKEN_SECRET = "telenor/token"  # noqa: S105  likewise

# What EventBridge sends; the job looks at none of it.
_SCHEDULED_EVENT = {"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}

# Variables that send the SDKs and the handler to other servers.
_REDIRECTING_VARIABLES = ("AWS_", "POWERTOOLS_", "TELENOR_", "VERIFY_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def clear_environment() -> None:
    """Remove variables that would send the SDKs and the handler to other servers than the local ones."""
    for name in [name for name in os.environ if name.upper().startswith(_REDIRECTING_VARIABLES)]:
        del os.environ[name]
    # No profile of the user's either.
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)


def create_secrets() -> SecretsManagerClient:
    """Create the secret with the sandbox's credentials, and the token secret without a value."""
    client = boto3.client("secretsmanager")
    credentials = {"client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET}
    client.create_secret(Name=CREDENTIALS_SECRET, SecretString=json.dumps(credentials))
    client.create_secret(Name=TOKEN_SECRET)
    return client


def job_environment(
    app_id: str, telenor_url: str, *, grace_seconds: int, schedule_seconds: float, renew_at_fraction: float
) -> dict[str, str]:
    """Return the environment of the handler and of consumers; Secrets Manager counts their calls by `app_id`."""
    return {
        "AWS_SDK_UA_APP_ID": app_id,
        "TELENOR_BASE_URL": telenor_url,
        "CREDENTIALS_SECRET_ID": CREDENTIALS_SECRET,
        "TOKEN_SECRET_ID": TOKEN_SECRET,
        "GRACE_SECONDS": str(grace_seconds),
        "RENEW_AT_FRACTION": str(renew_at_fraction),
        "SCHEDULE_MINUTES": f"{schedule_seconds / 60:g}",
        "POWERTOOLS_SERVICE_NAME": "telenor-token",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


def keep_schedule(
    workers: LambdaWorkers,
    stop: threading.Event,
    clock: FastClock,
    schedule_seconds: float,
    on_results: Callable[[list[RunResult]], None] = lambda _: None,
) -> None:
    """Start runs as EventBridge does, until stopped. A tick during a run is left out."""
    period = schedule_seconds / clock.speed
    began_at = time.monotonic()
    while not stop.is_set():
        on_results(workers.invoke(Delivery.new(_SCHEDULED_EVENT)))
        stop.wait(period - (time.monotonic() - began_at) % period)
