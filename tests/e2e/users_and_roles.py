"""Users and roles of the emulator that call AWS for a test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
