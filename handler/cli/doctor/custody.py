"""What is published or tracked is never logged out: the one place that looks, right before each logout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handler.ledger import Ledger
    from handler.model import Clock, StoredValue
    from handler.secrets_manager import SecretsManager


@dataclass(frozen=True, slots=True)
class Custody:
    """The token secret, and what its versions were seen to hold, which never changes."""

    secrets: SecretsManager
    clock: Clock
    _values: dict[str, StoredValue] = field(init=False, default_factory=dict, repr=False)

    def holds(self, access_token: str) -> bool:
        """Return whether a token is published, or waits in the ledger, now. Raises SecretsManagerError."""
        tracked = [self.value(entry.version_id) for entry in self.ledger().superseded]
        # Last, so that nothing lies between this look and the logout.
        values = [*tracked, self.current()]
        return any(value is not None and value.holds(access_token) for value in values)

    def ledger(self) -> Ledger:
        """Describe the token secret. Raises SecretsManagerError."""
        return self.secrets.describe(self.clock.now())

    def current(self) -> StoredValue | None:
        """Read what is published. Raises SecretsManagerError."""
        return self.secrets.read_current()

    def value(self, version_id: str) -> StoredValue | None:
        """Read a version, once. Raises SecretsManagerError."""
        if version_id not in self._values and (value := self.secrets.read_version(version_id)) is not None:
            self._values[version_id] = value
        return self._values.get(version_id)
