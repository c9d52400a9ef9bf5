"""The faults of a simulated month: outages of endpoints, failing calls, crashes and duplicate events."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.simulated_clock import BEGIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TELENOR_CALLS = {"token", "logout", "verify"}
CRASH = "crash"


@dataclass(frozen=True)
class Outages:
    """The number and the lengths of an endpoint's outages in a month."""

    count: int
    shortest: timedelta
    longest: timedelta


@dataclass(frozen=True)
class FaultRates:
    """The faults of a month: outages by operation, and the chances of each fault of a call and of a duplicate event."""

    outages: Mapping[str, Outages] = field(default_factory=dict)
    faults: Mapping[str, float] = field(default_factory=dict)
    twice: float = 0.0


# Chances for each call. A run of this job that rotates and revokes makes nine calls.
_FAULTS = {"lost-before": 0.001, "lost-after": 0.002, "failed": 0.002, CRASH: 0.001}
_LOGOUT_OUTAGES = Outages(8, timedelta(minutes=10), timedelta(hours=3))


def fault_rates(token_outages: Outages) -> FaultRates:
    """Return fault rates with these outages of the token endpoint."""
    return FaultRates({"token": token_outages, "logout": _LOGOUT_OUTAGES}, _FAULTS, twice=0.001)


class RandomFaults:
    """The faults of one month, the same for every strategy."""

    def __init__(self, rates: FaultRates, seed: int, days: int) -> None:
        self._rates = rates
        self._seed = seed
        chance = random.Random(seed)  # noqa: S311  to be repeated, not to be secret
        self._outages: dict[str, list[tuple[datetime, datetime, str]]] = {}
        for operation, outages in rates.outages.items():
            share = timedelta(days=days) / outages.count
            self._outages[operation] = []
            for number in range(outages.count):
                # One outage in each part of the month, so that they do not overlap; none in the first hour.
                outage = outages.shortest + chance.random() * (outages.longest - outages.shortest)
                room = share - outage - timedelta(hours=2)
                begin = BEGIN + number * share + timedelta(hours=1) + chance.random() * room
                self._outages[operation].append((begin, begin + outage, chance.choice(["503", "lost-before"])))

    def fault(self, operation: str, now: datetime, key: str) -> str | None:
        """Return the fault of a call. `key` identifies it, so that the same call has the same fault everywhere."""
        for begin, end, how in self._outages.get(operation, []):
            if begin <= now < end:
                return how
        draw = self._draw(f"{key} {operation}")
        fault = next((fault for fault, limit in self._limits if draw < limit), None)
        if fault == "failed":
            return "503" if operation in TELENOR_CALLS else "failed-before"
        return fault

    def is_delivered_twice(self, key: str) -> bool:
        """Return whether an event is delivered twice."""
        return self._draw(f"{key} twice") < self._rates.twice

    @property
    def _limits(self) -> Iterable[tuple[str, float]]:
        return zip(self._rates.faults, itertools.accumulate(self._rates.faults.values()), strict=True)

    def _draw(self, key: str) -> float:
        return random.Random(f"{self._seed} {key}").random()  # noqa: S311  likewise
