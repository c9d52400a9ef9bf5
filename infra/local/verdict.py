"""What the numbers say. Pure: takes what the two servers have seen, and does no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from infra.local.terms import EARLY_SECONDS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

LEAST_ROTATIONS = 2


class Phase(StrEnum):
    """Where a token is in its life."""

    UNPUBLISHED = "not published"
    CURRENT = "current"
    IN_GRACE = "in grace"
    UNTRACKED = "forgotten"
    REVOKED = "revoked"
    EXPIRED = "expired"
    KILLED = "killed"


@dataclass(frozen=True, kw_only=True)
class SeenToken:
    """A token by its short id. Its life is what Telenor says, its version what Secrets Manager says.

    Times are epoch seconds; `published_at` and `superseded_at` are when the demo saw it.
    """

    short_id: str
    issued_at: float
    expires_at: float
    ended_at: float | None = None
    status: str = "live"
    """live, revoked, expired or killed."""
    version_id: str | None = None
    is_current: bool = False
    is_in_ledger: bool = False
    published_at: float | None = None
    superseded_at: float | None = None
    created_at: float | None = None
    """When its version was written, as Secrets Manager says it: in whole seconds of the machine."""

    @property
    def is_live(self) -> bool:
        """Whether Telenor accepts it."""
        return self.status == "live"

    @property
    def phase(self) -> Phase:
        """Where it is now."""
        if not self.is_live:
            return Phase(self.status)
        if self.version_id is None:
            return Phase.UNPUBLISHED
        if self.is_current:
            return Phase.CURRENT
        return Phase.IN_GRACE if self.is_in_ledger else Phase.UNTRACKED


@dataclass(frozen=True, kw_only=True)
class View:
    """What both servers have seen until now."""

    at: float
    tokens: Mapping[str, SeenToken] = field(default_factory=dict)
    """By short id, the oldest first."""
    unknown_versions: Sequence[str] = ()
    """Versions that hold no token of Telenor's."""
    once_forgotten: frozenset[str] = frozenset()
    """Short ids of published tokens that were live, but neither current nor in the ledger, at any look before."""
    served: int = 0
    refused: int = 0
    answers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Counts by status, or "dropped", of each operation of Telenor's."""

    @property
    def published(self) -> list[SeenToken]:
        """The tokens that Secrets Manager holds, one a rotation."""
        return [token for token in self.tokens.values() if token.version_id is not None]

    @property
    def forgotten(self) -> frozenset[str]:
        """The published tokens that are, or once were, live but neither current nor in the ledger."""
        now = {
            token.short_id
            for token in self.published
            if token.phase is Phase.UNTRACKED and token.expires_at - self.at > EARLY_SECONDS
        }
        return self.once_forgotten | now

    @property
    def current(self) -> SeenToken | None:
        """The token that consumers read."""
        return next((token for token in self.published if token.is_current), None)

    def version(self, version_id: str) -> SeenToken | None:
        """Return the token that a version holds."""
        return next((token for token in self.published if token.version_id == version_id), None)

    def count(self, status: str) -> int:
        """Count the tokens that are live, revoked or expired."""
        return sum(token.status == status for token in self.tokens.values())

    def answered(self, operation: str, *statuses: str) -> int:
        """Count the answers of an operation that had one of these statuses."""
        return sum(self.answers.get(operation, {}).get(status, 0) for status in statuses)


@dataclass
class Strike:
    """A fault of the demo: when it was there, and how the servers' own records show that it struck."""

    name: str
    began_at: float
    ended_at: float | None = None
    evidence: str | None = None
    """None: it has not struck."""
    lost_token: str | None = None
    """Short id of a token that nobody can know of any more, so that it dies by its expiry."""


@dataclass
class Count:
    """What one consumer has seen itself."""

    cache: str
    cache_seconds: int
    served: int = 0
    refused: int = 0
    failed: int = 0
    """Calls that ended in anything else."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Everything that the verdict rests on."""

    view: View
    counts: Sequence[Count]
    strikes: Sequence[Strike]
    planned: Sequence[str]
    """Names of the faults that had to strike."""
    calls: Counter[str]
    """Of the job, to Secrets Manager, by operation."""
    is_log_clean: bool
    """Whether the job's log has no token and no client secret."""


class Finding(NamedTuple):
    """One claim of the demo, and whether it holds."""

    claim: str
    holds: bool


def findings(account: Account) -> list[Finding]:
    """Hold the demo's claims against the numbers."""
    view = account.view
    tokens = view.tokens.values()
    struck = {strike.name for strike in account.strikes if strike.evidence is not None}
    lost = [view.tokens.get(strike.lost_token) for strike in account.strikes if strike.lost_token]
    return [
        Finding("no consumer was refused", view.served > 0 and view.refused == 0),
        Finding(
            "every consumer was served all the time",
            len(account.counts) > 0 and all(each.served > 0 and each.failed == 0 for each in account.counts),
        ),
        Finding("the current token is live", view.current is not None and view.current.is_live),
        Finding(
            "every live token is current or in the ledger",
            not view.forgotten and not any(token.phase is Phase.UNPUBLISHED for token in tokens),
        ),
        Finding(
            "every published token always was current, in the ledger, revoked or expired",
            not view.forgotten
            and not view.unknown_versions
            and not any(token.phase is Phase.KILLED for token in view.published),
        ),
        Finding(f"there were at least {LEAST_ROTATIONS} rotations", len(view.published) >= LEAST_ROTATIONS),
        Finding("every fault struck", set(account.planned) <= struck),
        Finding(
            "a killed run's token was never published and has expired",
            all(token is not None and token.version_id is None and token.status == "expired" for token in lost),
        ),
        Finding("no token and no secret is in the job's log", account.is_log_clean),
    ]


def exit_status(account: Account) -> int:
    """Return 0 if every claim holds."""
    return 0 if all(finding.holds for finding in findings(account)) else 1
