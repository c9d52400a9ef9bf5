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
from handler.config import settings_from
from handler.errors import InvalidInputError, RotationError
from handler.secrets_manager import SecretsManager

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from handler.cli.log_output import LogOutput
    from handler.config import Settings
    from handler.ledger import Entry
    from handler.model import Action

# As long as the deployed function has.
_TIME_LEFT = timedelta(seconds=120)

# These decide when a superseded token is revoked. A default here could differ from the deployed job's.
_TO_BE_NAMED = ("GRACE_SECONDS", "SCHEDULE_MINUTES")

_LOOKED_AT = {"TOKEN_SECRET_ID", "CLIENT_NAME", "VERIFY_URL", "RENEW_AT_FRACTION", *_TO_BE_NAMED}
_UNUSED = {"CREDENTIALS_SECRET_ID": "not-used"}


@dataclass(frozen=True, slots=True)
class LocalJob:
    """The job as the environment describes it."""

    settings: Settings
    region: str | None
    log: LogOutput
    name: str = "--local"

    def secrets(self) -> SecretsManager:
        """Return its secrets."""
        client = aws.client("secretsmanager", self.region)
        return SecretsManager(client, self.settings.credentials_secret_id, self.settings.token_secret_id)

    def past_runs(self, _now: datetime) -> None:
        """Return nothing: what runs here leaves its log to whoever starts it."""

    def fell_back(self, _version: Entry) -> None:
        """Return nothing, for the same reason."""

    def disable_schedule(self) -> str:
        """Refuse: nothing here knows what starts it."""
        raise UsageError("--local has no schedule that this command knows: stop what starts the job, then `emergency`")

    def may_run(self) -> None:
        """Do nothing: no call shows beforehand whether a write would be allowed."""

    def run(self, action: Action) -> Mapping[str, object]:
        """Run as Lambda would."""
        try:
            # Metrics are printed: they go where the log goes.
            with contextlib.redirect_stdout(self.log):
                return app.lambda_handler({"action": action}, _Context())
        except RotationError as error:
            told = aws.explained_error(error, "the job's secrets", self.region)
            raise RunFailedError(str(told), summary=self.log.summary, is_bad_input=is_bad_input(told)) from error


def find(environ: Mapping[str, str], region: str | None, log: LogOutput, *, to_look: bool = False) -> LocalJob:
    """Return the job of the environment; `to_look` wants no setting that looking at it does not use.

    Raises InvalidInputError.
    """
    for name in _TO_BE_NAMED:
        if not environ.get(name):
            raise InvalidInputError(
                f"{name} is not set: --local runs the job with the environment's settings, and this one decides when a "
                "token is revoked; set it to the value that the consumers rely on"
            )
    if to_look:
        environ = _UNUSED | {name: value for name, value in environ.items() if name in _LOOKED_AT}
    settings = settings_from(environ, {})
    if region is None and (region := aws.region_of(settings.token_secret_id)) and not environ.get("AWS_REGION"):
        os.environ["AWS_REGION"] = region
    return LocalJob(settings, region, log)


class _Context:
    """The context of this invocation, in place of Lambda's."""

    def __init__(self) -> None:
        self.aws_request_id = str(uuid.uuid4())

    def get_remaining_time_in_millis(self) -> int:
        """Return as much as the deployed function has."""
        return int(_TIME_LEFT.total_seconds() * 1000)
