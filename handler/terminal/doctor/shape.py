"""What an answer looked like, and nothing of what it held: for whoever wants to learn about Telenor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from handler import answers
from handler.model import json_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handler.transport import Answer

# What a media type and a field of JSON may be called to be shown: nothing that a token could pass for.
_MEDIA_TYPE = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,40}", re.IGNORECASE)
_FIELD_NAME = re.compile(r"[a-z][a-z_-]{0,30}", re.IGNORECASE)
_MOST_FIELDS = 20
_DEEPEST_FIELD = 5

# A Date header is cut to the second (RFC 9110, section 5.6.7), so that it is half a second late on average.
_DATE_LAGS = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of an answer.

    `fields` are the types of its JSON by dotted name. `code_at` is the one that holds the error code, or "text".
    `clock_ahead` is by how much this machine's clock is ahead of the one that answered, to within a second.
    """

    status: int
    code: str | None
    code_at: str | None
    media_type: str | None
    fields: Mapping[str, str]
    clock_ahead: timedelta | None


def shape_of(answer: Answer) -> Shape:
    """Return what may be shown of an answer."""
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
    values = dict(_values(json_object(answer.text) or {}))
    code = None if answer.is_success else answers.read(answer).said
    holders = (name for name, value in values.items() if code is not None and str(value) == code)
    # A text is what is neither JSON nor, for example, a page in HTML that a gateway has sent.
    at = next(holders, "text" if not values and code is not None else None)
    return Shape(
        status=answer.status,
        code=code,
        code_at=at,
        media_type=media_type if _MEDIA_TYPE.fullmatch(media_type) else None,
        fields={name: _json_type(value) for name, value in values.items()},
        clock_ahead=_clock_ahead(answer),
    )


def _clock_ahead(answer: Answer) -> timedelta | None:
    """Compare this machine's clock, halfway through the exchange, with a Date header (RFC 9110, section 6.6.1)."""
    try:
        at = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None
    halfway = answer.sent_at + (answer.answered_at - answer.sent_at) / 2
    return halfway - at.replace(tzinfo=at.tzinfo or UTC) - _DATE_LAGS


def _values(document: Mapping[str, object], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, object]]:
    """Return what a JSON object holds by dotted name, but for names that are none."""
    for name, value in list(document.items())[:_MOST_FIELDS]:
        if not _FIELD_NAME.fullmatch(name):
            continue
        if isinstance(value, dict) and depth < _DEEPEST_FIELD:
            yield from _values(value, f"{prefix}{name}.", depth + 1)
        else:
            yield prefix + name, value


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object", type(None): "null"}
    return names[type(value)]
