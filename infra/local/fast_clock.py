"""A clock that runs faster than the machine's, so that a minute can show hours."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True)
class FastClock:
    """A clock that starts at the machine's time and runs `speed` times as fast.

    Sockets still use the machine's own clock.
    """

    speed: float = 1
    began_at: float = field(default_factory=time.time)

    def time(self) -> float:
        """Return the time as epoch seconds."""
        return self.began_at + (time.time() - self.began_at) * self.speed

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def sleep(self, seconds: float) -> None:
        """Wait by this clock."""
        time.sleep(seconds / self.speed)
