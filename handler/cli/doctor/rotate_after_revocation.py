"""Replaces a published token that doctor has, or may have, revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.cli.standard_streams import print_stderr
from handler.errors import RotationError
from handler.model import Action

if TYPE_CHECKING:
    from handler.cli.job import Job


def rotate_after_revocation(job: Job, *, is_known: bool) -> None:
    """Rotate, and report how that ended. `is_known` says that the token was revoked; otherwise it may have been."""
    what = "was revoked" if is_known else "may have been revoked"
    print_stderr(f"The published token {what}, so the job rotates.")
    try:
        version_id = job.run(Action.ROTATE_NOW).get("version_id")
    except RotationError as error:
        print_stderr(
            f"THE PUBLISHED TOKEN {what.upper()}, AND NO REPLACEMENT IS CONFIRMED: run `rotate` (if that is refused, "
            f"`emergency`) until it ends with 0. {error}"
        )
        return
    print_stderr(f"Published version {version_id}.")
