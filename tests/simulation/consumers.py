"""Consumers that read the token all the time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tests.simulation.checked_world import LIFETIME, BrokenPromiseError, World

if TYPE_CHECKING:
    from datetime import datetime


class Consumers:
    """Consumers that read at any moment; the token must be accepted at any moment within the grace after that."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.least_left = LIFETIME
        self._held: deque[tuple[str, datetime]] = deque()
        # The last moment to read a token is just before the write that supersedes it.
        world.secretsmanager.on_change = self.read

    def read(self, at: datetime | None = None) -> None:
        self.world.record_reads(at)
        current, at = self.world.current, at or self.world.clock.now()
        # The grace does not cover reads during the retries of a write (docs/guarantees.md).
        self._held = deque((token, min(read_at, at) if token == current else read_at) for token, read_at in self._held)
        if current:
            self._held.append((current, at))

    def use(self) -> None:
        """Use tokens read a grace ago for the last time; an inactive token never becomes active again."""
        while self._held and self._held[0][1] + self.world.policy.grace <= self.world.clock.now():
            token, read_at = self._held.popleft()
            self.least_left = min(self.least_left, self._inactive_since(token) - read_at)

    def check(self) -> None:
        """Check P1 for tokens read a grace ago."""
        self.use()
        if self.least_left < self.world.policy.grace:
            raise BrokenPromiseError(f"P1: a token was accepted for no more than {self.least_left} after it was read")

    def _inactive_since(self, token: str) -> datetime:
        issued = self.world.telenor.tokens[token]
        return issued.expires_at if issued.ended_at is None else min(issued.ended_at, issued.expires_at)
