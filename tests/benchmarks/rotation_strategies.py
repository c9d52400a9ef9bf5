"""Strategies to keep a shared token valid. Each is one scheduled run with the same clients, which retry alike."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger

from handler.authorization_server import AuthorizationServer
from handler.errors import RotationError, ServerError, TokenRejectedError
from handler.model import Policy
from handler.report import Report
from handler.rotation import rotate
from handler.run_context import RunContext
from handler.secrets_manager import SecretsManager
from handler.server_protocols import TelenorProtocol
from handler.token_secret_reads import TokenSecretReads
from handler.transport import Transport
from tests.simulation.stepped_run import CREDENTIALS, SETTINGS, TOKEN, ModelSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.simulated_month import Environment

# A minute above the longest cache lifetime of any consumer, as docs/configuration.md recommends.
GRACE = timedelta(seconds=660)
POLICY = Policy(grace=GRACE, renew_at_fraction=0.33, schedule=timedelta(minutes=5))
_POLICY_EVERY_MINUTE = Policy(grace=GRACE, renew_at_fraction=0.25, schedule=timedelta(minutes=1))

# requests looks for no proxies for localhost, which would take part of the simulation's time.
_URL = "https://localhost"
_REQUEST_BY, _END_BY = timedelta(seconds=90), timedelta(seconds=118)
_LOG = Logger(service="benchmarks", level="CRITICAL")


@dataclass(frozen=True)
class Strategy:
    """A function to run, and its interval. A failing run raises its error."""

    name: str
    every: timedelta
    run: Callable[[Environment, str], None]
    retries: int = 2
    """How often Lambda retries a failed run: twice by default; this job's deployment sets 0."""


def this_job(environment: Environment, request_id: str, policy: Policy = POLICY) -> None:
    """Run the handler's own code, from the first read to the last logout."""
    now = environment.clock.now()
    secrets = SecretsManager(environment.client, CREDENTIALS, TOKEN)
    report = Report("default")
    try:
        rotate(
            RunContext(
                settings=SETTINGS._replace(policy=policy),
                secrets=secrets,
                token_secret=TokenSecretReads(secrets, environment.clock, request_id),
                server=_telenor(environment),
                clock=environment.clock,
                log=_LOG,
                report=report,
                version_id=request_id,
                request_by=now + _REQUEST_BY,
                end_by=now + _END_BY,
            )
        )
    except RotationError:
        report.has_failed = True
        raise
    finally:
        environment.send_metrics(report.metrics(environment.clock.now()))


def overwrite(environment: Environment, _request_id: str, *, logs_out: bool = False) -> None:
    """Request a token and overwrite the secret. Log out the previous token at once, or let it expire."""
    telenor = _telenor(environment)
    previous = _read(environment, "AWSCURRENT") if logs_out else None
    environment.client.put_secret_value(SecretId=TOKEN, SecretString=_request(environment, telenor))
    _revoke(environment, telenor, previous)


def four_steps(environment: Environment, request_id: str) -> None:
    """Run AWS's rotation template: createSecret, setSecret, testSecret, finishSecret, each a run of the function.

    The last step logs the previous token out. An unfinished rotation is resumed, as by RotateSecret.
    """
    labels = environment.aws.secrets[TOKEN].labels
    pending = labels.get("AWSPENDING")
    version_id = request_id if pending in {None, labels.get("AWSCURRENT")} else str(pending)
    telenor = _telenor(environment)
    # setSecret has nothing to set: the server knows the token, since it has issued it.
    for number, step in enumerate((_create_secret, None, _test_secret, _finish_secret)):
        environment.months.invocations += number > 0
        environment.client.describe_secret(SecretId=TOKEN)
        if step:
            step(environment, telenor, version_id)


def _create_secret(environment: Environment, telenor: AuthorizationServer, version_id: str) -> None:
    try:
        environment.client.get_secret_value(SecretId=TOKEN, VersionId=version_id, VersionStage="AWSPENDING")
    except environment.client.exceptions.ResourceNotFoundException:
        environment.client.put_secret_value(
            SecretId=TOKEN,
            ClientRequestToken=version_id,
            SecretString=_request(environment, telenor),
            VersionStages=["AWSPENDING"],
        )


def _test_secret(environment: Environment, telenor: AuthorizationServer, version_id: str) -> None:
    pending = _read(environment, "AWSPENDING")
    try:
        telenor.verify(f"{_URL}/verify", str(pending), environment.clock.now() + _REQUEST_BY)
    except TokenRejectedError:
        # Otherwise every later rotation would continue with this inactive token.
        environment.client.update_secret_version_stage(
            SecretId=TOKEN, VersionStage="AWSPENDING", RemoveFromVersionId=version_id
        )
        raise


def _finish_secret(environment: Environment, telenor: AuthorizationServer, version_id: str) -> None:
    stages = environment.client.describe_secret(SecretId=TOKEN)["VersionIdsToStages"]
    current = next((version for version, labels in stages.items() if "AWSCURRENT" in labels), None)
    if current in {None, version_id}:
        return
    previous = _read(environment, "AWSCURRENT")
    environment.client.update_secret_version_stage(
        SecretId=TOKEN, VersionStage="AWSCURRENT", MoveToVersionId=version_id, RemoveFromVersionId=str(current)
    )
    _revoke(environment, telenor, previous)


def _telenor(environment: Environment) -> AuthorizationServer:
    """Return the handler's own client, so that every strategy retries alike."""
    session = ModelSession()
    session.mount("https://", environment.telenor)
    transport = Transport(environment.clock, _LOG, lambda _on_socket: session, lambda exchange, _seconds: exchange())
    read_known = SecretsManager(environment.client, CREDENTIALS, TOKEN).read_known_credentials
    return AuthorizationServer(TelenorProtocol(_URL), read_known, environment.clock, _LOG, transport)


def _request(environment: Environment, telenor: AuthorizationServer) -> str:
    credentials = SecretsManager(environment.client, CREDENTIALS, TOKEN).read_credentials()
    token = telenor.request_token(credentials, None, environment.clock.now() + _REQUEST_BY, lambda _token: None)
    return token.document()


def _read(environment: Environment, stage: str) -> str | None:
    try:
        response = environment.client.get_secret_value(SecretId=TOKEN, VersionStage=stage)
    except environment.client.exceptions.ResourceNotFoundException:
        return None
    return str(json.loads(response["SecretString"])["access_token"])


def _revoke(environment: Environment, telenor: AuthorizationServer, access_token: str | None) -> None:
    """Log out a replaced token. The new one is published and the old one is not stored, so a failure is not retried."""
    if access_token is not None:
        with suppress(ServerError, RotationError):
            telenor.revoke(access_token, environment.clock.now() + timedelta(seconds=30))


THIS_JOB = Strategy("this job", POLICY.schedule, this_job, retries=0)
EVERY_MINUTE = Strategy(
    "this job, every minute, `RENEW_AT_FRACTION` 0.25",
    _POLICY_EVERY_MINUTE.schedule,
    partial(this_job, policy=_POLICY_EVERY_MINUTE),
    retries=0,
)
_OFTEN, _OFTENER = timedelta(minutes=15), timedelta(minutes=10)
_overwrite_and_log_out = partial(overwrite, logs_out=True)
OVERWRITE_OFTEN = Strategy("overwrite every 15 min", _OFTEN, overwrite)
OTHERS = (
    OVERWRITE_OFTEN,
    Strategy("overwrite every 10 min", _OFTENER, overwrite),
    Strategy("overwrite every 15 min, log out at once", _OFTEN, _overwrite_and_log_out),
    Strategy("overwrite every 10 min, log out at once", _OFTENER, _overwrite_and_log_out),
    Strategy("AWS's four steps every 15 min, then log out", _OFTEN, four_steps),
)
