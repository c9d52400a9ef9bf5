"""A stack from its deployment to its deletion: each test continues from the previous one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.e2e import users_and_roles
from tests.e2e.commands import telenor_token
from tests.e2e.conftest import NEW_CLIENT_ID
from tests.e2e.job import Job, until
from tests.e2e.sam_stack import Stack

if TYPE_CHECKING:
    from infra.local.telenor_sandbox import TelenorSandbox
    from tests.e2e.emulator import Emulator


@pytest.fixture(scope="module")
def new_stack(emulator: Emulator, parameters: dict[str, str]) -> Stack:
    return Stack(emulator, "telenor-token-new", {**parameters})


@pytest.fixture(scope="module")
def new_job(new_stack: Stack, emulator: Emulator, sandbox: TelenorSandbox) -> Job:
    """A job without credentials."""
    outputs = new_stack.deploy()
    return Job(emulator=emulator, telenor=sandbox, name=new_stack.name, outputs=outputs, client_id=NEW_CLIENT_ID)


def test_a_scheduled_run_without_credentials_fails_and_asks_for_no_token(new_job: Job) -> None:
    until("a failed run", lambda: bool(new_job.runs(outcome="failed")))
    before = new_job.telenor.state()["counters"]["token"]
    until("its metrics", lambda: bool(new_job.metrics()))
    until("another failed run", lambda: len(new_job.runs(outcome="failed")) > 1)
    assert {run["error_code"] for run in new_job.runs()} == {new_job.code_without_credentials}
    assert new_job.metrics()[0] == {"RotationFailed": 1, "SecondsUntilExpiry": 0}
    assert new_job.telenor.state()["counters"]["token"] == before
    assert not new_job.issued()


def test_lambda_does_not_retry_a_failed_event(new_job: Job) -> None:
    until("four failed runs", lambda: len(new_job.runs(outcome="failed")) >= 4)
    ids = [run["function_request_id"] for run in new_job.runs(outcome="failed")]
    assert len(ids) == len(set(ids))


def test_wrong_credentials_are_tried_at_once(new_job: Job) -> None:
    run = new_job.put_credentials(f"not-{new_job.client_secret}")
    assert (run["outcome"], run["error_code"]) == ("failed", "credentials-refused")


def test_correct_credentials_are_tried_at_once_and_bring_the_first_token(new_job: Job) -> None:
    assert new_job.put_credentials(new_job.client_secret)["outcome"] == "rotated"
    assert new_job.telenor.is_live(new_job.token())


def test_after_mistyped_credentials_the_previous_ones_are_used_and_reported(new_job: Job) -> None:
    assert new_job.put_credentials(f"mistyped-{new_job.client_secret}")["outcome"] == "rotated"
    # A run logs its summary before its metrics.
    until("its metric", lambda: any("CredentialsFallback" in each for each in new_job.metrics()))
    secrets_manager = new_job.client("secretsmanager")
    versions = secrets_manager.describe_secret(SecretId=new_job.credentials_secret)["VersionIdsToStages"]
    by_label = {label: version for version, labels in versions.items() for label in labels}
    before = len(new_job.runs(reason="forced")), len(new_job.metrics())
    secrets_manager.update_secret_version_stage(
        SecretId=new_job.credentials_secret,
        VersionStage="AWSCURRENT",
        MoveToVersionId=by_label["AWSPREVIOUS"],
        RemoveFromVersionId=by_label["AWSCURRENT"],
    )
    until("a run with the previous pair", lambda: len(new_job.runs(reason="forced")) > before[0])
    until("its metrics", lambda: len(new_job.metrics()) > before[1])
    assert "CredentialsFallback" not in new_job.metrics()[-1]


def test_an_update_changes_the_setting_and_keeps_secrets_versions_and_ledger(new_stack: Stack, new_job: Job) -> None:
    until("nothing waits for its revocation", lambda: len(new_job.tracked()) == 1)
    before = new_job.labels(), new_job.token()
    assert new_stack.deploy(GraceSeconds="30") == new_job.outputs
    configuration = new_job.client("lambda").get_function_configuration(FunctionName=new_job.outputs["FunctionName"])
    assert configuration["Environment"]["Variables"]["GRACE_SECONDS"] == "30"
    assert (new_job.labels(), new_job.token()) == before
    assert new_job.invoke()["outcome"] == "not-due"


def test_retire_by_an_operator_disables_the_schedule_and_leaves_one_active_token(new_job: Job) -> None:
    keys = users_and_roles.user(new_job.emulator, "retire-operator", policy_arn=new_job.outputs["OperatorPolicyArn"])
    assert telenor_token(new_job, keys, "retire", "--stack", new_job.name, "--yes").returncode == 0
    schedules = new_job.client("scheduler").list_schedules()["Schedules"]
    own = [each["State"] for each in schedules if each["Target"]["Arn"].endswith(f":{new_job.outputs['FunctionName']}")]
    assert own == ["DISABLED"]
    new_job.wait_for_one_active_token()


def test_a_deletion_keeps_credentials_log_and_attached_policies_but_no_token(new_stack: Stack, new_job: Job) -> None:
    policies = [new_job.outputs["ConsumerPolicyArn"], new_job.outputs["OperatorPolicyArn"]]
    for arn in policies:
        users_and_roles.user(new_job.emulator, "holder-of-policies", policy_arn=arn)
    new_stack.delete()
    secrets_manager = new_job.client("secretsmanager")
    value = secrets_manager.get_secret_value(SecretId=new_job.credentials_secret)["SecretString"]
    assert new_job.client_secret in value
    with pytest.raises(ClientError) as refusal:
        new_job.token()
    assert refusal.value.response["Error"]["Code"] in {"ResourceNotFoundException", "InvalidRequestException"}
    groups = new_job.client("logs").describe_log_groups(logGroupNamePrefix=new_job.outputs["LogGroupName"])
    assert groups["logGroups"]
    for arn in policies:
        users_and_roles.detach_from_users(new_job.emulator, arn)
        new_job.client("iam").delete_policy(PolicyArn=arn)
