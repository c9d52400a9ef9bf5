"""The job reads a response as the sandbox means it, in every error format.

`handler/error_responses.py` and the error formats of the sandbox are written from the same sources and know nothing of
each other, so that a word that one of them takes for something else shows here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from handler import app
from handler.authorization_server import AuthorizationServer
from handler.errors import InvalidClientError, ServerError
from handler.model import Credentials
from handler.operations import TelenorOperations
from infra.local.telenor_sandbox import ErrorKind
from tests.conftest import CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from handler.model import Token
    from infra.local.telenor_sandbox import TelenorSandbox
    from tests.conftest import FakeClock

CREDENTIALS = Credentials(CLIENT_ID, CLIENT_SECRET)
ERROR_FORMATS = ("reference", "gateway", "apigee", "rfc6749")
DEAD = {ErrorKind.TOKEN_INVALID, ErrorKind.TOKEN_EXPIRED}
CLIENT_REFUSED = {ErrorKind.CLIENT_ID, ErrorKind.CREDENTIALS, ErrorKind.CLIENT_DATA}
SEPARATELY = {("apigee", ErrorKind.BEARER_HEADER)}


def counts_as_dead(telenor: TelenorSandbox, clock: FakeClock, error_format: str, kind: ErrorKind) -> bool:
    """Log a token out, with this refusal for an answer; tell whether the job takes it for dead."""
    telenor.knobs(error_format=error_format)
    job = AuthorizationServer(TelenorOperations(telenor.url), clock, app.logger)
    telenor.fault(operation="logout", kind=kind)
    try:
        return not job.revoke("a-token", clock.now() + timedelta(minutes=2))
    except ServerError:
        return False
    finally:
        telenor.clear_faults()


def token_for(credentials: Credentials, job: AuthorizationServer, clock: FakeClock) -> Token:
    return job.request_token(
        credentials, None, clock.now() + timedelta(minutes=2), lambda _token: pytest.fail("an unusable token")
    )


@pytest.mark.parametrize("error_format", ERROR_FORMATS)
def test_a_token_counts_as_dead_where_the_answer_says_so_and_nowhere_else(
    telenor: TelenorSandbox, clock: FakeClock, error_format: str
) -> None:
    tried = {kind for kind in ErrorKind if (error_format, kind) not in SEPARATELY}
    assert {kind for kind in tried if counts_as_dead(telenor, clock, error_format, kind)} == DEAD


@pytest.mark.parametrize(
    ("error_format", "beside"),
    [
        ("reference", set()),
        ("gateway", set()),
        ("apigee", set()),
        # RFC 6749, section 5.2: also where no client authentication was included.
        ("rfc6749", {ErrorKind.CLIENT_HEADER}),
    ],
)
def test_the_client_counts_as_refused_where_the_answer_says_so_and_nowhere_else(
    telenor: TelenorSandbox, clock: FakeClock, error_format: str, beside: set[ErrorKind]
) -> None:
    telenor.knobs(error_format=error_format)
    refused = set()
    for kind in ErrorKind:
        telenor.fault(operation="token", kind=kind)
        job = AuthorizationServer(TelenorOperations(telenor.url), clock, app.logger)
        with pytest.raises(ServerError) as error:
            token_for(CREDENTIALS, job, clock)
        if isinstance(error.value, InvalidClientError):
            refused.add(kind)
        telenor.clear_faults()
    assert refused == CLIENT_REFUSED | beside


def test_apigees_other_shape_refuses_the_client_too(telenor: TelenorSandbox, clock: FakeClock) -> None:
    telenor.knobs(error_format="apigee", apigee_shape="ErrorCode")
    job = AuthorizationServer(TelenorOperations(telenor.url), clock, app.logger)
    with pytest.raises(InvalidClientError):
        token_for(Credentials(CLIENT_ID, "wrong"), job, clock)


@pytest.mark.parametrize("error_format", ERROR_FORMATS)
def test_a_spike_is_outlasted_and_a_quota_is_not_asked_again(
    telenor: TelenorSandbox, clock: FakeClock, error_format: str
) -> None:
    def ask() -> int:
        job = AuthorizationServer(TelenorOperations(telenor.url), clock, app.logger)
        try:
            token_for(CREDENTIALS, job, clock)
        except ServerError:
            return -job.token_attempts
        return job.token_attempts

    telenor.knobs(error_format=error_format)
    telenor.fault(operation="token", kind=ErrorKind.SPIKE_ARREST, times=1)
    assert ask() == 2
    telenor.fault(operation="token", kind=ErrorKind.QUOTA)
    # The standard has no word for it, so that it may be a spike.
    assert ask() == (-5 if error_format == "rfc6749" else -1)
