"""Whether a token is in use and must not be revoked (P3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.errors import ErrorCode, SecretsManagerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handler.ledger import Entry, Ledger
    from handler.token_secret_reads import TokenSecretReads


def is_held(token_secret: TokenSecretReads, access_token: str, entries: Iterable[Entry]) -> bool:
    """Return whether one of these versions, or one that another publisher made current, holds the token.

    The authorization server may issue the same token twice. Raises SecretsManagerError.
    """
    # Count a version that another publisher made current, too: it was read once, and a later read may lag. After a
    # publication of this run that version is superseded.
    if token_secret.written_token is None and any(
        version.contains_token(access_token) for version in token_secret.unexpected_current()
    ):
        return True
    for entry in entries:
        version = token_secret.read_version(entry.version_id)
        if version is None:
            raise SecretsManagerUnavailableError(
                "a version of the token secret cannot be found: the read may lag",
                error_code=ErrorCode.VERSION_NOT_FOUND,
            )
        if version.contains_token(access_token):
            return True
    return False


def is_in_use(token_secret: TokenSecretReads, access_token: str, ledger: Ledger) -> bool:
    """Return whether a token is published or tracked. Raises SecretsManagerError."""
    if access_token == token_secret.written_token or is_held(token_secret, access_token, ledger.entries):
        return True
    # The last read before the revocation, to leave the least time for another publication in between.
    current = token_secret.read_current()
    return current is not None and current.contains_token(access_token)
