"""The job as it is deployed: found by stack or function, looked at with the operator's rights, run by invoking it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from handler.cli import aws, log_output
from handler.cli.job import PastRun, PastRuns, RunFailedError, RunUnknownError
from handler.config import settings_from
from handler.errors import InvalidInputError
from handler.secrets_manager import SecretsManager

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handler.cli.log_output import LogLines
    from handler.config import Settings
    from handler.model import Action

# An output of template.yaml.
_FUNCTION_OUTPUT = "FunctionName"

# A function without them would run by its own defaults, which this version does not know.
_SIGNS_OF_THE_JOB = ("GRACE_SECONDS", "SCHEDULE_MINUTES")

# How much longer than the function itself may take an answer is waited for.
_ANSWER_NEEDS = timedelta(seconds=30)

# How far back the log is read: long enough to see some runs, and short enough for one page.
_LOOK_BACK_PERIODS = 6
_LOOK_BACK_AT_LEAST = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Function:
    """A deployed function: what of its configuration counts here."""

    name: str
    region: str | None
    variables: Mapping[str, str]
    timeout: timedelta
    log_group: str


@dataclass(frozen=True, slots=True)
class DeployedJob:
    """One client of a deployed function. `event` names the client where the function serves several."""

    name: str
    function: Function
    settings: Settings
    log: LogLines
    event: Mapping[str, object] = field(default_factory=dict)

    @property
    def region(self) -> str | None:
        """Where the function is."""
        return self.function.region

    def secrets(self) -> SecretsManager:
        """Return its secrets, in the region of the token secret where that is known."""
        region = aws.region_of(self.settings.token_secret_id) or self.region
        client = aws.client("secretsmanager", region)
        return SecretsManager(client, self.settings.credentials_secret_id, self.settings.token_secret_id)

    def past_runs(self, now: datetime) -> PastRuns:
        """Read the function's log. What a run says at its end has an `outcome`."""
        since = now - max(_LOOK_BACK_PERIODS * self.settings.policy.schedule, _LOOK_BACK_AT_LEAST)
        with aws.explained(f"log group {self.function.log_group}", self.region):
            ended = tuple(self._ended(since))
        return PastRuns(since, tuple(sorted(ended, key=lambda run: run.at)))

    def may_run(self) -> None:
        """Ask Lambda whether it would invoke the function for this identity (AWS, "Invoke": DryRun)."""
        with self._explained():
            self._client(self.function.timeout).invoke(FunctionName=self.function.name, InvocationType="DryRun")

    def run(self, action: Action) -> Mapping[str, object]:
        """Invoke the function, once: a second attempt of the SDK would run an emergency twice."""
        event = json.dumps({**self.event, "action": action}).encode()
        client = self._client(self.function.timeout + _ANSWER_NEEDS)
        with self._explained():
            try:
                answer = client.invoke(FunctionName=self.function.name, LogType="Tail", Payload=event)
                payload = answer["Payload"].read()
            except aws.NO_ANSWER as error:
                if not aws.is_sent(error):
                    raise
                raise RunUnknownError(
                    f"function {self.function.name} was invoked and its answer did not come "
                    f"({type(error).__name__}): look at `status` and at the log before you do it again"
                ) from error
        # The last 4 KB (AWS, "Invoke"); the first line may be cut.
        self.log.write(base64.b64decode(answer.get("LogResult", "")).decode("utf-8", errors="replace"))
        document = json.loads(payload or b"null")
        if "FunctionError" in answer or not isinstance(document, dict):
            raise _run_failed(document)
        return document

    def _ended(self, since: datetime) -> Iterator[PastRun]:
        pages = aws.client("logs", self.region).get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=self.function.log_group, startTime=int(since.timestamp() * 1000)):
            for event in page["events"]:
                said = log_output.record(event["message"])
                if "outcome" in said and said.get("token_secret_id") == self.settings.token_secret_id:
                    code = said.get("error_code")
                    yield PastRun(
                        at=datetime.fromtimestamp(event["timestamp"] / 1000, UTC),
                        outcome=str(said["outcome"]),
                        message=str(said["message"]),
                        error_code=None if code is None else str(code),
                    )

    def _client(self, patience: timedelta) -> Any:  # noqa: ANN401  as aws.client
        return aws.client("lambda", self.region, attempts=1, read_seconds=patience.total_seconds())

    def _explained(self) -> Any:  # noqa: ANN401  what contextmanager returns
        return aws.explained(f"function {self.function.name}", self.region)


def find_stack(name: str, region: str | None) -> Function:
    """Return the function of a stack. Raises InvalidInputError or AccessError."""
    cloudformation = aws.client("cloudformation", aws.region_of(name) or region)
    region = cloudformation.meta.region_name
    with aws.explained(f"stack {name}", region):
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if _FUNCTION_OUTPUT not in outputs:
        raise InvalidInputError(
            f"stack {name} in {region} is not this job's, or is not deployed yet: it has no output {_FUNCTION_OUTPUT}"
        )
    return find_function(outputs[_FUNCTION_OUTPUT], region)


def find_function(name: str, region: str | None) -> Function:
    """Return a function by its name or ARN. Raises InvalidInputError or AccessError."""
    client = aws.client("lambda", aws.region_of(name) or region)
    region = client.meta.region_name
    with aws.explained(f"function {name}", region):
        configuration = client.get_function_configuration(FunctionName=name)
    environment = configuration.get("Environment", {})
    if "Error" in environment:
        raise aws.NotAllowedError(
            f"the settings of function {name} cannot be decrypted: take an identity that may use its KMS key"
        )
    variables = environment.get("Variables", {})
    if missing := [sign for sign in _SIGNS_OF_THE_JOB if not variables.get(sign)]:
        raise InvalidInputError(
            f"function {name} is not this job, or was deployed by other means: it has no {' and no '.join(missing)}"
        )
    own_name = configuration["FunctionName"]
    return Function(
        name=own_name,
        region=region,
        variables=variables,
        timeout=timedelta(seconds=configuration["Timeout"]),
        log_group=configuration.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{own_name}"),
    )


def job(name: str, function: Function, log: LogLines, client: Mapping[str, object] | None = None) -> DeployedJob:
    """Return the job of a function, for one of its clients where its event is given. Raises InvalidInputError."""
    event = dict(client or {})
    if client is not None:
        name = str(client["client"])
    elif not function.variables.get("TOKEN_SECRET_ID"):
        raise InvalidInputError(
            f"function {function.name} has no TOKEN_SECRET_ID of its own, as where it serves several clients: name one "
            "with --client"
        )
    return DeployedJob(name, function, settings_from(function.variables, event), log, event)


def _run_failed(document: object) -> RunFailedError:
    told = document if isinstance(document, dict) else {}
    message = told.get("errorMessage")
    if not isinstance(message, str):
        return RunFailedError("the function ended with an error that it did not tell: see its log")
    return RunFailedError(message, is_bad_input=told.get("errorType") == InvalidInputError.__name__)
