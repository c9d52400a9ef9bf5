"""Checks on a deployed stack what only a real account shows: `python -m infra.deployed_stack_checks --stack NAME`.

It sends one rotate-now, and asks first. All other checks only read, with the operator's own credentials. A check that
these do not permit is reported as not shown.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from rich.console import Console
from rich.table import Table

from handler.cli import standard_streams
from handler.safe_json import json_object
from handler.secrets_manager import NOT_AWS_ERRORS
from infra.deployed_stack import RefusalError, existing, readable, refuse_foreign, the_region

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAMESPACE = "TelenorToken"
_CURRENT = "AWSCURRENT"
_LIVE = "LIVE_"

# The error codes for a missing permission; the second is of SNS.
_MAY_NOT = ("AccessDenied", "AuthorizationError")

# CloudWatch extracts metrics from a log within a minute or two.
_METRICS_SECONDS = 300
_ROTATION_SECONDS = 180
_LOG_SECONDS = 60
_POLL_SECONDS = 5.0
# Scheduler starts a run up to a minute late.
_LATE_SECONDS = 60


# The result of a check.
HOLDS, FAILS, NOT_SHOWN = "holds", "DOES NOT HOLD", "not shown"


@dataclass
class Stack:
    """The stack under test, before and after the rotation."""

    name: str
    region: str
    outputs: Mapping[str, str]
    say: Callable[[str], None]
    settings: dict[str, str] = field(default_factory=dict)
    function_arn: str = ""
    before: dict[str, list[str]] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    rotated_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def client(self, service: str, config: Config | None = None) -> Any:  # noqa: ANN401  one for each service
        """Return a client of the SDK."""
        return boto3.client(service, region_name=self.region, config=config)  # type: ignore[call-overload]

    def labels(self) -> dict[str, list[str]]:
        """Return the token secret's labels by version."""
        answer = self.client("secretsmanager").describe_secret(SecretId=self.outputs["TokenSecretArn"])
        return dict(answer.get("VersionIdsToStages", {}))

    def listed(self, service: str, operation: str, key: str, **parameters: Any) -> list[Any]:  # noqa: ANN401  likewise
        """Return what all pages of an operation have under a key."""
        pages = self.client(service).get_paginator(operation).paginate(**parameters)
        return list(pages.build_full_result().get(key, []))

    def alarms(self) -> list[dict[str, Any]]:
        """Return the stack's alarms."""
        own = f"{self.name}-{self.settings['CLIENT_NAME']}-"
        listed = self.listed("cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=own)
        # Names of other stacks can begin so too.
        return [alarm for alarm in listed if re.fullmatch("[A-Za-z]+Alarm", alarm["AlarmName"].removeprefix(own))]

    def subscriptions(self, topic: str) -> list[str]:
        """Return the ARNs of a topic's subscriptions, or SNS's word in place of an ARN."""
        listed = self.listed("sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic)
        return [subscription["SubscriptionArn"] for subscription in listed]

    def log_since(self, when: datetime) -> list[str]:
        """Return the function's lines since a time."""
        since = {"logGroupName": self.outputs["LogGroupName"], "startTime": int(when.timestamp() * 1000)}
        return [event["message"] for event in self.listed("logs", "filter_log_events", "events", **since)]

    def records_since(self, when: datetime) -> list[dict[str, Any]]:
        """Return the job's own lines since a time."""
        lines = map(json_object, self.log_since(when))
        return [line for line in lines if line and "function_request_id" in line]

    def codes(self) -> set[str]:
        """Return the error codes of the rotation, once its last line has reached the log."""
        run = self.answer.get("version_id")

        def lines() -> list[dict[str, Any]]:
            return [record for record in self.records_since(self.rotated_at) if record["function_request_id"] == run]

        if run is not None:
            self.wait("the log of this run", _LOG_SECONDS, lambda: any("outcome" in record for record in lines()))
        return {record["error_code"] for record in lines() if "error_code" in record}

    def wait(self, what: str, seconds: float, holds: Callable[[], bool]) -> bool:
        """Wait for something that AWS does asynchronously, and print what."""
        self.say(f"waiting for {what}, {seconds:.0f} s at most")
        deadline = time.monotonic() + seconds
        while not (done := holds()) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return done


@readable("the function")
def read_stack(name: str, region: str, say: Callable[[str], None]) -> Stack:
    """Read the stack. Raises RefusalError if it does not exist or is not this job's."""
    found = existing(name, region)
    stack = Stack(name, region, found.outputs, say)
    refuse_foreign(found, name, region)
    configuration = stack.client("lambda").get_function_configuration(FunctionName=stack.outputs["FunctionName"])
    stack.settings = configuration.get("Environment", {}).get("Variables", {})
    for setting in ("CLIENT_NAME", "GRACE_SECONDS", "SCHEDULE_MINUTES", "POWERTOOLS_SERVICE_NAME"):
        if setting not in stack.settings:
            raise RefusalError(
                f"function {stack.outputs['FunctionName']} has no {setting} in its environment: undo what changed it"
            )
    stack.function_arn = configuration["FunctionArn"]
    return stack


def rotate(stack: Stack) -> None:
    """Send one rotate-now, without retries: a second one would rotate again. Raises RefusalError."""
    config = Config(read_timeout=_ROTATION_SECONDS, retries={"total_max_attempts": 1})
    with readable("the token secret"):
        stack.before = stack.labels()
    stack.rotated_at = datetime.now(UTC) - timedelta(seconds=1)
    try:
        answer = stack.client("lambda", config).invoke(
            FunctionName=stack.outputs["FunctionName"], Payload=b'{"action": "rotate-now"}'
        )
        stack.answer = json_object(answer["Payload"].read().decode(errors="replace")) or {}
    except (HTTPClientError, IncompleteReadError, *NOT_AWS_ERRORS) as error:
        # A connection that was never made is another class.
        cause = type(error).__name__
        raise RefusalError(f"the rotate-now was sent, and its outcome is unknown ({cause}): see the log") from None


def the_rotation_succeeds(stack: Stack) -> tuple[bool, str]:
    """One rotate-now publishes a token."""
    version = stack.answer.get("version_id")
    outcome = stack.answer.get("outcome", stack.answer.get("errorMessage", "no result"))
    return outcome == "rotated", f"{outcome}, version {version}"


def the_new_version_is_labelled(stack: Stack) -> tuple[bool, str]:
    """The new version is current and in the ledger, by the same write."""
    labels = stack.labels().get(str(stack.answer.get("version_id")), [])
    is_tracked = any(label.startswith(_LIVE) for label in labels)
    return _CURRENT in labels and is_tracked and "label-attached" not in stack.codes(), ", ".join(labels) or "no labels"


def the_superseded_version_keeps_its_label(stack: Stack) -> tuple[bool | None, str]:
    """A superseded version keeps its label, and no run had to restore it."""
    version = next((version for version, labels in stack.before.items() if _CURRENT in labels), None)
    live = {label for label in stack.before.get(version or "", []) if label.startswith(_LIVE)}
    if not live:
        return None, "no version with a label was current before"
    if float(stack.settings["GRACE_SECONDS"]) == 0:
        return None, "GRACE_SECONDS is 0: its label may be gone"
    kept = live <= set(stack.labels().get(str(version), []))
    return kept and "label-lost" not in stack.codes(), f"{version}: {', '.join(sorted(live))}"


def the_role_removes_its_own_labels_alone(stack: Stack) -> tuple[bool, str]:
    """The role may remove LIVE labels, may not move AWSCURRENT, and works in no other function."""

    def decision(label: str, function_arn: str) -> str:
        context = (
            ("secretsmanager:VersionStage", label, "stringList"),
            ("lambda:SourceFunctionArn", function_arn, "string"),
        )
        answer = stack.client("iam").simulate_principal_policy(
            PolicySourceArn=stack.outputs["FunctionRoleArn"],
            ActionNames=["secretsmanager:UpdateSecretVersionStage"],
            ResourceArns=[stack.outputs["TokenSecretArn"]],
            ContextEntries=[
                {"ContextKeyName": name, "ContextKeyValues": [value], "ContextKeyType": kind}
                for name, value, kind in context
            ],
        )
        return str(answer["EvaluationResults"][0]["EvalDecision"])

    decisions = (
        decision(f"{_LIVE}x", stack.function_arn),
        decision(_CURRENT, stack.function_arn),
        decision(f"{_LIVE}x", f"{stack.function_arn}-other"),
    )
    holds = decisions[0] == "allowed" and "allowed" not in decisions[1:]
    return holds, f"LIVE {decisions[0]}, AWSCURRENT {decisions[1]}, another function {decisions[2]}"


def metrics_arrive(stack: Stack) -> tuple[bool, str]:
    """Metrics arrive with both dimensions."""
    dimensions = {"service": stack.settings["POWERTOOLS_SERVICE_NAME"], "client": stack.settings["CLIENT_NAME"]}
    query = {
        "Id": "runs",
        "MetricStat": {
            "Metric": {
                "Namespace": _NAMESPACE,
                # Every run sends it, whatever ROUTINE_METRICS is.
                "MetricName": "SecondsUntilExpiry",
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            },
            "Period": 60,
            "Stat": "SampleCount",
        },
    }
    cloudwatch = stack.client("cloudwatch")
    since = stack.rotated_at.replace(second=0, microsecond=0)
    logged = sum("outcome" in record for record in stack.records_since(since))

    def counted() -> float:
        end = datetime.now(UTC) + timedelta(minutes=1)
        answer = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=since, EndTime=end)
        return float(sum(answer["MetricDataResults"][0]["Values"]))

    arrived = stack.wait("the metrics of this run", _METRICS_SECONDS, lambda: counted() >= logged > 0)
    return arrived, f"SecondsUntilExpiry of {counted():.0f} runs, {logged} in the log, under {dimensions}"


def no_alarm_is_active(stack: Stack) -> tuple[bool, str]:
    """No alarm is active."""
    alarms = stack.alarms()
    active = [alarm["AlarmName"] for alarm in alarms if alarm["StateValue"] == "ALARM"]
    return bool(alarms) and not active, f"{len(alarms)} alarms; active: {', '.join(active) or 'none'}"


def every_alarm_has_a_recipient(stack: Stack) -> tuple[bool, str]:
    """Every alarm has a recipient."""
    alarms = stack.alarms()
    silent = [alarm["AlarmName"] for alarm in alarms if not (alarm["ActionsEnabled"] and alarm["AlarmActions"])]
    found = [f"{len(alarms)} alarms; without an action: {', '.join(silent) or 'none'}"]
    actions = {action for alarm in alarms for action in alarm["AlarmActions"]}
    holds = bool(alarms) and not silent
    for topic in sorted(action for action in actions if action.split(":")[2] == "sns"):
        arns = stack.subscriptions(topic)
        confirmed, pending = sum(arn.startswith("arn:") for arn in arns), arns.count("PendingConfirmation")
        holds = holds and confirmed > 0
        # SNS, "ConfirmSubscription".
        deleted = f", {pending} pending, which SNS deletes 48 hours after their creation" if pending else ""
        found.append(f"{topic.rpartition(':')[2]}: {confirmed} confirmed{deleted}")
    return holds, "; ".join(found)


def no_token_is_in_the_log(stack: Stack) -> tuple[bool | None, str]:
    """The new token is not in the log."""
    value = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["TokenSecretArn"])
    token = (json_object(value["SecretString"]) or {}).get("access_token")
    if not token or not isinstance(token, str):
        return None, "the token secret's value is no token document"
    lines = stack.log_since(stack.rotated_at)
    return not any(token in line for line in lines), f"{len(lines)} lines since the rotation"


def the_schedule_runs(stack: Stack) -> tuple[bool, str]:
    """The schedule runs."""
    began_at = datetime.now(UTC)
    seconds = float(stack.settings["SCHEDULE_MINUTES"]) * 60 + 2 * _LATE_SECONDS

    def runs() -> set[str]:
        return {record["function_request_id"] for record in stack.records_since(began_at)}

    ran = stack.wait("a run of the schedule", seconds, lambda: bool(runs()))
    return ran, f"{len(runs())} runs since {began_at:%H:%M:%S} UTC"


CLAIMS: tuple[Callable[[Stack], tuple[bool | None, str]], ...] = (
    the_rotation_succeeds,
    the_new_version_is_labelled,
    the_superseded_version_keeps_its_label,
    the_role_removes_its_own_labels_alone,
    no_alarm_is_active,
    every_alarm_has_a_recipient,
    no_token_is_in_the_log,
    metrics_arrive,
    the_schedule_runs,
)


def check(claim: Callable[[Stack], tuple[bool | None, str]], stack: Stack) -> tuple[str, str, str]:
    """Return a claim, its result and the evidence. It is not shown if something cannot be read."""
    name = str(claim.__doc__).rstrip(".")
    try:
        holds, evidence = claim(stack)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return name, NOT_SHOWN if code.startswith(_MAY_NOT) else FAILS, f"{error.operation_name}: {code}"
    except BotoCoreError as error:
        return name, NOT_SHOWN, str(error)
    except Exception as error:  # noqa: BLE001  the other claims and their table go on; a message could hold the token
        return name, NOT_SHOWN, f"this check ended with {type(error).__name__}"
    return name, {True: HOLDS, False: FAILS, None: NOT_SHOWN}[holds], evidence


def main() -> int:
    """Ask, rotate once, and print the table. Exit status: 0 if no claim fails, 1 if one does, 2 if it ended before."""
    parser = argparse.ArgumentParser(prog="python -m infra.deployed_stack_checks", description=__doc__)
    parser.add_argument("--stack", default="telenor-token")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    arguments = parser.parse_args()
    console = Console(highlight=False, markup=False)
    try:
        stack = read_stack(arguments.stack, the_region(), console.print)
        console.print(
            f"This sends one rotate-now to {stack.outputs['FunctionName']}: consumers notice nothing, and the previous "
            "token keeps its grace period. All other checks only read."
        )
        if not arguments.yes and input("Continue? [y/N] ").strip().lower() not in {"y", "yes"}:
            print("nothing was sent", file=sys.stderr)
            return 2
        rotate(stack)
        rows = [check(claim, stack) for claim in CLAIMS]
        table = Table("claim", "", "evidence", title=f"{stack.name} in {stack.region}", expand=True)
        for row in rows:
            table.add_row(*row)
        console.print(table)
        return int(any(result == FAILS for _, result, _ in rows))
    except (RefusalError, BotoCoreError, ClientError) as error:
        reason = str(error)
    except EOFError:
        reason = "\nnothing was sent: stdin ended before the answer (YES=1 does not ask)"
    except KeyboardInterrupt:
        reason = "\ninterrupted: a rotate-now that was sent still runs"
    except (OSError, SystemExit) as error:
        # Discard what could not be written. rich exits if the reader has closed the pipe.
        standard_streams.write(sys.stdout, "")
        stdout = "stdout is closed" if isinstance(error, SystemExit) else str(error)
        reason = f"{stdout}: a rotate-now that was sent still runs"
    print(reason, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
