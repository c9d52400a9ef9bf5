"""Store a token, and find out what became of the write: one value says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from handler.errors import (
    PublicationRefusedError,
    PublicationUnknownError,
    SecretsManagerError,
    VersionExistsError,
)
from handler.ledger import Entry, new_entry

if TYPE_CHECKING:
    from handler.ledger import Ledger
    from handler.model import StoredValue, Token
    from handler.run import Run


class Stored(NamedTuple):
    """The token is published."""

    entry: Entry


class Twin(NamedTuple):
    """The same event was delivered twice, and the other run has published. `value` is None where it cannot be read."""

    value: StoredValue | None


class Refused(NamedTuple):
    """The token is not published, for certain."""

    error: PublicationRefusedError


class Unknown(NamedTuple):
    """It is not known: the write may have taken effect, and a read that does not find it may lag."""

    error: PublicationUnknownError


Publication = Stored | Twin | Refused | Unknown


def publish(run: Run, token: Token) -> Publication:
    """Make a token current and enter it in the ledger; say what became of that."""
    entry = new_entry(run.version_id, run.ledger.next_publication(run.clock.now()), token.expires_at)
    try:
        missing = run.secrets.publish(token, entry)
    except PublicationRefusedError as error:
        return Refused(error)
    except (PublicationUnknownError, VersionExistsError) as error:
        value = _look(run)
        if value is None:
            return Unknown(error) if isinstance(error, PublicationUnknownError) else Twin(None)
        if not value.holds(token.access_token):
            return Twin(value)
        missing = set() if value.is_tracked else set(entry.labels)
    if missing:
        _label(run, entry.version_id, missing)
    return Stored(entry)


def look_again(run: Run, expected: Ledger) -> None:
    """Describe the secret after a publication, and put back the labels that it has cost other versions.

    That a label stays where it is when its version is superseded by PutSecretValue is not recorded on AWS.
    """
    run.note(expected)
    try:
        found = run.describe()
    except SecretsManagerError as error:
        run.warn(
            "description-failed", f"superseded versions may lack their labels, which could not be looked at: {error}"
        )
        return
    # Without this run's version the description lags behind the publication, and says nothing about it.
    if found.find(run.version_id) is not None:
        run.note(_with_labels_put_back(run, expected, found))


def _look(run: Run) -> StoredValue | None:
    try:
        return run.secrets.read_version(run.version_id)
    except SecretsManagerError:
        return None


def _label(run: Run, version_id: str, labels: set[str]) -> None:
    """Attach the labels that the write has not brought. The publication has succeeded in any case."""
    try:
        run.secrets.attach(version_id, labels)
    except SecretsManagerError as error:
        run.complain(
            "label-missing", f"the token is published without its label, and is not in the ledger yet: {error}"
        )
    else:
        run.warn("label-attached", "the token was published without its label, which was attached by a call of its own")


def _with_labels_put_back(run: Run, expected: Ledger, found: Ledger) -> Ledger:
    """Return what was found, with the labels that it lacks."""
    now = run.clock.now()
    for entry in expected.entries:
        known = found.find(entry.version_id) or Entry(entry.version_id)
        missing = sorted(set(entry.labels).difference(known.labels))
        if not missing or (entry.expires_at is not None and now >= entry.expires_at):
            continue
        run.warn("label-lost", "a version has lost its label, and gets it back", labelled_version_id=entry.version_id)
        try:
            run.secrets.attach(entry.version_id, missing)
        except SecretsManagerError as error:
            if not known.is_tracked and found.current != known:
                run.abandon(f"a superseded token is not in the ledger any more: {error}")
                continue
        found = found.updated(entry)
    return found
