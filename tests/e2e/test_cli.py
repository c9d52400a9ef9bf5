"""The command line, each command in a separate process, with only the operators' policy."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e import users_and_roles
from tests.e2e.commands import telenor_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.job import Job


@pytest.fixture(scope="module")
def keys(job: Job) -> Mapping[str, str]:
    """An operator's keys."""
    return users_and_roles.user(job.emulator, "cli-operator", policy_arn=job.outputs["OperatorPolicyArn"])


def test_status_shows_the_last_run_and_the_stacks_own_grace(job: Job, keys: Mapping[str, str]) -> None:
    seen = telenor_token(job, keys, "status", "--stack", job.name, "--json")
    assert seen.returncode == 0
    assert json.loads(seen.stdout)["last_run"]["outcome"] in {"not-due", "rotated"}
    drawn = telenor_token(job, keys, "status", "--stack", job.name)
    assert re.search(rf"\b{job.grace_seconds} s\b", drawn.stdout)


def test_rotate_respects_the_stacks_grace_and_renew_is_then_not_due(job: Job, keys: Mapping[str, str]) -> None:
    previous = job.token()
    rotated = telenor_token(job, keys, "rotate", "--stack", job.name)
    assert (rotated.returncode, json.loads(rotated.stdout)["reason"]) == (0, "forced")
    assert job.telenor.is_live(previous)
    renewed = telenor_token(job, keys, "renew", "--function", job.outputs["FunctionName"])
    assert (renewed.returncode, json.loads(renewed.stdout)["outcome"]) == (0, "not-due")


def test_emergency_leaves_one_active_token(job: Job, keys: Mapping[str, str]) -> None:
    assert telenor_token(job, keys, "emergency", "--stack", job.name, "--yes").returncode == 0
    job.wait_for_one_active_token()
    assert job.telenor.is_live(job.token())


def test_doctor_reports_missing_permissions_and_requests_no_token(job: Job, keys: Mapping[str, str]) -> None:
    requests = len(job.telenor.requests)
    examined = telenor_token(job, keys, "doctor", "--stack", job.name, "--json", "--yes")
    assert examined.returncode == 1
    assert "secretsmanager:GetSecretValue" in " ".join(json.loads(examined.stdout)["cannot"])
    assert "token" not in [request.operation for request in job.telenor.requests[requests:]]


def test_the_operators_policy_is_limited_to_the_stacks_region(job: Job, keys: Mapping[str, str]) -> None:
    refused = telenor_token(job, keys, "status", "--stack", job.name, "--region", "eu-west-1")
    assert (refused.returncode, "eu-west-1" in refused.stderr) == (1, True)


def test_a_user_without_permissions_is_denied(job: Job) -> None:
    refused = telenor_token(job, users_and_roles.user(job.emulator, "cli-stranger"), "rotate", "--stack", job.name)
    assert (refused.returncode, "cloudformation:DescribeStacks" in refused.stderr) == (1, True)


def test_doctor_invokes_the_function_if_a_new_token_revokes_the_published_one(second_job: Job) -> None:
    """Against a Telenor that revokes the published token when it issues a new one, which puts promises at risk."""
    job, arn = second_job, second_job.outputs["OperatorPolicyArn"]
    keys = users_and_roles.user(job.emulator, "doctor", "secretsmanager:GetSecretValue", policy_arn=arn)
    before, versions, forced = job.token(), len(job.labels()), len(job.runs(reason="forced"))
    job.telenor.knobs(issue="new-revokes-old")
    try:
        examined = telenor_token(job, keys, "doctor", "--stack", job.name, "--yes")
    finally:
        job.telenor.knobs(issue="new")
    assert examined.returncode == 4
    assert not job.telenor.is_live(before)
    assert job.telenor.is_live(job.token())
    assert len(job.runs(reason="forced")) == forced + 1
    assert len(job.labels()) <= versions + 1
