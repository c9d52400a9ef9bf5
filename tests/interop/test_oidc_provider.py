"""The job against an OAuth server that is not ours: oidc-provider, in Node.js, over real sockets.

The job's hours pass in an instant; the server's tokens live by the machine's clock, and the test is over long before
the first of them would expire.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from handler.errors import InvalidClientError
from tests.interop.adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import World

SERVER = Path(__file__).parent / "server.mjs"
CLIENT_ID = "rotation"
CLIENT_SECRET = f"CANARY{secrets.token_hex(16)}"  # letters and digits: the server decodes what RFC 6749 form-encodes
LIFE_SECONDS = 3599
GRACE_SECONDS = 600
ROTATIONS = 20
PATIENCE_SECONDS = 60


@contextmanager
def _oidc_provider() -> Iterator[str]:
    """Run the server, and yield its issuer."""
    environment = {"PATH": os.environ["PATH"], "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET}
    with subprocess.Popen(  # noqa: S603  a file of this repository
        ["node", str(SERVER)],  # noqa: S607  wherever Node.js is
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "LIFE_SECONDS": str(LIFE_SECONDS), "NODE_NO_WARNINGS": "1"},
    ) as process:
        watchdog = threading.Timer(PATIENCE_SECONDS, process.kill)
        watchdog.start()
        try:
            issuer = _stream(process.stdout).readline().strip()
            assert issuer, _stream(process.stderr).read()
            yield issuer
        finally:
            _, errors = process.communicate()  # closes its stdin, which ends it
            watchdog.cancel()
    assert process.returncode == 0, errors
    # It says itself that it keeps everything in memory.
    assert all("WARNING" in line for line in errors.splitlines()), errors


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream
    return stream


@pytest.fixture
def server(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Adapter]:
    """Put oidc-provider behind the adapter in Telenor's place."""
    missing = "there is no Node.js on this machine" if shutil.which("node") is None else ""
    if not missing and not (SERVER.parent / "node_modules").is_dir():
        missing = "oidc-provider is not installed; `make examples` does that"
    if missing:
        pytest.fail(missing) if os.environ.get("EXAMPLES") == "all" else pytest.skip(missing)
    with _oidc_provider() as issuer, Adapter(issuer, CLIENT_ID, CLIENT_SECRET) as adapter:
        monkeypatch.setenv("TELENOR_BASE_URL", adapter.url)
        monkeypatch.setenv("GRACE_SECONDS", str(GRACE_SECONDS))
        world.put_credentials(json.dumps({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}))
        yield adapter


def test_twenty_rotations_leave_no_token_alive_but_the_current_and_those_in_grace(
    server: Adapter, world: World
) -> None:
    token_of: dict[str, str] = {}
    revoked: list[str] = []
    while len(token_of) < 1 + ROTATIONS:
        result = world.run()
        revoked += result["revoked"]
        token_of.setdefault(result["version_id"], world.document()["access_token"])
        current = token_of[result["version_id"]]
        assert server.is_active(current)
        if result["revoked"]:
            active = [token for token in server.tokens if server.is_active(token)]
            assert len(active) == 1 + result["pending_revocations"]
        world.clock.advance(minutes=5)
    assert len(server.tokens) == 1 + ROTATIONS
    assert len(revoked) >= ROTATIONS - 2
    assert [version for version in revoked if server.is_active(token_of[version])] == []
    world.clock.advance(seconds=GRACE_SECONDS - 299)
    world.run()
    assert [token for token in server.tokens if server.is_active(token)] == [world.document()["access_token"]]
    assert world.seen.codes() == []


def test_an_emergency_kills_every_other_token(server: Adapter, world: World) -> None:
    world.run()
    world.run("rotate-now")
    result = world.run("rotate-and-revoke-now")
    assert (len(result["revoked"]), result["pending_revocations"]) == (2, 0)
    assert [server.is_active(token) for token in server.tokens] == [False, False, True]


def test_a_token_that_is_dead_already_is_as_good_as_revoked(server: Adapter, world: World) -> None:
    world.run()
    world.run("rotate-now")
    assert server.revoke(server.tokens[0]).ok
    world.clock.advance(seconds=GRACE_SECONDS + 1)
    assert len(world.run()["revoked"]) == 1
    assert world.seen.metrics()["RevocationFailed"] == 0


def test_a_published_token_that_somebody_else_has_revoked_is_replaced(
    server: Adapter, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERIFY_URL", f"{server.url}/service-tickets/v2/incidents")
    world.run()
    world.clock.advance(minutes=14)
    assert server.revoke(server.tokens[0]).ok
    result = world.run()
    assert (result["outcome"], result["reason"]) == ("rotated", "not-accepted")
    assert server.is_active(world.document()["access_token"])


def test_a_mistyped_secret_costs_nobody_a_token(server: Adapter, world: World) -> None:
    world.put_credentials(json.dumps({"client_id": CLIENT_ID, "client_secret": "CANARYwrong"}))
    assert world.run()["outcome"] == "rotated"
    assert server.is_active(world.document()["access_token"])
    assert world.seen.metrics()["CredentialsFallback"] == 1


def test_a_client_that_the_server_refuses_is_told_apart_and_costs_no_retry(server: Adapter, world: World) -> None:
    for secret in ("CANARYwrong", "CANARYwrong-too"):
        world.put_credentials(json.dumps({"client_id": CLIENT_ID, "client_secret": secret}))
    with pytest.raises(InvalidClientError) as refusal:
        world.run()
    assert (refusal.value.status, refusal.value.error_code) == (401, "credentials-refused")
    assert server.tokens == []
