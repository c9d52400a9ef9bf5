"""The adapter for Secrets Manager."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from handler.credentials import KnownCredentials, credentials_from
from handler.errors import (
    ErrorCode,
    InvalidInputError,
    MarkedForDeletionError,
    RotationError,
    SecretsManagerError,
    SecretsManagerRefusedError,
    SecretsManagerUnavailableError,
    VersionExistsError,
    WriteRefusedError,
    WriteUnknownError,
)
from handler.ledger import CURRENT_LABEL, PREVIOUS_LABEL, is_live_label, ledger_from
from handler.model import SecretVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from mypy_boto3_secretsmanager.client import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import GetSecretValueResponseTypeDef

    from handler.credentials import Credentials
    from handler.ledger import Entry, Ledger
    from handler.model import Token

# A response of Secrets Manager takes milliseconds; three attempts of these outlast one that was lost.
CONNECT_TIMEOUT_SECONDS = 2
READ_TIMEOUT_SECONDS = 5
ATTEMPTS = 3

_CREDENTIALS_SECRET = "credentials secret (CREDENTIALS_SECRET_ID)"  # noqa: S105  a name, not a password
_TOKEN_SECRET = "token secret (TOKEN_SECRET_ID)"  # noqa: S105  likewise

_EVERY_ATTEMPT = "needs-retry.secrets-manager.PutSecretValue"

_USE_THE_KEY = "allow the role to use the secret's KMS key, and check that the key is enabled"
_HINTS = {
    "ResourceNotFoundException": "create the secret, put a value into it, or correct the name",
    "AccessDeniedException": "allow the call in the policy of the role, of the secret and of its KMS key",
    "DecryptionFailure": _USE_THE_KEY,
    "EncryptionFailure": _USE_THE_KEY,
    "InvalidRequestException": (
        "check whether the secret is marked for deletion, which RestoreSecret takes back, or is a replica, which "
        "cannot be written: then run the job in the primary region"
    ),
    "LimitExceededException": (
        "remove staging labels that are not this job's from the secret; if there are few, it has too many versions of "
        "the last 24 hours: find out who else writes it"
    ),
    "ThrottlingException": "find out who else calls Secrets Manager so often in this account",
}
# Errors from parsing a response that is not AWS's.
NOT_AWS_ERRORS = (AttributeError, KeyError, TypeError, ValueError, ResponseParserError)

THROTTLING_CODES = {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}


def create_client() -> SecretsManagerClient:
    """Return the SDK's client, with timeouts that leave a run time for everything else. Raises InvalidInputError."""
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    # At DEBUG it logs every request and response, and both secrets are in them. Lambda sets that level with one click.
    logging.getLogger("botocore").setLevel(logging.INFO)
    try:
        # Lambda sets both; the SDK by itself reads AWS_DEFAULT_REGION alone.
        return boto3.client("secretsmanager", region_name=os.environ.get("AWS_REGION") or None, config=config)
    except (BotoCoreError, ValueError) as error:
        raise InvalidInputError(
            f"the AWS SDK could not be set up ({type(error).__name__}): set AWS_REGION, and check AWS_PROFILE and "
            "AWS_ENDPOINT_URL if they are set",
            error_code=ErrorCode.AWS_SETUP,
        ) from error


class SecretsManager:
    """The two secrets: the client credentials, and the token with its ledger of active tokens.

    If a call fails, every method but `write` and `read_known_credentials` raises SecretsManagerRefusedError or
    SecretsManagerUnavailableError.
    """

    def __init__(
        self,
        client: SecretsManagerClient,
        credentials_secret_id: str,
        token_secret_id: str,
        on_found: Callable[..., None] = lambda **_: None,
        has_time: Callable[[], bool] = lambda: True,
    ) -> None:
        """`on_found` gets the id of each secret once AWS has found it. Until then it may be a misplaced secret.

        `has_time` returns whether a call may begin, since a call without a response takes all of its attempts. A write
        begins in any case.
        """
        self._client = client
        self._has_time = has_time
        self._on_found = on_found
        self._credentials_secret_id = credentials_secret_id
        self._token_secret_id = token_secret_id
        self._token_secret_arn: str | None = None

    # The credentials

    def read_credentials(self) -> Credentials:
        """Return the client credentials. Raises InvalidInputError if the secret holds something else."""
        return self._credentials(CURRENT_LABEL)

    def read_previous_credentials(self) -> Credentials:
        """Return the client credentials that the latest ones have replaced. Raises as read_credentials does."""
        return self._credentials(PREVIOUS_LABEL)

    def read_known_credentials(self) -> KnownCredentials:
        """Return the current and the previous pair, as far as they can be read. Raises no RotationError."""
        pairs: list[Credentials] = []
        failure: RotationError | None = None
        for read in (self.read_credentials, self.read_previous_credentials):
            try:
                pairs.append(read())
            except RotationError as error:
                # A secret that was written once has no previous pair.
                if not (pairs and isinstance(error, SecretsManagerRefusedError)):
                    failure = failure or error
        return KnownCredentials(pairs, failure)

    def _credentials(self, stage: str) -> Credentials:
        with self._call("GetSecretValue", _CREDENTIALS_SECRET):
            response = self._client.get_secret_value(SecretId=self._credentials_secret_id, VersionStage=stage)
            arn = response["ARN"]
        self._on_found(credentials_secret_id=self._credentials_secret_id)
        if arn == self._token_secret_arn:
            raise InvalidInputError(
                "CREDENTIALS_SECRET_ID and TOKEN_SECRET_ID name the same secret, and publishing would overwrite the "
                "credentials: give the token a secret of its own"
            )
        return credentials_from(_content(response))

    # The token

    def describe(self, now: datetime) -> Ledger:
        """Return the ledger of the token secret, which must be one that can be written."""
        with self._call("DescribeSecret", _TOKEN_SECRET):
            description = self._client.describe_secret(SecretId=self._token_secret_id)
            self._token_secret_arn = arn = description["ARN"]
        self._on_found(token_secret_id=self._token_secret_id)
        if description.get("DeletedDate"):
            raise MarkedForDeletionError(
                f"the {_TOKEN_SECRET} is marked for deletion, so that nobody can read it: take that back with "
                "RestoreSecret"
            )
        primary_region = description.get("PrimaryRegion")
        if primary_region and f":{primary_region}:" not in arn:
            raise SecretsManagerRefusedError(
                f"the {_TOKEN_SECRET} is a replica, which cannot be written: run the job in {primary_region}, where "
                "its primary is",
                error_code=ErrorCode.SECRET_IS_A_REPLICA,
            )
        return ledger_from(description.get("VersionIdsToStages", {}), now)

    def read_current(self) -> SecretVersion | None:
        """Return what consumers read now, or None if there is no value."""
        return self._read(VersionStage=CURRENT_LABEL)

    def read_version(self, version_id: str) -> SecretVersion | None:
        """Return what one version holds, or None if it does not exist."""
        return self._read(VersionId=version_id)

    def write_times(self) -> list[datetime]:
        """Return the creation time of each version (AWS, "ListSecretVersionIds")."""
        # Those without a label count as well.
        versions = partial(self._client.list_secret_version_ids, SecretId=self._token_secret_id, IncludeDeprecated=True)
        written: list[datetime] = []
        with self._call("ListSecretVersionIds", _TOKEN_SECRET):
            page = versions()
            while True:
                written += [version["CreatedDate"] for version in page["Versions"]]
                if not (next_token := page.get("NextToken")):
                    return written
                page = versions(NextToken=next_token)

    def write(self, token: Token, entry: Entry) -> set[str]:
        """Make a token current and enter it in the ledger, in one write (AWS, "PutSecretValue").

        Return the labels that Secrets Manager's response lacks. Raises WriteRefusedError if every attempt was refused,
        VersionExistsError if the version holds another token, and WriteUnknownError for any other failure.
        """
        attempts = _Attempts()
        self._client.meta.events.register(_EVERY_ATTEMPT, attempts.note)
        try:
            response = self._client.put_secret_value(
                SecretId=self._token_secret_id,
                ClientRequestToken=entry.version_id,
                SecretString=token.document(),
                VersionStages=[CURRENT_LABEL, *entry.labels],
            )
            stages = response.get("VersionStages", []) if response["VersionId"] == entry.version_id else None
        # Keep no cause and quote no text of AWS's: either may repeat the parameters, which include the token.
        except ClientError as error:
            raise _publication_error(error, attempts) from None
        except BotoCoreError as error:
            raise WriteUnknownError(
                f"PutSecretValue on the {_TOKEN_SECRET} got no response ({type(error).__name__}), and may be written: "
                "the next run goes on from what it finds"
            ) from None
        except NOT_AWS_ERRORS:
            stages = None
        finally:
            self._client.meta.events.unregister(_EVERY_ATTEMPT, attempts.note)
        if stages is None:
            raise WriteUnknownError(
                f"PutSecretValue on the {_TOKEN_SECRET} got a response without the new version, and may be written: "
                "check for a proxy that changes responses"
            )
        return set(entry.labels).difference(stages)

    def add_labels(self, version_id: str, labels: Iterable[str]) -> None:
        """Give a version labels that it lacks."""
        for label in labels:
            with self._call("UpdateSecretVersionStage", _TOKEN_SECRET):
                self._client.update_secret_version_stage(
                    SecretId=self._token_secret_id, VersionStage=label, MoveToVersionId=version_id
                )

    def remove_labels(self, entry: Entry) -> None:
        """Remove a version's labels from the ledger. One that has lost them already is no error."""
        for label in entry.labels:
            with self._call("UpdateSecretVersionStage", _TOKEN_SECRET):
                try:
                    self._client.update_secret_version_stage(
                        SecretId=self._token_secret_id, VersionStage=label, RemoveFromVersionId=entry.version_id
                    )
                except self._client.exceptions.InvalidParameterException:
                    continue

    @contextmanager
    def _call(self, operation: str, secret: str) -> Iterator[None]:
        if not self._has_time():
            raise SecretsManagerUnavailableError(
                f"no time was left for {operation} on the {secret}", error_code=ErrorCode.NO_TIME_LEFT
            )
        with _translated_errors(operation, secret):
            yield

    def _read(self, **version: str) -> SecretVersion | None:
        with self._call("GetSecretValue", _TOKEN_SECRET):
            try:
                response = self._client.get_secret_value(SecretId=self._token_secret_id, **version)
            except self._client.exceptions.ResourceNotFoundException:
                return None
            version_id = response["VersionId"]
        stages = response.get("VersionStages", [])
        return SecretVersion(
            version_id=version_id,
            is_current=CURRENT_LABEL in stages,
            is_tracked=any(map(is_live_label, stages)),
            content=_content(response),
        )


class _Attempts:
    """The attempts of one call that were seen, each by the status of its response or None if there was none.

    What the SDK raises is about its last attempt alone, and an earlier one may have taken effect.
    """

    def __init__(self) -> None:
        self.statuses: list[int | None] = []

    def note(self, response: tuple[Any, Any] | None = None, **_: object) -> None:
        """Take note of one attempt (botocore's event `needs-retry`, which every attempt emits, the last one too)."""
        self.statuses.append(None if response is None else response[0].status_code)

    def are_all_refusals(self, error: ClientError) -> bool:
        """Return whether every attempt was seen and had a response, none with a failure that may follow the effect.

        botocore does not document this event. If it is missing, the outcome of the write is unknown.
        """
        retries = error.response.get("ResponseMetadata", {}).get("RetryAttempts")
        return (
            retries is not None
            and len(self.statuses) == retries + 1
            and all(status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR for status in self.statuses)
        )


@contextmanager
def _translated_errors(operation: str, secret: str) -> Iterator[None]:
    """Turn what the SDK raises into one sentence."""
    try:
        yield
    except ClientError as error:
        code = _code(error)
        is_transient = code in THROTTLING_CODES or _status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR
        kind = SecretsManagerUnavailableError if is_transient else SecretsManagerRefusedError
        msg = f"{operation} on the {secret} failed with {code}: {_hint(code)}"
        raise kind(msg) from error
    except BotoCoreError as error:
        raise SecretsManagerUnavailableError(
            f"{operation} on the {secret} got no response ({type(error).__name__}): check the network path to Secrets "
            "Manager, and that the SDK has a region and credentials"
        ) from error
    except NOT_AWS_ERRORS as error:
        raise SecretsManagerUnavailableError(
            f"{operation} on the {secret} got a response that is not Secrets Manager's: check for a proxy that "
            "changes responses"
        ) from error


def _publication_error(error: ClientError, attempts: _Attempts) -> SecretsManagerError:
    code = _code(error)
    if code == "ResourceExistsException":
        return VersionExistsError(f"PutSecretValue on the {_TOKEN_SECRET} found this version with another token")
    if attempts.are_all_refusals(error):
        return WriteRefusedError(f"PutSecretValue on the {_TOKEN_SECRET} was refused with {code}: {_hint(code)}")
    return WriteUnknownError(
        f"PutSecretValue on the {_TOKEN_SECRET} failed with {code}, and not every attempt is known to have been "
        "refused, so it may have been written: the next run goes on from what it finds"
    )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", HTTPStatus.BAD_REQUEST))


def _hint(code: str) -> str:
    return _HINTS.get(code, "see the code in the API reference of Secrets Manager")


def _content(response: GetSecretValueResponseTypeDef) -> str:
    """Return a value as text. Bytes are decoded, and what cannot be decoded is replaced."""
    return response.get("SecretString") or response.get("SecretBinary", b"").decode(errors="replace")
