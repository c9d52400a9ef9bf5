"""`python -m handler`: arguments in, one command, an exit status out. Wires the parts together."""

from __future__ import annotations

import json
import logging
import os
import sys
import textwrap
import uuid
from contextlib import nullcontext
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from handler import app
from handler.config import settings_from
from handler.errors import InvalidInputError, MarkedForDeletionError, RotationError, SecretsManagerError
from handler.model import Action, Outcome
from handler.rotation import Report
from handler.secrets_manager import SecretsManager, create_client
from handler.telenor import Telenor
from handler.terminal import diagnosis, status
from handler.terminal.arguments import parser
from handler.terminal.doctor import Doctor

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from handler.config import Settings
    from handler.terminal.diagnosis import Diagnosis, Findings
    from handler.terminal.status import Status

# As long as the deployed function has.
_TIME_LEFT = timedelta(seconds=120)

_NOTICE_COLUMNS = 79


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
    arguments = parser().parse_args(argv)
    log_handler = app.logger.registered_handler
    if isinstance(log_handler, logging.StreamHandler):
        log_handler.setStream(sys.stderr)
    try:
        _choose_account(arguments.profile, arguments.region)
        return _COMMANDS[arguments.command](arguments)
    except RotationError as error:
        _say(str(error))
        return Exit.BAD_INPUT if isinstance(error, InvalidInputError) else Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


# The commands


def _renew(_arguments: argparse.Namespace) -> Exit:
    _print_result(_run(Action.RENEW_IF_DUE))
    return Exit.DONE


def _rotate(_arguments: argparse.Namespace) -> Exit:
    _print_result(_run(Action.ROTATE_NOW))
    return Exit.DONE


def _emergency(arguments: argparse.Namespace) -> Exit:
    settings = settings_from(os.environ, {})
    _say(_wrapped(_felt_by_consumers(_look(_secrets(settings), settings))))
    if not _confirmed("End them now?", arguments):
        return Exit.FAILED
    report = _run(Action.ROTATE_AND_REVOKE_NOW)
    _print_result(report)
    if report.outcome is Outcome.REISSUED:
        _say("Telenor handed out the current token again, so it was not ended: change the client secret at Telenor")
        return Exit.FAILED
    if report.pending_revocations:
        _say(f"{_count(report.pending_revocations, 'token')} could not be ended, see the log: run this again")
        return Exit.FAILED
    return Exit.DONE


def _status(arguments: argparse.Namespace) -> Exit:
    settings = settings_from(os.environ, {})
    with _output(arguments, settings, is_watch=arguments.watch is not None) as output:
        secrets = _secrets(settings)
        if arguments.watch is not None:
            return _watch(secrets, settings, output, arguments.watch)
        seen = _look(secrets, settings)
        output.show_status(seen)
    if seen.state in status.UNUSABLE:
        return Exit.NO_USABLE_TOKEN
    return Exit.AT_RISK if seen.state in status.AT_RISK else Exit.DONE


def _doctor(arguments: argparse.Namespace) -> Exit:
    settings = settings_from(os.environ, {})
    with (
        _output(arguments, settings) as output,
        Telenor(settings.base_url, app.clock, app.logger) as telenor,
    ):
        doctor = Doctor(settings, _secrets(settings), telenor, app.clock)
        ledger = doctor.look()
        if doctor.may_harm:
            _say(_wrapped(_felt_from_doctor(doctor.findings)))
            if not _confirmed("Ask Telenor for two tokens now?", arguments):
                return Exit.FAILED
        try:
            doctor.ask()
        finally:
            doctor.clean_up()
        findings = doctor.findings
        found = diagnosis.diagnosis(findings, status.status_of(ledger, settings.policy, app.clock.now()))
        output.show_diagnosis(findings, found)
    if doctor.may_harm and not findings.token_failure:
        _mend(diagnosis.published_ended(findings), arguments)
    return Exit.AT_RISK if found.is_at_risk else Exit.DONE


_COMMANDS: dict[str, Callable[[argparse.Namespace], Exit]] = {
    "renew": _renew,
    "rotate": _rotate,
    "emergency": _emergency,
    "status": _status,
    "doctor": _doctor,
}


# Their parts


class Output(Protocol):
    """Where status and doctor show what they have found: `screen.py` for people, or JSON for scripts."""

    def show_status(self, seen: Status) -> None:
        """Show how things stand."""

    def show_failure(self, sentence: str, at: datetime) -> None:
        """Show that nothing is known at the moment."""

    def show_diagnosis(self, findings: Findings, found: Diagnosis) -> None:
        """Show what was found out."""


class _Json:
    def show_status(self, seen: Status) -> None:
        _print_json(status.as_json(seen))

    def show_failure(self, sentence: str, _at: datetime) -> None:
        _say(sentence)

    def show_diagnosis(self, findings: Findings, found: Diagnosis) -> None:
        _print_json(diagnosis.as_json(findings, found))


def _output(
    arguments: argparse.Namespace, settings: Settings, *, is_watch: bool = False
) -> AbstractContextManager[Output]:
    if arguments.json:
        return nullcontext(_Json())
    try:
        from handler.terminal.screen import Screen  # noqa: PLC0415  rich is an extra, and --json goes without it
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        raise InvalidInputError(
            'drawing needs rich, which is not installed: pip install "telenor-token[cli]", or use --json'
        ) from None
    return Screen(settings.token_secret_id, is_watch=is_watch)


def _run(action: Action) -> Report:
    report = Report()
    app.run({"action": action}, str(uuid.uuid4()), _TIME_LEFT, report)
    return report


def _secrets(settings: Settings) -> SecretsManager:
    return SecretsManager(create_client(), settings.credentials_secret_id, settings.token_secret_id)


def _look(secrets: SecretsManager, settings: Settings) -> Status:
    try:
        ledger = secrets.describe()
    except MarkedForDeletionError:
        ledger = None
    return status.status_of(ledger, settings.policy, app.clock.now())


def _watch(secrets: SecretsManager, settings: Settings, output: Output, seconds: float) -> Exit:
    """Look again and again; a failure is shown, and may pass."""
    try:
        while True:
            try:
                output.show_status(_look(secrets, settings))
            except SecretsManagerError as error:
                output.show_failure(str(error), app.clock.now())
            app.clock.sleep(seconds)
    except KeyboardInterrupt:
        return Exit.DONE


def _felt_by_consumers(seen: Status) -> str:
    alive = status.live(seen)
    if not alive:
        return "No token is alive, so there is none to end. A new one is published."
    is_current_alive = seen.state not in status.UNUSABLE
    others = alive - is_current_alive
    named = ["the current token"] * is_current_alive + [_count(others, "superseded token")] * (others > 0)
    return (
        f"This publishes a new token and ends {' and '.join(named)} at once. Consumers that hold one in a cache are "
        "refused (401) until they read the secret again: those that read once more on a 401 hardly notice, the others "
        f"wait for their cache to run out, which should take less than {status.duration(seen.policy.grace)} "
        "(GRACE_SECONDS)."
    )


def _felt_from_doctor(findings: Findings) -> str:
    superseded = (findings.superseded_id or "")[:8]
    hint = {
        True: f" VERIFY_URL still accepts superseded {superseded}, so a new token does not seem to end the old one.",
        False: f" VERIFY_URL refuses superseded {superseded}, which nobody has revoked: a new token seems to end the "
        "old one here, and then this ends the published one.",
        None: "",
    }[findings.superseded_accepted]
    return (
        "A token is published and alive. If Telenor keeps one token at a time for a client, or if a logout ends all of "
        "them, then asking ends it, and consumers are refused until the next rotation, which is offered afterwards. "
        f"What is published is never logged out.{hint}"
    )


def _mend(ended: bool | None, arguments: argparse.Namespace) -> None:  # noqa: FBT001  None is that nobody knows
    if ended is False:
        return
    _say("The published token was ended." if ended else "Whether the published token is still alive cannot be told.")
    if _confirmed("Rotate now?", arguments):
        _say(f"Published version {_run(Action.ROTATE_NOW).version_id}.")


def _confirmed(question: str, arguments: argparse.Namespace) -> bool:
    if arguments.yes:
        return True
    # None where a process was started without one.
    if sys.stdin is None or not sys.stdin.isatty():
        raise InvalidInputError("this asks before it acts, and stdin is no terminal: add --yes to say yes beforehand")
    print(f"{question} Type yes: ", end="", file=sys.stderr, flush=True)  # noqa: T201
    if sys.stdin.readline().strip().lower() == "yes":
        return True
    _say("Nothing was done.")
    return False


def _choose_account(profile: str | None, region: str | None) -> None:
    """Let the SDK take what the options say."""
    if region:
        os.environ["AWS_REGION"] = region
    if profile:
        os.environ["AWS_PROFILE"] = profile
        # As with the AWS CLI, a profile that is named counts for more than keys in the environment.
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            os.environ.pop(name, None)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _print_result(report: Report) -> None:
    _print_json(app.result(report))


def _print_json(document: object) -> None:
    print(json.dumps(document), flush=True)  # noqa: T201  this is what stdout is for


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _NOTICE_COLUMNS)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201  not part of the result
