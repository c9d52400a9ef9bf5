"""Frozen values that the other modules speak in. Their repr shows no secret."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol, TypeGuard

# RFC 6749, appendix A.12, less the space, which fits in no Bearer header (RFC 6750, section 2.1).
_ACCESS_TOKEN = re.compile(r"[\x21-\x7e]+")

# Beyond these, adding a grace to a time could leave what a datetime can hold.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time and waits; tests bring one whose hours pass in an instant."""

    def now(self) -> datetime:
        """Return the time in UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Action(StrEnum):
    """What a run is asked to do."""

    RENEW_IF_DUE = "renew-if-due"
    ROTATE_NOW = "rotate-now"
    ROTATE_AND_REVOKE_NOW = "rotate-and-revoke-now"


class Outcome(StrEnum):
    """How a run ended that did not fail."""

    NOT_DUE = "not-due"
    ROTATED = "rotated"
    REISSUED = "reissued"


class Reason(StrEnum):
    """Why a token is renewed, or why not."""

    NO_CURRENT_VERSION = "no-current-version"
    NOT_IN_LEDGER = "current-version-not-in-ledger"
    SHARE_OF_LIFE_USED = "share-of-life-used"
    TOO_LITTLE_LIFE_LEFT = "too-little-life-left"
    FORCED = "forced"
    LEAKED = "leaked"
    FRESH = "fresh"
    ALREADY_ROTATED = "already-rotated-by-this-request"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The app's own `client_id` and `client_secret` (RFC 6749, section 2.3.1)."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """When a token is renewed and when a superseded one may be revoked."""

    grace: timedelta
    renew_at_fraction: float
    schedule: timedelta


@dataclass(frozen=True, slots=True)
class Token:
    """An access token with the time from just before it was asked for to its expiry, in whole seconds."""

    access_token: str = field(repr=False)
    token_type: str
    issued_at: datetime
    expires_at: datetime
    scope: str | None = None

    @property
    def life(self) -> timedelta:
        """How long the token is valid from its issue."""
        return self.expires_at - self.issued_at

    def document(self) -> str:
        """Return the OAuth 2 token document (RFC 6749, section 5.1) that consumers read."""
        document: dict[str, str | int] = {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "expires_in": int(self.life.total_seconds()),
            "expires_at": int(self.expires_at.timestamp()),
            "issued_at": int(self.issued_at.timestamp()),
        }
        if self.scope is not None:
            document["scope"] = self.scope
        return json.dumps(document)


@dataclass(frozen=True, slots=True)
class StoredValue:
    """What one version of the token secret holds: ours, or whatever a hand has put there."""

    version_id: str
    is_current: bool
    content: str = field(repr=False)

    @property
    def access_token(self) -> str | None:
        """The access token, if the content is a token document."""
        access_token = (json_object(self.content) or {}).get("access_token")
        return access_token if is_access_token(access_token) else None

    @property
    def issued_at(self) -> datetime | None:
        """When the token was asked for, if the content says so."""
        return _instant((json_object(self.content) or {}).get("issued_at"))

    @property
    def expires_at(self) -> datetime | None:
        """When the token dies, if the content says so."""
        return _instant((json_object(self.content) or {}).get("expires_at"))

    def holds(self, access_token: str) -> bool:
        """Tell whether a consumer would take this token from the content, whatever shape a hand has given it."""
        return access_token in self.content if self.access_token is None else access_token == self.access_token


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of the token secret in the ledger of live tokens.

    The times are None where there is no label that can be read. `labels` is for `secrets_manager.py` alone.
    """

    version_id: str
    published_at: datetime | None = None
    expires_at: datetime | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ledger:
    """Which version is current and which superseded ones are still tracked, the oldest first."""

    current: Entry | None
    superseded: tuple[Entry, ...] = ()

    @property
    def size(self) -> int:
        """How many labels the ledger takes up on the secret."""
        entries = self.superseded if self.current is None else (self.current, *self.superseded)
        return sum(len(entry.labels) for entry in entries)

    def find(self, version_id: str) -> Entry | None:
        """Return the entry of a version, if it is current or tracked."""
        if self.current is not None and self.current.version_id == version_id:
            return self.current
        return next((entry for entry in self.superseded if entry.version_id == version_id), None)

    def without(self, entry: Entry) -> Ledger:
        """Return the ledger after an entry has been settled."""
        return replace(self, superseded=tuple(kept for kept in self.superseded if kept != entry))

    def updated(self, entry: Entry) -> Ledger:
        """Return the ledger after the labels of a version have changed."""
        current = entry if self.current and self.current.version_id == entry.version_id else self.current
        others = tuple(entry if other.version_id == entry.version_id else other for other in self.superseded)
        return Ledger(current, others)

    def superseded_by(self, entry: Entry) -> Ledger:
        """Return the ledger after a new version has become current."""
        kept = tuple(other for other in self.superseded if other.version_id != entry.version_id)
        previous = self.current
        if previous is None or not previous.labels or previous.version_id == entry.version_id:
            return Ledger(entry, kept)
        return Ledger(entry, (*kept, previous))


def is_access_token(value: object) -> TypeGuard[str]:
    """Tell whether a value can be sent as a Bearer token (RFC 6750, section 2.1)."""
    return isinstance(value, str) and _ACCESS_TOKEN.fullmatch(value) is not None


def json_object(text: str) -> dict[str, object] | None:
    """Return the JSON object in a text from outside, or None where there is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_plausible(instant: datetime) -> bool:
    """Tell whether a time from outside can be calculated with."""
    return _EARLIEST <= instant <= _LATEST


def _instant(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not _EARLIEST.timestamp() <= value <= _LATEST.timestamp():
        return None
    return datetime.fromtimestamp(value, UTC)
