"""A terminal for the tests of the command line, whose output is checked for secrets like all output."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from handler.cli.main import main
from infra.local.loopback_server import LoopbackServer
from tests.handler.cli.deployed_aws import FUNCTION, STACK, DeployedAws, Events
from tests.world import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.captured_output import CapturedOutput
    from tests.world import World


@dataclass
class CommandResult:
    """The exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    @property
    def words(self) -> str:
        """The text of stderr without its line breaks."""
        return " ".join(self.err.split())


@dataclass
class Terminal:
    """Runs commands in this process. Typed text comes from a real pseudo-terminal; without it, stdin is no terminal."""

    seen: CapturedOutput

    def run(self, *arguments: str, typed: str | None = None) -> CommandResult:
        keyboard, stdin = os.openpty() if typed is not None else (None, os.open(os.devnull, os.O_RDONLY))
        if keyboard is not None and typed is not None:
            os.write(keyboard, typed.encode())
        # Discard earlier output.
        self.seen.streams += self.seen.capture.readouterr()
        try:
            with os.fdopen(stdin, encoding="utf-8") as file, patch.object(sys, "stdin", file), patch.dict(os.environ):
                status = main(arguments)
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        finally:
            if keyboard is not None:
                os.close(keyboard)
            out, err = self.seen.capture.readouterr()
            self.seen.streams += [out, err]
        return CommandResult(status, out, err)

    def on_stack(self, *arguments: str, typed: str | None = None) -> CommandResult:
        return self.run(*arguments, "--stack", STACK, typed=typed)

    def on_function(self, *arguments: str) -> CommandResult:
        return self.run(*arguments, "--function", FUNCTION)

    def doctor(self, *arguments: str, job: tuple[str, ...] = ("--local",)) -> CommandResult:
        return self.run(*job, "doctor", "--json", "--yes", *arguments)


class InterruptingClock(FakeClock):
    """A clock that raises KeyboardInterrupt (Ctrl-C) after some waits."""

    def __init__(self, waits: int = 0) -> None:
        super().__init__()
        self.waits = waits

    def sleep(self, seconds: float) -> None:
        if not self.waits:
            raise KeyboardInterrupt
        self.waits -= 1
        super().sleep(seconds)


@pytest.fixture
def terminal(seen: CapturedOutput, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal(seen)


@pytest.fixture
def local(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Set the variables that --local requires."""
    monkeypatch.setenv("GRACE_SECONDS", "600")
    monkeypatch.setenv("SCHEDULE_MINUTES", "5")
    return world


@pytest.fixture
def deployed(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeployedAws]:
    """Deploy a stack with a grace other than the default, and remove all of the job's settings from this process."""
    token_secret, credentials_secret = (
        world.client.describe_secret(SecretId=os.environ[name])["ARN"]
        for name in ("TOKEN_SECRET_ID", "CREDENTIALS_SECRET_ID")
    )
    variables = {
        "TOKEN_SECRET_ID": token_secret,
        "CREDENTIALS_SECRET_ID": credentials_secret,
        "TELENOR_BASE_URL": world.telenor.url,
        "GRACE_SECONDS": "1200",
        "SCHEDULE_MINUTES": "2",
        "RENEW_AT_FRACTION": "0.4",
        "CLIENT_NAME": "acme",
    }
    for name in ("TOKEN_SECRET_ID", "CREDENTIALS_SECRET_ID", "TELENOR_BASE_URL"):
        monkeypatch.delenv(name)
    aws = DeployedAws(world, variables)
    with LoopbackServer(aws.respond) as server:
        for service in ("LAMBDA", "CLOUDWATCH_LOGS", "CLOUDFORMATION", "SCHEDULER"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", server.url)
        yield aws


@pytest.fixture
def clients(deployed: DeployedAws) -> Events:
    """Configure the function to serve two clients, and return their events by name."""
    ids = {field: deployed.variables[field.upper()] for field in ("credentials_secret_id", "token_secret_id")}
    deployed.world.client.create_secret(Name="other/token")
    acme, zeta = {"client": "acme"} | ids, {"client": "zeta"} | ids | {"token_secret_id": "other/token"}
    deployed.serve(acme, zeta)
    return {"acme": acme, "zeta": zeta}
