"""The commands of the documents, word for word, in the order in which a reader meets them.

Each document's are typed into one bash of its own, so that a variable which one command sets is there for the next.
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from infra import docs
from infra.e2e.stack import ROOT

DOCUMENTS = ("README.md", "docs/deploy.md", "docs/cli.md", "docs/runbook.md", "docs/error-codes.md")

# What is not typed here, by its beginning, and what tries it instead.
ELSEWHERE = {
    "make demo": "needs no account; .ci/run runs it",
    "make test": "needs no account; .ci/run runs it",
    "make deploy": "asks its questions of a person; the same module has deployed the second client here, unasked",
    "telenor-token doctor": "asks a person first where a token is published; its tests run it",
    "telenor-token emergency": "asks a person first; the checks of the command line run it with --yes",
}

# What must have happened for a command to make sense, by its beginning.
HAPPENED = {
    'aws secretsmanager update-secret-version-stage --secret-id "$CREDENTIALS': (
        'aws secretsmanager put-secret-value --secret-id "$CREDENTIALS_SECRET_ARN" '
        """--secret-string '{"client_id": "mistyped", "client_secret": "mistyped"}' >/dev/null"""
    ),
    "aws secretsmanager restore-secret": 'aws secretsmanager delete-secret --secret-id "$TOKEN_SECRET_ARN" >/dev/null',
}

# Version 1 sends `aws sqs` to the region's old host name, whatever AWS_ENDPOINT_URL says; the option overrules that.
_AWS = """#!/bin/sh
exec {aws} --endpoint-url "$AWS_ENDPOINT_URL" "$@"
"""

# As `make cli` installs it.
_CLI = """#!/bin/sh
exec {python} -m handler "$@"
"""

_LONGEST_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Typed:
    """A command that was typed, and how it ended."""

    command: docs.Command
    exit_code: int
    printed: str


def elsewhere(command: docs.Command) -> str | None:
    """Return what else tries a command, or None where it is to be typed here."""
    return _given(ELSEWHERE, command)


def _given(texts: dict[str, str], command: docs.Command) -> str | None:
    return next((text for start, text in texts.items() if command.text.startswith(start)), None)


def commands() -> list[docs.Command]:
    """Return all commands of the documents."""
    return [command for name in DOCUMENTS for command in docs.read(ROOT / name).commands()]


def type_in(shown: list[docs.Command], directory: Path, environment: dict[str, str], aws: Path) -> list[Typed]:
    """Type what is to be typed here into one bash, in a directory of its own, with the AWS CLI on the path."""
    to_type = [command for command in shown if not elsewhere(command)]
    mark = secrets.token_hex(8)
    # Both streams are one, as on a screen. The mark tells where a command has ended, and how.
    script = "\n".join(
        f"{_given(HAPPENED, command) or ':'}\n{command.text}\nprintf '\\n{mark} %s\\n' $?" for command in to_type
    )
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TELENOR_"))}
    programs = directory / "bin"
    programs.mkdir()
    scripts = {
        "aws": _AWS.format(aws=shlex.quote(str(aws))),
        "telenor-token": _CLI.format(python=shlex.quote(sys.executable)),
    }
    for name, script_text in scripts.items():
        (programs / name).write_text(script_text, encoding="utf-8")
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(  # noqa: S603  the documents' own words are the point
        ["/usr/bin/env", "bash", "--norc", "--noprofile", "-c", script],
        cwd=directory,
        env=mine | environment | {"PATH": path, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    *ended, rest = done.stdout.split(f"\n{mark} ")
    assert len(ended) == len(to_type), f"bash ended at command {len(ended) + 1} of {len(to_type)}: {rest[-500:]}"
    exits = [int(part.split("\n", 1)[0]) for part in (*ended[1:], rest)]
    printed = [ended[0], *(part.partition("\n")[2] for part in ended[1:])]
    return [Typed(*each) for each in zip(to_type, exits, printed, strict=True)]
