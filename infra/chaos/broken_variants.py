"""Broken variants of the handler, which a chaos run must catch.

Each replaces a piece of the handler in the process that it is called in, and fails if that has another name by now.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from handler import revocation, secrets_manager
from handler.authorization_server import AuthorizationServer
from handler.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _refusal_is_certain() -> None:
    """Treat a refusal as certain, even if an earlier attempt got no response."""
    patch.object(secrets_manager._Attempts, "are_all_refusals", lambda *_: True).start()  # noqa: SLF001  what decides it


def _any_401_means_inactive() -> None:
    """Treat any 401 of logout as an inactive token."""
    original: Any = AuthorizationServer.revoke

    def revoke(*arguments: object, **options: object) -> bool:
        try:
            return bool(original(*arguments, **options))
        except ServerError as error:
            if error.status == HTTPStatus.UNAUTHORIZED:
                return False
            raise

    patch.object(AuthorizationServer, "revoke", revoke).start()


def _no_comparison() -> None:
    """Revoke the tokens chosen at the start of the run, without reading the current one again."""

    def revoke(context: Any, version: Any, access_token: str, *_: object) -> object:  # noqa: ANN401  as the original
        context.server.revoke(access_token, context.end_by)
        context.report.revoked.append(version.version_id)
        return revocation.RevocationResult.REVOKED

    patch.object(revocation, "_revoke_unless_in_use", revoke).start()


BROKEN_VARIANTS: Mapping[str, tuple[str, Callable[[], None]]] = {
    "refusal-is-certain": ("P3", _refusal_is_certain),
    "any-401-means-inactive": ("P2", _any_401_means_inactive),
    "no-comparison": ("P3", _no_comparison),
}
"""Each breaks a promise."""
