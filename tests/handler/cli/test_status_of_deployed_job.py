"""The status of a deployed job: its labels, the log of its last runs, and tokens of earlier credentials."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from infra.local.secrets_manager_faults import CallFault
from tests.handler.cli.deployed_aws import FUNCTION, STACK, arn

if TYPE_CHECKING:
    from tests.handler.cli.conftest import Terminal
    from tests.handler.cli.deployed_aws import DeployedAws, Events

pytestmark = pytest.mark.usefixtures("deployed")


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
