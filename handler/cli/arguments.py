"""The arguments of the command line, and the texts of `--help`."""

from __future__ import annotations

import argparse
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from handler.cli.standard_streams import print_stdout
from handler.config import CLIENT_NAME
from handler.safe_json import json_object

if TYPE_CHECKING:
    from collections.abc import Sequence

_SCRIPT = "telenor-token"
_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

_DEFAULT_WATCH_SECONDS = 5.0
_WATCH_SECONDS = (1.0, 3600.0)

_DESCRIPTION = "Run and inspect the job that keeps one access token fresh in a shared secret."

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

Name the job: --stack or --function for a deployed job, --local without one.
The settings of a deployed job are read from its function. Each command that
writes or revokes invokes that function, once. You need the policy
OperatorPolicyArn of the stack's outputs.

--local runs the job in this process, with the variables of
docs/configuration.md. GRACE_SECONDS and SCHEDULE_MINUTES must be set, so that
no default decides when a token is revoked.

The AWS SDK's variables also apply (AWS_PROFILE, AWS_REGION, ...), and COLUMNS
and NO_COLOR for the drawing.

exit status:
  0    done; status: consumers are served; doctor: no guarantee is at risk;
       Ctrl-C ended `status --watch`
  1    failed, declined or incomplete; see stderr
  2    wrong arguments, settings or credentials secret
  3    status: consumers have no usable token
       (no-value, expired, not-accepted or marked-for-deletion), or the token
       secret is deleted
  4    status: the job needs attention
       (overdue, not-in-ledger, failing, not-running, the previous credentials
       are in use, or a revocation failed);
       doctor: a guarantee is at risk
  130  Ctrl-C

renew, rotate, emergency and retire print the run's result as one line of JSON
on stdout. stderr has the warnings and errors in the last 4 KB of its log, each
with its code [in brackets]; docs/error-codes.md has a row for each. --verbose
prints all of them.
"""

_RENEW = """\
Run the job once, as the schedule does: renew the token if it is due, and
revoke superseded tokens whose grace period is over.
"""

_ROTATE = """\
Always publish a new token. The previous one stays valid for GRACE_SECONDS, so
consumers notice nothing.
"""

_EMERGENCY = """\
For a leaked token: publish a new one, and revoke every other active token at
once, without a grace period. Consumers that cache one get 401 until they read
the secret again. Gateways may accept a revoked token for some minutes;
`doctor` measures how long. If REVOCATION_URL is none, nothing is revoked.

It asks first, and needs --yes if stdin is not a terminal. The exit status is 0
only if every other token was revoked. Otherwise stderr says the cause, what was
done, and what to do.
"""

_RETIRE = """\
Before you delete a stack or a client: disable its schedule, publish one last
token, and revoke all others, which consumers may have read.

The job never revokes the published token. So the last one stays active until
it expires; the command prints its version and expiry. Delete the token secret,
so that nobody reads it. A change of the credentials secret still starts the
job.

It asks first, and needs --yes if stdin is not a terminal. You also need
scheduler:UpdateSchedule on the schedule and iam:PassRole on its role.
"""

_STATUS = """\
Show the current token with its lifetime and renewal time, when superseded
tokens end, and how the last runs ended. It reads labels and the job's log. It
reads the token only if VERIFY_URL is set, to try it there.

Several --stack, --function or --client make one table, as does a function for
several clients. The exit status is that of the worst job. A job that cannot be
read is an error on stderr.

--json prints one object for each job. Times are epoch seconds; null means
unknown.
  job, client   the name that you gave; the client's name
  state         fresh, due, overdue, failing, not-running, expired,
                not-accepted, not-in-ledger, no-value or marked-for-deletion
  reason        why a run would renew or not, as in a run's result
  accepted      what VERIFY_URL says about the token
  credentials_fallback
                whether the current token was obtained with the previous
                credentials, because the server rejects the new ones
  last_run      at, outcome, message, error_code
  failed_runs   the number of failed runs since the last successful one
  checked_at, version_id, published_at, renews_at, expires_at
  superseded    a list of version_id, state (in-grace, revocation-due,
                newer-than-current, not-revocable, expired or unknown),
                published_at, expires_at, ends_at (when it is revoked, or
                expires if it cannot be), failed_with (the error code of the
                last attempt to revoke it)
"""

_DOCTOR = """\
Test at the real server what the API reference leaves open: whether a second
request returns another token, whether the first one stays active, whether
logout revokes only that token and how soon, the error format, the difference
of the clocks, and the lifetime. Then rate each guarantee.

doctor needs the client credentials, and must read the token secret's value.
Only the job may read a credentials secret that the stack created: pass the
file that you put there, with --credentials. doctor first lists what your
identity may not do. It asks before it requests two tokens; --yes skips the
question. It revokes them again, and never revokes a published or tracked
token.

If the server keeps one active token for a client, or if logout revokes all of
them, the request itself revokes the published token. Then, and if the result
is unclear, doctor has the job rotate right afterwards. Without permission to
start the job, it requests no token.

With VERIFY_URL doctor tries tokens at the API itself. It tries a token that is
still accepted after its logout again for up to 200 s. Without VERIFY_URL it
concludes from the responses of logout, and reports the rest as unknown.

--json prints one object; null means unknown.
  dialect                 reference, gateway, apigee, oauth or none-known
  second_request_gives_new_token, same_token_gets_longer_life,
  old_token_lives_on, logout_ends_token, logout_ends_other_tokens,
  published_token_ended, accepted_again_after_logout
  revocation_lag_seconds  from a logout to the first refusal
  verify_url              not-set, tells-live-from-dead, no-clear-answer,
                          accepts-a-made-up-token or refuses-a-new-token
  error, token_answer     status, code, code_at, media_type, fields: the shape
                          of a response, without its values
  life_seconds, clock_ahead_seconds, tokens_obtained, tokens_left
  cannot                  what this identity may not do
  answers                 the observations in words
  promises                a list of name, verdict (holds, holds-if or at-risk)
                          and because
"""

# Name, summary, description.
_COMMANDS = (
    ("status", "show the current token, superseded tokens and the last runs", _STATUS),
    ("renew", "run the job once: renew the token if it is due", _RENEW),
    ("rotate", "always publish a new token; the previous one keeps its grace period", _ROTATE),
    ("emergency", "publish a new token and revoke all others now", _EMERGENCY),
    ("retire", "stop the schedule and revoke tokens, before a stack is deleted", _RETIRE),
    ("doctor", "test the server and rate each guarantee", _DOCTOR),
)

# Options that may come before and after the command. argparse keeps only the later list; `parse` joins both.
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
        help="a JSON file with the client credentials, if you may not read their secret",
    )
    commands["status"].add_argument(
        "--watch",
        nargs="?",
        const=_DEFAULT_WATCH_SECONDS,
        type=_watch_seconds,
        metavar="SECONDS",
        help="repeat every SECONDS seconds (default: %(const)g), until Ctrl-C",
    )
    return root


def _add_job(command: argparse.ArgumentParser, prefix: str) -> None:
    # Without a default, so that an option may come before or after the command.
    def add(flag: str, **options: object) -> None:
        job.add_argument(flag, default=argparse.SUPPRESS, **options)  # type: ignore[arg-type]

    job = command.add_argument_group("which job")
    add(
        "--stack",
        action="append",
        type=_name,
        dest=f"{prefix}stacks",
        metavar="NAME",
        help="a deployed stack, by name or ARN",
    )
    add(
        "--function",
        action="append",
        type=_name,
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
        help="a client of a function for several clients; its schedule's event as JSON, if you may not read schedules",
    )
    add("--local", action="store_true", help="run here, with settings from the environment")
    job = command.add_argument_group("how")
    add("--profile", type=_name, help="the AWS SDK's profile, like AWS_PROFILE")
    add("--region", type=_name, help="the AWS region, like AWS_REGION (an ARN already contains its region)")
    add("--verbose", action="store_true", help="show full JSON log lines")


def _name(text: str) -> str:
    # As from a shell variable that is not set.
    if not text.strip():
        raise argparse.ArgumentTypeError("it must not be empty")
    return text


def _client(text: str) -> str | dict[str, object]:
    if CLIENT_NAME.fullmatch(text):
        return text
    event = json_object(text)
    if event is None or "client" not in event:
        raise argparse.ArgumentTypeError("it must be a client's name, or its schedule's event as JSON")
    return event


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print_stdout(f"{_SCRIPT} {_version()}\n")
        parser.exit()


class _Completion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, _namespace: object, shell: object, *_: object) -> None:
        try:
            import shtab  # noqa: PLC0415  part of the extra, and needed only here
        except ModuleNotFoundError:
            parser.error("completion needs shtab, which is not installed: run `make cli` in a checkout")
        parser.prog = _SCRIPT
        print_stdout(shtab.complete(parser, str(shell)))
        parser.exit()


def _version() -> str:
    """Return the version of the checkout that this file is part of, or that of the installed package."""
    try:
        return str(tomllib.loads(_PYPROJECT.read_text("utf-8"))["project"]["version"])
    except FileNotFoundError:
        return metadata.version(_SCRIPT)


def _watch_seconds(text: str) -> float:
    minimum, maximum = _WATCH_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not minimum <= seconds <= maximum:
        raise argparse.ArgumentTypeError(f"it must be a number of seconds from {minimum:g} to {maximum:g}")
    return seconds
