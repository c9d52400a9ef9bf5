"""The job against third-party OAuth 2 servers over real sockets: oidc-provider and django-oauth-toolkit.

The job's clock is simulated; the server's tokens expire by the machine's clock, long after the end of a test.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
import requests

from handler.errors import InvalidClientError, ServerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.world import World

HERE = Path(__file__).parent
DJANGO = HERE.parents[1] / ".venv-django" / "bin" / "python"
CLIENTS = {"first": f"CANARY{secrets.token_hex(16)}", "second": f"CANARY{secrets.token_hex(16)}"}
GRACE_SECONDS = 600
ROTATIONS = 10
PATIENCE_SECONDS = 120
EMERGENCY = "rotate-and-revoke-now"


@dataclass
class Server:
    """The endpoints of a running server."""

    token: str
    revocation: str
    introspection: str

    def is_active(self, access_token: str, client_id: str = "first") -> bool:
        """Ask the server about a token (RFC 7662)."""
        with requests.Session() as session:
            session.trust_env = False
            response = session.post(
                self.introspection, {"token": access_token}, auth=(client_id, CLIENTS[client_id]), timeout=10
            )
            return bool(response.json()["active"])


@contextmanager
def running(command: Sequence[str]) -> Iterator[Server]:
    with subprocess.Popen(  # noqa: S603  a file of this repository
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "CLIENTS": json.dumps(CLIENTS), "NODE_NO_WARNINGS": "1"},
    ) as process:
        watchdog = threading.Timer(PATIENCE_SECONDS, process.kill)
        watchdog.start()
        try:
            endpoints = _stream(process.stdout).readline()
            assert endpoints, _stream(process.stderr).read()
            yield Server(**json.loads(endpoints))
        finally:
            _, errors = process.communicate()  # closes its stdin, so that it exits
            watchdog.cancel()
    assert process.returncode == 0, errors


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream
    return stream


def command_of(name: str) -> list[str]:
    """Return the command of a server; skip the test if the server is not installed, unless EXAMPLES is `all`."""
    if name == "django-oauth-toolkit":
        command, is_there = [str(DJANGO), str(HERE / "django_oauth_toolkit.py")], DJANGO.exists()
    else:
        command = ["node", str(HERE / "oidc_provider.mjs")]
        is_there = shutil.which("node") is not None and (HERE / "node_modules").is_dir()
    if not is_there:
        missing = f"{name} is not installed; `make examples` does that"
        pytest.fail(missing) if os.environ.get("EXAMPLES") == "all" else pytest.skip(missing)
    return command


@pytest.fixture(scope="module", params=["oidc-provider", "django-oauth-toolkit"])
def process(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(command_of(request.param)) as server:
        yield server


@pytest.fixture
def server(process: Server, world: World, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("TOKEN_URL", process.token)
    monkeypatch.setenv("REVOCATION_URL", process.revocation)
    monkeypatch.setenv("GRACE_SECONDS", str(GRACE_SECONDS))
    world.put_client("first", CLIENTS["first"])
    return process


def test_after_ten_rotations_only_the_current_token_and_those_in_grace_are_active(server: Server, world: World) -> None:
    token_of: dict[str, str] = {}
    revoked: set[str] = set()
    while len(token_of) < 1 + ROTATIONS:
        result = world.run()
        token_of.setdefault(result["version_id"], world.token())
        revoked |= set(result["revoked"])
        active = [version for version, token in token_of.items() if server.is_active(token)]
        assert result["version_id"] in active
        assert revoked.isdisjoint(active)
        assert len(active) == 1 + result["pending_revocations"]
        world.clock.advance(minutes=5)
    world.clock.advance(seconds=GRACE_SECONDS - 299)
    world.run()
    assert [token for token in token_of.values() if server.is_active(token)] == [world.token()]
    assert world.seen.codes() == []


def test_an_emergency_revokes_every_other_token(server: Server, world: World) -> None:
    world.run()
    replaced = [world.rotate(), world.token()]
    result = world.run(EMERGENCY)
    assert (len(result["revoked"]), result["pending_revocations"]) == (2, 0)
    assert [server.is_active(token) for token in (*replaced, world.token())] == [False, False, True]


def test_a_mistyped_secret_falls_back_to_the_previous_credentials(server: Server, world: World) -> None:
    world.run()
    world.put_client("first", "CANARYmistyped")
    replaced = world.rotate()
    assert world.seen.metrics()["CredentialsFallback"] == 1
    world.clock.advance(seconds=GRACE_SECONDS + 1)
    assert len(world.run()["revoked"]) == 1
    assert (server.is_active(replaced), server.is_active(world.token())) == (False, True)


@pytest.mark.usefixtures("server")
def test_a_rejected_client_is_tried_once(world: World) -> None:
    for mistyped in ("CANARYmistyped", "CANARYmistyped-too"):
        world.put_client("first", mistyped)
    with pytest.raises(InvalidClientError) as refusal:
        world.run()
    assert (refusal.value.status, refusal.value.error_code) == (401, "credentials-refused")
    assert world.seen.metrics()["RotationFailed"] == 1


def test_a_replaced_clients_token_is_revoked_with_its_own_credentials(server: Server, world: World) -> None:
    world.run()
    world.put_client("second", CLIENTS["second"])
    replaced = world.rotate()
    world.clock.advance(seconds=GRACE_SECONDS + 1)
    assert len(world.run()["revoked"]) == 1
    assert not server.is_active(replaced, "first")
    assert server.is_active(world.token(), "second")


def test_an_outage_of_the_token_endpoint_keeps_the_published_token(
    server: Server, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    published = world.token()
    monkeypatch.setenv("TOKEN_URL", "http://127.0.0.1:1/token")
    with pytest.raises(ServerUnavailableError) as outage:
        world.run("rotate-now")
    assert outage.value.error_code == "token-endpoint-out"
    assert (world.token(), server.is_active(published)) == (published, True)
    monkeypatch.setenv("TOKEN_URL", server.token)
    world.rotate()
    assert server.is_active(world.token())


def test_an_outage_of_the_revocation_endpoint_postpones_revocations(
    server: Server, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run()
    replaced = world.rotate()
    world.clock.advance(seconds=GRACE_SECONDS + 1)
    monkeypatch.setenv("REVOCATION_URL", "http://127.0.0.1:1/revoke")
    result = world.run()
    assert (result["revoked"], result["pending_revocations"], server.is_active(replaced)) == ([], 1, True)
    monkeypatch.setenv("REVOCATION_URL", server.revocation)
    assert len(world.run()["revoked"]) == 1
    assert not server.is_active(replaced)
