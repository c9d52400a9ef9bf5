"""The terminal before a deployed job: its settings, its labels, its log, and runs that it does itself."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from infra.local.secrets_manager import CallFault
from tests.handler.cli.deployed_aws import FUNCTION, SCHEDULE, STACK, arn

if TYPE_CHECKING:
    from tests.conftest import World
    from tests.handler.cli.conftest import Terminal
    from tests.handler.cli.deployed_aws import DeployedAws

RUNS = [["renew"], ["rotate"], ["emergency", "--yes"]]


# Which job


@pytest.mark.parametrize("command", [["status"], ["status", "--json"], *RUNS, ["doctor", "--yes"]])
def test_a_command_that_names_no_job_touches_nothing(
    deployed: DeployedAws, world: World, terminal: Terminal, command: list[str]
) -> None:
    before = world.aws.calls()
    ran = terminal.run(*command)
    assert (ran.status, ran.out) == (2, "")
    (sentence,) = ran.err.splitlines()
    assert sentence.startswith("name the job: --stack NAME or --function NAME for a deployed one, or --local")
    assert not deployed.calls
    assert world.aws.calls() == before
    assert not world.telenor.requests


@pytest.mark.parametrize("job", [["--stack", STACK], ["--function", FUNCTION], ["--function", arn()]])
def test_a_job_is_found_by_stack_function_or_arn(
    deployed: DeployedAws, world: World, terminal: Terminal, job: list[str]
) -> None:
    deployed.run({})
    assert terminal.run("status", "--json", *job).json["state"] == "fresh"
    assert terminal.run(*job, "rotate").json["reason"] == "forced"
    assert world.is_current_live()


def test_an_arn_brings_its_region(deployed: DeployedAws, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed.run({})
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    assert terminal.run("status", "--json", "--function", arn()).json["state"] == "fresh"
    ran = terminal.run("status", "--json", "--function", FUNCTION)
    assert (ran.status, "no AWS region is set" in ran.err) == (2, True)


@pytest.mark.parametrize("command", [["rotate"], ["emergency", "--yes"], ["doctor", "--yes"]])
def test_what_writes_acts_on_one_job_at_a_time(deployed: DeployedAws, terminal: Terminal, command: list[str]) -> None:
    ran = terminal.run(*command, "--stack", STACK, "--function", FUNCTION)
    assert (ran.status, "accepts only one" in ran.err) == (2, True)
    assert not deployed.calls


@pytest.mark.parametrize("job", [["--stack", STACK], ["--function", FUNCTION]])
def test_a_deployed_job_and_a_local_one_exclude_each_other(
    deployed: DeployedAws, terminal: Terminal, job: list[str]
) -> None:
    assert terminal.run("status", "--local", *job).status == 2
    assert not deployed.calls


@pytest.mark.parametrize("missing", ["GRACE_SECONDS", "SCHEDULE_MINUTES"])
def test_a_function_that_is_not_this_job_is_refused(deployed: DeployedAws, terminal: Terminal, missing: str) -> None:
    del deployed.variables[missing]
    ran = terminal.run("rotate", "--function", FUNCTION)
    assert (ran.status, f"no {missing}" in ran.err) == (2, True)
    assert not deployed.events


def test_a_stack_of_somebody_elses_is_refused(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.output = "BucketName"
    ran = terminal.run("rotate", "--stack", STACK)
    assert (ran.status, "no output FunctionName" in ran.err) == (2, True)
    assert not deployed.events


@pytest.fixture
def clients(deployed: DeployedAws, world: World) -> dict[str, dict[str, str]]:
    """Let the function serve two clients, and return their events by name."""
    ids = {field: deployed.variables[field.upper()] for field in ("credentials_secret_id", "token_secret_id")}
    world.client.create_secret(Name="other/token")
    acme, zeta = {"client": "acme"} | ids, {"client": "zeta"} | ids | {"token_secret_id": "other/token"}
    deployed.serve(acme, zeta)
    return {"acme": acme, "zeta": zeta}


def test_a_client_is_named_and_its_event_is_read_from_its_schedule(
    deployed: DeployedAws, world: World, terminal: Terminal, clients: dict[str, dict[str, str]]
) -> None:
    ran = terminal.run("rotate", "--function", FUNCTION)
    assert (ran.status, "--client" in ran.err) == (2, True)
    assert not deployed.events
    ran = terminal.run("rotate", "--function", FUNCTION, "--client", "acme")
    assert (ran.status, ran.json["client"]) == (0, "acme")
    assert deployed.events == [clients["acme"] | {"action": "rotate-now"}]
    assert deployed.calls["scheduler:ListSchedules"] == 0
    assert world.is_current_live()
    ran = terminal.run("status", "--json", "--function", FUNCTION, "--client", "acme")
    assert (ran.json["job"], ran.json["client"], ran.json["last_run"]["outcome"]) == ("acme", "acme", "rotated")


def test_a_client_is_named_by_its_event_where_the_schedule_may_not_be_read(
    deployed: DeployedAws, terminal: Terminal, clients: dict[str, dict[str, str]]
) -> None:
    deployed.denied |= {"scheduler:GetSchedule", "scheduler:ListSchedules"}
    event = json.dumps(clients["acme"])
    assert terminal.run("rotate", "--function", FUNCTION, "--client", event).json["client"] == "acme"
    ran = terminal.run("rotate", "--function", FUNCTION, "--client", "acme")
    assert (ran.status, "no permission for scheduler:GetSchedule" in ran.err) == (1, True)


@pytest.mark.parametrize("name", ["nobody", "stranger", "liar"])
def test_a_schedule_of_no_client_of_this_function_counts_for_nothing(
    deployed: DeployedAws, terminal: Terminal, clients: dict[str, dict[str, str]], name: str
) -> None:
    deployed.add_schedule(f"{FUNCTION}-liar", clients["acme"])
    ran = terminal.run("rotate", "--function", FUNCTION, "--client", name)
    assert (ran.status, f"serves client {name}" in ran.err) == (2, True)
    assert not deployed.events


def test_a_function_alone_lists_every_client(
    deployed: DeployedAws, terminal: Terminal, clients: dict[str, dict[str, str]]
) -> None:
    deployed.run(clients["acme"])
    deployed.add_schedule(f"{FUNCTION}-by-hand", {"action": "renew-if-due"})
    ran = terminal.run("status", "--json", "--function", FUNCTION)
    printed = [json.loads(line) for line in ran.out.splitlines()]
    assert [(each["client"], each["state"]) for each in printed] == [("acme", "fresh"), ("zeta", "no-value")]
    assert ran.status == 3


def test_a_function_without_any_client_is_told(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.serve()
    ran = terminal.run("status", "--function", FUNCTION)
    assert (ran.status, ran.out, len(ran.err.splitlines())) == (2, "", 1)


def test_a_client_is_no_second_name_of_a_stacks_own(deployed: DeployedAws, terminal: Terminal) -> None:
    """As tried by an operator: two rows of one client, of which one was of nobody."""
    deployed.run({})
    ran = terminal.run("status", "--json", "--stack", STACK, "--client", "acme", "--client", "other")
    assert [json.loads(line)["client"] for line in ran.out.splitlines()] == ["acme"]
    assert (ran.status, "serves client other" in ran.err) == (2, True)
    assert terminal.run("rotate", "--stack", STACK, "--client", "other").status == 2
    assert terminal.run("rotate", "--stack", STACK, "--client", "acme").json["client"] == "acme"
    assert len(deployed.events) == 2


@pytest.mark.parametrize("order", [(STACK, "nowhere"), ("nowhere", STACK)])
def test_a_stack_that_is_not_there_hides_no_other(
    deployed: DeployedAws, terminal: Terminal, order: tuple[str, str]
) -> None:
    deployed.run({})
    stacks = ("--stack", order[0], "--stack", order[1])
    ran = terminal.run("status", "--json", *stacks)
    assert (ran.status, ran.json["state"]) == (2, "fresh")
    assert "no stack nowhere" in ran.err
    ran = terminal.run("status", *stacks)
    assert (ran.status, "fresh: " in ran.out, "no stack nowhere" in ran.err) == (2, True, True)


# Runs


@pytest.mark.parametrize(
    ("command", "action"),
    [
        (["renew"], "renew-if-due"),
        (["rotate"], "rotate-now"),
        (["emergency", "--yes"], "rotate-and-revoke-now"),
    ],
)
def test_what_writes_is_one_invocation(
    deployed: DeployedAws, world: World, terminal: Terminal, command: list[str], action: str
) -> None:
    before = world.aws.calls()
    ran = terminal.run(*command, "--stack", STACK)
    assert (ran.status, ran.json["client"]) == (0, "acme")
    assert deployed.events == [{"action": action}]
    assert deployed.calls["lambda:InvokeFunction"] == 1
    # The laptop itself has written nothing.
    assert (world.aws.calls() - before)["PutSecretValue"] == 1


def test_no_grace_but_the_stacks_own_counts(
    deployed: DeployedAws, world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tried by an operator: a laptop's grace of 600 s ended a token of a stack whose grace is 1200 s."""
    monkeypatch.setenv("GRACE_SECONDS", "600")
    first = deployed.run({})["version_id"]
    deployed.run({"action": "rotate-now"})
    world.clock.advance(minutes=11)
    ran = terminal.run("renew", "--stack", STACK)
    assert (ran.json["revoked"], world.is_live(first)) == ([], True)
    (superseded,) = terminal.run("status", "--json", "--stack", STACK).json["superseded"]
    assert superseded["state"] == "in-grace"
    assert superseded["ends_at"] - world.clock.now().timestamp() == pytest.approx(9 * 60, abs=2)


def test_an_answer_that_is_lost_does_not_run_an_emergency_twice(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    deployed.is_stuck = True
    ran = terminal.run("emergency", "--yes", "--stack", STACK)
    assert (ran.status, ran.out) == (1, "")
    cause, done, remedy = ran.err.splitlines()[-3:]
    assert "its answer did not arrive" in cause
    assert (done, "`status`" in remedy) == ("Done: unknown.", True)
    assert (len(deployed.events), world.issued()) == (1, 1)


def test_a_run_that_fails_is_one_sentence_and_its_lines_come_with_verbose(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    world.telenor.fault(operation="token", status=401, body='{"code": 5}')
    ran = terminal.run("rotate", "--stack", STACK)
    assert (ran.status, ran.out) == (1, "")
    (sentence,) = ran.err.splitlines()
    assert "401" in sentence
    ran = terminal.run("rotate", "--stack", STACK, "--verbose")
    assert len(deployed.events) == 2
    lines = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    assert {"failed"} == {line["outcome"] for line in lines if "outcome" in line}
    assert any("_aws" in line for line in lines)
    assert ran.err.splitlines()[-1] == sentence


def test_credentials_that_are_unusable_end_with_2(deployed: DeployedAws, world: World, terminal: Terminal) -> None:
    world.put_credentials('{"username": "CANARY", "password": "CANARY"}')
    ran = terminal.run("rotate", "--stack", STACK)
    assert (ran.status, len(deployed.events)) == (2, 1)


def test_warnings_of_a_run_are_told(deployed: DeployedAws, world: World, terminal: Terminal) -> None:
    world.telenor.fault(operation="token", status=503, times=1)
    ran = terminal.run("renew", "--stack", STACK)
    assert ran.status == 0
    assert [line.partition(":")[0] for line in ran.err.splitlines()] == ["warning"]
    assert deployed.events


def test_an_emergency_that_fails_says_that_the_leaked_token_may_live(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    deployed.run({})
    world.telenor.fault(operation="token", status=403, body='{"code": 8}')
    ran = terminal.run("emergency", "--yes", "--stack", STACK)
    assert ran.status == 1
    cause, done, remedy = ran.err.splitlines()[-3:]
    assert cause.endswith("[scope-refused]")
    assert "no new token is published" in done
    assert "`emergency`" in remedy


def test_an_emergency_does_not_wait_for_labels_that_may_not_be_read(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    leaked = deployed.run({})["version_id"]
    world.aws.fault(CallFault(operation="DescribeSecret", code="AccessDeniedException"))
    ran = terminal.run("emergency", "--yes", "--stack", STACK)
    assert "Which ones is unknown" in " ".join(ran.err.split())
    assert (ran.status, world.is_live(leaked)) == (0, False)


# What status tells


def test_status_reads_labels_and_the_log_and_no_value(deployed: DeployedAws, world: World, terminal: Terminal) -> None:
    deployed.run({})
    before, calls = world.aws.calls(), deployed.calls.copy()
    ran = terminal.run("status", "--stack", STACK)
    assert world.aws.calls() - before == {"DescribeSecret": 1}
    assert (deployed.calls - calls).keys() == {
        "cloudformation:DescribeStacks",
        "lambda:GetFunctionConfiguration",
        "logs:FilterLogEvents",
    }
    assert (ran.status, ran.err) == (0, "")
    assert "the last run ended at 21:30:00: rotated" in ran.out
    assert "less than a reader's grace of 20 min" in ran.out


def test_runs_that_fail_are_an_exit_status_and_a_sentence(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    deployed.run({})
    world.put_credentials("CANARY is no JSON")
    for _ in range(2):
        world.clock.advance(minutes=2)
        deployed.run({"action": "rotate-now"})
    ran = terminal.run("status", "--stack", STACK)
    assert ran.status == 4
    assert "the last 2 runs failed, the last at 21:34:00:" in ran.out
    assert "[credentials-unusable]" in ran.out
    found = terminal.run("status", "--json", "--stack", STACK).json
    assert (found["state"], found["failed_runs"]) == ("failing", 2)
    assert found["last_run"]["error_code"] == "credentials-unusable"


def test_one_failure_is_forgiven_by_the_next_run(deployed: DeployedAws, world: World, terminal: Terminal) -> None:
    deployed.run({})
    world.aws.fault(CallFault(operation="DescribeSecret", code="AccessDeniedException"))
    deployed.run({})
    deployed.run({})
    assert terminal.run("status", "--json", "--stack", STACK).json["state"] == "fresh"


@pytest.mark.parametrize(("minutes", "state", "status"), [(6, "fresh", 0), (6.1, "not-running", 4)])
def test_a_schedule_that_brings_no_run_is_told(
    deployed: DeployedAws, world: World, terminal: Terminal, minutes: float, state: str, status: int
) -> None:
    deployed.run({})
    world.clock.advance(minutes=minutes)
    ran = terminal.run("status", "--json", "--stack", STACK)
    assert (ran.json["state"], ran.status) == (state, status)
    if status:
        assert "check that the schedule is enabled" in terminal.run("status", "--stack", STACK).out


def test_a_log_that_may_not_be_read_leaves_the_labels(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    deployed.denied.add("logs:FilterLogEvents")
    ran = terminal.run("status", "--json", "--stack", STACK)
    assert (ran.status, ran.json["last_run"], ran.json["failed_runs"]) == (0, None, None)
    assert ran.err.startswith("How the last runs ended is not known: arn:aws:iam::123456789012:user/operator has no")
    assert "logs:FilterLogEvents" in ran.err


def test_several_jobs_are_one_table_and_the_worst_is_the_exit_status(
    deployed: DeployedAws, terminal: Terminal, clients: dict[str, dict[str, str]]
) -> None:
    deployed.run(clients["acme"])
    jobs = ["--function", FUNCTION, "--client", "acme", "--client", "zeta"]
    ran = terminal.run("status", *jobs)
    assert ran.status == 3
    lines = ran.out.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith(("acme ", "zeta "))] == [
        ["acme", "fresh"],
        ["zeta", "no-value"],
    ]
    assert any(line.startswith("zeta: no value") for line in lines)
    assert all(len(line) <= 80 for line in lines)
    printed = [json.loads(line) for line in terminal.run("status", "--json", *jobs).out.splitlines()]
    assert [each["job"] for each in printed] == ["acme", "zeta"]


def test_a_job_that_is_named_twice_is_shown_once(
    deployed: DeployedAws, terminal: Terminal, clients: dict[str, dict[str, str]]
) -> None:
    deployed.run(clients["acme"])
    for jobs in (["--stack", STACK, "--function", FUNCTION], ["--function", arn(), "--client", "acme"] * 2):
        ran = terminal.run("status", "--json", *jobs, "--client", "acme")
        assert (ran.status, ran.json["client"]) == (0, "acme")


@pytest.mark.parametrize("minutes", [1, 40])
def test_credentials_that_have_fallen_back_need_a_person_although_the_token_is_fresh(
    deployed: DeployedAws, world: World, terminal: Terminal, minutes: float
) -> None:
    """Also if the run that fell back is further back in the log than the last runs."""
    world.put_credentials('{"client_id": "mistyped", "client_secret": "CANARY"}')
    world.telenor.knobs(lifetime_seconds=20_000)
    deployed.run({})
    world.clock.advance(minutes=minutes)
    deployed.run({})
    ran = terminal.run("status", "--json", "--stack", STACK)
    assert (ran.status, ran.json["state"], ran.json["credentials_fallback"]) == (4, "fresh", True)
    ran = terminal.run("status", "--stack", STACK)
    assert (ran.status, "fresh: " in ran.out, "[credentials-fallback]" in ran.out) == (4, True, True)
    table = terminal.run("status", "--stack", STACK, "--function", FUNCTION)
    assert (table.status, "[credentials-fallback]" in " ".join(table.out.split())) == (4, True)


def test_a_fallback_is_over_with_the_next_token(deployed: DeployedAws, world: World, terminal: Terminal) -> None:
    good = world.client.get_secret_value(SecretId="telenor/credentials")["SecretString"]
    world.put_credentials('{"client_id": "mistyped", "client_secret": "CANARY"}')
    deployed.run({})
    world.put_credentials(good)
    world.clock.advance(minutes=1)
    deployed.run({"action": "rotate-now"})
    ran = terminal.run("status", "--json", "--stack", STACK)
    assert (ran.status, ran.json["credentials_fallback"]) == (0, False)


def test_whether_credentials_have_fallen_back_is_not_known_of_a_version_without_a_label(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    world.unlabel(deployed.run({})["version_id"])
    ran = terminal.run("status", "--json", "--stack", STACK)
    assert (ran.status, ran.json["state"], ran.json["credentials_fallback"]) == (4, "not-in-ledger", None)


def test_a_revocation_that_failed_is_told_and_needs_a_person(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    first = deployed.run({})["version_id"]
    deployed.run({"action": "rotate-now"})
    world.clock.advance(minutes=21)
    (due,) = terminal.run("status", "--json", "--stack", STACK).json["superseded"]
    assert (due["state"], due["failed_with"]) == ("revocation-due", None)
    world.telenor.fault(operation="logout", status=503)
    deployed.run({})
    ran = terminal.run("status", "--json", "--stack", STACK)
    failed = next(each for each in ran.json["superseded"] if each["version_id"] == first)
    assert ran.status == 4
    assert (failed["state"], failed["failed_with"]) == ("revocation-due", "revocation-failed")
    ran = terminal.run("status", "--stack", STACK)
    assert (ran.status, "[revocation-failed]" in ran.out) == (4, True)
    assert "revoked by the next run" not in " ".join(ran.out.split())
    world.telenor.clear_faults()
    deployed.run({})
    assert terminal.run("status", "--json", "--stack", STACK).status == 0


def test_the_heading_is_the_clients_name(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    assert terminal.run("status", "--stack", STACK).out.startswith(f"acme ({STACK})  ")


# Text from outside

CLEAR_SCREEN = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"


def test_no_control_character_of_a_log_reaches_the_terminal(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    line = {"level": "ERROR", "message": f"{CLEAR_SCREEN}!", "error_code": "x\x1b", "outcome": "failed"}
    line["token_secret_id"] = deployed.variables["TOKEN_SECRET_ID"]
    deployed.run({})
    deployed.lines.append((int(world.clock.now().timestamp() * 1000), json.dumps(line)))
    deployed.extra_log = json.dumps({"level": "WARNING", "message": CLEAR_SCREEN}) + f"\n{CLEAR_SCREEN}\n"
    for command in (["status"], ["status", "--json"], ["status", "--function", FUNCTION], ["rotate", "--verbose"]):
        ran = terminal.run(*command, "--stack", STACK) if "--function" not in command else terminal.run(*command)
        assert "owned" in ran.out + ran.err
        assert all(character.isprintable() or character == "\n" for character in ran.out + ran.err)


# Retiring


def test_retiring_stops_the_schedule_and_revokes_all_but_a_last_token(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    deployed.run({})
    deployed.run({"action": "rotate-now"})
    before = dict(deployed.schedules[SCHEDULE])
    ran = terminal.run("retire", "--stack", STACK, typed="yes\n")
    assert (ran.status, len(ran.json["revoked"])) == (0, 2)
    assert deployed.schedules[SCHEDULE] == before | {"State": "DISABLED"}
    assert deployed.events[-1] == {"action": "rotate-and-revoke-now"}
    assert (world.live(), world.is_current_live()) == (1, True)
    said = " ".join(ran.err.split())
    assert f"version {ran.json['version_id']}" in said
    assert "expires at 2026-11-23 22:29:59 UTC" in said
    # Once more: the schedule is left as it is.
    assert terminal.run("retire", "--stack", STACK, "--yes").status == 0
    assert deployed.calls["scheduler:UpdateSchedule"] == 1


def test_retiring_one_client_leaves_the_others_running(
    deployed: DeployedAws, world: World, terminal: Terminal, clients: dict[str, dict[str, str]]
) -> None:
    deployed.run(clients["acme"])
    assert terminal.run("retire", "--yes", "--function", FUNCTION).status == 2
    assert terminal.run("retire", "--yes", "--function", FUNCTION, "--client", "acme").status == 0
    states = {name: schedule["State"] for name, schedule in deployed.schedules.items()}
    assert states == {f"{FUNCTION}-acme": "DISABLED", f"{FUNCTION}-zeta": "ENABLED", f"{FUNCTION}-stranger": "ENABLED"}
    assert world.live() == 1


def test_retiring_asks_first(deployed: DeployedAws, world: World, terminal: Terminal) -> None:
    deployed.run({})
    assert terminal.run("retire", "--stack", STACK, typed="no\n").status == 1
    assert terminal.run("retire", "--stack", STACK).status == 2
    assert (deployed.schedules[SCHEDULE]["State"], world.issued()) == ("ENABLED", 1)


def test_retiring_what_has_no_active_token_only_stops_the_schedule(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    assert terminal.run("retire", "--stack", STACK, "--yes").status == 0
    assert (deployed.schedules[SCHEDULE]["State"], world.issued()) == ("DISABLED", 0)


@pytest.mark.parametrize("action", ["scheduler:ListSchedules", "scheduler:UpdateSchedule"])
def test_retiring_without_the_permission_touches_nothing(
    deployed: DeployedAws, world: World, terminal: Terminal, action: str
) -> None:
    deployed.run({})
    deployed.denied.add(action)
    ran = terminal.run("retire", "--stack", STACK, "--yes")
    assert (ran.status, f"no permission for {action}" in ran.err) == (1, True)
    assert (deployed.schedules[SCHEDULE]["State"], world.issued()) == ("ENABLED", 1)


def test_retiring_what_no_schedule_starts_is_refused(deployed: DeployedAws, world: World, terminal: Terminal) -> None:
    deployed.run({})
    del deployed.schedules[SCHEDULE]
    assert terminal.run("retire", "--stack", STACK, "--yes").status == 2
    assert world.issued() == 1


def test_retiring_that_leaves_a_token_ends_with_1(deployed: DeployedAws, world: World, terminal: Terminal) -> None:
    deployed.run({})
    world.telenor.fault(operation="logout", status=503)
    ran = terminal.run("retire", "--stack", STACK, "--yes")
    assert (ran.status, ran.json["pending_revocations"]) == (1, 1)
    cause, done, remedy = ran.err.splitlines()[-3:]
    assert cause.endswith("[revocation-failed]")
    assert (done.startswith("Done: "), "`retire`" in remedy) == (True, True)


def test_retiring_does_not_wait_for_labels_that_may_not_be_read(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    leaked = deployed.run({})["version_id"]
    world.aws.fault(CallFault(operation="DescribeSecret", code="AccessDeniedException"))
    assert terminal.run("retire", "--yes", "--stack", STACK).status == 0
    assert not world.is_live(leaked)


# An emergency that fails


@pytest.mark.parametrize("denied", [True, False])
def test_an_emergency_that_never_started_says_so(deployed: DeployedAws, terminal: Terminal, denied: bool) -> None:
    if denied:
        deployed.denied.add("lambda:InvokeFunction")
    else:
        deployed.is_silent = True
    ran = terminal.run("emergency", "--yes", "--stack", STACK)
    assert ran.status == 1
    cause, done, _ = ran.err.splitlines()[-3:]
    assert ("lambda:InvokeFunction" in cause, "was not started" in done) == (denied, denied)


@pytest.mark.parametrize(
    ("operation", "code", "status", "done"),
    [
        ("GetSecretValue", "AccessDeniedException", 400, "is still current"),
        ("PutSecretValue", "InternalServiceError", 500, "is unknown"),
    ],
)
def test_an_emergency_that_fails_says_what_became_of_the_new_token(
    deployed: DeployedAws, world: World, terminal: Terminal, operation: str, code: str, status: int, done: str
) -> None:
    deployed.run({})
    world.aws.fault(CallFault(operation=operation, code=code, status=status), times=9)
    ran = terminal.run("emergency", "--yes", "--stack", STACK)
    assert (ran.status, done in ran.err.splitlines()[-2]) == (1, True)


def test_an_emergency_that_fails_before_anything_was_published_says_so(
    deployed: DeployedAws, world: World, terminal: Terminal
) -> None:
    world.telenor.fault(operation="token", status=403, body='{"code": 8}')
    ran = terminal.run("emergency", "--yes", "--stack", STACK)
    assert len(deployed.events) == 1
    assert ran.err.splitlines()[-2] == "Done: 0 tokens revoked, none published."


# What fails on a laptop


@pytest.mark.parametrize(
    ("action", "command"),
    [
        ("cloudformation:DescribeStacks", ["status"]),
        ("lambda:GetFunctionConfiguration", ["status"]),
        ("lambda:InvokeFunction", ["rotate"]),
    ],
)
def test_a_permission_that_is_missing_is_named_with_whose_and_on_what(
    deployed: DeployedAws, terminal: Terminal, action: str, command: list[str]
) -> None:
    deployed.denied.add(action)
    ran = terminal.run(*command, "--stack", STACK)
    assert (ran.status, ran.out, len(ran.err.splitlines())) == (1, "", 1)
    assert f"user/operator has no permission for {action} on" in ran.err
    assert "in eu-north-1" in ran.err
    assert not deployed.events


@pytest.mark.parametrize("command", ["status", "rotate"])
def test_expired_credentials_say_log_in_again(deployed: DeployedAws, terminal: Terminal, command: str) -> None:
    deployed.refuses_credentials = True
    ran = terminal.run(command, "--function", FUNCTION)
    assert (ran.status, len(ran.err.splitlines())) == (1, 1)
    assert ran.err.rstrip().endswith("log in again")


def test_no_credentials_at_all_say_log_in(
    deployed: DeployedAws, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    ran = terminal.run("status", "--stack", STACK)
    assert (ran.status, "log in again" in ran.err) == (1, True)
    assert not deployed.calls


@pytest.mark.parametrize(
    ("job", "what"),
    [
        (["--stack", "nowhere"], "no stack nowhere"),
        (["--function", "nowhere"], "no function nowhere"),
        (["--function", FUNCTION, "--region", "eu-west-1"], f"no function {FUNCTION} in eu-west-1"),
    ],
)
def test_what_is_not_there_is_told_with_the_region_that_was_asked(
    deployed: DeployedAws, terminal: Terminal, job: list[str], what: str
) -> None:
    ran = terminal.run("status", *job)
    assert (ran.status, len(ran.err.splitlines())) == (2, 1)
    assert what in ran.err
    assert "--region" in ran.err
    assert not deployed.events


def test_no_network_is_one_sentence(deployed: DeployedAws, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert deployed.variables
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        ran = terminal.run("rotate", "--function", FUNCTION)
    assert (ran.status, len(ran.err.splitlines())) == (1, 1)
    assert "AWS did not answer about function" in ran.err
