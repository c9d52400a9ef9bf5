"""The module's clients and their isolation, until they are destroyed: each test continues from the previous one."""

from __future__ import annotations

import base64
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e import role_permissions, test_iam, test_lifecycle, test_runs, test_telemetry, users_and_roles
from tests.e2e.commands import telenor_token
from tests.e2e.job import DEPLOYMENT_ROLE_ARN, until
from tests.e2e.terraform.conftest import EXISTING, FOURTH, PLAIN, SCOPE, SCOPED, Clients

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infra.local.telenor_sandbox import Client
    from tests.e2e.emulator import Emulator
    from tests.e2e.job import Job
    from tests.infra.terraform.root_module import Change

pytestmark = pytest.mark.terraform

# The resources that list the clients: no other may change when a client is added or removed.
_SHARED = {
    "aws_iam_policy.function",
    "aws_iam_role_policy.function",
    "aws_iam_policy.operator",
    "aws_sqs_queue_policy.undelivered",
    "aws_cloudwatch_dashboard.token",
}

# The calls that list the resources of an account, by service.
_LISTS = {
    "cloudwatch": ["describe_alarms", "list_dashboards"],
    "events": ["list_rules"],
    "iam": ["list_roles", "list_policies"],
    "lambda": ["list_functions"],
    "scheduler": ["list_schedules"],
    "sns": ["list_topics", "list_subscriptions"],
    "sqs": ["list_queues"],
}


def test_the_first_apply_only_creates_resources(new_clients: Clients) -> None:
    assert {change.action for change in new_clients.first_changes} == {"create"}
    assert new_clients.module.outputs["untold_alarms"] is None


def test_the_function_has_the_artifact_of_make_build(new_clients: Clients) -> None:
    name = new_clients.jobs[PLAIN].outputs["FunctionName"]
    function = new_clients.emulator.client("lambda").get_function_configuration(FunctionName=name)
    digest = hashlib.sha256((new_clients.module.directory / "artifact.zip").read_bytes()).digest()
    assert function["CodeSha256"] == base64.b64encode(digest).decode()


def test_a_client_with_an_existing_credentials_secret_gets_a_first_token_by_schedule(new_clients: Clients) -> None:
    job = new_clients.jobs[EXISTING]
    until("the first token", lambda: bool(job.tracked()))
    assert job.telenor.is_live(job.token())
    assert not job.runs(outcome="failed")


@pytest.mark.parametrize(
    "claim",
    [
        test_lifecycle.test_a_scheduled_run_without_credentials_fails_and_asks_for_no_token,
        test_lifecycle.test_lambda_does_not_retry_a_failed_event,
        test_lifecycle.test_wrong_credentials_are_tried_at_once,
        test_lifecycle.test_correct_credentials_are_tried_at_once_and_bring_the_first_token,
        test_lifecycle.test_after_mistyped_credentials_the_previous_ones_are_used_and_reported,
    ],
)
@pytest.mark.parametrize("name", [PLAIN, SCOPED])
def test_a_new_client_behaves_like_a_new_stack(new_clients: Clients, name: str, claim: Callable[[Job], None]) -> None:
    claim(new_clients.jobs[name])


def test_credentials_put_into_an_existing_secret_are_tried_at_once(new_clients: Clients) -> None:
    job = new_clients.jobs[EXISTING]
    assert job.put_credentials(job.client_secret, reason="credentials-unchanged")["outcome"] == "not-due"


def test_a_scope_is_only_in_the_tokens_of_its_client(clients: Clients) -> None:
    scopes = {name: {token["scope"] for token in job.issued()} for name, job in clients.jobs.items()}
    assert scopes.pop(SCOPED) == {SCOPE}
    assert SCOPE not in set().union(*scopes.values())


@pytest.mark.parametrize("name", [PLAIN, SCOPED, EXISTING])
def test_a_consumer_reads_only_the_token_of_its_client(clients: Clients, name: str) -> None:
    job, policy_arn = clients.jobs[name], clients.jobs[name].outputs["ConsumerPolicyArn"]
    consumer = job.client(
        "secretsmanager", users_and_roles.user(job.emulator, f"consumer-of-{name}", policy_arn=policy_arn)
    )
    value = json.loads(consumer.get_secret_value(SecretId=job.token_secret)["SecretString"])
    assert job.telenor.is_live(value["access_token"])
    assert users_and_roles.is_denied(consumer.put_secret_value, SecretId=job.token_secret, SecretString="x")
    closed = [other.token_secret for other in clients.others(name).values()]
    closed += [other.credentials_secret for other in clients.jobs.values()]
    assert [
        secret for secret in closed if not users_and_roles.is_denied(consumer.get_secret_value, SecretId=secret)
    ] == []
    users_and_roles.detach_from_users(job.emulator, policy_arn)


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        (PLAIN, test_iam.test_a_named_reader_only_reads_and_others_cannot_read),
        (PLAIN, test_iam.test_an_administrator_can_neither_write_the_token_nor_read_the_credentials),
        (PLAIN, test_iam.test_the_deployment_role_updates_the_token_secret),
        (PLAIN, test_iam.test_the_role_cannot_write_credentials_read_other_secrets_or_move_awscurrent),
        (EXISTING, test_iam.test_the_role_cannot_write_credentials_read_other_secrets_or_move_awscurrent),
        (PLAIN, test_iam.test_no_other_function_can_use_the_role),
        (EXISTING, test_iam.test_no_other_function_can_use_the_role),
        (PLAIN, test_iam.test_an_operator_can_make_exactly_the_calls_of_the_policy),
    ],
)
def test_permissions_equal_those_of_a_stack(clients: Clients, name: str, claim: Callable[[Job], None]) -> None:
    claim(clients.jobs[name])


def test_a_run_fails_without_each_permission_of_the_role(clients: Clients, subtests: pytest.Subtests) -> None:
    test_iam.test_a_run_fails_without_each_permission_of_the_role(clients.jobs[PLAIN], subtests)


def test_the_command_line_finds_each_client_and_rotates_one_with_its_scope(clients: Clients) -> None:
    job, others = clients.jobs[SCOPED], clients.others(SCOPED)
    policy_arn = job.outputs["OperatorPolicyArn"]
    keys = users_and_roles.user(job.emulator, "cli-operator", policy_arn=policy_arn)
    function = ("--function", job.outputs["FunctionName"])
    named = [word for each in clients.jobs.values() for word in ("--client", json.dumps(each.event))]
    assert telenor_token(job, keys, "status", *function, *named).returncode == 0
    before, untouched = job.token(), {name: other.token() for name, other in others.items()}
    rotated = telenor_token(job, keys, "rotate", *function, "--client", json.dumps(job.event))
    assert (rotated.returncode, json.loads(rotated.stdout)["client"]) == (0, SCOPED)
    assert job.token() != before
    assert {token["scope"] for token in job.issued()} == {SCOPE}
    assert {name: other.token() for name, other in others.items()} == untouched
    users_and_roles.detach_from_users(job.emulator, policy_arn)


def test_an_emergency_rotation_of_one_client_leaves_the_others_tokens(clients: Clients) -> None:
    before = {name: job.token() for name, job in clients.others(SCOPED).items()}
    test_runs.test_an_emergency_rotation_revokes_the_leaked_token_at_once(clients.jobs[SCOPED])
    assert {name: job.token() for name, job in clients.others(SCOPED).items()} == before
    assert all(clients.telenor.is_live(token) for token in before.values())


def test_only_the_client_whose_permissions_are_removed_fails(clients: Clients) -> None:
    job, others = clients.jobs[SCOPED], clients.others(SCOPED)
    role = role_permissions.Role(job.emulator, job.outputs["FunctionRoleArn"])
    failed = {name: len(each.runs(outcome="failed")) for name, each in clients.jobs.items()}
    with role.having(without_secrets(role.statements, {job.token_secret, job.credentials_secret})):
        until(f"a failed run of {SCOPED}", lambda: len(job.runs(outcome="failed")) > failed[SCOPED])
        for name, other in others.items():
            assert other.invoke(action="rotate-now")["outcome"] == "rotated"
            assert len(other.runs(outcome="failed")) == failed[name]
    assert "AccessDenied" in job.runs(outcome="failed")[-1]["message"]
    until(f"a successful run of {SCOPED}", lambda: job.runs()[-1]["outcome"] != "failed")


def test_adding_a_client_during_rotations_plans_no_change_of_the_others(clients: Clients) -> None:
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
def test_each_client_has_its_own_alarms_and_metrics_and_is_on_the_dashboard(clients: Clients, name: str) -> None:
    test_telemetry.test_alarms_and_dashboard_read_metrics_that_the_runs_send(clients.jobs[name])
    test_telemetry.test_each_run_sends_the_time_until_expiry_and_only_nonzero_counters(clients.jobs[name])
    metric = {"Namespace": "TelenorToken", "MetricName": "SecondsUntilExpiry"}
    dimensions = [{"Name": "client", "Value": name}]
    assert clients.emulator.client("cloudwatch").list_metrics(**metric, Dimensions=dimensions)["Metrics"]


def test_a_second_plan_changes_nothing(clients: Clients) -> None:
    assert clients.module.plan(clients.variables) == []


def test_not_even_the_deployment_role_deletes_a_protected_token_secret(clients: Clients) -> None:
    job = clients.jobs[SCOPED]
    deployment = job.client("secretsmanager", users_and_roles.assume(job.emulator, DEPLOYMENT_ROLE_ARN, "session"))
    assert users_and_roles.is_denied(
        deployment.delete_secret, SecretId=job.token_secret, ForceDeleteWithoutRecovery=True
    )
    assert users_and_roles.is_denied(deployment.delete_resource_policy, SecretId=job.token_secret)


def test_after_removing_a_client_the_others_keep_their_tokens_and_keep_running(clients: Clients) -> None:
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


def test_destroying_keeps_the_log_restorable_credentials_and_the_existing_secret(clients: Clients) -> None:
    existing = clients.jobs[EXISTING].credentials_secret
    made = {job.credentials_secret for job in clients.others(EXISTING).values()}
    clients.variables["deletion_protection"] = False
    clients.apply(clients.variables["clients"])
    clients.module.destroy()
    assert not clients.module.state()
    listed = clients.emulator.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]
    secrets = [each for each in listed if not each["Name"].startswith("another-owner/")]
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
    test_telemetry.test_no_secret_is_in_any_log(emulator, apps, issued_tokens)


def without_secrets(statements: list[dict[str, Any]], secrets: set[str]) -> list[dict[str, Any]]:
    """Return the statements without these secrets."""
    lists = [each for each in statements if isinstance(each["Resource"], list)]
    less = [each | {"Resource": [arn for arn in each["Resource"] if arn not in secrets]} for each in lists]
    return less + [each for each in statements if each not in lists]


def others_than(client: str, action: str, changes: list[Change]) -> list[Change]:
    """Return the changes other than this action on one client's resources and updates of shared resources."""
    return [
        change
        for change in changes
        if (change.client, change.action) != (client, action)
        and (change.address.partition("[")[0] not in _SHARED or change.action != "update")
    ]
