"""Describes the format of a response without its values. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from handler import error_responses
from handler.safe_json import json_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from handler.transport import Response

# The media types and JSON field names that doctor shows. No token matches.
_MEDIA_TYPE = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,40}", re.IGNORECASE)
_FIELD_NAME = re.compile(r"[a-z][a-z_-]{0,30}", re.IGNORECASE)
_CODE_FIELD = re.compile(r"(?:error[\s_-]?)?code|error", re.IGNORECASE)
_MAX_FIELDS = 20
_MAX_DEPTH = 5

# A Date header has whole seconds (RFC 9110, section 5.6.7), so it is half a second late on average.
_DATE_LAG = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class ResponseShape:
    """The part of a response that may be shown.

    `fields` are the types of its JSON by dotted name. `code_at` is the one that holds the error code, "header" or
    "text". `clock_ahead` is how far this machine's clock is ahead of the server's, to within a second.
    """

    status: int
    error_format: error_responses.ErrorFormat | None
    code: int | str | None
    code_at: str | None
    media_type: str | None
    fields: Mapping[str, str]
    clock_ahead: timedelta | None


def response_shape_of(
    response: Response, parse_error: Callable[[Response], error_responses.ParsedError] = error_responses.parse_error
) -> ResponseShape:
    """Return the shape of a response."""
    values = dict(_values(json_object(response.text) or {}))
    parsed = parse_error(response)
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


def _code_at(response: Response, values: Mapping[str, object], code: str | None) -> str | None:
    if code is None:
        return None
    for name, value in values.items():
        if _CODE_FIELD.fullmatch(name.rpartition(".")[2]) and str(value) == code:
            return name
    if code not in response.text:
        return "header"
    # Text is any body without JSON fields, for example an HTML page of a gateway.
    return None if values else "text"


def _clock_ahead(date: str, sent_at: datetime, answered_at: datetime) -> timedelta | None:
    """Compare this machine's clock, halfway through the exchange, with a Date header (RFC 9110, section 6.6.1)."""
    try:
        at = parsedate_to_datetime(date)
        return sent_at + (answered_at - sent_at) / 2 - at.replace(tzinfo=at.tzinfo or UTC) - _DATE_LAG
    except (ValueError, OverflowError):
        return None


def _values(document: Mapping[str, object], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, object]]:
    """Yield the values of a JSON object by dotted name, without unusual names."""
    for name, value in list(document.items())[:_MAX_FIELDS]:
        if not _FIELD_NAME.fullmatch(name):
            continue
        if isinstance(value, dict) and depth < _MAX_DEPTH:
            yield from _values(value, f"{prefix}{name}.", depth + 1)
        else:
            yield prefix + name, value


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object", type(None): "null"}
    return names[type(value)]
