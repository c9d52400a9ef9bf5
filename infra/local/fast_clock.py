"""A clock that runs faster than the machine's, so that a minute can show hours."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_BEGAN_AT = "FAST_CLOCK_BEGAN_AT"
_SPEED = "FAST_CLOCK_SPEED"


@dataclass(frozen=True)
class FastClock:
    """A clock that began at the machine's time and runs `speed` times as fast; what the handler takes for its clock.

    What waits for a socket waits by the machine's own clock.
    """

    began_at: float
    speed: float

    @classmethod
    def begin(cls, speed: float) -> FastClock:
        """Start the clock now."""
        return cls(time.time(), speed)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> FastClock:
        """Return the clock of the process that started this one."""
        return cls(float(environ[_BEGAN_AT]), float(environ[_SPEED]))

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to go by the same clock."""
        return {_BEGAN_AT: repr(self.began_at), _SPEED: repr(self.speed)}

    def time(self) -> float:
        """Return the time as epoch seconds."""
        return self.time_of(time.time())

    def time_of(self, machine: float) -> float:
        """Return this clock's time at a time of the machine's."""
        return self.began_at + (machine - self.began_at) * self.speed

    def now(self) -> datetime:
        """Return the time in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def sleep(self, seconds: float) -> None:
        """Wait for so long by this clock."""
        time.sleep(seconds / self.speed)
