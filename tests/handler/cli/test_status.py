"""`status` and `status --watch` of a job with --local: their output, calls and exit status."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from handler import app
from infra.local.secrets_manager_faults import CallFault
from tests.handler.cli.conftest import InterruptingClock

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

    from tests.handler.cli.conftest import Terminal
    from tests.world import World

pytestmark = pytest.mark.usefixtures("local")


def test_status_makes_one_call_and_reads_no_secret_value(world: World, terminal: Terminal) -> None:
    world.run()
    before = world.aws.calls()
    ran = terminal.run("--local", "status")
    assert world.aws.calls() - before == {"DescribeSecret": 1}
    assert ran.status == 0
    assert ran.out.startswith("default (--local)  ")
    assert "fresh: renewed within 20 min, by 21:50:00" in ran.out
    assert ran.err == ""
    assert all(len(line) <= 80 and line == line.rstrip() for line in ran.out.splitlines())


@pytest.mark.parametrize(
    ("minutes", "state", "status"), [(0, "fresh", 0), (16, "due", 0), (45, "overdue", 4), (61, "expired", 3)]
)
def test_the_exit_status_reflects_the_state(
    world: World, terminal: Terminal, minutes: int, state: str, status: int
) -> None:
    world.run()
    world.clock.advance(minutes=minutes)
    ran = terminal.run("--local", "status", "--json")
    assert (ran.json["state"], ran.status) == (state, status)
    assert terminal.run("--local", "status").status == status


@pytest.mark.parametrize("columns", ["0", "1", ""])
def test_no_width_hides_the_status(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert "novalue" in "".join(terminal.run("--local", "status").out.split())


def test_a_secret_marked_for_deletion_has_an_exit_status(
    world: World, terminal: Terminal, client: SecretsManagerClient
) -> None:
    world.run()
    client.delete_secret(SecretId="telenor/token", RecoveryWindowInDays=7)
    ran = terminal.run("--local", "status")
    assert (ran.status, "marked for deletion" in ran.out) == (3, True)


def test_an_unreadable_status_exits_with_1_and_a_sentence(world: World, terminal: Terminal) -> None:
    world.aws.fault(CallFault(operation="DescribeSecret", code="AccessDeniedException"))
    ran = terminal.run("--local", "status", "--json")
    assert (ran.status, ran.out) == (1, "")
    assert "no permission for secretsmanager:DescribeSecret on token secret telenor/token" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_status_requires_only_the_settings_that_it_uses(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    monkeypatch.delenv("CREDENTIALS_SECRET_ID")
    monkeypatch.setenv("TELENOR_BASE_URL", "not a URL")
    assert terminal.run("--local", "status", "--json").json["state"] == "fresh"


@pytest.mark.parametrize("refused", [False, True])
def test_status_shows_whether_the_token_is_accepted(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    world.run()
    monkeypatch.setenv("VERIFY_URL", f"{world.telenor.url}/service-tickets/v2/incidents")
    if refused:
        world.telenor.reset()
    ran = terminal.run("--local", "status", "--json")
    assert (ran.status, ran.json["accepted"]) == ((3, False) if refused else (0, True))
    ran = terminal.run("--local", "status")
    assert f"VERIFY_URL {'rejects' if refused else 'accepts'} the current token" in ran.out
    world.aws.fault(CallFault(operation="GetSecretValue", code="AccessDeniedException"))
    ran = terminal.run("--local", "status", "--json")
    assert (ran.status, ran.json["accepted"]) == (0, None)
    assert "was not tried" in ran.err


def test_status_shows_when_a_superseded_token_expires(
    job: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVOCATION_URL", "none")
    job.run()
    job.run("rotate-now")
    (superseded,) = terminal.run("--local", "status", "--json").json["superseded"]
    assert (superseded["state"], superseded["ends_at"]) == ("not-revocable", superseded["expires_at"])
    assert "it cannot be revoked" in terminal.run("--local", "status").out


# Watching


def watched(world: World, monkeypatch: pytest.MonkeyPatch) -> InterruptingClock:
    """Publish a token, and let only the first description of its secret succeed; return the clock of the watch."""
    world.run()
    clock = InterruptingClock(waits=2)
    monkeypatch.setattr(app, "clock", clock)
    world.aws.fault(CallFault(operation="DescribeSecret", code="AccessDeniedException"), after=1)
    return clock


def test_watching_redraws_until_ctrl_c(world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = watched(world, monkeypatch)
    ran = terminal.run("--local", "status", "--watch", "60")
    assert ran.status == 0
    assert clock.slept == [60, 60]
    assert ran.out.count("fresh: renewed within") == 2
    assert ran.out.count("no permission for") == 1


def test_watching_as_json_prints_a_line_each_time(
    world: World, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = watched(world, monkeypatch)
    ran = terminal.run("--local", "status", "--json", "--watch")
    assert [json.loads(line)["state"] for line in ran.out.splitlines()] == ["fresh", "fresh"]
    assert clock.slept == [5, 5]
    assert len(ran.err.splitlines()) == 1


def test_a_watch_on_a_real_terminal_redraws_in_place(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(app, "clock", InterruptingClock(waits=2))
    screen, stdout = os.openpty()
    with os.fdopen(stdout, "w") as shown:
        monkeypatch.setattr(sys, "stdout", shown)
        assert terminal.run("--local", "status", "--watch").status == 0
    drawn = os.read(screen, 65_536)
    os.close(screen)
    assert drawn.count(b"no value") >= 2
    assert b"\x1b[1A" in drawn
