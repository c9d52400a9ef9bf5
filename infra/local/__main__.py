"""The whole job on one machine, seen by a person: `python -m infra.local`.

Real requests over real sockets between the handler, a Secrets Manager, Telenor's sandbox and eight consumers, while one
fault after the other strikes. The exit status is 0 only if no promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING

import boto3
from rich.console import Console

from infra.local import terms
from infra.local.consumers import Consumers
from infra.local.faults import PLAN, Faults
from infra.local.picture import SVG_COLUMNS, Axis, picture, save_svg, summary
from infra.local.runtime import Invocation, Runtime
from infra.local.screen import Screen
from infra.local.secrets_manager import LocalSecretsManager
from infra.local.telenor_sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, TelenorSandbox
from infra.local.verdict import Account, exit_status
from infra.local.witness import Witness

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from mypy_boto3_secretsmanager.client import SecretsManagerClient
    from rich.console import RenderableType

    from infra.local.verdict import View

_LEAST_SECONDS = 30
_FRAME_SECONDS = 0.2
_FIRST_TOKEN_SECONDS = 30.0

_CREDENTIALS_SECRET = "telenor/credentials"  # noqa: S105  a name, not a secret
_TOKEN_SECRET = "telenor/token"  # noqa: S105  likewise

# What EventBridge sends; the job looks at none of it.
_TICK = {"version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}

# Variables that would lead the SDKs and the handler elsewhere.
_LEADING_ELSEWHERE = ("AWS_", "POWERTOOLS_", "TELENOR_", "VERIFY_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


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
            if status:
                _keep(log)
            return status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


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
        console.width = SVG_COLUMNS
    _forget_surroundings()
    with LocalSecretsManager() as aws, TelenorSandbox() as sandbox:
        os.environ.update(aws.environment, AWS_SDK_UA_APP_ID="demo")
        sandbox.knobs(lifetime_seconds=terms.LIFE_SECONDS)
        witness = Witness(sandbox, _create_secrets(), _TOKEN_SECRET)
        with (
            Runtime(_environment("rotation", sandbox), log) as runtime,
            Consumers(_environment("consumer", sandbox), log) as consumers,
        ):
            axis = Axis(time.time(), arguments.seconds)
            faults = Faults(sandbox, runtime, witness)
            with Screen(console, axis, Path(log.name) if arguments.verbose else None) as screen:
                _play(runtime, consumers, faults, axis, _frames(witness, consumers, faults, screen))
        text = Path(log.name).read_text(encoding="utf-8", errors="replace")
        account = Account(
            view=witness.look(),
            counts=consumers.counts,
            strikes=faults.strikes,
            planned=[planned.name for planned in PLAN],
            calls=aws.calls("rotation"),
            is_log_clean=witness.is_clean(text) and DEMO_CLIENT_SECRET not in text,
        )
    drawn: list[RenderableType] = [picture(account.view, account.counts, account.strikes, axis), "", summary(account)]
    console.print(*(drawn if console.is_terminal else drawn[1:]), sep="\n")
    if arguments.svg:
        save_svg(arguments.svg, *drawn)
    return exit_status(account)


def _play(runtime: Runtime, consumers: Consumers, faults: Faults, axis: Axis, frames: Iterator[View]) -> None:
    """Run until the time is up, and until every token has died that nobody can know of."""
    with ThreadPoolExecutor() as background:
        try:
            schedule = background.submit(_keep_schedule, runtime, faults.stop)
            for view in frames:
                if view.current is not None:
                    break
                if view.at > axis.begin + _FIRST_TOKEN_SECONDS:
                    raise RuntimeError("no token was published in time: the log says why")
            consumers.begin()
            story = background.submit(faults.play, axis.begin, axis.seconds)
            for view in frames:
                for ended in (job for job in (schedule, story) if job.done()):
                    ended.result()  # raises what it has ended with
                if story.done() and view.at >= axis.begin + axis.seconds and not faults.waits_for_expiry(view):
                    break
        finally:
            faults.stop.set()


def _frames(witness: Witness, consumers: Consumers, faults: Faults, screen: Screen) -> Iterator[View]:
    while True:
        view = witness.look()
        screen.show(view, consumers.counts, faults.strikes)
        yield view
        time.sleep(_FRAME_SECONDS)


def _keep_schedule(runtime: Runtime, stop: threading.Event) -> None:
    """Stand in for EventBridge. A tick that falls into a run is left out."""
    began_at = time.monotonic()
    while not stop.is_set():
        runtime.invoke(Invocation.new(_TICK))
        stop.wait(terms.SCHEDULE_SECONDS - (time.monotonic() - began_at) % terms.SCHEDULE_SECONDS)


def _create_secrets() -> SecretsManagerClient:
    client = boto3.client("secretsmanager")
    credentials = {"client_id": DEMO_CLIENT_ID, "client_secret": DEMO_CLIENT_SECRET}
    client.create_secret(Name=_CREDENTIALS_SECRET, SecretString=json.dumps(credentials))
    client.create_secret(Name=_TOKEN_SECRET)
    return client


def _environment(app_id: str, sandbox: TelenorSandbox) -> dict[str, str]:
    """Return the settings of the handler and of the consumers; Secrets Manager counts their calls by `app_id`."""
    return {
        "AWS_SDK_UA_APP_ID": app_id,
        "TELENOR_BASE_URL": sandbox.url,
        "CREDENTIALS_SECRET_ID": _CREDENTIALS_SECRET,
        "TOKEN_SECRET_ID": _TOKEN_SECRET,
        "GRACE_SECONDS": str(terms.GRACE_SECONDS),
        "RENEW_AT_FRACTION": str(terms.RENEW_AT_FRACTION),
        "SCHEDULE_MINUTES": str(terms.SCHEDULE_SECONDS / 60),
        "POWERTOOLS_SERVICE_NAME": "telenor-token",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }


def _forget_surroundings() -> None:
    """Drop what would lead the SDKs and the handler elsewhere than to the servers of this demo."""
    for name in [name for name in os.environ if name.upper().startswith(_LEADING_ELSEWHERE)]:
        del os.environ[name]
    # No profile of the user's either.
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)


def _keep(log: IO[bytes]) -> None:
    kept = Path(tempfile.gettempdir()) / "telenor-demo.log"
    shutil.copyfile(log.name, kept)
    Console(stderr=True).print(f"What the processes logged is in {kept}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
