"""What a run has read of the token secret, and whether a token is in use by it (P3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from handler.errors import ErrorCode, SecretsManagerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handler.ledger import Entry, Ledger
    from handler.model import Clock, SecretVersion
    from handler.secrets_manager import SecretsManager


class TokenSecretReads:
    """The token secret as one run has read it.

    Reads of Secrets Manager may lag, so this remembers which versions were read as current, and what each version
    holds, which never changes. Every method that reads raises SecretsManagerError.
    """

    def __init__(self, secrets: SecretsManager, clock: Clock, version_id: str | None = None) -> None:
        """`version_id` is the id that this run publishes under, if it does."""
        self._secrets = secrets
        self._clock = clock
        self._version_id = version_id
        self._versions: dict[str, SecretVersion] = {}
        self._expected_current: set[str] = set()
        self._read_as_current: set[str] = set()
        # The token that this run has written, perhaps without effect. A read that lags may not return it yet.
        self.written_token: str | None = None

    def describe(self) -> Ledger:
        """Return the ledger as Secrets Manager describes it now."""
        return self._secrets.describe(self._clock.now())

    def expect_current(self, ledger: Ledger) -> Ledger:
        """Expect the current version of a ledger in later reads; return the ledger."""
        if ledger.current is not None:
            self._expected_current.add(ledger.current.version_id)
        return ledger

    def read_current(self) -> SecretVersion | None:
        """Read the version that consumers read now."""
        version = self._secrets.read_current()
        if version is not None:
            self._read_as_current.add(version.version_id)
            # The content never changes, but the version may be superseded by the time it is looked up again.
            self._versions[version.version_id] = replace(version, is_current=False)
        return version

    def read_version(self, version_id: str) -> SecretVersion | None:
        """Return a version, which is read once; None if Secrets Manager does not find it."""
        if version_id not in self._versions and (version := self._secrets.read_version(version_id)) is not None:
            self._versions[version_id] = version
        return self._versions.get(version_id)

    @property
    def is_unchanged(self) -> bool:
        """False if a read returned a current version that this run did not expect.

        Somebody has published or rolled back since, so the decisions of this run may be outdated.
        """
        return not self._unexpected_current()

    def was_read_as_current(self, version_id: str) -> bool:
        """Return whether a read of this run returned a version as the current one."""
        version = self._versions.get(version_id)
        return version_id in self._read_as_current or (version is not None and version.is_current)

    def is_held(self, access_token: str, entries: Iterable[Entry]) -> bool:
        """Return whether one of these versions, or one that another publisher made current, holds the token.

        The authorization server may issue the same token twice.
        """
        # Count a version that another publisher made current, too: it was read once, and a later read may lag. After a
        # publication of this run that version is superseded.
        if self.written_token is None and any(
            self._versions[version_id].contains_token(access_token) for version_id in self._unexpected_current()
        ):
            return True
        for entry in entries:
            version = self.read_version(entry.version_id)
            if version is None:
                raise SecretsManagerUnavailableError(
                    "a version of the token secret cannot be found: the read may lag",
                    error_code=ErrorCode.VERSION_NOT_FOUND,
                )
            if version.contains_token(access_token):
                return True
        return False

    def is_in_use(self, access_token: str, ledger: Ledger) -> bool:
        """Return whether a token is published or tracked, and must not be revoked."""
        if access_token == self.written_token or self.is_held(access_token, ledger.entries):
            return True
        # The last read before the revocation, to leave the least time for another publication in between.
        current = self.read_current()
        return current is not None and current.contains_token(access_token)

    def _unexpected_current(self) -> set[str]:
        return self._read_as_current - self._expected_current - {self._version_id}
