"""Publishes a token, classifies the outcome of the write, and restores labels that superseded versions lost by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from handler.errors import (
    ErrorCode,
    SecretsManagerError,
    VersionExistsError,
    WriteRefusedError,
    WriteUnknownError,
)
from handler.ledger import Entry, new_entry

if TYPE_CHECKING:
    from handler.ledger import Ledger
    from handler.model import SecretVersion, Token
    from handler.run_context import RunContext


class Published(NamedTuple):
    """The token is published."""

    entry: Entry


class DuplicateDelivery(NamedTuple):
    """Another run for the same event has published under this version id; `version` is None if it cannot be read."""

    version: SecretVersion | None


Publication = Published | DuplicateDelivery | WriteRefusedError | WriteUnknownError
"""The outcome of a write. After WriteRefusedError the token is certainly not published; after WriteUnknownError it may
be, and a read that does not find the version may lag."""


def publish(context: RunContext, ledger: Ledger, token: Token) -> Publication:
    """Make a token current and enter it in the ledger; return the outcome of the write. Raises no RotationError."""
    entry = new_entry(context.version_id, ledger.next_publication(context.clock.now()), token.expires_at)
    try:
        missing = context.secrets.write(token, entry)
    except WriteRefusedError as error:
        return error
    except (WriteUnknownError, VersionExistsError) as error:
        version = _read_own_version(context)
        if version is None:
            return error if isinstance(error, WriteUnknownError) else DuplicateDelivery(None)
        if not version.contains_token(token.access_token):
            return DuplicateDelivery(version)
        # Our write took effect, or the server issued the same token to another delivery of the event.
        missing = set() if version.is_tracked else set(entry.labels)
    if missing:
        _add_missing_labels(context, entry.version_id, missing)
    return Published(entry)


def restore_lost_labels(context: RunContext, expected: Ledger) -> Ledger:
    """Read the labels again after a publication, and restore LIVE labels that are missing. Return the ledger as read.

    AWS does not document that a label stays on a version that PutSecretValue supersedes.
    """
    context.token_secret.expect_current(expected)
    try:
        found = context.token_secret.describe()
    except SecretsManagerError as error:
        context.log_warning(ErrorCode.DESCRIPTION_FAILED, f"superseded versions may have lost their labels: {error}")
        return expected
    # Without this run's version the description is older than the publication, so it says nothing about labels.
    if found.find(context.version_id) is None:
        return expected
    return context.token_secret.expect_current(_with_lost_labels(context, expected, found))


def _read_own_version(context: RunContext) -> SecretVersion | None:
    try:
        return context.token_secret.read_version(context.version_id)
    except SecretsManagerError:
        return None


def _add_missing_labels(context: RunContext, version_id: str, labels: set[str]) -> None:
    """Add labels that PutSecretValue did not set. The publication has succeeded in any case."""
    try:
        context.secrets.add_labels(version_id, labels)
    except SecretsManagerError as error:
        context.log_error(
            ErrorCode.LABEL_MISSING, f"the token is published without its label, and is not in the ledger yet: {error}"
        )
    else:
        context.log_warning(ErrorCode.LABEL_ATTACHED, "the write set no label, so a second call added it")


def _with_lost_labels(context: RunContext, expected: Ledger, found: Ledger) -> Ledger:
    now = context.clock.now()
    for entry in expected.entries:
        known = found.find(entry.version_id) or Entry(entry.version_id)
        missing = sorted(set(entry.labels).difference(known.labels))
        if not missing or (entry.expires_at is not None and now >= entry.expires_at):
            continue
        context.log_warning(
            ErrorCode.LABEL_LOST, "a version has lost its label, and gets it back", labelled_version_id=entry.version_id
        )
        try:
            context.secrets.add_labels(entry.version_id, missing)
        except SecretsManagerError as error:
            if not known.is_tracked and found.current != known:
                context.report_abandoned(f"a superseded token is not in the ledger any more: {error}")
                continue
        found = found.updated(entry)
    return found
