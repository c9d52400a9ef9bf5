"""Secrets Manager as a small model of what is known of it, in place of the SDK's client.

It has what emulators lack: the quota of labels, labels that are taken silently, reads that lag, answers that are lost
after the write took effect, throttling.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from botocore.exceptions import ClientError, ReadTimeoutError

LABEL_QUOTA = 20
_VERSION_ID_LENGTHS = range(32, 65)

# What may become of a call: no answer although or before it took effect, a refusal, or a read of the state before.
FAULTS = ("lost-before", "lost-after", "refused", "throttled", "failed-before", "failed-after")
READ_FAULTS = (*FAULTS, "stale")


def _error_class(code: str) -> type[ClientError]:
    return type(code, (ClientError,), {})


class _Exceptions:
    """The client's own exceptions, as `client.exceptions` has them."""

    ClientError = ClientError
    ResourceNotFoundException = _error_class("ResourceNotFoundException")
    ResourceExistsException = _error_class("ResourceExistsException")
    InvalidParameterException = _error_class("InvalidParameterException")
    InvalidRequestException = _error_class("InvalidRequestException")
    LimitExceededException = _error_class("LimitExceededException")


def refuse(code: str, status: int = 400, retries: int = 0) -> NoReturn:
    """Raise what the SDK raises for an error code."""
    kind = getattr(_Exceptions, code, ClientError)
    metadata = {"HTTPStatusCode": status, "RetryAttempts": retries}
    answer: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": metadata}
    raise kind(answer, "operation")


@dataclass
class Secret:
    """One secret: what each version holds, and which version has each label."""

    arn: str
    content: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    deleted_at: datetime | None = None

    @property
    def current(self) -> str | None:
        """The version under AWSCURRENT."""
        return self.labels.get("AWSCURRENT")

    def labels_of(self, version_id: str) -> list[str]:
        """Return the labels of a version."""
        return sorted(label for label, owner in self.labels.items() if owner == version_id)

    def copy(self) -> Secret:
        """Return the secret as it is now."""
        return replace(self, content=dict(self.content), labels=dict(self.labels))

    def make_current(self, version_id: str) -> None:
        """Move AWSCURRENT, and AWSPREVIOUS to the version that had it."""
        if self.current not in {None, version_id}:
            self.labels["AWSPREVIOUS"] = str(self.current)
        self.labels["AWSCURRENT"] = version_id
        if self.labels.get("AWSPREVIOUS") == version_id:
            del self.labels["AWSPREVIOUS"]


Intercept = Callable[[str], str | None]


class SecretsManagerModel:
    """The client. `intercept` is asked at each call for its fate: a fault, or None."""

    exceptions = _Exceptions

    def __init__(self, intercept: Intercept = lambda _operation: None) -> None:
        self.secrets: dict[str, Secret] = {}
        self.before: dict[str, Secret] = {}
        self.intercept = intercept
        self.on_change: Callable[[], None] = lambda: None
        self.on_answer: Callable[[object], None] = lambda _answer: None
        self._versions = 0

    # What operators and tests do; never faulty.

    def create_secret(self, *, Name: str, SecretString: str | None = None) -> dict[str, Any]:  # noqa: N803  AWS's names
        """Create a secret, with a value or without."""
        arn = f"arn:aws:secretsmanager:eu-north-1:123456789012:secret:{Name}-AbCdEf"
        self.secrets[Name] = secret = Secret(arn)
        if SecretString is not None:
            version_id = self._new_id()
            secret.content[version_id] = SecretString
            secret.make_current(version_id)
        return {"ARN": arn}

    def delete_secret(self, *, SecretId: str, RecoveryWindowInDays: int) -> None:  # noqa: N803
        """Mark a secret for deletion."""
        assert RecoveryWindowInDays
        self._find(SecretId).deleted_at = datetime(2026, 11, 23, tzinfo=UTC)

    # What the job does.

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803
        """Answer with the labelled versions."""

        def describe() -> dict[str, Any]:
            secret = self._find(SecretId)
            owners = dict.fromkeys(secret.labels.values())
            return {
                "ARN": secret.arn,
                "DeletedDate": secret.deleted_at,
                "VersionIdsToStages": {owner: secret.labels_of(owner) for owner in owners},
            }

        return self._call("DescribeSecret", describe)

    def get_secret_value(
        self,
        *,
        SecretId: str,  # noqa: N803
        VersionStage: str = "AWSCURRENT",  # noqa: N803
        VersionId: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        """Answer with what a version holds."""

        def get() -> dict[str, Any]:
            secret = self._find(SecretId)
            if secret.deleted_at:
                refuse("InvalidRequestException")
            version_id = VersionId or secret.labels.get(VersionStage, "")
            if version_id not in secret.content:
                refuse("ResourceNotFoundException")
            return {
                "ARN": secret.arn,
                "VersionId": version_id,
                "VersionStages": secret.labels_of(version_id),
                "SecretString": secret.content[version_id],
            }

        return self._call("GetSecretValue", get)

    def put_secret_value(
        self,
        *,
        SecretId: str,  # noqa: N803
        SecretString: str,  # noqa: N803
        VersionStages: list[str] | None = None,  # noqa: N803
        ClientRequestToken: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        """Write a version and set its labels."""

        def put() -> dict[str, Any]:
            secret = self._find(SecretId)
            if secret.deleted_at:
                refuse("InvalidRequestException")
            version_id = ClientRequestToken or self._new_id()
            if len(version_id) not in _VERSION_ID_LENGTHS:
                refuse("InvalidParameterException: length 32 to 64")
            if version_id in secret.content:
                if secret.content[version_id] != SecretString:
                    refuse("ResourceExistsException")
                return {"VersionId": version_id, "VersionStages": secret.labels_of(version_id)}
            wanted = set(VersionStages or ["AWSCURRENT"]) | (set() if secret.content else {"AWSCURRENT"})
            if len(secret.labels.keys() | wanted | ({"AWSPREVIOUS"} if secret.current else set())) > LABEL_QUOTA:
                refuse("LimitExceededException", retries=2)
            secret.content[version_id] = SecretString
            if "AWSCURRENT" in wanted:
                secret.make_current(version_id)
            secret.labels |= dict.fromkeys(wanted, version_id)
            return {"VersionId": version_id, "VersionStages": secret.labels_of(version_id)}

        return self._call("PutSecretValue", put, writes=True)

    def update_secret_version_stage(
        self,
        *,
        SecretId: str,  # noqa: N803
        VersionStage: str,  # noqa: N803
        RemoveFromVersionId: str = "",  # noqa: N803
        MoveToVersionId: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        """Move, attach or remove a label."""

        def update() -> dict[str, Any]:
            secret = self._find(SecretId)
            if RemoveFromVersionId and secret.labels.get(VersionStage) != RemoveFromVersionId:
                refuse("InvalidParameterException")
            if VersionStage == "AWSCURRENT":
                if not (MoveToVersionId and RemoveFromVersionId):
                    refuse("InvalidParameterException")
                secret.make_current(MoveToVersionId)
                return {}
            if MoveToVersionId:
                if len(secret.labels.keys() | {VersionStage}) > LABEL_QUOTA:
                    refuse("LimitExceededException", retries=2)
                secret.labels[VersionStage] = MoveToVersionId
            elif RemoveFromVersionId:
                del secret.labels[VersionStage]
            return {}

        return self._call("UpdateSecretVersionStage", update, writes=True)

    def _new_id(self) -> str:
        self._versions += 1
        return str(uuid.UUID(int=self._versions))

    def _find(self, secret_id: str) -> Secret:
        for name, secret in self.secrets.items():
            if secret_id in {name, secret.arn}:
                return secret
        refuse("ResourceNotFoundException")

    def _call(self, operation: str, act: Callable[[], dict[str, Any]], *, writes: bool = False) -> dict[str, Any]:
        fate = self.intercept(operation)
        if fate == "refused":
            refuse("AccessDeniedException")
        if fate == "throttled":
            refuse("ThrottlingException", retries=2)
        if fate == "failed-before":
            refuse("InternalServiceError", 500, retries=2)
        if fate == "lost-before":
            raise ReadTimeoutError(endpoint_url="model")
        answer = self._stale(act) if fate == "stale" else self._act(act, writes=writes)
        self.on_answer(answer)
        if fate == "failed-after":
            refuse("InternalServiceError", 500, retries=2)
        if fate == "lost-after":
            raise ReadTimeoutError(endpoint_url="model")
        return answer

    def _act(self, act: Callable[[], dict[str, Any]], *, writes: bool) -> dict[str, Any]:
        if not writes:
            return act()
        self.on_change()
        before = {name: secret.copy() for name, secret in self.secrets.items()}
        answer = act()
        self.before = before
        self.on_change()
        return answer

    def _stale(self, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Read the state before the last write."""
        now, self.secrets = self.secrets, self.before or self.secrets
        try:
            return act()
        finally:
            self.secrets = now
