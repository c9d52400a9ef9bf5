"""The command `emergency`: publish a new token and revoke every other one at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.cli import console, status
from handler.cli.errors import sentence
from handler.cli.replace_and_revoke import labels_or_error, replace_and_revoke
from handler.cli.time_format import duration
from handler.errors import RotationError

if TYPE_CHECKING:
    from handler.cli.job import Job
    from handler.cli.job_log import JobLog
    from handler.cli.status import Status


def emergency(job: Job, log: JobLog, *, yes: bool) -> bool:
    """Publish a new token and revoke every other one. Return whether the operator agreed. Raises RotationError."""
    console.print_wrapped(_consequences(labels_or_error(job), can_revoke=job.settings.policy.can_revoke))
    does = "Revoke them" if job.settings.policy.can_revoke else "Publish a new token"
    if not console.is_confirmed(f"{does} now, with {job.place}?", yes=yes):
        return False
    console.print_json(replace_and_revoke(job, log, "emergency"))
    return True


def _consequences(seen: Status | RotationError, *, can_revoke: bool) -> str:
    if not can_revoke:
        return (
            "This publishes a new token, and revokes nothing: the authorization server cannot revoke access tokens, so "
            "the others stay active until they expire."
        )
    if isinstance(seen, RotationError):
        return f"This publishes a new token and revokes every other one. Which ones is unknown: {sentence(seen)}."
    active = status.count_active(seen)
    if not active:
        return "No token is active, so there is none to revoke. A new one is published."
    is_current_active = seen.state not in status.UNUSABLE
    others = active - is_current_active
    named = ["the current token"] * is_current_active + [console.count(others, "superseded token")] * (others > 0)
    return (
        f"This publishes a new token and revokes {' and '.join(named)} at once. A gateway's cache may accept them for "
        "some minutes more. Consumers that cache one get 401 until they read the secret again. Those that read again "
        "on a 401 hardly notice; the others wait until their cache expires, which should take less than "
        f"{duration(seen.policy.grace)} (GRACE_SECONDS)."
    )
