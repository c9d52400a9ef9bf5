"""Clients come and go, until all is destroyed: each test begins where the one before has ended."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.e2e import iam, test_runs
from tests.e2e.job import DEPLOYMENT_ROLE_ARN, until
from tests.e2e.terraform.conftest import EXISTING, FOURTH, PLAIN, SCOPED, Clients
from tests.infra.terraform.configuration import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.local.telenor_sandbox import Client
    from tests.e2e.emulator import Emulator
    from tests.infra.terraform.configuration import Change

# What lists the clients: no other resource may change when one joins or leaves.
_SHARED = {
    "aws_iam_policy.function",
    "aws_iam_role_policy.function",
    "aws_iam_policy.operator",
    "aws_sqs_queue_policy.undelivered",
    "aws_cloudwatch_dashboard.token",
}


# What lists the resources of an account, by service.
_LISTS = {
    "cloudwatch": ["describe_alarms", "list_dashboards"],
    "events": ["list_rules"],
    "iam": ["list_roles", "list_policies"],
    "lambda": ["list_functions"],
    "scheduler": ["list_schedules"],
    "sns": ["list_topics", "list_subscriptions"],
    "sqs": ["list_queues"],
}


def others_than(client: str, action: str, changes: list[Change]) -> list[Change]:
    """Return the changes beside this action on one client's resources and updates of what lists the clients."""
    return [
        change
        for change in changes
        if (change.client, change.action) != (client, action)
        and (change.address.partition("[")[0] not in _SHARED or change.action != "update")
    ]


def test_a_client_joins_while_the_others_rotate_and_its_plan_touches_nothing_of_theirs(clients: Clients) -> None:
    others = list(clients.jobs.values())
    with ThreadPoolExecutor(1) as pool:
        applied = pool.submit(clients.apply, {**clients.variables["clients"], FOURTH: {}})
        rotations = [test_runs.rotate(job) for job in others]
        for job, rotation in zip(others, rotations, strict=True):
            test_runs.check_grace(job, *rotation)
    assert not others_than(FOURTH, "create", applied.result())
    job = clients.jobs[FOURTH]
    assert job.put_credentials(job.client_secret)["outcome"] == "rotated"
    assert job.telenor.is_live(job.token())


@pytest.mark.parametrize("name", [PLAIN, SCOPED, EXISTING, FOURTH])
def test_each_client_has_its_own_alarms_and_is_on_the_dashboard(clients: Clients, name: str) -> None:
    test_runs.test_alarms_and_dashboard_read_metrics_that_the_runs_send(clients.jobs[name])


@pytest.mark.parametrize("name", [PLAIN, SCOPED, EXISTING, FOURTH])
def test_each_client_has_its_own_metrics(clients: Clients, name: str) -> None:
    test_runs.test_each_run_sends_the_time_until_expiry_and_no_counter_that_is_zero(clients.jobs[name])
    listed = clients.emulator.client("cloudwatch").list_metrics(
        Namespace="TelenorToken",
        MetricName="SecondsUntilExpiry",
        Dimensions=[{"Name": "client", "Value": name}],
    )
    assert listed["Metrics"]


def test_a_second_plan_changes_nothing(clients: Clients) -> None:
    assert clients.module.plan(clients.variables) == []


def test_a_client_under_deletion_protection_cannot_leave(clients: Clients) -> None:
    others = {name: value for name, value in clients.variables["clients"].items() if name != SCOPED}
    with pytest.raises(RefusedError, match=f"clients: {SCOPED}: it is no longer named"):
        clients.apply(others)


def test_not_even_the_deployment_role_deletes_a_protected_token_secret(clients: Clients) -> None:
    job = clients.jobs[SCOPED]
    deployment = job.client("secretsmanager", iam.assume(job.emulator, DEPLOYMENT_ROLE_ARN, "somebody"))
    assert iam.is_denied(deployment.delete_secret, SecretId=job.token_secret, ForceDeleteWithoutRecovery=True)
    assert iam.is_denied(deployment.delete_resource_policy, SecretId=job.token_secret)


def test_a_client_leaves_and_the_others_keep_their_tokens_and_run_on(clients: Clients) -> None:
    gone, others = clients.jobs[SCOPED], clients.others(SCOPED)
    before = {name: (job.token(), job.token_secret) for name, job in others.items()}
    variables = clients.variables["clients"]
    clients.apply({**variables, SCOPED: {**variables[SCOPED], "deletion_protection": False}})
    assert not others_than(SCOPED, "delete", clients.apply({name: variables[name] for name in others}))
    assert clients.jobs.keys() == others.keys()
    assert {name: (job.token(), job.token_secret) for name, job in clients.jobs.items()} == before
    for job in clients.jobs.values():
        runs = len(job.runs())
        until("another run", lambda job=job, runs=runs: len(job.runs()) > runs)  # type: ignore[misc]
        assert job.runs()[-1]["outcome"] == "not-due"
    with pytest.raises(ClientError) as refusal:
        gone.labels()
    assert refusal.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_the_credentials_of_a_client_that_has_left_can_be_restored(clients: Clients) -> None:
    secrets_manager = clients.emulator.client("secretsmanager")
    listed = secrets_manager.list_secrets(IncludePlannedDeletion=True)["SecretList"]
    deleted = [each["ARN"] for each in listed if "DeletedDate" in each]
    assert len(deleted) == 1
    secrets_manager.restore_secret(SecretId=deleted[0])
    value = json.loads(secrets_manager.get_secret_value(SecretId=deleted[0])["SecretString"])
    assert value["client_id"] == SCOPED
    secrets_manager.delete_secret(SecretId=deleted[0], RecoveryWindowInDays=30)


def test_destroying_leaves_the_log_restorable_credentials_and_the_existing_secret(clients: Clients) -> None:
    existing = clients.jobs[EXISTING].credentials_secret
    made = {job.credentials_secret for job in clients.others(EXISTING).values()}
    clients.variables["deletion_protection"] = False
    clients.apply(clients.variables["clients"])
    clients.module.destroy()
    assert not clients.module.state()
    listed = clients.emulator.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]
    secrets = [each for each in listed if not each["Name"].startswith("somebody/else")]
    assert {each["ARN"] for each in secrets if "DeletedDate" not in each} == {existing}
    assert {each["ARN"] for each in secrets if "DeletedDate" in each} >= made
    groups = clients.emulator.client("logs").describe_log_groups()["logGroups"]
    assert [each["logGroupName"] for each in groups] == [clients.jobs[EXISTING].outputs["LogGroupName"]]
    name = clients.variables["name"]
    lists = [(service, operation) for service, operations in _LISTS.items() for operation in operations]
    left = {operation: str(getattr(clients.emulator.client(service), operation)()) for service, operation in lists}
    assert [operation for operation, listed in left.items() if name in listed] == []


def test_no_secret_is_in_any_log(
    clients: Clients, emulator: Emulator, apps: Mapping[str, Client], issued_tokens: list[str]
) -> None:
    assert clients.jobs
    test_runs.test_no_secret_is_in_any_log(emulator, apps, issued_tokens)
