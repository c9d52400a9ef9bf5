"""Telenor, Secrets Manager and the scheduled job on this machine, for whoever writes a consumer: `make sandbox`.

It runs by the machine's own clock until Ctrl-C, and prints what a consumer needs in its environment.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from infra.demo import settings
from infra.demo.checks import View
from infra.demo.observer import Observer
from infra.demo.timeline import token_events
from infra.local import local_stack
from infra.local.fast_clock import FastClock
from infra.local.lambda_workers import Delivery, LambdaWorkers
from infra.local.secrets_manager import LocalSecretsManager
from infra.local.telenor_sandbox import TelenorSandbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.local.lambda_workers import RunResult

_RUN_SECONDS = 60.0
_LOOK_SECONDS = 0.5

# What can be typed, and the event that the job gets for it.
_ORDERS: Mapping[str, Mapping[str, str]] = {
    "run": {},
    "rotate": {"action": "rotate-now"},
    "emergency": {"action": "rotate-and-revoke-now"},
}

_BANNER = """
Where your service runs:

{exports}

The API that takes the token:
  curl -H "Authorization: Bearer $ACCESS_TOKEN" $TELENOR_BASE_URL/service-tickets/v2/incidents
Let it fail, then work again:
  curl -d '{{"operation": "incidents", "status": 503}}' {telenor}/_sandbox/faults
  curl -X DELETE {telenor}/_sandbox/faults

The job runs every {schedule:.0f} minutes. A token lives {life:.0f} minutes, and its grace is {grace:.0f}.
Type rotate (a new token now), emergency (and the old ones die at once) or run (as the schedule does), and Enter.
What the job logs is in {log}
Ctrl-C ends it, and nothing is kept.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Keep everything up until Ctrl-C."""
    argparse.ArgumentParser(
        prog="python -m infra.demo.sandbox",
        description="Run Telenor's sandbox, a Secrets Manager and the scheduled job on this machine, until Ctrl-C.",
    ).parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # both: a shell starts its background jobs deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        _run()
    return 0


def _run() -> None:
    _tell("Starting Secrets Manager, Telenor's sandbox and the job ...")
    local_stack.clear_environment()
    clock = FastClock.begin(speed=1)
    with (
        tempfile.NamedTemporaryFile(suffix=".log") as log,
        LocalSecretsManager() as aws,
        TelenorSandbox() as telenor,
    ):
        os.environ.update(aws.environment)
        environ = local_stack.job_environment(
            "sandbox",
            telenor.url,
            grace_seconds=settings.GRACE_SECONDS,
            schedule_seconds=settings.SCHEDULE_SECONDS,
            renew_at_fraction=settings.RENEW_AT_FRACTION,
        )
        telenor.knobs(lifetime_seconds=settings.LIFETIME_SECONDS)
        observer = Observer(telenor, local_stack.create_secrets(), local_stack.TOKEN_SECRET, clock)
        with LambdaWorkers(environ, log, clock, run_seconds=_RUN_SECONDS) as environments:
            shown = {name: value for name, value in environ.items() if not name.startswith(("POWERTOOLS_", "AWS_"))}
            exports = "\n".join(
                f"export {name}={shlex.quote(value)}" for name, value in {**aws.environment, **shown}.items()
            )
            _tell(
                _BANNER.format(
                    exports=exports,
                    telenor=telenor.url,
                    schedule=settings.SCHEDULE_SECONDS / 60,
                    life=settings.LIFETIME_SECONDS / 60,
                    grace=settings.GRACE_SECONDS / 60,
                    log=log.name,
                )
            )
            stop = threading.Event()
            schedule = threading.Thread(
                target=local_stack.keep_schedule, args=(environments, stop, clock, settings.SCHEDULE_SECONDS, _hear)
            )
            schedule.start()
            threading.Thread(target=_obey, args=(environments,), daemon=True).start()
            try:
                _watch(observer)
            finally:
                stop.set()
                schedule.join()


def _watch(observer: Observer) -> None:
    """Tell what happens to tokens."""
    last = View(at=0)
    while True:
        view = observer.look()
        for line in token_events(last, view):
            _tell(f"{time.strftime('%H:%M:%S')}  {line}")
        last = view
        time.sleep(_LOOK_SECONDS)


def _obey(environments: LambdaWorkers) -> None:
    """Run the job as it is typed."""
    for line in sys.stdin:
        event = _ORDERS.get(line.strip())
        if event is None:
            _tell(f"Type one of {', '.join(_ORDERS)}.")
        else:
            _hear(environments.invoke(Delivery.new(event)))


def _hear(endings: Sequence[RunResult]) -> None:
    for ending in endings:
        if ending is None:
            _tell(f"{time.strftime('%H:%M:%S')}  a run ended with its process: the log says why")
        elif "error" in ending:
            _tell(f"{time.strftime('%H:%M:%S')}  a run failed: {ending['error']}")


def _tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is what a terminal is for


if __name__ == "__main__":
    sys.exit(main())
