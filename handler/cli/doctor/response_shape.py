"""Describes the format of a response without its values. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from handler import error_responses
from handler.model import json_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handler.transport import Response

# What a media type and a field of JSON may be called to be shown: nothing that a token could pass for.
_MEDIA_TYPE = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,40}", re.IGNORECASE)
_FIELD_NAME = re.compile(r"[a-z][a-z_-]{0,30}", re.IGNORECASE)
_CODE_FIELD = re.compile(r"(?:error[\s_-]?)?code|error", re.IGNORECASE)
_MOST_FIELDS = 20
_DEEPEST_FIELD = 5

# A Date header is cut to the second (RFC 9110, section 5.6.7), so that it is half a second late on average.
_DATE_LAGS = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class ResponseShape:
    """The part of a response that may be shown.

    `fields` are the types of its JSON by dotted name. `code_at` is the one that holds the error code, "header" or
    "text". `clock_ahead` is by how much this machine's clock is ahead of the one that answered, to within a second.
    """

    status: int
    error_format: error_responses.ErrorFormat | None
    code: int | str | None
    code_at: str | None
    media_type: str | None
    fields: Mapping[str, str]
    clock_ahead: timedelta | None


def response_shape_of(response: Response) -> ResponseShape:
    """Return what may be shown of an answer."""
    values = dict(_values(json_object(response.text) or {}))
    parsed = error_responses.parse_error(response)
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    return ResponseShape(
        status=response.status,
        error_format=parsed.format,
        code=int(parsed.matched) if parsed.matched and parsed.matched.isdigit() else parsed.matched,
        code_at=_code_at(response, values, parsed.matched),
        media_type=media_type if _MEDIA_TYPE.fullmatch(media_type) else None,
        fields={name: _json_type(value) for name, value in values.items()},
        clock_ahead=_clock_ahead(response.headers.get("Date", ""), response.sent_at, response.answered_at),
    )


def _code_at(response: Response, values: Mapping[str, object], said: str | None) -> str | None:
    if said is None:
        return None
    for name, value in values.items():
        if _CODE_FIELD.fullmatch(name.rpartition(".")[2]) and str(value) == said:
            return name
    if said not in response.text:
        return "header"
    # A text is what is neither JSON nor, for example, a page in HTML that a gateway has sent.
    return None if values else "text"


def _clock_ahead(date: str, sent_at: datetime, answered_at: datetime) -> timedelta | None:
    """Compare this machine's clock, halfway through the exchange, with a Date header (RFC 9110, section 6.6.1)."""
    try:
        at = parsedate_to_datetime(date)
        return sent_at + (answered_at - sent_at) / 2 - at.replace(tzinfo=at.tzinfo or UTC) - _DATE_LAGS
    except (ValueError, OverflowError):
        return None


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
