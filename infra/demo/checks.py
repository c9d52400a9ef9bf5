"""Checks the demo's claims. Pure: takes what the two servers recorded, and does no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from infra.promises.checker import Violation

MIN_ROTATIONS = 2


class Phase(StrEnum):
    """The phase of a token's lifetime."""

    UNPUBLISHED = "not published"
    CURRENT = "current"
    IN_GRACE = "in grace"
    UNTRACKED = "untracked"
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
    served: int = 0
    refused: int = 0
    answers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Counts by status, or "dropped", of each operation of Telenor's."""

    @property
    def published(self) -> list[SeenToken]:
        """The tokens that Secrets Manager holds, one a rotation."""
        return [token for token in self.tokens.values() if token.version_id is not None]

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
class FaultRecord:
    """A fault of the demo: when it was active, and the evidence in the servers' records."""

    name: str
    began_at: float
    ended_at: float | None = None
    evidence: str | None = None
    """None: it has not taken effect."""
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
class Results:
    """Everything that the checks need."""

    view: View
    violations: Sequence[Violation]
    counts: Sequence[Count]
    fault_records: Sequence[FaultRecord]
    planned: Sequence[str]
    """Names of the faults that had to take effect."""
    calls: Counter[str]
    """Of the job, to Secrets Manager, by operation."""
    is_log_clean: bool
    """Whether the job's log has no token and no client secret."""


class Check(NamedTuple):
    """One claim of the demo, and whether it holds."""

    claim: str
    holds: bool


def checks(results: Results) -> list[Check]:
    """Check the demo's claims."""
    view = results.view
    tokens = view.tokens.values()
    struck = {record.name for record in results.fault_records if record.evidence is not None}
    lost = [view.tokens.get(record.lost_token) for record in results.fault_records if record.lost_token]
    return [
        Check("no consumer was refused", view.served > 0 and view.refused == 0),
        Check(
            "every consumer was served all the time",
            len(results.counts) > 0 and all(each.served > 0 and each.failed == 0 for each in results.counts),
        ),
        Check("no live token is unpublished", not any(token.phase is Phase.UNPUBLISHED for token in tokens)),
        Check("P1: every superseded token kept its grace", not _broken(results, "P1")),
        Check(
            "P2: every published token always was current, in the ledger, revoked or expired",
            not _broken(results, "P2")
            and not view.unknown_versions
            and not any(token.phase is Phase.KILLED for token in view.published),
        ),
        Check("P3: no current token was logged out", not _broken(results, "P3")),
        Check("P5: a live token is current at the end", not _broken(results, "P5") and view.current is not None),
        Check(f"there were at least {MIN_ROTATIONS} rotations", len(view.published) >= MIN_ROTATIONS),
        Check("every fault took effect", set(results.planned) <= struck),
        Check(
            "a killed run's token was never published and has expired",
            all(token is not None and token.version_id is None and token.status == "expired" for token in lost),
        ),
        Check("no token and no secret is in the job's log", results.is_log_clean),
    ]


def _broken(results: Results, promise: str) -> list[str]:
    return [violation.how for violation in results.violations if violation.promise == promise]


def exit_status(results: Results) -> int:
    """Return 0 if every claim holds."""
    return 0 if all(finding.holds for finding in checks(results)) else 1
