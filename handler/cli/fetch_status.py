"""Reads the status of a job with the operator's permissions: labels, the last runs, and the response of VERIFY_URL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from handler import app, error_responses
from handler.cli import aws, aws_errors, job_status
from handler.cli.errors import TokenSecretMissingError, sentence
from handler.cli.standard_streams import print_stderr
from handler.errors import MarkedForDeletionError, RotationError, SecretsManagerError

if TYPE_CHECKING:
    from datetime import datetime

    from handler.authorization_server import AuthorizationServer
    from handler.cli.job import Job, PastRuns
    from handler.cli.job_status import Status
    from handler.ledger import Entry
    from handler.secrets_manager import SecretsManager

# Longer than one request may take.
_PATIENCE = timedelta(seconds=15)


def fetch_status(job: Job) -> Status:
    """Return the status of a job. Reports what it may not read, and counts it as unknown. Raises RotationError."""
    now, secrets = app.clock.now(), job.secrets()
    try:
        ledger = secrets.describe(now)
    except MarkedForDeletionError:
        ledger = None
    except SecretsManagerError as error:
        raise explained(error, job) from error.__cause__
    current = ledger.current if ledger else None
    runs = _past_runs(job, current, now)
    accepted = _is_accepted(job, secrets) if current and job.settings.verify_url else None
    return job_status.status_of(ledger, job.settings.policy, now, runs=runs, accepted=accepted)


def fetch_labels(job: Job) -> Status:
    """Return the status by the labels only. Raises RotationError."""
    now = app.clock.now()
    try:
        ledger = job.secrets().describe(now)
        return job_status.status_of(ledger, job.settings.policy, now)
    except SecretsManagerError as error:
        raise explained(error, job) from error.__cause__


def explained(error: SecretsManagerError, job: Job) -> RotationError:
    """Explain an error of the token secret for an operator."""
    secret = job.settings.token_secret_id
    # A deployment names its own secret by the ARN, so the name is right.
    if job.is_deployed and aws.region_of(secret) and aws_errors.is_missing(error.__cause__):
        return TokenSecretMissingError(
            f"the token secret {secret} does not exist any more, so consumers cannot read it: see "
            "ResourceNotFoundException in docs/error-codes.md"
        )
    return aws_errors.explained_error(error, f"token secret {secret}", aws.region_of(secret) or job.region)


def is_accepted(server: AuthorizationServer, url: str, access_token: str, deadline: datetime) -> bool | None:
    """Return whether VERIFY_URL accepts a token; None if the response is inconclusive."""
    if server.is_rejected(url, access_token, deadline):
        return False
    last_response = server.last_response
    return True if last_response is not None and not error_responses.is_transient(last_response.status) else None


def _past_runs(job: Job, current: Entry | None, now: datetime) -> PastRuns | None:
    try:
        runs = job.past_runs(now)
        return replace(runs, credentials_fallback=job.fell_back(current)) if runs and current else runs
    except RotationError as error:
        print_stderr(f"{job.name}: how the last runs ended is unknown: {sentence(error)}")
        return None


def _is_accepted(job: Job, secrets: SecretsManager) -> bool | None:
    try:
        current = secrets.read_current()
    except SecretsManagerError as error:
        print_stderr(f"{job.name}: whether the token is accepted was not tried: {sentence(explained(error, job))}")
        return None
    if current is None or current.access_token is None or job.settings.verify_url is None:
        return None
    server = app.create_server(job.settings, secrets)
    return is_accepted(server, job.settings.verify_url, current.access_token, app.clock.now() + _PATIENCE)
