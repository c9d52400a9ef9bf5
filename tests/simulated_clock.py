"""The clock of a simulation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

BEGIN = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)


@dataclass
class Clock:
    """The simulated clock."""

    time: datetime = BEGIN

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def advance(self, **time: float) -> None:
        self.time += timedelta(**time)
