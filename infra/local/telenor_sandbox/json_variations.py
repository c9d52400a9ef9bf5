"""Harmless variations of JSON, so that no client relies on what Telenor may change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

# As in Pebble, Let's Encrypt's server for tests: the order of fields, the spacing, unknown fields with a value of each
# type of JSON.
_STYLES: Sequence[Mapping[str, Any]] = (
    *({}, {"separators": (",", ":")}, {"separators": (" , ", " : ")}, {"indent": 2}),
    {"indent": "\t", "separators": (",", " : ")},
)
_CONTENT_TYPES = ("application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8")
_UNKNOWN_FIELDS: Sequence[tuple[str, object]] = (
    *(("region", "nord"), ("shard", 7), ("weight", 0.5), ("canary", False), ("links", [{"rel": "self"}])),
    *(("meta", {"served_by": {"zone": "b"}}), ("hint", None)),
)


def varied(content: object, rng: Random) -> tuple[str, str]:
    """Return the JSON of a value and its content type."""
    if isinstance(content, dict):
        content = content | dict(rng.sample(_UNKNOWN_FIELDS, rng.randrange(3)))
    return json.dumps(_shuffled(content, rng), **rng.choice(_STYLES)), rng.choice(_CONTENT_TYPES)


def _shuffled(content: object, rng: Random) -> object:
    if isinstance(content, list | tuple):
        return [_shuffled(each, rng) for each in content]
    if not isinstance(content, dict):
        return content
    names = list(content)
    rng.shuffle(names)
    return {name: _shuffled(content[name], rng) for name in names}
