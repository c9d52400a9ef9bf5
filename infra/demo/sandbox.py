"""Telenor, Secrets Manager and the scheduled job on this machine, for whoever writes a consumer: `make sandbox`.

It runs by the machine's own clock until Ctrl-C, and writes the variables of consumers and of the job to two files.
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
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from infra.demo import settings
from infra.demo.checks import View
from infra.demo.observer import Observer
from infra.demo.timeline import timed_events
from infra.local import local_stack
from infra.local.fast_clock import FastClock
from infra.local.lambda_workers import Delivery, LambdaWorkers
from infra.local.secrets_manager import LocalSecretsManager
from infra.local.telenor_sandbox import TelenorSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from infra.local.lambda_workers import RunResult

_RUN_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_PORT = 8720

# What a consumer needs besides the way to Secrets Manager.
_FOR_CONSUMERS = ("TELENOR_BASE_URL", "TOKEN_SECRET_ID")

# What can be typed, and the event that the job gets for it.
_ORDERS: Mapping[str, Mapping[str, str]] = {
    "run": {},
    "rotate": {"action": "rotate-now"},
    "emergency": {"action": "rotate-and-revoke-now"},
}

_BANNER = """
Consumers need the variables of {consumer}; the job needs those of {operator} too.
In another terminal, in this folder:

  set -a; . {consumer}; set +a
  echo /service-tickets/v2/incidents | .venv/bin/python examples/python/with_powertools.py

Let the API fail, then work again:
  curl -d '{{"operation": "incidents", "status": 503}}' {telenor}/_sandbox/faults
  curl -X DELETE {telenor}/_sandbox/faults

The job runs every {schedule:.0f} minutes. A token is valid for {life:.0f} minutes, its grace is {grace:.0f} minutes.
Type rotate (publish a new token), emergency (and revoke the old ones at once) or run (as scheduled), and Enter.
The job logs to {log}
Ctrl-C ends it, and nothing is kept.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Keep everything up until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.demo.sandbox",
        description="Run Telenor's sandbox, a Secrets Manager and the scheduled job on this machine, until Ctrl-C.",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=_PORT,
        help="the port of Telenor's sandbox; Secrets Manager has the next one; 0 takes free ones (%(default)s)",
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("build"), help="where the files with variables go (%(default)s)"
    )
    options = parser.parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # both: a shell starts its background jobs deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        _run(options.port, options.folder)
    return 0


def _run(port: int, folder: Path) -> None:
    _tell("Starting Secrets Manager, Telenor's sandbox and the job ...")
    local_stack.clear_environment()
    clock = FastClock.begin(speed=1)
    with (
        tempfile.NamedTemporaryFile(suffix=".log") as log,
        TelenorSandbox(port=port) as telenor,
        LocalSecretsManager(port=port and port + 1) as aws,
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
        with (
            LambdaWorkers(environ, log, clock, run_seconds=_RUN_SECONDS) as environments,
            ExitStack() as files,
        ):
            consumer = {**aws.environment, **{name: environ[name] for name in _FOR_CONSUMERS}}
            operator = {
                name: value
                for name, value in environ.items()
                if name not in consumer and not name.startswith(("POWERTOOLS_", "AWS_"))
            }
            consumer_file = files.enter_context(_file(folder / "sandbox.env", consumer))
            operator_file = files.enter_context(_file(folder / "sandbox-operator.env", operator))
            _tell(
                _BANNER.format(
                    consumer=consumer_file,
                    operator=operator_file,
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


@contextmanager
def _file(path: Path, variables: Mapping[str, str]) -> Iterator[Path]:
    """Keep variables in a file, as a shell and Docker's --env-file read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()), encoding="utf-8")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _watch(observer: Observer) -> None:
    """Print what happens to tokens, and when consumers can begin."""
    last = View(at=0)
    is_ready = False
    while True:
        view = observer.look()
        for at, line in timed_events(last, view):
            _tell(f"{time.strftime('%H:%M:%S', time.localtime(at))}  {line}")
        if view.current and not is_ready:
            is_ready = True
            _tell("Ready: consumers can read the token.")
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
