"""Permissions: each call is made with the caller's own keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore import xform_name

from tests.e2e import role_permissions, users_and_roles
from tests.e2e.job import DEPLOYMENT_ROLE_ARN, Job
from tests.e2e.users_and_roles import is_denied

if TYPE_CHECKING:
    import pytest

# Actions of the operators' policy that are not tested here, and why.
NOT_TRIED = {
    "iam:PassRole": "not enforced here; AWS, 'UpdateSchedule'",
    "cloudwatch:GetDashboard": "the emulator has no ARN of a dashboard",
}

# Actions of the function's role that the emulator does not enforce, and what uses them in AWS.
NOT_ENFORCED = {
    "logs:CreateLogStream": "Lambda writes the log; AWS, 'Lambda execution role'",
    "logs:PutLogEvents": "likewise",
    "xray:PutTraceSegments": "Lambda sends traces; AWS, 'AWSXRayDaemonWriteAccess'",
    "xray:PutTelemetryRecords": "likewise",
    "kms:Decrypt": "Secrets Manager uses the key; AWS, 'Secret encryption and decryption'",
    "kms:GenerateDataKey": "likewise",
}


def test_a_named_reader_only_reads_and_others_cannot_read(job: Job) -> None:
    stranger = job.client("secretsmanager", users_and_roles.user(job.emulator, "stranger"))
    assert is_denied(stranger.get_secret_value, SecretId=job.token_secret)
    # The policy names the reader's account, so a reader needs a policy of its own as well.
    reader = job.client("secretsmanager", users_and_roles.user(job.emulator, "reader", "secretsmanager:GetSecretValue"))
    assert json.loads(reader.get_secret_value(SecretId=job.token_secret)["SecretString"])["access_token"]
    assert is_denied(reader.put_secret_value, SecretId=job.token_secret, SecretString="x")


def test_an_administrator_can_neither_write_the_token_nor_read_the_credentials(job: Job) -> None:
    admin = job.client("secretsmanager", users_and_roles.user(job.emulator, "admin", "secretsmanager:*"))
    token, current = job.token_secret, job.current_version()
    assert admin.describe_secret(SecretId=job.credentials_secret)["ARN"] == job.credentials_secret
    assert is_denied(admin.put_secret_value, SecretId=token, SecretString="x")
    assert is_denied(admin.update_secret_version_stage, SecretId=token, VersionStage="x", MoveToVersionId=current)
    assert is_denied(admin.update_secret, SecretId=token, SecretString="x")
    assert is_denied(admin.get_secret_value, SecretId=job.credentials_secret)


def test_the_deployment_role_updates_the_token_secret(job: Job) -> None:
    users_and_roles.create_role(job.emulator, DEPLOYMENT_ROLE_ARN, "secretsmanager:UpdateSecret")
    deployment = job.client("secretsmanager", users_and_roles.assume(job.emulator, DEPLOYMENT_ROLE_ARN, "ci"))
    description = job.client("secretsmanager").describe_secret(SecretId=job.token_secret)["Description"]
    deployment.update_secret(SecretId=job.token_secret, Description=description)


def test_the_role_cannot_write_credentials_read_other_secrets_or_move_awscurrent(job: Job) -> None:
    # Lambda names its sessions after the function.
    keys = users_and_roles.assume(job.emulator, job.outputs["FunctionRoleArn"], job.outputs["FunctionName"])
    role, current = job.client("secretsmanager", keys), job.current_version()
    name = f"another-owner/for-{job.client_name}"
    other = job.client("secretsmanager").create_secret(Name=name, SecretString="x")["ARN"]
    assert role.describe_secret(SecretId=job.token_secret)["ARN"] == job.token_secret
    assert is_denied(role.put_secret_value, SecretId=job.credentials_secret, SecretString="x")
    assert is_denied(role.describe_secret, SecretId=job.credentials_secret)
    assert is_denied(role.get_secret_value, SecretId=other)
    assert is_denied(role.delete_secret, SecretId=job.token_secret)
    for label in ("AWSCURRENT", "AWSPENDING"):
        move = {"SecretId": job.token_secret, "VersionStage": label, "RemoveFromVersionId": current}
        assert is_denied(role.update_secret_version_stage, **move)


def test_no_other_function_can_use_the_role(job: Job) -> None:
    keys = users_and_roles.assume(job.emulator, job.outputs["FunctionRoleArn"], "another-function")
    other_function = job.client("secretsmanager", keys)
    assert is_denied(other_function.describe_secret, SecretId=job.token_secret)
    assert is_denied(other_function.get_secret_value, SecretId=job.credentials_secret)


def test_an_operator_can_make_exactly_the_calls_of_the_policy(job: Job) -> None:
    outputs, keys = job.outputs, users_and_roles.user(job.emulator, "operator")
    statements = role_permissions.managed_policy(job.emulator, outputs["OperatorPolicyArn"])
    log_group, schedule = {"logGroupName": outputs["LogGroupName"]}, _schedule_of(job)
    query = log_group | {"startTime": 0, "endTime": 60, "queryString": "fields @message"}
    query_id = job.client("logs").start_query(**query)["queryId"]
    function, queue = {"FunctionName": outputs["FunctionName"]}, {"QueueUrl": outputs["UndeliveredQueueUrl"]}
    calls: dict[str, dict[str, Any]] = {
        "lambda:GetFunctionConfiguration": function,
        "lambda:InvokeFunction": function | {"Payload": json.dumps(job.event)},
        "secretsmanager:DescribeSecret": {"SecretId": job.token_secret},
        "logs:FilterLogEvents": log_group | {"limit": 1},
        "cloudwatch:DescribeAlarms": {},
        "cloudwatch:GetMetricData": {"MetricDataQueries": [], "StartTime": 0, "EndTime": 60},
        "sqs:ReceiveMessage": queue,
        "sqs:PurgeQueue": queue,
        "logs:StartQuery": query,
        "logs:GetQueryResults": {"queryId": query_id},
        "logs:StopQuery": {"queryId": query_id},
        "scheduler:ListSchedules": {},
        "scheduler:GetSchedule": {"Name": schedule["Name"]},
        "scheduler:UpdateSchedule": schedule,
        "cloudformation:DescribeStacks": {"StackName": job.name},
    }
    actions = {action for _, action in role_permissions.allowed(statements)} - NOT_TRIED.keys()
    # The Terraform module deploys no stack.
    assert calls.keys() - actions <= {"cloudformation:DescribeStacks"}
    assert actions <= calls.keys()

    def denied_with(given: list[dict[str, Any]]) -> set[str]:
        document = users_and_roles.policy(*given)
        job.client("iam").put_user_policy(UserName="operator", PolicyName="given", PolicyDocument=document)
        return {action for action in actions if is_denied(call_of(*action.split(":")), **calls[action])}

    def call_of(service: str, operation: str) -> Any:
        return getattr(job.client(service, keys), xform_name(operation.removesuffix("Function")))

    for sid, action in role_permissions.allowed(statements):
        if action in actions:
            assert denied_with(role_permissions.without(statements, sid, action)) == {action}
    assert not denied_with(statements)
    secrets_manager = job.client("secretsmanager", keys)
    for secret in (job.token_secret, job.credentials_secret):
        assert is_denied(secrets_manager.get_secret_value, SecretId=secret)
        assert is_denied(secrets_manager.put_secret_value, SecretId=secret, SecretString="x")
    assert is_denied(job.client("lambda", keys).update_function_configuration, **function, Timeout=3)


def _schedule_of(job: Job) -> dict[str, Any]:
    """Return one schedule of the function, as `update_schedule` takes it."""
    scheduler, function = job.client("scheduler"), job.outputs["FunctionName"]
    listed = scheduler.list_schedules()["Schedules"]
    name = next(each["Name"] for each in listed if each["Target"]["Arn"].endswith(f":{function}"))
    found = scheduler.get_schedule(Name=name)
    # An update resets omitted fields.
    not_taken = {"Arn", "CreationDate", "LastModificationDate", "ResponseMetadata"}
    return {key: value for key, value in found.items() if key not in not_taken}


def test_a_run_fails_without_each_permission_of_the_role(job: Job, subtests: pytest.Subtests) -> None:
    role = role_permissions.Role(job.emulator, job.outputs["FunctionRoleArn"])
    permissions = role_permissions.allowed(role.statements)
    assert NOT_ENFORCED.keys() <= {action for _, action in permissions}
    for sid, action in permissions:
        # Lambda uses ec2's actions in subnets; there are none here.
        if action in NOT_ENFORCED or action.startswith("ec2:"):
            continue
        with subtests.test(sid=sid, action=action), role.having(role_permissions.without(role.statements, sid, action)):
            seen = len(job.messages())
            job.invoke(action="rotate-and-revoke-now")
            denied = [message for message in job.messages()[seen:] if "AccessDenied" in message]
            assert any(action.partition(":")[2] in message for message in denied)
    assert job.invoke(action="rotate-and-revoke-now")["outcome"] == "rotated"
    job.wait_for_one_active_token()
