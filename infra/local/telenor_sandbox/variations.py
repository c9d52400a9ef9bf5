"""Harmless variations, so that no client relies on what Telenor may change any day.

As in Pebble, Let's Encrypt's server for tests: the order of fields, the spacing, a field that nobody knows.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_STYLES: Sequence[Mapping[str, Any]] = (
    {},
    {"separators": (",", ":")},
    {"separators": (" , ", " : ")},
    {"indent": 2},
    {"indent": "\t", "separators": (",", " : ")},
)
_CONTENT_TYPES = ("application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8")
# Names without a meaning in any error format, and a value of each type of JSON.
_UNKNOWN: Sequence[tuple[str, object]] = (
    ("region", "nord"),
    ("shard", 7),
    ("weight", 0.5),
    ("canary", False),
    ("links", [{"rel": "self"}]),
    ("meta", {"served_by": {"zone": "b"}}),
    ("hint", None),
)


class Variations:
    """Writes JSON in ever new ways, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - hides nothing

    def json(self, content: object) -> tuple[bytes, str]:
        """Return what to send and the content type to send it with."""
        if isinstance(content, dict):
            content = content | dict(self._random.sample(_UNKNOWN, self._random.randrange(3)))
        text = json.dumps(self._shuffled(content), **self._random.choice(_STYLES))
        return text.encode(), self._random.choice(_CONTENT_TYPES)

    def one_of(self, choices: Sequence[int]) -> int:
        """Return one of several numbers that say the same."""
        return self._random.choice(choices)

    def _shuffled(self, content: object) -> object:
        if isinstance(content, list | tuple):
            return [self._shuffled(each) for each in content]
        if not isinstance(content, dict):
            return content
        names = list(content)
        self._random.shuffle(names)
        return {name: self._shuffled(content[name]) for name in names}


class NoVariations(Variations):
    """Writes the same always, as the table of error formats has it."""

    def __init__(self) -> None:
        super().__init__(0)

    def json(self, content: object) -> tuple[bytes, str]:
        """Return what to send and the content type to send it with."""
        return json.dumps(content).encode(), _CONTENT_TYPES[0]

    def one_of(self, choices: Sequence[int]) -> int:
        """Choose the first, so that a plain server always does the same."""
        return choices[0]
