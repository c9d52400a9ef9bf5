"""Reads a deployed stack from CloudFormation, with the region and the account that it is in."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from handler.cli import aws_errors
from handler.secrets_manager import NOT_AWS_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Most SDKs and the AWS CLI read the first, boto3 and SAM the second.
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")

# The command that repairs a stack whose status allows no update.
_REMEDIES = {
    "ROLLBACK_COMPLETE": "delete-stack",
    "ROLLBACK_FAILED": "delete-stack",
    "CREATE_FAILED": "delete-stack",
    "DELETE_FAILED": "delete-stack",
    "UPDATE_FAILED": "rollback-stack",
    "UPDATE_ROLLBACK_FAILED": "continue-update-rollback",
}


class RefusalError(Exception):
    """Nothing was deployed; the message says why."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """An existing stack. If CloudFormation would refuse to update it, `obstacle` says why and what to do."""

    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    obstacle: str | None = None


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    """Refuse a response that is not AWS's. Raises RefusalError."""
    try:
        yield
    except (*NOT_AWS_ERRORS, IndexError) as error:
        raise RefusalError(aws_errors.unreadable(error, what)) from None


def the_region() -> str:
    """Return the region of the environment or the profile. Raises RefusalError."""
    try:
        region: str | None = boto3.session.Session().region_name
    except BotoCoreError as error:
        raise RefusalError(f"your AWS configuration is unusable: {error}") from None
    region = next((value for name in REGION_VARIABLES if (value := os.environ.get(name))), region)
    if not region:
        raise RefusalError("no region is set: export AWS_REGION, or use a profile with a region")
    return region


@readable("the stack")
def describe(stack: str, region: str) -> Deployed | None:
    """Return a stack, or None if it does not exist. Raises RefusalError for an invalid name, and if AWS is silent."""
    # CloudFormation, "CreateStack", StackName. Without a name it describes all stacks.
    if not re.fullmatch("[A-Za-z][A-Za-z0-9-]{0,127}", stack):
        raise RefusalError(f"STACK={stack} is not 1 to 128 letters, digits and hyphens that begin with a letter")
    try:
        client = boto3.client("cloudformation", region_name=region)
        described: Any = client.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        advice = ". Log in again" if aws_errors.code_of(error) in aws_errors.STALE_CREDENTIALS else ""
        raise RefusalError(f"CloudFormation in {region} refused: {str(error).rstrip('.')}{advice}") from None
    except (BotoCoreError, ValueError) as error:
        advice = ". Log in, or set AWS_PROFILE" if isinstance(error, aws_errors.NOT_LOGGED_IN) else ""
        reason = str(error).rstrip(".")
        raise RefusalError(f"CloudFormation in {region} cannot be used: {reason}{advice}") from None
    if described["StackStatus"] == "REVIEW_IN_PROGRESS":
        return None
    return Deployed(
        {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])},
        {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])},
        _obstacle(described["StackStatus"], stack, region),
    )


def _obstacle(status: str, stack: str, region: str) -> str | None:
    if re.fullmatch("(CREATE|(UPDATE|IMPORT)(_ROLLBACK)?)_COMPLETE", status):
        return None
    message = f"stack {stack} in {region} has the status {status}, which allows no update"
    if status.endswith("_IN_PROGRESS"):
        return f"{message}: wait until the running change has ended"
    where = f"--stack-name {stack} --region {region}"
    message += f": `aws cloudformation describe-stack-events {where}` shows why"
    remedy = _REMEDIES.get(status)
    return f"{message}; then run `aws cloudformation {remedy} {where}`, and try again" if remedy else message


def existing(stack: str, region: str) -> Deployed:
    """Return a stack with its outputs. Raises RefusalError if it does not exist."""
    found = describe(stack, region)
    if found is None:
        raise RefusalError(f"there is no stack {stack} in {region}: name it by STACK=, and its region by AWS_REGION")
    if found.obstacle and not found.outputs:
        raise RefusalError(found.obstacle)
    return found


def refuse_foreign(found: Deployed, stack: str, region: str) -> None:
    """Refuse a stack that this template did not make. Raises RefusalError."""
    # The example of a consumer has the first two.
    for output in ("FunctionName", "FunctionRoleArn", "TokenSecretArn", "LogGroupName"):
        if output not in found.outputs:
            raise RefusalError(
                f"stack {stack} in {region} is not this job's: it has no output {output}. Name another with STACK="
            )


@readable("the account")
def account_of(region: str) -> str:
    """Return the id of the account. Raises RefusalError if AWS does not answer."""
    try:
        return str(boto3.client("sts", region_name=region).get_caller_identity()["Account"])
    except (BotoCoreError, ClientError) as error:
        raise RefusalError(f"AWS does not tell which account this is: {error}") from None
