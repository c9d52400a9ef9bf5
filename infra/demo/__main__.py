"""The demo, the whole job on one machine: `python -m infra.demo`.

Hours pass in a minute, by a clock that the handler and Telenor's sandbox share. The handler, a Secrets Manager,
Telenor's sandbox and eight consumers send real requests over real sockets, with one fault after the other. The exit
status is 0 only if no promise was broken.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from infra.demo import settings
from infra.demo.checks import Results, exit_status
from infra.demo.consumers import Consumers
from infra.demo.faults import PLAN, Faults
from infra.demo.progress import progress, size_of
from infra.demo.summary import checks_table, summary_table
from infra.demo.timeline import PAGE, Axis, save_svg, timeline
from infra.demo.token_states import read_token_states
from infra.local.fast_clock import FastClock
from infra.promises.checker import violations
from infra.promises.history import History
from infra.promises.local_servers import LocalServers
from infra.promises.recorded_job import RecordedJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from infra.demo.progress import Show

_MIN_SECONDS = 30
_FRAME_SECONDS = 0.2
_FIRST_TOKEN_SECONDS = 30.0
_RUN_SECONDS = 6.0
_WORKERS = 4  # for the schedule, two runs at once, and the one that is killed
_INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 if every guarantee held."""
    parser = argparse.ArgumentParser(prog="python -m infra.demo", description=__doc__)
    seconds_help = f"how long it takes, at least {_MIN_SECONDS} (%(default)s)"
    parser.add_argument("--seconds", type=float, default=60, help=seconds_help)
    parser.add_argument("--svg", type=Path, help="where to save the picture")
    parser.add_argument("--verbose", action="store_true", help="print the handler's log lines as well")
    arguments = parser.parse_args(argv)
    if not arguments.seconds >= _MIN_SECONDS:
        parser.error(f"--seconds must be {_MIN_SECONDS} or more, so that every fault has its time")
    for number in (signal.SIGINT, signal.SIGTERM):  # both: a shell starts its background jobs deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PAGE.width
    console.print("Starting Secrets Manager, Telenor's sandbox, the handler and eight consumers ...")
    try:
        with LocalServers(FastClock(settings.SPEED)) as servers:
            status = 1
            try:
                status = _demo(servers, console, arguments)
            except KeyboardInterrupt:
                status = _INTERRUPTED
            finally:
                if status == 1:
                    kept = Path(tempfile.gettempdir()) / "telenor-demo.log"
                    kept.write_text(servers.log(), encoding="utf-8")
                    Console(stderr=True).print(f"The log of the processes is in {kept}", highlight=False)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


def _demo(servers: LocalServers, console: Console, arguments: argparse.Namespace) -> int:
    servers.telenor.knobs(lifetime_seconds=settings.LIFETIME_SECONDS)
    history = History(settings.GRACE_SECONDS, settings.TOLERANCES)
    environ = {"AWS_SDK_UA_APP_ID": "consumer", "TELENOR_BASE_URL": servers.telenor.url}
    with (
        RecordedJob(servers, "telenor", history, settings.JOB_ENVIRON, run_seconds=_RUN_SECONDS, warm=_WORKERS) as job,
        Consumers(environ | {"TOKEN_SECRET_ID": job.secret_id}, servers.logs / "consumers.log") as consumers,
    ):
        axis, faults = Axis(servers.clock.time(), arguments.seconds * settings.SPEED), Faults(job)
        with progress(console, axis, servers.logs if arguments.verbose else None) as show:
            is_whole = _play(job, consumers, faults, axis, show)
        history.ended_at = servers.clock.time()
        states, calls = read_token_states(job), servers.aws.calls(job.name)
    results = Results(
        states=states,
        violations=violations(history),
        counts=consumers.counts,
        fault_records=faults.fault_records,
        planned=[planned.name for planned in PLAN],
        calls=calls,
        is_log_clean=not job.secrets_in(servers.log()),
    )
    last = checks_table(results) if is_whole else Text("Interrupted: no result.", style="bold")
    below: list[RenderableType] = ["", summary_table(results), "", last]
    if console.is_terminal:
        console.print(timeline(states, results.counts, results.fault_records, axis, size_of(console)))
    console.print(*below, sep="\n")
    if arguments.svg:
        save_svg(arguments.svg, timeline(states, results.counts, results.fault_records, axis), *below)
        console.print(f"The picture is in {arguments.svg}")
    return exit_status(results) if is_whole else _INTERRUPTED


def _play(job: RecordedJob, consumers: Consumers, faults: Faults, axis: Axis, show: Show) -> bool:
    """Run until the time is up and every lost token has expired; False after Ctrl-C."""
    with ThreadPoolExecutor() as background:
        try:
            tasks = [background.submit(job.keep_schedule, faults.stop, settings.SCHEDULE_SECONDS)]
            while True:
                time.sleep(_FRAME_SECONDS)
                states = read_token_states(job)
                show(states, consumers.counts, faults.fault_records)
                for ended in (task for task in tasks if task.done()):
                    ended.result()  # raises what it has ended with
                if states.current is None and states.at > axis.begin + _FIRST_TOKEN_SECONDS * settings.SPEED:
                    raise RuntimeError("no token was published in time: the log says why")
                if states.current is not None and len(tasks) == 1:
                    consumers.begin.set()
                    tasks.append(background.submit(faults.play, axis.begin, axis.seconds))
                is_over = len(tasks) > 1 and tasks[1].done() and states.at >= axis.begin + axis.seconds
                if is_over and not faults.waits_for_expiry(states):
                    return True
        except KeyboardInterrupt:
            return False
        finally:
            faults.stop.set()


if __name__ == "__main__":
    sys.exit(main())
