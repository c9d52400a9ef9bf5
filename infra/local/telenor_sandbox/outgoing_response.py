"""An HTTP response before it is sent, and how a fault changes it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from infra.local.telenor_sandbox.json_variations import varied

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from infra.local.telenor_sandbox.authorization_server import IssuedToken
    from infra.local.telenor_sandbox.knobs_and_faults import Fault

_PAGE = "<!doctype html><html><title>Sorry</title><body><h1>Back in a moment</h1></body></html>"


@dataclass(frozen=True)
class OutgoingResponse:
    """An HTTP response before it is sent, and the token that it issues or revokes."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    token: IssuedToken | None = None

    @classmethod
    def plain(cls, text: str, status: int = 200) -> OutgoingResponse:
        """Send text as text."""
        return cls(status, text.encode(), "text/plain; charset=utf-8")

    @classmethod
    def json(cls, status: int, content: object, rng: Random | None) -> OutgoingResponse:
        """Send JSON, with variations if there is a generator for them."""
        if rng is None:
            return cls(status, json.dumps(content).encode())
        text, content_type = varied(content, rng)
        return cls(status, text.encode(), content_type)

    def with_fault(self, fault: Fault) -> OutgoingResponse:
        """Return the response that the client sees."""
        seen = self
        if fault.replaces:
            seen = OutgoingResponse.plain(_PAGE if fault.html else fault.body or "", fault.status or 200)
        retry = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return replace(
            seen,
            body=seen.body[: fault.truncate_bytes],
            content_type=fault.content_type or ("text/html" if fault.html else seen.content_type),
            headers={**seen.headers, **(fault.headers or {}), **retry},
        )
