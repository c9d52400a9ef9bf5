"""The interface of a job, which is deployed or runs in this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from handler.config import Settings
    from handler.ledger import Entry
    from handler.model import Action
    from handler.secrets_manager import SecretsManager


@dataclass(frozen=True, slots=True)
class PastRun:
    """How one run ended, by its log."""

    at: datetime
    outcome: str
    message: str
    error_code: str | None

    @property
    def has_failed(self) -> bool:
        """Whether the run failed."""
        return self.outcome == "failed"


# These decide when a superseded token is revoked. A default of the command line could differ from the job's.
REQUIRED_VARIABLES = ("GRACE_SECONDS", "SCHEDULE_MINUTES")


@dataclass(frozen=True, slots=True)
class PastRuns:
    """The runs that ended since a time, the oldest first.

    `failed_revocations` has the error code of the last failed attempt by version id. `credentials_fallback` is whether
    the current version was published with the previous credentials; None if that is unknown.
    """

    since: datetime
    ended: tuple[PastRun, ...]
    failed_revocations: Mapping[str, str] = field(default_factory=dict)
    credentials_fallback: bool | None = None


class Job(Protocol):
    """The commands' view of a job. Every method raises RotationError with a sentence for an operator."""

    @property
    def name(self) -> str:
        """The name that the operator gave."""

    @property
    def region(self) -> str | None:
        """The region of the job; None for the environment's."""

    @property
    def is_deployed(self) -> bool:
        """Whether its settings are those of a deployed function."""

    @property
    def place(self) -> str:
        """The client and where it runs, for a question to the operator."""

    @property
    def settings(self) -> Settings:
        """The settings of the job."""

    def secrets(self) -> SecretsManager:
        """Return its secrets, read with the operator's permissions."""

    def past_runs(self, now: datetime) -> PastRuns | None:
        """Return how its last runs ended, or None if it keeps no log. Raises AccessError."""

    def fell_back(self, version: Entry) -> bool | None:
        """Return whether a version was published with the previous credentials; None if that is unknown.

        Raises AccessError.
        """

    def disable_schedule(self) -> str:
        """Stop its schedule, and return the schedule's name. Raises AccessError or UsageError."""

    def check_may_run(self) -> None:
        """Check whether the operator may start it, without starting it. Raises AccessError."""

    def run(self, action: Action) -> Mapping[str, object]:
        """Run it once, and return its result. Raises RunFailedError, RunUnknownError or AccessError."""
