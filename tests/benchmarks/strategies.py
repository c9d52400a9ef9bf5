"""Strategies to keep a shared token fresh. Each is one scheduled run over the same clients, which retry alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from handler.authorization_server import AuthorizationServer
from handler.config import Settings
from handler.context import Context
from handler.errors import RotationError, ServerError, TokenRejectedError
from handler.model import Action, Policy
from handler.operations import TelenorOperations
from handler.report import Report
from handler.rotation import rotate
from handler.secrets_manager import SecretsManager
from handler.token_secret import TokenSecret
from handler.transport import Transport, create_session
from tests.simulation.world import CREDENTIALS, TOKEN

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    import requests

    from handler.model import Token
    from tests.benchmarks.simulated_month import Environment

SCHEDULE = timedelta(minutes=5)
# A minute above the longest cache lifetime of any consumer, as docs/configuration.md asks.
GRACE = timedelta(seconds=660)
POLICY = Policy(grace=GRACE, renew_at_fraction=0.33, schedule=SCHEDULE)
_MINUTE = timedelta(minutes=1)
_POLICY_EVERY_MINUTE = Policy(grace=GRACE, renew_at_fraction=0.25, schedule=_MINUTE)

_URL = "https://telenor.example"
_API = f"{_URL}/verify"
_PUBLISH_BY, _END_BY = timedelta(seconds=90), timedelta(seconds=118)


@dataclass(frozen=True)
class Strategy:
    """What is run, and how often. A run raises what it fails with."""

    name: str
    every: timedelta
    run: Callable[[Environment, str], None]
    retries: int = 2
    """How often Lambda repeats a failed run: twice, unless the deployment says otherwise, as this job's does."""


def this_job(environment: Environment, request_id: str, policy: Policy = POLICY) -> None:
    """Run the handler's own code, from the first look to the last logout."""
    now = environment.clock.now()
    settings = Settings(
        client="default",
        action=Action.RENEW_IF_DUE,
        credentials_secret_id=CREDENTIALS,
        token_secret_id=TOKEN,
        base_url=_URL,
        scope=None,
        policy=policy,
        verify_url=None,
    )
    telenor = _telenor(environment)
    secrets = SecretsManager(environment.client, CREDENTIALS, TOKEN)
    report = Report("default")
    try:
        rotate(
            Context(
                settings=settings,
                secrets=secrets,
                token_secret=TokenSecret(secrets, environment.clock, request_id),
                server=telenor,
                clock=environment.clock,
                log=environment.log,  # type: ignore[arg-type]  # a smaller log
                report=report,
                version_id=request_id,
                publish_by=now + _PUBLISH_BY,
                end_by=now + _END_BY,
            )
        )
    except RotationError:
        report.has_failed = True
        raise
    finally:
        environment.send_metrics(report)


def overwrite(environment: Environment, _request_id: str) -> None:
    """Ask for a token and overwrite the secret. The previous token dies by its expiry."""
    telenor = _telenor(environment)
    token = _request(environment, telenor)
    environment.client.put_secret_value(SecretId=TOKEN, SecretString=token.document())


def overwrite_and_log_out(environment: Environment, _request_id: str) -> None:
    """Ask for a token, overwrite the secret, and log the previous token out at once."""
    telenor = _telenor(environment)
    previous = _read(environment, "AWSCURRENT")
    token = _request(environment, telenor)
    environment.client.put_secret_value(SecretId=TOKEN, SecretString=token.document())
    _log_out(environment, telenor, previous)


def four_steps(environment: Environment, request_id: str) -> None:
    """Run AWS's rotation template: createSecret, setSecret, testSecret, finishSecret, each a run of the function.

    The last step logs the previous token out. A rotation that was left unfinished is gone on with, as by RotateSecret.
    """
    version_id = environment.unfinished() or request_id
    telenor = _telenor(environment)
    # setSecret has nothing to set: the server knows the token, since it has issued it.
    for step in (_create_secret, _set_secret, _test_secret, _finish_secret):
        if step is not _create_secret:
            environment.invocations += 1
        environment.client.describe_secret(SecretId=TOKEN)
        step(environment, telenor, version_id)


def _create_secret(environment: Environment, telenor: AuthorizationServer, version_id: str) -> None:
    try:
        environment.client.get_secret_value(SecretId=TOKEN, VersionId=version_id, VersionStage="AWSPENDING")
    except environment.client.exceptions.ResourceNotFoundException:
        environment.client.put_secret_value(
            SecretId=TOKEN,
            ClientRequestToken=version_id,
            SecretString=_request(environment, telenor).document(),
            VersionStages=["AWSPENDING"],
        )


def _set_secret(_environment: Environment, _telenor: AuthorizationServer, _version_id: str) -> None:
    """Do nothing in AWS's second step: the server has no password that could be set."""


def _test_secret(environment: Environment, telenor: AuthorizationServer, version_id: str) -> None:
    pending = _read(environment, "AWSPENDING")
    try:
        telenor.verify(_API, str(pending), environment.clock.now() + _PUBLISH_BY)
    except TokenRejectedError:
        # Otherwise every later rotation would go on with this dead token.
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
    _log_out(environment, telenor, previous)


def _telenor(environment: Environment) -> AuthorizationServer:
    """Return the handler's own client, so that every strategy retries alike."""

    def session(on_socket: Callable[[socket.socket], None]) -> requests.Session:
        opened = create_session(on_socket)
        opened.mount("https://", environment.telenor)
        return opened

    transport = Transport(environment.clock, environment.log, session, lambda exchange, _seconds: exchange())  # type: ignore[arg-type]  # a smaller log
    return AuthorizationServer(TelenorOperations(_URL), environment.clock, environment.log, transport)  # type: ignore[arg-type]  # likewise


def _request(environment: Environment, telenor: AuthorizationServer) -> Token:
    credentials = SecretsManager(environment.client, CREDENTIALS, TOKEN).read_credentials()
    return telenor.request_token(credentials, None, environment.clock.now() + _PUBLISH_BY, lambda _token: None)


def _read(environment: Environment, stage: str) -> str | None:
    try:
        answer = environment.client.get_secret_value(SecretId=TOKEN, VersionStage=stage)
    except environment.client.exceptions.ResourceNotFoundException:
        return None
    return str(json.loads(answer["SecretString"])["access_token"])


def _log_out(environment: Environment, telenor: AuthorizationServer, access_token: str | None) -> None:
    """Log out a replaced token. The new one is published, so a failure is only logged: nothing has kept this one."""
    if access_token is None:
        return
    try:
        telenor.revoke(access_token, environment.clock.now() + timedelta(seconds=30))
    except (ServerError, RotationError) as error:
        environment.log.warning(str(error))


THIS_JOB = Strategy("this job", SCHEDULE, this_job, retries=0)
EVERY_MINUTE = Strategy(
    "this job, every minute, `RENEW_AT_FRACTION` 0.25",
    _MINUTE,
    partial(this_job, policy=_POLICY_EVERY_MINUTE),
    retries=0,
)
OVERWRITE_OFTEN = Strategy("overwrite every 15 min", timedelta(minutes=15), overwrite)
OTHERS = (
    OVERWRITE_OFTEN,
    Strategy("overwrite every 10 min", timedelta(minutes=10), overwrite),
    Strategy("overwrite every 15 min, log out at once", timedelta(minutes=15), overwrite_and_log_out),
    Strategy("overwrite every 10 min, log out at once", timedelta(minutes=10), overwrite_and_log_out),
    Strategy("AWS's four steps every 15 min, then log out", timedelta(minutes=15), four_steps),
)
