"""An HTTP response before it is sent: JSON with variations, changed by faults."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from infra.local.telenor_sandbox.authorization_server import IssuedToken
    from infra.local.telenor_sandbox.knobs_and_faults import Fault

# Harmless variations, so that no client relies on what Telenor may change. As in Pebble, Let's Encrypt's server
# for tests: the order of fields, the spacing, unknown fields with a value of each type of JSON.
_STYLES: Sequence[Mapping[str, Any]] = (
    {},
    {"separators": (",", ":")},
    {"separators": (" , ", " : ")},
    {"indent": 2},
    {"indent": "\t", "separators": (",", " : ")},
)
_CONTENT_TYPES = ("application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8")
_UNKNOWN_FIELDS: Sequence[tuple[str, object]] = (
    ("region", "nord"),
    ("shard", 7),
    ("weight", 0.5),
    ("canary", False),
    ("links", [{"rel": "self"}]),
    ("meta", {"served_by": {"zone": "b"}}),
    ("hint", None),
)

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
        if isinstance(content, dict):
            content = content | dict(rng.sample(_UNKNOWN_FIELDS, rng.randrange(3)))
        text = json.dumps(_shuffled(content, rng), **rng.choice(_STYLES))
        return cls(status, text.encode(), rng.choice(_CONTENT_TYPES))

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


def _shuffled(content: object, rng: Random) -> object:
    if isinstance(content, list | tuple):
        return [_shuffled(each, rng) for each in content]
    if not isinstance(content, dict):
        return content
    names = list(content)
    rng.shuffle(names)
    return {name: _shuffled(content[name], rng) for name in names}
