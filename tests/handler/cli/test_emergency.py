"""The command `emergency`: its question, its result and its failures."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from handler.cli.confirmation import is_confirmed
from handler.cli.errors import UsageError
from infra.local.secrets_manager_faults import CallFault
from tests.handler.cli.deployed_aws import FUNCTION

if TYPE_CHECKING:
    from tests.handler.cli.conftest import Terminal
    from tests.handler.cli.deployed_aws import DeployedAws
    from tests.world import World

DENIED = CallFault(operation="DescribeSecret", code="AccessDeniedException")


# A job with --local


def test_an_emergency_summarises_its_revocations_and_asks_for_confirmation(local: World, terminal: Terminal) -> None:
    local.run()
    local.run("rotate-now")
    ran = terminal.run("--local", "emergency", typed="yes\n")
    assert "revokes the current token and 1 superseded token at once" in ran.words
    assert "less than 10 min (GRACE_SECONDS)" in ran.words
    assert (ran.status, len(ran.json["revoked"])) == (0, 2)
    assert (local.live(), local.is_current_live()) == (1, True)


@pytest.mark.parametrize("typed", ["no\n", "\n", "yes please\n", "\x04"])
def test_an_emergency_accepts_only_yes(local: World, terminal: Terminal, typed: str) -> None:
    local.run()
    ran = terminal.run("--local", "emergency", typed=typed)
    assert (ran.status, ran.out) == (1, "")
    assert "Nothing was done." in ran.err
    assert local.issued() == 1


def test_without_a_terminal_an_emergency_requires_the_yes_option(local: World, terminal: Terminal) -> None:
    local.run()
    ran = terminal.run("--local", "emergency")
    assert ran.status == 2
    assert "add --yes" in ran.err.splitlines()[-1]
    assert local.issued() == 1


def test_an_emergency_counts_only_active_tokens(local: World, terminal: Terminal) -> None:
    assert "No token is active" in terminal.run("--local", "emergency", typed="no\n").err
    local.run()
    assert "revokes the current token at once" in terminal.run("--local", "emergency", typed="no\n").err
    local.clock.advance(hours=2)
    assert "No token is active" in terminal.run("--local", "emergency", typed="no\n").err


def test_an_emergency_that_leaves_a_token_active_exits_with_1(local: World, terminal: Terminal) -> None:
    local.run()
    local.telenor.fault(operation="logout", status=503)
    ran = terminal.run("--local", "emergency", "--yes")
    assert ran.status == 1
    assert ran.json["pending_revocations"] == 1
    cause, done, remedy = ran.err.splitlines()[-3:]
    assert cause.startswith("1 token not revoked: ")
    assert cause.endswith("[revocation-failed]")
    assert done.startswith(f"Done: 0 tokens revoked; version {ran.json['version_id']} is published")
    assert "`emergency`" in remedy


def test_an_emergency_without_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError):
        is_confirmed("Revoke them now?", yes=False)


@pytest.mark.usefixtures("local")
def test_an_emergency_says_what_is_published_and_not_to_repeat_it(
    job: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVOCATION_URL", "none")
    job.run()
    ran = terminal.run("--local", "emergency", typed="yes\n")
    assert "revokes nothing" in ran.words
    cause, done, remedy = ran.err.splitlines()[-3:]
    assert (ran.status, cause.endswith("[revocation-unsupported]")) == (1, True)
    (current,) = (version for version, labels in job.labels().items() if "AWSCURRENT" in labels)
    assert f"version {current} is published" in done
    assert "a second run would not help" in remedy


# A deployed job


def test_a_lost_response_does_not_run_an_emergency_twice(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.loses_responses = True
    ran = terminal.on_stack("emergency", "--yes")
    assert (ran.status, ran.out) == (1, "")
    cause, done, remedy = ran.err.splitlines()[-3:]
    assert f"function {FUNCTION} may have run" in cause
    assert (done, "`status`" in remedy) == ("Done: unknown.", True)
    assert (len(deployed.events), deployed.world.issued()) == (1, 1)


def test_ctrl_c_says_that_the_run_goes_on(
    deployed: DeployedAws, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_event: object) -> tuple[None, str, bool]:
        signal.raise_signal(signal.SIGINT)
        return None, "", False

    monkeypatch.setattr(deployed, "_run", interrupt)
    # A shell starts its background jobs deaf to Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ran = terminal.on_stack("emergency", "--yes")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (ran.status, f"function {FUNCTION} may have run" in ran.err) == (130, True)


def test_an_emergency_that_fails_without_an_error_has_an_unknown_outcome(
    deployed: DeployedAws, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployed, "_run", lambda _event: (None, "", True))
    ran = terminal.on_stack("emergency", "--yes")
    assert (ran.status, ran.err.splitlines()[-2]) == (1, "Done: unknown.")


@pytest.mark.parametrize(
    ("is_published", "fails", "code", "says"),
    [
        (False, "token", "scope-refused", "Done: 0 tokens revoked, none published."),
        (True, "token", "scope-refused", "no new token is published: version"),
        (True, "PutSecretValue", "write-unknown", "whether a new token is published is unknown"),
    ],
)
def test_a_failed_emergency_reports_the_outcome_of_the_new_token(
    deployed: DeployedAws, terminal: Terminal, is_published: bool, fails: str, code: str, says: str
) -> None:
    if is_published:
        deployed.run({})
    if fails == "token":
        deployed.world.telenor.fault(operation="token", status=403, body='{"code": 8}')
    else:
        deployed.world.aws.fault(CallFault(operation=fails, code="InternalServiceError", status=500), times=9)
    ran = terminal.on_stack("emergency", "--yes")
    cause, done, remedy = ran.err.splitlines()[-3:]
    assert (ran.status, cause.endswith(f"[{code}]"), says in done, "`emergency`" in remedy) == (1, True, True, True)


@pytest.mark.parametrize("command", ["emergency", "retire"])
def test_missing_permission_to_read_labels_does_not_stop_an_emergency(
    deployed: DeployedAws, terminal: Terminal, command: str
) -> None:
    leaked = deployed.run({})["version_id"]
    deployed.world.aws.fault(DENIED)
    ran = terminal.on_stack(command, "--yes")
    assert ("Which ones is unknown" in ran.words) is (command == "emergency")
    assert (ran.status, deployed.world.is_live(leaked)) == (0, False)
