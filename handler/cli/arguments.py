"""The command line, and what `--help` teaches."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from handler.model import json_object

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEFAULT_WATCH_SECONDS = 5.0
_WATCH_SECONDS = (1.0, 3600.0)

_DESCRIPTION = "Look after the job that keeps one Telenor access token fresh in a shared secret."

_EPILOG = """\
examples:
  python -m handler status --stack telenor-token
  python -m handler status --stack telenor-test --stack telenor-prod --watch
  python -m handler status --stack telenor-token --json | jq .expires_at
  python -m handler rotate --stack telenor-token --profile prod
  python -m handler emergency --function my-token-function
  python -m handler doctor --stack telenor-token
  python -m handler renew --local

Name the job: --stack or --function for one that is deployed, --local for none.
A deployed job acts by itself: its settings are read from the function, and
whatever writes or revokes is one invocation of it, sent once. What you need is
the policy OperatorPolicyArn of the stack's outputs.

--local runs the job in this process, with the variables of docs/settings.md.
GRACE_SECONDS and SCHEDULE_MINUTES must be among them, so that no
token is revoked by a default.

Of the environment the AWS SDK's own variables count too (AWS_PROFILE,
AWS_REGION, ...), and for the drawing COLUMNS and NO_COLOR.

exit status:
  0    done; status: consumers are served; doctor: no promise is at risk
  1    failed or declined: not all was done that was to be; stderr says why
  2    wrong arguments, settings or credentials secret: correct them first
  3    status: consumers have no usable token
       (no-value, expired, not-accepted, marked-for-deletion)
  4    status: a person should look
       (overdue, not-in-ledger, failing, not-running);
       doctor: a promise is at risk
  130  Ctrl-C; but `status --watch` ends with 0

renew, rotate and emergency print the run's answer as one line of JSON on
stdout. stderr has the sentences of its log; --verbose shows its lines whole.
"""

_RENEW = """\
One run, as the schedule does it: renew the token if it is due, and revoke
superseded ones whose grace is over.
"""

_ROTATE = """\
Publish a new token in any case. The previous one keeps its grace of
GRACE_SECONDS, so consumers notice nothing.
"""

_EMERGENCY = """\
For a leaked token: publish a new one, and log out every other live token at
once, without grace. Consumers that hold one in a cache are refused until they
read the secret again. Telenor's gateways may accept a token for some minutes
after its logout; `doctor` measures how long.

It asks first, and needs --yes where stdin is no terminal. The exit status is 0
only when every other token was logged out.
"""

_STATUS = """\
Draw what is current, how long it lives and when it renews, which superseded
tokens live until when, and how the last runs ended. It reads labels and the
job's log; a secret's value only where VERIFY_URL is set, to see whether the
token is accepted there.

Several --stack, --function or --client make one table; the exit status is that
of the worst.

--json prints one object for each job. Times are epoch seconds; null is what is
not known.
  job           as you have named it
  state         fresh, due, overdue, failing, not-running, expired,
                not-accepted, not-in-ledger, no-value or marked-for-deletion
  reason        what a run would renew by, as in a run's result
  accepted      what VERIFY_URL says about the token
  last_run      at, outcome, message, error_code
  failed_runs   how many failed since the last one that did not
  checked_at, version_id, published_at, renews_at, expires_at
  superseded    a list of version_id, state (in-grace, revocation-due,
                newer-than-current, expired or unknown), published_at,
                expires_at, ends_at
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

--json prints one object; null is what cannot be told.
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
  cannot                  what this identity does not let doctor do
  answers                 the same in words
  promises                a list of name, verdict (holds, holds-if or at-risk)
                          and because
"""

# Name, line, text.
_COMMANDS = (
    ("status", "draw what is current, what still lives, and how runs end", _STATUS),
    ("renew", "one run: renew if it is due; what no command means", _RENEW),
    ("rotate", "renew in any case; the previous token keeps its grace", _ROTATE),
    ("emergency", "a token has leaked: renew, and end every other at once", _EMERGENCY),
    ("doctor", "ask Telenor what the promises rest on, and judge each", _DOCTOR),
)

# What may be given before the command and after it. argparse lets the later list win, and a job must not get lost.
_LISTS = ("stacks", "functions", "clients")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the arguments of `python -m handler`. Ends the process with 2 where they are wrong, or with help."""
    arguments = _parser().parse_args(argv)
    for name in _LISTS:
        setattr(arguments, name, getattr(arguments, f"first_{name}", []) + getattr(arguments, name, []))
    return arguments


def _parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="python -m handler",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_job(root, "first_")
    subparsers = root.add_subparsers(title="commands", metavar="command", dest="command", required=False)
    root.set_defaults(command="renew", profile=None, region=None, local=False, verbose=False)
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
    for name in ("emergency", "doctor"):
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
        type=_event,
        dest=f"{prefix}clients",
        metavar="EVENT",
        help="a client of a function that serves several: the event of its schedule, as JSON",
    )
    add("--local", action="store_true", help="none that is deployed: run it here, by the environment")
    job = command.add_argument_group("how")
    add("--profile", help="the AWS SDK's profile, as AWS_PROFILE")
    add("--region", help="the AWS region, as AWS_REGION; an ARN brings its own")
    add("--verbose", action="store_true", help="show the job's log lines whole")


def _event(text: str) -> dict[str, object]:
    event = json_object(text)
    if event is None or "client" not in event:
        raise argparse.ArgumentTypeError(
            "it must be a JSON object with client, credentials_secret_id, token_secret_id and the rest of its event"
        )
    return event


def _watch_seconds(text: str) -> float:
    least, most = _WATCH_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not least <= seconds <= most:
        raise argparse.ArgumentTypeError(f"it must be a number of seconds from {least:g} to {most:g}")
    return seconds
