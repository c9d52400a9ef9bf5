"""An authorization server other than Telenor's, and a job that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.local.oauth_server import OAuthServer
from tests.leak_detector import CANARY, CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.world import FakeClock, World


@pytest.fixture
def server(clock: FakeClock) -> Iterator[OAuthServer]:
    numbers = iter(range(1_000))
    with OAuthServer(
        {CLIENT_ID: CLIENT_SECRET}, clock=lambda: clock.now().timestamp(), new_token=lambda: f"{CANARY}-{next(numbers)}"
    ) as server:
        yield server


@pytest.fixture
def job(world: World, server: OAuthServer, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("TOKEN_URL", server.token_url)
    monkeypatch.setenv("REVOCATION_URL", server.revocation_url)
    return world
