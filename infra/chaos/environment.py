"""One execution environment of Lambda: forked from a process that has imported the handler.

It runs one invocation after the other until it is killed or closed.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from handler import app
from handler.errors import RotationError
from handler.secrets_manager import create_client
from infra.chaos.broken_variants import BROKEN_VARIANTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

# Made here once, so that the SDK has read what it knows of Secrets Manager before any environment is forked.
if os.environ.get("AWS_REGION"):
    create_client()


class _Context:
    """The context that Lambda gives a run."""

    def __init__(self, request_id: str, seconds: float) -> None:
        self.aws_request_id = request_id
        self._ends_at = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the run."""
        return max(0, int((self._ends_at - time.monotonic()) * 1000))


def serve(pipe: Connection, environ: Mapping[str, str], log: str, variant: str | None) -> None:
    """Run what comes through the pipe, and answer what it failed with, if it did; all output goes to the log."""
    os.environ.update(environ)
    output = os.open(log, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    if variant is not None:
        BROKEN_VARIANTS[variant]()
    pipe.send("ready")
    while (invocation := pipe.recv()) is not None:
        failure = _run(invocation)
        sys.stdout.flush()
        pipe.send(failure)


def _run(invocation: tuple[dict[str, Any], str, float]) -> str | None:
    event, request_id, seconds = invocation
    try:
        app.lambda_handler(event, _Context(request_id, seconds))
    except RotationError as error:
        return str(error)
    return None
