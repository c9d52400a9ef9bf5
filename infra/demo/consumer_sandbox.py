"""Telenor's sandbox, Secrets Manager and the scheduled job on this machine, to write a consumer: `make sandbox`.

It runs by the machine's own clock until Ctrl-C, and writes the variables of consumers and of the job to two files.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from infra.demo import settings
from infra.demo.token_states import TokenStates, events, read_token_states
from infra.local.telenor_sandbox import OPERATIONS, REVOCATION_PATH
from infra.promises.history import History
from infra.promises.local_servers import LocalServers
from infra.promises.recorded_job import URLS, RecordedJob

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.promises.history import RunRecord

_RUN_SECONDS = 60.0
_POLL_SECONDS = 0.5
_PORT = 8720
# Secrets Manager has the next one.
_MAX_PORT = 65_534

# The job as a client of any OAuth 2 server (docs/configuration.md), which is Telenor's sandbox again.
_OAUTH_ENVIRON = {"TOKEN_URL": OPERATIONS["token"][1], "REVOCATION_URL": REVOCATION_PATH}

# The commands to type, and the action of each.
_COMMANDS = {"run": None, "rotate": "rotate-now", "emergency": "rotate-and-revoke-now"}

_BANNER = """
Consumers need the variables of {consumer}; the job needs those of {operator} too.
In another terminal, in this folder:

  set -a; . {consumer}; set +a
  echo /service-tickets/v2/incidents | .venv/bin/python examples/python/with_powertools.py

Let the API fail, then work again:
  curl -d '{{"operation": "incidents", "status": 503}}' {telenor}/_sandbox/faults
  curl -X DELETE {telenor}/_sandbox/faults

The job runs every {schedule:.0f} minutes. A token is valid for {life:.0f} minutes; its grace period is {grace:.0f}.
Type rotate (publish a new token), emergency (and revoke the old ones at once) or run (as scheduled), and Enter.
The job logs into {logs}
Ctrl-C ends it, and nothing is kept.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Keep everything up until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m infra.demo.consumer_sandbox", description=__doc__)
    port_help = "the port of Telenor's sandbox; Secrets Manager has the next one; 0 takes free ones (%(default)s)"
    parser.add_argument("--port", type=_port, default=_PORT, help=port_help)
    parser.add_argument("--folder", type=Path, default=Path("build"), help="where its files go (%(default)s)")
    parser.add_argument(
        "--oauth", action="store_true", help="let the job use TOKEN_URL and REVOCATION_URL in place of Telenor's logout"
    )
    options = parser.parse_args(argv)
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.folder):
            pass
    except OSError as error:
        parser.error(f"argument --folder: {options.folder} cannot hold files ({error.strerror}): name another folder")
    for number in (signal.SIGINT, signal.SIGTERM):  # both: a shell starts its background jobs deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        _run(options.port, options.folder, is_oauth=options.oauth)
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f"it must be a number from 0 to {_MAX_PORT}")
    return int(text)


def _run(port: int, folder: Path, *, is_oauth: bool) -> None:
    _print("Starting Secrets Manager, Telenor's sandbox and the job ...")
    history = History(settings.GRACE_SECONDS)
    environ = settings.JOB_ENVIRON | (_OAUTH_ENVIRON if is_oauth else {})
    with (
        LocalServers(port=port) as servers,
        RecordedJob(servers, "telenor", history, environ, run_seconds=_RUN_SECONDS) as job,
        _files(folder, servers, job) as (consumer_file, operator_file),
    ):
        servers.telenor.knobs(
            lifetime_seconds=settings.LIFETIME_SECONDS, error_format="rfc6749" if is_oauth else "reference"
        )
        _print(
            _BANNER.format(
                consumer=consumer_file,
                operator=operator_file,
                telenor=servers.telenor.url,
                schedule=settings.SCHEDULE_SECONDS / 60,
                life=settings.LIFETIME_SECONDS / 60,
                grace=settings.GRACE_SECONDS / 60,
                logs=servers.logs,
            )
        )
        stop = threading.Event()
        schedule = threading.Thread(target=job.keep_schedule, args=(stop, settings.SCHEDULE_SECONDS, _report_run))
        schedule.start()
        threading.Thread(target=_run_commands, args=(job,), daemon=True).start()
        try:
            _watch(job)
        finally:
            stop.set()
            schedule.join()


@contextmanager
def _files(folder: Path, servers: LocalServers, job: RecordedJob) -> Iterator[list[Path]]:
    """Keep variables of consumers and of the job in two files, as a shell and Docker's --env-file read them."""
    consumer = {**servers.aws.environment, "TELENOR_BASE_URL": servers.telenor.url, "TOKEN_SECRET_ID": job.secret_id}
    urls = {name: servers.telenor.url + job.environ[name] for name in URLS if name in job.environ}
    operator = {name: value for name, value in (job.environ | urls).items() if name not in consumer}
    paths = [folder / "sandbox.env", folder / "sandbox-operator.env"]
    for path, variables in zip(paths, (consumer, operator), strict=True):
        path.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items()))
    try:
        yield paths
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _watch(job: RecordedJob) -> None:
    """Print the events of tokens, and when consumers can begin."""
    last = TokenStates(at=0)
    while True:
        states = read_token_states(job)
        for at, line in events(last, states):
            _print(f"{time.strftime('%H:%M:%S', time.localtime(at))}  {line}")
        if states.current and not last.current:
            _print("Ready: consumers can read the token.")
        last = states
        time.sleep(_POLL_SECONDS)


def _run_commands(job: RecordedJob) -> None:
    """Run the job for each command on stdin."""
    for line in sys.stdin:
        command = line.strip()
        if command in _COMMANDS:
            _report_run(job.invoke(_COMMANDS[command]))
        else:
            _print(f"Type one of {', '.join(_COMMANDS)}.")


def _report_run(run: RunRecord) -> None:
    if run.is_killed:
        _print(f"{time.strftime('%H:%M:%S')}  a run's process was killed: the log says why")
    elif run.failure:
        _print(f"{time.strftime('%H:%M:%S')}  a run failed: {run.failure}")


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is what a terminal is for


if __name__ == "__main__":
    sys.exit(main())
