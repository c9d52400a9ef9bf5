"""`python -m handler`: parses the arguments, runs one command, and returns its exit status."""

from __future__ import annotations

import contextlib
import logging
import os
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from handler import app
from handler.cli import arguments as command_line
from handler.cli import job_status, standard_streams
from handler.cli.doctor import run as doctor
from handler.cli.emergency import emergency
from handler.cli.errors import TokenSecretMissingError, UsageError, is_bad_input, prefixed, sentence
from handler.cli.fetch_status import fetch_status
from handler.cli.find_job import find, find_each
from handler.cli.json_output import JsonOutput
from handler.cli.log_printer import LogPrinter
from handler.cli.retire import retire
from handler.errors import RotationError
from handler.model import Action

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from handler.cli.doctor.diagnosis import Diagnosis
    from handler.cli.doctor.observations import Observations
    from handler.cli.job import Job
    from handler.cli.job_status import Status


_OTHER_CREDENTIALS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"),
)


class Exit(IntEnum):
    """The exit status; `--help` explains it."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    NO_USABLE_TOKEN = 3
    AT_RISK = 4
    INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        arguments = _parse(argv)
        log = LogPrinter(is_verbose=arguments.verbose)
        with _logging_to(log):
            _choose_account(arguments.profile, arguments.region)
            return _COMMANDS[arguments.command](arguments, log)
    except RotationError as error:
        standard_streams.print_stderr(sentence(error))
        for note in getattr(error, "__notes__", ()):
            standard_streams.print_stderr(note)
        return _exit_of_error(error)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    try:
        return command_line.parse(argv)
    except SystemExit:
        # argparse leaves its help in the buffer.
        standard_streams.print_stdout("")
        raise


# The commands


def _renew(arguments: argparse.Namespace, log: LogPrinter) -> Exit:
    standard_streams.print_json(find(arguments, log).run(Action.RENEW_IF_DUE))
    return Exit.DONE


def _rotate(arguments: argparse.Namespace, log: LogPrinter) -> Exit:
    standard_streams.print_json(find(arguments, log).run(Action.ROTATE_NOW))
    return Exit.DONE


def _emergency(arguments: argparse.Namespace, log: LogPrinter) -> Exit:
    return Exit.DONE if emergency(find(arguments, log), log, yes=arguments.yes) else Exit.FAILED


def _retire(arguments: argparse.Namespace, log: LogPrinter) -> Exit:
    return Exit.DONE if retire(find(arguments, log), log, yes=arguments.yes) else Exit.FAILED


def _status(arguments: argparse.Namespace, log: LogPrinter) -> Exit:
    with _output(arguments, is_watch=arguments.watch is not None) as output:
        jobs, errors = find_each(arguments, log)
        if arguments.watch is not None:
            return _watch(jobs, errors, output, arguments.watch)
        seen, more_errors = _fetch_each(jobs)
        if seen:
            output.show_status(seen, [], app.clock.now())
    errors += more_errors
    for error in errors:
        standard_streams.print_stderr(sentence(error))
    ends = [_exit_of(each) for _, each in seen] + [_exit_of_error(error) for error in errors]
    return max(ends, key=_BEST_FIRST.index)


def _fetch_each(jobs: Sequence[Job]) -> tuple[list[tuple[Job, Status]], list[RotationError]]:
    seen: list[tuple[Job, Status]] = []
    errors: list[RotationError] = []
    for job in jobs:
        try:
            seen.append((job, fetch_status(job)))
        except RotationError as error:
            errors.append(prefixed(error, job.name))
    return seen, errors


def _doctor(arguments: argparse.Namespace, log: LogPrinter) -> Exit:
    job = find(arguments, log)
    with _output(arguments) as output:
        try:
            observations, found = doctor.examine(
                job, output.show_wait, yes=arguments.yes, credentials_file=arguments.credentials
            )
        except doctor.DeclinedError:
            return Exit.FAILED
        output.show_diagnosis(observations, found)
    if found.is_at_risk:
        return Exit.AT_RISK
    return Exit.DONE if observations.survey.permissions.may_obtain else Exit.FAILED


_COMMANDS: dict[str, Callable[[argparse.Namespace, LogPrinter], Exit]] = {
    "renew": _renew,
    "rotate": _rotate,
    "emergency": _emergency,
    "retire": _retire,
    "status": _status,
    "doctor": _doctor,
}


# Output


class Output(Protocol):
    """The output of status and doctor: `rich_output.py` for people, `json_output.py` for scripts."""

    def show_status(self, seen: Sequence[tuple[Job, Status]], failures: Sequence[str], at: datetime) -> bool:
        """Show the status of jobs, and why others could not be read. Return False if nobody reads it."""

    def show_wait(self, waited: timedelta) -> None:
        """Show for how long doctor has tried a revoked token."""

    def show_diagnosis(self, observations: Observations, found: Diagnosis) -> None:
        """Show the observations of doctor."""


def _output(arguments: argparse.Namespace, *, is_watch: bool = False) -> AbstractContextManager[Output]:
    if arguments.json:
        return contextlib.nullcontext(JsonOutput())
    try:
        from handler.cli.rich_output import RichOutput  # noqa: PLC0415  rich is an extra, and --json does not need it
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        raise UsageError(
            "drawing needs rich, which is not installed: run `make cli` in a checkout, or use --json"
        ) from None
    return RichOutput(is_watch=is_watch)


# An unknown status is worse than one that needs attention, and better than a known outage.
_BEST_FIRST = [Exit.DONE, Exit.AT_RISK, Exit.FAILED, Exit.BAD_INPUT, Exit.NO_USABLE_TOKEN]


def _exit_of(seen: Status) -> Exit:
    if seen.state in job_status.UNUSABLE:
        return Exit.NO_USABLE_TOKEN
    return Exit.AT_RISK if seen.needs_attention else Exit.DONE


def _exit_of_error(error: RotationError) -> Exit:
    if isinstance(error, TokenSecretMissingError):
        return Exit.NO_USABLE_TOKEN
    return Exit.BAD_INPUT if is_bad_input(error) else Exit.FAILED


def _watch(jobs: Sequence[Job], not_found: Sequence[RotationError], output: Output, seconds: float) -> Exit:
    """Repeat until Ctrl-C or until nobody reads it, and show failures. Raises RotationError if there is no job."""
    if not jobs:
        raise not_found[0]
    try:
        while True:
            seen, errors = _fetch_each(jobs)
            failures = [sentence(error) for error in [*not_found, *errors]]
            if not output.show_status(seen, failures, app.clock.now()):
                break
            app.clock.sleep(seconds)
    except KeyboardInterrupt:
        pass
    return Exit.DONE


@contextlib.contextmanager
def _logging_to(log: LogPrinter) -> Iterator[None]:
    """Send the log of the job's modules to the operator."""
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
    """Set the SDK's variables from the options."""
    if region:
        os.environ["AWS_REGION"] = region
    if profile:
        os.environ["AWS_PROFILE"] = profile
        # As in the AWS CLI, a given profile takes precedence over other credentials in the environment.
        for name in _OTHER_CREDENTIALS:
            os.environ.pop(name, None)
