"""What a run has read of the token secret."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handler.ledger import Ledger
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
        return not self.unexpected_current()

    def was_read_as_current(self, version_id: str) -> bool:
        """Return whether a read of this run returned a version as the current one."""
        version = self._versions.get(version_id)
        return version_id in self._read_as_current or (version is not None and version.is_current)

    def unexpected_current(self) -> list[SecretVersion]:
        """Return the versions that a read returned as current although this run did not expect it."""
        unexpected = self._read_as_current - self._expected_current - {self._version_id}
        return [self._versions[version_id] for version_id in unexpected]
