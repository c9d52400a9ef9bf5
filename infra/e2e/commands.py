"""The commands of the documents, word for word, in the order in which a reader meets them.

Each document's are typed into one bash of its own, so that a variable which one command sets is there for the next.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra import docs
from infra.e2e.stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENTS = ("README.md", "docs/runbook.md")

# What is not typed here, by its beginning, and what tries it instead.
ELSEWHERE = {
    "make demo": "needs no account; .ci/run runs it",
    "make test": "needs no account; .ci/run runs it",
    "make deploy": "asks its questions of a person; the stack here was deployed by the same sam, answers given beforehand",
    "make validate": "needs no account; .ci/run runs it",
    "make e2e": "is what runs this",
    "python -m handler": "not typed yet",
}

_LONGEST_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Typed:
    """A command that was typed, and how it ended."""

    command: docs.Command
    exit_code: int
    printed: str


def elsewhere(command: docs.Command) -> str | None:
    """Return what else tries a command, or None where it is to be typed here."""
    return next((reason for start, reason in ELSEWHERE.items() if command.text.startswith(start)), None)


def commands() -> list[docs.Command]:
    """Return all commands of the documents."""
    return [command for name in DOCUMENTS for command in docs.read(ROOT / name).commands()]


def type_in(
    document: str, directory: Path, environment: Mapping[str, str], variables: Mapping[str, str], aws: Path
) -> list[Typed]:
    """Type a document's commands into bash, in a directory of its own, with the AWS CLI on the path."""
    to_type = [command for command in docs.read(ROOT / document).commands() if not elsewhere(command)]
    mark = secrets.token_hex(8)
    # Both streams are one, as on a screen. The mark tells where a command has ended, and how.
    script = "\n".join(f"{command.text}\nprintf '\\n{mark} %s\\n' $?" for command in to_type)
    done = subprocess.run(  # noqa: S603  the documents' own words are the point
        ["/usr/bin/env", "bash", "--norc", "--noprofile", "-s"],
        input=script,
        cwd=directory,
        env={name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TELENOR_"))}
        | dict(environment)
        | dict(variables)
        | {
            "PATH": os.pathsep.join([str(aws.parent), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    *ended, rest = done.stdout.split(f"\n{mark} ")
    assert len(ended) == len(to_type), f"bash stopped in {document} after {len(ended)} commands: {rest[-500:]}"
    exits = [int(part.split("\n", 1)[0]) for part in (*ended[1:], rest)]
    printed = [ended[0], *(part.partition("\n")[2] for part in ended[1:])]
    return [Typed(*each) for each in zip(to_type, exits, printed, strict=True)]
