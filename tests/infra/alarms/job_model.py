"""The job as its alarms see it: when it runs, when a token is due, and what a run sends.

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
    """What a stack was deployed with, and how long Telenor's tokens live."""

    period: int
    grace: int
    fraction: float
    life: float = 3600

    def is_due(self, age: float) -> bool:
        """Tell whether a run renews a token of this age."""
        return age >= self._not_before and age + self.period + self._latitude > self.renewed_at()

    def renewed_at(self) -> float:
        """Return the age before which a token is renewed, if all is well."""
        safe_until = self.life - self.grace - (3 * self.period + 4 * 60)
        return max(self._not_before + self.period + self._latitude, min(safe_until, self.fraction * self.life))

    @property
    def _latitude(self) -> float:
        return min(60, self.period / 2)

    @property
    def _not_before(self) -> float:
        floor = 15 * 60 - (self._latitude if 15 * 60 % self.period == 0 else 0)
        return min(floor, self.life * 2 / 3)


class Fate(StrEnum):
    """The fate of a run."""

    WELL = "does what is due"
    FAILS = "fails, and says so"
    TIMES_OUT = "fails after two minutes, and says so"
    LOST = "never happens, or ends without a word"


@dataclass(frozen=True, slots=True)
class Run:
    """One tick of the schedule."""

    at: float
    fate: Fate = Fate.WELL


@dataclass(frozen=True, slots=True)
class Told:
    """What a run has sent, and when."""

    at: float
    seconds_until_expiry: float
    has_published: bool
    pending: int


@dataclass
class Job:
    """The token secret, and the runs that keep it."""

    settings: Settings
    revokes: bool = True
    """Or else every label stays."""
    published: list[float] = field(default_factory=list)
    """When the tokens were published that are current or wait for their revocation, oldest first."""

    def live(self, runs: Iterable[Run]) -> Iterator[Told]:
        """Run, and yield what the run sends."""
        for run in runs:
            if run.fate is Fate.LOST:
                continue
            at = run.at + (118 if run.fate is Fate.TIMES_OUT else 0)
            due = not self.published or self.settings.is_due(run.at - self.published[-1])
            has_published = due and run.fate is Fate.WELL
            # What is revoked was decided before the publication.
            kept = self._kept(run.at)
            self.published = [*kept, run.at] if has_published else kept
            left = self.published[-1] + self.settings.life - at if self.published else 0
            yield Told(at, max(0, int(left)), has_published, max(0, len(self.published) - 1))

    def _kept(self, now: float) -> list[float]:
        if not self.revokes:
            return self.published
        later = self.published[1:]
        waiting = [at for at, over in zip(self.published, later, strict=False) if now < over + self.settings.grace]
        return waiting + self.published[-1:]
