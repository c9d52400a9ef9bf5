"""The job run in this process, with the environment's settings: for cron hosts, containers and development."""

from __future__ import annotations

import contextlib
import os
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from handler import app
from handler.cli import aws
from handler.cli.errors import RunFailedError, UsageError, is_bad_input
from handler.cli.job import REQUIRED_VARIABLES
from handler.config import settings_from
from handler.errors import InvalidInputError, RotationError
from handler.secrets_manager import SecretsManager

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from handler.cli.log_printer import LogPrinter
    from handler.config import Settings
    from handler.ledger import Entry
    from handler.model import Action

# The timeout of the deployed function.
_TIME_LEFT = timedelta(seconds=120)

_USED_BY_STATUS = {
    *("TOKEN_SECRET_ID", "CLIENT_NAME", "VERIFY_URL", "TOKEN_URL", "REVOCATION_URL", "RENEW_AT_FRACTION"),
    *REQUIRED_VARIABLES,
}
_UNUSED = {"CREDENTIALS_SECRET_ID": "not-used"}


@dataclass(frozen=True, slots=True)
class LocalJob:
    """The job with the environment's settings."""

    settings: Settings
    region: str | None
    log: LogPrinter
    name: str = "--local"
    is_deployed: bool = False

    @property
    def place(self) -> str:
        """The client, and this process."""
        return f"client {self.settings.client} in this process"

    def secrets(self) -> SecretsManager:
        """Return its secrets."""
        client = aws.client("secretsmanager", self.region)
        return SecretsManager(client, self.settings.credentials_secret_id, self.settings.token_secret_id)

    def past_runs(self, _now: datetime) -> None:
        """Return nothing: a local job keeps no log."""

    def fell_back(self, _version: Entry) -> None:
        """Return nothing: a local job keeps no log."""

    def disable_schedule(self) -> str:
        """Raise UsageError: the command does not know what starts a local job."""
        raise UsageError("--local has no schedule: stop whatever starts the job, then run `emergency`")

    def check_may_run(self) -> None:
        """Do nothing: no call checks beforehand whether a write would be allowed."""

    def run(self, action: Action) -> Mapping[str, object]:
        """Run the job as Lambda does."""
        try:
            # Powertools prints the metrics to stdout; send them to the log.
            with contextlib.redirect_stdout(self.log):
                return app.lambda_handler({"action": action}, _Context())
        except RotationError as error:
            raise RunFailedError(str(error), summary=self.log.summary, is_bad_input=is_bad_input(error)) from error


def find(environ: Mapping[str, str], region: str | None, log: LogPrinter, *, is_status_only: bool = False) -> LocalJob:
    """Return the job of the environment. `is_status_only` reads only the settings that `status` uses.

    Raises InvalidInputError.
    """
    for name in REQUIRED_VARIABLES:
        if not environ.get(name):
            raise InvalidInputError(
                f"{name} is not set: --local runs the job with the environment's settings, and this one decides when a "
                "token is revoked; set it to the value that consumers rely on"
            )
    if is_status_only:
        environ = _UNUSED | {name: value for name, value in environ.items() if name in _USED_BY_STATUS}
    settings = settings_from(environ, {})
    if region is None and (region := aws.region_of(settings.token_secret_id)) and not environ.get("AWS_REGION"):
        os.environ["AWS_REGION"] = region
    return LocalJob(settings, region, log)


class _Context:
    """The context of this invocation, in place of Lambda's."""

    def __init__(self) -> None:
        self.aws_request_id = str(uuid.uuid4())

    def get_remaining_time_in_millis(self) -> int:
        """Return the timeout of the deployed function."""
        return int(_TIME_LEFT.total_seconds() * 1000)
