"""The command line, and what `--help` teaches."""

from __future__ import annotations

import argparse

_DEFAULT_WATCH_SECONDS = 5.0
_WATCH_SECONDS = (1.0, 3600.0)

_DESCRIPTION = "Keep one Telenor access token fresh in a shared secret, and look after it."

_EPILOG = """\
examples:
  python -m handler                  one run: renew if due, and clean up
  python -m handler status           what is current, and how long it lives
  python -m handler status --watch   the same every 5 seconds, until Ctrl-C
  python -m handler status --json | jq .expires_at
  python -m handler rotate --profile prod --region eu-north-1
  python -m handler emergency        a token has leaked
  python -m handler doctor           does Telenor do what the promises rest on?

variables, the same that the deployed function has (README, "Settings"):
  CREDENTIALS_SECRET_ID    name or ARN of the secret with the client credentials
  TOKEN_SECRET_ID          name or ARN of the shared secret
  TELENOR_BASE_URL, TELENOR_SCOPE, GRACE_SECONDS, RENEW_AT_FRACTION,
  SCHEDULE_MINUTES, VERIFY_URL
  AWS_PROFILE, AWS_REGION  and all others of the AWS SDK
  COLUMNS, NO_COLOR        for the drawing

exit status:
  0    done; status: consumers are served; doctor: no promise is at risk
  1    failed or declined: not all was done that was to be; stderr says why
  2    wrong arguments, settings or credentials secret: correct them first
  3    status: consumers have no usable token
       (no-value, expired, marked-for-deletion)
  4    status: a person should look (overdue, not-in-ledger);
       doctor: a promise is at risk
  130  Ctrl-C; but `status --watch` ends with 0

renew, rotate and emergency print one line of JSON on stdout; the log is on
stderr.
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
For a leaked token: publish a new one, and end every other live token at once,
without grace. Consumers that hold one in a cache are refused until they read
the secret again. It asks first, and needs --yes where stdin is no terminal.
The exit status is 0 only when every other token is dead.
"""

_STATUS = """\
Draw what is current, how long it lives and when it renews, and which
superseded tokens live until when. One DescribeSecret: it reads labels, never a
secret value.

--json prints one object. Times are epoch seconds; null is what is not known.
  state         fresh, due, overdue, expired, not-in-ledger, no-value or
                marked-for-deletion
  reason        what a run would renew by, as in a run's result
  checked_at, version_id, published_at, renews_at, expires_at
  superseded    a list of version_id, state (in-grace, revocation-due,
                newer-than-current, expired or unknown), published_at,
                expires_at, ends_at
"""

_DOCTOR = """\
Ask the real endpoint what the API reference leaves open: does a second request
give another token; does the old one live on; does logout end that token alone;
what does an error look like; how far is the clock off; is the life long enough
for the grace and the schedule. The verdict on each promise follows from that.

It obtains two tokens (and asks a third time where both are the same), logs them
out again, and never logs out what is published or tracked. BUT with a Telenor
that keeps one token at a time for a client, or whose logout ends all of them,
asking is enough to end the published token, and consumers are refused until the
next rotation. Nothing tells that beforehand for certain; VERIFY_URL with a
superseded token may hint at it. So doctor
  - asks before it does that, while a published token lives, and needs --yes
    where stdin is no terminal;
  - offers to rotate afterwards, where the published token was ended or nothing
    tells whether it was. --yes says yes to both.

With VERIFY_URL the answers are seen at the API itself. Without it they are
concluded from what logout answers; what that does not tell is said to be
unknown.

--json prints one object; null is what cannot be told.
  second_request_gives_new_token, same_token_gets_longer_life,
  old_token_lives_on, logout_ends_token, logout_ends_other_tokens,
  published_token_ended
  verify_url              not-set, tells-live-from-dead, no-clear-answer,
                          accepts-a-made-up-token or refuses-a-new-token
  error, token_answer     status, code, code_at, media_type, fields: the shape
                          of an answer, never a value
  life_seconds, clock_ahead_seconds, tokens_obtained, tokens_left
  answers                 the same in words
  promises                a list of name, verdict (holds, holds-if or at-risk)
                          and because
"""

# Name, line, text.
_COMMANDS = (
    ("status", "draw what is current and what still lives, from labels alone", _STATUS),
    ("renew", "one run: renew if it is due; what no command means", _RENEW),
    ("rotate", "renew in any case; the previous token keeps its grace", _ROTATE),
    ("emergency", "a token has leaked: renew, and end every other at once", _EMERGENCY),
    ("doctor", "ask Telenor what the promises rest on, and judge each", _DOCTOR),
)


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments of `python -m handler`."""
    root = argparse.ArgumentParser(
        prog="python -m handler",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_account(root)
    subparsers = root.add_subparsers(title="commands", metavar="command", dest="command", required=False)
    root.set_defaults(command="renew", profile=None, region=None)
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
        _add_account(command)
    for name in ("status", "doctor"):
        commands[name].add_argument("--json", action="store_true", help="print JSON; needs no rich")
    for name in ("emergency", "doctor"):
        commands[name].add_argument("--yes", action="store_true", help="do not ask")
    commands["status"].add_argument(
        "--watch",
        nargs="?",
        const=_DEFAULT_WATCH_SECONDS,
        type=_watch_seconds,
        metavar="SECONDS",
        help="look again every so many seconds (default: %(const)g), until Ctrl-C",
    )
    return root


def _add_account(command: argparse.ArgumentParser) -> None:
    # Nothing where it is not given, so that it counts before and after the command.
    command.add_argument("--profile", default=argparse.SUPPRESS, help="the AWS SDK's profile, as AWS_PROFILE")
    command.add_argument("--region", default=argparse.SUPPRESS, help="the AWS region, as AWS_REGION")


def _watch_seconds(text: str) -> float:
    least, most = _WATCH_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not least <= seconds <= most:
        raise argparse.ArgumentTypeError(f"it must be a number of seconds from {least:g} to {most:g}")
    return seconds
