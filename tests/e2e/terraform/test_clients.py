"""What each client of the module has of its own. Each test of new clients begins where the one before has ended."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e import iam, test_iam, test_lifecycle, test_runs
from tests.e2e.commands import telenor_token
from tests.e2e.job import until
from tests.e2e.terraform.conftest import EXISTING, PLAIN, SCOPE, SCOPED, Clients

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.job import Job


def test_the_first_apply_creates_and_does_nothing_else(new_clients: Clients) -> None:
    assert {change.action for change in new_clients.first_changes} == {"create"}
    assert new_clients.module.outputs["untold_alarms"] is None


def test_the_function_has_the_bytes_that_make_build_packs(new_clients: Clients) -> None:
    name = new_clients.jobs[PLAIN].outputs["FunctionName"]
    function = new_clients.emulator.client("lambda").get_function_configuration(FunctionName=name)
    digest = hashlib.sha256((new_clients.module.directory / "artifact.zip").read_bytes()).digest()
    assert function["CodeSha256"] == base64.b64encode(digest).decode()


def test_a_client_with_an_existing_credentials_secret_gets_its_first_token_by_the_schedule(
    new_clients: Clients,
) -> None:
    job = new_clients.jobs[EXISTING]
    until("the first token", lambda: bool(job.tracked()))
    assert job.telenor.is_live(job.token())
    assert not job.runs(outcome="failed")


@pytest.mark.parametrize(
    "claim",
    [
        test_lifecycle.test_a_scheduled_run_without_credentials_fails_and_asks_for_no_token,
        test_lifecycle.test_lambda_does_not_run_a_failed_event_again,
        test_lifecycle.test_a_wrong_pair_of_credentials_is_tried_at_once,
        test_lifecycle.test_the_right_pair_is_tried_at_once_and_brings_the_first_token,
        test_lifecycle.test_after_a_mistyped_pair_the_previous_one_is_used_and_reported,
    ],
)
@pytest.mark.parametrize("name", [PLAIN, SCOPED])
def test_a_client_begins_as_a_stack_does(new_clients: Clients, name: str, claim: Callable[[Job], None]) -> None:
    claim(new_clients.jobs[name])


def test_credentials_put_into_an_existing_secret_are_tried_at_once(new_clients: Clients) -> None:
    job = new_clients.jobs[EXISTING]
    assert job.put_credentials(job.client_secret, reason="credentials-unchanged")["outcome"] == "not-due"


def test_a_scope_is_in_each_token_of_its_client_alone(clients: Clients) -> None:
    scopes = {name: {token["scope"] for token in job.issued()} for name, job in clients.jobs.items()}
    assert scopes.pop(SCOPED) == {SCOPE}
    assert SCOPE not in set().union(*scopes.values())


@pytest.mark.parametrize("name", [PLAIN, SCOPED, EXISTING])
def test_a_consumer_reads_the_token_of_its_client_and_no_other_secret(clients: Clients, name: str) -> None:
    job, policy_arn = clients.jobs[name], clients.jobs[name].outputs["ConsumerPolicyArn"]
    consumer = job.client("secretsmanager", iam.user(job.emulator, f"consumer-of-{name}", policy_arn=policy_arn))
    value = json.loads(consumer.get_secret_value(SecretId=job.token_secret)["SecretString"])
    assert job.telenor.is_live(value["access_token"])
    assert iam.is_denied(consumer.put_secret_value, SecretId=job.token_secret, SecretString="x")
    closed = [other.token_secret for other in clients.others(name).values()]
    closed += [other.credentials_secret for other in clients.jobs.values()]
    assert [secret for secret in closed if not iam.is_denied(consumer.get_secret_value, SecretId=secret)] == []
    iam.detach_from_users(job.emulator, policy_arn)


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        (PLAIN, test_iam.test_a_named_reader_reads_and_cannot_write_and_a_stranger_does_not_read),
        (PLAIN, test_iam.test_an_administrator_neither_writes_the_token_nor_reads_the_credentials),
        (PLAIN, test_iam.test_the_deployment_role_updates_the_token_secret),
        (PLAIN, test_iam.test_the_role_neither_writes_credentials_nor_reads_other_secrets_nor_moves_current),
        (EXISTING, test_iam.test_the_role_neither_writes_credentials_nor_reads_other_secrets_nor_moves_current),
        (PLAIN, test_iam.test_the_role_serves_no_other_function),
        (EXISTING, test_iam.test_the_role_serves_no_other_function),
        (PLAIN, test_iam.test_an_operator_makes_each_call_of_the_policy_and_no_other),
    ],
)
def test_permissions_are_those_of_a_stack(clients: Clients, name: str, claim: Callable[[Job], None]) -> None:
    claim(clients.jobs[name])


def test_a_run_fails_without_each_permission_of_the_role(clients: Clients, subtests: pytest.Subtests) -> None:
    test_iam.test_a_run_fails_without_each_permission_of_the_role(clients.jobs[PLAIN], subtests)


def test_the_command_line_finds_each_client_and_rotates_one_with_its_scope(clients: Clients) -> None:
    job, others = clients.jobs[SCOPED], clients.others(SCOPED)
    policy_arn = job.outputs["OperatorPolicyArn"]
    keys = iam.user(job.emulator, "cli-operator", policy_arn=policy_arn)
    function = ("--function", job.outputs["FunctionName"])
    named = [word for each in clients.jobs.values() for word in ("--client", json.dumps(each.event))]
    assert telenor_token(job, keys, "status", *function, *named).returncode == 0
    before, untouched = job.token(), {name: other.token() for name, other in others.items()}
    rotated = telenor_token(job, keys, "rotate", *function, "--client", json.dumps(job.event))
    assert (rotated.returncode, json.loads(rotated.stdout)["client"]) == (0, SCOPED)
    assert job.token() != before
    assert {token["scope"] for token in job.issued()} == {SCOPE}
    assert {name: other.token() for name, other in others.items()} == untouched
    iam.detach_from_users(job.emulator, policy_arn)


def test_an_emergency_rotation_of_one_client_leaves_the_others_tokens(clients: Clients) -> None:
    before = {name: job.token() for name, job in clients.others(SCOPED).items()}
    test_runs.test_an_emergency_rotation_revokes_the_leaked_token_at_once(clients.jobs[SCOPED])
    assert {name: job.token() for name, job in clients.others(SCOPED).items()} == before
    assert all(clients.telenor.is_live(token) for token in before.values())


def test_only_the_client_whose_permissions_are_taken_away_fails(clients: Clients) -> None:
    job, others = clients.jobs[SCOPED], clients.others(SCOPED)
    role = iam.Role(job.emulator, job.outputs["FunctionRoleArn"])
    failed = {name: len(each.runs(outcome="failed")) for name, each in clients.jobs.items()}
    with role.having(without_secrets(role.statements, {job.token_secret, job.credentials_secret})):
        until(f"a failed run of {SCOPED}", lambda: len(job.runs(outcome="failed")) > failed[SCOPED])
        for name, other in others.items():
            assert other.invoke(action="rotate-now")["outcome"] == "rotated"
            assert len(other.runs(outcome="failed")) == failed[name]
    assert "AccessDenied" in job.runs(outcome="failed")[-1]["message"]
    until(f"a successful run of {SCOPED}", lambda: job.runs()[-1]["outcome"] != "failed")


def without_secrets(statements: list[dict[str, Any]], secrets: set[str]) -> list[dict[str, Any]]:
    """Return statements less these secrets."""
    lists = [each for each in statements if isinstance(each["Resource"], list)]
    less = [each | {"Resource": [arn for arn in each["Resource"] if arn not in secrets]} for each in lists]
    return less + [each for each in statements if each not in lists]
