"""The commands of an operator: SAM, this repository's programs, and the documented commands unchanged."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.e2e.emulator import Emulator
    from tests.e2e.job import Job

ROOT = Path(__file__).parents[2]

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

_TIMEOUT_SECONDS = 600


def tool(name: str) -> Path:
    """Return the tool whose path is in an environment variable, which the Makefile sets."""
    return Path(os.environ[name]).absolute()


def _run(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], stderr: int = subprocess.STDOUT
) -> subprocess.CompletedProcess[str]:
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr, "text": True}
    return subprocess.run(command, cwd=directory, env=environment, timeout=_TIMEOUT_SECONDS, check=False, **streams)


def run_module(
    job: Job, *arguments: str, keys: Mapping[str, str] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a module of this repository as root or as the owner of the keys."""
    environment = job.emulator.environment(keys) | {"COLUMNS": "140"} | variables
    done = _run([sys.executable, "-W", "error", "-m", *arguments], ROOT, environment, stderr=subprocess.PIPE)
    print(f"$ {' '.join(arguments)} -> {done.returncode}\n{done.stdout}{done.stderr}")  # noqa: T201  for a failed test
    return done


def telenor_token(job: Job, keys: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on a machine that has only these keys."""
    # Settings of the machine that differ from the stack's; an earlier version used them wrongly.
    return run_module(job, "handler", *arguments, keys=keys, GRACE_SECONDS="0", SCHEDULE_MINUTES="5", COLUMNS="80")


def beginning(command: str, texts: Mapping[str, str]) -> str | None:
    """Return the beginning of a command among these, or None."""
    return next((start for start in texts if command.startswith(start)), None)


def run_in_bash(
    commands: Sequence[str], directory: Path, environment: Mapping[str, str], aws: Path
) -> list[subprocess.CompletedProcess[str]]:
    """Run commands in one bash, so that variables stay set for later commands."""
    # Both streams are merged, as in a terminal. The mark and the exit code separate the commands.
    mark = secrets.token_hex(8)
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
    done = _run(["/usr/bin/env", "bash", "--norc", "--noprofile", "-c", script], directory, variables)
    ended = re.findall(rf"(.*?)\n{mark} (\d+)\n", done.stdout, re.DOTALL)
    assert len(ended) == len(commands), f"bash ended at command {len(ended) + 1}: {done.stdout[-500:]}"
    return [
        subprocess.CompletedProcess(command, int(exit_code), printed)
        for command, (printed, exit_code) in zip(commands, ended, strict=True)
    ]


class SamError(Exception):
    """SAM failed; the message is its output."""


def sam(emulator: Emulator, *arguments: str) -> None:
    """Run SAM. Raises SamError."""
    environment = emulator.environment() | {"SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "1"}
    done = _run([str(tool("SAM")), *arguments], ROOT, environment)
    if done.returncode:
        raise SamError(f"sam {arguments[0]} ended with {done.returncode}:\n{done.stdout[-3000:]}")


@dataclass
class Stack:
    """A stack with its parameters."""

    emulator: Emulator
    name: str
    parameters: dict[str, str] = field(default_factory=dict)
    template_options: tuple[str, ...] = ()

    def deploy(self, **parameters: str) -> dict[str, str]:
        """Deploy it, or update it with changed parameters; return its outputs. Raises SamError."""
        self.parameters |= parameters
        overrides = [f'{name}="{value}"' for name, value in self.parameters.items()]
        options = ["--stack-name", self.name, "--no-confirm-changeset", "--no-progressbar", *self.template_options]
        sam(self.emulator, "deploy", *options, "--parameter-overrides", *overrides)
        return self.outputs()

    def outputs(self) -> dict[str, str]:
        stacks = self.emulator.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0]["Outputs"]}

    def delete(self) -> None:
        """Delete the stack, and wait until it is gone."""
        sam(self.emulator, "delete", "--stack-name", self.name, "--no-prompts")
