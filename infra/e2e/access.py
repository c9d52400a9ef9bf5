"""Who may do what, asked of IAM with each one's own keys."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.e2e.stack import Stack
from infra.e2e.story import Story, live, refused, until, user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from infra.e2e.emulator import Emulator
    from infra.e2e.story import StackStory

# Actions that the emulator does not enforce, and why they are in the policy all the same.
TRUSTED = {
    "logs:CreateLogStream": "Lambda writes the log with it; AWS, 'Lambda execution role'",
    "logs:PutLogEvents": "likewise",
    "xray:PutTraceSegments": "Lambda sends traces with it; AWS, 'AWSXRayDaemonWriteAccess'",
    "xray:PutTelemetryRecords": "likewise",
    "kms:Decrypt": "Secrets Manager uses the key with it; AWS, 'Secret encryption and decryption'",
    "kms:GenerateDataKey": "likewise",
}
_OF_SUBNETS = "ec2:"
# What the operators' policy has besides, and why no call here shows it.
_TRUSTED_OF_OPERATORS = {
    "iam:PassRole": "not enforced here; AWS, 'UpdateSchedule'",
    "cloudwatch:GetDashboard": "the emulator knows no ARN of a dashboard; AWS, 'Resource types defined by CloudWatch'",
}


def the_consumer_stack_reads(story: StackStory) -> None:
    """The consumer stack works under the consumer policy."""
    story.consumer.parameters |= {
        "TokenSecretArn": story.token_secret,
        "ConsumerPolicyArn": story.stack.outputs["ConsumerPolicyArn"],
    }
    story.consumer.deploy()
    answer = story.consumer.invoke()
    assert answer.get("status") == 200, answer  # noqa: PLR2004
    served = story.telenor.state()["protected"]["accepted"]
    story.show("consumer", f"deployed, read the token, and the API answered {answer} ({served} served)")


def named_readers_read_and_strangers_do_not(story: Story) -> None:
    """Nobody reads without being named, and nobody but the job writes."""
    stranger = story.client("secretsmanager", user(story, "stranger"))
    assert refused(stranger.get_secret_value, SecretId=story.token_secret)
    # The policy names the reader's account: like every reader of another one, she needs a policy of her own as well.
    reader = story.client("secretsmanager", user(story, "reader", "secretsmanager:GetSecretValue"))
    assert json.loads(reader.get_secret_value(SecretId=story.token_secret)["SecretString"])["access_token"]
    assert refused(reader.put_secret_value, SecretId=story.token_secret, SecretString="x")
    story.show("readers", "a user without a policy refused; a named reader reads and cannot write")


def administrators_do_not_by_accident(story: Story) -> None:
    """With secretsmanager:* one neither writes the token nor reads the credentials; the deployment alone updates."""
    credentials, token = story.stack.outputs["CredentialsSecretArn"], story.token_secret
    admin = story.client("secretsmanager", user(story, "admin", "secretsmanager:*"))
    current = next(version for version, stages in story.labels().items() if "AWSCURRENT" in stages)
    assert admin.describe_secret(SecretId=credentials)["ARN"] == credentials
    assert refused(admin.put_secret_value, SecretId=token, SecretString="x")
    assert refused(admin.update_secret_version_stage, SecretId=token, VersionStage="x", MoveToVersionId=current)
    assert refused(admin.update_secret, SecretId=token, SecretString="x")
    assert refused(admin.get_secret_value, SecretId=credentials)
    role_arn = story.stack.deployment_role_arn
    create_role(story.stack.emulator, role_arn, "secretsmanager:UpdateSecret")
    deployment = story.client("secretsmanager", session(story.stack.emulator, role_arn, "ci"))
    description = story.client("secretsmanager").describe_secret(SecretId=token)["Description"]
    deployment.update_secret(SecretId=token, Description=description)
    story.show(
        "administrators",
        "refused: PutSecretValue, UpdateSecretVersionStage, UpdateSecret on the token, GetSecretValue on the "
        "credentials; DeploymentRoleArn may UpdateSecret",
    )


def document(*statements: dict[str, Any]) -> str:
    """Return a policy with these statements, as JSON."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def create_role(emulator: Emulator, role_arn: str, *actions: str) -> None:
    """Create a role of the account's own that may do these, unless there is one."""
    iam, name = emulator.client("iam"), role_arn.rpartition("/")[2]
    if name in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
        return
    trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))
    rights = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    iam.put_role_policy(RoleName=name, PolicyName="given", PolicyDocument=document(rights))


def session(emulator: Emulator, role_arn: str, name: str) -> dict[str, str]:
    """Assume a role, and return the session's keys."""
    keys = emulator.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=name)["Credentials"]
    return {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }


def the_role_can_do_no_more(story: Story) -> None:
    """With the function's own permissions: no writing of credentials, no moving of AWSCURRENT, no other secrets."""
    role_arn = story.stack.outputs["FunctionRoleArn"]
    # Lambda calls its sessions by the function's name.
    role = story.client("secretsmanager", session(story.stack.emulator, role_arn, story.stack.outputs["FunctionName"]))
    credentials, token = story.stack.outputs["CredentialsSecretArn"], story.token_secret
    other = story.client("secretsmanager").create_secret(
        Name=f"somebody/else-than-{story.stack.client_name}", SecretString="x"
    )["ARN"]
    current = next(version for version, stages in story.labels().items() if "AWSCURRENT" in stages)
    assert role.describe_secret(SecretId=token)["ARN"] == token, "the session is not the role's"
    assert refused(role.put_secret_value, SecretId=credentials, SecretString="x")
    assert refused(role.describe_secret, SecretId=credentials)
    assert refused(role.get_secret_value, SecretId=other)
    assert refused(role.delete_secret, SecretId=token)
    for label in ("AWSCURRENT", "AWSPENDING"):
        assert refused(
            role.update_secret_version_stage, SecretId=token, VersionStage=label, RemoveFromVersionId=current
        ), f"the function may move {label}"
    elsewhere = story.client("secretsmanager", session(story.stack.emulator, role_arn, "another-function"))
    assert refused(elsewhere.describe_secret, SecretId=token), "the role serves another function"
    assert refused(elsewhere.get_secret_value, SecretId=credentials), "the role serves another function"
    story.show("role", "cannot write the credentials, read another secret, delete, or move AWSCURRENT or AWSPENDING")
    story.show("role elsewhere", "as another function or without one it reads neither secret")


@dataclass(frozen=True)
class Role:
    """The function's role, and its policies as they were deployed: its own by name, attached ones by ARN."""

    iam: Any
    name: str
    own: Mapping[str, dict[str, Any]]
    attached: Mapping[str, dict[str, Any]]

    @classmethod
    def of(cls, story: Story) -> Role:
        """Read it."""
        iam, name = story.client("iam"), story.stack.outputs["FunctionRoleArn"].rpartition("/")[2]
        own = {
            each: iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"]
            for each in iam.list_role_policies(RoleName=name)["PolicyNames"]
        }
        arns = [each["PolicyArn"] for each in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]
        return cls(iam, name, own, {arn: managed(iam, arn) for arn in arns})

    @property
    def policy(self) -> dict[str, Any]:
        """All its statements as one policy."""
        policies = [*self.own.values(), *self.attached.values()]
        return policies[0] | {"Statement": [statement for policy in policies for statement in policy["Statement"]]}

    @contextmanager
    def changed(self, policy: dict[str, Any]) -> Iterator[None]:
        """Give it another policy in place of all its own, for a while."""
        self._put("changed", policy)
        for name in self.own:
            self.iam.delete_role_policy(RoleName=self.name, PolicyName=name)
        for arn in self.attached:
            self.iam.detach_role_policy(RoleName=self.name, PolicyArn=arn)
        try:
            yield
        finally:
            for name, original in self.own.items():
                self._put(name, original)
            for arn in self.attached:
                self.iam.attach_role_policy(RoleName=self.name, PolicyArn=arn)
            self.iam.delete_role_policy(RoleName=self.name, PolicyName="changed")

    def _put(self, name: str, policy: dict[str, Any]) -> None:
        self.iam.put_role_policy(RoleName=self.name, PolicyName=name, PolicyDocument=json.dumps(policy))


def managed(iam: Any, arn: str) -> dict[str, Any]:  # noqa: ANN401  a client of the SDK
    """Return what a managed policy says now."""
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    policy: dict[str, Any] = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return policy


def every_permission_is_needed(story: Story) -> None:
    """Take each action out of the role's policies: a named step fails. Give it back: all goes well."""
    role = Role.of(story)
    original = role.policy
    for sid, action in actions(original):
        if action in TRUSTED or action.startswith(_OF_SUBNETS):
            continue
        seen = len(story.stack.messages())
        with role.changed(without(original, sid, action)):
            answer = story.stack.invoke({"action": "rotate-and-revoke-now"})
        said = [line for line in story.stack.messages()[seen:] if "AccessDenied" in line]
        operation = action.partition(":")[2]
        assert any(operation in line for line in said), f"without {action} ({sid}) nothing failed: {answer}"
        story.show(f"without {operation} ({sid})", next(line for line in said if operation in line)[:110] + "…")
    assert story.stack.invoke({"action": "rotate-and-revoke-now"}).get("outcome") == "rotated"
    until("with all permissions back, one token is alive", lambda: live(story) == 1)
    for action, reason in TRUSTED.items():
        assert action in {action for _, action in actions(original)}
        story.trusted.append((f"{action} is not enforced here", reason))
    if any(action.startswith(_OF_SUBNETS) for _, action in actions(original)):
        story.trusted.append(
            (f"{_OF_SUBNETS}* is not called here", "Lambda joins and leaves subnets with it; none here")
        )


def operators_can_do_their_work_and_no_more(story: Story) -> None:
    """A user with the operators' policy makes each of its calls; without one action that call alone is refused."""
    outputs = story.stack.outputs
    keys = user(story, "operator")
    iam = story.client("iam")
    original = managed(iam, outputs["OperatorPolicyArn"])
    schedule = _schedule_of(story)
    query = story.client("logs").start_query(
        logGroupName=outputs["LogGroupName"], startTime=0, endTime=60, queryString="fields @message"
    )["queryId"]
    calls: dict[str, Callable[[], object]] = {
        "lambda:GetFunctionConfiguration": lambda: client("lambda").get_function_configuration(
            FunctionName=outputs["FunctionName"]
        ),
        "lambda:InvokeFunction": lambda: client("lambda").invoke(
            FunctionName=outputs["FunctionName"], Payload=json.dumps(story.stack.event)
        ),
        "secretsmanager:DescribeSecret": lambda: client("secretsmanager").describe_secret(SecretId=story.token_secret),
        "logs:FilterLogEvents": lambda: client("logs").filter_log_events(logGroupName=outputs["LogGroupName"], limit=1),
        "cloudwatch:DescribeAlarms": lambda: client("cloudwatch").describe_alarms(),
        "cloudwatch:GetMetricData": lambda: client("cloudwatch").get_metric_data(
            MetricDataQueries=[], StartTime=0, EndTime=60
        ),
        "sqs:ReceiveMessage": lambda: client("sqs").receive_message(QueueUrl=outputs["UndeliveredQueueUrl"]),
        "sqs:PurgeQueue": lambda: client("sqs").purge_queue(QueueUrl=outputs["UndeliveredQueueUrl"]),
        "logs:StartQuery": lambda: client("logs").start_query(
            logGroupName=outputs["LogGroupName"], startTime=0, endTime=60, queryString="fields @message"
        ),
        "logs:GetQueryResults": lambda: client("logs").get_query_results(queryId=query),
        "logs:StopQuery": lambda: client("logs").stop_query(queryId=query),
        "scheduler:ListSchedules": lambda: client("scheduler").list_schedules(),
        "scheduler:GetSchedule": lambda: client("scheduler").get_schedule(Name=schedule["Name"]),
        "scheduler:UpdateSchedule": lambda: client("scheduler").update_schedule(**schedule),
    }
    if isinstance(story.stack, Stack):
        calls["cloudformation:DescribeStacks"] = lambda: client("cloudformation").describe_stacks(
            StackName=story.stack.name
        )

    def client(service: str) -> Any:  # noqa: ANN401  one for each service
        return story.client(service, keys)

    def give(policy: dict[str, Any]) -> set[str]:
        iam.put_user_policy(UserName="operator", PolicyName="given", PolicyDocument=json.dumps(policy))
        return {action for action, call in calls.items() if refused(call)}

    allowed = {action: sid for sid, action in actions(original)}
    for action, reason in _TRUSTED_OF_OPERATORS.items():
        del allowed[action]
        story.trusted.append((f"{action} of operators is not tried here", reason))
    assert sorted(allowed) == sorted(calls), "a call is missing here for an action of the policy"
    assert not (lacking := give(original)), f"the policy lacks what {lacking} needs"
    for action, sid in allowed.items():
        assert give(without(original, sid, action)) == {action}, f"{action} is not what {sid} is for"
    give(original)
    secrets = client("secretsmanager")
    for secret in (story.token_secret, outputs["CredentialsSecretArn"]):
        assert refused(secrets.get_secret_value, SecretId=secret)
        assert refused(secrets.put_secret_value, SecretId=secret, SecretString="x")
    assert refused(client("lambda").update_function_configuration, FunctionName=outputs["FunctionName"], Timeout=3)
    story.show(
        "operators", f"{len(calls)} calls allowed, each refused without its action; no secret's value, no change"
    )


def _schedule_of(story: Story) -> dict[str, Any]:
    """Return one schedule of the function, as `update_schedule` takes it."""
    scheduler, function = story.client("scheduler"), story.stack.outputs["FunctionName"]
    listed = scheduler.list_schedules()["Schedules"]
    name = next(each["Name"] for each in listed if each["Target"]["Arn"].endswith(f":{function}"))
    found = scheduler.get_schedule(Name=name)
    return {key: found[key] for key in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target", "State")}


def actions(policy: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """List the actions that a policy allows, with the statement that allows each."""
    for statement in policy["Statement"]:
        listed = statement["Action"]
        for action in [listed] if isinstance(listed, str) else listed:
            if statement["Effect"] == "Allow":
                yield statement["Sid"], action


def without(policy: dict[str, Any], sid: str, action: str) -> dict[str, Any]:
    """Return a policy less one action of one statement."""
    statements = []
    for statement in policy["Statement"]:
        listed = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        kept = [each for each in listed if (statement["Sid"], each) != (sid, action)]
        if kept:
            statements.append(statement | {"Action": kept})
    return policy | {"Statement": statements}
