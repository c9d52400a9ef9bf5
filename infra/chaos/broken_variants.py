"""Broken variants of the handler, which a chaos run must catch.

Each replaces a piece of the handler in the process that it is called in.
"""

from __future__ import annotations

import importlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from handler.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _refusal_is_certain() -> None:
    """Treat a refusal as certain, even if an earlier attempt got no response."""
    attempts = _handler("secrets_manager")._Attempts  # noqa: SLF001  the variant is inside
    attempts.are_all_refusals = lambda *_: True


def _any_401_means_inactive() -> None:
    """Treat any 401 of logout as an inactive token."""
    server = _handler("authorization_server").AuthorizationServer
    original = server.revoke

    def revoke(*arguments: object, **options: object) -> bool:
        try:
            return bool(original(*arguments, **options))
        except ServerError as error:
            if error.status == HTTPStatus.UNAUTHORIZED:
                return False
            raise

    server.revoke = revoke


def _no_comparison() -> None:
    """Revoke the tokens chosen at the start of the run, without reading the current one again."""
    revocation = _handler("revocation")

    def revoke(context: Any, version: Any, access_token: str, *_: object) -> object:  # noqa: ANN401  as the original
        context.server.revoke(access_token, context.end_by)
        context.report.revoked.append(version.version_id)
        return revocation.RevocationResult.REVOKED

    # This fails if the function has another name by now.
    del revocation._revoke_unless_in_use  # noqa: SLF001
    revocation._revoke_unless_in_use = revoke  # noqa: SLF001  the variant is inside


def _handler(module: str) -> Any:  # noqa: ANN401  a piece of it is about to be replaced
    return importlib.import_module(f"handler.{module}")


BROKEN_VARIANTS: Mapping[str, tuple[str, Callable[[], None]]] = {
    "refusal-is-certain": ("P3", _refusal_is_certain),
    "any-401-means-inactive": ("P2", _any_401_means_inactive),
    "no-comparison": ("P3", _no_comparison),
}
"""Each breaks a promise."""
