"""The Terraform module's resources as CloudFormation's: its state after an apply to a mocked provider."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import hcl2

from infra.terraform_cli import MODULE, copied, terraform_test
from tests.infra.resolved_template import PSEUDO

if TYPE_CHECKING:
    from collections.abc import Mapping

    Alarms = Mapping[str, dict[str, Any]]

NAME, CLIENT = PSEUDO["AWS::StackName"], "default"
_REGION, _ACCOUNT = PSEUDO["AWS::Region"], PSEUDO["AWS::AccountId"]

# The module's resources for one client, by the template's name of each.
ADDRESSES = {
    "TokenFunction": "aws_lambda_function.token",
    "TokenFunctionEventInvokeConfig": "aws_lambda_function_event_invoke_config.token",
    "TokenFunctionLogGroup": "aws_cloudwatch_log_group.function",
    "TokenFunctionRole": "aws_iam_role.function",
    "TokenFunctionScheduleRole": "aws_iam_role.schedules",
    "TokenFunctionSchedule": f'aws_scheduler_schedule.client["{CLIENT}"]',
    "TokenFunctionNewCredentials": f'aws_cloudwatch_event_rule.new_credentials["{CLIENT}"]',
    "TokenFunctionNewCredentialsPermission": f'aws_lambda_permission.new_credentials["{CLIENT}"]',
    "UndeliveredQueue": "aws_sqs_queue.undelivered",
    "UndeliveredQueuePolicy": "aws_sqs_queue_policy.undelivered",
    "TokenSecret": f'aws_secretsmanager_secret.token["{CLIENT}"]',
    "TokenSecretPolicy": f'aws_secretsmanager_secret_policy.token["{CLIENT}"]',
    "CredentialsSecret": f'aws_secretsmanager_secret.credentials["{CLIENT}"]',
    "ConsumerPolicy": f'aws_iam_policy.consumer["{CLIENT}"]',
    "OperatorPolicy": "aws_iam_policy.operator",
    "AlarmTopic": "aws_sns_topic.alarms[0]",
    "PagerTopic": "aws_sns_topic.pager[0]",
    "TokenDashboard": "aws_cloudwatch_dashboard.token[0]",
    "TokenExpiryAlarm": f'aws_cloudwatch_metric_alarm.token_expiry["{CLIENT}"]',
    "RevocationsPendingAlarm": f'aws_cloudwatch_metric_alarm.revocations_pending["{CLIENT}"]',
    **{
        f"{kind}Alarm": f'aws_cloudwatch_metric_alarm.client["{CLIENT}/{kind}"]'
        for kind in ("RunsFailing", "RevocationFailed", "RevocationAbandoned", "CredentialsFallback")
    },
    **{
        f"{kind}Alarm": f'aws_cloudwatch_metric_alarm.function["{kind}"]'
        for kind in ("Undelivered", "Throttled", "Waiting")
    },
}


def _arn(service: str, name: str, region: str = _REGION) -> str:
    return f"arn:aws:{service}:{region}:{_ACCOUNT}:{name}"


# Distinct ARNs that the mocked provider returns.
_ARNS = {
    "TokenSecret": _arn("secretsmanager", "secret:token-a1b2c3"),
    "CredentialsSecret": _arn("secretsmanager", "secret:credentials-a1b2c3"),
    "TokenFunctionRole": _arn("iam", "role/function", region=""),
    "TokenFunctionScheduleRole": _arn("iam", "role/schedules", region=""),
    "TokenFunction": _arn("lambda", f"function:{NAME}"),
    "TokenFunctionLogGroup": _arn("logs", "log-group:the-log"),
    "TokenFunctionNewCredentials": _arn("events", "rule/new-credentials"),
    "UndeliveredQueue": _arn("sqs", f"{NAME}-undelivered"),
    "AlarmTopic": _arn("sns", "alarms"),
    "PagerTopic": _arn("sns", "pager"),
    **{name: _arn("cloudwatch", f"alarm:{name}") for name in ADDRESSES if name.endswith("Alarm")},
}
_LOG_NAME, _QUEUE_URL = "/aws/lambda/the-log", "https://queue"

# The template's name for each of these. The function's name is also the service's, so its key is part of it.
NAMES = {arn: name for name, arn in _ARNS.items() if name != "TokenFunctionLogGroup"} | {
    f"FunctionName {NAME}": "TokenFunction",
    _LOG_NAME: "TokenFunctionLogGroup",
    # CloudFormation, "AWS::Logs::LogGroup", Return values: the ARN ends with `:*`, which includes the streams.
    f"{_ARNS['TokenFunctionLogGroup']}:*": "TokenFunctionLogGroup",
    **dict.fromkeys((f"{NAME}-undelivered", _QUEUE_URL), "UndeliveredQueue"),
}

_PROPERTIES = {
    "assume_role_policy": "AssumeRolePolicyDocument",
    "message_retention_seconds": "MessageRetentionPeriod",
    "metric": "MetricStat",
    "metric_query": "Metrics",
    "ok_actions": "OKActions",
    "policy": "PolicyDocument",
    "queue_url": "Queues",
    "secret_arn": "SecretId",
}

# Resource names, arguments of Terraform itself, and the equivalents of CloudFormation's `DeletionPolicy`.
_OMITTED = {"name", "name_prefix", "tags", "statement_id", "filename", "source_code_hash", "replica"}
_OMITTED |= {"skip_destroy", "recovery_window_in_days"}


class State(NamedTuple):
    """An applied module: the configured attributes of each resource, by address, and the outputs."""

    resources: dict[str, dict[str, Any]]
    outputs: Mapping[str, Any]


def applied(cases: Mapping[str, Mapping[str, Any]]) -> dict[str, State]:
    """Apply the module with each set of variables, to a mocked provider. Raises MissingError and ValueError."""
    with TemporaryDirectory() as directory:
        copy = copied(MODULE, Path(directory) / "module")
        (copy / "tests" / "applied.tftest.hcl").write_text(_test(cases))
        messages = terraform_test(copy, "applied")
    configured = _configured()
    return {m["@testrun"]: _state(m["test_state"], configured) for m in messages if m["type"] == "test_state"}


def alarms(cases: Mapping[str, Mapping[str, Any]]) -> dict[str, Alarms]:
    """Apply the module with each set of variables; return its alarms by name, as a template has them."""
    return {
        case: {
            values["alarm_name"]: properties(values)
            for address, values in state.resources.items()
            if address.startswith("aws_cloudwatch_metric_alarm.")
        }
        for case, state in applied(cases).items()
    }


def _test(cases: Mapping[str, Mapping[str, Any]]) -> str:
    values: dict[str, dict[str, str]] = {name: {"arn": arn} for name, arn in _ARNS.items()}
    values["TokenFunctionLogGroup"]["name"] = _LOG_NAME
    values["UndeliveredQueue"]["url"] = _QUEUE_URL
    overrides = [
        f"  override_resource {{\n    target = {_target(ADDRESSES[name])}\n    values = {json.dumps(given)}\n  }}"
        for name, given in values.items()
    ]
    runs = [
        f'run "{case}" {{\n  variables {{\n'
        + "".join(f"    {name} = {json.dumps(value)}\n" for name, value in variables.items())
        + f'    name = "{NAME}"\n    artifact_path = "versions.tf"\n  }}\n}}'
        for case, variables in cases.items()
    ]
    return "\n".join(['mock_provider "aws" {\n  source = "./tests/mocks"', *overrides, "}", *runs])


def _target(address: str) -> str:
    """Return the target of an override: one alarm, or all instances of another resource."""
    return address if "alarm" in address else address.partition("[")[0]


def _state(values: Mapping[str, Any], configured: Mapping[str, set[str]]) -> State:
    resources = {
        each["address"]: {name: each["values"].get(name) for name in configured[f"{each['type']}.{each['name']}"]}
        for each in values["root_module"]["resources"]
        if each["mode"] == "managed"
    }
    return State(resources, {name: output.get("value") for name, output in values["outputs"].items()})


def _configured() -> dict[str, set[str]]:
    """Return the attributes that the module's files set for each resource: all others are defaults or AWS's."""
    found: dict[str, set[str]] = {}
    for path in MODULE.glob("*.tf"):
        for block in hcl2.loads(path.read_text(encoding="utf-8")).get("resource", []):
            ((kind, named),) = _own(block).items()
            ((name, body),) = _own(named).items()
            dynamic = {key.strip('"') for each in body.get("dynamic", []) for key in _own(each)}
            meta = {"for_each", "count", "depends_on", "lifecycle", "dynamic"}
            found[f"{kind}.{name}".replace('"', "")] = {*_own(body)} - meta | dynamic
    return found


def _own(block: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the keys that the parser adds."""
    return {key: value for key, value in block.items() if not key.startswith("__")}


def properties(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource's attributes as CloudFormation's properties."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if value in (None, "", [], {}) or name in _OMITTED:
            continue
        converted = value
        if name == "dimensions":
            converted = [{"Name": dimension, "Value": given} for dimension, given in value.items()]
        elif isinstance(value, list) and isinstance(value[0], dict):
            blocks = [properties(block) for block in value]
            converted = blocks if name == "metric_query" else blocks[0]
        if name == "metric":
            converted = {"Stat": converted.pop("Stat"), "Period": converted.pop("Period"), "Metric": converted}
        found[_PROPERTIES.get(name) or name.title().replace("_", "")] = converted
    return found


def stack(state: State) -> dict[str, dict[str, Any]]:
    """Return this state's resources under the template's names, and all others under their addresses."""
    left = dict(state.resources)

    def take(address: str) -> dict[str, Any]:
        return properties(left.pop(address))

    found = {name: _with_deletion_policy(left.pop(at)) for name, at in ADDRESSES.items() if at in left}
    rule = found["TokenFunctionNewCredentials"]
    rule["Targets"] = take(f'aws_cloudwatch_event_target.new_credentials["{CLIENT}"]')
    assert rule["Targets"].pop("Rule") == state.resources[ADDRESSES["TokenFunctionNewCredentials"]]["name"]
    # Event fields override the environment (handler/config.py), so equal values make no difference.
    event = json.loads(found["TokenFunctionSchedule"]["Target"].pop("Input"))
    variables = found["TokenFunction"]["Environment"]["Variables"] | {
        {"client": "CLIENT_NAME", "scope": "TELENOR_SCOPE"}.get(field, field.upper()): value
        for field, value in event.items()
    }
    found["TokenFunction"]["Environment"] = {"Variables": variables}
    fields = json.loads(rule["Targets"]["Input"])
    rule["Targets"]["Input"] = {field: value for field, value in fields.items() if event.get(field) != value}
    for name in ("TokenFunctionRole", "TokenFunctionScheduleRole"):
        found[name]["Policies"] = _policies(left, ADDRESSES[name].rpartition(".")[2], state)
    # SAM gives these two statements no Sid.
    for statement in found["TokenFunctionScheduleRole"]["Policies"]:
        del statement["Sid"]
    if "CredentialsSecret" in found:
        found["CredentialsSecretPolicy"] = {
            "SecretId": "CredentialsSecret",
            "PolicyDocument": found["CredentialsSecret"].pop("PolicyDocument"),
            "DeletionPolicy": found["CredentialsSecret"]["DeletionPolicy"],
        }
    for name, topic in (("AlarmTopic", "alarms"), ("PagerTopic", "pager")):
        if name in found:
            found[name]["Subscription"] = subscription = take(f"aws_sns_topic_subscription.{topic}[0]")
            assert subscription.pop("TopicArn") == _ARNS[name]
    return found | left


def _with_deletion_policy(values: Mapping[str, Any]) -> dict[str, Any]:
    days = values.get("recovery_window_in_days")
    kept = "Retain" if values.get("skip_destroy") else f"{days} days to take it back" if days else "Delete"
    return properties(values) | {"DeletionPolicy": kept}


def _policies(left: dict[str, dict[str, Any]], role: str, state: State) -> list[dict[str, Any]]:
    """Return the statements of a role's inline and attached policies."""
    own = left.pop(f"aws_iam_role_policy.{role}")
    name = state.resources[f"aws_iam_role.{role}"]["name"]
    assert own["role"] == name
    documents = [own["policy"]]
    for address in [each for each in left if each.startswith(f"aws_iam_policy.{role}[")]:
        attachment = left.pop(address.replace("aws_iam_policy.", "aws_iam_role_policy_attachment."))
        assert attachment["role"] == name
        documents.append(left.pop(address)["policy"])
    return [statement for document in documents for statement in json.loads(document)["Statement"]]
