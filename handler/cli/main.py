"""`python -m handler`: arguments in, one command, an exit status out. Wires the parts together."""

from __future__ import annotations

import contextlib
import logging
import os
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from handler import app
from handler.cli import arguments as command_line
from handler.cli import console, deployed_job, local_job, status
from handler.cli.doctor import command as doctor
from handler.cli.doctor import diagnosis
from handler.cli.fetch_status import look, look_at_labels
from handler.cli.job import RunFailedError
from handler.cli.log_output import LogLines
from handler.errors import InvalidInputError, RotationError
from handler.model import Action, Outcome

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from handler.cli.doctor.diagnosis import Diagnosis
    from handler.cli.doctor.findings import Findings
    from handler.cli.job import Job
    from handler.cli.status import Status


class Exit(IntEnum):
    """The exit status, as `--help` tells it."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    NO_USABLE_TOKEN = 3
    AT_RISK = 4
    INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = command_line.parse(argv)
    log = LogLines(is_verbose=arguments.verbose)
    try:
        with _logging_to(log):
            _choose_account(arguments.profile, arguments.region)
            return _COMMANDS[arguments.command](arguments, log)
    except RotationError as error:
        console.say(str(error))
        is_bad_input = isinstance(error, InvalidInputError) or getattr(error, "is_bad_input", False)
        return Exit.BAD_INPUT if is_bad_input else Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


# Which job


def _jobs(arguments: argparse.Namespace, log: LogLines) -> list[Job]:
    """Find the jobs that the arguments name. Raises InvalidInputError where they name none."""
    if arguments.local:
        if arguments.stacks or arguments.functions or arguments.clients:
            raise InvalidInputError("--local is a job of its own: leave it out, or --stack, --function and --client")
        return [local_job.find(os.environ, arguments.region, log, to_look=arguments.command == "status")]
    if not arguments.stacks and not arguments.functions:
        raise InvalidInputError(
            "name the job: --stack NAME or --function NAME for one that is deployed, or --local to run it here by the "
            "environment's settings"
        )
    functions = [(name, deployed_job.find_stack(name, arguments.region)) for name in arguments.stacks]
    functions += [(name, deployed_job.find_function(name, arguments.region)) for name in arguments.functions]
    if not arguments.clients:
        return [deployed_job.job(name, function, log) for name, function in functions]
    return [
        deployed_job.job(name, function, log, client) for name, function in functions for client in arguments.clients
    ]


def _job(arguments: argparse.Namespace, log: LogLines) -> Job:
    # Counted before any is looked up.
    if len(arguments.stacks) + len(arguments.functions) > 1 or len(arguments.clients) > 1:
        raise InvalidInputError(f"{arguments.command} acts on one job at a time: name one")
    (job,) = _jobs(arguments, log)
    return job


# The commands


def _renew(arguments: argparse.Namespace, log: LogLines) -> Exit:
    console.show(_job(arguments, log).run(Action.RENEW_IF_DUE))
    return Exit.DONE


def _rotate(arguments: argparse.Namespace, log: LogLines) -> Exit:
    console.show(_job(arguments, log).run(Action.ROTATE_NOW))
    return Exit.DONE


def _emergency(arguments: argparse.Namespace, log: LogLines) -> Exit:
    job = _job(arguments, log)
    console.explain(_felt_by_consumers(job))
    if not console.is_confirmed("End them now?", yes=arguments.yes):
        return Exit.FAILED
    try:
        answer = job.run(Action.ROTATE_AND_REVOKE_NOW)
    except RunFailedError:
        console.say("The leaked token may still be the current one: run this again until it ends with 0.")
        raise
    console.show(answer)
    if answer.get("outcome") == Outcome.REISSUED:
        console.say(
            "Telenor handed out the current token again, so it still works: change the client secret at Telenor"
        )
        return Exit.FAILED
    if pending := answer.get("pending_revocations"):
        console.say(f"{console.count(int(str(pending)), 'token')} could not be ended, see the log: run this again")
        return Exit.FAILED
    return Exit.DONE


def _status(arguments: argparse.Namespace, log: LogLines) -> Exit:
    with _output(arguments, is_watch=arguments.watch is not None) as output:
        jobs = _jobs(arguments, log)
        if arguments.watch is not None:
            return _watch(jobs, output, arguments.watch)
        seen = [(job, look(job)) for job in jobs]
        output.show_status(seen)
    return max((_exit_of(each) for _, each in seen), key=_FROM_GOOD_TO_BAD.index)


def _doctor(arguments: argparse.Namespace, log: LogLines) -> Exit:
    job = _job(arguments, log)
    with _output(arguments) as output:
        try:
            findings, found = doctor.examine(
                job, output.show_wait, yes=arguments.yes, credentials_file=arguments.credentials
            )
        except doctor.DeclinedError:
            return Exit.FAILED
        output.show_diagnosis(findings, found)
    if found.is_at_risk:
        return Exit.AT_RISK
    return Exit.DONE if findings.look.access.may_ask else Exit.FAILED


_COMMANDS: dict[str, Callable[[argparse.Namespace, LogLines], Exit]] = {
    "renew": _renew,
    "rotate": _rotate,
    "emergency": _emergency,
    "status": _status,
    "doctor": _doctor,
}


# Their parts


class Output(Protocol):
    """Where status and doctor show what they have found: `drawing.py` for people, or JSON for scripts."""

    def show_status(self, seen: Sequence[tuple[Job, Status]]) -> None:
        """Show how jobs stand."""

    def show_failure(self, sentence: str, at: datetime) -> None:
        """Show that nothing is known at the moment."""

    def show_wait(self, waited: timedelta) -> None:
        """Show for how long doctor has been trying a token that was logged out."""

    def show_diagnosis(self, findings: Findings, found: Diagnosis) -> None:
        """Show what was found out."""


class _Json:
    def show_status(self, seen: Sequence[tuple[Job, Status]]) -> None:
        for job, each in seen:
            console.show({"job": job.name, **status.as_json(each)})

    def show_failure(self, sentence: str, _at: datetime) -> None:
        console.say(sentence)

    def show_wait(self, waited: timedelta) -> None:
        pass

    def show_diagnosis(self, findings: Findings, found: Diagnosis) -> None:
        console.show(diagnosis.as_json(findings, found))


def _output(arguments: argparse.Namespace, *, is_watch: bool = False) -> AbstractContextManager[Output]:
    if arguments.json:
        return contextlib.nullcontext(_Json())
    try:
        from handler.cli.rendering import Rendering  # noqa: PLC0415  rich is an extra, and --json goes without it
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        raise InvalidInputError(
            'drawing needs rich, which is not installed: pip install "telenor-token[cli]", or use --json'
        ) from None
    return Rendering(is_watch=is_watch)


_FROM_GOOD_TO_BAD = [Exit.DONE, Exit.AT_RISK, Exit.NO_USABLE_TOKEN]


def _exit_of(seen: Status) -> Exit:
    if seen.state in status.UNUSABLE:
        return Exit.NO_USABLE_TOKEN
    return Exit.AT_RISK if seen.state in status.AT_RISK else Exit.DONE


def _watch(jobs: Sequence[Job], output: Output, seconds: float) -> Exit:
    """Look again and again; a failure is shown, and may pass."""
    try:
        while True:
            try:
                output.show_status([(job, look(job)) for job in jobs])
            except RotationError as error:
                output.show_failure(str(error), app.clock.now())
            app.clock.sleep(seconds)
    except KeyboardInterrupt:
        return Exit.DONE


def _felt_by_consumers(job: Job) -> str:
    try:
        seen = look_at_labels(job)
    except RotationError as error:
        # Nothing that is to be shown may stop an emergency.
        return f"This publishes a new token and ends every other one. Which there are cannot be told: {error}."
    alive = status.live(seen)
    if not alive:
        return "No token is alive, so there is none to end. A new one is published."
    is_current_alive = seen.state not in status.UNUSABLE
    others = alive - is_current_alive
    named = ["the current token"] * is_current_alive + [console.count(others, "superseded token")] * (others > 0)
    return (
        f"This publishes a new token and logs out {' and '.join(named)} at once. A gateway's cache may accept them for "
        "some minutes more. Consumers that hold one are refused (401) until they read the secret again: those that "
        "read once more on a 401 hardly notice, the others wait for their cache to run out, which should take less "
        f"than {status.duration(seen.policy.grace)} (GRACE_SECONDS)."
    )


@contextlib.contextmanager
def _logging_to(log: LogLines) -> Iterator[None]:
    """Lead what the job's own parts log here to the operator."""
    handler = app.logger.registered_handler
    if not isinstance(handler, logging.StreamHandler):
        yield
        return
    stream, handler.stream = handler.stream, log
    try:
        yield
    finally:
        handler.stream = stream


def _choose_account(profile: str | None, region: str | None) -> None:
    """Let the SDK take what the options say."""
    if region:
        os.environ["AWS_REGION"] = region
    if profile:
        os.environ["AWS_PROFILE"] = profile
        # As with the AWS CLI, a profile that is named counts for more than keys in the environment.
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            os.environ.pop(name, None)
