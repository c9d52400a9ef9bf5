"""The job that a command looks at or starts: one that is deployed, or this process. Values and one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from handler.errors import RotationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from handler.config import Settings
    from handler.model import Action
    from handler.secrets_manager import SecretsManager


class RunFailedError(RotationError):
    """A run of the job ended with an error; `is_bad_input` where settings or the credentials secret are unusable."""

    def __init__(self, message: str, *, is_bad_input: bool = False) -> None:
        super().__init__(message)
        self.is_bad_input = is_bad_input


class RunUnknownError(RotationError):
    """A run was asked for, and nothing tells whether it took place."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """How one run ended, as the log tells it."""

    at: datetime
    outcome: str
    message: str
    error_code: str | None

    @property
    def has_failed(self) -> bool:
        """Whether it did."""
        return self.outcome == "failed"


@dataclass(frozen=True, slots=True)
class PastRuns:
    """The runs that ended since a time, the oldest first."""

    since: datetime
    ended: tuple[PastRun, ...]


class Job(Protocol):
    """What the commands need of a job. Every method raises RotationError with a sentence for an operator."""

    @property
    def name(self) -> str:
        """How the operator has named it."""

    @property
    def region(self) -> str | None:
        """Where it is, or None for that of the environment."""

    @property
    def settings(self) -> Settings:
        """What it runs with."""

    def secrets(self) -> SecretsManager:
        """Return its secrets, seen with the operator's own rights."""

    def past_runs(self, now: datetime) -> PastRuns | None:
        """Return how its last runs ended, or None where it keeps no log. Raises AccessError."""

    def may_run(self) -> None:
        """Find out whether the operator may start it, without doing so. Raises AccessError."""

    def run(self, action: Action) -> Mapping[str, object]:
        """Run it once, and return its answer. Raises RunFailedError, RunUnknownError or AccessError."""
