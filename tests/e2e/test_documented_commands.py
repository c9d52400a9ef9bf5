"""Every command in the documents succeeds, unchanged, on a deployed stack."""

from __future__ import annotations

import json
import os
import re
import secrets as random
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.documents import commands
from tests.e2e import users_and_roles
from tests.e2e.commands import ROOT, run, tool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.e2e.job import Job

# The outputs that the runbook prints after `make outputs`.
ECHOED = ("FunctionName", "LogGroupName", "UndeliveredQueueUrl", "TokenSecretArn", "CredentialsSecretArn")
DOCUMENTS = ("README.md", "docs/deploy.md", "docs/cli.md", "docs/runbook.md", "docs/error-codes.md")

# Commands that these tests do not run, by prefix, with the reason or the test that runs them.
NOT_RUN_HERE = {
    "make demo": "needs no account; .ci/run runs it",
    "make test": "needs no account; .ci/run runs it",
    "make deploy": "is interactive; the same module deploys the second client here without questions",
    "aws cloudwatch set-alarm-state": "the emulator evaluates no alarms, so the alarm would never clear",
    "telenor-token doctor": "asks for confirmation while a token is published; its own tests run it",
    "telenor-token emergency": "asks for confirmation; the tests of the command line run it with --yes",
}

# The command to run before a command, by prefix.
RUN_BEFORE = {
    "BAD=$(pair AWSCURRENT)": (
        'aws secretsmanager put-secret-value --secret-id "$CREDENTIALS_SECRET_ARN" '
        """--secret-string '{"client_id": "mistyped", "client_secret": "mistyped"}' >/dev/null"""
    ),
    "aws secretsmanager restore-secret": 'aws secretsmanager delete-secret --secret-id "$TOKEN_SECRET_ARN" >/dev/null',
}

_PROGRAMS = {
    # Version 1 sends `aws sqs` to the region's old host name despite AWS_ENDPOINT_URL; the option overrides that.
    "aws": '#!/bin/sh\nexec {aws} --endpoint-url "$AWS_ENDPOINT_URL" "$@"\n',
    # As installed by `make cli`.
    "telenor-token": '#!/bin/sh\nexec {python} -m handler "$@"\n',
}


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
    admin = job.client("secretsmanager", users_and_roles.user(job.emulator, "admin", "secretsmanager:*"))
    assert users_and_roles.is_denied(admin.put_secret_value, SecretId=job.token_secret, SecretString="x")
    assert job.invoke(action="rotate-and-revoke-now")["outcome"] == "rotated"
    job.wait_for_one_active_token()


def beginning(command: str, texts: Mapping[str, str]) -> str | None:
    """Return the beginning of a command among these, or None."""
    return next((start for start in texts if command.startswith(start)), None)


def run_in_bash(
    commands: Sequence[str], directory: Path, environment: Mapping[str, str], aws: Path
) -> list[subprocess.CompletedProcess[str]]:
    """Run commands in one bash, so that variables stay set for later commands."""
    # Both streams are merged, as in a terminal. The mark and the exit code separate the commands.
    mark = random.token_hex(8)
    script = "\n".join(
        f"{RUN_BEFORE.get(beginning(command, RUN_BEFORE) or '', ':')}\n{command}\nprintf '\\n{mark} %s\\n' $?"
        for command in commands
    )
    programs = directory / "bin"
    programs.mkdir()
    for name, text in _PROGRAMS.items():
        (programs / name).write_text(text.format(aws=shlex.quote(str(aws)), python=shlex.quote(sys.executable)))
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {**environment, "PATH": path, "PYTHONPATH": str(ROOT)}
    done = run(["/usr/bin/env", "bash", "--norc", "--noprofile", "-c", script], directory, variables)
    ended = re.findall(rf"(.*?)\n{mark} (\d+)\n", done.stdout, re.DOTALL)
    assert len(ended) == len(commands), f"bash ended at command {len(ended) + 1}: {done.stdout[-500:]}"
    return [
        subprocess.CompletedProcess(command, int(exit_code), printed)
        for command, (printed, exit_code) in zip(commands, ended, strict=True)
    ]
