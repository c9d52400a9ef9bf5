"""Operators and consumers use stacks: they deploy, run the documented commands, check and read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra import deploy
from tests.docs.documents import commands
from tests.e2e import principals
from tests.e2e.commands import NOT_RUN_HERE, ROOT, SamError, Stack, beginning, run_in_bash, run_module, tool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.emulator import Emulator
    from tests.e2e.job import Job

# The outputs that the runbook prints after `make outputs`.
ECHOED = ("FunctionName", "LogGroupName", "UndeliveredQueueUrl", "TokenSecretArn", "CredentialsSecretArn")
DOCUMENTS = ("README.md", "docs/deploy.md", "docs/cli.md", "docs/runbook.md", "docs/error-codes.md")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("ScheduleMinutes", "15"),
        ("GraceSeconds", "1201"),
        ("CredentialsSecretArn", "arn:aws:secretsmanager:eu-north-1:000000000000:secret:*"),
        ("SubnetIds", "subnet-0a1b2c3d"),
    ],
)
def test_cloudformation_refuses_an_invalid_parameter_by_name(
    emulator: Emulator, parameters: dict[str, str], name: str, wrong: str
) -> None:
    with pytest.raises(SamError, match=rf"(?s)Error: .*{name}"):  # the output before it has every parameter
        Stack(emulator, "refused", parameters | {name: wrong}).deploy()


def test_the_consumer_stack_reads_the_token_under_the_consumer_policy(job: Job) -> None:
    template = ("--template-file", "infra/consumer/template.yaml")
    consumer = Stack(job.emulator, "telenor-consumer", template_options=template)
    outputs = consumer.deploy(
        TelenorBaseUrl=job.telenor.url,
        TokenSecretArn=job.token_secret,
        ConsumerPolicyArn=job.outputs["ConsumerPolicyArn"],
    )
    response = job.client("lambda").invoke(FunctionName=outputs["FunctionName"], Payload="{}")
    assert json.loads(response["Payload"].read())["status"] == 200


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_documented_command_succeeds(job: Job, document: str, tmp_path: Path, subtests: pytest.Subtests) -> None:
    secrets = {"CREDENTIALS_SECRET": job.credentials_secret, "TOKEN_SECRET": job.token_secret}
    variables = {f"{name}_ID": arn for name, arn in secrets.items()} | {"TELENOR_BASE_URL": job.telenor.url}
    if document in {"README.md", "docs/deploy.md", "docs/error-codes.md"}:
        # As printed by `make outputs`; the other documents set their own.
        variables |= {f"{name}_ARN": arn for name, arn in secrets.items()}
        variables |= {"LOG_GROUP_NAME": job.outputs["LogGroupName"], "FUNCTION_NAME": job.outputs["FunctionName"]}
    credentials = {"client_id": job.client_id, "client_secret": job.client_secret}
    (tmp_path / "credentials.json").write_text(json.dumps(credentials))
    tried = [each for each in commands((ROOT / document).read_text("utf-8")) if not beginning(each, NOT_RUN_HERE)]
    for typed in run_in_bash(tried, tmp_path, job.emulator.environment() | variables, tool("AWS_CLI")):
        with subtests.test(command=typed.args):
            assert typed.returncode == 0, typed.stdout[-500:]
            assert "FunctionError" not in typed.stdout
            if typed.args.endswith("cat answer.json"):
                assert '"outcome"' in typed.stdout
            if typed.args.startswith('echo "$FUNCTION_NAME'):
                assert typed.stdout.split() == [job.outputs[name] for name in ECHOED]


def test_after_the_documented_commands_the_secret_policy_is_restored_and_one_token_is_active(job: Job) -> None:
    admin = job.client("secretsmanager", principals.user(job.emulator, "admin", "secretsmanager:*"))
    assert principals.is_denied(admin.put_secret_value, SecretId=job.token_secret, SecretString="x")
    assert job.invoke(action="rotate-and-revoke-now")["outcome"] == "rotated"
    job.wait_for_one_active_token()


def test_an_emergency_of_a_second_client_keeps_the_first_clients_token(job: Job, second_job: Job) -> None:
    assert second_job.outputs["FunctionName"].startswith("telenor-token-second-")
    before = job.tracked()
    assert second_job.invoke(action="rotate-and-revoke-now")["client"] == "second"
    assert job.telenor.is_live(job.token())
    assert job.telenor.is_live(second_job.token())
    assert job.token() != second_job.token()
    assert not second_job.tracked() & (before | job.tracked())


def test_a_redeployment_keeps_the_stacks_parameters(second_job: Job) -> None:
    redeploy = ("infra.deploy", "redeploy", "--sam", str(tool("SAM")), "--stack", second_job.name)
    assert run_module(second_job, *redeploy).returncode == 0
    function = second_job.client("lambda").get_function_configuration(FunctionName=second_job.outputs["FunctionName"])
    settings = function["Environment"]["Variables"]
    assert (settings["GRACE_SECONDS"], settings["CLIENT_NAME"]) == (str(second_job.grace_seconds), "second")
    tags = second_job.client("lambda").list_tags(Resource=function["FunctionArn"])["Tags"]
    assert tags["version"] == deploy.checked_out()


def test_smoke_passes_on_a_complete_stack(job: Job) -> None:
    smoke = run_module(job, "infra.deployed_stack_checks", "--stack", job.name, "--yes")
    assert smoke.returncode == 0
    assert " holds " in smoke.stdout
    assert "not shown" not in smoke.stdout


def test_smoke_by_an_operator_reports_alarms_without_recipients_and_missing_permissions(second_job: Job) -> None:
    keys = principals.user(second_job.emulator, "smoke-operator", policy_arn=second_job.outputs["OperatorPolicyArn"])
    smoke = run_module(second_job, "infra.deployed_stack_checks", "--stack", second_job.name, "--yes", keys=keys)
    assert smoke.returncode == 1
    failed = {line.split("│")[1].strip() for line in smoke.stdout.splitlines() if "DOES NOT HOLD" in line}
    # An alarm may be active: other tests let runs of this stack fail.
    assert failed - {"No alarm is active"} == {"Every alarm has a recipient"}
    # An operator may read neither the token nor the role.
    assert smoke.stdout.count("not shown") == 2
