"""Users, roles and policies of the emulator."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.e2e.emulator import Emulator

ACCOUNT = "000000000000"


def is_denied(call: Callable[..., object], **parameters: object) -> bool:
    """Tell whether IAM denies a call."""
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"]).startswith("AccessDenied")
    return False


def policy(*statements: Mapping[str, Any]) -> str:
    """Return a policy with these statements, as JSON."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str) -> str:
    """Return a policy that allows these actions on everything, as JSON."""
    return policy({"Effect": "Allow", "Action": list(actions), "Resource": "*"})


def user(emulator: Emulator, name: str, *actions: str, policy_arn: str = "") -> dict[str, str]:
    """Create a user, if need be, with these permissions; return an access key."""
    iam = emulator.client("iam")
    if name not in [each["UserName"] for each in iam.list_users()["Users"]]:
        iam.create_user(UserName=name)
    if actions:
        iam.put_user_policy(UserName=name, PolicyName="given", PolicyDocument=allow(*actions))
    if policy_arn:
        iam.attach_user_policy(UserName=name, PolicyArn=policy_arn)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def detach_from_users(emulator: Emulator, policy_arn: str) -> None:
    """Detach a policy from every user: IAM deletes none that is attached."""
    iam = emulator.client("iam")
    for each in iam.list_entities_for_policy(PolicyArn=policy_arn)["PolicyUsers"]:
        iam.detach_user_policy(UserName=each["UserName"], PolicyArn=policy_arn)


def create_role(emulator: Emulator, arn: str, *actions: str) -> None:
    """Create a role that the account may assume, unless there is one."""
    iam, name = emulator.client("iam"), arn.rpartition("/")[2]
    if name in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
        return
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    iam.put_role_policy(RoleName=name, PolicyName="given", PolicyDocument=allow(*actions))


def assume(emulator: Emulator, role_arn: str, session_name: str) -> dict[str, str]:
    """Assume a role, and return the session's keys."""
    keys = emulator.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=session_name)["Credentials"]
    return {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }


def managed_policy(emulator: Emulator, arn: str) -> dict[str, Any]:
    """Return the document of a managed policy."""
    iam = emulator.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document: dict[str, Any] = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return document


def allowed(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the statements' ids with each action that they allow."""
    return [
        (statement["Sid"], action)
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for action in _actions(statement)
    ]


def without(document: Mapping[str, Any], sid: str, action: str) -> dict[str, Any]:
    """Return a policy less one action of one statement."""
    statements = [
        statement | {"Action": [each for each in _actions(statement) if (statement["Sid"], each) != (sid, action)]}
        for statement in document["Statement"]
    ]
    return {**document, "Statement": [statement for statement in statements if statement["Action"]]}


def _actions(statement: Mapping[str, Any]) -> list[str]:
    listed = statement["Action"]
    return [listed] if isinstance(listed, str) else listed


@dataclass(frozen=True)
class Role:
    """A role with its policies as they were deployed: inline ones by name, attached ones by ARN."""

    iam: Any
    name: str
    inline: Mapping[str, dict[str, Any]]
    attached: Mapping[str, dict[str, Any]]

    @classmethod
    def of(cls, emulator: Emulator, arn: str) -> Role:
        iam, name = emulator.client("iam"), arn.rpartition("/")[2]
        inline = {
            each: iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"]
            for each in iam.list_role_policies(RoleName=name)["PolicyNames"]
        }
        arns = [each["PolicyArn"] for each in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]
        return cls(iam, name, inline, {each: managed_policy(emulator, each) for each in arns})

    @property
    def statements(self) -> dict[str, Any]:
        """The statements of all its policies as one policy."""
        documents = [*self.inline.values(), *self.attached.values()]
        return documents[0] | {"Statement": [each for document in documents for each in document["Statement"]]}

    @contextmanager
    def with_policy(self, document: Mapping[str, Any]) -> Iterator[None]:
        """Give it this policy in place of all its own until the block ends."""
        self._put("changed", document)
        for name in self.inline:
            self.iam.delete_role_policy(RoleName=self.name, PolicyName=name)
        for arn in self.attached:
            self.iam.detach_role_policy(RoleName=self.name, PolicyArn=arn)
        try:
            yield
        finally:
            for name, original in self.inline.items():
                self._put(name, original)
            for arn in self.attached:
                self.iam.attach_role_policy(RoleName=self.name, PolicyArn=arn)
            self.iam.delete_role_policy(RoleName=self.name, PolicyName="changed")

    def _put(self, name: str, document: Mapping[str, Any]) -> None:
        self.iam.put_role_policy(RoleName=self.name, PolicyName=name, PolicyDocument=json.dumps(document))
