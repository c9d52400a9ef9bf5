"""Users, roles and policies of the emulator."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tests.e2e.emulator import Emulator


def is_denied(call: Callable[..., object], **parameters: object) -> bool:
    """Return whether IAM denies a call."""
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"]).startswith("AccessDenied")
    return False


def policy(*statements: Mapping[str, Any]) -> str:
    """Return a policy with these statements, as JSON."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str) -> str:
    return policy({"Effect": "Allow", "Action": list(actions), "Resource": "*"})


def user(emulator: Emulator, name: str, *actions: str, policy_arn: str = "") -> dict[str, str]:
    """Create a user with these permissions, unless it exists; return an access key."""
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
    """Detach a policy from every user, since IAM does not delete an attached policy."""
    iam = emulator.client("iam")
    for each in iam.list_entities_for_policy(PolicyArn=policy_arn)["PolicyUsers"]:
        iam.detach_user_policy(UserName=each["UserName"], PolicyArn=policy_arn)


def create_role(emulator: Emulator, arn: str, *actions: str) -> None:
    """Create a role that the account may assume, unless it exists."""
    iam, name = emulator.client("iam"), arn.rpartition("/")[2]
    if name in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
        return
    trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "sts:AssumeRole"}
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


def managed_policy(emulator: Emulator, arn: str) -> list[dict[str, Any]]:
    """Return the statements of a managed policy."""
    iam = emulator.client("iam")
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    return _statements(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def _statements(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a policy's statements, each with a list of actions."""
    given: list[dict[str, Any]] = document["Statement"]
    return [each | {"Action": [each["Action"]]} if isinstance(each["Action"], str) else each for each in given]


def allowed(statements: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """List the statements' ids with each action that they allow."""
    return [(each["Sid"], action) for each in statements if each["Effect"] == "Allow" for action in each["Action"]]


def without(statements: Iterable[Mapping[str, Any]], sid: str, action: str) -> list[dict[str, Any]]:
    """Return the statements without one action of one of them."""
    less = [
        {**each, "Action": [name for name in each["Action"] if (each["Sid"], name) != (sid, action)]}
        for each in statements
    ]
    return [each for each in less if each["Action"]]


class Role:
    """A role, with the statements of all its policies as they were deployed."""

    def __init__(self, emulator: Emulator, arn: str) -> None:
        self._iam = iam = emulator.client("iam")
        self._role = role = {"RoleName": arn.rpartition("/")[2]}
        names = iam.list_role_policies(**role)["PolicyNames"]
        inline = [iam.get_role_policy(**role, PolicyName=name) for name in names]
        self._inline = {each["PolicyName"]: _statements(each["PolicyDocument"]) for each in inline}
        attached = iam.list_attached_role_policies(**role)["AttachedPolicies"]
        self._attached = {each["PolicyArn"]: managed_policy(emulator, each["PolicyArn"]) for each in attached}
        self.statements = [each for own in (*self._inline.values(), *self._attached.values()) for each in own]

    @contextmanager
    def having(self, statements: Iterable[Mapping[str, Any]]) -> Iterator[None]:
        """Replace the role's statements within the block."""
        iam, role = self._iam, self._role
        iam.put_role_policy(**role, PolicyName="changed", PolicyDocument=policy(*statements))
        for name in self._inline:
            iam.delete_role_policy(**role, PolicyName=name)
        for arn in self._attached:
            iam.detach_role_policy(**role, PolicyArn=arn)
        try:
            yield
        finally:
            for name, original in self._inline.items():
                iam.put_role_policy(**role, PolicyName=name, PolicyDocument=policy(*original))
            for arn in self._attached:
                iam.attach_role_policy(**role, PolicyArn=arn)
            iam.delete_role_policy(**role, PolicyName="changed")
