"""The whole job on one machine, seen by a person: `python -m infra.local`.

Hours pass in a minute, by a clock that the handler and Telenor's sandbox share. Real requests over real sockets between
the handler, a Secrets Manager, Telenor's sandbox and eight consumers, while one fault after the other strikes. The exit
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

from infra.local import deployment, terms
from infra.local.consumers import Consumers
from infra.local.execution_environments import ExecutionEnvironments
from infra.local.faults import PLAN, Faults
from infra.local.picture import PAGE, Axis, figures, findings_table, picture, save_svg
from infra.local.secrets_manager import LocalSecretsManager
from infra.local.stage import Stage, space_of
from infra.local.story import Story
from infra.local.telenor_sandbox import DEMO_CLIENT_SECRET, TelenorSandbox
from infra.local.verdict import Account, exit_status
from infra.local.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from infra.local.verdict import View

_LEAST_SECONDS = 30
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
        prog="python -m infra.local",
        description="Run the handler on this machine against a sandbox of Telenor's API and a Secrets Manager, with "
        "eight consumers and real faults. Nothing is kept, and nothing leaves this machine.",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=60,
        help=f"how long it takes, at least {_LEAST_SECONDS} (default: %(default)s)",
    )
    parser.add_argument("--svg", type=Path, help="where to save the picture")
    parser.add_argument("--verbose", action="store_true", help="print the handler's log lines as well")
    arguments = parser.parse_args(argv)
    if not arguments.seconds >= _LEAST_SECONDS:
        parser.error(f"--seconds must be {_LEAST_SECONDS} or more, so that every fault has its time")
    return arguments


def _demo(arguments: argparse.Namespace, log: IO[bytes]) -> int:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PAGE.columns
    console.print("Starting Secrets Manager, Telenor's sandbox, the handler and eight consumers ...")
    deployment.forget_surroundings()
    with LocalSecretsManager() as aws, TelenorSandbox(clock=(story := Story.begin(terms.SPEED)).time) as sandbox:
        aws.clock = story.time
        os.environ.update(aws.environment, AWS_SDK_UA_APP_ID="demo")
        sandbox.knobs(lifetime_seconds=terms.LIFE_SECONDS)
        witness = Witness(sandbox, deployment.create_secrets(), deployment.TOKEN_SECRET, story)
        with (
            ExecutionEnvironments(
                _environment("rotation", sandbox), log, story, run_seconds=terms.RUN_SECONDS
            ) as environments,
            Consumers(_environment("consumer", sandbox), log) as consumers,
        ):
            axis = Axis(story.time(), arguments.seconds * story.speed)
            faults = Faults(sandbox, environments, witness, story)
            with Stage(console, axis, story, Path(log.name) if arguments.verbose else None) as stage:
                is_whole = _play(environments, consumers, faults, axis, _frames(witness, consumers, faults, stage))
        text = Path(log.name).read_text(encoding="utf-8", errors="replace")
        account = Account(
            view=witness.look(),
            counts=consumers.counts,
            strikes=faults.strikes,
            planned=[planned.name for planned in PLAN],
            calls=aws.calls("rotation"),
            is_log_clean=witness.is_clean(text) and DEMO_CLIENT_SECRET not in text,
        )
    last = findings_table(account) if is_whole else Text("Interrupted, so that there is no verdict.", style="bold")
    below: list[RenderableType] = ["", figures(account), "", last]
    if console.is_terminal:
        console.print(picture(account.view, account.counts, account.strikes, axis, space_of(console)))
    console.print(*below, sep="\n")
    if arguments.svg:
        save_svg(arguments.svg, picture(account.view, account.counts, account.strikes, axis), *below)
        console.print(f"The picture is in {arguments.svg}")
    return exit_status(account) if is_whole else _INTERRUPTED


def _play(
    environments: ExecutionEnvironments, consumers: Consumers, faults: Faults, axis: Axis, frames: Iterator[View]
) -> bool:
    """Run until the time is up, and every token has died that nobody can know of; False if Ctrl-C came before."""
    schedule_seconds = terms.SCHEDULE_SECONDS
    with ThreadPoolExecutor() as background:
        try:
            schedule = background.submit(
                deployment.keep_schedule, environments, faults.stop, faults.story, schedule_seconds
            )
            for view in frames:
                if view.current is not None:
                    break
                if view.at > axis.begin + _FIRST_TOKEN_SECONDS * terms.SPEED:
                    raise RuntimeError("no token was published in time: the log says why")
            consumers.begin()
            story = background.submit(faults.play, axis.begin, axis.seconds)
            for view in frames:
                for ended in (job for job in (schedule, story) if job.done()):
                    ended.result()  # raises what it has ended with
                if story.done() and view.at >= axis.begin + axis.seconds and not faults.waits_for_expiry(view):
                    break
        except KeyboardInterrupt:
            return False
        finally:
            faults.stop.set()
    return True


def _frames(witness: Witness, consumers: Consumers, faults: Faults, stage: Stage) -> Iterator[View]:
    while True:
        view = witness.look()
        stage.show(view, consumers.counts, faults.strikes)
        yield view
        time.sleep(_FRAME_SECONDS)


def _environment(app_id: str, sandbox: TelenorSandbox) -> dict[str, str]:
    return deployment.settings(
        app_id,
        sandbox.url,
        grace_seconds=terms.GRACE_SECONDS,
        schedule_seconds=terms.SCHEDULE_SECONDS,
        renew_at_fraction=terms.RENEW_AT_FRACTION,
    )


def _keep(log: IO[bytes]) -> None:
    kept = Path(tempfile.gettempdir()) / "telenor-demo.log"
    shutil.copyfile(log.name, kept)
    Console(stderr=True).print(f"What the processes logged is in {kept}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
