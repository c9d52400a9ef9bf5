"""A small model of Secrets Manager's known behaviour, below the SDK: `real_sdk_client.py` puts the real client on it.

It has what emulators lack: the quotas of labels and of versions, labels that are moved silently, stale reads, attempts
that are lost before or after the write took effect, throttling.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from botocore import xform_name
from botocore.exceptions import ClientError, ReadTimeoutError

from handler.ledger import ledger_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LABEL_QUOTA = 20

# Secrets Manager keeps every version of a day, and a hundred in all; AWS does not document the limit.
VERSION_QUOTA = 145
_VERSIONS_ARE_KEPT_FOR = timedelta(days=1)

_VERSION_ID_LENGTHS = range(32, 65)

# AWS, "ListSecretVersionIds": MaxResults.
_PAGE = 100

# The faults of an attempt: no response or a 5xx, before or after it took effect; a refusal; a stale read. As the fault
# of a call it applies to every attempt. For reads, "after" would make no difference.
_READ_FAULTS = ("lost-before", "failed-before", "throttled", "refused")
READ_FAULTS = (*_READ_FAULTS, "stale")

# The fault of the first attempt of a call, and that of all further ones.
_AND_THEN = (
    *(f"{first}/{rest}" for first in ("lost-after", "failed-after") for rest in ("ok", "throttled", "refused")),
    *(f"{first}/{rest}" for first in ("lost-before", "failed-before") for rest in ("throttled", "refused")),
    *(f"throttled/{rest}" for rest in ("ok", "lost-before", "lost-after", "refused")),
)
FAULTS = (*_READ_FAULTS, "lost-after", "failed-after", *_AND_THEN)


def failures_in(fault: str | None) -> int:
    """Return how many failures a fault contains: two if further attempts of the call fail in another way."""
    if fault is None:
        return 0
    return 2 if "/" in fault and not fault.endswith("/ok") else 1


RETRIED = ("lost-before", "lost-after", "failed-before", "failed-after", "throttled")
"""Faults after which the SDK makes another attempt."""


def _error(code: str) -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": code}}


_RESPONSES = {
    "refused": (400, _error("AccessDeniedException")),
    "throttled": (400, _error("ThrottlingException")),
    "failed-before": (500, _error("InternalServiceError")),
}


def refuse(code: str) -> NoReturn:
    """Raise the SDK's exception for an error code."""
    response: Any = _error(code) | {"ResponseMetadata": {"HTTPStatusCode": 400}}
    raise ClientError(response, "operation")


@dataclass
class Secret:
    """One secret: the content of each version, and the version of each label."""

    arn: str
    content: dict[str, str | bytes] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    written_at: dict[str, datetime] = field(default_factory=dict)
    """When each version was written, as long as it counts towards the quota."""

    @property
    def current(self) -> str | None:
        """The version under AWSCURRENT."""
        return self.labels.get("AWSCURRENT")

    def labels_of(self, version_id: str) -> list[str]:
        """Return the labels of a version."""
        return sorted(label for label, owner in self.labels.items() if owner == version_id)

    def copy(self) -> Secret:
        """Return the secret as it is now."""
        return replace(self, content=dict(self.content), labels=dict(self.labels), written_at=dict(self.written_at))

    def write(self, version_id: str, content: str | bytes, now: datetime) -> None:
        """Add a version, and drop writes that no longer count towards the quota."""
        self.content[version_id] = content
        recent = {version: at for version, at in self.written_at.items() if at > now - _VERSIONS_ARE_KEPT_FOR}
        self.written_at = recent | {version_id: now}

    def exceeds_quota(self, wanted: set[str], now: datetime) -> bool:
        """Return whether one more version with these labels would exceed a quota."""
        labels = self.labels.keys() | wanted | ({"AWSPREVIOUS"} if self.current else set())
        recent = sum(at > now - _VERSIONS_ARE_KEPT_FOR for at in self.written_at.values())
        return len(labels) > LABEL_QUOTA or recent + 1 >= VERSION_QUOTA

    def drop_labels(self) -> None:
        """Remove all but AWS's own labels from the current version."""
        for label in self.labels_of(str(self.current)):
            if not label.startswith("AWS"):
                del self.labels[label]

    def make_current(self, version_id: str) -> None:
        """Move AWSCURRENT, and AWSPREVIOUS to the version that had it."""
        if self.current not in {None, version_id}:
            self.labels["AWSPREVIOUS"] = str(self.current)
        self.labels["AWSCURRENT"] = version_id
        if self.labels.get("AWSPREVIOUS") == version_id:
            del self.labels["AWSPREVIOUS"]


class SecretsManagerModel:
    """The secrets. Its methods are those of the SDK's client; `attempt` handles one attempt of that client."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime(2026, 11, 23, tzinfo=UTC)) -> None:
        self.now = now
        self.secrets: dict[str, Secret] = {}
        self.before: dict[str, Secret] = {}
        self.on_change: Callable[[datetime], None] = lambda _at: None
        self.drops_labels = False
        """Whether a write removes the custom labels of the superseded version; not verified on AWS."""
        self._versions = 0

    def attempt(self, operation: str, parameters: dict[str, Any], fault: str | None) -> tuple[int, dict[str, Any]]:
        """Return status and document of one attempt of a call. Raises ReadTimeoutError if there is no response."""
        if fault in _RESPONSES:
            return _RESPONSES[fault]
        if fault == "lost-before":
            raise ReadTimeoutError(endpoint_url="model")
        act = partial(getattr(self, xform_name(operation)), **parameters)
        try:
            response = 200, self._stale(act) if fault == "stale" else act()
        except ClientError as error:
            response = 400, {"Error": error.response["Error"]}
        if fault == "failed-after":
            return _RESPONSES["failed-before"]
        if fault == "lost-after":
            raise ReadTimeoutError(endpoint_url="model")
        return response

    # Calls of operators and tests

    def create_secret(self, *, Name: str, SecretString: str | None = None) -> dict[str, Any]:
        """Create a secret, with a value or without."""
        arn = f"arn:aws:secretsmanager:eu-north-1:123456789012:secret:{Name}-AbCdEf"
        self.secrets[Name] = secret = Secret(arn)
        if SecretString is not None:
            version_id = self._new_id()
            secret.write(version_id, SecretString, self.now())
            secret.make_current(version_id)
        return {"ARN": arn}

    # Calls of the job

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:
        """Return the labelled versions."""
        secret = self._find(SecretId)
        owners = dict.fromkeys(secret.labels.values())
        return {"ARN": secret.arn, "VersionIdsToStages": {owner: secret.labels_of(owner) for owner in owners}}

    def list_secret_version_ids(
        self, *, SecretId: str, IncludeDeprecated: bool = False, NextToken: str = ""
    ) -> dict[str, Any]:
        """Return a hundred of the day's versions, with unlabelled ones only on request."""
        secret = self._find(SecretId)
        versions = [
            {"VersionId": version_id, "VersionStages": secret.labels_of(version_id), "CreatedDate": at}
            for version_id, at in secret.written_at.items()
            if IncludeDeprecated or secret.labels_of(version_id)
        ]
        begin = int(NextToken or 0)
        more = {"NextToken": str(begin + _PAGE)} if begin + _PAGE < len(versions) else {}
        return {"ARN": secret.arn, "Versions": versions[begin : begin + _PAGE], **more}

    def get_secret_value(
        self, *, SecretId: str, VersionStage: str = "AWSCURRENT", VersionId: str = ""
    ) -> dict[str, Any]:
        """Return a version."""
        secret = self._find(SecretId)
        version_id = VersionId or secret.labels.get(VersionStage, "")
        if version_id not in secret.content:
            refuse("ResourceNotFoundException")
        content = secret.content[version_id]
        return {
            "ARN": secret.arn,
            "VersionId": version_id,
            "VersionStages": secret.labels_of(version_id),
            **({"SecretString": content} if isinstance(content, str) else {"SecretBinary": content}),
        }

    def put_secret_value(
        self,
        *,
        SecretId: str,
        SecretString: str | bytes = "",
        VersionStages: list[str] | None = None,
        ClientRequestToken: str = "",
    ) -> dict[str, Any]:
        """Write a version and set its labels. Bytes mean SecretBinary."""
        secret, content = self._find(SecretId), SecretString
        version_id = ClientRequestToken or self._new_id()
        if len(version_id) not in _VERSION_ID_LENGTHS:
            refuse("InvalidParameterException: length 32 to 64")
        if version_id in secret.content:
            if secret.content[version_id] != content:
                refuse("ResourceExistsException")
            return {"VersionId": version_id, "VersionStages": secret.labels_of(version_id)}
        wanted = set(VersionStages or ["AWSCURRENT"]) | (set() if secret.content else {"AWSCURRENT"})
        if secret.exceeds_quota(wanted, self.now()):
            refuse("LimitExceededException")
        with self._change(self._dated(version_id, wanted)):
            secret.write(version_id, content, self.now())
            if "AWSCURRENT" in wanted:
                if self.drops_labels:
                    secret.drop_labels()
                secret.make_current(version_id)
            secret.labels |= dict.fromkeys(wanted, version_id)
        return {"VersionId": version_id, "VersionStages": secret.labels_of(version_id)}

    def update_secret_version_stage(
        self, *, SecretId: str, VersionStage: str, RemoveFromVersionId: str = "", MoveToVersionId: str = ""
    ) -> dict[str, Any]:
        """Move, add or remove a label."""
        secret = self._find(SecretId)
        if RemoveFromVersionId and secret.labels.get(VersionStage) != RemoveFromVersionId:
            refuse("InvalidParameterException")
        if VersionStage == "AWSCURRENT" and not (MoveToVersionId and RemoveFromVersionId):
            refuse("InvalidParameterException")
        if MoveToVersionId and len(secret.labels.keys() | {VersionStage}) > LABEL_QUOTA:
            refuse("LimitExceededException")
        with self._change():
            if VersionStage == "AWSCURRENT":
                secret.make_current(MoveToVersionId)
            elif MoveToVersionId:
                secret.labels[VersionStage] = MoveToVersionId
            elif RemoveFromVersionId:
                del secret.labels[VersionStage]
        return {}

    def _new_id(self) -> str:
        self._versions += 1
        return str(uuid.UUID(int=self._versions))

    def _find(self, secret_id: str) -> Secret:
        for name, secret in self.secrets.items():
            if secret_id in {name, secret.arn}:
                return secret
        refuse("ResourceNotFoundException")

    def _dated(self, version_id: str, labels: set[str]) -> datetime:
        """Return the publication time in a write's label, which is before its failed attempts."""
        now, current = self.now(), ledger_from({version_id: labels}, self.now()).current
        return min(now, current.published_at) if current and current.published_at else now

    @contextmanager
    def _change(self, at: datetime | None = None) -> Iterator[None]:
        self.on_change(at or self.now())
        self.before = {name: secret.copy() for name, secret in self.secrets.items()}
        yield
        self.on_change(self.now())

    def _stale(self, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Read the state before the last write."""
        now, self.secrets = self.secrets, self.before or self.secrets
        try:
            return act()
        finally:
            self.secrets = now
