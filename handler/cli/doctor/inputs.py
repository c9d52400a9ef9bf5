"""Reads what doctor needs, and records the permissions that this identity lacks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handler import app
from handler.cli import aws_errors
from handler.cli.doctor.observations import Permissions
from handler.cli.errors import NotAllowedError
from handler.credentials import KnownCredentials, credentials_from
from handler.errors import ErrorCode, InvalidInputError, RotationError
from handler.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from handler.cli.job import Job, PastRuns
    from handler.credentials import Credentials
    from handler.secrets_manager import SecretsManager
    from handler.token_secret_reads import TokenSecretReads


@dataclass(slots=True)
class Inputs:
    """What doctor reads before it requests tokens. Every failure but a missing permission is raised."""

    job: Job
    secrets: SecretsManager
    token_secret: TokenSecretReads
    credentials_file: Path | None = None
    ledger: Ledger = field(init=False, default=Ledger(None))
    past_runs: PastRuns | None = field(init=False, default=None)
    credentials: Credentials | None = field(init=False, default=None, repr=False)
    read_at: datetime = field(init=False)
    cannot: list[str] = field(init=False, default_factory=list)

    def permissions(self) -> Permissions:
        """Try what doctor needs. Raises RotationError."""
        self.read_at = app.clock.now()
        with self._allowed("see the labels", "the token secret"):
            self.ledger = self.token_secret.describe()
        with self._allowed("see how the last runs ended", "the job's log"):
            self.past_runs = self.job.past_runs(self.read_at)
        can_compare = can_start = False
        with self._allowed(
            "request tokens, because it could not compare them with the published one", "the token secret"
        ):
            self.token_secret.read_current()
            can_compare = True
        with self._allowed(
            "request tokens, because it cannot read the client credentials (give them with --credentials FILE)",
            "the credentials secret",
        ):
            self.credentials = self._credentials()
        with self._allowed(
            "request tokens, because the job could not replace a published token that this revokes", "the function"
        ):
            self.job.check_may_run()
            can_start = True
        reads_both = can_compare and self.credentials is not None
        return Permissions(tuple(self.cannot), reads_both_secrets=reads_both, starts_the_job=can_start)

    def known_credentials(self) -> KnownCredentials:
        """Return the pairs for a revocation: that of the file, or those in the credentials secret."""
        if self.credentials_file is None:
            return self.secrets.read_known_credentials()
        return KnownCredentials([self.credentials] if self.credentials else [], None)

    def _credentials(self) -> Credentials:
        if self.credentials_file is None:
            return self.secrets.read_credentials()
        try:
            content = self.credentials_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInputError(
                f"the file of --credentials cannot be read ({type(error).__name__}): name an existing text file",
                error_code=ErrorCode.CREDENTIALS_UNUSABLE,
            ) from error
        return credentials_from(content, "the file of --credentials")

    @contextmanager
    def _allowed(self, what: str, about: str) -> Iterator[None]:
        try:
            yield
        except RotationError as error:
            explained = aws_errors.explained_error(error, about, self.job.region)
            if not isinstance(explained, NotAllowedError):
                raise explained from error.__cause__
            self.cannot.append(f"{what}: {explained}")
