"""What can go wrong, as a tree.

Each message is one sentence for the operator: what is wrong, where, and what to do. It never holds a secret.
"""

from __future__ import annotations


class RotationError(Exception):
    """Base of every error that this job raises on purpose."""


class InvalidInputError(RotationError):
    """A setting, an event field or the credentials secret is unusable. Nothing has been minted."""


class TelenorError(RotationError):
    """Telenor did not do what it was asked.

    `status` is the HTTP status and `code` the error code of the API reference, where there was one.
    """

    def __init__(self, message: str, *, status: int | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class TelenorUnavailableError(TelenorError):
    """A passing fault outlasted the retries or the deadline."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: int | None = None,
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(message, status=status, code=code)
        self.retry_after_seconds = retry_after_seconds


class TelenorRefusedError(TelenorError):
    """Telenor said no; asking again would change nothing."""


class TokenNotAcceptedError(TelenorError):
    """The new token was refused where `VERIFY_URL` tried it."""


class SecretsManagerError(RotationError):
    """Secrets Manager did not do what it was asked."""


class MarkedForDeletionError(SecretsManagerError):
    """The token secret is marked for deletion, so that nobody can read it."""


class PublicationRefusedError(SecretsManagerError):
    """The new version was not written.

    `is_certain` is False where an earlier attempt of the SDK got no answer, and may have written it after all.
    """

    def __init__(self, message: str, *, is_certain: bool = True) -> None:
        super().__init__(message)
        self.is_certain = is_certain


class PublicationUnknownError(SecretsManagerError):
    """Whether the new version was written cannot be told."""


class VersionExistsError(PublicationUnknownError):
    """The version was written before, with another token: by a twin of this run."""
