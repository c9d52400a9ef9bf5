"""A simulated day: the real handler over the local servers, every five minutes of a clock that jumps from run to run.

`python -m tests.infra.dashboard.simulated_day TIMES` is the function's process. It prints what the handler logs and
emits, after a line with the time of each run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from handler import app
from handler.errors import RotationError
from infra.artifact import ROOT
from infra.local.secrets_manager import LocalSecretsManager, create_secret
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, TelenorSandbox
from tests.simulated_clock import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PERIOD_SECONDS = 300


def simulate(
    environ: Mapping[str, str], begin: datetime, end: datetime, outages: Sequence[tuple[datetime, datetime]] = ()
) -> list[dict[str, Any]]:
    """Return every line that the handler prints, with the time of its run as `at`. Raises CalledProcessError."""
    times = [time.timestamp() for time in (begin, end, *(each for outage in outages for each in outage))]
    printed = subprocess.run(  # noqa: S603  this very Python and times
        [sys.executable, "-m", "tests.infra.dashboard.simulated_day", *map(str, times)],
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    at, lines = 0.0, []
    for document in map(json.loads, printed.splitlines()):
        at = document.pop("run_at", at)
        lines += [{"at": at, **document}] if document else []
    return lines


def main() -> None:
    """Run the handler until the end."""
    begin, end, *edges = map(float, sys.argv[1:])
    app.clock = clock = Clock()

    def seconds() -> float:
        return clock.time.timestamp()

    with LocalSecretsManager(seconds) as aws, TelenorSandbox(clock=seconds, sleep=clock.sleep) as sandbox:
        os.environ.update({**aws.environment, "TELENOR_BASE_URL": sandbox.url})
        credentials = {"client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET}
        create_secret(os.environ["CREDENTIALS_SECRET_ID"], json.dumps(credentials))
        create_secret(os.environ["TOKEN_SECRET_ID"])
        for at in range(int(begin), int(end), _PERIOD_SECONDS):
            clock.time = datetime.fromtimestamp(at, UTC)
            sandbox.clear_faults()
            if any(first <= at < last for first, last in zip(edges[::2], edges[1::2], strict=True)):
                sandbox.fault(operation="token", status=503)
            print(json.dumps({"run_at": at}))  # noqa: T201  the pipe to the parent
            context = SimpleNamespace(aws_request_id=str(uuid.uuid4()), get_remaining_time_in_millis=lambda: 120_000)
            with suppress(RotationError):
                app.lambda_handler({}, context)


if __name__ == "__main__":
    main()
