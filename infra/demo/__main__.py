"""The demo, the whole job on one machine: `python -m infra.demo`.

Hours pass in a minute, by a clock that the handler and Telenor's sandbox share. The handler, a Secrets Manager,
Telenor's sandbox and eight consumers send real requests over real sockets, with one fault after the other. The exit
status is 0 only if no promise was broken.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from infra.demo import settings
from infra.demo.checks import Results, exit_status
from infra.demo.consumers import Consumers
from infra.demo.faults import PLAN, Faults
from infra.demo.live_view import LiveView, space_of
from infra.demo.observer import Observer
from infra.demo.timeline import PAGE, Axis, checks_table, save_svg, summary_table, timeline
from infra.local import local_stack
from infra.local.fast_clock import FastClock
from infra.local.lambda_workers import LambdaWorkers
from infra.local.secrets_manager import LocalSecretsManager
from infra.local.telenor_sandbox import DEMO_CLIENT_SECRET, TelenorSandbox
from infra.promises.checker import violations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from infra.demo.checks import View

_MIN_SECONDS = 30
_FRAME_SECONDS = 0.2
_FIRST_TOKEN_SECONDS = 30.0
_INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 says that every promise held."""
    arguments = _arguments(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # both: a shell starts its background jobs deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        # stderr of all processes; the handler's own lines are in it.
        with tempfile.NamedTemporaryFile(suffix=".log") as log:
            try:
                status = _demo(arguments, log)
            except Exception:
                _keep(log)
                raise
            if status not in {0, _INTERRUPTED}:
                _keep(log)
            return status
    except KeyboardInterrupt:
        return _INTERRUPTED


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m infra.demo",
        description="Run the handler on this machine against a sandbox of Telenor's API and a Secrets Manager, with "
        "eight consumers and real faults. Nothing is kept, and nothing leaves this machine.",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=60,
        help=f"how long it takes, at least {_MIN_SECONDS} (default: %(default)s)",
    )
    parser.add_argument("--svg", type=Path, help="where to save the picture")
    parser.add_argument("--verbose", action="store_true", help="print the handler's log lines as well")
    arguments = parser.parse_args(argv)
    if not arguments.seconds >= _MIN_SECONDS:
        parser.error(f"--seconds must be {_MIN_SECONDS} or more, so that every fault has its time")
    return arguments


def _demo(arguments: argparse.Namespace, log: IO[bytes]) -> int:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PAGE.columns
    console.print("Starting Secrets Manager, Telenor's sandbox, the handler and eight consumers ...")
    local_stack.clear_environment()
    with LocalSecretsManager() as aws, TelenorSandbox(clock=(clock := FastClock.begin(settings.SPEED)).time) as sandbox:
        aws.clock = clock.time
        os.environ.update(aws.environment, AWS_SDK_UA_APP_ID="demo")
        sandbox.knobs(lifetime_seconds=settings.LIFETIME_SECONDS)
        observer = Observer(sandbox, local_stack.create_secrets(), local_stack.TOKEN_SECRET, clock)
        with (
            LambdaWorkers(_environment("rotation", sandbox), log, clock, run_seconds=settings.RUN_SECONDS) as workers,
            Consumers(_environment("consumer", sandbox), log) as consumers,
        ):
            axis = Axis(clock.time(), arguments.seconds * clock.speed)
            faults = Faults(sandbox, workers, observer, clock)
            with LiveView(console, axis, clock, Path(log.name) if arguments.verbose else None) as live_view:
                is_whole = _play(workers, consumers, faults, axis, _frames(observer, consumers, faults, live_view))
        text = Path(log.name).read_text(encoding="utf-8", errors="replace")
        results = Results(
            view=observer.look(),
            violations=violations(observer.history()),
            counts=consumers.counts,
            fault_records=faults.fault_records,
            planned=[planned.name for planned in PLAN],
            calls=aws.calls("rotation"),
            is_log_clean=observer.is_clean(text) and DEMO_CLIENT_SECRET not in text,
        )
    last = checks_table(results) if is_whole else Text("Interrupted, so that there is no result.", style="bold")
    below: list[RenderableType] = ["", summary_table(results), "", last]
    if console.is_terminal:
        console.print(timeline(results.view, results.counts, results.fault_records, axis, space_of(console)))
    console.print(*below, sep="\n")
    if arguments.svg:
        save_svg(arguments.svg, timeline(results.view, results.counts, results.fault_records, axis), *below)
        console.print(f"The picture is in {arguments.svg}")
    return exit_status(results) if is_whole else _INTERRUPTED


def _play(workers: LambdaWorkers, consumers: Consumers, faults: Faults, axis: Axis, frames: Iterator[View]) -> bool:
    """Run until the time is up, and every token has died that nobody can know of; False if Ctrl-C came before."""
    schedule_seconds = settings.SCHEDULE_SECONDS
    with ThreadPoolExecutor() as background:
        try:
            schedule = background.submit(
                local_stack.keep_schedule, workers, faults.stop, faults.clock, schedule_seconds
            )
            for view in frames:
                if view.current is not None:
                    break
                if view.at > axis.begin + _FIRST_TOKEN_SECONDS * settings.SPEED:
                    raise RuntimeError("no token was published in time: the log says why")
            consumers.begin()
            injected = background.submit(faults.play, axis.begin, axis.seconds)
            for view in frames:
                for ended in (job for job in (schedule, injected) if job.done()):
                    ended.result()  # raises what it has ended with
                if injected.done() and view.at >= axis.begin + axis.seconds and not faults.waits_for_expiry(view):
                    break
        except KeyboardInterrupt:
            return False
        finally:
            faults.stop.set()
    return True


def _frames(observer: Observer, consumers: Consumers, faults: Faults, live_view: LiveView) -> Iterator[View]:
    while True:
        view = observer.look()
        live_view.show(view, consumers.counts, faults.fault_records)
        yield view
        time.sleep(_FRAME_SECONDS)


def _environment(app_id: str, sandbox: TelenorSandbox) -> dict[str, str]:
    return local_stack.job_environment(
        app_id,
        sandbox.url,
        grace_seconds=settings.GRACE_SECONDS,
        schedule_seconds=settings.SCHEDULE_SECONDS,
        renew_at_fraction=settings.RENEW_AT_FRACTION,
    )


def _keep(log: IO[bytes]) -> None:
    kept = Path(tempfile.gettempdir()) / "telenor-demo.log"
    shutil.copyfile(log.name, kept)
    Console(stderr=True).print(f"What the processes logged is in {kept}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
