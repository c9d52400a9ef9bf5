"""The records of both servers by token, without the tokens' values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING

from infra.local.telenor_sandbox import short_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.promises.recorded_job import RecordedJob


class Phase(StrEnum):
    """The phase of a token's lifetime."""

    UNPUBLISHED = "not published"
    CURRENT = "current"
    IN_GRACE = "in grace"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True)
class SeenToken:
    """A token by its short id. Times are epoch seconds."""

    short_id: str
    issued_at: float
    published_at: float | None = None
    superseded_at: float | None = None
    ended_at: float | None = None
    status: str = "live"
    """live, revoked or expired, as Telenor says."""

    @property
    def is_live(self) -> bool:
        """Whether Telenor accepts it."""
        return self.status == "live"

    @property
    def phase(self) -> Phase:
        """The current phase."""
        if not self.is_live:
            return Phase(self.status)
        if self.published_at is None:
            return Phase.UNPUBLISHED
        return Phase.CURRENT if self.superseded_at is None else Phase.IN_GRACE


@dataclass(frozen=True, kw_only=True)
class TokenStates:
    """The records of both servers until a time."""

    at: float
    tokens: Mapping[str, SeenToken] = field(default_factory=dict)
    """By short id, the oldest first."""
    served: int = 0
    refused: int = 0

    @property
    def published(self) -> list[SeenToken]:
        """The tokens that Secrets Manager holds, one a rotation."""
        return [token for token in self.tokens.values() if token.published_at is not None]

    @property
    def current(self) -> SeenToken | None:
        """The token that consumers read."""
        return next((token for token in reversed(self.published) if token.superseded_at is None), None)

    def count(self, status: str) -> int:
        """Count the tokens that are live, revoked or expired."""
        return sum(token.status == status for token in self.tokens.values())


def read_token_states(job: RecordedJob) -> TokenStates:
    """Return the state of every token now."""
    with job.history.lock:
        history = list(job.history.states)
        names = {version: short_id(token) for version, token in job.history.values.items()}
    published_at, superseded_at = dict[str, float](), dict[str, float]()
    for state in history:
        for version in state.stages:
            published_at.setdefault(names[version], state.at)
            if version != state.current:
                superseded_at.setdefault(names[version], state.at)
    if history and history[-1].current:
        superseded_at.pop(names[history[-1].current], None)  # somebody may have rolled back to it
    # Telenor second, so that no token can be seen as published before it is seen as issued.
    state_of_telenor = job.servers.telenor.state()
    tokens = {
        name: SeenToken(
            short_id=name,
            issued_at=seen["issued_at"],
            published_at=published_at.get(name),
            superseded_at=superseded_at.get(name),
            ended_at=seen["ended_at"],
            status=seen["status"],
        )
        for name, seen in state_of_telenor["tokens"].items()
    }
    served, refused = itemgetter("accepted", "refused")(state_of_telenor["protected"])
    return TokenStates(at=job.servers.clock.time(), tokens=tokens, served=served, refused=refused)


def events(before: TokenStates, after: TokenStates) -> list[tuple[float, str]]:
    """Return the events between two states with their times, in order."""
    found = []
    for name, token in after.tokens.items():
        was = before.tokens.get(name, SeenToken(short_id=name, issued_at=0))
        if name not in before.tokens:
            found.append((token.issued_at, f"token {name} issued"))
        if token.published_at is not None and was.published_at is None:
            found.append((token.published_at, f"token {name} published"))
        if token.ended_at is not None and was.is_live:
            found.append((token.ended_at, f"token {name} {token.status}"))
    return sorted(found, key=itemgetter(0))
