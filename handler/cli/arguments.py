"""The command line, and what `--help` teaches."""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from handler.model import json_object

if TYPE_CHECKING:
    from collections.abc import Sequence

_SCRIPT = "telenor-token"
_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
_CLIENT_NAME = re.compile(r"[a-z0-9-]{1,32}")

_DEFAULT_WATCH_SECONDS = 5.0
_WATCH_SECONDS = (1.0, 3600.0)

_DESCRIPTION = "Look after the job that keeps one Telenor access token fresh in a shared secret."

_EPILOG = """\
examples:
  telenor-token status --stack telenor-token
  telenor-token status --stack telenor-test --stack telenor-prod --watch
  telenor-token status --stack telenor-token --json | jq .expires_at
  telenor-token status --function my-token-function
  telenor-token rotate --stack telenor-token --profile prod
  telenor-token emergency --function my-token-function --client acme
  telenor-token doctor --stack telenor-token
  telenor-token renew --local

`python -m handler` in a checkout is the same command. `make cli` installs it.

Name the job: --stack or --function for a deployed one, --local for none.
The settings of a deployed job are read from its function. Each command that
writes or revokes invokes that function, once. You need the policy
OperatorPolicyArn of the stack's outputs.

--local runs the job in this process, with the variables of
docs/configuration.md. GRACE_SECONDS and SCHEDULE_MINUTES must be set, so that
no default revokes a token.

The AWS SDK's variables also apply (AWS_PROFILE, AWS_REGION, ...), and COLUMNS
and NO_COLOR for the drawing.

exit status:
  0    done; status: consumers are served; doctor: no promise is at risk
  1    failed, declined or incomplete; see stderr
  2    wrong arguments, settings or credentials secret: correct them first
  3    status: consumers have no usable token
       (no-value, expired, not-accepted, marked-for-deletion)
  4    status: a person should look
       (overdue, not-in-ledger, failing, not-running, credentials that have
       fallen back, a revocation that failed);
       doctor: a promise is at risk
  130  Ctrl-C; but `status --watch` ends with 0

renew, rotate, emergency and retire print the run's result as one line of JSON
on stdout. stderr has the warnings and errors of its log, each with its code
[in brackets]; docs/error-codes.md has a row for each. --verbose prints every
line.
"""

_RENEW = """\
One run, as the schedule does it: renew the token if it is due, and revoke
superseded ones whose grace is over.
"""

_ROTATE = """\
Always publish a new token. The previous one keeps its grace of GRACE_SECONDS,
so consumers notice nothing.
"""

_EMERGENCY = """\
For a leaked token: publish a new one, and revoke every other active token at
once, without grace. Consumers that hold one in a cache are refused until they
read the secret again. Telenor's gateways may accept a token for some minutes
after its logout; `doctor` measures how long.

It asks first, and needs --yes if stdin is not a terminal. The exit status is 0
only if every other token was revoked. Otherwise stderr says the cause, what was
done, and what to do.
"""

_RETIRE = """\
Before you delete a stack or a client: disable its schedule, publish one last
token, and revoke every other one, which are those that consumers have read.

The job never revokes the published token. So the last one remains until it
expires; the command says which and when. Delete the token secret, so that
nobody reads it. A change of the credentials secret still starts the job.

It asks first, and needs --yes if stdin is not a terminal. You also need
scheduler:UpdateSchedule on the schedule and iam:PassRole on its role.
"""

_STATUS = """\
Draw the current token, its lifetime and when it is renewed, when superseded
tokens expire, and how the last runs ended. It reads labels and the
job's log; a secret's value only where VERIFY_URL is set, to see whether the
token is accepted there.

Several --stack, --function or --client make one table, and so does a function
that serves several clients: it lists them all. The exit status is that of the
worst. What cannot be read is an error on stderr beside the others.

--json prints one object for each job. Times are epoch seconds; null means
unknown.
  job, client   as you have named it; the client's name
  state         fresh, due, overdue, failing, not-running, expired,
                not-accepted, not-in-ledger, no-value or marked-for-deletion
  reason        what a run would renew by, as in a run's result
  accepted      what VERIFY_URL says about the token
  credentials_fallback
                whether the current token was obtained with the previous
                credentials, since the new ones do not work
  last_run      at, outcome, message, error_code
  failed_runs   how many failed since the last one that did not
  checked_at, version_id, published_at, renews_at, expires_at
  superseded    a list of version_id, state (in-grace, revocation-due,
                newer-than-current, expired or unknown), published_at,
                expires_at, ends_at, failed_with (the error code of the last
                attempt to revoke it)
"""

_DOCTOR = """\
Ask the real endpoint what the API reference leaves open: does a second request
give another token; does the old one live on; does logout end that token alone,
and after how long; what does an error look like, and in whose words; how far is
the clock off; is the life long enough for the grace and the schedule. The
verdict on each promise follows from that.

It needs the client credentials and to read the token secret's value. Nobody but
the job may read a credentials secret that the stack created: give doctor the
file that you have put there, by --credentials. It says first what it can and
cannot do with your identity, and asks before it obtains two tokens; --yes says
yes for scripts. It logs them out again, and never logs out what is published or
tracked.

With a Telenor that keeps one token at a time for a client, or whose logout ends
all of them, asking is enough to end the published token. Then, and where
nothing tells, doctor has the job rotate right afterwards; it does not ask
Telenor where it may not start the job.

With VERIFY_URL the answers are seen at the API itself, and a token that is
still accepted after its logout is tried again for up to 200 s. Without it they
are concluded from what logout answers; what that does not tell is said to be
unknown.

--json prints one object; null means unknown.
  dialect                 reference, gateway, apigee, oauth or none-known
  second_request_gives_new_token, same_token_gets_longer_life,
  old_token_lives_on, logout_ends_token, logout_ends_other_tokens,
  published_token_ended, accepted_again_after_logout
  revocation_lag_seconds  from a logout to the first refusal
  verify_url              not-set, tells-live-from-dead, no-clear-answer,
                          accepts-a-made-up-token or refuses-a-new-token
  error, token_answer     status, code, code_at, media_type, fields: the shape
                          of an answer, never a value
  life_seconds, clock_ahead_seconds, tokens_obtained, tokens_left
  cannot                  what doctor cannot do with this identity
  answers                 the same in words
  promises                a list of name, verdict (holds, holds-if or at-risk)
                          and because
"""

# Name, line, text.
_COMMANDS = (
    ("status", "show the current token, active ones, and how runs end", _STATUS),
    ("renew", "one run: renew the token if it is due", _RENEW),
    ("rotate", "always publish a new token; the previous one keeps its grace", _ROTATE),
    ("emergency", "publish a new token and revoke all others now", _EMERGENCY),
    ("retire", "stop the schedule and revoke tokens, before a stack is deleted", _RETIRE),
    ("doctor", "test the server and assess each guarantee", _DOCTOR),
)

# What may be given before the command and after it. argparse lets the later list win, and a job must not get lost.
_LISTS = ("stacks", "functions", "clients")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line. Ends the process with help, or with 2 if the arguments are wrong or name no command."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        parser.exit(2)
    for name in _LISTS:
        setattr(arguments, name, getattr(arguments, f"first_{name}", []) + getattr(arguments, name, []))
    return arguments


def _parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog=_SCRIPT if Path(sys.argv[0]).stem == _SCRIPT else "python -m handler",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    root.add_argument("--version", action=_Version, nargs=0, help="print the version, and exit")
    root.add_argument(
        "--print-completion", action=_Completion, choices=("bash", "zsh", "fish"), help="print a shell's completions"
    )
    _add_job(root, "first_")
    subparsers = root.add_subparsers(title="commands", metavar="command", dest="command", required=False)
    root.set_defaults(profile=None, region=None, local=False, verbose=False)
    commands = {
        name: subparsers.add_parser(
            name,
            help=line,
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for name, line, text in _COMMANDS
    }
    for command in commands.values():
        _add_job(command, "")
    for name in ("status", "doctor"):
        commands[name].add_argument("--json", action="store_true", help="print JSON; needs no rich")
    for name in ("emergency", "retire", "doctor"):
        commands[name].add_argument("--yes", action="store_true", help="do not ask")
    commands["doctor"].add_argument(
        "--credentials",
        type=Path,
        metavar="FILE",
        help="the client credentials as JSON, where you may not read their secret",
    )
    commands["status"].add_argument(
        "--watch",
        nargs="?",
        const=_DEFAULT_WATCH_SECONDS,
        type=_watch_seconds,
        metavar="SECONDS",
        help="look again every so many seconds (default: %(const)g), until Ctrl-C",
    )
    return root


def _add_job(command: argparse.ArgumentParser, prefix: str) -> None:
    # No attribute where it is not given, so that it counts before and after the command.
    def add(flag: str, **told: object) -> None:
        job.add_argument(flag, default=argparse.SUPPRESS, **told)  # type: ignore[arg-type]

    job = command.add_argument_group("which job")
    add("--stack", action="append", dest=f"{prefix}stacks", metavar="NAME", help="a deployed stack, by name or ARN")
    add(
        "--function",
        action="append",
        dest=f"{prefix}functions",
        metavar="NAME",
        help="a deployed function, by name or ARN",
    )
    add(
        "--client",
        action="append",
        type=_client,
        dest=f"{prefix}clients",
        metavar="NAME",
        help="a client of a function that serves several; the event of its schedule as JSON, if you may not read that",
    )
    add("--local", action="store_true", help="run here, with settings from the environment")
    job = command.add_argument_group("how")
    add("--profile", help="the AWS SDK's profile, as AWS_PROFILE")
    add("--region", help="the AWS region, as AWS_REGION (an ARN already contains its region)")
    add("--verbose", action="store_true", help="show full JSON log lines")


def _client(text: str) -> str | dict[str, object]:
    if _CLIENT_NAME.fullmatch(text):
        return text
    event = json_object(text)
    if event is None or "client" not in event:
        raise argparse.ArgumentTypeError("it must be the name of a client, or the event of its schedule as JSON")
    return event


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"{_SCRIPT} {_version()}\n")
        parser.exit()


class _Completion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, _namespace: object, shell: object, *_: object) -> None:
        try:
            import shtab  # noqa: PLC0415  part of the extra, and needed here alone
        except ModuleNotFoundError:
            parser.error("completion needs shtab, which is not installed: run `make cli` in a checkout")
        parser.prog = _SCRIPT
        sys.stdout.write(shtab.complete(parser, str(shell)))
        parser.exit()


def _version() -> str:
    """Return the version of the checkout that this file is part of, or that of the installed package."""
    try:
        return str(tomllib.loads(_PYPROJECT.read_text("utf-8"))["project"]["version"])
    except FileNotFoundError:
        return metadata.version(_SCRIPT)


def _watch_seconds(text: str) -> float:
    least, most = _WATCH_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not least <= seconds <= most:
        raise argparse.ArgumentTypeError(f"it must be a number of seconds from {least:g} to {most:g}")
    return seconds
