"""A fake CloudFormation, in an environment with AWS_REGION alone."""

from __future__ import annotations

import os

import boto3
import pytest

from tests.infra.fake_cloudformation import FakeCloudFormation


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's AWS settings."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    # boto3's default session caches the credentials.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture
def cloudformation(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> FakeCloudFormation:
    del clean_environment
    aws = FakeCloudFormation()
    monkeypatch.setattr(boto3, "client", aws.client)
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    return aws
