"""Compares SAM's translation of template.yaml with the Terraform module, applied for one client (mocked provider)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from infra.template import load
from tests.infra.alarms.template import PSEUDO, Template
from tests.infra.dashboard.widgets import lines
from tests.infra.terraform import module

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY = "arn:aws:kms:eu-north-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
_OTHER_KEY = "arn:aws:kms:eu-north-1:000000000000:key/abcd1234-12ab-34cd-56ef-1234567890ab"
_SECRET = "arn:aws:secretsmanager:eu-north-1:000000000000:secret:theirs-a1b2c3"
_TOPIC = "arn:aws:sns:eu-north-1:000000000000:theirs"
_PAGER = "arn:aws:sns:eu-north-1:000000000000:pages"
# Of the account that tests/mocks of the module names.
_BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
_DEPLOYER = "arn:aws:iam::123456789012:role/deploys"
_ACCOUNT = "999999999999"
_READER = f"arn:aws:iam::{_ACCOUNT}:role/reader"


@dataclass(frozen=True, slots=True)
class Case:
    """One deployment: the stack's parameters and the module's variables."""

    parameters: Mapping[str, Any]
    variables: Mapping[str, Any]


CASES = {
    "by_default": Case({}, {"clients": {"default": {}}}),
    "with_everything": Case(
        {
            "CredentialsSecretArn": _SECRET,
            "CredentialsKmsKeyArn": _OTHER_KEY,
            "TelenorBaseUrl": "https://gateway.example.com",
            "TelenorScope": "one two",
            "VerifyUrl": "https://api.telenor.no/me",
            "ScheduleMinutes": "1",
            "GraceSeconds": 300,
            "RenewAtFraction": "0.5",
            "ReaderAccountIds": _ACCOUNT,
            "ReaderPrincipals": _READER,
            "KmsKeyArn": _KEY,
            "PermissionsBoundaryArn": _BOUNDARY,
            "DeploymentRoleArn": _DEPLOYER,
            "SubnetIds": "subnet-0a1b2c3d,subnet-1a1b2c3d",
            "SecurityGroupIds": "sg-0a1b2c3d",
            "PagerTopicArn": _PAGER,
            "AlarmTopicArn": _TOPIC,
            "LogRetentionDays": 30,
            "Architecture": "x86_64",
        },
        {
            "clients": {
                "default": {
                    "credentials_secret_arn": _SECRET,
                    "credentials_kms_key_arn": _OTHER_KEY,
                    "scope": "one two",
                    "grace_seconds": 300,
                    "reader_principals": [_READER],
                }
            },
            "telenor_base_url": "https://gateway.example.com",
            "verify_url": "https://api.telenor.no/me",
            "schedule_minutes": 1,
            "renew_at_fraction": 0.5,
            "kms_key_arn": _KEY,
            "permissions_boundary_arn": _BOUNDARY,
            "deployment_role_arn": _DEPLOYER,
            "subnet_ids": ["subnet-0a1b2c3d", "subnet-1a1b2c3d"],
            "security_group_ids": ["sg-0a1b2c3d"],
            "pager_topic_arn": _PAGER,
            "alarm_topic_arn": _TOPIC,
            "log_retention_days": 30,
            "architecture": "x86_64",
        },
    ),
    "with_mail_and_a_key": Case(
        {
            "ScheduleMinutes": "2",
            "GraceSeconds": 0,
            "KmsKeyArn": _KEY,
            "ReaderAccountIds": _ACCOUNT,
            "PagerEmail": "pager@example.com",
            "AlarmEmail": "us@example.com",
        },
        {
            "clients": {"default": {"reader_principals": [f"arn:aws:iam::{_ACCOUNT}:root"]}},
            "schedule_minutes": 2,
            "grace_seconds": 0,
            "kms_key_arn": _KEY,
            "pager_email": "pager@example.com",
            "alarm_email": "us@example.com",
        },
    ),
    "with_another_server": Case(
        {
            "TokenUrl": "https://login.example.com/token?tenant=1",
            "RevocationUrl": "none",
            "ClientAuthentication": "client_secret_post",
            "TokenParameters": "audience=https://api.example.com&resource=a%20b",
        },
        {
            "clients": {"default": {"token_parameters": "audience=https://api.example.com&resource=a%20b"}},
            "token_url": "https://login.example.com/token?tenant=1",
            "revocation_url": "none",
            "client_authentication": "client_secret_post",
        },
    ),
}

_SHARED = "one function serves all clients of the module, so the alarm names the job"
_ERRORS = (
    "Lambda counts the errors of all clients together, and the job each client's own. A run that cannot start sends no "
    "metrics, which fires TokenExpiryAlarm"
)
_LEFT = "Terraform deletes it, and fails while another role still has it"
_OPERATORS = "OperatorPolicy.PolicyDocument.Statement"

# Every intended difference with its reason. A name includes everything below it.
INTENDED = {
    "TokenFunction.Environment.Variables.SERVES_CLIENTS": "only an event of the module names its client",
    "TokenFunction.Tags": "SAM's own tags",
    "TokenFunctionEventInvokeConfig.Qualifier": "SAM names the default version explicitly",
    "TokenFunctionScheduleRole.Description": "SAM creates this role, without a description",
    **dict.fromkeys(
        (f"{_OPERATORS}.ReadAndDisableTheSchedule.Resource", f"{_OPERATORS}.ReadTheLabels.Resource"),
        "a pattern in the module: a managed policy has no space for a list of all clients",
    ),
    f"{_OPERATORS}.FindTheStack": "there is no stack; operators name the function",
    **dict.fromkeys(
        (
            f"RunsFailingAlarm.{name}"
            for name in ("Namespace", "MetricName", "Dimensions", "Statistic", "Period", "Metrics")
        ),
        _ERRORS,
    ),
    "TokenSecretPolicy.PolicyDocument.Statement.NobodyDeletes": "a stack has termination protection",
    "CredentialsSecretPolicy.BlockPublicPolicy": "it belongs to the secret's policy, which stays with the secret",
    **{
        f"{alarm}.{name}": _SHARED
        for alarm in ("UndeliveredAlarm", "ThrottledAlarm", "WaitingAlarm")
        for name in ("AlarmName", "AlarmDescription.Whose")
    },
    "CredentialsSecret.SecretString": "it would be in Terraform's state, and Terraform may not read the secret",
    "CredentialsSecret.DeletionPolicy": "Terraform deletes the secret, which can be restored for thirty days",
    **dict.fromkeys(("ConsumerPolicy.DeletionPolicy", "OperatorPolicy.DeletionPolicy"), _LEFT),
}

_FUNCTION_NAME = "telenor-token-default-0a1b2c3d"

# The property that identifies the members of a list.
_KEYS = {"Statement": "Sid", "Policies": "Sid", "Metrics": "Id"}

Facts = dict[str, Any]
"""All values of a deployment by their paths."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A value in which the two deployments differ."""

    case: str
    name: str
    sam: Any
    terraform: Any

    @property
    def intended(self) -> str | None:
        """The entry of INTENDED that includes it."""
        return next((name for name in INTENDED if f"{self.name}.".startswith(f"{name}.")), None)


@cache
def translated() -> dict[str, Any]:
    """Return template.yaml as SAM translates it for CloudFormation."""
    template = load()
    # The value that `sam package` would set.
    template["Resources"]["TokenFunction"]["Properties"]["CodeUri"] = "s3://bucket/key"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=PSEUDO["AWS::Region"]))
    body: dict[str, Any] = translator.translate(sam_template=template, parameter_values={})
    return body


def differences(states: Mapping[str, module.State], body: Mapping[str, Any] | None = None) -> list[Difference]:
    """Compare the applied cases value by value."""
    found = []
    for case, state in states.items():
        sam, terraform = _of_sam(dict(body or translated()), CASES[case].parameters), _of_terraform(state)
        assert len(sam) > 200
        found += [
            Difference(case, name, sam.get(name), terraform.get(name))
            for name in {**sam, **terraform}
            if sam.get(name) != terraform.get(name)
        ]
    return found


def _of_sam(body: dict[str, Any], parameters: Mapping[str, object]) -> Facts:
    template = Template(body)
    stack = template.deployed(**parameters)
    resources = {
        name: properties | {"DeletionPolicy": body["Resources"][name].get("DeletionPolicy", "Delete")}
        for kind in {resource["Type"] for resource in body["Resources"].values()}
        for name, properties in stack.resources(kind).items()
    }
    del resources["TokenFunction"]["Code"], resources["TokenFunctionNewCredentials"]["Targets"][0]["Id"]
    for resource in resources.values():
        resource["DeletionPolicy"] = resource["DeletionPolicy"].removesuffix("ExceptOnCreate")
        if "ResourcePolicy" in resource:
            resource["PolicyDocument"] = resource.pop("ResourcePolicy")
        if "Policies" in resource:
            (policy,) = resource["Policies"]
            resource["Policies"] = policy["PolicyDocument"]["Statement"]
    names = {f"{name}.{value}": name for name in resources for value in ("Arn", "Id", "QueueName")}
    arn = f"arn:aws:lambda:{PSEUDO['AWS::Region']}:{PSEUDO['AWS::AccountId']}:function:{_FUNCTION_NAME}"
    names |= dict.fromkeys((arn, _FUNCTION_NAME), "TokenFunction")
    return _facts(resources | {"UntoldAlarms": stack.outputs().get("UntoldAlarms")}, names)


def _of_terraform(state: module.State) -> Facts:
    return _facts(module.stack(state) | {"UntoldAlarms": state.outputs.get("untold_alarms")}, module.NAMES)


def _facts(value: Any, names: Mapping[str, str], path: str = "") -> Facts:
    """Return each part of a value by its path: unordered, no empty values, single items unwrapped, common names."""
    key = path.rpartition(".")[2]
    if key == "DashboardBody":
        value = _drawn(json.loads(value), names)
    elif key == "AlarmDescription":
        who, _, what = value.partition(": ")
        value = {"Whose": who.replace(" of stack ", " of job "), "What": what}
    elif key == "Dimensions":
        value = {each["Name"]: each["Value"] for each in value}
    elif key in _KEYS and isinstance(value, list):
        by_name = {str(each.get(_KEYS[key], each.get("Action"))): each for each in value}
        assert len(by_name) == len(value), f"two of the same name in {path}"
        value = by_name
    elif isinstance(value, str) and value.startswith("{"):
        value = json.loads(value)
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, dict):
        parts = (_facts(each, names, f"{path}.{name}".strip(".")) for name, each in value.items())
        return {name: each for part in parts for name, each in part.items()}
    if value in (None, "", []):
        return {}
    if isinstance(value, list):
        return {path: sorted(_plain(key, each, names) for each in value)}
    return {path: _plain(key, value, names)}


def _plain(key: str, value: Any, names: Mapping[str, str]) -> str:
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    # AWS, "AWS JSON policy elements: Principal": an account id is equivalent to this ARN.
    if re.fullmatch("[0-9]{12}", text):
        return f"arn:aws:iam::{text}:root"
    return names.get(f"{key} {text}", names.get(text, text))


def _drawn(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the contents of a dashboard without their positions: metrics, lines for the graces, and alarms."""
    widgets = [widget["properties"] for widget in body["widgets"]]
    metrics = {line.metric for widget in widgets if "metrics" in widget for line in lines(widget)}
    horizontal = (line for widget in widgets for line in widget.get("annotations", {}).get("horizontal", []))
    return {
        "Shown": [
            f"{metric.namespace} {metric.name}, {name} {_plain(name, value, names)}"
            for metric in metrics
            for name, value in metric.dimensions
        ],
        "Lines": list({line["value"] for line in horizontal}),
        "Alarms": list({alarm for widget in widgets for alarm in widget.get("alarms", [])}),
    }
