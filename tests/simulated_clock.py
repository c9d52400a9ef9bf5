"""The clock of the tests and of the simulation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

BEGIN = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)


@dataclass
class Clock:
    """A clock that moves only by `sleep` and `advance`."""

    time: datetime = BEGIN

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def advance(self, **time: float) -> None:
        self.time += timedelta(**time)
