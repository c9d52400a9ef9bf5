"""Runs tools, this repository's modules and its command line against the emulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.e2e.job import Job

ROOT = Path(__file__).parents[2]

_TIMEOUT_SECONDS = 600


def tool(name: str) -> Path:
    """Return the tool whose path is in an environment variable, which the Makefile sets."""
    return Path(os.environ[name]).absolute()


def run(
    command: Sequence[str], directory: Path, environment: Mapping[str, str], stderr: int = subprocess.STDOUT
) -> subprocess.CompletedProcess[str]:
    """Run a command, with both streams in one unless `stderr` says otherwise."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr, "text": True}
    return subprocess.run(command, cwd=directory, env=environment, timeout=_TIMEOUT_SECONDS, check=False, **streams)


def run_module(
    job: Job, *arguments: str, keys: Mapping[str, str] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a module of this repository as root or as the owner of the keys."""
    environment = job.emulator.environment(keys) | {"COLUMNS": "140"} | variables
    done = run([sys.executable, "-W", "error", "-m", *arguments], ROOT, environment, stderr=subprocess.PIPE)
    print(f"$ {' '.join(arguments)} -> {done.returncode}\n{done.stdout}{done.stderr}")  # noqa: T201  for a failed test
    return done


def telenor_token(job: Job, keys: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on a machine that has only these keys."""
    # Settings of the machine that differ from the stack's; an earlier version used them wrongly.
    return run_module(job, "handler", *arguments, keys=keys, GRACE_SECONDS="0", SCHEDULE_MINUTES="5", COLUMNS="80")
