"""Values that the other modules share, whose repr shows no secret."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeGuard
from urllib.parse import unquote_plus

from handler.safe_json import json_object, json_values

# RFC 6749, appendix A.12, without the space, which a Bearer header cannot carry (RFC 6750, section 2.1).
_ACCESS_TOKEN = re.compile(r"[\x21-\x7e]+")

# Beyond these, adding a grace to a time could overflow a datetime.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)

# The maximum clock skew between two machines.
MAX_CLOCK_SKEW = timedelta(minutes=1)


class Clock(Protocol):
    """The source of time. Tests use a fake clock."""

    def now(self) -> datetime:
        """Return the time in UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""


class Action(StrEnum):
    """The action of a run."""

    RENEW_IF_DUE = "renew-if-due"
    ROTATE_NOW = "rotate-now"
    ROTATE_AND_REVOKE_NOW = "rotate-and-revoke-now"
    CREDENTIALS_CHANGED = "credentials-changed"


class Outcome(StrEnum):
    """How a successful run ended."""

    NOT_DUE = "not-due"
    ROTATED = "rotated"
    REISSUED = "reissued"


class Reason(StrEnum):
    """Why a token is renewed, or why not."""

    NO_CURRENT_VERSION = "no-current-version"
    NOT_IN_LEDGER = "current-version-not-in-ledger"
    EXPIRED = "expired"
    NOT_ACCEPTED = "not-accepted"
    SHARE_OF_LIFE_USED = "share-of-life-used"
    TOO_LITTLE_LIFE_LEFT = "too-little-life-left"
    FORCED = "forced"
    LEAKED = "leaked"
    FRESH = "fresh"
    ALREADY_ROTATED = "already-rotated-by-this-request"
    CREDENTIALS_UNCHANGED = "credentials-unchanged"
    WRITE_BUDGET_SPENT = "write-budget-spent"


class Policy(NamedTuple):
    """When a token is renewed, and when a superseded one may be revoked, if the server can revoke at all."""

    grace: timedelta
    renew_at_fraction: float
    schedule: timedelta
    can_revoke: bool = True


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. `issued_at` is just before the request; both times are whole seconds."""

    access_token: str = field(repr=False)
    token_type: str
    issued_at: datetime
    expires_at: datetime
    scope: str | None = None
    client_id: str | None = None
    """The client that must revoke the token, if the server authenticates revocations."""

    @property
    def lifetime(self) -> timedelta:
        """How long the token is valid from its issue."""
        return self.expires_at - self.issued_at

    def document(self) -> str:
        """Return the OAuth 2 token document (RFC 6749, section 5.1) that consumers read."""
        document: dict[str, str | int] = {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "expires_in": int(self.lifetime.total_seconds()),
            "expires_at": int(self.expires_at.timestamp()),
            "issued_at": int(self.issued_at.timestamp()),
        }
        optional = {"scope": self.scope, "client_id": self.client_id}
        return json.dumps(document | {name: value for name, value in optional.items() if value is not None})


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One version of the token secret. It holds a token document, or a value that somebody put there."""

    version_id: str
    is_current: bool
    is_tracked: bool
    content: str = field(repr=False)

    @property
    def access_token(self) -> str | None:
        """The access token, if the content is a token document."""
        access_token = (json_object(self.content) or {}).get("access_token")
        return access_token if is_access_token(access_token) else None

    @property
    def issued_at(self) -> datetime | None:
        """The time of the token request, if the content has it."""
        return _instant((json_object(self.content) or {}).get("issued_at"))

    @property
    def expires_at(self) -> datetime | None:
        """The expiry of the token, if the content has it."""
        return _instant((json_object(self.content) or {}).get("expires_at"))

    @property
    def client_id(self) -> str | None:
        """The client of the token, if the content has it."""
        client_id = (json_object(self.content) or {}).get("client_id")
        return client_id if isinstance(client_id, str) else None

    def contains_token(self, access_token: str) -> bool:
        """Return whether a consumer would take this token from the content, whatever its shape."""
        if self.access_token is not None:
            return access_token == self.access_token
        # Escapes may hide it from a search of the text: "\\/" in JSON, "%2F" in a form.
        texts = (self.content, unquote_plus(self.content), *json_values(self.content))
        return any(isinstance(text, str) and access_token in text for text in texts)


def is_access_token(value: object) -> TypeGuard[str]:
    """Return whether a value can be sent as a Bearer token (RFC 6750, section 2.1)."""
    return isinstance(value, str) and _ACCESS_TOKEN.fullmatch(value) is not None


def is_too_far_ahead(instant: datetime, now: datetime) -> bool:
    """Return whether a time that should be in the past lies more than a minute ahead."""
    return instant > now + MAX_CLOCK_SKEW


def is_plausible(instant: datetime) -> bool:
    """Return whether a time from outside can be calculated with."""
    return _EARLIEST <= instant <= _LATEST


def _instant(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not _EARLIEST.timestamp() <= value <= _LATEST.timestamp():
        return None
    return datetime.fromtimestamp(value, UTC)
