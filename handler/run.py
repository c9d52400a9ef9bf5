"""What the steps of one run share: its parts, how things stand, and what it has read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from handler import decisions
from handler.ledger import Ledger

if TYPE_CHECKING:
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from handler.config import Settings
    from handler.model import Clock, StoredValue
    from handler.report import Report
    from handler.secrets_manager import SecretsManager
    from handler.telenor import Telenor


@dataclass(slots=True, kw_only=True)
class Run:
    """One run over one token secret.

    What it publishes gets `version_id`. Telenor is asked for a token until `publish_by`, which leaves the time to store
    it, and for logouts until `end_by`.
    """

    settings: Settings
    secrets: SecretsManager
    telenor: Telenor
    clock: Clock
    log: Logger
    report: Report
    version_id: str
    publish_by: datetime
    end_by: datetime

    # As Secrets Manager has told, with what this run has changed since.
    ledger: Ledger = field(init=False, default=Ledger(None))
    # The token that this run has published: a read that lags may not know it yet.
    published_token: str | None = field(init=False, default=None, repr=False)
    _values: dict[str, StoredValue] = field(init=False, default_factory=dict)
    _described_current: set[str] = field(init=False, default_factory=set)
    _read_as_current: set[str] = field(init=False, default_factory=set)

    def describe(self) -> Ledger:
        """Return the ledger as Secrets Manager describes it now."""
        return self.secrets.describe(self.clock.now())

    def note(self, ledger: Ledger) -> None:
        """Keep how things stand, for the next step and for the report."""
        self.ledger = ledger
        self.report.pending_revocations = len(ledger.superseded)
        if ledger.current is not None:
            self._described_current.add(ledger.current.version_id)
            self.report.version_id = ledger.current.version_id
            self.report.expires_at = ledger.current.expires_at
            times = decisions.times_of(ledger.current, self.settings.policy)
            self.report.renews_at = times.at if times else None

    def read_current(self) -> StoredValue | None:
        """Read what consumers read now."""
        value = self.secrets.read_current()
        if value is not None:
            self._read_as_current.add(value.version_id)
            # What a version holds never changes, but this one may be superseded by the next look at it.
            self._values[value.version_id] = replace(value, is_current=False)
        return value

    def read_version(self, version_id: str) -> StoredValue | None:
        """Read a version once: what it holds never changes."""
        if version_id not in self._values and (value := self.secrets.read_version(version_id)) is not None:
            self._values[version_id] = value
        return self._values.get(version_id)

    @property
    def is_alone(self) -> bool:
        """Whether all that this run has read as current is what it knows to have been current.

        Otherwise somebody has published or rolled back since, and what this run has decided may not hold any more.
        """
        return not self._overtaken_by()

    def has_read_as_current(self, version_id: str) -> bool:
        """Return whether a read of this run has shown a version as the current one."""
        value = self._values.get(version_id)
        return version_id in self._read_as_current or (value is not None and value.is_current)

    def may_be_current(self, access_token: str) -> bool:
        """Return whether somebody has published a token since, as one read has shown that the next one may lag behind.

        What this run has published itself has superseded that.
        """
        return self.published_token is None and any(
            self._values[version_id].holds(access_token) for version_id in self._overtaken_by()
        )

    def _overtaken_by(self) -> set[str]:
        return self._read_as_current - self._described_current - {self.version_id}

    def warn(self, error_code: str, message: str, **fields: object) -> None:
        """Log what went wrong and passes, or is tried again."""
        self.log.warning(message, extra={"error_code": error_code, **fields})

    def complain(self, error_code: str, message: str, **fields: object) -> None:
        """Log what an operator has to look into."""
        self.log.error(message, extra={"error_code": error_code, **fields})

    def abandon(self, what: str, **fields: object) -> None:
        """Count and log a token that may be alive, and that no run will revoke."""
        self.report.revocations_abandoned += 1
        self.complain("revocation-abandoned", f"{what}: it lives until it expires", **fields)
