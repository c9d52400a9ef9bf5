"""CloudFormation of an account with some stacks, and the environments in which no program can use it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

# By these a stack is this job's.
OWN = {"FunctionName": "x", "FunctionRoleArn": "x", "LogGroupName": "x", "TokenSecretArn": "y"}

UNUSABLE_ENVIRONMENTS = pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "no region is set"),
        ({"AWS_PROFILE": "nope"}, "nope"),
        ({"AWS_PROFILE": "nope", "AWS_REGION": "eu-north-1"}, "nope"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "no region is set"),
        ({"AWS_REGION": "eu-north-1", "AWS_ENDPOINT_URL": "notaurl"}, "notaurl"),
        ({"AWS_REGION": "eu-north-1", "AWS_MAX_ATTEMPTS": "abc"}, "abc"),
        ({"AWS_REGION": "eu-north-1", "AWS_EC2_METADATA_DISABLED": "true"}, "Log in, or set AWS_PROFILE"),
    ],
)


class FakeCloudFormation:
    """An account with some stacks; it records the regions of its clients."""

    def __init__(self) -> None:
        self.stacks: dict[str, dict[str, Any]] = {}
        self.regions: list[str] = []

    def client(self, service: str, region_name: str) -> FakeCloudFormation:
        assert service in {"cloudformation", "sts"}
        self.regions.append(region_name)
        return self

    def put(
        self, status: str = "CREATE_COMPLETE", name: str = "telenor-token", given: Any = (), outputs: Any = OWN
    ) -> None:
        self.stacks[name] = {
            "StackStatus": status,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in dict(given).items()],
            "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in dict(outputs).items()],
        }

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012"}

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803  boto3's own name
        if StackName not in self.stacks:
            raise ClientError({"Error": {"Message": f"Stack with id {StackName} does not exist"}}, "DescribeStacks")
        return {"Stacks": [self.stacks[StackName]]}


@contextmanager
def unwritable_stdout(*, is_full: bool) -> Iterator[None]:
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full" if is_full else writer, "w") as stdout, patch("sys.stdout", stdout):  # noqa: PTH123  a descriptor
        yield
