"""The shape of a response: field names, types and the place of its error code, but no values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from handler.cli.doctor.response_shape import response_shape_of
from handler.error_responses import ErrorFormat
from handler.transport import Response
from tests.leak_detector import CANARY

NOW = datetime(2026, 11, 23, 21, 30, tzinfo=UTC)


def response(body: str, **headers: str) -> Response:
    return Response(401, NOW, NOW, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("body", "fields", "code_at"),
    [
        ('{"error": {"code": "2"}}', {"error.code": "string"}, "error.code"),
        (
            '{"status": 2, "Error-Code": 2.0, "code": 2}',
            {"status": "number", "Error-Code": "number", "code": "number"},
            "code",
        ),
        ('{"error": "invalid_token"}', {"error": "string"}, "error"),
        ('{"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}', {"a.b.c.d.e": "object"}, None),
        ('{"ok": true, "list": [1], "none": null}', {"ok": "boolean", "list": "array", "none": "null"}, None),
        *(('{"a b": 1, "2": 1, "' + "x" * 32 + '": 1, "x": 1}', {"x": "number"}, None), ("[1, 2]", {}, None)),
        *(("Error code 2", {}, "text"), ("", {}, None)),
    ],
)
def test_a_shape_has_field_names_types_and_the_place_of_the_error_code(
    body: str, fields: dict[str, str], code_at: str | None
) -> None:
    shape = response_shape_of(response(body))
    assert (shape.fields, shape.code_at) == (fields, code_at)


def test_a_code_in_a_header_is_found() -> None:
    shape = response_shape_of(
        response("", WWW_Authenticate='Bearer error="invalid_token"', Content_Type="text/plain; charset=x")
    )
    assert (shape.code, shape.code_at, shape.error_format) == ("invalid_token", "header", ErrorFormat.OAUTH)
    assert shape.media_type == "text/plain"


def test_a_shape_contains_no_value_of_the_response() -> None:
    body = f'{{"access_token": "{CANARY}", "code": "oauth.v2.{CANARY}", "{CANARY}-1": 2}}'
    assert CANARY not in repr(response_shape_of(response(body, Content_Type=f"text/{CANARY} {CANARY}", Date=CANARY)))


@pytest.mark.parametrize(
    ("date", "ahead"),
    [
        ("Mon, 23 Nov 2026 21:30:00 GMT", timedelta(seconds=-0.5)),
        *(("Mon, 23 Nov 2026 21:29:00 GMT", timedelta(seconds=59.5)), ("", None), ("yesterday", None)),
    ],
)
def test_clocks_are_compared_by_the_date_header(date: str, ahead: timedelta | None) -> None:
    assert response_shape_of(response("", Date=date)).clock_ahead == ahead
