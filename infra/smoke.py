"""Checks on a deployed stack what only a real account shows: `python -m infra.smoke --stack NAME`.

It sends one rotate-now, says so first and asks. Everything else only reads, with the operator's own credentials; what
these may not do, it reports as not shown.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from infra.deploy import RefusalError, existing, the_region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_NAMESPACE = "TelenorToken"
_CURRENT = "AWSCURRENT"
_LIVE = "LIVE_"

# How services say that an identity may not call them; the second is SNS.
_MAY_NOT = ("AccessDenied", "AuthorizationError")

# CloudWatch takes metrics out of a log within a minute or two.
_METRICS_SECONDS = 300
_LOG_SECONDS = 60
_POLL_SECONDS = 5.0
# Scheduler keeps a rate to within a minute.
_LATE_SECONDS = 60


class Result(Enum):
    """What became of a claim."""

    HOLDS = "holds"
    FAILS = "DOES NOT HOLD"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True, slots=True)
class Row:
    """A claim, what became of it, and why."""

    claim: str
    result: Result
    evidence: str


@dataclass
class Stack:
    """What the claims are about, as it is before the rotation and after it."""

    name: str
    region: str
    outputs: Mapping[str, str]
    say: Callable[[str], None]
    period_seconds: float = 0.0
    settings: dict[str, str] = field(default_factory=dict)
    function_arn: str = ""
    before: dict[str, list[str]] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    request_ids: set[str] = field(default_factory=set)
    rotated_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def client(self, service: str, config: Config | None = None) -> Any:  # noqa: ANN401  one for each service
        """Return a client of the SDK."""
        return boto3.client(service, region_name=self.region, config=config)  # type: ignore[call-overload]

    def labels(self) -> dict[str, list[str]]:
        """Return the token secret's labels by version."""
        answer = self.client("secretsmanager").describe_secret(SecretId=self.outputs["TokenSecretArn"])
        return dict(answer.get("VersionIdsToStages", {}))

    def alarms(self) -> list[dict[str, Any]]:
        """Return the stack's alarms."""
        own = f"{self.name}-{self.settings['CLIENT_NAME']}-"
        pages = self.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=own)
        return [alarm for page in pages for alarm in page["MetricAlarms"]]

    def subscriptions(self, topic: str) -> tuple[int, int]:
        """Return how many subscriptions of a topic are confirmed, and how many wait for it."""
        pages = self.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        arns = [each["SubscriptionArn"] for page in pages for each in page["Subscriptions"]]
        return sum(arn.startswith("arn:") for arn in arns), arns.count("PendingConfirmation")

    def log_since(self, when: datetime) -> Iterator[str]:
        """Yield the function's lines since a time."""
        pages = self.client("logs").get_paginator("filter_log_events")
        start = int(when.timestamp() * 1000)
        for page in pages.paginate(logGroupName=self.outputs["LogGroupName"], startTime=start):
            for event in page["events"]:
                yield event["message"]

    def records_since(self, when: datetime) -> list[dict[str, Any]]:
        """Return the job's own lines since a time."""
        lines = (json.loads(line) for line in self.log_since(when) if line.startswith("{"))
        return [line for line in lines if "function_request_id" in line]

    def codes(self) -> set[str]:
        """Return the error codes of the rotation, once its last line has reached the log."""
        run = self.answer.get("version_id")

        def lines() -> list[dict[str, Any]]:
            return [record for record in self.records_since(self.rotated_at) if record["function_request_id"] == run]

        if run is not None:
            self.wait("the log of this run", _LOG_SECONDS, lambda: any("outcome" in record for record in lines()))
        return {record["error_code"] for record in lines() if "error_code" in record}

    def wait(self, what: str, seconds: float, holds: Callable[[], bool]) -> bool:
        """Wait for something that AWS brings about in its own time, and say for what."""
        self.say(f"waiting for {what}, {seconds:.0f} s at most")
        deadline = time.monotonic() + seconds
        while not (done := holds()) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return done


def look(name: str, region: str, say: Callable[[str], None]) -> Stack:
    """Read what the stack is. Raises RefusalError where there is none."""
    stack = Stack(name, region, existing(name, region).outputs, say)
    configuration = stack.client("lambda").get_function_configuration(FunctionName=stack.outputs["FunctionName"])
    stack.settings = configuration["Environment"]["Variables"]
    stack.function_arn = configuration["FunctionArn"]
    stack.period_seconds = float(stack.settings["SCHEDULE_MINUTES"]) * 60
    stack.before = stack.labels()
    return stack


def rotate(stack: Stack, timeout_seconds: int = 180) -> None:
    """Send the one rotate-now: once, since a second one would be a second rotation."""
    config = Config(read_timeout=timeout_seconds, retries={"total_max_attempts": 1})
    stack.rotated_at = datetime.now(UTC) - timedelta(seconds=1)
    answer = stack.client("lambda", config).invoke(
        FunctionName=stack.outputs["FunctionName"], Payload=b'{"action": "rotate-now"}'
    )
    stack.answer = json.loads(answer["Payload"].read())
    stack.request_ids.add(answer["ResponseMetadata"]["RequestId"])


def the_rotation_succeeds(stack: Stack) -> tuple[bool, str]:
    """One rotate-now publishes a token."""
    version = stack.answer.get("version_id")
    outcome = stack.answer.get("outcome", stack.answer.get("errorMessage"))
    return outcome == "rotated", f"{outcome}, version {version}"


def the_new_version_is_labelled(stack: Stack) -> tuple[bool, str]:
    """The new version is current and in the ledger, by the same write."""
    labels = stack.labels().get(str(stack.answer.get("version_id")), [])
    is_tracked = any(label.startswith(_LIVE) for label in labels)
    return _CURRENT in labels and is_tracked and "label-attached" not in stack.codes(), ", ".join(labels) or "no labels"


def the_superseded_version_keeps_its_label(stack: Stack) -> tuple[bool | None, str]:
    """A superseded version keeps its label, and nothing had to put it back."""
    version = next((version for version, labels in stack.before.items() if _CURRENT in labels), None)
    live = {label for label in stack.before.get(version or "", []) if label.startswith(_LIVE)}
    if not live:
        return None, "no version with a label was current before"
    if float(stack.settings["GRACE_SECONDS"]) == 0:
        return None, "GRACE_SECONDS is 0: it was revoked at once"
    kept = live <= set(stack.labels().get(str(version), []))
    return kept and "label-lost" not in stack.codes(), f"{version}: {', '.join(sorted(live))}"


def the_role_removes_its_own_labels_alone(stack: Stack) -> tuple[bool, str]:
    """The role removes LIVE labels, may not move AWSCURRENT, and serves no other function."""

    def decision(label: str, function_arn: str) -> str:
        answer = stack.client("iam").simulate_principal_policy(
            PolicySourceArn=stack.outputs["FunctionRoleArn"],
            ActionNames=["secretsmanager:UpdateSecretVersionStage"],
            ResourceArns=[stack.outputs["TokenSecretArn"]],
            ContextEntries=[
                {
                    "ContextKeyName": "secretsmanager:VersionStage",
                    "ContextKeyValues": [label],
                    "ContextKeyType": "stringList",
                },
                {
                    "ContextKeyName": "lambda:SourceFunctionArn",
                    "ContextKeyValues": [function_arn],
                    "ContextKeyType": "string",
                },
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
        "Id": "published",
        "MetricStat": {
            "Metric": {
                "Namespace": _NAMESPACE,
                "MetricName": "TokenRotated",
                "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            },
            "Period": 60,
            "Stat": "Sum",
        },
    }
    cloudwatch = stack.client("cloudwatch")
    since = stack.rotated_at.replace(second=0, microsecond=0)
    logged = sum(record.get("outcome") == "rotated" for record in stack.records_since(since))

    def counted() -> float:
        end = datetime.now(UTC) + timedelta(minutes=1)
        answer = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=since, EndTime=end)
        return float(sum(answer["MetricDataResults"][0]["Values"]))

    arrived = stack.wait("the metrics of this run", _METRICS_SECONDS, lambda: counted() >= logged > 0)
    return arrived, f"TokenRotated {counted():.0f} for {logged} in the log, under {dimensions}"


def no_alarm_rings(stack: Stack) -> tuple[bool, str]:
    """No alarm rings."""
    alarms = stack.alarms()
    ringing = [alarm["AlarmName"] for alarm in alarms if alarm["StateValue"] == "ALARM"]
    return bool(alarms) and not ringing, f"{len(alarms)} alarms; ringing: {', '.join(ringing) or 'none'}"


def each_alarm_has_somebody_to_tell(stack: Stack) -> tuple[bool, str]:
    """Each alarm has somebody to tell."""
    alarms = stack.alarms()
    silent = [alarm["AlarmName"] for alarm in alarms if not (alarm["ActionsEnabled"] and alarm["AlarmActions"])]
    found = [f"{len(alarms)} alarms; without an action: {', '.join(silent) or 'none'}"]
    actions = {action for alarm in alarms for action in alarm["AlarmActions"]}
    holds = bool(alarms) and not silent
    for topic in sorted(action for action in actions if action.split(":")[2] == "sns"):
        confirmed, pending = stack.subscriptions(topic)
        holds = holds and confirmed > 0
        name = topic.rpartition(":")[2]
        # SNS, "ConfirmSubscription".
        deleted = f", {pending} pending, which SNS deletes 48 hours after they were made" if pending else ""
        found.append(f"{name}: {confirmed} confirmed{deleted}")
    return holds, "; ".join(found)


def no_token_is_in_the_log(stack: Stack) -> tuple[bool, str]:
    """The new token is not in the log."""
    value = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["TokenSecretArn"])
    token = json.loads(value["SecretString"])["access_token"]
    lines = list(stack.log_since(stack.rotated_at))
    return not any(token in line for line in lines), f"{len(lines)} lines since the rotation"


def the_schedule_runs(stack: Stack) -> tuple[bool, str]:
    """The schedule runs."""
    began_at = datetime.now(UTC)

    def others() -> set[str]:
        return {record["function_request_id"] for record in stack.records_since(began_at)} - stack.request_ids

    ran = stack.wait("a run of the schedule", stack.period_seconds + 2 * _LATE_SECONDS, lambda: bool(others()))
    return ran, f"{len(others())} runs since {began_at:%H:%M:%S} UTC"


CLAIMS: tuple[Callable[[Stack], tuple[bool | None, str]], ...] = (
    the_rotation_succeeds,
    the_new_version_is_labelled,
    the_superseded_version_keeps_its_label,
    the_role_removes_its_own_labels_alone,
    no_alarm_rings,
    each_alarm_has_somebody_to_tell,
    no_token_is_in_the_log,
    metrics_arrive,
    the_schedule_runs,
)


def judge(claim: Callable[[Stack], tuple[bool | None, str]], stack: Stack) -> Row:
    """Check whether a claim holds. If the identity may not read what it takes, the claim is "not shown"."""
    name = str(claim.__doc__).rstrip(".")
    try:
        holds, evidence = claim(stack)
    except ClientError as error:
        if error.response["Error"]["Code"].startswith(_MAY_NOT):
            return Row(name, Result.NOT_SHOWN, f"your identity may not call {error.operation_name}")
        return Row(name, Result.FAILS, f"{error.operation_name}: {error.response['Error']['Code']}")
    except BotoCoreError as error:
        return Row(name, Result.NOT_SHOWN, str(error))
    if holds is None:
        return Row(name, Result.NOT_SHOWN, evidence)
    return Row(name, Result.HOLDS if holds else Result.FAILS, evidence)


def main() -> int:
    """Ask, rotate once, and print the table. Exit status: 0 if no claim fails, 1 if one does, 2 if refused."""
    parser = argparse.ArgumentParser(prog="python -m infra.smoke", description=__doc__)
    parser.add_argument("--stack", default="telenor-token")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    arguments = parser.parse_args()
    console = Console(highlight=False, markup=False)
    try:
        stack = look(arguments.stack, the_region(), console.print)
        console.print(
            f"This sends one rotate-now to {stack.outputs['FunctionName']}: consumers notice nothing, and the token "
            "before keeps its grace. Everything else only reads."
        )
        if not arguments.yes and input("Go on? [y/N] ").strip().lower() not in {"y", "yes"}:
            return 2
        rotate(stack)
        rows = [judge(claim, stack) for claim in CLAIMS]
    except (RefusalError, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 2
    except EOFError:
        print("\nnothing was sent: stdin ended before the answer (YES=1 does not ask)", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: a rotate-now that was sent goes on by itself", file=sys.stderr)
        return 2
    table = Table("claim", "", "evidence", title=f"{stack.name} in {stack.region}", expand=True)
    for row in rows:
        table.add_row(row.claim, row.result.value, row.evidence)
    console.print(table)
    return int(any(row.result is Result.FAILS for row in rows))


if __name__ == "__main__":
    sys.exit(main())
