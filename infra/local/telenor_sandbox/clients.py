"""The registered apps: what each may do, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from infra.local.telenor_sandbox.errors import ErrorKind

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Client:
    """A registered app: what it may do, and what is wrong with it."""

    secret: str = field(repr=False)
    grants: frozenset[str] = frozenset({"client_credentials"})
    scopes: frozenset[str] = frozenset()
    approved: bool = True
    data_valid: bool = True
    attributes_valid: bool = True
    basic_allowed: bool = True
    """False: the gateway lets it use no Basic authentication."""
    has_product: bool = True
    """False: its tokens are issued, and no API product lets them in anywhere, logout included."""
    backend_ok: bool = True
    """False: creating a token ends in an internal error."""
    logout_ok: bool = True
    """False: logging one of its tokens out ends in an internal error."""


# In the order in which they are looked at.
CLIENT_CHECKS: Mapping[str, ErrorKind] = {
    "basic_allowed": ErrorKind.BASIC_NOT_ALLOWED,
    "backend_ok": ErrorKind.INTERNAL,
    "data_valid": ErrorKind.CLIENT_DATA,
    "attributes_valid": ErrorKind.APP_ATTRIBUTES,
    "approved": ErrorKind.NOT_APPROVED,
}

DEMO_CLIENT_ID = "demo-client"
DEMO_CLIENT_SECRET = "demo-secret-for-this-sandbox-only"  # noqa: S105 - opens nothing but the sandbox

_seeded = partial(Client, secret=DEMO_CLIENT_SECRET, scopes=frozenset({"incidents.read", "incidents.write"}))

SEEDED_CLIENTS: Mapping[str, Client] = MappingProxyType(
    {
        DEMO_CLIENT_ID: _seeded(),
        "demo-portal": _seeded(),
        "demo-not-approved": _seeded(approved=False),
        "demo-incomplete": _seeded(data_valid=False),
        "demo-broken-attributes": _seeded(attributes_valid=False),
        "demo-no-basic": _seeded(basic_allowed=False),
        "demo-no-product": _seeded(has_product=False),
        "demo-broken-backend": _seeded(backend_ok=False),
        "demo-broken-logout": _seeded(logout_ok=False),
    }
)
