"""Explains the errors of AWS and of its SDK to an operator."""

from __future__ import annotations

import re
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from botocore import exceptions
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from handler.cli.errors import AccessError, CliError, NotAllowedError, UsageError
from handler.secrets_manager import NOT_AWS_ERRORS, THROTTLING_CODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handler.errors import RotationError

# IAM's message: "User: arn:… is not authorized to perform: lambda:InvokeFunction on resource: arn:…"
_WHO = re.compile(r"\bUser: (\S+) is not authorized")
_WHICH = re.compile(r"\bto perform: ([a-z0-9-]+:[A-Za-z]+)")

NOT_LOGGED_IN = (
    *(NoCredentialsError, PartialCredentialsError, CredentialRetrievalError),
    *(NoAuthTokenError, TokenRetrievalError, SSOError),
    # Of `aws login`, which older versions of the SDK do not know.
    getattr(exceptions, "LoginError", SSOError),
)
_NO_ANSWER = (EndpointConnectionError, HTTPClientError, NoConnectionError)
CALL_ERRORS = (BotoCoreError, ClientError, *NOT_AWS_ERRORS)

STALE_CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}

_LOOKUPS = {"DescribeStacks", "GetFunctionConfiguration", "GetSchedule"}

# IAM's action for each operation.
_ACTIONS = {
    "DescribeSecret": "secretsmanager:DescribeSecret",
    "GetSecretValue": "secretsmanager:GetSecretValue",
    "GetFunctionConfiguration": "lambda:GetFunctionConfiguration",
    "Invoke": "lambda:InvokeFunction",
    "FilterLogEvents": "logs:FilterLogEvents",
    "DescribeStacks": "cloudformation:DescribeStacks",
    "GetSchedule": "scheduler:GetSchedule",
    "ListSchedules": "scheduler:ListSchedules",
    "UpdateSchedule": "scheduler:UpdateSchedule",
}


def is_refused(error: Exception) -> bool:
    """Return whether AWS certainly has not acted on a call: it was not sent, or the response is not a 5xx."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, BotoCoreError) and not isinstance(error, HTTPClientError | IncompleteReadError)


def is_missing(error: BaseException | None) -> bool:
    """Return whether AWS has nothing of this name. A name that is impossible fails the validation of a lookup."""
    if not isinstance(error, ClientError):
        return False
    is_invalid = error.operation_name in _LOOKUPS and code_of(error) in {"ValidationError", "ValidationException"}
    return is_invalid or code_of(error) == "ResourceNotFoundException"


def code_of(error: Exception) -> str:
    """Return AWS's code of an error, or the name of the SDK's."""
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    return code or type(error).__name__


@contextmanager
def explained(what: str, region: str | None = None) -> Iterator[None]:
    """Turn an error of the SDK into one sentence. Raises AccessError or UsageError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise _error(error, what, region) from error
    except NOT_AWS_ERRORS as error:
        raise AccessError(unreadable(error, what + _in(region))) from error


def unreadable(error: Exception, what: str) -> str:
    """Return the sentence about a response that is not AWS's."""
    return (
        f"AWS's response about {what} cannot be read ({type(error).__name__}): check AWS_ENDPOINT_URL and for a proxy "
        "that changes responses"
    )


def explained_error(error: RotationError, what: str, region: str | None = None) -> RotationError:
    """Explain an error of the job's own adapter to an operator, if the SDK was its cause."""
    cause = error.__cause__
    return _error(cause, what, region) if isinstance(cause, BotoCoreError | ClientError) else error


def _error(error: BotoCoreError | ClientError, what: str, region: str | None) -> CliError:
    if isinstance(error, ClientError):
        return _refusal(error, what, region)
    if isinstance(error, NoRegionError):
        return UsageError("no AWS region is set: add --region, set AWS_REGION, or give the job's ARN")
    if isinstance(error, ProfileNotFound):
        return UsageError(f"{error}: see `aws configure list-profiles`, and correct --profile or AWS_PROFILE")
    if isinstance(error, NOT_LOGGED_IN):
        return AccessError(f"your AWS credentials are missing or unusable ({type(error).__name__}): log in again")
    if isinstance(error, _NO_ANSWER):
        return AccessError(
            f"AWS did not respond about {what}{_in(region)} ({type(error).__name__}): check this machine's "
            "network, and its proxy or VPN if it needs one"
        )
    return setup_error(error)


def setup_error(error: Exception) -> UsageError:
    """Return the error of an SDK that cannot be set up."""
    return UsageError(
        f"the AWS SDK could not be set up ({type(error).__name__}): check AWS_REGION, AWS_PROFILE and AWS_ENDPOINT_URL"
    )


def _refusal(error: ClientError, what: str, region: str | None) -> CliError:
    error_document = error.response.get("Error", {})
    code, message = error_document.get("Code", "Unknown"), error_document.get("Message", "")
    action = _ACTIONS.get(error.operation_name, error.operation_name)
    if code in STALE_CREDENTIALS:
        return AccessError(f"AWS rejects your credentials ({code}): log in again")
    if code in _DENIED:
        who, which = _WHO.search(message), _WHICH.search(message)
        if "KMS" in message and not which:
            action = f"{action} (missing kms:Decrypt on its key)"
        # The operators' policy covers one region, and does not grant reading a secret's value.
        holder = "may read it" if error.operation_name == "GetSecretValue" else "has the job's operator policy"
        return NotAllowedError(
            f"{who[1] if who else 'this identity'} has no permission for {which[1] if which else action} on {what}"
            f"{_in(region)}: use the right --region, or an identity that {holder}"
        )
    if is_missing(error):
        return UsageError(
            f"there is no {what}{_in(region)}: correct the name, use another --region or --profile, or deploy the job "
            "again if this was deleted"
        )
    if code in THROTTLING_CODES:
        return AccessError(f"AWS throttles calls about {what} ({code}): try again in a minute")
    return AccessError(f"{action} on {what}{_in(region)} failed with {code}")


def _in(region: str | None) -> str:
    return f" in {region}" if region else ""
