"""Runs doctor: checks permissions, asks for confirmation, requests tokens and cleans up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler import app
from handler.authorization_server import AuthorizationServer
from handler.cli import job_status
from handler.cli.confirmation import is_confirmed
from handler.cli.doctor import diagnosis
from handler.cli.doctor.inputs import Inputs
from handler.cli.doctor.observations import WATCH, Observations
from handler.cli.doctor.probe import Probe
from handler.cli.doctor.rotate_after_revocation import rotate_after_revocation
from handler.cli.standard_streams import count, print_stderr, print_wrapped
from handler.cli.time_format import duration
from handler.errors import RotationError, ServerError
from handler.token_secret_reads import TokenSecretReads

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from pathlib import Path

    from handler.cli.doctor.diagnosis import Diagnosis
    from handler.cli.doctor.observations import Survey
    from handler.cli.job import Job


class DeclinedError(RotationError):
    """The operator declined."""


def examine(
    job: Job, on_wait: Callable[[timedelta], object], *, yes: bool, credentials_file: Path | None = None
) -> tuple[Observations, Diagnosis]:
    """Test the server of a job. Raises RotationError, or DeclinedError if the operator declined."""
    # One adapter: it refuses credentials that stand in the token secret only if it has described that one.
    secrets = job.secrets()
    token_secret = TokenSecretReads(secrets, app.clock)
    inputs = Inputs(job, secrets, token_secret, credentials_file)
    server = AuthorizationServer(job.settings.protocol, inputs.known_credentials, app.clock, app.logger)
    permissions = inputs.permissions()
    for sentence in permissions.cannot:
        print_wrapped(f"With this identity doctor cannot {sentence}.")
    probe = Probe(job.settings, token_secret, server, app.clock, inputs.credentials, _notify_once(on_wait))
    try:
        survey = probe.survey(permissions, inputs.ledger)
    except ServerError as error:
        raise ServerError(
            f"the authorization server cannot be reached from here, so no token was requested: {error}"
        ) from error
    observations = Observations(survey=survey, server_format=probe.server_format)
    if permissions.may_obtain:
        print_wrapped(_consequences(survey))
        if not is_confirmed(f"Request two tokens for {job.place} now?", yes=yes):
            raise DeclinedError("No token was requested.")
        observations = _test(job, probe, survey)
    seen = job_status.status_of(inputs.ledger, job.settings.policy, inputs.read_at, runs=inputs.past_runs)
    return observations, diagnosis.diagnosis(observations, seen)


def _test(job: Job, probe: Probe, survey: Survey) -> Observations:
    """Request tokens, clean up in any case, and replace a published token that this has, or may have, revoked."""
    # Ctrl-C may come at any time, so this stays unknown until the end.
    ended: bool | None = None
    try:
        try:
            token_test = probe.obtain(survey)
        except BaseException:
            if (left := probe.clean_up()).failed:
                print_stderr(f"{count(left.failed, 'token')} not revoked: {left.failure}")
            raise
        cleanup = probe.clean_up()
        observations = Observations(survey, probe.server_format, token_test, cleanup)
        ended = diagnosis.published_ended(observations)
        return observations
    finally:
        if survey.published is not None and probe.has_requested and ended is not False:
            rotate_after_revocation(job, is_known=ended is True)


def _notify_once(on_wait: Callable[[timedelta], object]) -> Callable[[timedelta], object]:
    is_notified = False

    def wait(waited: timedelta) -> None:
        nonlocal is_notified
        if not is_notified:
            is_notified = True
            print_wrapped(
                "A token is still accepted after its logout. doctor tries it again every few seconds, for up to "
                f"{duration(WATCH)}: the longest known time that a gateway caches a token."
            )
        on_wait(waited)

    return wait


def _consequences(survey: Survey) -> str:
    does = "This obtains two tokens, tries them, and revokes them again."
    if not survey.can_revoke:
        does = "This obtains two tokens and tries them. The server cannot revoke them, so they expire by themselves."
    if survey.published is None:
        return f"{does} No published token is active."
    superseded = (survey.published.superseded_id or "")[:8]
    hint = {
        True: f" VERIFY_URL still accepts superseded {superseded}, so a new token does not seem to revoke the old one.",
        False: f" VERIFY_URL rejects superseded {superseded}, which the job has not revoked. So a new token seems to "
        "revoke the old one, and this would revoke the published one.",
        None: "",
    }[survey.published.superseded_accepted]
    return (
        f"{does} A token is published and active. If the server keeps one active token for a client, or if logout "
        "revokes all of them, then this revokes it: the job rotates right afterwards, and consumers get 401 until they "
        "read again. doctor never logs out a published token."
        f"{hint}"
    )
