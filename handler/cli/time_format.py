"""Formats times and lengths of time for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

_MINUTE_SECONDS = 60
_HOUR_SECONDS = 3600
_DAY_SECONDS = 86_400


def duration(length: timedelta) -> str:
    """Return a length of time in its two largest units."""
    seconds = max(0, int(length.total_seconds()))
    units = [(_DAY_SECONDS, "d"), (_HOUR_SECONDS, "h"), (_MINUTE_SECONDS, "min"), (1, "s")]
    largest = next((n for n, (size, _) in enumerate(units) if seconds >= size), len(units) - 1)
    words: list[str] = []
    for size, unit in units[largest : largest + 2]:
        words += [f"{seconds // size} {unit}"] if seconds >= size or not words else []
        seconds %= size
    return " ".join(words)


def instant(at: datetime, now: datetime) -> str:
    """Return a time in UTC, with its date unless that is today."""
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"


def utc(epoch: object) -> str:
    """Return epoch seconds from a result of a run as a time in UTC."""
    return (
        f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M:%S} UTC" if isinstance(epoch, int) else "an unknown time"
    )
