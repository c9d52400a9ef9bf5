"""The observations of doctor: frozen values. For a token, True is active, False inactive, None unknown."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handler.cli.doctor.response_shape import ResponseShape
    from handler.error_responses import ErrorFormat

# A gateway's cache may accept a revoked token for some three minutes (Apigee, "Approving and revoking access tokens").
WATCH = timedelta(seconds=200)


class VerifyUrl(StrEnum):
    """Whether VERIFY_URL tells active tokens from inactive ones."""

    NOT_SET = "not-set"
    CONCLUSIVE = "tells-live-from-dead"
    ACCEPTS_ANYTHING = "accepts-a-made-up-token"
    REFUSES_FRESH = "refuses-a-new-token"
    SILENT = "no-clear-answer"


@dataclass(frozen=True, slots=True)
class Permissions:
    """The permissions of this identity, and the reason for each that is missing."""

    cannot: tuple[str, ...] = ()
    reads_both_secrets: bool = True
    starts_the_job: bool = True

    @property
    def may_obtain(self) -> bool:
        """Whether doctor may request tokens: only if it can compare them with the published one and start the job."""
        return self.reads_both_secrets and self.starts_the_job


@dataclass(frozen=True, slots=True)
class ServerFormat:
    """The format of the server's responses."""

    error_format: ErrorFormat | None = None
    error_shape: ResponseShape | None = None
    clock_ahead: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """The published token, and the newest superseded one within its grace period."""

    lifetime: timedelta | None = None
    accepted: bool | None = None
    superseded_id: str | None = None
    superseded_accepted: bool | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """The observations without a token of doctor's own. `published` is None if no published token is active."""

    permissions: Permissions = Permissions()
    verify_url: VerifyUrl = VerifyUrl.NOT_SET
    published: Published | None = None
    logout_failure: str | None = None
    can_revoke: bool = True


@dataclass(frozen=True, slots=True)
class Watch:
    """How VERIFY_URL treated a token after its logout."""

    lag: timedelta | None = None
    """From the logout to the first rejection; None if the token was accepted to the end of the watch."""
    accepted_again: bool = False
    """Whether it was accepted again after a rejection."""


@dataclass(frozen=True, slots=True)
class TokenResult:
    """The observations about one token that doctor obtained."""

    accepted: bool | None = None
    """Whether VERIFY_URL accepted it before its logout. No gateway caches a token that was never tried."""
    accepted_after_other: bool | None = None
    """Whether VERIFY_URL accepted it after the logout of the other token."""
    logout: bool | None = None
    """Whether logout reported that it revoked an active token."""
    logout_again: bool | None = None
    watch: Watch | None = None

    @property
    def is_ended_by_logout(self) -> bool | None:
        """Return whether it was inactive after its logout."""
        if self.logout and self.watch is not None:
            return self.watch.lag is not None
        return True if self.logout and self.logout_again is False else None


@dataclass(frozen=True, slots=True)
class TokenTest:
    """The observations of two token requests. `old` was issued and revoked before `new`.

    If the second request returned the same token, only `new` is set.
    """

    verify_url: VerifyUrl = VerifyUrl.NOT_SET
    obtained: int = 0
    failure: str | None = None
    is_refused: bool = False
    logout_failure: str | None = None
    token_shape: ResponseShape | None = None
    lifetime: timedelta | None = None
    has_expires_in: bool = True
    is_new: bool | None = None
    """Whether a second request returned another token than the first."""
    prolongs: bool | None = None
    """Whether the same token was reissued with a later expiry."""
    is_published_reissued: bool = False
    """Whether the server returned the published token."""
    old: TokenResult = TokenResult()
    new: TokenResult = TokenResult()
    published_accepted: bool | None = None
    """Whether VERIFY_URL accepts the published token at the end."""


@dataclass(frozen=True, slots=True)
class Cleanup:
    """The tokens at the end: `spared` ones are published or tracked, `failed` ones were not revoked."""

    spared: int = 0
    failed: int = 0
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Observations:
    """All observations of one doctor run."""

    survey: Survey = Survey()
    server_format: ServerFormat = ServerFormat()
    token_test: TokenTest = field(default_factory=TokenTest)
    cleanup: Cleanup = Cleanup()

    @property
    def verify_url(self) -> VerifyUrl:
        """Whether VERIFY_URL is conclusive, by all observations."""
        return self.token_test.verify_url if self.token_test.obtained else self.survey.verify_url

    @property
    def logout_failure(self) -> str | None:
        """Why the last failed logout failed."""
        return self.cleanup.failure or self.token_test.logout_failure or self.survey.logout_failure
