"""A simulated day: the real handler over the local servers, every five minutes of a clock that jumps from run to run.

`python -m tests.infra.dashboard.day` is the function's process. It takes the times on stdin and prints what the handler
logs and emits, after a line with the time of each run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3

from handler import app
from handler.errors import RotationError
from infra.local.secrets_manager import LocalSecretsManager
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, TelenorSandbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROOT = Path(__file__).parents[3]
_PERIOD = timedelta(minutes=5)
_RUN_MILLISECONDS = 120_000


def simulate(
    environ: Mapping[str, str], begin: datetime, end: datetime, outages: Sequence[tuple[datetime, datetime]] = ()
) -> list[dict[str, Any]]:
    """Return every line that the handler prints, with the time of its run as `at`. Raises CalledProcessError."""
    times = {
        "begin": begin.isoformat(),
        "end": end.isoformat(),
        "outages": [[each.isoformat() for each in outage] for outage in outages],
    }
    process = subprocess.run(
        [sys.executable, "-m", "tests.infra.dashboard.day"],
        cwd=_ROOT,
        env={**os.environ, **environ},
        input=json.dumps(times),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    at, lines = 0.0, []
    for document in map(json.loads, process.stdout.splitlines()):
        if "run_at" in document:
            at = document["run_at"]
        else:
            lines.append({"at": at, **document})
    return lines


class _Clock:
    """A clock that moves only by `sleep` and from run to run."""

    def __init__(self, time: datetime) -> None:
        self.time = time

    def now(self) -> datetime:
        return self.time

    def seconds(self) -> float:
        return self.time.timestamp()

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def main() -> None:
    """Run the handler until the end."""
    times = json.load(sys.stdin)
    at, end = (datetime.fromisoformat(times[name]) for name in ("begin", "end"))
    outages = [tuple(map(datetime.fromisoformat, outage)) for outage in times["outages"]]
    app.clock = clock = _Clock(at)
    with LocalSecretsManager(clock.seconds) as aws, TelenorSandbox(clock=clock.seconds, sleep=clock.sleep) as sandbox:
        os.environ.update({**aws.environment, "TELENOR_BASE_URL": sandbox.url})
        client = boto3.client("secretsmanager")
        credentials = {"client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET}
        client.create_secret(Name=os.environ["CREDENTIALS_SECRET_ID"], SecretString=json.dumps(credentials))
        client.create_secret(Name=os.environ["TOKEN_SECRET_ID"])
        while at < end:
            clock.time = at
            sandbox.clear_faults()
            if any(begin <= at < until for begin, until in outages):
                sandbox.fault(operation="token", status=503)
            print(json.dumps({"run_at": at.astimezone(UTC).timestamp()}))  # noqa: T201  the pipe to the parent
            context = SimpleNamespace(
                aws_request_id=str(uuid.uuid4()), get_remaining_time_in_millis=lambda: _RUN_MILLISECONDS
            )
            with suppress(RotationError):
                app.lambda_handler({}, context)
            at += _PERIOD


if __name__ == "__main__":
    main()
