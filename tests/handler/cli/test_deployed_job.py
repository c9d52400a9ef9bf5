"""A deployed job is run by invocations, with its own settings; its log is printed, and is not trusted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from werkzeug.wrappers import Response

from tests.handler.cli.deployed_aws import FUNCTION, refusal

if TYPE_CHECKING:
    from tests.handler.cli.conftest import Terminal
    from tests.handler.cli.deployed_aws import DeployedAws
    from tests.world import World

pytestmark = pytest.mark.usefixtures("deployed")


@pytest.mark.parametrize(
    ("command", "action"),
    [(["renew"], "renew-if-due"), (["rotate"], "rotate-now"), (["emergency", "--yes"], "rotate-and-revoke-now")],
)
def test_each_writing_command_is_one_invocation(
    deployed: DeployedAws, terminal: Terminal, command: list[str], action: str
) -> None:
    before = deployed.world.aws.calls()
    ran = terminal.on_stack(*command)
    assert (ran.status, ran.json["client"]) == (0, "acme")
    assert deployed.events == [{"action": action}]
    assert deployed.calls["lambda:InvokeFunction"] == 1
    # The command line itself has written nothing.
    assert (deployed.world.aws.calls() - before)["PutSecretValue"] == 1


def test_the_stacks_grace_overrides_the_laptops(
    deployed: DeployedAws, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by an operator: a laptop's grace of 600 s revoked a token of a stack whose grace is 1200 s."""
    monkeypatch.setenv("GRACE_SECONDS", "600")
    first = deployed.run({})["version_id"]
    deployed.run({"action": "rotate-now"})
    deployed.world.clock.advance(minutes=11)
    assert (terminal.on_stack("renew").json["revoked"], deployed.world.is_live(first)) == ([], True)
    (superseded,) = terminal.on_stack("status", "--json").json["superseded"]
    assert superseded["state"] == "in-grace"
    assert superseded["ends_at"] - deployed.world.clock.now().timestamp() == pytest.approx(9 * 60, abs=2)


def test_a_failed_run_prints_one_sentence_and_its_log_with_verbose(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.world.telenor.fault(operation="token", status=401, body='{"code": 5}')
    ran = terminal.on_stack("rotate")
    assert (ran.status, ran.out) == (1, "")
    (sentence,) = ran.err.splitlines()
    assert "401" in sentence
    ran = terminal.on_stack("rotate", "--verbose")
    assert len(deployed.events) == 2
    lines = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    assert {"failed"} == {line["outcome"] for line in lines if "outcome" in line}
    assert any("_aws" in line for line in lines)
    assert ran.err.splitlines()[-1] == sentence


def test_unusable_credentials_exit_with_2(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.world.put_credentials('{"username": "CANARY", "password": "CANARY"}')
    assert (terminal.on_stack("rotate").status, len(deployed.events)) == (2, 1)


def test_lines_that_lambda_leaves_out_are_mentioned(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.extra_log = "x" * 4096
    ran = terminal.on_stack("rotate")
    assert (ran.status, "only in the log group" in ran.err) == (0, True)


def test_warnings_of_a_run_are_printed(world: World, terminal: Terminal) -> None:
    world.telenor.fault(operation="token", status=503, times=1)
    ran = terminal.on_stack("renew")
    assert ran.status == 0
    assert [line.partition(":")[0] for line in ran.err.splitlines()] == ["warning"]


# Untrusted text

CLEAR_SCREEN = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"


def test_no_control_character_of_a_log_reaches_the_terminal(deployed: DeployedAws, terminal: Terminal) -> None:
    line = {"level": "ERROR", "message": f"{CLEAR_SCREEN}!", "error_code": "x\x1b", "outcome": "failed"}
    line["token_secret_id"] = deployed.variables["TOKEN_SECRET_ID"]
    deployed.run({})
    deployed.lines.append((int(deployed.world.clock.now().timestamp() * 1000), json.dumps(line)))
    deployed.extra_log = json.dumps({"level": "WARNING", "message": CLEAR_SCREEN}) + f"\n{CLEAR_SCREEN}\n"
    for command in (["status"], ["status", "--json"], ["status", "--function", FUNCTION], ["rotate", "--verbose"]):
        ran = terminal.on_stack(*command) if "--function" not in command else terminal.run(*command)
        assert "owned" in ran.out + ran.err
        assert all(character.isprintable() or character == "\n" for character in ran.out + ran.err)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(refusal("ServiceException", "", 500), id="500"),
        pytest.param(Response("<html>Bad gateway</html>", 502, content_type="text/html"), id="502"),
        pytest.param(Response("<html>Log in to the guest network</html>", content_type="text/html"), id="HTML"),
        pytest.param(Response('{"outcome": "rot', headers={"Content-Length": "99"}), id="cut short"),
        pytest.param(Response("{}", headers={"X-Amz-Log-Result": "?"}), id="unreadable log"),
    ],
)
@pytest.mark.parametrize("command", ["emergency", "retire", "rotate"])
def test_a_response_that_is_not_the_functions_leaves_the_run_unknown(
    deployed: DeployedAws, terminal: Terminal, response: Response, command: str
) -> None:
    deployed.run({})
    deployed.responses["run"] = response
    ran = terminal.on_stack(command, *(["--yes"] if command != "rotate" else []))
    assert (ran.status, ran.out, len(deployed.events)) == (1, "", 2)
    notes = ran.err.splitlines()[-2:] if command != "rotate" else []
    assert f"function {FUNCTION} may have run" in ran.err.splitlines()[-1 - len(notes)]
    assert [note.partition(",")[0] for note in notes] == ["Done: unknown.", "To do: check `status`"][: len(notes)]
