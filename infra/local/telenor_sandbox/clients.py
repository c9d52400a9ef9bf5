"""The registered apps."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Client:
    """A registered app. What is wrong with one is a fault of the sandbox."""

    secret: str = field(repr=False)
    scopes: frozenset[str] = frozenset({"incidents.read", "incidents.write"})


DEMO_CLIENT_ID = "demo-client"
DEMO_CLIENT_SECRET = "demo-secret-for-this-sandbox-only"  # noqa: S105 - opens nothing but the sandbox

SEEDED_CLIENTS: Mapping[str, Client] = MappingProxyType(
    {name: Client(secret=DEMO_CLIENT_SECRET) for name in (DEMO_CLIENT_ID, "demo-portal")}
)
