"""What can go wrong, as a tree.

Each message is one sentence for the operator: what is wrong, where, and what to do. It never holds a secret. Each error
has a stable `error_code`, which the log, the alarms and the runbook name it by; the sentence may change.
"""

from __future__ import annotations

from typing import ClassVar


class RotationError(Exception):
    """Base of every error that this job raises on purpose."""

    default_code: ClassVar[str] = "unexpected"

    def __init__(self, message: str, *, error_code: str | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code or self.default_code


class InvalidInputError(RotationError):
    """A setting, an event field or the credentials secret is unusable. Nothing has been minted."""

    default_code = "invalid-setting"


class WriteBudgetSpentError(RotationError):
    """A rotation that is not due would take the writes that the day's renewals need. Nothing has been minted."""

    default_code = "write-budget-spent"


# Telenor


class TelenorError(RotationError):
    """Telenor did not do what it was asked. `status` is the HTTP status, where there was one."""

    default_code = "telenor-failed"

    def __init__(self, message: str, *, error_code: str | None = None, status: int | None = None) -> None:
        super().__init__(message, error_code=error_code)
        self.status = status


class TelenorUnavailableError(TelenorError):
    """A passing fault outlasted the retries or the deadline."""

    default_code = "telenor-unavailable"

    def __init__(
        self,
        message: str,
        *,
        error_code: str | None = None,
        status: int | None = None,
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(message, error_code=error_code, status=status)
        self.retry_after_seconds = retry_after_seconds


class ConnectionSetupError(TelenorError):
    """A setting, a certificate or a proxy prevents the connection; asking again would change nothing."""

    default_code = "invalid-setting"


class TelenorRefusedError(TelenorError):
    """Telenor said no; asking again would change nothing."""

    default_code = "telenor-refused"


class InvalidClientError(TelenorRefusedError):
    """Telenor does not accept this client_id with this client_secret; another pair may do."""

    default_code = "credentials-refused"


class TokenRejectedError(TelenorError):
    """The new token was refused where `VERIFY_URL` tried it."""

    default_code = "token-not-accepted"


class TokenReissuedError(TelenorError):
    """Telenor handed out the very token that was to be replaced."""

    default_code = "token-reissued"


# Secrets Manager


class SecretsManagerError(RotationError):
    """Secrets Manager did not do what it was asked."""

    default_code = "secrets-manager-failed"


class SecretsManagerRefusedError(SecretsManagerError):
    """Secrets Manager answered no; asking again would change nothing."""

    default_code = "secrets-manager-refused"


class SecretsManagerUnavailableError(SecretsManagerError):
    """Secrets Manager was throttling, failing, or gave no answer."""

    default_code = "secrets-manager-unavailable"


class MarkedForDeletionError(SecretsManagerRefusedError):
    """The token secret is marked for deletion, so that nobody can read it."""

    default_code = "secret-marked-for-deletion"


class LabelsExhaustedError(SecretsManagerRefusedError):
    """The token secret carries so many labels of somebody else's that a new version could get none."""

    default_code = "labels-exhausted"


class WriteRefusedError(SecretsManagerRefusedError):
    """The new version was not written, for certain."""

    default_code = "write-refused"


class WriteUnknownError(SecretsManagerError):
    """Nobody can tell whether the new version was written."""

    default_code = "write-unknown"


class VersionExistsError(SecretsManagerError):
    """The version holds another token: a twin of this run, with the same request id, has published."""

    default_code = "version-exists"
