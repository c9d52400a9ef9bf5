"""Parses JSON from outside, which may be anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def json_value(text: str) -> object:
    """Return the JSON value in a text from outside, or None if there is none."""
    try:
        # Editors on Windows begin a file with a byte order mark, which RFC 8259, section 8.1, lets a reader ignore.
        return json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return None


def json_object(text: str) -> dict[str, object] | None:
    """Return the JSON object in a text from outside, or None if there is none."""
    value = json_value(text)
    return value if isinstance(value, dict) else None


def json_values(text: str) -> Iterator[object]:
    """Yield every value in a JSON text, and the names of its fields."""
    values = [json_value(text)]
    while values:
        value = values.pop()
        yield value
        if isinstance(value, dict):
            values += [*value, *value.values()]
        elif isinstance(value, list):
            values += value
