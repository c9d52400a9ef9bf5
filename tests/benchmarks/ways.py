"""Four ways to keep a shared token fresh. Each is one scheduled run over the same clients, which retry alike."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
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
    from tests.benchmarks.month import Place

SCHEDULE = timedelta(minutes=5)
# A minute above the longest cache lifetime of any consumer, as docs/configuration.md asks.
GRACE = timedelta(seconds=660)
POLICY = Policy(grace=GRACE, renew_at_fraction=0.33, schedule=SCHEDULE)

_URL = "https://telenor.example"
_API = f"{_URL}/verify"
_PUBLISH_BY, _END_BY = timedelta(seconds=90), timedelta(seconds=118)


@dataclass(frozen=True)
class Way:
    """What is run, and how often. A run raises what it fails with."""

    name: str
    every: timedelta
    run: Callable[[Place, str], None]
    retries: int = 2
    """How often Lambda repeats a failed run: twice, unless the deployment says otherwise, as this job's does."""


def this_job(place: Place, request_id: str, policy: Policy = POLICY) -> None:
    """Run the handler's own code, from the first look to the last logout."""
    now = place.clock.now()
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
    telenor = _telenor(place)
    secrets = SecretsManager(place.client, CREDENTIALS, TOKEN)
    rotate(
        Context(
            settings=settings,
            secrets=secrets,
            token_secret=TokenSecret(secrets, place.clock, request_id),
            server=telenor,
            clock=place.clock,
            log=place.log,  # type: ignore[arg-type]  # a smaller log
            report=Report("default"),
            version_id=request_id,
            publish_by=now + _PUBLISH_BY,
            end_by=now + _END_BY,
        )
    )


def overwrite(place: Place, _request_id: str) -> None:
    """Ask for a token and overwrite the secret. The previous token dies by its expiry."""
    telenor = _telenor(place)
    token = _request(place, telenor)
    place.client.put_secret_value(SecretId=TOKEN, SecretString=token.document())


def overwrite_and_log_out(place: Place, _request_id: str) -> None:
    """Ask for a token, overwrite the secret, and log the previous token out at once."""
    telenor = _telenor(place)
    previous = _read(place, "AWSCURRENT")
    token = _request(place, telenor)
    place.client.put_secret_value(SecretId=TOKEN, SecretString=token.document())
    _log_out(place, telenor, previous)


def overwrite_and_log_out_the_one_before(place: Place, _request_id: str) -> None:
    """Ask for a token, overwrite the secret, and log out what was replaced by the run before, which is AWSPREVIOUS."""
    telenor = _telenor(place)
    replaced_before = _read(place, "AWSPREVIOUS")
    token = _request(place, telenor)
    place.client.put_secret_value(SecretId=TOKEN, SecretString=token.document())
    _log_out(place, telenor, replaced_before)


def four_steps(place: Place, request_id: str) -> None:
    """Run AWS's rotation template: createSecret, setSecret, testSecret, finishSecret, each a run of the function.

    The last step logs the previous token out. A rotation that was left unfinished is gone on with, as by RotateSecret.
    """
    version_id = place.unfinished() or request_id
    telenor = _telenor(place)
    # setSecret has nothing to set: Telenor knows the token, since it has issued it.
    for step in (_create_secret, _set_secret, _test_secret, _finish_secret):
        if step is not _create_secret:
            place.invocations += 1
        place.client.describe_secret(SecretId=TOKEN)
        step(place, telenor, version_id)


def _create_secret(place: Place, telenor: AuthorizationServer, version_id: str) -> None:
    try:
        place.client.get_secret_value(SecretId=TOKEN, VersionId=version_id, VersionStage="AWSPENDING")
    except place.client.exceptions.ResourceNotFoundException:
        place.client.put_secret_value(
            SecretId=TOKEN,
            ClientRequestToken=version_id,
            SecretString=_request(place, telenor).document(),
            VersionStages=["AWSPENDING"],
        )


def _set_secret(_place: Place, _telenor: AuthorizationServer, _version_id: str) -> None:
    """Do nothing in AWS's second step: Telenor has no password that could be set."""


def _test_secret(place: Place, telenor: AuthorizationServer, version_id: str) -> None:
    pending = _read(place, "AWSPENDING")
    try:
        telenor.verify(_API, str(pending), place.clock.now() + _PUBLISH_BY)
    except TokenRejectedError:
        # Otherwise every later rotation would go on with this dead token.
        place.client.update_secret_version_stage(
            SecretId=TOKEN, VersionStage="AWSPENDING", RemoveFromVersionId=version_id
        )
        raise


def _finish_secret(place: Place, telenor: AuthorizationServer, version_id: str) -> None:
    stages = place.client.describe_secret(SecretId=TOKEN)["VersionIdsToStages"]
    current = next((version for version, labels in stages.items() if "AWSCURRENT" in labels), None)
    if current in {None, version_id}:
        return
    previous = _read(place, "AWSCURRENT")
    place.client.update_secret_version_stage(
        SecretId=TOKEN, VersionStage="AWSCURRENT", MoveToVersionId=version_id, RemoveFromVersionId=str(current)
    )
    _log_out(place, telenor, previous)


def _telenor(place: Place) -> AuthorizationServer:
    """Return the handler's own client, so that every way retries alike."""

    def session(on_socket: Callable[[socket.socket], None]) -> requests.Session:
        opened = create_session(on_socket)
        opened.mount("https://", place.telenor)
        return opened

    transport = Transport(place.clock, place.log, session, lambda exchange, _seconds: exchange())  # type: ignore[arg-type]  # a smaller log
    return AuthorizationServer(TelenorOperations(_URL), place.clock, place.log, transport)  # type: ignore[arg-type]  # likewise


def _request(place: Place, telenor: AuthorizationServer) -> Token:
    credentials = SecretsManager(place.client, CREDENTIALS, TOKEN).read_credentials()
    return telenor.request_token(credentials, None, place.clock.now() + _PUBLISH_BY, lambda _token: None)


def _read(place: Place, stage: str) -> str | None:
    try:
        answer = place.client.get_secret_value(SecretId=TOKEN, VersionStage=stage)
    except place.client.exceptions.ResourceNotFoundException:
        return None
    return str(json.loads(answer["SecretString"])["access_token"])


def _log_out(place: Place, telenor: AuthorizationServer, access_token: str | None) -> None:
    """Log out a replaced token. The new one is published, so a failure is only logged: nothing has kept this one."""
    if access_token is None:
        return
    try:
        telenor.logout(access_token, place.clock.now() + timedelta(seconds=30))
    except (ServerError, RotationError) as error:
        place.log.warning(str(error))


THIS_JOB = Way("this job", SCHEDULE, this_job, retries=0)
THIS_JOB_EARLIER = Way(
    "this job, `RENEW_AT_FRACTION=0.25`",
    SCHEDULE,
    partial(this_job, policy=replace(POLICY, renew_at_fraction=0.25)),
    retries=0,
)
OVERWRITE_OFTEN = Way("overwrite every 15 min", timedelta(minutes=15), overwrite)
OTHERS = (
    Way("overwrite every 30 min", timedelta(minutes=30), overwrite),
    OVERWRITE_OFTEN,
    Way("every 15 min, log out the one before", timedelta(minutes=15), overwrite_and_log_out_the_one_before),
    Way("overwrite, log out at once", timedelta(minutes=30), overwrite_and_log_out),
    Way("AWS's four steps, then log out", timedelta(minutes=30), four_steps),
)
