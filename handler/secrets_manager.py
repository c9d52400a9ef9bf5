"""The only file that knows the AWS SDK and staging labels."""

from __future__ import annotations

import logging
import os
import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from handler.errors import (
    InvalidInputError,
    MarkedForDeletionError,
    PublicationRefusedError,
    PublicationUnknownError,
    SecretsManagerError,
    VersionExistsError,
)
from handler.model import Credentials, Entry, Ledger, StoredValue, Token, is_plausible, json_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_secretsmanager.client import SecretsManagerClient

_CURRENT = "AWSCURRENT"
_LIVE = "LIVE_"

# LIVE_<published>_<expires>_<start of the version id>
_LIVE_LABEL = re.compile(r"LIVE_([0-9]{8}T[0-9]{6}Z)_([0-9]{8}T[0-9]{6}Z)_.+")
_INSTANT = "%Y%m%dT%H%M%SZ"
_VERSION_ID_START = 8

# An answer of Secrets Manager takes milliseconds; three attempts of these outlast one that was lost.
_CONNECT_TIMEOUT_SECONDS = 3
_READ_TIMEOUT_SECONDS = 5
_ATTEMPTS = 3

_HINTS = {
    "ResourceNotFoundException": "create the secret, or correct the name",
    "AccessDeniedException": "allow the call in the policy of the role, of the secret and of its KMS key",
    "DecryptionFailure": "allow the role to use the secret's KMS key, and see that the key is enabled",
    "EncryptionFailure": "allow the role to use the secret's KMS key, and see that the key is enabled",
    "InvalidRequestException": "see whether the secret is marked for deletion; RestoreSecret takes that back",
    "LimitExceededException": "remove staging labels that are not this job's from the secret",
    "ThrottlingException": "find out who else calls Secrets Manager so often in this account",
}


def create_client() -> SecretsManagerClient:
    """Return the SDK's client, with timeouts that leave a run time for everything else. Raises InvalidInputError."""
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        read_timeout=_READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    )
    # At DEBUG it logs every request and answer, and both secrets are in them. Lambda sets that level with one click.
    logging.getLogger("botocore").setLevel(logging.INFO)
    try:
        # Lambda sets both; the SDK by itself reads AWS_DEFAULT_REGION alone.
        region_name = os.environ.get("AWS_REGION") or None
        # boto3 makes its client in this way too. By itself it would load transfers to S3 and resources as well.
        client = get_session().create_client("secretsmanager", region_name=region_name, config=config)
        return cast("SecretsManagerClient", client)
    except (BotoCoreError, ValueError) as error:
        raise InvalidInputError(
            f"the AWS SDK could not be set up ({type(error).__name__}): set AWS_REGION, and see that AWS_PROFILE and "
            "AWS_ENDPOINT_URL, where they are set, are right"
        ) from error


class SecretsManager:
    """The two secrets: the client credentials, and the token with its ledger of live tokens.

    Every method raises SecretsManagerError when the call fails.
    """

    def __init__(self, client: SecretsManagerClient, credentials_secret_id: str, token_secret_id: str) -> None:
        self._client = client
        self._credentials_secret_id = credentials_secret_id
        self._token_secret_id = token_secret_id
        self._token_secret_arn: str | None = None

    def describe(self) -> Ledger:
        """Return the ledger of the token secret, which must not be marked for deletion."""
        with _explained("DescribeSecret", "token secret (TOKEN_SECRET_ID)"):
            description = self._client.describe_secret(SecretId=self._token_secret_id)
        if description.get("DeletedDate"):
            raise MarkedForDeletionError(
                "the token secret (TOKEN_SECRET_ID) is marked for deletion, so that nobody can read it: "
                "take that back with RestoreSecret"
            )
        self._token_secret_arn = description["ARN"]
        return _ledger(description.get("VersionIdsToStages", {}))

    def read_credentials(self) -> Credentials:
        """Return the client credentials. Raises InvalidInputError if the secret holds something else."""
        with _explained("GetSecretValue", "credentials secret (CREDENTIALS_SECRET_ID)"):
            answer = self._client.get_secret_value(SecretId=self._credentials_secret_id)
        if answer["ARN"] == self._token_secret_arn:
            raise InvalidInputError(
                "CREDENTIALS_SECRET_ID and TOKEN_SECRET_ID name the same secret, and publishing would overwrite the "
                "credentials: give the token a secret of its own"
            )
        return _credentials(answer.get("SecretString", ""))

    def read_current(self) -> StoredValue | None:
        """Return what consumers read now, or None where there is no value."""
        return self._read(VersionStage=_CURRENT)

    def read_version(self, version_id: str) -> StoredValue | None:
        """Return what one version holds, or None where it is gone."""
        return self._read(VersionId=version_id)

    def publish(self, token: Token, version_id: str, now: datetime) -> Entry:
        """Make a token current and enter it in the ledger, in one write (AWS, "PutSecretValue").

        The entry has no label where Secrets Manager has not set it. Raises PublicationRefusedError,
        PublicationUnknownError or VersionExistsError.
        """
        entry = _entry(version_id, now, token.expires_at)
        try:
            answer = self._client.put_secret_value(
                SecretId=self._token_secret_id,
                ClientRequestToken=version_id,
                SecretString=token.document(),
                VersionStages=[_CURRENT, *entry.labels],
            )
        # No cause is kept and no text of AWS's is quoted: either may repeat the parameters, and one is the token.
        except ClientError as error:
            raise _publication_error(error) from None
        except BotoCoreError as error:
            raise PublicationUnknownError(
                f"PutSecretValue on the token secret got no answer ({type(error).__name__}): it may have been written"
            ) from None
        if set(entry.labels) <= set(answer.get("VersionStages", [])):
            return entry
        return Entry(version_id, entry.published_at, entry.expires_at)

    def track(self, version_id: str, published_at: datetime, expires_at: datetime) -> Entry:
        """Enter a version in the ledger that is not in it, and return its entry."""
        entry = _entry(version_id, published_at, expires_at)
        for label in entry.labels:
            with _explained("UpdateSecretVersionStage", "token secret (TOKEN_SECRET_ID)"):
                self._client.update_secret_version_stage(
                    SecretId=self._token_secret_id, VersionStage=label, MoveToVersionId=version_id
                )
        return entry

    def forget(self, entry: Entry) -> None:
        """Take a version out of the ledger; one that is not in it any more is as good."""
        for label in entry.labels:
            with _explained("UpdateSecretVersionStage", "token secret (TOKEN_SECRET_ID)"):
                try:
                    self._client.update_secret_version_stage(
                        SecretId=self._token_secret_id, VersionStage=label, RemoveFromVersionId=entry.version_id
                    )
                except self._client.exceptions.InvalidParameterException:
                    continue

    def _read(self, **version: str) -> StoredValue | None:
        with _explained("GetSecretValue", "token secret (TOKEN_SECRET_ID)"):
            try:
                answer = self._client.get_secret_value(SecretId=self._token_secret_id, **version)
            except self._client.exceptions.ResourceNotFoundException:
                return None
        return StoredValue(
            version_id=answer["VersionId"],
            is_current=_CURRENT in answer.get("VersionStages", []),
            content=answer.get("SecretString", ""),
        )


@contextmanager
def _explained(operation: str, secret: str) -> Iterator[None]:
    """Turn what the SDK raises into one sentence."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "Unknown")
        hint = _HINTS.get(code, "see the code in the API reference of Secrets Manager")
        msg = f"{operation} on the {secret} failed with {code}: {hint}"
        raise SecretsManagerError(msg) from error
    except BotoCoreError as error:
        raise SecretsManagerError(
            f"{operation} on the {secret} got no answer ({type(error).__name__}): see that the function can reach "
            "Secrets Manager, and that the SDK has a region and credentials"
        ) from error


def _publication_error(error: ClientError) -> SecretsManagerError:
    code = error.response.get("Error", {}).get("Code", "Unknown")
    metadata = error.response["ResponseMetadata"]
    if code == "ResourceExistsException":
        return VersionExistsError("PutSecretValue on the token secret found this version written with another token")
    if metadata["HTTPStatusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return PublicationUnknownError(
            f"PutSecretValue on the token secret failed with {code}: it may have been written"
        )
    hint = _HINTS.get(code, "see the code in the API reference of Secrets Manager")
    return PublicationRefusedError(
        f"PutSecretValue on the token secret was refused with {code}: {hint}",
        is_certain=metadata["RetryAttempts"] == 0,
    )


def _credentials(content: str) -> Credentials:
    where = "the credentials secret (CREDENTIALS_SECRET_ID)"
    shape = '{"client_id": "...", "client_secret": "..."}'
    document = json_object(content)
    if document is None:
        raise InvalidInputError(f"{where} does not hold a JSON object: put {shape} there")
    if not {"client_id", "client_secret"} <= document.keys() and {"username", "password"} & document.keys():
        raise InvalidInputError(
            f"{where} holds a username or a password: Connect ID and Min Bedrift logins do not work here; put the "
            f"app's own {shape} there, from the developer dashboard"
        )
    for name in ("client_id", "client_secret"):
        value = document.get(name)
        if not isinstance(value, str) or not value or value != value.strip() or not value.isprintable():
            raise InvalidInputError(
                f"{where} has no usable {name}: it must be text, not empty, with no blanks or line ends around it"
            )
    client_id, client_secret = str(document["client_id"]), str(document["client_secret"])
    # RFC 7617, section 2: the first colon ends the user-id.
    if ":" in client_id:
        raise InvalidInputError(
            f"{where} has a client_id with a colon, which Basic authentication cannot send: copy it again"
        )
    return Credentials(client_id, client_secret)


def _ledger(stages_by_version: dict[str, list[str]]) -> Ledger:
    current: Entry | None = None
    superseded: list[Entry] = []
    for version_id, stages in stages_by_version.items():
        entry = _labelled(version_id, stages)
        if _CURRENT in stages:
            current = entry
        elif entry.labels:
            superseded.append(entry)
    return Ledger(current, tuple(sorted(superseded, key=_age)))


def _labelled(version_id: str, stages: Sequence[str]) -> Entry:
    """Read the LIVE labels of a version. Where a hand has added one, the careful reading counts.

    A current token is then renewed by the shorter life, and a superseded one tracked for the longer.
    """
    labels = tuple(stage for stage in stages if stage.startswith(_LIVE))
    times = [times for label in labels if (times := _times(label)) is not None]
    if not times:
        return Entry(version_id, labels=labels)
    published_at = max(published_at for published_at, _ in times)
    expiries = [expires_at for _, expires_at in times]
    return Entry(version_id, published_at, min(expiries) if _CURRENT in stages else max(expiries), labels)


def _age(entry: Entry) -> tuple[datetime, str]:
    return entry.published_at or datetime.min.replace(tzinfo=UTC), entry.version_id


def _entry(version_id: str, published_at: datetime, expires_at: datetime) -> Entry:
    # Rounded so that neither the grace nor the life that the label promises is longer than the real one.
    published_at = (published_at + timedelta(seconds=1, microseconds=-1)).replace(microsecond=0)
    expires_at = expires_at.replace(microsecond=0)
    label = f"{_LIVE}{published_at:{_INSTANT}}_{expires_at:{_INSTANT}}_{version_id[:_VERSION_ID_START]}"
    return Entry(version_id, published_at, expires_at, (label,))


def _times(label: str) -> tuple[datetime, datetime] | None:
    match = _LIVE_LABEL.fullmatch(label)
    if match is None:
        return None
    try:
        published_at, expires_at = (datetime.fromisoformat(text) for text in match.groups())
    except ValueError:
        return None
    return (published_at, expires_at) if is_plausible(published_at) and is_plausible(expires_at) else None
