"""The tree of errors, and their codes.

    RotationError
    ├── InvalidInputError            a setting, an event field or the credentials secret is unusable
    ├── WriteBudgetSpentError        the renewals of the day need the writes that are left
    ├── ServerError
    │   ├── ServerUnavailableError   a transient fault outlasted the retries or the deadline
    │   ├── ConnectionSetupError     a setting, a certificate or a proxy prevents the connection
    │   ├── ServerRefusedError       a permanent refusal
    │   │   └── InvalidClientError   of this client_id with this client_secret
    │   ├── TokenRejectedError       VERIFY_URL rejects the new token
    │   └── TokenReissuedError       the token to be replaced was issued again
    └── SecretsManagerError
        ├── SecretsManagerRefusedError
        │   ├── MarkedForDeletionError
        │   ├── LabelsExhaustedError
        │   └── WriteRefusedError    the version was certainly not written
        ├── SecretsManagerUnavailableError
        ├── WriteUnknownError        the version may have been written
        └── VersionExistsError       another run for the same request has written the version

Each message is one sentence for the operator: what is wrong, where, and what to do. It never contains a secret.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    """The stable name of an error or a warning in the log. docs/error-codes.md has a row for each."""

    ADDRESS_NOT_ALLOWED = "address-not-allowed"
    ANSWER_CUT_SHORT = "answer-cut-short"
    ANSWER_UNKNOWN = "answer-unknown"
    ANSWER_UNREADABLE = "answer-unreadable"
    API_PRODUCT_MISSING = "api-product-missing"
    APP_ATTRIBUTES_INVALID = "app-attributes-invalid"
    APP_NOT_APPROVED = "app-not-approved"
    AUTHORIZATION_MISSING = "authorization-missing"
    AWS_SETUP = "aws-setup"
    BASIC_NOT_ALLOWED = "basic-not-allowed"
    CERTIFICATE_NOT_ACCEPTED = "certificate-not-accepted"
    CLIENT_REPLACED = "client-replaced"
    CREDENTIALS_FALLBACK = "credentials-fallback"
    CREDENTIALS_REFUSED = "credentials-refused"
    CREDENTIALS_UNUSABLE = "credentials-unusable"
    CURRENT_UNREADABLE = "current-unreadable"
    DESCRIPTION_FAILED = "description-failed"
    EXPIRES_IN_MALFORMED = "expires-in-malformed"
    EXPIRES_IN_MISSING = "expires-in-missing"
    EXPIRES_IN_TOO_LONG = "expires-in-too-long"
    GRACE_CUT_SHORT = "grace-cut-short"
    GRANT_NOT_ALLOWED = "grant-not-allowed"
    INVALID_EVENT = "invalid-event"
    INVALID_SETTING = "invalid-setting"
    LABEL_ATTACHED = "label-attached"
    LABEL_LOST = "label-lost"
    LABEL_MISSING = "label-missing"
    LABEL_NOT_ATTACHED = "label-not-attached"
    LABEL_NOT_REMOVED = "label-not-removed"
    LABELS_EXHAUSTED = "labels-exhausted"
    LIFE_TOO_SHORT = "life-too-short"
    LOGOUT_ENDPOINT_OUT = "logout-endpoint-out"
    NO_CURRENT_VERSION = "no-current-version"
    NO_TIME_LEFT = "no-time-left"
    PROXY_REFUSED = "proxy-refused"
    RATE_QUOTA = "rate-quota"
    RATE_SPIKE = "rate-spike"
    READS_AS_CURRENT = "reads-as-current"
    REQUEST_FOREIGN = "request-foreign"
    REQUEST_MALFORMED = "request-malformed"
    RESOURCE_UNKNOWN = "resource-unknown"
    RETRY = "retry"
    REVOCATION_ABANDONED = "revocation-abandoned"
    REVOCATION_FAILED = "revocation-failed"
    REVOCATION_UNSUPPORTED = "revocation-unsupported"
    SCOPE_REFUSED = "scope-refused"
    SECRET_IS_A_REPLICA = "secret-is-a-replica"
    SECRET_MARKED_FOR_DELETION = "secret-marked-for-deletion"
    SECRETS_MANAGER_FAILED = "secrets-manager-failed"
    SECRETS_MANAGER_REFUSED = "secrets-manager-refused"
    SECRETS_MANAGER_UNAVAILABLE = "secrets-manager-unavailable"
    SETTINGS_CANNOT_HOLD = "settings-cannot-hold"
    TELENOR_FAILED = "telenor-failed"
    TELENOR_INTERNAL = "telenor-internal"
    TELENOR_OUT = "telenor-out"
    TELENOR_REFUSED = "telenor-refused"
    TELENOR_UNAVAILABLE = "telenor-unavailable"
    TOKEN_DEAD = "token-dead"
    TOKEN_ENDPOINT_OUT = "token-endpoint-out"
    TOKEN_LATE = "token-late"
    TOKEN_NOT_ACCEPTED = "token-not-accepted"
    TOKEN_REISSUED = "token-reissued"
    TOKEN_TYPE_REFUSED = "token-type-refused"
    UNEXPECTED = "unexpected"
    VERIFY_URL_OUT = "verify-url-out"
    VERSION_EXISTS = "version-exists"
    VERSION_NOT_FOUND = "version-not-found"
    WRITE_BUDGET_SPENT = "write-budget-spent"
    WRITE_REFUSED = "write-refused"
    WRITE_UNKNOWN = "write-unknown"
    WRITES_NOT_COUNTED = "writes-not-counted"


# No retry revokes a token with these codes, so it stays in the ledger until it expires.
IRREVOCABLE = frozenset({ErrorCode.CLIENT_REPLACED, ErrorCode.REVOCATION_UNSUPPORTED})


class RotationError(Exception):
    """Base of every error that this job raises on purpose."""

    default_code: ClassVar[ErrorCode] = ErrorCode.UNEXPECTED

    def __init__(self, message: str, *, error_code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.error_code = error_code or self.default_code


class InvalidInputError(RotationError):
    """A setting, an event field or the credentials secret is unusable. No token was requested."""

    default_code = ErrorCode.INVALID_SETTING


class WriteBudgetSpentError(RotationError):
    """A rotation that is not due would take the writes that the day's renewals need. No token was requested."""

    default_code = ErrorCode.WRITE_BUDGET_SPENT


# The authorization server


class ServerError(RotationError):
    """A request to the authorization server failed. `status` is the HTTP status, if there was a response."""

    default_code = ErrorCode.TELENOR_FAILED

    def __init__(self, message: str, *, error_code: ErrorCode | None = None, status: int | None = None) -> None:
        super().__init__(message, error_code=error_code)
        self.status = status


class ServerUnavailableError(ServerError):
    """A transient fault outlasted the retries or the deadline."""

    default_code = ErrorCode.TELENOR_UNAVAILABLE

    def __init__(
        self,
        message: str,
        *,
        error_code: ErrorCode | None = None,
        status: int | None = None,
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(message, error_code=error_code, status=status)
        self.retry_after_seconds = retry_after_seconds


class ConnectionSetupError(ServerError):
    """A setting, a certificate or a proxy prevents the connection; a retry would change nothing."""

    default_code = ErrorCode.INVALID_SETTING


class ServerRefusedError(ServerError):
    """The server refused the request; a retry would change nothing."""

    default_code = ErrorCode.TELENOR_REFUSED


class InvalidClientError(ServerRefusedError):
    """The server does not accept this client_id with this client_secret; another pair may work."""

    default_code = ErrorCode.CREDENTIALS_REFUSED


class TokenRejectedError(ServerError):
    """`VERIFY_URL` rejected the new token."""

    default_code = ErrorCode.TOKEN_NOT_ACCEPTED


class TokenReissuedError(ServerError):
    """The server issued the token that was to be replaced."""

    default_code = ErrorCode.TOKEN_REISSUED


# Secrets Manager


class SecretsManagerError(RotationError):
    """A call to Secrets Manager failed."""

    default_code = ErrorCode.SECRETS_MANAGER_FAILED


class SecretsManagerRefusedError(SecretsManagerError):
    """Secrets Manager refused the request; a retry would change nothing."""

    default_code = ErrorCode.SECRETS_MANAGER_REFUSED


class SecretsManagerUnavailableError(SecretsManagerError):
    """Secrets Manager was throttling, failing, or gave no answer."""

    default_code = ErrorCode.SECRETS_MANAGER_UNAVAILABLE


class MarkedForDeletionError(SecretsManagerRefusedError):
    """The token secret is marked for deletion, so nobody can read it."""

    default_code = ErrorCode.SECRET_MARKED_FOR_DELETION


class LabelsExhaustedError(SecretsManagerRefusedError):
    """The token secret has so many foreign labels that a new version could get none."""

    default_code = ErrorCode.LABELS_EXHAUSTED


class WriteRefusedError(SecretsManagerRefusedError):
    """The new version was certainly not written."""

    default_code = ErrorCode.WRITE_REFUSED


class WriteUnknownError(SecretsManagerError):
    """The new version may have been written or not."""

    default_code = ErrorCode.WRITE_UNKNOWN


class VersionExistsError(SecretsManagerError):
    """The version holds another token: another run for the same request has published."""

    default_code = ErrorCode.VERSION_EXISTS
