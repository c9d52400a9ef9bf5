"""The command `emergency`: publish a new token and revoke every other one at once. `retire` ends with the same run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from handler.cli import job_status, standard_streams
from handler.cli.confirmation import is_confirmed
from handler.cli.errors import CliError, RunFailedError, RunUnknownError, sentence
from handler.cli.fetch_status import fetch_labels
from handler.cli.standard_streams import count
from handler.cli.time_format import duration, utc
from handler.errors import IRREVOCABLE, ErrorCode, RotationError
from handler.model import Action, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.cli.job import Job
    from handler.cli.job_status import Status
    from handler.cli.log_printer import LogPrinter

# A second run would fail with these codes as well.
_LASTING = IRREVOCABLE | {ErrorCode.REVOCATION_ABANDONED}


def emergency(job: Job, log: LogPrinter, *, yes: bool) -> bool:
    """Publish a new token and revoke every other one. Return whether the operator agreed. Raises RotationError."""
    standard_streams.print_wrapped(_consequences(labels_or_error(job), can_revoke=job.settings.policy.can_revoke))
    does = "Revoke them" if job.settings.policy.can_revoke else "Publish a new token"
    if not is_confirmed(f"{does} now, for {job.place}?", yes=yes):
        return False
    standard_streams.print_json(replace_and_revoke(job, log, "emergency"))
    return True


def _consequences(seen: Status | RotationError, *, can_revoke: bool) -> str:
    if not can_revoke:
        return (
            "This publishes a new token, and revokes nothing: the authorization server cannot revoke access tokens, so "
            "the others stay active until they expire."
        )
    if isinstance(seen, RotationError):
        return f"This publishes a new token and revokes every other one. Which ones is unknown: {sentence(seen)}."
    active = job_status.count_active(seen)
    if not active:
        return "No token is active, so there is none to revoke. A new one is published."
    is_current_active = seen.state not in job_status.UNUSABLE
    others = active - is_current_active
    named = ["the current token"] * is_current_active + [count(others, "superseded token")] * (others > 0)
    return (
        f"This publishes a new token and revokes {' and '.join(named)} at once. A gateway's cache may accept them for "
        "some minutes more. Consumers that cache one get 401 until they read the secret again. Those that read again "
        "on a 401 hardly notice; the others wait until their cache expires, which should take less than "
        f"{duration(seen.policy.grace)} (GRACE_SECONDS)."
    )


def replace_and_revoke(job: Job, log: LogPrinter, command: str) -> Mapping[str, object]:
    """Run the job once, and return its result. Raises CliError, with notes on what was done and what to do."""
    try:
        result = job.run(Action.ROTATE_AND_REVOKE_NOW)
    except RunFailedError as error:
        remedy = _remedy(error, command, f"correct the cause, and run `{command}` until it ends with 0")
        raise noted(error, _done(error.summary), remedy) from None
    except RunUnknownError as error:
        raise noted(error, _done({}), f"check `status`, then run `{command}` until it ends with 0") from None
    except CliError as error:
        raise noted(error, "the job was not started", f"correct the cause, and run `{command}` again") from None
    if pending := result.get("pending_revocations"):
        with contextlib.suppress(CliError):
            standard_streams.print_json(result)
        failure = log.failed_revocation
        left = CliError(
            f"{count(int(str(pending)), 'token')} not revoked: {failure.get('message', 'see the log')}",
            job_code=str(failure["error_code"]) if failure else None,
        )
        remedy = _remedy(left, command, f"run `{command}` until it ends with 0; `status` shows when each token expires")
        raise noted(left, _done(result), remedy)
    return result


def _remedy(error: CliError, command: str, otherwise: str) -> str:
    if error.job_code in _LASTING:
        return "follow the message; a second run would not help"
    if error.job_code == ErrorCode.TOKEN_REISSUED:
        return f"follow the message, then run `{command}` again: before that it would get the same token"
    return otherwise


def noted(error: CliError, done: str, remedy: str) -> CliError:
    """Return an error with what was done and what to do."""
    error.add_note(f"Done: {done}.")
    error.add_note(f"To do: {remedy}.")
    return error


def _done(result: Mapping[str, object]) -> str:
    """Describe a run by its result, or by the summary in its log."""
    revoked, version_id = result.get("revoked"), result.get("version_id")
    if not isinstance(revoked, list):
        return "unknown"
    counted = f"{count(len(revoked), 'token')} revoked"
    if result.get("error_code") == ErrorCode.WRITE_UNKNOWN:
        return f"{counted}; whether a new token is published is unknown"
    if version_id is None:
        return f"{counted}, none published"
    expires = f"which expires at {utc(result.get('expires_at'))}"
    # A run publishes under its own request id, and may fail afterwards.
    if result.get("outcome") == Outcome.ROTATED or version_id == result.get("function_request_id"):
        return f"{counted}; version {version_id} is published, {expires}"
    return f"{counted}; no new token is published: version {version_id} is still current, {expires}"


def labels_or_error(job: Job) -> Status | RotationError:
    """Return the status, or the error if the labels cannot be read, which must not stop an emergency."""
    try:
        return fetch_labels(job)
    except RotationError as error:
        return error
