"""How large the documents are that the Terraform module deploys, by the number of clients; AWS limits each of them.

The module is applied to a provider that is mocked, with ARNs of the length that AWS gives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from infra.terraform_cli import MODULE, copied
from tests.infra.terraform.module import tested

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME = "telenor-token"
CLIENT = "client-{:04}"

_ACCOUNT, _REGION = "123456789012", "eu-north-1"

# The six characters of Secrets Manager, and the 26 that the provider appends to a prefix.
_SUFFIX, _UNIQUE = "AbCdEf", "20261124000000000000000001"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the module deploys for a number of clients. Documents are in characters, as AWS counts them."""

    clients: int
    resources: int
    alarms: int
    widgets: int
    drawn: int
    """Metrics on the dashboard."""
    token_policy: int
    """The larger of the role's two managed policies."""
    own_policy: int
    """The policy within the role."""
    operator_policy: int
    queue_policy: int
    function_policy: int
    """Who may invoke the function; Lambda writes it from the module's permissions."""
    dashboard: int


def measure(counts: Iterable[int]) -> list[Deployment]:
    """Apply the module for each number of clients. Raises MissingError, and ValueError where the module refuses one."""
    return [_measured(count) for count in counts]


def is_refused(clients: int) -> bool:
    """Tell whether the module says at plan time that so many are too many. Raises MissingError."""
    try:
        _run(clients, "plan")
    except ValueError as error:
        if "than IAM's policies hold" in str(error):
            return True
        raise
    return False


def _measured(clients: int) -> Deployment:
    (state,) = (said["test_state"] for said in _run(clients, "apply") if said["type"] == "test_state")
    values = {
        each["address"]: each["values"] for each in state["root_module"]["resources"] if each["mode"] == "managed"
    }
    dashboard = values["aws_cloudwatch_dashboard.token[0]"]["dashboard_body"]
    widgets = json.loads(dashboard)["widgets"]
    attached = [values[f'aws_iam_policy.function["{key}"]']["policy"] for key in ("token", "ledger")]
    return Deployment(
        clients=clients,
        resources=len(values),
        alarms=sum(address.startswith("aws_cloudwatch_metric_alarm.") for address in values),
        widgets=len(widgets),
        drawn=sum(len(widget["properties"].get("metrics", [])) for widget in widgets),
        token_policy=max(map(len, attached)),
        own_policy=len(values["aws_iam_role_policy.function"]["policy"]),
        operator_policy=len(values["aws_iam_policy.operator"]["policy"]),
        queue_policy=len(values["aws_sqs_queue_policy.undelivered"]["policy"]),
        function_policy=_function_policy(values),
        dashboard=len(dashboard),
    )


def _function_policy(values: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the length of what Lambda makes of the permissions (AWS, "AddPermission": its answer is a statement)."""
    statements = [
        {
            "Sid": each["statement_id"],
            "Effect": "Allow",
            "Principal": {"Service": each["principal"]},
            "Action": each["action"],
            "Resource": f"arn:aws:lambda:{_REGION}:{_ACCOUNT}:function:{each['function_name']}",
            "Condition": {"ArnLike": {"AWS:SourceArn": each["source_arn"]}},
        }
        for address, each in values.items()
        if address.startswith("aws_lambda_permission.")
    ]
    policy = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
    return len(json.dumps(policy, separators=(",", ":")))


def _run(clients: int, command: str) -> list[dict[str, Any]]:
    names = [CLIENT.format(number) for number in range(1, clients + 1)]
    given = {"clients": {name: {} for name in names}, "name": NAME, "artifact_path": "versions.tf"}
    overrides = "\n".join(_override(target, arn) for name in names for target, arn in _arns(name).items())
    variables = "\n".join(f"    {name} = {json.dumps(value)}" for name, value in given.items())
    text = (
        f'mock_provider "aws" {{\n  source = "./tests/mocks"\n\n{overrides}}}\n\n'
        f'run "sizes" {{\n  command = {command}\n\n  variables {{\n{variables}\n  }}\n}}\n'
    )
    with TemporaryDirectory() as directory:
        copy = copied(MODULE, Path(directory) / "module")
        (copy / "tests" / "sizes.tftest.hcl").write_text(text, encoding="utf-8")
        return tested(copy, "sizes")


def _arns(client: str) -> dict[str, str]:
    secret = f"arn:aws:secretsmanager:{_REGION}:{_ACCOUNT}:secret:{NAME}/{client}"
    return {
        f'aws_secretsmanager_secret.token["{client}"]': f"{secret}/token-{_SUFFIX}",
        f'aws_secretsmanager_secret.credentials["{client}"]': f"{secret}/credentials-{_UNIQUE}-{_SUFFIX}",
        f'aws_cloudwatch_event_rule.new_credentials["{client}"]': (
            f"arn:aws:events:{_REGION}:{_ACCOUNT}:rule/{NAME}-{client}"
        ),
    }


def _override(target: str, arn: str) -> str:
    return f'  override_resource {{\n    target = {target}\n    values = {{ arn = "{arn}" }}\n  }}\n'
