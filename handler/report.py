"""Collects the results of one run: return value, summary line and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

from handler import decisions
from handler.model import Outcome

if TYPE_CHECKING:
    from datetime import datetime

    from handler.ledger import Ledger
    from handler.model import Policy, Reason


# A healthy month sends these every hour.
_ROUTINE = {"TokenRotated", "TokenRevoked", "RevocationsPending"}


@dataclass(slots=True)
class Report:
    """The results of a run so far. A failed run still logs and emits metrics."""

    client: str
    outcome: Outcome | None = None
    reason: Reason | None = None
    version_id: str | None = None
    expires_at: datetime | None = None
    renews_at: datetime | None = None
    revoked: list[str] = field(default_factory=list)
    pending_revocations: int = 0
    has_published: bool = False
    has_failed: bool = False
    is_rejected: bool = False
    used_previous_credentials: bool = False
    can_revoke: bool = True
    has_routine_metrics: bool = True
    is_piling_up: bool = False
    revocations_failed: int = 0
    revocations_abandoned: int = 0
    attempts: int = 0
    telenor_seconds: float = 0.0

    def record(self, ledger: Ledger, policy: Policy) -> None:
        """Record the current version, its renewal time and the number of pending revocations."""
        self.pending_revocations = len(ledger.superseded)
        self.is_piling_up = decisions.is_piling_up(self.pending_revocations, policy)
        if ledger.current is not None:
            self.version_id = ledger.current.version_id
            self.expires_at = ledger.current.expires_at
            times = decisions.times_of(ledger.current, policy)
            self.renews_at = times.due_at if times else None

    def result(self) -> dict[str, object]:
        """Return the return value of the invocation. Times are whole epoch seconds, as in the token document."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "client": self.client,
            "version_id": self.version_id,
            "expires_at": self.expires_at and int(self.expires_at.timestamp()),
            "renews_at": self.renews_at and int(self.renews_at.timestamp()),
            "revoked": self.revoked,
            "pending_revocations": self.pending_revocations,
        }

    def summary(self, duration: timedelta) -> dict[str, object]:
        """Return the fields of the summary line of the run."""
        return self.result() | {
            "outcome": "failed" if self.has_failed else self.outcome,
            "attempts": self.attempts,
            "revocations_failed": self.revocations_failed,
            "revocations_abandoned": self.revocations_abandoned,
            "telenor_seconds": round(self.telenor_seconds, 3),
            "duration_seconds": round(duration.total_seconds(), 3),
        }

    def metrics(self, now: datetime) -> dict[str, tuple[MetricUnit, int]]:
        """Return each counter that is not zero, and the remaining lifetime, with their units.

        CloudWatch bills a metric for each hour in which it is sent. A counter that is missing counts as zero.
        """
        is_usable = self.expires_at is not None and not self.is_rejected
        left = self.expires_at - now if self.expires_at and is_usable else timedelta(0)
        counts = {
            "TokenRotated": self.has_published,
            "TokenReissued": self.outcome is Outcome.REISSUED,
            "TokenRevoked": len(self.revoked),
            "RotationFailed": self.has_failed,
            "RevocationFailed": self.revocations_failed,
            "RevocationAbandoned": self.revocations_abandoned,
            # Without revocation, superseded tokens wait for their expiry alone.
            "RevocationsPending": self.pending_revocations if self.can_revoke else 0,
            "CredentialsFallback": self.used_previous_credentials,
        }
        routine = _ROUTINE - {"RevocationsPending"} if self.is_piling_up else _ROUTINE
        left_out = set() if self.has_routine_metrics else routine
        metrics = {
            name: (MetricUnit.Count, int(count)) for name, count in counts.items() if count and name not in left_out
        }
        return metrics | {"SecondsUntilExpiry": (MetricUnit.Seconds, max(0, int(left.total_seconds())))}
