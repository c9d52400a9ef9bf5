"""Finding a deployed job, and its clients' events."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.handler.cli.deployed_aws import FUNCTION, STACK, arn, refusal

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from tests.handler.cli.conftest import Terminal
    from tests.handler.cli.deployed_aws import DeployedAws, Events

pytestmark = pytest.mark.usefixtures("deployed")


UNREADABLE_SCHEDULE = {f"scheduler:GetSchedule {FUNCTION}-beta": refusal("InternalServerException", "", 500)}


@pytest.mark.parametrize("command", [["status", "--json"], ["renew"], ["emergency", "--yes"], ["doctor", "--yes"]])
def test_a_command_without_a_job_makes_no_call(deployed: DeployedAws, terminal: Terminal, command: list[str]) -> None:
    before = deployed.world.aws.calls()
    ran = terminal.run(*command)
    assert (ran.status, ran.out) == (2, "")
    (sentence,) = ran.err.splitlines()
    assert sentence.startswith("name the job: --stack NAME or --function NAME for a deployed job, or --local")
    assert not deployed.calls
    assert deployed.world.aws.calls() == before
    assert not deployed.world.telenor.requests


@pytest.mark.parametrize("job", [["--stack", STACK], ["--function", FUNCTION], ["--function", arn()]])
def test_a_job_is_found_by_stack_function_or_arn(deployed: DeployedAws, terminal: Terminal, job: list[str]) -> None:
    deployed.run({})
    assert terminal.run("status", "--json", *job).json["state"] == "fresh"
    assert terminal.run(*job, "rotate").json["reason"] == "forced"
    assert deployed.world.is_current_live()


@pytest.mark.parametrize("command", ["rotate", "doctor"])
@pytest.mark.parametrize(("name", "function"), [(FUNCTION, arn()), (f"{arn()}:live", f"{arn()}:live")])
def test_the_function_that_was_read_is_invoked(
    deployed: DeployedAws, terminal: Terminal, command: str, name: str, function: str
) -> None:
    """A bare name means the own account and the unpublished version."""
    deployed.run({})
    terminal.run(command, "--function", name, typed="no\n")
    assert deployed.invoked == [function]


def test_an_arn_brings_its_region(deployed: DeployedAws, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed.run({})
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    assert terminal.run("status", "--json", "--function", arn()).json["state"] == "fresh"
    ran = terminal.run("status", "--json", "--function", FUNCTION)
    assert (ran.status, "no AWS region is set" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["rotate", "--stack", STACK, "--function", FUNCTION], "accepts only one"),
        (["doctor", "--yes", "--stack", STACK, "--stack", STACK], "accepts only one"),
        (["status", "--stack", STACK, "--local"], "cannot be combined"),
        (["status", "--stack", "nowhere"], "no stack nowhere in eu-north-1: correct the name, use another --region"),
        (["status", "--function", "nowhere"], "no function nowhere in eu-north-1"),
        (["status", "--function", FUNCTION, "--region", "eu-west-1"], f"no function {FUNCTION} in eu-west-1"),
        (["rotate", "--stack", STACK, "--client", "other"], "serves client other"),
    ],
)
def test_a_missing_or_ambiguous_job_is_refused(
    deployed: DeployedAws, terminal: Terminal, command: list[str], says: str
) -> None:
    ran = terminal.run(*command)
    assert (ran.status, len(ran.err.splitlines()), says in ran.err) == (2, 1, True)
    assert not deployed.events


@pytest.mark.parametrize("missing", ["GRACE_SECONDS", "SCHEDULE_MINUTES"])
def test_a_function_that_is_not_this_job_is_refused(deployed: DeployedAws, terminal: Terminal, missing: str) -> None:
    del deployed.variables[missing]
    ran = terminal.on_function("rotate")
    assert (ran.status, f"no {missing}" in ran.err) == (2, True)
    assert not deployed.events


def test_a_stack_without_this_job_is_refused(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.output = "BucketName"
    ran = terminal.on_stack("rotate")
    assert (ran.status, "no output FunctionName" in ran.err) == (2, True)
    assert not deployed.events


def test_a_clients_event_is_read_from_its_schedule(deployed: DeployedAws, terminal: Terminal, clients: Events) -> None:
    ran = terminal.on_function("rotate")
    assert (ran.status, "--client" in ran.err) == (2, True)
    assert not deployed.events
    ran = terminal.on_function("rotate", "--client", "acme")
    assert (ran.status, ran.json["client"]) == (0, "acme")
    assert deployed.events == [clients["acme"] | {"action": "rotate-now"}]
    assert deployed.calls["scheduler:ListSchedules"] == 0
    assert deployed.world.is_current_live()
    seen = terminal.on_function("status", "--json", "--client", "acme").json
    assert (seen["job"], seen["client"], seen["last_run"]["outcome"]) == ("acme", "acme", "rotated")


def test_without_permission_to_read_schedules_the_event_names_the_client(
    deployed: DeployedAws, terminal: Terminal, clients: Events
) -> None:
    deployed.denied |= {"scheduler:GetSchedule", "scheduler:ListSchedules"}
    assert terminal.on_function("rotate", "--client", json.dumps(clients["acme"])).json["client"] == "acme"
    ran = terminal.on_function("rotate", "--client", "acme")
    assert (ran.status, "no permission for scheduler:GetSchedule" in ran.err) == (1, True)


@pytest.mark.parametrize("name", ["nobody", "stranger", "liar"])
def test_a_schedule_counts_only_for_its_own_function_and_client(
    deployed: DeployedAws, terminal: Terminal, clients: Events, name: str
) -> None:
    deployed.add_schedule(f"{FUNCTION}-liar", clients["acme"])
    ran = terminal.on_function("rotate", "--client", name)
    assert (ran.status, f"serves client {name}" in ran.err) == (2, True)
    assert not deployed.events


def test_a_function_alone_lists_every_client(deployed: DeployedAws, terminal: Terminal, clients: Events) -> None:
    deployed.run(clients["acme"])
    deployed.add_schedule(f"{FUNCTION}-by-hand", {"action": "renew-if-due"})
    ran = terminal.on_function("status", "--json")
    printed = [json.loads(line) for line in ran.out.splitlines()]
    assert [(each["client"], each["state"]) for each in printed] == [("acme", "fresh"), ("zeta", "no-value")]
    assert ran.status == 3


def test_a_function_without_clients_is_reported(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.serve()
    ran = terminal.on_function("status")
    assert (ran.status, ran.out, len(ran.err.splitlines())) == (2, "", 1)


def test_a_stacks_own_client_is_listed_once(deployed: DeployedAws, terminal: Terminal) -> None:
    """Found by an operator: status showed one client in two rows, one of them without a job."""
    deployed.run({})
    ran = terminal.on_stack("status", "--json", "--client", "acme", "--client", "other")
    assert [json.loads(line)["client"] for line in ran.out.splitlines()] == ["acme"]
    assert (ran.status, "serves client other" in ran.err) == (2, True)
    assert terminal.on_stack("rotate", "--client", "acme").json["client"] == "acme"


@pytest.mark.parametrize("order", [(STACK, "nowhere"), ("nowhere", STACK)])
def test_a_missing_stack_hides_no_other(deployed: DeployedAws, terminal: Terminal, order: tuple[str, str]) -> None:
    deployed.run({})
    stacks = ("--stack", order[0], "--stack", order[1])
    ran = terminal.run("status", "--json", *stacks)
    assert (ran.status, ran.json["state"]) == (2, "fresh")
    assert "no stack nowhere" in ran.err
    ran = terminal.run("status", *stacks)
    assert (ran.status, "fresh: " in ran.out, "no stack nowhere" in ran.err) == (2, True, True)


@pytest.mark.parametrize(
    ("bad", "responses", "status", "says"),
    [
        pytest.param({"client": 5}, {}, 2, "client 5: ", id="client"),
        pytest.param({"token_secret_id": None}, {}, 2, "client beta: the event's token_secret_id is not", id="no id"),
        pytest.param({"token_secret_id": "no/such"}, {}, 2, "beta: there is no token secret no/such", id="no secret"),
        pytest.param({}, UNREADABLE_SCHEDULE, 1, f".*schedule {FUNCTION}-beta", id="no schedule"),
    ],
)
@pytest.mark.parametrize("names", [[], ["--client", "acme", "--client", "beta"]])
def test_a_client_that_is_wrong_is_named_and_hides_no_other(
    deployed: DeployedAws,
    terminal: Terminal,
    clients: Events,
    bad: dict[str, Any],
    responses: dict[str, Response],
    status: int,
    says: str,
    names: list[str],
) -> None:
    deployed.run(clients["acme"])
    del deployed.schedules[f"{FUNCTION}-zeta"]
    deployed.add_schedule(f"{FUNCTION}-beta", clients["acme"] | {"client": "beta"} | bad)
    deployed.responses |= responses
    ran = terminal.on_function("status", "--json", *names)
    assert (ran.status, ran.json["client"]) == (status, "acme")
    (sentence,) = ran.err.splitlines()
    assert re.match("no job given here serves client beta" if names and "client" in bad else says, sentence)


def test_settings_that_are_wrong_name_their_function(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.variables["GRACE_SECONDS"] = "soon"
    ran = terminal.on_stack("status")
    assert (ran.status, ran.err.startswith(f"function {FUNCTION}: GRACE_SECONDS ")) == (2, True)
