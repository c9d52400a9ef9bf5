"""A deployed job: read with the operator's permissions, run by invoking its function."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from handler.cli import aws, aws_errors, log_printer
from handler.cli.client_schedules import ClientSchedules
from handler.cli.errors import RunFailedError, RunUnknownError, UsageError
from handler.cli.job import PastRun, PastRuns
from handler.cli.standard_streams import print_stderr, printable
from handler.errors import ErrorCode, InvalidInputError
from handler.model import MAX_CLOCK_SKEW
from handler.secrets_manager import SecretsManager

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handler.cli.log_printer import LogPrinter
    from handler.config import Settings
    from handler.ledger import Entry
    from handler.model import Action

_FALLBACK = ErrorCode.CREDENTIALS_FALLBACK

# The read timeout is longer than the function's by this.
_RESPONSE_MARGIN = timedelta(seconds=30)

# Invoke returns the last 4 KB of a log (AWS, "Invoke"). A longer one than this may have lost its first lines.
_WHOLE_LOG_BYTES = 4000

# How far back the command reads the log: some runs, in one page.
_LOOK_BACK_PERIODS = 6
_MIN_LOOK_BACK = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Function:
    """The part of a deployed function's configuration that the commands use."""

    name: str
    arn: str
    region: str | None
    variables: Mapping[str, str]
    timeout: timedelta
    log_group: str

    @property
    def serves_clients(self) -> bool:
        """Whether each event names its client and secrets."""
        return not self.variables.get("TOKEN_SECRET_ID")

    @property
    def schedules(self) -> ClientSchedules:
        """The schedules that start it."""
        return ClientSchedules(self.name, self.arn, self.region)


@dataclass(frozen=True, slots=True)
class DeployedJob:
    """One client of a deployed function. `event` names the client if the function serves several."""

    name: str
    function: Function
    settings: Settings
    log: LogPrinter
    event: Mapping[str, object] = field(default_factory=dict)
    is_deployed: bool = True

    @property
    def region(self) -> str | None:
        """Where the function is."""
        return self.function.region

    @property
    def place(self) -> str:
        """The client, the function, its account and region."""
        account = self.function.arn.split(":")[4]
        return f"client {self.settings.client} of function {self.function.name} in account {account}, {self.region}"

    def secrets(self) -> SecretsManager:
        """Return its secrets, in the region of the token secret if that is known."""
        region = aws.region_of(self.settings.token_secret_id) or self.region
        client = aws.client("secretsmanager", region)
        return SecretsManager(client, self.settings.credentials_secret_id, self.settings.token_secret_id)

    def past_runs(self, now: datetime) -> PastRuns:
        """Read the function's log. The summary line of a run has an `outcome`."""
        since = now - max(_LOOK_BACK_PERIODS * self.settings.policy.schedule, _MIN_LOOK_BACK)
        ended: list[PastRun] = []
        failed_revocations: dict[str, str] = {}
        for at, record in self._records(since):
            code = _text(record, "error_code")
            if "outcome" in record:
                outcome, message = str(record["outcome"]), str(record["message"])
                ended.append(PastRun(at, printable(outcome), printable(message), code))
            elif code not in {None, ErrorCode.LABEL_NOT_REMOVED} and log_printer.is_failed_revocation(record):
                failed_revocations[str(record["superseded_version_id"])] = code
        return PastRuns(since, tuple(sorted(ended, key=lambda run: run.at)), failed_revocations)

    def fell_back(self, version: Entry) -> bool | None:
        """Return whether the run that published a version logged a fallback. The version id is the run's request id."""
        if version.first_published_at is None:
            return None
        since = version.first_published_at - self.function.timeout - MAX_CLOCK_SKEW
        until = version.first_published_at + MAX_CLOCK_SKEW
        records = self._records(since, until=until, pattern=f'{{ $.error_code = "{_FALLBACK}" }}')
        return any(
            record.get("function_request_id") == version.version_id and record.get("error_code") == _FALLBACK
            for _, record in records
        )

    def disable_schedule(self) -> str:
        """Disable the schedule of this client in EventBridge Scheduler."""
        client = self.settings.client if self.function.serves_clients else None
        names = self.function.schedules.disable(client)
        if not names:
            raise UsageError(
                f"no schedule of EventBridge Scheduler starts function {self.function.name} for client "
                f"{self.settings.client}: disable by hand whatever starts it, then run `emergency`"
            )
        return ", ".join(names)

    def check_may_run(self) -> None:
        """Ask Lambda whether it would invoke the function for this identity (AWS, "Invoke": DryRun)."""
        with self._explained():
            self._client(self.function.timeout).invoke(FunctionName=self.function.arn, InvocationType="DryRun")

    def run(self, action: Action) -> Mapping[str, object]:
        """Invoke the function, once: a second attempt of the SDK would run an emergency twice."""
        event = json.dumps({**self.event, "action": action}).encode()
        client = self._client(self.function.timeout + _RESPONSE_MARGIN)
        with self._explained():
            try:
                response = client.invoke(FunctionName=self.function.arn, LogType="Tail", Payload=event)
                document = json.loads(response["Payload"].read() or b"null")
                log = base64.b64decode(response.get("LogResult", ""))
            except aws_errors.CALL_ERRORS as error:
                if aws_errors.is_refused(error):
                    raise
                raise self._unknown(aws_errors.code_of(error)) from error
            except KeyboardInterrupt:
                print_stderr(str(self._unknown("Ctrl-C")))
                raise
        if len(log) > _WHOLE_LOG_BYTES:
            print_stderr(f"The first lines of this run may be only in the log group {self.function.log_group}.")
        self.log.write(log.decode("utf-8", errors="replace"))
        if "FunctionError" in response:
            raise _run_failed(document, self.log.summary)
        if not isinstance(document, dict) or "outcome" not in document:
            raise self._unknown("not its own response")
        return document

    def _unknown(self, why: str) -> RunUnknownError:
        return RunUnknownError(
            f"function {self.function.name} may have run, but its result did not arrive ({why}): check `status` and "
            "the log before you repeat it"
        )

    def _records(
        self, since: datetime, *, until: datetime | None = None, pattern: str | None = None
    ) -> Iterator[tuple[datetime, Mapping[str, object]]]:
        """Yield the job's own lines about this token secret, with their times."""
        query: dict[str, Any] = {"logGroupName": self.function.log_group, "startTime": _milliseconds(since)}
        query |= {"endTime": _milliseconds(until)} if until else {}
        query |= {"filterPattern": pattern} if pattern else {}
        with aws_errors.explained(f"log group {self.function.log_group}", self.region):
            pages = aws.client("logs", self.region).get_paginator("filter_log_events").paginate(**query)
            for event in pages.search("events[]"):
                record = log_printer.parse_record(event["message"])
                if record.get("token_secret_id") == self.settings.token_secret_id:
                    yield datetime.fromtimestamp(event["timestamp"] / 1000, UTC), record

    def _client(self, patience: timedelta) -> Any:  # noqa: ANN401  as aws.client
        return aws.client("lambda", self.region, attempts=1, read_seconds=patience.total_seconds())

    def _explained(self) -> Any:  # noqa: ANN401  what contextmanager returns
        return aws_errors.explained(f"function {self.function.name}", self.region)


def _text(record: Mapping[str, object], field: str) -> str | None:
    return printable(str(record[field])) if field in record else None


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _run_failed(document: object, summary: Mapping[str, object]) -> RunFailedError:
    payload = document if isinstance(document, dict) else {}
    message = payload.get("errorMessage")
    if not isinstance(message, str):
        return RunFailedError("the function failed without an error message: see its log", summary=summary)
    is_bad_input = payload.get("errorType") == InvalidInputError.__name__
    return RunFailedError(message, summary=summary, is_bad_input=is_bad_input)
