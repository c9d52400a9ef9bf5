"""The ledger of active tokens, read from the staging labels of the token secret. Pure.

A LIVE label names when a version was published, when its token expires, and the version:
`LIVE_20261123T213000Z_20261123T222959Z_3fa85f64-5717-4562-b3fc-2c963f66afa6`.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from handler.model import is_plausible, is_too_far_ahead

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CURRENT_LABEL = "AWSCURRENT"
PREVIOUS_LABEL = "AWSPREVIOUS"

# AWS, "AWS Secrets Manager quotas": labels attached across all versions of a secret.
LABEL_QUOTA = 20

_SECOND = timedelta(seconds=1)
_PREFIX = "LIVE_"
_INSTANT = "%Y%m%dT%H%M%SZ"

# The first version of this job wrote eight characters of the version id; what follows the times is not looked at.
_LIVE_LABEL = re.compile(r"LIVE_([0-9]{8}T[0-9]{6}Z)_([0-9]{8}T[0-9]{6}Z)_.+")


class Entry(NamedTuple):
    """One version of the token secret in the ledger.

    The times are None if no label can be read. A version that became current again has a label for each time:
    `published_at` is the last one, and `first_published_at` is when its token was new. `is_previous` is true for the
    version under AWSPREVIOUS.
    """

    version_id: str
    published_at: datetime | None = None
    expires_at: datetime | None = None
    labels: tuple[str, ...] = ()
    first_published_at: datetime | None = None
    is_previous: bool = False

    @property
    def is_tracked(self) -> bool:
        """Whether the version has a LIVE label, readable or not."""
        return bool(self.labels)


class Ledger(NamedTuple):
    """Which version is current, and which superseded ones are still tracked, the oldest first.

    `other_labels` counts the labels that are neither LIVE nor Secrets Manager's own.
    """

    current: Entry | None
    superseded: tuple[Entry, ...] = ()
    other_labels: int = 0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every version that is current or tracked."""
        return self.superseded if self.current is None else (*self.superseded, self.current)

    @property
    def label_count(self) -> int:
        """The number of labels on the secret, without AWSCURRENT and AWSPREVIOUS."""
        return self.other_labels + sum(len(entry.labels) for entry in self.entries)

    @property
    def has_room(self) -> bool:
        """Whether one more version fits, with its LIVE label, AWSCURRENT, and AWSPREVIOUS for the current one."""
        return self.label_count + 1 + (1 if self.current is None else 2) <= LABEL_QUOTA

    @property
    def is_current_latest(self) -> bool:
        """Whether the current version is the one that was published last, by its label."""
        if self.current is None or self.current.published_at is None:
            return True
        published_at = self.current.published_at
        return all(other.published_at is None or other.published_at < published_at for other in self.superseded)

    @property
    def latest_publication(self) -> datetime | None:
        """The time of the latest publication, if a label says so."""
        return max((entry.published_at for entry in self.entries if entry.published_at), default=None)

    def find(self, version_id: str) -> Entry | None:
        """Return the entry of a version, if it is current or tracked."""
        return next((entry for entry in self.entries if entry.version_id == version_id), None)

    def next_publication(self, now: datetime) -> datetime:
        """Return the time for a label that comes after every other one, in whole seconds and not before now."""
        # Rounded down, the grace of the version before would end up to a second too early.
        instants = [now + _SECOND - timedelta(microseconds=1)]
        instants += [entry.published_at + _SECOND for entry in self.entries if entry.published_at]
        return max(instants).replace(microsecond=0)

    def without(self, entry: Entry) -> Ledger:
        """Return the ledger without a superseded version."""
        return self._replace(superseded=tuple(kept for kept in self.superseded if kept.version_id != entry.version_id))

    def updated(self, entry: Entry) -> Ledger:
        """Return the ledger with an entry replaced, or added as superseded."""
        if self.current is not None and self.current.version_id == entry.version_id:
            return self._replace(current=entry)
        others = (kept for kept in self.superseded if kept.version_id != entry.version_id)
        return self._replace(superseded=_by_age([*others, entry]))

    def superseded_by(self, entry: Entry) -> Ledger:
        """Return the ledger after a new version has become current."""
        others = [other._replace(is_previous=False) for other in self.superseded]
        if self.current is not None and self.current.is_tracked:
            others.append(self.current._replace(is_previous=True))
        kept = (other for other in others if other.version_id != entry.version_id)
        return self._replace(current=entry, superseded=_by_age(kept))


def ledger_from(stages_by_version: Mapping[str, Iterable[str]], now: datetime) -> Ledger:
    """Read the ledger from the staging labels of each version (AWS, "DescribeSecret")."""
    current: Entry | None = None
    superseded: list[Entry] = []
    other_labels = 0
    for version_id, stages in stages_by_version.items():
        labels = set(stages)
        entry = _entry_from(version_id, labels, now)
        other_labels += len(labels - {CURRENT_LABEL, PREVIOUS_LABEL, *entry.labels})
        if CURRENT_LABEL in labels:
            current = entry
        elif entry.is_tracked:
            superseded.append(entry)
    return Ledger(current, _by_age(superseded), other_labels)


def new_entry(version_id: str, published_at: datetime, expires_at: datetime) -> Entry:
    """Return the entry of a version with its future label, which is in whole seconds."""
    # Rounded down, so that the label promises no longer lifetime than the real one.
    published_at, expires_at = published_at.replace(microsecond=0), expires_at.replace(microsecond=0)
    label = f"{_PREFIX}{published_at:{_INSTANT}}_{expires_at:{_INSTANT}}_{version_id}"
    return Entry(version_id, published_at, expires_at, (label,), first_published_at=published_at)


def with_label(entry: Entry, published_at: datetime, expires_at: datetime) -> Entry:
    """Return the entry of a version with one more label."""
    again = new_entry(entry.version_id, published_at, expires_at)
    first_published_at = entry.first_published_at or again.published_at
    return again._replace(labels=(*entry.labels, *again.labels), first_published_at=first_published_at)


def is_live_label(label: str) -> bool:
    """Return whether a staging label is one of this job's."""
    return label.startswith(_PREFIX)


def _entry_from(version_id: str, stages: set[str], now: datetime) -> Entry:
    """Read the LIVE labels of a version: `published_at` is the latest publication, `first_published_at` the earliest.

    If somebody has added one with another expiry, use the safer value: the earlier expiry for the current version, and
    the later one for a superseded version.
    """
    labels = tuple(sorted(filter(is_live_label, stages)))
    is_previous = PREVIOUS_LABEL in stages
    readable = [times for times in (_times(label, now) for label in labels) if times is not None]
    if not readable:
        return Entry(version_id, labels=labels, is_previous=is_previous)
    publications = [published_at for published_at, _ in readable]
    expiries = [expires_at for _, expires_at in readable]
    expires_at = min(expiries) if CURRENT_LABEL in stages else max(expiries)
    return Entry(version_id, max(publications), expires_at, labels, min(publications), is_previous)


def _times(label: str, now: datetime) -> tuple[datetime, datetime] | None:
    match = _LIVE_LABEL.fullmatch(label)
    if match is None:
        return None
    try:
        published_at, expires_at = (datetime.fromisoformat(text) for text in match.groups())
    except ValueError:
        return None
    if not is_plausible(published_at) or not is_plausible(expires_at) or is_too_far_ahead(published_at, now):
        return None
    return published_at, expires_at


def _by_age(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    # One whose label cannot be read comes first.
    return tuple(
        sorted(entries, key=lambda entry: (entry.published_at is not None, entry.published_at, entry.version_id))
    )
