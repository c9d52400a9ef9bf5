"""The command `retire`: stop a job and revoke its tokens before its stack or client is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.cli import job_status, standard_streams
from handler.cli.confirmation import is_confirmed
from handler.cli.emergency import labels_or_error, noted, replace_and_revoke
from handler.cli.errors import AccessError
from handler.cli.time_format import utc
from handler.errors import RotationError

if TYPE_CHECKING:
    from handler.cli.job import Job
    from handler.cli.log_printer import LogPrinter

_DELETE_NOW = "Delete the stack or the client now, and its token secret with it, so that nobody reads a token there."


def retire(job: Job, log: LogPrinter, *, yes: bool) -> bool:
    """Disable the schedule and revoke every token but a last one. Return whether the operator agreed.

    Raises RotationError.
    """
    does = "revokes nothing: the authorization server cannot revoke access tokens"
    if job.settings.policy.can_revoke:
        does = "publishes one last token and revokes every other one"
    standard_streams.print_wrapped(
        f"This disables the schedule of client {job.settings.client}, and {does}. After that no token is renewed, "
        "consumers get 401, and the alarms stay active until you delete them."
    )
    if not is_confirmed(f"Retire {job.place} now?", yes=yes):
        return False
    try:
        schedule = job.disable_schedule()
    except AccessError as error:
        raise noted(
            error, "no token was revoked; a schedule may be disabled", "correct the cause, and run `retire` again"
        ) from None
    standard_streams.print_stderr(f"Schedule {schedule} is disabled. To undo this, enable it in EventBridge Scheduler.")
    seen = labels_or_error(job)
    if not isinstance(seen, RotationError) and not job_status.count_active(seen):
        standard_streams.print_stderr("No token is active.")
        return True
    if not job.settings.policy.can_revoke:
        standard_streams.print_wrapped("The tokens stay active until they expire; `status` shows when. " + _DELETE_NOW)
        return True
    result = replace_and_revoke(job, log, "retire")
    standard_streams.print_wrapped(
        f"One token stays active: version {result.get('version_id')}, just published, which expires at "
        f"{utc(result.get('expires_at'))}. The job never revokes the published token. {_DELETE_NOW} To end it "
        "earlier, have the authorization server revoke it."
    )
    standard_streams.print_json(result)
    return True
