"""The command line on a deployed job: its settings, labels and log, and runs as invocations."""

from __future__ import annotations

import json
import re
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.wrappers import Response

from infra.local.secrets_manager_faults import CallFault
from tests.handler.cli.deployed_aws import FUNCTION, SCHEDULE, STACK, arn, refusal

if TYPE_CHECKING:
    from tests.conftest import World
    from tests.handler.cli.conftest import Terminal
    from tests.handler.cli.deployed_aws import DeployedAws

pytestmark = pytest.mark.usefixtures("deployed")


Events = dict[str, dict[str, str]]

DENIED = CallFault(operation="DescribeSecret", code="AccessDeniedException")

UNREADABLE_SCHEDULE = {f"scheduler:GetSchedule {FUNCTION}-beta": refusal("InternalServerException", "", 500)}

HTML = Response("<html>Log in to the guest network</html>", content_type="text/html")


# Selecting a job


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


@pytest.fixture
def clients(deployed: DeployedAws) -> Events:
    """Configure the function to serve two clients, and return their events by name."""
    ids = {field: deployed.variables[field.upper()] for field in ("credentials_secret_id", "token_secret_id")}
    deployed.world.client.create_secret(Name="other/token")
    acme, zeta = {"client": "acme"} | ids, {"client": "zeta"} | ids | {"token_secret_id": "other/token"}
    deployed.serve(acme, zeta)
    return {"acme": acme, "zeta": zeta}


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


# Runs


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


# Failing emergencies


def test_a_lost_response_does_not_run_an_emergency_twice(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.loses_responses = True
    ran = terminal.on_stack("emergency", "--yes")
    assert (ran.status, ran.out) == (1, "")
    cause, done, remedy = ran.err.splitlines()[-3:]
    assert f"function {FUNCTION} may have run" in cause
    assert (done, "`status`" in remedy) == ("Done: unknown.", True)
    assert (len(deployed.events), deployed.world.issued()) == (1, 1)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(refusal("ServiceException", "", 500), id="500"),
        pytest.param(Response("<html>Bad gateway</html>", 502, content_type="text/html"), id="502"),
        pytest.param(HTML, id="HTML"),
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


def test_ctrl_c_says_that_the_run_goes_on(
    deployed: DeployedAws, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_event: object) -> tuple[None, str, bool]:
        signal.raise_signal(signal.SIGINT)
        return None, "", False

    monkeypatch.setattr(deployed, "_run", interrupt)
    ran = terminal.on_stack("emergency", "--yes")
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


# Status


def test_status_reads_labels_and_the_log_but_no_secret_value(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    before, calls = deployed.world.aws.calls(), deployed.calls.copy()
    ran = terminal.on_stack("status")
    assert deployed.world.aws.calls() - before == {"DescribeSecret": 1}
    assert (deployed.calls - calls).keys() == {
        "cloudformation:DescribeStacks",
        "lambda:GetFunctionConfiguration",
        "logs:FilterLogEvents",
    }
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"acme ({STACK})  ")
    assert "the last run ended at 21:30:00: rotated" in ran.out
    assert "less than the grace period of 20 min" in ran.out


def test_failing_runs_set_the_exit_status_and_print_a_sentence(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    deployed.world.put_credentials("CANARY is no JSON")
    for _ in range(2):
        deployed.world.clock.advance(minutes=2)
        deployed.run({"action": "rotate-now"})
    ran = terminal.on_stack("status")
    assert ran.status == 4
    assert "the last 2 runs failed, the last at 21:34:00:" in ran.out
    assert "[credentials-unusable]" in ran.out
    found = terminal.on_stack("status", "--json").json
    assert (found["state"], found["failed_runs"]) == ("failing", 2)
    assert found["last_run"]["error_code"] == "credentials-unusable"


def test_a_deleted_token_secret_means_no_usable_token(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    deployed.world.client.delete_secret(SecretId=deployed.variables["TOKEN_SECRET_ID"], ForceDeleteWithoutRecovery=True)
    ran = terminal.on_stack("status")
    assert (ran.status, "does not exist any more" in ran.err) == (3, True)


def test_a_label_that_stays_is_no_failed_revocation(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    deployed.run({"action": "rotate-now"})
    deployed.world.clock.advance(minutes=21)
    denied = CallFault(operation="UpdateSecretVersionStage", code="AccessDeniedException")
    deployed.world.aws.fault(denied)
    deployed.run({})
    line = {"level": "WARNING", "message": "early", "error_code": "grace-cut-short"}
    line["token_secret_id"] = deployed.variables["TOKEN_SECRET_ID"]
    (superseded,) = terminal.on_stack("status", "--json").json["superseded"]
    line["superseded_version_id"] = superseded["version_id"]
    deployed.lines.append((int(deployed.world.clock.now().timestamp() * 1000), json.dumps(line)))
    (superseded,) = terminal.on_stack("status", "--json").json["superseded"]
    assert superseded["failed_with"] is None
    deployed.world.aws.fault(denied)
    ran = terminal.on_stack("emergency", "--yes")
    assert (ran.status, re.findall(r"1 token not revoked: .*\[(.*)\]", ran.err)) == (1, ["label-not-removed"])


def test_without_permission_to_read_the_log_status_shows_the_labels(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    deployed.denied.add("logs:FilterLogEvents")
    ran = terminal.on_stack("status", "--json")
    assert (ran.status, ran.json["last_run"], ran.json["failed_runs"]) == (0, None, None)
    assert ran.err.startswith(f"{STACK}: how the last runs ended is unknown: arn:aws:iam::123456789012:user/operator")
    assert "logs:FilterLogEvents" in ran.err


def test_several_jobs_make_one_table_and_the_worst_sets_the_exit_status(
    deployed: DeployedAws, terminal: Terminal, clients: Events
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


def test_a_job_named_twice_is_shown_once(deployed: DeployedAws, terminal: Terminal, clients: Events) -> None:
    deployed.run(clients["acme"])
    for jobs in (["--stack", STACK, "--function", FUNCTION], ["--function", arn(), "--client", "acme"] * 2):
        ran = terminal.run("status", "--json", *jobs, "--client", "acme")
        assert (ran.status, ran.json["client"]) == (0, "acme")


@pytest.mark.parametrize("minutes", [1, 40])
def test_a_credentials_fallback_needs_action_although_the_token_is_fresh(
    deployed: DeployedAws, terminal: Terminal, minutes: float
) -> None:
    """Even if the run that fell back is older than the last runs in the log."""
    deployed.world.put_credentials('{"client_id": "mistyped", "client_secret": "CANARY"}')
    deployed.world.telenor.knobs(lifetime_seconds=20_000)
    deployed.run({})
    deployed.world.clock.advance(minutes=minutes)
    deployed.run({})
    ran = terminal.on_stack("status", "--json")
    assert (ran.status, ran.json["state"], ran.json["credentials_fallback"]) == (4, "fresh", True)
    ran = terminal.on_stack("status")
    assert (ran.status, "fresh: " in ran.out, "[credentials-fallback]" in ran.out) == (4, True, True)
    table = terminal.run("status", "--stack", STACK, "--function", FUNCTION)
    assert (table.status, "[credentials-fallback]" in " ".join(table.out.split())) == (4, True)


def test_a_fallback_ends_with_the_next_token_from_new_credentials(deployed: DeployedAws, terminal: Terminal) -> None:
    good = deployed.world.client.get_secret_value(SecretId="telenor/credentials")["SecretString"]
    deployed.world.put_credentials('{"client_id": "mistyped", "client_secret": "CANARY"}')
    deployed.run({})
    deployed.world.put_credentials(good)
    deployed.world.clock.advance(minutes=1)
    deployed.run({"action": "rotate-now"})
    ran = terminal.on_stack("status", "--json")
    assert (ran.status, ran.json["credentials_fallback"]) == (0, False)


def test_a_fallback_is_unknown_for_a_version_without_a_label(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.world.unlabel(deployed.run({})["version_id"])
    ran = terminal.on_stack("status", "--json")
    assert (ran.status, ran.json["state"], ran.json["credentials_fallback"]) == (4, "not-in-ledger", None)


def test_a_failed_revocation_is_reported_and_needs_action(deployed: DeployedAws, terminal: Terminal) -> None:
    first = deployed.run({})["version_id"]
    deployed.run({"action": "rotate-now"})
    deployed.world.clock.advance(minutes=21)
    (due,) = terminal.on_stack("status", "--json").json["superseded"]
    assert (due["state"], due["failed_with"]) == ("revocation-due", None)
    deployed.world.telenor.fault(operation="logout", status=503)
    deployed.run({})
    ran = terminal.on_stack("status", "--json")
    failed = next(each for each in ran.json["superseded"] if each["version_id"] == first)
    assert ran.status == 4
    assert (failed["state"], failed["failed_with"]) == ("revocation-due", "revocation-failed")
    ran = terminal.on_stack("status")
    assert (ran.status, "[revocation-failed]" in ran.out) == (4, True)
    assert "revoked by the next run" not in " ".join(ran.out.split())
    deployed.world.telenor.clear_faults()
    deployed.run({})
    assert terminal.on_stack("status", "--json").status == 0


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


# Retiring


def test_retiring_disables_the_schedule_and_leaves_one_token(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    deployed.run({"action": "rotate-now"})
    before = dict(deployed.schedules[SCHEDULE])
    ran = terminal.on_stack("retire", typed="yes\n")
    assert (ran.status, len(ran.json["revoked"])) == (0, 2)
    assert deployed.schedules[SCHEDULE] == before | {"State": "DISABLED"}
    assert deployed.events[-1] == {"action": "rotate-and-revoke-now"}
    assert (deployed.world.live(), deployed.world.is_current_live()) == (1, True)
    assert f"version {ran.json['version_id']}" in ran.words
    assert "expires at 2026-11-23 22:29:59 UTC" in ran.words
    # A second time: the schedule is left unchanged.
    assert terminal.on_stack("retire", "--yes").status == 0
    assert deployed.calls["scheduler:UpdateSchedule"] == 1


def test_retiring_one_client_leaves_others_running(deployed: DeployedAws, terminal: Terminal, clients: Events) -> None:
    deployed.run(clients["acme"])
    assert terminal.on_function("retire", "--yes").status == 2
    assert terminal.on_function("retire", "--yes", "--client", "acme").status == 0
    states = {name: schedule["State"] for name, schedule in deployed.schedules.items()}
    assert states == {f"{FUNCTION}-acme": "DISABLED", f"{FUNCTION}-zeta": "ENABLED", f"{FUNCTION}-stranger": "ENABLED"}
    assert deployed.world.live() == 1


def test_retiring_asks_for_confirmation(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    assert terminal.on_stack("retire", typed="no\n").status == 1
    assert terminal.on_stack("retire").status == 2
    assert (deployed.schedules[SCHEDULE]["State"], deployed.world.issued()) == ("ENABLED", 1)


def test_retiring_without_an_active_token_only_disables_the_schedule(deployed: DeployedAws, terminal: Terminal) -> None:
    assert terminal.on_stack("retire", "--yes").status == 0
    assert (deployed.schedules[SCHEDULE]["State"], deployed.world.issued()) == ("DISABLED", 0)


def test_retiring_where_the_server_cannot_revoke_publishes_nothing(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    deployed.variables |= {"TOKEN_URL": "https://auth.test/token", "REVOCATION_URL": "none"}
    assert terminal.on_stack("retire", "--yes").status == 0
    assert (deployed.schedules[SCHEDULE]["State"], deployed.world.issued()) == ("DISABLED", 1)


def test_retiring_a_job_without_a_schedule_is_refused(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    del deployed.schedules[SCHEDULE]
    assert terminal.on_stack("retire", "--yes").status == 2
    assert deployed.world.issued() == 1


def test_retiring_that_leaves_a_token_exits_with_1(deployed: DeployedAws, terminal: Terminal) -> None:
    deployed.run({})
    deployed.world.telenor.fault(operation="logout", status=503)
    ran = terminal.on_stack("retire", "--yes")
    assert (ran.status, ran.json["pending_revocations"]) == (1, 1)
    cause, done, remedy = ran.err.splitlines()[-3:]
    assert cause.endswith("[revocation-failed]")
    assert (done.startswith("Done: "), "`retire`" in remedy) == (True, True)


# Failures on the operator's machine


def answered(content_type: str, *bodies: str) -> list[Response]:
    return [Response(body, content_type=content_type) for body in bodies]


NOT_AWSS = {
    "cloudformation:DescribeStacks": [
        *answered("application/json", "{}", '{"Error": {"Code": "ExpiredToken"}}'),
        *answered("text/xml", "<DescribeStacksResponse/>", "<?xml"),
        Response('{"__type": "ExpiredTokenException"}', 403, content_type="application/json"),
        HTML,
    ],
    "lambda:GetFunctionConfiguration": answered("application/json", "[]", "null", "{", '"x"', '{"Environment": []}'),
    "scheduler:ListSchedules": [HTML, *answered("application/json", '{"Schedules": [{}]}')],
    "scheduler:GetSchedule": [HTML, *answered("application/json", "[]", '{"Target": {}}')],
}


@pytest.mark.parametrize(
    ("action", "response"), [(action, response) for action, responses in NOT_AWSS.items() for response in responses]
)
def test_a_response_that_is_not_awss_is_one_sentence(
    deployed: DeployedAws, terminal: Terminal, action: str, response: Response
) -> None:
    deployed.responses[action] = response
    ran = terminal.on_stack(*(["retire", "--yes"] if "scheduler" in action else ["status"]))
    assert (ran.status, ran.out, "cannot be read" in ran.err) == (1, "", True)
    assert not deployed.events


@pytest.mark.parametrize("response", [HTML, *answered("application/json", "[]", '{"events": [{}]}', '{"events": [1]}')])
def test_a_log_that_is_not_awss_leaves_labels(deployed: DeployedAws, terminal: Terminal, response: Response) -> None:
    deployed.run({})
    deployed.responses["logs:FilterLogEvents"] = response
    ran = terminal.on_stack("status", "--json")
    assert (ran.status, ran.json["last_run"], "cannot be read" in ran.err) == (0, None, True)


@pytest.mark.parametrize(
    ("action", "command", "notes"),
    [
        ("cloudformation:DescribeStacks", ["status"], []),
        ("lambda:GetFunctionConfiguration", ["status"], []),
        ("lambda:InvokeFunction", ["rotate"], []),
        ("lambda:InvokeFunction", ["emergency", "--yes"], ["Done: the job was not started", "To do: correct the"]),
        ("scheduler:ListSchedules", ["retire", "--yes"], ["Done: no token was revoked", "To do: correct the cause"]),
        ("scheduler:UpdateSchedule", ["retire", "--yes"], ["Done: no token was revoked", "To do: correct the cause"]),
    ],
)
def test_a_missing_permission_is_named_with_its_identity_and_resource(
    deployed: DeployedAws, terminal: Terminal, action: str, command: list[str], notes: list[str]
) -> None:
    deployed.denied.add(action)
    ran = terminal.on_stack(*command)
    assert (ran.status, ran.out) == (1, "")
    lines = ran.err.splitlines()
    assert f"user/operator has no permission for {action} on" in lines[-1 - len(notes)]
    assert all(map(str.startswith, lines[-len(notes) :], notes))
    assert "in eu-north-1" in ran.err
    assert (deployed.events, deployed.schedules[SCHEDULE]["State"]) == ([], "ENABLED")


def test_expired_aws_credentials_ask_for_a_new_login(deployed: DeployedAws, terminal: Terminal) -> None:
    expired = "The security token included in the request is expired"
    deployed.responses["lambda:GetFunctionConfiguration"] = refusal("ExpiredTokenException", expired, 403)
    ran = terminal.on_function("status")
    assert (ran.status, len(ran.err.splitlines())) == (1, 1)
    assert ran.err.rstrip().endswith("log in again")


def test_a_network_failure_prints_one_sentence(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{closed.getsockname()[1]}")
        ran = terminal.on_function("rotate")
    assert (ran.status, len(ran.err.splitlines())) == (1, 1)
    assert "AWS did not respond about function" in ran.err
