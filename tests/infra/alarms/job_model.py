"""A model of the job for the alarms: when it runs, when a token is due, and which metrics a run sends.

Written from docs/guarantees.md and docs/how-it-works.md, not from the handler. Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LATEST_START = 60  # how late EventBridge Scheduler may start a run


@dataclass(frozen=True, slots=True)
class Settings:
    """A stack's parameters, and the lifetime of Telenor's tokens."""

    period: int
    grace: int
    fraction: float
    lifetime: float = 3600

    def is_due(self, age: float) -> bool:
        """Return whether a run renews a token of this age."""
        return age >= self._not_before and age + self.period + self._schedule_jitter > self.renewed_at()

    def renewed_at(self) -> float:
        """Return the age by which a token is renewed if no run fails."""
        safe_until = self.lifetime - self.grace - (3 * self.period + 4 * 60)
        earliest = self._not_before + self.period + self._schedule_jitter
        return max(earliest, min(safe_until, self.fraction * self.lifetime))

    @property
    def _schedule_jitter(self) -> float:
        return min(60, self.period / 2)

    @property
    def _not_before(self) -> float:
        floor = 15 * 60 - (self._schedule_jitter if 15 * 60 % self.period == 0 else 0)
        return min(floor, self.lifetime * 2 / 3)


class RunOutcome(StrEnum):
    """The outcome of a run."""

    SUCCEEDS = "does what is due"
    FAILS = "fails and sends its metrics"
    TIMES_OUT = "fails after two minutes and sends its metrics"
    LOST = "never starts, or sends no metrics"


@dataclass(frozen=True, slots=True)
class Run:
    """One scheduled run."""

    at: float
    outcome: RunOutcome = RunOutcome.SUCCEEDS


@dataclass(frozen=True, slots=True)
class SentMetrics:
    """The metrics that a run has sent, and when."""

    at: float
    seconds_until_expiry: float
    has_published: bool
    pending: int


@dataclass
class Job:
    """The token secret, and the runs that renew its token."""

    settings: Settings
    revokes: bool = True
    """If False, every label stays."""
    published: list[float] = field(default_factory=list)
    """The publication times of the current token and of those to be revoked, oldest first."""

    def simulate(self, runs: Iterable[Run]) -> Iterator[SentMetrics]:
        """Simulate runs, and yield the metrics that they send."""
        for run in runs:
            if run.outcome is RunOutcome.LOST:
                continue
            at = run.at + (118 if run.outcome is RunOutcome.TIMES_OUT else 0)
            due = not self.published or self.settings.is_due(run.at - self.published[-1])
            has_published = due and run.outcome is RunOutcome.SUCCEEDS
            # A run decides what to revoke before it publishes.
            kept = self._kept(run.at)
            self.published = [*kept, run.at] if has_published else kept
            left = self.published[-1] + self.settings.lifetime - at if self.published else 0
            yield SentMetrics(at, max(0, int(left)), has_published, max(0, len(self.published) - 1))

    def _kept(self, now: float) -> list[float]:
        if not self.revokes:
            return self.published
        later = self.published[1:]
        waiting = [at for at, over in zip(self.published, later, strict=False) if now < over + self.settings.grace]
        return waiting + self.published[-1:]
