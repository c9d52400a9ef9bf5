"""The command line's own errors.

RotationError
├── CliError           has the job's error code if the job has one for it
│   ├── UsageError     wrong arguments or a wrong account: exit status 2
│   ├── AccessError    AWS did not let the operator do it
│   │   ├── NotAllowedError
│   │   └── TokenSecretMissingError
│   ├── RunFailedError
│   └── RunUnknownError
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.errors import InvalidInputError, RotationError

if TYPE_CHECKING:
    from collections.abc import Mapping


class CliError(RotationError):
    """Base of the errors below. `job_code` is the job's own error code for the cause, if there is one."""

    def __init__(self, message: str, *, job_code: str | None = None) -> None:
        super().__init__(message)
        self.job_code = job_code


class UsageError(CliError):
    """The arguments, the name of a job or the settings of the AWS SDK are wrong."""


class AccessError(CliError):
    """AWS did not let the operator do something: not logged in, no permission, or no network."""


class NotAllowedError(AccessError):
    """The identity lacks a permission."""


class TokenSecretMissingError(AccessError):
    """A deployed job's token secret does not exist, so consumers have no token."""


class RunFailedError(CliError):
    """A run of the job ended with an error. `summary` is the last line of its log; it is empty if that is not known."""

    def __init__(self, message: str, *, summary: Mapping[str, object], is_bad_input: bool = False) -> None:
        code = summary.get("error_code")
        super().__init__(message, job_code=None if code is None else str(code))
        self.summary = summary
        self.is_bad_input = is_bad_input


class RunUnknownError(CliError):
    """A run was started, and nothing shows whether it took place."""


def is_bad_input(error: RotationError) -> bool:
    """Return whether arguments, settings or the credentials secret must be corrected first."""
    if isinstance(error, RunFailedError):
        return error.is_bad_input
    return isinstance(error, InvalidInputError | UsageError)


def prefixed(error: RotationError, name: str) -> RotationError:
    """Put a name before the sentence of an error, and return the error."""
    error.args = (f"{name}: {error}",)
    return error


def sentence(error: RotationError) -> str:
    """Return an error's sentence, with the code by which the runbook explains it."""
    code = error.job_code if isinstance(error, CliError) else error.error_code
    return f"{error} [{code}]" if code else str(error)
