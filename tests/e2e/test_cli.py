"""What an operator types: each command, in a process of its own, with the operators' policy alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from infra.e2e.operation import SECOND
from infra.e2e.stack import ROOT, Stack
from infra.e2e.story import GRACE_SECONDS, live, until, user

if TYPE_CHECKING:
    from infra.e2e.story import StackStory, Story

_LONGEST_SECONDS = 180
# What `doctor` ends with where a promise is at risk.
_AT_RISK = 4


@dataclass(frozen=True, slots=True)
class Session:
    """One command, and how it ended."""

    command: str
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """What it printed, as an object."""
        document: dict[str, Any] = json.loads(self.out)
        return document


def typed(story: Story, keys: dict[str, str], *arguments: str) -> Session:
    """Type a command as somebody whose laptop knows nothing of the job but these keys."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TELENOR_"))}
    environment = mine | story.stack.emulator.environment | {name.upper(): value for name, value in keys.items()}
    # Harmful once: settings of a laptop, other than the stack's.
    environment |= {"GRACE_SECONDS": "0", "SCHEDULE_MINUTES": "5", "COLUMNS": "80"}
    done = subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-W", "error", "-m", "handler", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    session = Session(" ".join(arguments) or "(no command)", done.returncode, done.stdout, done.stderr)
    story.console.print(
        f"$ telenor-token {session.command} → {session.status}\n{session.out}{session.err}".rstrip(),
        markup=False,
        emoji=False,
        soft_wrap=True,
    )
    return session


def an_operators_terminal_acts_through_the_job(story: StackStory) -> None:
    """With the operators' policy alone each command does its work by one invocation; `doctor` says what it cannot."""
    keys = user(story, "terminal-operator")
    story.client("iam").attach_user_policy(
        UserName="terminal-operator", PolicyArn=story.stack.outputs["OperatorPolicyArn"]
    )
    job = ("--stack", story.stack.name)
    nothing = typed(story, keys, *job)
    assert (nothing.status, "usage: " in nothing.err) == (2, True), nothing
    nobody = typed(story, keys, "status")
    assert (nobody.status, "name the job" in nobody.err) == (2, True), nobody

    seen = typed(story, keys, "status", *job, "--json")
    assert seen.status == 0, seen
    assert seen.json["last_run"]["outcome"] in {"not-due", "rotated"}, seen
    drawn = typed(story, keys, "status", *job)
    assert f"a reader's grace of {GRACE_SECONDS} s" in drawn.out, drawn

    previous = story.token()
    rotated = typed(story, keys, "rotate", *job)
    assert (rotated.status, rotated.json["reason"]) == (0, "forced"), rotated
    assert story.telenor.is_live(previous), "a laptop's grace of 0 s has ended a token of the stack"
    renewed = typed(story, keys, "renew", "--function", story.stack.outputs["FunctionName"])
    assert (renewed.status, renewed.json["outcome"]) == (0, "not-due"), renewed

    ended = typed(story, keys, "emergency", *job, "--yes")
    assert ended.status == 0, ended
    until("one token is alive", lambda: live(story) == 1)
    assert story.telenor.is_live(story.token())

    requests = len(story.telenor.requests)
    examined = typed(story, keys, "doctor", *job, "--json", "--yes")
    assert examined.status == 1, examined
    assert "no permission for secretsmanager:GetSecretValue" in " ".join(examined.json["cannot"]), examined
    asked = [request.operation for request in story.telenor.requests[requests:]]
    assert "token" not in asked, "doctor has asked for a token that it could not have compared"

    elsewhere = typed(story, keys, "status", *job, "--region", "eu-west-1")
    # The policy is for the stack's own region.
    assert (elsewhere.status, "in eu-west-1" in elsewhere.err) == (1, True), elsewhere
    stranger = typed(story, user(story, "terminal-stranger"), "rotate", *job)
    assert (stranger.status, "no permission for cloudformation:DescribeStacks" in stranger.err) == (1, True), stranger
    story.show(
        "the command line",
        "9 commands by an operator with OperatorPolicyArn alone; a laptop's grace of 0 s harmed nobody",
    )


def doctor_replaces_what_it_has_ended(story: StackStory) -> None:
    """Where a new token ends the published one, `doctor` has the function publish another, by one invocation."""
    second = Stack(SECOND, story.stack.sam, {"ClientName": "second"})
    second.look()
    keys = user(story, "doctor", "secretsmanager:GetSecretValue")
    story.client("iam").attach_user_policy(UserName="doctor", PolicyArn=second.outputs["OperatorPolicyArn"])
    other = replace(story, stack=second)
    before, written = other.token(), len(other.labels())
    story.telenor.knobs(issue="new-kills-old")
    try:
        examined = typed(story, keys, "doctor", "--stack", SECOND, "--yes")
    finally:
        story.telenor.knobs(issue="new")
    assert examined.status == _AT_RISK, examined
    assert not story.telenor.is_live(before)
    assert story.telenor.is_live(other.token()), "doctor has left a token published that it has ended"
    forced = [record for record in second.records() if record.get("reason") == "forced"]
    assert len(forced) == 1, forced
    assert len(other.labels()) <= written + 1
    story.show("doctor", "asked Telenor, ended the published token by that, and had the function publish another")
