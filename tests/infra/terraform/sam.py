"""What template.yaml deploys for one client, by SAM's own translation of it."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from infra.template import load
from tests.infra.alarms.template import PSEUDO, Template
from tests.infra.terraform.facts import Facts, Resource, drawn, plain, statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ALARMS = (
    *("TokenExpiryAlarm", "RunsFailingAlarm", "RevocationFailedAlarm", "RevocationsPendingAlarm"),
    *("RevocationAbandonedAlarm", "CredentialsFallbackAlarm", "UndeliveredAlarm", "ThrottledAlarm", "WaitingAlarm"),
)

_FUNCTION_NAME = "telenor-token-default-0a1b2c3d"

# CloudFormation, "AWS::Logs::LogGroup", Return values: this ARN ends in `:*`, and so means the group's streams.
IDENTIFIERS = {
    "TokenSecret.Id": "the token secret",
    "CredentialsSecret.Id": "the credentials secret",
    **dict.fromkeys(("TokenFunction", "TokenFunction.Arn", _FUNCTION_NAME), "the function"),
    f"arn:aws:lambda:{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}:function:{_FUNCTION_NAME}": "the function",
    "TokenFunctionRole.Arn": "the function's role",
    "TokenFunctionScheduleRole.Arn": "the schedule's role",
    "TokenFunctionSchedule.Arn": "the schedule",
    "TokenFunctionLogGroup": "the log",
    "TokenFunctionLogGroup.Arn": "the log's streams",
    **dict.fromkeys(("UndeliveredQueue", "UndeliveredQueue.Arn", "UndeliveredQueue.QueueName"), "the queue"),
    "TokenFunctionNewCredentials.Arn": "the rule",
    "AlarmTopic": "the alarms' topic",
    "PagerTopic": "the pager's topic",
    **{f"{alarm}.Arn": alarm for alarm in ALARMS},
}

_AFTERWARDS = {"Delete": "goes", "Retain": "stays", "RetainExceptOnCreate": "stays"}


@cache
def translated() -> dict[str, Any]:
    """Return template.yaml as SAM translates it for CloudFormation."""
    template = load()
    # What `sam package` would put there.
    template["Resources"]["TokenFunction"]["Properties"]["CodeUri"] = "s3://bucket/key"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=PSEUDO["AWS::Region"]))
    body: dict[str, Any] = translator.translate(sam_template=template, parameter_values={})
    return body


def deployment(body: Mapping[str, Any], parameters: Mapping[str, object]) -> tuple[Facts, list[str]]:
    """Return what a stack with these parameters comes to, and what of it was not read."""
    template = Template(dict(body))
    stack = template.deployed(**parameters)
    resources = {
        name: Resource(name, properties)
        for kind in {resource["Type"] for resource in template.body["Resources"].values()}
        for name, properties in stack.resources(kind).items()
    }
    facts: Facts = {}
    for part in (_function, _starters, _roles, _secrets, _policies, _alarms):
        facts |= part(resources)
    facts |= drawn(resources["TokenDashboard"].read("DashboardBody"), IDENTIFIERS)
    facts["names: dashboard"] = resources["TokenDashboard"].read("DashboardName")
    facts["warning: alarms that reach nobody"] = stack.outputs().get("UntoldAlarms")
    for name, words in (
        ("TokenSecret", "the token secret"),
        ("CredentialsSecret", "the credentials secret"),
        ("TokenFunctionLogGroup", "the log"),
        ("UndeliveredQueue", "the queue"),
        ("ConsumerPolicy", "the consumers' policy"),
        ("OperatorPolicy", "the operators' policy"),
    ):
        if name in resources:
            facts[f"afterwards: {words}"] = _AFTERWARDS[
                template.body["Resources"][name].get("DeletionPolicy", "Delete")
            ]
    return facts, list(_unread(resources))


def _unread(resources: Mapping[str, Resource]) -> Iterator[str]:
    for name, resource in resources.items():
        for value in sorted(resource.unread):
            yield f"{name}.{value} of template.yaml"


def _function(resources: Mapping[str, Resource]) -> Facts:
    function, log = resources["TokenFunction"], resources["TokenFunctionLogGroup"]
    invocations = resources["TokenFunctionEventInvokeConfig"]
    environment = {name: str(value) for name, value in function.read("Environment", "Variables").items()}
    function.read("Code")
    facts = {
        "names: function": function.read("FunctionName"),
        "function: description": function.read("Description"),
        "function: handler": function.read("Handler"),
        "function: runtime": function.read("Runtime"),
        "function: architecture": function.read("Architectures"),
        "function: memory": function.read("MemorySize"),
        "function: timeout": function.read("Timeout"),
        "function: tracing": function.read("TracingConfig", "Mode"),
        "function: role": function.read("Role"),
        "function: log format": function.read("LoggingConfig", "LogFormat"),
        "function: log": function.read("LoggingConfig", "LogGroup"),
        "function: subnets": function.read("VpcConfig", "SubnetIds"),
        "function: security groups": function.read("VpcConfig", "SecurityGroupIds"),
        "function: tags": [f"{tag['Key']}={tag['Value']}" for tag in function.read("Tags")],
        "log: days": log.read("RetentionInDays"),
        "retries: of which function": invocations.read("FunctionName"),
        "retries: of which version": invocations.read("Qualifier"),
        "retries: how many": invocations.read("MaximumRetryAttempts"),
        "retries: oldest event": invocations.read("MaximumEventAgeInSeconds"),
        "retries: destinations": invocations.read("DestinationConfig"),
        "settings: the client stands in": "the environment",
    }
    facts |= {f"settings: {name}": value for name, value in environment.items() if value}
    return {name: plain(value, IDENTIFIERS) for name, value in facts.items()}


def _starters(resources: Mapping[str, Resource]) -> Facts:
    schedule, rule = resources["TokenFunctionSchedule"], resources["TokenFunctionNewCredentials"]
    allowed, queue = resources["TokenFunctionNewCredentialsPermission"], resources["UndeliveredQueue"]
    may_leave = resources["UndeliveredQueuePolicy"]
    (target,) = rule.read("Targets")
    facts = {
        "schedule: expression": schedule.read("ScheduleExpression"),
        "schedule: latitude": schedule.read("FlexibleTimeWindow", "Mode"),
        "schedule: description": schedule.read("Description"),
        "schedule: runs": schedule.read("Target", "Arn"),
        "schedule: as": schedule.read("Target", "RoleArn"),
        "schedule: action": json.loads(schedule.read("Target", "Input") or "{}").get("action"),
        "schedule: retries": schedule.read("Target", "RetryPolicy", "MaximumRetryAttempts"),
        "schedule: oldest event": schedule.read("Target", "RetryPolicy", "MaximumEventAgeInSeconds"),
        "schedule: undelivered": schedule.read("Target", "DeadLetterConfig", "Arn"),
        "rule: pattern": rule.read("EventPattern"),
        "rule: runs": target["Arn"],
        "rule: action": json.loads(target["Input"])["action"],
        "rule: retries": target["RetryPolicy"]["MaximumRetryAttempts"],
        "rule: oldest event": target["RetryPolicy"]["MaximumEventAgeInSeconds"],
        "rule: undelivered": target["DeadLetterConfig"]["Arn"],
        "rule: may": allowed.read("Action"),
        "rule: may run": allowed.read("FunctionName"),
        "rule: which service": allowed.read("Principal"),
        "rule: which rule": allowed.read("SourceArn"),
        "queue: encrypted": queue.read("SqsManagedSseEnabled"),
        "queue: seconds": queue.read("MessageRetentionPeriod"),
        "queue: whose policy": may_leave.read("Queues"),
    }
    policy = statements("queue policy", [may_leave.read("PolicyDocument")], IDENTIFIERS)
    return {name: plain(value, IDENTIFIERS) for name, value in facts.items()} | policy


def _roles(resources: Mapping[str, Resource]) -> Facts:
    facts: Facts = {"role: where it stands": "in the role"}
    for name, words in (("TokenFunctionRole", "role"), ("TokenFunctionScheduleRole", "schedule's role")):
        role = resources[name]
        facts |= statements(f"{words}, used by", [role.read("AssumeRolePolicyDocument")], IDENTIFIERS)
        facts |= statements(words, [policy["PolicyDocument"] for policy in role.read("Policies")], IDENTIFIERS)
        facts[f"{words}: boundary"] = role.read("PermissionsBoundary")
    facts["role: description"] = resources["TokenFunctionRole"].read("Description")
    return facts


def _secrets(resources: Mapping[str, Resource]) -> Facts:
    facts: Facts = {}
    for name, words in (("TokenSecret", "token secret"), ("CredentialsSecret", "credentials secret")):
        if name not in resources:
            continue
        secret, policy = resources[name], resources[f"{name}Policy"]
        facts |= statements(f"{words}'s policy", [policy.read("ResourcePolicy")], IDENTIFIERS)
        facts |= {
            f"{words}'s policy: none that is public": policy.read("BlockPublicPolicy"),
            f"{words}'s policy: of": plain(policy.read("SecretId"), IDENTIFIERS),
            f"{words}: description": secret.read("Description"),
            f"{words}: key": secret.read("KmsKeyId"),
            f"{words}: first value": secret.read("SecretString"),
        }
    return facts


def _policies(resources: Mapping[str, Resource]) -> Facts:
    facts: Facts = {}
    for name, words in (("ConsumerPolicy", "consumers"), ("OperatorPolicy", "operators")):
        policy = resources[name]
        facts |= statements(words, [policy.read("PolicyDocument")], IDENTIFIERS)
        facts[f"{words}: description"] = policy.read("Description")
    return facts


def _alarms(resources: Mapping[str, Resource]) -> Facts:
    facts: Facts = {}
    for name, words in (("AlarmTopic", "alarms' topic"), ("PagerTopic", "pager's topic")):
        if name in resources:
            topic = resources[name]
            facts[f"{words}: name"] = topic.read("DisplayName")
            facts[f"{words}: to"] = [(each["Protocol"], each["Endpoint"]) for each in topic.read("Subscription")]
    for name in ALARMS:
        alarm = resources[name]
        who, _, what = alarm.read("AlarmDescription").partition(": ")
        said = {
            "name": alarm.read("AlarmName"),
            "whose": who.replace(" of stack ", " of job "),
            "description": what,
            "metric": alarm.read("MetricName")
            and {f"{alarm.read('Namespace')} {alarm.read('MetricName')}": _dimensions(alarm.read("Dimensions"))},
            "statistic": alarm.read("Statistic"),
            "period": alarm.read("Period"),
            "arithmetic": {metric["Id"]: _metric(metric) for metric in alarm.read("Metrics") or []},
            "periods": alarm.read("EvaluationPeriods"),
            "of them bad": alarm.read("DatapointsToAlarm"),
            "threshold": alarm.read("Threshold"),
            "compared": alarm.read("ComparisonOperator"),
            "silence": alarm.read("TreatMissingData"),
            "tells": alarm.read("AlarmActions"),
            "tells when over": alarm.read("OKActions"),
        }
        facts |= {f"{name}: {fact}": plain(value, IDENTIFIERS) for fact, value in said.items()}
    return facts


def _dimensions(listed: list[dict[str, str]]) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in listed}


def _metric(said: Mapping[str, Any]) -> dict[str, Any]:
    stat = said.get("MetricStat")
    return {
        "label": said.get("Label"),
        "returned": said["ReturnData"],
        "expression": said.get("Expression"),
        "metric": stat
        and {
            f"{stat['Metric']['Namespace']} {stat['Metric']['MetricName']}": _dimensions(stat["Metric"]["Dimensions"])
        },
        "statistic": stat and stat["Stat"],
        "period": stat and stat["Period"],
    }
