"""Retiring a job, or one of its clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.handler.cli.deployed_aws import FUNCTION, SCHEDULE

if TYPE_CHECKING:
    from tests.handler.cli.conftest import Terminal
    from tests.handler.cli.deployed_aws import DeployedAws, Events

pytestmark = pytest.mark.usefixtures("deployed")


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
